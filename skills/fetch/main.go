// Skill fetch reads a page of the public web as text. It has the capability http and no other.
package main

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/webpage"
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
	url, err := webpage.Address(in.URL)
	if err != nil {
		return "", err
	}
	r, err := webpage.Get(url, "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, */*;q=0.5")
	if err != nil {
		return "", err
	}
	text, err := read(r)
	if err != nil {
		return "", err
	}
	return part(text, in.Offset)
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
	body, note := webpage.Decode(r.Body, webpage.Charset(params, r.Body, isHTML))
	if !isHTML {
		return r.URL + "\n\n" + note + strings.TrimSpace(body), nil
	}
	p := webpage.Readable(body, r.URL)
	head := r.URL + "\n\n"
	if p.Title != "" {
		head = "# " + p.Title + "\n" + head
	}
	if p.Text == "" {
		p.Text = "(The page has no text. It may need a browser that runs its scripts.)"
	}
	return head + note + p.Text, nil
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
