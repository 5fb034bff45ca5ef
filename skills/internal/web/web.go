// Package web has what skills share that ask an HTTP API: queries, and one sentence for
// everything that can be wrong with an answer. net/url would add 0.2 MB to each of them.
//
// It must never put a credential into a request: the host does, where the role grants one.
package web

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

// StatusError is an answer with another status than 200.
type StatusError struct {
	Service string
	Status  int
}

func (e *StatusError) Error() string {
	why := "answered with status " + strconv.Itoa(e.Status)
	switch {
	case e.Status == 401 || e.Status == 403:
		why = "refused the request (status " + strconv.Itoa(e.Status) + "): its key is missing or wrong"
	case e.Status == 429:
		why = "has had too many requests (status 429); try again later"
	case e.Status >= 500:
		why = "is out of order (status " + strconv.Itoa(e.Status) + "); try again later"
	}
	return e.Service + " " + why
}

// Get gets url with status 200. service is what errors call the other side.
func Get(service, url string, header map[string]string) (*sdk.Response, error) {
	r, err := sdk.HTTP(sdk.Request{URL: url, Header: header})
	if err != nil {
		return nil, &Failure{service, err}
	}
	if r.Status != 200 {
		return r, &StatusError{service, r.Status}
	}
	return r, nil
}

// Failure is a request that was not made or had no answer; sdk.ErrDenied and the like are in it.
type Failure struct {
	Service string
	Err     error
}

func (f *Failure) Error() string { return f.Service + " cannot be asked: " + f.Err.Error() }

// Unwrap is the host's error.
func (f *Failure) Unwrap() error { return f.Err }

// JSON is Get for an API that answers with JSON, which is decoded into v.
func JSON(service, url string, header map[string]string, v any) error {
	r, err := Get(service, url, header)
	if err != nil {
		return err
	}
	body := strings.TrimLeft(string(r.Body), " \t\r\n\ufeff")
	switch {
	case body == "":
		return errors.New(service + " gave an empty answer")
	case body[0] == '<':
		return errors.New(service + " answered with a web page instead of data")
	}
	if err := sdk.Unmarshal([]byte(body), v); err != nil {
		return errors.New(service + " gave an answer that cannot be read: " + err.Error())
	}
	return nil
}

// Query is the query of a URL: names and values by turns. Pairs without a value are left out.
func Query(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pairs[i] + "=")
		escape(&b, pairs[i+1])
	}
	return b.String()
}

func escape(b *strings.Builder, s string) {
	for i := range len(s) {
		switch c := s[i]; {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~', c == ',':
			b.WriteByte(c)
		case c == ' ':
			b.WriteByte('+')
		default:
			const hex = "0123456789ABCDEF"
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
}

// Param is the value of name in the query of url, "" when it has none or cannot be read.
func Param(url, name string) string {
	_, query, _ := strings.Cut(url, "?")
	query, _, _ = strings.Cut(query, "#")
	for pair := range strings.SplitSeq(query, "&") {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return unescape(value)
		}
	}
	return ""
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '+':
			b.WriteByte(' ')
		case c != '%':
			b.WriteByte(c)
		default:
			n, err := strconv.ParseUint(s[i+1:min(i+3, len(s))], 16, 8)
			if err != nil || i+2 >= len(s) {
				return ""
			}
			b.WriteByte(byte(n))
			i += 2
		}
	}
	return b.String()
}
