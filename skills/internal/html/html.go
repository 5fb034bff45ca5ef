// Package html has what several skills need to read HTML: character references and tags.
// golang.org/x/net/html would add 0.5 to 0.9 MB to each of them.
//
// It makes text of fragments and knows nothing of whole pages: that is skill fetch. It must
// take any input in linear time, because others have written it.
package html

import "strings"

// Tag is one start or end tag.
type Tag struct {
	Name string // lower case
	End  bool
	raw  string // what follows the name
}

// Next returns the text before the first tag of s, the tag, and what follows it. ok is
// false when there is none; then text is all of s.
func Next(s string) (text string, t Tag, rest string, ok bool) {
	for i := 0; i < len(s); {
		n := strings.IndexByte(s[i:], '<')
		if n < 0 || i+n+1 >= len(s) {
			break
		}
		i += n
		from := i + 1
		if t.End = s[from] == '/'; t.End {
			from++
		}
		switch {
		case from == len(s):
		case isLetter(s[from]):
			end := tagEnd(s, from)
			t.Name, t.raw = name(s[from:end])
			return s[:i], t, s[min(end+1, len(s)):], true
		case s[from] == '!' || s[from] == '?':
			end := ">"
			if strings.HasPrefix(s[from:], "!--") {
				end = "-->"
			}
			_, rest, ok := strings.Cut(s[from:], end)
			return s[:i], Tag{Name: "!"}, rest, ok
		}
		i++
	}
	return s, Tag{}, "", false
}

// tagEnd is the place of the > that ends the tag at from, quotes respected; or of the end.
func tagEnd(s string, from int) int {
	var quote byte
	for i := from; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i
		}
	}
	return len(s)
}

func name(s string) (name, rest string) {
	n := strings.IndexAny(s, " \t\r\n\f/")
	if n < 0 {
		n = len(s)
	}
	return strings.ToLower(s[:n]), s[n:]
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

const space = " \t\r\n\f/"

// Attr is the value of an attribute, references replaced; "" when it has none.
func (t Tag) Attr(name string) string {
	for s := strings.TrimLeft(t.raw, space); s != ""; s = strings.TrimLeft(s, space) {
		n := strings.IndexAny(s[1:], space+"=") + 1
		if n == 0 {
			n = len(s)
		}
		key, value := s[:n], ""
		s = strings.TrimLeft(s[n:], " \t\r\n\f")
		if strings.HasPrefix(s, "=") {
			value, s = attrValue(strings.TrimLeft(s[1:], " \t\r\n\f"))
		}
		if strings.EqualFold(key, name) {
			return Unescape(value)
		}
	}
	return ""
}

func attrValue(s string) (value, rest string) {
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		value, rest, _ = strings.Cut(s[1:], s[:1])
		return value, rest
	}
	n := strings.IndexAny(s, " \t\r\n\f")
	if n < 0 {
		n = len(s)
	}
	return s[:n], s[n:]
}

// HasClass reports whether class is one of the tag's classes.
func (t Tag) HasClass(class string) bool {
	for _, c := range strings.Fields(t.Attr("class")) {
		if c == class {
			return true
		}
	}
	return false
}

// Text is a fragment as one line of text: no tags, references replaced.
func Text(fragment string) string {
	var b strings.Builder
	for {
		text, t, rest, ok := Next(fragment)
		b.WriteString(text)
		if !ok {
			return strings.Join(strings.Fields(Unescape(b.String())), " ")
		}
		switch t.Name {
		case "br", "p", "div", "li", "td", "tr":
			b.WriteByte(' ')
		}
		fragment = rest
	}
}
