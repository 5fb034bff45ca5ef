package main

import "bytes"

// rebuild finds objects by their "N G obj", the last of a number being the newest, and
// the trailer by its keys.
func (f *pdf) rebuild() {
	var packs []int
	for i := 0; !f.spent(); {
		n := bytes.Index(f.b[i:], []byte("obj"))
		if n < 0 {
			break
		}
		i += n + len("obj")
		at, number := before(f.b, i-len("obj"))
		if number > 0 && number <= maxNumber && len(f.xref) < maxObjects {
			f.xref[number] = entry{at: at}
			if d := peekDict(f, at); d["Type"] == name("ObjStm") {
				packs = append(packs, number)
			} else if d["Type"] == name("XRef") || d["Type"] == name("Catalog") && f.trailer["Root"] == nil {
				f.adopt(d, number)
			}
		}
	}
	for _, n := range packs {
		p := f.unpack(n)
		f.packs[n] = p
		for i, number := range p.numbers {
			f.know(number, entry{at: i, in: n})
			if f.trailer["Root"] == nil && f.dict(ref(number))["Type"] == name("Catalog") {
				f.trailer["Root"] = ref(number)
			}
		}
	}
	for i := 0; !f.spent(); {
		n := bytes.Index(f.b[i:], []byte("trailer"))
		if n < 0 {
			return
		}
		i += n + len("trailer")
		if d, ok := f.lexer(i).next().(dict); ok {
			f.adopt(d, 0)
		}
	}
}

// adopt takes a trailer's keys over, or number as the catalog.
func (f *pdf) adopt(d dict, number int) {
	if d["Type"] == name("Catalog") {
		f.trailer["Root"] = ref(number)
		return
	}
	for _, k := range []name{"Root", "Encrypt", "Info"} {
		if d[k] != nil {
			f.trailer[k] = d[k]
		}
	}
}

// before reads the two numbers that end at i, and where the first begins.
func before(b []byte, i int) (at, number int) {
	skip := func(in func(byte) bool) bool {
		start := i
		for i > 0 && start-i < 12 && in(b[i-1]) {
			i--
		}
		return i < start
	}
	if !skip(isSpace) || !skip(isDigit) || !skip(isSpace) {
		return 0, 0
	}
	last := i
	if !skip(isDigit) {
		return 0, 0
	}
	for _, c := range b[i:last] {
		number = number*10 + int(c-'0')
	}
	return i, number
}

// peekDict reads the dictionary of the object at an offset, without its stream.
func peekDict(f *pdf, at int) dict {
	l := f.lexer(at)
	l.next()
	l.next()
	l.next()
	d, _ := l.next().(dict)
	return d
}
