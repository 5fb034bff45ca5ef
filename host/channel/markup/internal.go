package markup

import "strings"

// Stripper takes <internal>…</internal> out of a text that comes in pieces: what a model thinks aloud
// and nobody is to read. In doubt it leaves out: tags nest, their case does not matter, and one that
// is never closed hides all that follows.
type Stripper struct {
	depth int
	held  string // the beginning of what may become a tag
}

// Public is text without what is internal.
func Public(text string) string {
	var s Stripper
	text = s.Next(text)
	return text + s.End()
}

// Next returns what is public so far of the next piece.
func (s *Stripper) Next(piece string) string {
	text := s.held + piece
	s.held = ""
	var out strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '<')
		if i < 0 {
			i = len(text)
		}
		n, step := tag(text[i:])
		if n == 0 && i < len(text) { // a "<" like any other
			i, n = i+1, 0
		}
		if s.depth == 0 {
			out.WriteString(text[:i])
		}
		if n < 0 {
			s.held = text[i:]
			break
		}
		s.depth, text = max(0, s.depth+step), text[i+n:]
	}
	return out.String()
}

// End returns what was held back because a tag could have come of it.
func (s *Stripper) End() string {
	if s.depth > 0 {
		return ""
	}
	return s.held
}

const maxTag = 32 // bytes, the spaces in it included

// tag measures the tag at the beginning of text and says whether it opens (1) or closes (-1): 0 bytes
// when there is none, -1 when text ends before that is known.
func tag(text string) (n, step int) {
	const name = "internal"
	if text == "" || text[0] != '<' {
		return 0, 0
	}
	rest, closes := strings.CutPrefix(text[1:], "/")
	step = 1
	if closes {
		step = -1
	}
	if len(rest) < len(name) {
		if strings.EqualFold(rest, name[:len(rest)]) {
			return -1, 0
		}
		return 0, 0
	}
	after := strings.TrimLeft(rest[len(name):], " \t\r\n")
	switch n = len(text) - len(after); {
	case !strings.EqualFold(rest[:len(name)], name), n > maxTag:
		return 0, 0
	case after == "":
		return -1, 0
	case after[0] == '>':
		return n + 1, step
	}
	return 0, 0
}
