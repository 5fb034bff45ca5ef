package main

import (
	"bytes"
	"strconv"
	"strings"
)

// font says what the codes of strings mean, and how wide they are.
type font struct {
	simple   *encoding // nil for fonts of Type0
	toText   *cmap     // ToUnicode
	codes    *cmap     // of Type0 fonts: how long codes are
	isUTF16  bool      // codes of a Type0 font are UTF-16
	widths   map[int]float64
	width    float64 // of what is not in widths
	isApprox bool    // widths are guessed
}

const maxWidths = 70_000

// font makes one of its dictionary.
func (f *pdf) font(o any) *font {
	d := f.dict(o)
	f.steps -= 500
	t := &font{widths: map[int]float64{}, width: 500}
	if s, ok := f.resolve(d["ToUnicode"]).(*stream); ok {
		t.toText = f.cmap(s)
	}
	if f.resolve(d["Subtype"]) == name("Type0") {
		f.composite(t, d)
		return t
	}
	t.simple = f.encoding(d)
	widths := f.array(d["Widths"])
	first := int(f.number(d["FirstChar"], 0))
	for i, w := range widths[:min(len(widths), 256)] {
		t.widths[first+i] = f.number(w, 0)
	}
	if t.width = f.number(f.dict(d["FontDescriptor"])["MissingWidth"], 0); len(widths) == 0 {
		base, _ := f.resolve(d["BaseFont"]).(name)
		t.guess(strings.Contains(string(base), "Courier"))
	}
	if f.resolve(d["Subtype"]) == name("Type3") { // its widths are in units of its own
		scale := f.number(at(f.array(d["FontMatrix"]), 0), 0.001) * 1000
		for c := range t.widths {
			t.widths[c] *= scale
		}
	}
	return t
}

func at(a array, i int) any {
	if i < len(a) {
		return a[i]
	}
	return nil
}

// guess makes widths for the fonts that every reader has, and files leave out.
func (t *font) guess(fixed bool) {
	t.isApprox, t.width = true, 550
	if fixed {
		t.width = 600
		return
	}
	for c := range 128 {
		switch {
		case strings.IndexByte(" iljtfI.,;:'|!()[]/", byte(c)) >= 0:
			t.widths[c] = 270
		case strings.IndexByte("mwMW@%", byte(c)) >= 0:
			t.widths[c] = 830
		case c >= 'A' && c <= 'Z':
			t.widths[c] = 680
		}
	}
}

func (f *pdf) encoding(d dict) *encoding {
	o := f.resolve(d["Encoding"])
	if base, ok := o.(name); ok {
		return newEncoding(base)
	}
	descriptor := f.dict(d["FontDescriptor"])
	diff, _ := o.(dict)
	base, hasBase := f.resolve(diff["BaseEncoding"]).(name)
	if !hasBase && f.resolve(d["Subtype"]) == name("TrueType") {
		base = "WinAnsiEncoding"
	}
	e := newEncoding(base)
	if s, ok := f.resolve(descriptor["FontFile"]).(*stream); ok && !hasBase {
		e.builtIn(f.decode(s))
	}
	code := 0
	for _, x := range f.array(diff["Differences"]) {
		switch x := f.resolve(x).(type) {
		case float64:
			code = int(x)
		case name:
			if code >= 0 && code < 256 {
				e[code] = glyph(string(x))
			}
			code++
		}
	}
	return e
}

// builtIn reads the encoding of a Type 1 font program: lines such as "dup 12 /fi put".
func (e *encoding) builtIn(b []byte) {
	b, _, _ = bytes.Cut(b, []byte("eexec"))
	_, b, ok := bytes.Cut(b, []byte("/Encoding"))
	if !ok || bytes.HasPrefix(bytes.TrimSpace(b), []byte("StandardEncoding")) {
		return
	}
	*e = encoding{}
	words := strings.Fields(string(b[:min(len(b), 64<<10)]))
	for i := 0; i+3 < len(words); i++ {
		code, err := strconv.Atoi(words[i+1])
		if words[i] == "dup" && err == nil && code >= 0 && code < 256 && strings.HasPrefix(words[i+2], "/") {
			e[code] = glyph(words[i+2][1:])
		}
	}
}

// composite reads a Type0 font. Its codes are CIDs, two bytes each, unless its encoding
// is a CMap of its own or one of Unicode.
func (f *pdf) composite(t *font, d dict) {
	switch e := f.resolve(d["Encoding"]).(type) {
	case *stream:
		t.codes = f.cmap(e)
	case name:
		t.isUTF16 = strings.Contains(string(e), "UCS2") || strings.Contains(string(e), "UTF16")
	}
	child := f.dict(at(f.array(d["DescendantFonts"]), 0))
	t.width = f.number(child["DW"], 1000)
	w := f.array(child["W"])
	for i := 0; i+1 < len(w) && len(t.widths) < maxWidths; {
		first := int(f.number(w[i], 0))
		if list, ok := f.resolve(w[i+1]).(array); ok {
			for n, x := range list {
				t.widths[first+n] = f.number(x, 0)
			}
			i += 2
			continue
		}
		last := min(int(f.number(w[i+1], 0)), first+maxWidths)
		for c := first; c <= last && i+2 < len(w) && len(t.widths) < maxWidths; c++ {
			t.widths[c] = f.number(w[i+2], 0)
		}
		i += 3
	}
}

