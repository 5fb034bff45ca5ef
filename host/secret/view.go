package secret

import (
	"html"
	"strings"
	"unicode/utf8"
)

// layers is how many layers of escapes are undone.
const layers = 3

// span is bytes from, up to and without to, of a text.
type span struct{ from, to int }

// found is a value or a shape in a text.
type found struct {
	name  string
	shape bool
	span
}

func (f found) String() string {
	if f.shape {
		return "[redacted key]"
	}
	return "[secret " + f.name + "]"
}

// scan reads one text, in any number of parts.
type scan struct {
	m      *Matcher
	shapes bool
	views  [layers + 1]view // views[i] is what i decoders, one after the other, would read
	awake  int              // the views after this one read the same as it, for as far as anybody looks back
	at     int
	hits   []found
}

// view is a text as a decoder reads it. What may become an escape, or one rune, waits until it
// is whole.
type view struct {
	escape, runes waiting
	tail          tail
	shape         shapeState
	marked        int // the size of tail when the last beginning of an escape was seen, for the next view
}

// waiting are bytes that may belong together.
type waiting struct {
	c  [maxEscape]byte
	at [maxEscape]span
	n  int
}

// maxEscape is the longest escape: the longest name of HTML has 33 bytes.
const maxEscape = 40

func (w *waiting) add(c byte, at span) {
	w.c[w.n], w.at[w.n] = c, at
	w.n++
}

// take removes the first n bytes and says where they stood.
func (w *waiting) take(n int) span {
	at := span{w.at[0].from, w.at[n-1].to}
	copy(w.c[:], w.c[n:w.n])
	copy(w.at[:], w.at[n:w.n])
	w.n -= n
	return at
}

func (m *Matcher) scan(shapes bool) *scan { return &scan{m: m, shapes: shapes} }

// write reads on.
func (s *scan) write(text string) {
	for text != "" {
		n := 0
		if s.rests() {
			for n < len(text) && text[n] < utf8.RuneSelf && !escapes[text[n]] {
				n++
			}
		}
		for i := range s.awake + 1 {
			read(s, &s.views[i], text[:n], span{s.at, s.at + n})
		}
		if s.at += n; n < len(text) {
			s.rune(0, text[n], span{s.at, s.at + 1})
			s.at++
			n++
		}
		text = text[n:]
		s.sleep()
	}
}

// sleep lets the last view sleep when it has caught up with the one before.
func (s *scan) sleep() {
	if s.awake == 0 {
		return
	}
	v, next := &s.views[s.awake-1], &s.views[s.awake]
	if v.tail.n-v.marked > history+maxEscape && next.escape.n+next.runes.n == 0 && next.shape.live == 0 {
		s.awake--
	}
}

// rests reports whether nothing waits in any view.
func (s *scan) rests() bool {
	n := 0
	for i := range s.awake + 1 {
		n += s.views[i].escape.n + s.views[i].runes.n
	}
	return n == 0
}

// read compares the next bytes of a view, which stand at the end of at; the first one for all before it.
func read[T string | []byte](s *scan, v *view, text T, at span) {
	t, st, filter, seed, last := &v.tail, &v.shape, &s.m.filter, s.m.seed, v.tail.last
	from, to := at.from, at.to-len(text)
	for i := range len(text) {
		c := text[i]
		to++
		if s.shapes {
			begun := beforeLast[byte(st.last)] & lastOf[c]
			st.last, st.from[st.n&7] = st.last<<8|uint64(c), from
			if st.n++; st.live|begun != 0 {
				s.shape(st, c, begun, to)
			}
		}
		if f := folded[c]; f != 0 {
			t.c[t.n&(history-1)], t.from[t.n&(history-1)] = f, from
			t.n++
			last = last<<8 | uint64(f)
			if h := last * seed; filter[h>>56]&(1<<(h>>50&63)) != 0 {
				s.match(t, h, to)
			}
		}
		from = to
	}
	t.last = last
}

// end reads what still waits: nothing follows.
func (s *scan) end() {
	for i := 0; i <= s.awake; i++ {
		s.settle(i, true)
		w := &s.views[i].runes
		for w.n > 0 {
			c := w.c[0]
			s.see(i, c, w.take(1))
		}
		s.endShapes(&s.views[i].shape)
	}
}

