package webpage

import (
	"strings"

	"github.com/nanoclaw/nanoclaw/skills/internal/html"
)

// markup reads what begins with the < at r.i.
func (r *reader) markup() {
	s := r.html[r.i:]
	switch {
	case strings.HasPrefix(s, "<!--"):
		r.jump(s, "-->", 4)
	case len(s) > 1 && (s[1] == '!' || s[1] == '?'):
		r.jump(s, ">", 2)
	case len(s) > 2 && s[1] == '/' && isLetter(s[2]):
		t := r.tag(2)
		r.end(t.name)
	case len(s) > 1 && isLetter(s[1]):
		t := r.tag(1)
		r.start(&t)
	default:
		r.text("<")
		r.i++
	}
}

// jump moves behind the next end in s, which begins at r.i, or to the end of the page.
func (r *reader) jump(s, end string, from int) {
	if n := strings.Index(s[from:], end); n >= 0 {
		r.i += from + n + len(end)
	} else {
		r.i = len(r.html)
	}
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

// tag is a start tag, with the attributes that matter here.
type tag struct {
	name, href, alt string
	hidden, closed  bool
}

// tag reads a tag whose name begins n bytes after r.i.
func (r *reader) tag(n int) (t tag) {
	r.i += n
	start := r.i
	for r.i < len(r.html) && !isSpace(r.html[r.i]) && r.html[r.i] != '>' && r.html[r.i] != '/' {
		r.i++
	}
	t.name = strings.ToLower(r.html[start:min(r.i, start+20)])
	for r.i < len(r.html) {
		switch c := r.html[r.i]; {
		case c == '>':
			r.i++
			return t
		case c == '/':
			t.closed = true
			r.i++
		case isSpace(c):
			r.i++
		default:
			t.closed = false
			r.attribute(&t)
		}
	}
	return t
}

// attribute reads one attribute into t.
func (r *reader) attribute(t *tag) {
	start := r.i
	for r.i++; r.i < len(r.html); r.i++ {
		if c := r.html[r.i]; isSpace(c) || c == '=' || c == '>' || c == '/' {
			break
		}
	}
	name := strings.ToLower(r.html[start:r.i])
	at := r.i
	for at < len(r.html) && isSpace(r.html[at]) {
		at++
	}
	value := ""
	if at < len(r.html) && r.html[at] == '=' {
		r.i = at + 1
		value = r.value()
	}
	switch name {
	case "href":
		t.href = html.Unescape(value)
	case "alt":
		t.alt = html.Unescape(value)
	case "hidden":
		t.hidden = true
	case "aria-hidden":
		t.hidden = t.hidden || value == "true"
	}
}

func (r *reader) value() string {
	for r.i < len(r.html) && isSpace(r.html[r.i]) {
		r.i++
	}
	if r.i == len(r.html) {
		return ""
	}
	start := r.i
	if q := r.html[r.i]; q == '"' || q == '\'' {
		n := strings.IndexByte(r.html[start+1:], q)
		if n < 0 {
			r.i = len(r.html)
			return ""
		}
		r.i = start + n + 2
		return r.html[start+1 : start+1+n]
	}
	for r.i < len(r.html) && !isSpace(r.html[r.i]) && r.html[r.i] != '>' {
		r.i++
	}
	return r.html[start:r.i]
}

// raw moves behind the end tag of name and returns what is before it, unread.
func (r *reader) raw(name string) string {
	start := r.i
	for at := start; ; {
		n := strings.Index(r.html[at:], "</")
		if n < 0 {
			r.i = len(r.html)
			return r.html[start:]
		}
		at += n + 2
		end := at + len(name)
		if end <= len(r.html) && strings.EqualFold(r.html[at:end], name) &&
			(end == len(r.html) || isSpace(r.html[end]) || r.html[end] == '>' || r.html[end] == '/') {
			r.i = end
			r.jump(r.html[end:], ">", 0)
			return r.html[start : at-2]
		}
	}
}

// skip moves behind the end of the element name, whose start was just read.
func (r *reader) skip(name string) {
	for depth := 1; depth > 0 && r.i < len(r.html); {
		n := strings.IndexByte(r.html[r.i:], '<')
		if n < 0 {
			r.i = len(r.html)
			return
		}
		r.i += n
		s := r.html[r.i:]
		switch {
		case strings.HasPrefix(s, "<!--"):
			r.jump(s, "-->", 4)
		case len(s) > 2 && s[1] == '/' && isLetter(s[2]):
			if r.tag(2).name == name {
				depth--
			}
		case len(s) > 1 && isLetter(s[1]):
			t := r.tag(1)
			if kindOf(t.name) == raw && t.name != name {
				r.raw(t.name)
			} else if t.name == name {
				depth++
			}
		default:
			r.i++
		}
	}
}
