// Package webpage is what skills that read the web share: addresses, one GET, encodings,
// and HTML as text. It has no golang.org/x/net/html, which would add 0.5 to 0.9 MB
// to a module, and it must never do more than GET.
package webpage

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

// MaxURL bounds addresses, so that a page of links to long ones stays a page.
const MaxURL = 2000

// Get asks for the page at url, an Address. Its errors are sentences that name the
// address; every answer but a 2xx is one.
func Get(url, accept string) (*sdk.Response, error) {
	r, err := sdk.HTTP(sdk.Request{URL: url, Header: map[string]string{"Accept": accept}})
	if err != nil {
		return nil, errors.New("fetching " + url + ": " + err.Error())
	}
	if r.URL == "" {
		r.URL = url
	}
	if r.Status < 200 || r.Status > 299 {
		return nil, errors.New(r.URL + " answered with status " + strconv.Itoa(r.Status))
	}
	return r, nil
}

// Address checks and completes what was given as a URL.
func Address(s string) (string, error) {
	s = strings.TrimLeft(s, " \t\r\n<\"'`")
	s = strings.TrimRight(s, " \t\r\n>\"'`.,;!?")
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "https", s
	}
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return "", errors.New("only http and https addresses can be read")
	}
	if rest == "" || strings.ContainsAny(rest, " \t\r\n") || len(s) > MaxURL {
		return "", errors.New(strconv.Quote(Shorten(s)) + " is not a web address")
	}
	return scheme + "://" + rest, nil
}

// Shorten cuts s, of others' making, to 200 bytes.
func Shorten(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
