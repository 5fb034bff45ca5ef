package webpage

import (
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/skills/internal/html"
)

// Charset finds the name of a body's encoding: the header's, the one an HTML page
// gives itself, or "" when nobody says.
func Charset(params string, body []byte, isHTML bool) string {
	if c := charsetIn(params); c != "" || !isHTML {
		return c
	}
	head := strings.ToLower(string(body[:min(len(body), 2048)]))
	for {
		_, after, ok := strings.Cut(head, "<meta")
		if !ok {
			return ""
		}
		tag, rest, _ := strings.Cut(after, ">")
		if c := charsetIn(tag); c != "" {
			return c
		}
		head = rest
	}
}

func charsetIn(s string) string {
	_, c, ok := strings.Cut(s, "charset=")
	if !ok {
		return ""
	}
	c = strings.TrimLeft(c, " \"'")
	if i := strings.IndexAny(c, " \"';>/"); i >= 0 {
		c = c[:i]
	}
	return c
}

// Decode makes UTF-8 of b. What is neither UTF-8 nor Latin-1 is shown as far as
// it can be read, with a note.
func Decode(b []byte, name string) (text, note string) {
	b = []byte(strings.TrimPrefix(string(b), "\ufeff"))
	switch name {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return strings.ToValidUTF8(string(b), "\ufffd"), ""
	case "iso-8859-1", "latin1", "windows-1252", "cp1252", "iso-8859-15":
		return latin1(b), ""
	case "":
		if utf8.Valid(b) {
			return string(b), ""
		}
		return latin1(b), ""
	}
	if utf8.Valid(b) {
		return string(b), ""
	}
	return strings.ToValidUTF8(string(b), "\ufffd"),
		"(The page is written in " + Shorten(name) + ", of which only the plain letters can be read.)\n\n"
}

func latin1(b []byte) string {
	high := []rune(html.Windows1252)
	out := make([]byte, 0, len(b)+len(b)/8)
	for _, c := range b {
		r := rune(c)
		if c >= 0x80 && c < 0xa0 {
			r = high[c-0x80]
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}
