package main

import (
	"errors"
	"strings"

	"github.com/nanoclaw/nanoclaw/skills/internal/html"
)

// xml walks through a document once. It is no validator: it knows elements, attributes,
// text and CDATA, and of namespaces the prefixes that feeds have in practice. A document
// type with declarations is refused, so there are no entities to expand: package
// encoding/xml would add 0.7 MB to the module.
type xml struct {
	s    string
	i    int
	at   int    // where the last tag begins
	name string // of the last tag: its local name in lower case
	pre  string // and its prefix
	attr string // and its attributes, as they stand
	open bool   // it was <x/>: there is no end tag to come
}

var errEntities = errors.New("it declares a document type of its own, which is refused: such can grow without bound")

// next moves behind the next tag. start is false for an end tag; ok is false at the end.
func (x *xml) next() (start, ok bool, err error) {
	for {
		n := strings.IndexByte(x.s[x.i:], '<')
		if n < 0 {
			x.i = len(x.s)
			return false, false, nil
		}
		x.i += n
		rest := x.s[x.i:]
		switch {
		case strings.HasPrefix(rest, "<!--"):
			x.skip("-->", 4)
		case strings.HasPrefix(rest, "<![CDATA["):
			x.skip("]]>", 9)
		case strings.HasPrefix(rest, "<?"):
			x.skip("?>", 2)
		case strings.HasPrefix(rest, "<!"):
			end := strings.IndexByte(rest, '>')
			if open := strings.IndexByte(rest, '['); open >= 0 && (end < 0 || open < end) || strings.HasPrefix(rest, "<!E") {
				return false, false, errEntities
			}
			x.skip(">", 2)
		default:
			x.at = x.i
			return x.tag(rest), true, nil
		}
	}
}

// skip moves behind end, which is looked for from bytes on.
func (x *xml) skip(end string, from int) {
	n := strings.Index(x.s[x.i+from:], end)
	if n < 0 {
		x.i = len(x.s)
		return
	}
	x.i += from + n + len(end)
}

// tag reads the tag that rest begins with; it reports whether it is a start tag.
func (x *xml) tag(rest string) bool {
	end, quote := 1, byte(0)
	for end < len(rest) && (quote != 0 || rest[end] != '>') {
		switch c := rest[end]; {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		}
		end++
	}
	body := rest[1:end]
	x.i = min(x.i+end+1, len(x.s))
	body, isEnd := strings.CutPrefix(body, "/")
	body, x.open = strings.CutSuffix(body, "/")
	n := strings.IndexAny(body, " \t\r\n")
	if n < 0 {
		n = len(body)
	}
	x.attr = body[n:]
	x.pre, x.name = "", strings.ToLower(body[:min(n, 60)])
	if p, local, ok := strings.Cut(x.name, ":"); ok {
		x.pre, x.name = p, local
	}
	return !isEnd
}

// attribute is the value of one attribute of the last start tag.
func (x *xml) attribute(name string) string {
	s := x.attr
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		key, rest, ok := strings.Cut(s, "=")
		rest = strings.TrimLeft(rest, " \t\r\n")
		if !ok || rest == "" || rest[0] != '"' && rest[0] != '\'' {
			return ""
		}
		end := strings.IndexByte(rest[1:], rest[0])
		if end < 0 {
			return ""
		}
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return html.Unescape(rest[1 : end+1])
		}
		s = rest[end+2:]
	}
}

// inner moves behind the end of the element whose start tag was read last, and returns
// its text, and its content as it stands. Elements inside need not be closed: feeds have
// HTML in them that is no XML.
func (x *xml) inner() (text, raw string, err error) {
	if x.open {
		return "", "", nil
	}
	name, pre, begin := x.name, x.pre, x.i
	var b strings.Builder
	for depth := 1; ; {
		from := x.i
		start, ok, err := x.next()
		if err != nil {
			return "", "", err
		}
		end := x.i
		if ok {
			end = x.at
		}
		if b.Len() < maxText {
			b.WriteString(characters(x.s[from:end]))
		}
		if !ok {
			return b.String(), x.s[begin:], nil
		}
		if x.name != name || x.pre != pre || start && x.open {
			continue
		}
		if start {
			depth++
		} else if depth--; depth == 0 {
			return b.String(), x.s[begin:end], nil
		}
	}
}

// characters is what s, which has no tags, says: references resolved, CDATA as it stands.
func characters(s string) string {
	if !strings.Contains(s, "<!") {
		return html.Unescape(s)
	}
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(s, "<![CDATA[")
		for {
			text, rest, isComment := strings.Cut(before, "<!--")
			b.WriteString(html.Unescape(text))
			if !isComment {
				break
			}
			_, before, _ = strings.Cut(rest, "-->")
		}
		if !ok {
			return b.String()
		}
		data, rest, _ := strings.Cut(after, "]]>")
		b.WriteString(data)
		s = rest
	}
}
