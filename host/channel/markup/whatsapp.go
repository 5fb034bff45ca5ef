package markup

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// WhatsApp renders text in the marks of WhatsApp: *bold*, _italic_, ~struck~, ```code```. Headings
// become bold lines, links their text and address, lines across nothing.
func WhatsApp(text string) string {
	lines, open := strings.Split(text, "\n"), ""
	for i, line := range lines {
		was := open
		if open = fence(line, open); was != open {
			lines[i] = "```"
		} else if open == "" {
			lines[i] = block(line)
		}
	}
	return strings.Join(lines, "\n")
}

// block renders one line that is no code.
func block(line string) string {
	body := strings.TrimLeft(line, " \t>")
	lead, trimmed := line[:len(line)-len(body)], strings.TrimSpace(body)
	if rule := strings.ReplaceAll(trimmed, " ", ""); len(rule) >= 3 {
		for _, c := range []string{"-", "*", "_"} {
			if strings.Trim(rule, c) == "" {
				return ""
			}
		}
	}
	title := strings.TrimLeft(trimmed, "#")
	if level := len(trimmed) - len(title); level >= 1 && level <= 6 && strings.HasPrefix(title, " ") {
		if title = strings.TrimSpace(strings.TrimRight(title, "# ")); title != "" {
			return lead + "*" + inline(title, true) + "*"
		}
	}
	if strings.HasPrefix(body, "* ") || strings.HasPrefix(body, "+ ") {
		lead, body = lead+"- ", body[2:]
	}
	return lead + inline(body, false)
}

// reach is how far the end of a pair of marks is looked for, in bytes: it bounds what hostile text costs.
const reach = 1000

// inline renders the marks within a line. bold: all of it is bold already.
func inline(s string, bold bool) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		text, n := piece(s, i, bold)
		out.WriteString(text)
		i += n
	}
	return out.String()
}

// piece renders what begins at s[i] and says how long it is there.
func piece(s string, i int, bold bool) (text string, n int) {
	rest := s[i:min(len(s), i+reach)]
	switch c := rest[0]; {
	case c == '\\' && len(rest) > 1 && rest[1] < utf8.RuneSelf && !word(rune(rest[1])) && rest[1] > ' ':
		return rest[1:2], 2
	case c == '`':
		ticks := rest[:len(rest)-len(strings.TrimLeft(rest, "`"))]
		if end := strings.Index(rest[len(ticks):], ticks); end >= 0 {
			n = end + 2*len(ticks)
			return rest[:n], n
		}
		return ticks, len(ticks)
	case strings.HasPrefix(rest, "https://") || strings.HasPrefix(rest, "http://"):
		n = strings.IndexAny(rest+" ", " \t<>()[]")
		return rest[:n], n
	case c == '[' || strings.HasPrefix(rest, "!["):
		if label, url, n := link(rest); n > 0 {
			if label = inline(label, bold); label == "" || label == url {
				return url, n
			}
			return label + " (" + url + ")", n
		}
		return rest[:1], 1
	case c == '*' || c == '_' || c == '~':
		n = len(rest) - len(strings.TrimLeft(rest, string(c)))
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		if word(before) {
			return rest[:n], n
		}
		if end := closing(rest, n); end > 0 {
			return marked(c, n, rest[n:end], bold), end + n
		}
		return rest[:n], n
	}
	_, n = utf8.DecodeRuneInString(s[i:])
	return s[i : i+n], n
}

// marked puts WhatsApp's marks around inner, which had n marks c.
func marked(c byte, n int, inner string, bold bool) string {
	out := inline(inner, bold || c != '~' && n > 1)
	switch {
	case c == '~':
		return "~" + out + "~"
	case n != 2:
		out = "_" + out + "_"
	}
	if n > 1 && !bold {
		out = "*" + out + "*"
	}
	return out
}

// closing finds the marks that end what the first n bytes of s begin: as many, behind a character
// that is no space and before one that is none of a word. 0 = there are none.
func closing(s string, n int) int {
	if n > 3 || s[0] == '~' && n > 2 || n == len(s) || unicode.IsSpace(rune(s[n])) {
		return 0
	}
	for i := n; i < len(s); i++ {
		if s[i] == '`' { // code hides marks
			if end := strings.IndexByte(s[i+1:], '`'); end >= 0 {
				i += end + 1
			}
			continue
		}
		if s[i] != s[0] {
			continue
		}
		k := len(s[i:]) - len(strings.TrimLeft(s[i:], s[:1]))
		after, _ := utf8.DecodeRuneInString(s[i+k:])
		if k == n && s[i-1] != ' ' && s[i-1] != '\t' && (i+k == len(s) || !word(after)) {
			return i
		}
		i += k - 1
	}
	return 0
}

// link reads [label](address) or ![label](address) at the beginning of s.
func link(s string) (label, url string, n int) {
	start := strings.IndexByte(s, '[') + 1
	mid := strings.Index(s, "](")
	if mid < start || strings.ContainsRune(s[start:mid], '[') {
		return "", "", 0
	}
	end := strings.IndexAny(s[mid+2:], " )")
	if end <= 0 || s[mid+2+end] != ')' {
		return "", "", 0
	}
	return s[start:mid], s[mid+2 : mid+2+end], mid + 2 + end + 1
}

func word(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }
