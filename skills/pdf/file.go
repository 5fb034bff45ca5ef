package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
)

// Bounds of one file, over all that is done with it.
const (
	maxSteps    = 3_000_000  // objects and operators
	maxScan     = 64 << 20   // bytes looked through for the ends of streams
	maxInflate  = 48 << 20   // bytes that come out of streams and their filters
	maxStream   = 12 << 20   // of them in one stream
	maxObjects  = 500_000    // entries of the cross-reference
	maxSections = 500        // of the cross-reference
	maxPages    = 20_000     //
	maxNumber   = 10_000_000 // of an object
)

// entry says where an object is: at an offset, or in an object stream.
type entry struct {
	at, in int // in is the number of the object stream, 0 for none, and at then the index
}

// pdf is one file.
type pdf struct {
	b       []byte
	xref    map[int]entry
	trailer dict
	cache   map[int]any
	packs   map[int]*pack
	steps   int
	scan    int
	inflate int
	depth   int // of references that are being followed
}

// pack is an object stream, unpacked.
type pack struct {
	b       []byte
	numbers []int
	offsets []int
}

var (
	errNoPDF     = errors.New("it is no PDF")
	errBroken    = errors.New("the PDF is damaged: it has no pages that can be found")
	errEncrypted = errors.New("the PDF is encrypted: save a copy without password (qpdf --decrypt does) and read that")
)

// open finds the objects of a file. A cross-reference that is broken is made anew from
// the objects themselves.
func open(b []byte) (*pdf, error) {
	at := bytes.Index(b[:min(len(b), 1024)], []byte("%PDF-"))
	if at < 0 {
		return nil, errNoPDF
	}
	f := &pdf{b: b[at:], steps: maxSteps, scan: maxScan, inflate: maxInflate}
	f.reset()
	if !f.readXref() || f.pagesRoot() == nil {
		f.reset()
		f.rebuild()
	}
	switch {
	case f.trailer["Encrypt"] != nil:
		return nil, errEncrypted
	case f.pagesRoot() == nil && f.spent():
		return nil, errMuch
	case f.pagesRoot() == nil:
		return nil, errBroken
	}
	return f, nil
}

func (f *pdf) reset() {
	f.xref, f.trailer, f.cache, f.packs = map[int]entry{}, dict{}, map[int]any{}, map[int]*pack{}
}

func (f *pdf) spent() bool { return f.steps < 0 || f.scan < 0 || f.inflate < 0 }

func (f *pdf) pagesRoot() dict { return f.dict(f.dict(f.trailer["Root"])["Pages"]) }

func (f *pdf) lexer(at int) *lexer {
	return &lexer{b: f.b, i: min(max(at, 0), len(f.b)), steps: &f.steps}
}

// readXref follows the chain of cross-reference sections, newest first.
func (f *pdf) readXref() bool {
	tail := max(0, len(f.b)-2048)
	i := bytes.LastIndex(f.b[tail:], []byte("startxref"))
	if i < 0 {
		return false
	}
	next, _ := f.lexer(tail + i + len("startxref")).next().(float64)
	seen := map[int]bool{}
	queue := []int{int(next)}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if at <= 0 || at >= len(f.b) || seen[at] || len(seen) > maxSections {
			continue
		}
		seen[at] = true
		d, ok := f.section(at)
		if !ok {
			return false
		}
		for k, v := range d {
			if _, known := f.trailer[k]; !known {
				f.trailer[k] = v
			}
		}
		for _, k := range []name{"XRefStm", "Prev"} {
			if n, ok := d[k].(float64); ok {
				queue = append(queue, int(n))
			}
		}
	}
	return len(f.xref) > 0
}

