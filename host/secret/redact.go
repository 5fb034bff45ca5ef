package secret

import (
	"io"
	"slices"
	"strings"
)

// Redact replaces every known value in text, and with shapes what looks like a key. It says what
// it replaced, each name once.
func (m *Matcher) Redact(text string, shapes bool) (string, []string) {
	s := m.scan(shapes)
	s.write(text)
	s.end()
	return apply(text, 0, s.hits), names(nil, s.hits)
}

// Find says what Redact would replace in any of texts.
func (m *Matcher) Find(shapes bool, texts ...string) (out []string) {
	for _, t := range texts {
		s := m.scan(shapes)
		s.write(t)
		s.end()
		out = names(out, s.hits)
	}
	return out
}

func names(out []string, hits []found) []string {
	for _, h := range hits {
		if !slices.Contains(out, h.name) {
			out = append(out, h.name)
		}
	}
	return out
}

// apply replaces hits in text, whose first byte has the number base.
func apply(text string, base int, hits []found) string {
	if len(hits) == 0 {
		return text
	}
	slices.SortStableFunc(hits, func(a, b found) int { return a.from - b.from })
	var b strings.Builder
	done := base
	for i, h := range hits {
		if h.from >= done || i == 0 {
			b.WriteString(text[done-base : h.from-base])
			b.WriteString(h.String())
		}
		done = max(done, h.to)
	}
	b.WriteString(text[done-base:])
	return b.String()
}

// Stream passes a text on as it comes, without the known values. What may be the beginning of one
// is held back until more of the text tells.
type Stream struct {
	s    *scan
	held string // of the text, up to its end
	out  func(string)
}

// Stream returns one that gives what it passes on to out, never an empty text.
func (m *Matcher) Stream(out func(string)) *Stream { return &Stream{s: m.scan(false), out: out} }

// Write reads the next part of the text.
func (t *Stream) Write(part string) {
	t.s.write(part)
	t.held += part
	t.pass(t.s.settled())
}

// Close passes on what is held back: the text has ended.
func (t *Stream) Close() {
	t.s.end()
	t.pass(t.s.at)
}

func (t *Stream) pass(to int) {
	base := t.s.at - len(t.held)
	for again := true; again; { // no hit is cut in two
		again = false
		for _, h := range t.s.hits {
			if h.from < to && to < h.to {
				to, again = h.from, true
			}
		}
	}
	var now, later []found
	for _, h := range t.s.hits {
		if h.from < to {
			now = append(now, h)
		} else {
			later = append(later, h)
		}
	}
	if to > base {
		text := t.held[:to-base]
		t.held, t.s.hits = t.held[to-base:], later
		t.out(apply(text, base, now))
	}
}

// Writer passes lines on to w without the known values; what is written in one call is a text of
// its own. It is for logs.
func Writer(w io.Writer, current func() *Matcher) io.Writer { return &writer{w, current} }

type writer struct {
	w       io.Writer
	current func() *Matcher
}

func (w *writer) Write(b []byte) (int, error) {
	text, found := w.current().Redact(string(b), false)
	if len(found) == 0 {
		return w.w.Write(b)
	}
	_, err := io.WriteString(w.w, text)
	return len(b), err
}
