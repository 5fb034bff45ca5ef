package secret

import (
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"unicode"
)

// Bounds of what is looked for, in bytes.
const (
	// minValue is the shortest value that is looked for: a shorter one stands in ordinary text, and
	// `nanoclaw secret set` says that it is not protected. Blanks do not count.
	minValue = 8
	piece    = 48  // a longer value is looked for in pieces of this size …
	overlap  = 3   // … that share this much, which is four characters of base64
	minWord  = 16  // the token of "Bearer TOKEN" is a value of its own from this size on
	history  = 128 // a power of two, more than the hex of a piece has
)

// folded is the form in which texts and values are compared: blanks and controls left out (0),
// letters in lower case, and one alphabet for the two of base64. So a line break, UTF-16 or a
// host name that lost its case hides nothing.
var folded = func() (t [256]byte) {
	for c := byte('!'); c != 0; c++ {
		switch {
		case c >= 'A' && c <= 'Z':
			t[c] = c + 'a' - 'A'
		case c == '-':
			t[c] = '+'
		case c == '_':
			t[c] = '/'
		case c != 0x7f:
			t[c] = c
		}
	}
	return t
}()

func fold(s string) string {
	out := make([]byte, 0, len(s))
	for _, c := range []byte(strings.Map(visible, s)) {
		if f := folded[c]; f != 0 {
			out = append(out, f)
		}
	}
	return string(out)
}

// visible drops the runes that a reader does not see and a program ignores.
func visible(r rune) rune {
	if r >= 0x80 && unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
		return -1
	}
	return r
}

// Matcher finds known values, and what is shaped like a well-known key, in texts: as they are, in
// base64 at any alignment, in hex, under up to three layers of percent, JSON and HTML escapes, and
// with characters in between that nobody sees. One pass, whatever the text: a rolling window of
// eight bytes meets a filter. What was turned around, shifted, compressed or taken apart is not
// found: the grants bound where that can go, and the audit log says how much went.
//
// A Matcher never changes, and does not print what it looks for.
type Matcher struct {
	seed    uint64
	filter  [256]uint64      // a bit for the last eight bytes of every needle
	needles map[uint64][]Key // by the same
	all     []Key
}

// NewMatcher returns one that looks for the values of keys.
func NewMatcher(keys []Key) *Matcher {
	m := &Matcher{seed: rand.Uint64() | 1, needles: make(map[uint64][]Key)}
	for _, k := range keys {
		value := k.Reveal()
		values := []string{value, strings.ReplaceAll(value, " ", "+")} // a query's blank
		if words := strings.Fields(value); len(words) == 2 && len(words[1]) >= minWord {
			values = append(values, words[1])
		}
		for _, v := range values {
			for len(v) > piece {
				m.spellings(k.name, v[:piece])
				v = v[min(piece-overlap, len(v)-piece):]
			}
			m.spellings(k.name, v)
		}
	}
	return m
}

// Guarded reports whether a Matcher looks for value.
func Guarded(value string) bool { return len(fold(value)) >= minValue }

// spellings adds what stands in a text for v, whatever stands around it.
func (m *Matcher) spellings(name, v string) {
	if !Guarded(v) {
		return
	}
	m.add(name, v)
	m.add(name, hex.EncodeToString([]byte(v)))
	for before := range 3 { // bytes of the same base64 group; a character that they share is cut off
		enc := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), v...))
		m.add(name, enc[(8*before+5)/6:8*(before+len(v))/6])
	}
}

func (m *Matcher) add(name, text string) {
	text = fold(text)
	var w uint64
	for _, c := range []byte(text) {
		w = w<<8 | uint64(c)
	}
	h := w * m.seed
	for _, have := range m.needles[h] {
		if have.Reveal() == text {
			return
		}
	}
	k := New(name, text)
	m.filter[h>>56] |= 1 << (h >> 50 & 63)
	m.needles[h] = append(m.needles[h], k)
	m.all = append(m.all, k)
}

// tail is the end of a view in folded form.
type tail struct {
	c    [history]byte
	from [history]int // where in the text they begin
	n    int          // how many there were
	last uint64       // the last eight
}

// ends reports whether the n last bytes are the first n of text.
func (t *tail) ends(text string, n int) bool {
	for i := range n {
		if t.c[(t.n-n+i)&(history-1)] != text[i] {
			return false
		}
	}
	return true
}

// start is where the n last bytes begin.
func (t *tail) start(n int) int { return t.from[(t.n-n)&(history-1)] }

// match looks for the needles whose last eight bytes are the last of t, up to the byte before to.
func (s *scan) match(t *tail, h uint64, to int) {
	for _, k := range s.m.needles[h] {
		if text := k.Reveal(); len(text) <= t.n && t.ends(text, len(text)) {
			s.hit(found{k.name, false, span{t.start(len(text)), to}})
		}
	}
}

// begun is where the longest beginning of a value at the end of a view starts, or else end.
func (m *Matcher) begun(t *tail, end int) int {
	for _, k := range m.all {
		text := k.Reveal()
		for n := min(len(text)-1, t.n); n > 0; n-- {
			if t.ends(text, n) {
				end = min(end, t.start(n))
				break
			}
		}
	}
	return end
}