// settled is up to where the text can be told: what begins before is found.
func (s *scan) settled() int {
	end := s.at
	for i := range s.awake + 1 {
		v := &s.views[i]
		end = s.m.begun(&v.tail, end)
		for _, w := range []*waiting{&v.escape, &v.runes} {
			if w.n > 0 {
				end = min(end, w.at[0].from)
			}
		}
	}
	return end
}

func (s *scan) hit(f found) {
	if n := len(s.hits); n > 0 && s.hits[n-1].from <= f.from && s.hits[n-1].to >= f.to {
		return // another view of the same
	}
	s.hits = append(s.hits, f)
}

// escapes is where escapes begin.
var escapes = [256]bool{'%': true, '\\': true, '&': true}

// see is one byte of a view, visible and out of its escapes. The next view reads it too; while that
// would be the same for as far as anybody looks back, it sleeps.
func (s *scan) see(i int, c byte, at span) {
	v := &s.views[i]
	if escapes[c] && i < layers {
		if s.awake == i {
			next := &s.views[i+1]
			next.tail, next.shape, s.awake = v.tail, v.shape, i+1
		}
		v.marked = v.tail.n
	}
	read(s, v, []byte{c}, at)
	if i < s.awake {
		s.unescape(i+1, c, at)
	}
}

// unescape reads a byte of the view before i.
func (s *scan) unescape(i int, c byte, at span) {
	w := &s.views[i].escape
	if w.n == 0 && !escapes[c] {
		s.rune(i, c, at)
		return
	}
	w.add(c, at)
	s.settle(i, false)
}

// settle passes on what waits, as far as it is known what it is.
func (s *scan) settle(i int, end bool) {
	for w := &s.views[i].escape; w.n > 0; {
		out, n := undo(w.c[:w.n], end || w.n == maxEscape)
		if n == 0 {
			return
		}
		at := w.take(n)
		for j := range len(out) {
			s.rune(i, out[j], at)
		}
	}
}

// rune leaves out what nobody sees. Bytes that are no UTF-8 pass as they are.
func (s *scan) rune(i int, c byte, at span) {
	w := &s.views[i].runes
	if w.n == 0 && c < utf8.RuneSelf {
		s.see(i, c, at)
		return
	}
	for w.add(c, at); w.n > 0 && utf8.FullRune(w.c[:w.n]); {
		r, n := utf8.DecodeRune(w.c[:w.n])
		if r != utf8.RuneError && visible(r) < 0 {
			w.take(n)
			continue
		}
		for range n {
			first := w.c[0]
			s.see(i, first, w.take(1))
		}
	}
}

// undo says what the first n bytes of b stand for; n is 0 when that depends on what follows.
func undo(b []byte, end bool) (out string, n int) {
	literal := string(b[:1])
	switch b[0] {
	case '%':
		return number(b, 1, 2, end)
	case '&':
		n := 1
		for n < len(b) && (b[n] == '#' || isAlnum(b[n])) {
			n++
		}
		if n == len(b) && !end {
			return "", 0
		}
		if n < len(b) && b[n] == ';' {
			n++
		}
		if out = html.UnescapeString(string(b[:n])); n > 1 && out != string(b[:n]) {
			return out, n
		}
	case '\\':
		switch {
		case len(b) == 1 && !end:
			return "", 0
		case len(b) == 1:
		case b[1] == 'u':
			return number(b, 2, 4, end)
		case b[1] == 'x':
			return number(b, 2, 2, end)
		case strings.IndexByte(`"\/'`, b[1]) >= 0:
			return string(b[1:2]), 2
		case strings.IndexByte("bfnrt", b[1]) >= 0:
			return " ", 2
		}
	}
	return literal, 1
}

// number reads an escape of digits hex digits that begin at b[at]. Of two digits it is a byte,
// of four a rune.
func number(b []byte, at, digits int, end bool) (string, int) {
	v := 0
	for i := at; i < at+digits; i++ {
		if i == len(b) && !end {
			return "", 0
		}
		d := -1
		if i < len(b) {
			d = strings.IndexByte("0123456789abcdef", b[i]|0x20)
		}
		if d < 0 || b[i] < '0' { // which |0x20 makes a digit of some controls
			return string(b[:1]), 1
		}
		v = v<<4 | d
	}
	if digits == 2 {
		return string([]byte{byte(v)}), at + digits
	}
	return string(rune(v)), at + digits
}

func isAlnum(c byte) bool { return kinds[c]&(digit|upper|lower) != 0 }