// section reads one section and returns its trailer.
func (f *pdf) section(at int) (dict, bool) {
	l := f.lexer(at)
	first := l.next()
	if first != operator("xref") {
		_, o := f.indirect(at)
		s, ok := o.(*stream)
		return f.xrefStream(s, ok)
	}
	for {
		from, ok := l.next().(float64)
		if !ok {
			d, ok := l.next().(dict) // behind the word trailer
			return d, ok
		}
		count, ok := l.next().(float64)
		if !ok || count < 0 {
			return nil, false
		}
		for n := int(from); n < int(from)+int(count); n++ {
			at, ok := l.next().(float64)
			l.next()
			kind, isWord := l.next().(operator)
			if !ok || !isWord {
				return nil, false
			}
			if kind == "n" {
				f.know(n, entry{at: int(at)})
			}
		}
	}
}

// know notes an object unless a newer section has it.
func (f *pdf) know(n int, e entry) {
	if _, known := f.xref[n]; !known && n > 0 && n <= maxNumber && len(f.xref) < maxObjects {
		f.xref[n] = e
	}
}

func (f *pdf) xrefStream(s *stream, ok bool) (dict, bool) {
	if !ok || s.dict["Type"] != name("XRef") {
		return nil, false
	}
	var w [3]int
	widths, _ := s.dict["W"].(array)
	for i := range w {
		if i >= len(widths) {
			return nil, false
		}
		n, _ := widths[i].(float64)
		if w[i] = int(n); n < 0 || n > 8 {
			return nil, false
		}
	}
	size := w[0] + w[1] + w[2]
	if size == 0 {
		return nil, false
	}
	index, _ := s.dict["Index"].(array)
	if len(index) == 0 {
		index = array{0.0, s.dict["Size"]}
	}
	b := f.decode(s)
	for i := 0; i+1 < len(index); i += 2 {
		from, _ := index[i].(float64)
		count, _ := index[i+1].(float64)
		for n := int(from); n < int(from)+int(count) && len(b) >= size; n++ {
			kind := bigEndian(b[:w[0]])
			if w[0] == 0 {
				kind = 1
			}
			x, y := bigEndian(b[w[0]:w[0]+w[1]]), bigEndian(b[w[0]+w[1]:size])
			switch kind {
			case 1:
				f.know(n, entry{at: x})
			case 2:
				f.know(n, entry{at: y, in: x})
			}
			b = b[size:]
		}
	}
	return s.dict, true
}

func bigEndian(b []byte) (n int) {
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n & (1<<40 - 1)
}

// indirect reads "N G obj …" at an offset; N is 0 when it is not there.
func (f *pdf) indirect(at int) (n int, o any) {
	l := f.lexer(at)
	number, ok := l.next().(float64)
	_, ok2 := l.next().(float64)
	if !ok || !ok2 || l.next() != operator("obj") {
		return 0, nil
	}
	o = l.next()
	d, ok := o.(dict)
	if !ok {
		if n, isNumber := o.(float64); isNumber { // "5 0 R" alone
			_, isGen := l.next().(float64)
			if isGen && l.next() == operator("R") {
				o = ref(n)
			}
		}
		return int(number), o
	}
	if l.next() != operator("stream") {
		return int(number), d
	}
	if l.peek(0) == '\r' {
		l.i++
	}
	if l.peek(0) == '\n' {
		l.i++
	}
	return int(number), &stream{d, f.body(d, l.i)}
}

// body is the bytes of a stream that begins at start: as many as it says, if its end is
// there, else up to where its end is.
func (f *pdf) body(d dict, start int) []byte {
	if n, ok := f.resolve(d["Length"]).(float64); ok && n >= 0 && start+int(n) <= len(f.b) {
		rest := bytes.TrimLeft(f.b[start+int(n):min(start+int(n)+20, len(f.b))], "\r\n \t\x00")
		if bytes.HasPrefix(rest, []byte("endstream")) {
			return f.b[start : start+int(n)]
		}
	}
	if f.scan < 0 {
		return nil
	}
	n := bytes.Index(f.b[start:], []byte("endstream"))
	if n < 0 {
		n = len(f.b) - start
	}
	f.scan -= n
	return bytes.TrimSuffix(bytes.TrimSuffix(f.b[start:start+n], []byte("\n")), []byte("\r"))
}