// each calls g with the codes of a string: what each means, its width in thousandths of
// the font's size, and whether it is the single byte 32.
func (t *font) each(s string, g func(text string, width float64, isSpace bool)) {
	for len(s) > 0 {
		n := 1
		if t.simple == nil {
			n = min(t.codes.length(s), len(s))
			if t.isUTF16 && len(s) >= 4 && s[0]&0xfc == 0xd8 { // the first half of a pair
				n = 4
			}
		}
		code := bigEndian([]byte(s[:n]))
		width, ok := t.widths[code]
		if !ok {
			width = t.width
		}
		g(t.text(code, s[:n]), width, n == 1 && code == ' ')
		s = s[n:]
	}
}

func (t *font) text(code int, raw string) string {
	if s, ok := t.toText.text(code); ok {
		return s
	}
	switch {
	case t.simple != nil:
		return t.simple[byte(code)]
	case t.isUTF16:
		return utf16Text(raw)
	}
	return ""
}

// cmap is a CMap: which codes have which text. Ranges stay ranges, so that a line of a
// file is never more than a line here.
type cmap struct {
	steps  *int // of the file
	single map[int]string
	ranges []codeRange
	spaces []codeRange
}

type codeRange struct {
	lo, hi, size int
	text         string // of lo; the last unit counts up
}

const maxRanges = 100_000

func (f *pdf) cmap(s *stream) *cmap {
	m := &cmap{steps: &f.steps, single: map[int]string{}}
	l := &lexer{b: f.decode(s), steps: &f.steps}
	var args []any
	for {
		switch o := l.next().(type) {
		case end:
			if o == 0 {
				return m
			}
		case operator:
			m.add(o, args)
			args = args[:0]
		default:
			if len(args) < 4*maxRanges {
				args = append(args, o)
			}
		}
	}
}

func (m *cmap) add(op operator, args []any) {
	code := func(i int) (n, size int, ok bool) {
		s, ok := args[i].(text)
		return bigEndian([]byte(s)), len(s), ok && len(s) > 0 && len(s) <= 4
	}
	switch op {
	case "endcodespacerange":
		for i := 0; i+1 < len(args) && len(m.spaces) < 100; i += 2 {
			lo, size, ok := code(i)
			hi, _, ok2 := code(i + 1)
			if ok && ok2 {
				m.spaces = append(m.spaces, codeRange{lo: lo, hi: hi, size: size})
			}
		}
	case "endbfchar":
		for i := 0; i+1 < len(args) && len(m.single) < maxRanges; i += 2 {
			n, _, ok := code(i)
			if to, isText := args[i+1].(text); ok && isText {
				m.single[n] = utf16Text(string(to[:min(len(to), 64)]))
			}
		}
	case "endbfrange":
		for i := 0; i+2 < len(args) && len(m.ranges) < maxRanges; i += 3 {
			lo, _, ok := code(i)
			hi, _, ok2 := code(i + 1)
			if !ok || !ok2 {
				continue
			}
			switch to := args[i+2].(type) {
			case text:
				m.ranges = append(m.ranges, codeRange{lo: lo, hi: hi, text: string(to[:min(len(to), 64)])})
			case array:
				for n, o := range to[:min(len(to), max(hi-lo+1, 0), maxRanges)] {
					if s, ok := o.(text); ok && len(m.single) < maxRanges {
						m.single[lo+n] = utf16Text(string(s[:min(len(s), 64)]))
					}
				}
			}
		}
	}
}

// length is how many bytes the code at the front of s has.
func (m *cmap) length(s string) int {
	if m == nil || len(m.spaces) == 0 {
		return 2
	}
	for n := 1; n <= min(4, len(s)); n++ {
		code := bigEndian([]byte(s[:n]))
		for _, r := range m.spaces {
			if r.size == n && code >= r.lo && code <= r.hi {
				return n
			}
		}
	}
	return m.spaces[0].size
}

func (m *cmap) text(code int) (string, bool) {
	if m == nil {
		return "", false
	}
	if s, ok := m.single[code]; ok {
		return s, true
	}
	*m.steps -= len(m.ranges) / 64
	for i := len(m.ranges) - 1; i >= 0 && *m.steps >= 0; i-- {
		r := &m.ranges[i]
		if code < r.lo || code > r.hi || len(r.text) < 2 {
			continue
		}
		b := []byte(r.text)
		last := bigEndian(b[len(b)-2:]) + code - r.lo
		b[len(b)-2], b[len(b)-1] = byte(last>>8), byte(last)
		return utf16Text(string(b)), true
	}
	return "", false
}
