// Skill fetch reads a page of the public web as text. It has the capability http,
// and a reader for HTML of its own (html.go): golang.org/x/net/html would add
// 0.5 to 0.9 MB and do more than reading takes.
package main

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
)

// maxText is how many bytes of text one call returns.
const maxText = 40_000

type input struct {
	URL    string `json:"url"`
	Offset int    `json:"offset"`
}

func init() { sdk.Tool("fetch", fetch) }

func main() {}

func fetch(_ sdk.Context, in input) (string, error) {
	url, err := address(in.URL)
	if err != nil {
		return "", err
	}
	r, err := sdk.HTTP(sdk.Request{URL: url, Header: map[string]string{
		"Accept": "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, */*;q=0.5",
	}})
	if err != nil {
		return "", errors.New("fetching " + url + ": " + err.Error())
	}
	if r.URL == "" {
		r.URL = url
	}
	if r.Status < 200 || r.Status > 299 {
		return "", errors.New(r.URL + " answered with status " + strconv.Itoa(r.Status))
	}
	text, err := read(r)
	if err != nil {
		return "", err
	}
	return part(text, in.Offset)
}

// address checks and completes what was given as a URL.
func address(s string) (string, error) {
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
	if rest == "" || strings.ContainsAny(rest, " \t\r\n") || len(s) > maxURL {
		return "", errors.New(strconv.Quote(shorten(s)) + " is not a web address")
	}
	return scheme + "://" + rest, nil
}

func shorten(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// read makes text of an answer.
func read(r *sdk.Response) (string, error) {
	kind, params, _ := strings.Cut(strings.ToLower(r.Get("Content-Type")), ";")
	kind = strings.TrimSpace(kind)
	if kind == "" {
		kind = sniff(r.Body)
	}
	isHTML := kind == "text/html" || kind == "application/xhtml+xml"
	if !isHTML && !isText(kind) {
		return "", errors.New(r.URL + " is " + kind + " of " + strconv.Itoa(len(r.Body)) + " bytes, which is no text")
	}
	body, note := decode(r.Body, charset(params, r.Body, isHTML))
	if !isHTML {
		return r.URL + "\n\n" + note + strings.TrimSpace(body), nil
	}
	p := readable(body, r.URL)
	head := r.URL + "\n\n"
	if p.title != "" {
		head = "# " + p.title + "\n" + head
	}
	if p.text == "" {
		p.text = "(The page has no text. It may need a browser that runs its scripts.)"
	}
	return head + note + p.text, nil
}

func isText(kind string) bool {
	switch kind {
	case "application/json", "application/xml", "application/javascript", "application/yaml", "application/toml",
		"application/x-ndjson", "application/rtf":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml")
}

// sniff guesses the kind of a body whose server does not say.
func sniff(b []byte) string {
	head := strings.ToLower(string(b[:min(len(b), 1024)]))
	switch {
	case strings.Contains(head, "<html") || strings.Contains(head, "<!doctype html"):
		return "text/html"
	case strings.IndexByte(head, 0) < 0:
		return "text/plain"
	}
	return "application/octet-stream"
}

// part cuts the piece from offset out of text and says where to go on.
func part(text string, offset int) (string, error) {
	if offset < 0 || offset > 0 && offset >= len(text) {
		return "", errors.New("the page has " + strconv.Itoa(len(text)) + " bytes of text, none at offset " +
			strconv.Itoa(offset))
	}
	for offset > 0 && !utf8.RuneStart(text[offset]) {
		offset--
	}
	text, whole := text[offset:], len(text)
	if len(text) <= maxText {
		return text, nil
	}
	end := maxText
	if i := strings.LastIndexByte(text[:end], '\n'); i > maxText/2 {
		end = i + 1
	}
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "\n\n[cut here: " + strconv.Itoa(whole-offset-end) + " of " + strconv.Itoa(whole) +
		" bytes follow; go on with offset " + strconv.Itoa(offset+end) + "]", nil
}