// resolve follows a reference.
func (f *pdf) resolve(o any) any {
	r, ok := o.(ref)
	if !ok {
		return o
	}
	if v, ok := f.cache[int(r)]; ok {
		return v
	}
	e, ok := f.xref[int(r)]
	if !ok || f.depth > 16 || f.spent() {
		return nil
	}
	f.depth++
	defer func() { f.depth-- }()
	f.cache[int(r)] = nil // while it is read, for what refers to itself
	var v any
	if e.in > 0 {
		v = f.packed(e, int(r))
	} else if n, found := f.indirect(e.at); n == int(r) {
		v = f.resolve(found)
	}
	f.cache[int(r)] = v
	return v
}

func (f *pdf) dict(o any) dict {
	switch o := f.resolve(o).(type) {
	case dict:
		return o
	case *stream:
		return o.dict
	}
	return nil
}

func (f *pdf) array(o any) array { a, _ := f.resolve(o).(array); return a }

func (f *pdf) number(o any, or float64) float64 {
	if n, ok := f.resolve(o).(float64); ok {
		return n
	}
	return or
}

// packed reads an object out of an object stream.
func (f *pdf) packed(e entry, n int) any {
	p := f.packs[e.in]
	if p == nil {
		p = f.unpack(e.in)
		f.packs[e.in] = p
	}
	i := e.at
	if i < 0 || i >= len(p.numbers) || p.numbers[i] != n {
		if i = slices.Index(p.numbers, n); i < 0 {
			return nil
		}
	}
	l := &lexer{b: p.b, i: min(max(p.offsets[i], 0), len(p.b)), steps: &f.steps}
	return l.next()
}

func (f *pdf) unpack(n int) *pack {
	p := &pack{}
	e := f.xref[n]
	if e.in != 0 || e.at == 0 { // an object stream is in no other
		return p
	}
	_, o := f.indirect(e.at)
	s, ok := o.(*stream)
	if !ok {
		return p
	}
	p.b = f.decode(s)
	first, count := int(f.number(s.dict["First"], 0)), int(f.number(s.dict["N"], 0))
	l := &lexer{b: p.b[:min(max(first, 0), len(p.b))], steps: &f.steps}
	for range min(count, maxObjects) {
		number, ok := l.next().(float64)
		offset, ok2 := l.next().(float64)
		if !ok || !ok2 {
			break
		}
		p.numbers, p.offsets = append(p.numbers, int(number)), append(p.offsets, first+int(offset))
	}
	return p
}

// pages are the pages in order, each with what it inherits.
func (f *pdf) pages() []dict {
	var out []dict
	seen := map[ref]bool{}
	var walk func(o any, inherited any, depth int)
	walk = func(o any, inherited any, depth int) {
		if r, ok := o.(ref); ok {
			if seen[r] {
				return
			}
			seen[r] = true
		}
		d := f.dict(o)
		if d == nil || depth > maxDepth || len(out) >= maxPages || f.spent() {
			return
		}
		if d["Resources"] != nil {
			inherited = d["Resources"]
		}
		if kids := f.array(d["Kids"]); kids != nil && d["Type"] != name("Page") {
			for _, k := range kids {
				walk(k, inherited, depth+1)
			}
			return
		}
		page := dict{"Contents": d["Contents"], "Resources": inherited}
		out = append(out, page)
	}
	walk(f.dict(f.trailer["Root"])["Pages"], nil, 0)
	return out
}

// title is the document's own.
func (f *pdf) title() string {
	s, _ := f.resolve(f.dict(f.trailer["Info"])["Title"]).(text)
	return strings.Join(strings.Fields(textString(string(s))), " ")
}
