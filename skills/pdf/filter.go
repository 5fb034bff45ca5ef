package main

import "bytes"

// decode is what a stream holds, through its filters. What cannot be decoded to its end
// is as much as could be; a filter that is not known, such as a picture's, gives nothing.
func (f *pdf) decode(s *stream) []byte {
	filters := f.list(s.dict["Filter"], s.dict["F"])
	params := f.list(s.dict["DecodeParms"], s.dict["DP"])
	b := s.raw
	if f.inflate < 0 {
		return nil
	}
	for i, filter := range filters {
		if i == 8 || f.inflate < 0 {
			return nil
		}
		var p dict
		if i < len(params) {
			p = f.dict(params[i])
		}
		limit := min(maxStream, f.inflate)
		switch f.resolve(filter) {
		case name("FlateDecode"), name("Fl"):
			b = f.predict(inflate(b, limit), p)
		case name("LZWDecode"), name("LZW"):
			b = f.predict(unLZW(b, limit, f.number(p["EarlyChange"], 1) != 0), p)
		case name("ASCIIHexDecode"), name("AHx"):
			b = unhex(cutAt(b, ">"))
		case name("ASCII85Decode"), name("A85"):
			b = un85(b, limit)
		case name("RunLengthDecode"), name("RL"):
			b = unRun(b, limit)
		default:
			return nil
		}
		f.inflate -= len(b)
	}
	f.inflate -= len(b) + 1 // what is only read is work too
	return b
}

// list makes a list of one thing or of several.
func (f *pdf) list(o, short any) array {
	if o == nil {
		o = short
	}
	switch o := f.resolve(o).(type) {
	case nil:
		return nil
	case array:
		return o
	default:
		return array{o}
	}
}

func cutAt(b []byte, end string) []byte {
	before, _, _ := bytes.Cut(b, []byte(end))
	return before
}

// unLZW decodes variable-length codes of 9 to 12 bits.
func unLZW(b []byte, limit int, early bool) (out []byte) {
	const clear, eod = 256, 257
	type run struct{ start, length int } // of what was put out already
	var table [4096]run
	next, width, last := 258, 9, -1
	bits, have := 0, 0
	lastAt := 0
	for _, c := range b {
		bits, have = bits<<8|int(c), have+8
		if have < width {
			continue
		}
		have -= width
		code := bits >> have & (1<<width - 1)
		bits &= 1<<have - 1
		at := len(out)
		switch {
		case code == eod || at > limit:
			return out
		case code == clear:
			next, width, last = 258, 9, -1
			continue
		case code < 256:
			out = append(out, byte(code))
		case code < next:
			e := table[code]
			out = append(out, out[e.start:e.start+e.length]...)
		case code == next && last >= 0:
			out = append(append(out, out[lastAt:at]...), out[lastAt])
		default:
			return out
		}
		if last >= 0 && next < len(table) {
			table[next] = run{lastAt, at - lastAt + 1}
			next++
		}
		last, lastAt = code, at
		edge := next
		if early {
			edge++
		}
		for width < 12 && edge >= 1<<width {
			width++
		}
	}
	return out
}

func un85(b []byte, limit int) (out []byte) {
	var group [5]byte
	n := 0
	flush := func(count int) {
		v := uint32(0)
		for _, c := range group {
			v = v*85 + uint32(c)
		}
		out = append(out, []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}[:count]...)
	}
	for _, c := range cutAt(b, "~") {
		switch {
		case len(out) > limit:
			return out
		case c == 'z' && n == 0:
			out = append(out, 0, 0, 0, 0)
		case c >= '!' && c <= 'u':
			group[n] = c - '!'
			if n++; n == 5 {
				flush(4)
				n = 0
			}
		}
	}
	if n > 1 {
		for i := n; i < 5; i++ {
			group[i] = 84
		}
		flush(n - 1)
	}
	return out
}

func unRun(b []byte, limit int) (out []byte) {
	for len(b) > 1 && b[0] != 128 && len(out) < limit {
		n := int(b[0])
		if n < 128 {
			n = min(n+1, len(b)-1)
			out, b = append(out, b[1:1+n]...), b[1+n:]
		} else {
			out, b = append(out, bytes.Repeat(b[1:2], 257-n)...), b[2:]
		}
	}
	return out
}

// predict undoes the predictors of PNG, and TIFF's for bytes.
func (f *pdf) predict(b []byte, p dict) []byte {
	kind := int(f.number(p["Predictor"], 1))
	if kind < 2 {
		return b
	}
	colors, bits := f.number(p["Colors"], 1), f.number(p["BitsPerComponent"], 8)
	columns := f.number(p["Columns"], 1)
	if colors < 1 || colors > 32 || bits < 1 || bits > 16 || columns < 1 || columns > 1<<20 {
		return nil
	}
	pixel := max(int(colors*bits)/8, 1)
	row := (int(colors*bits*columns) + 7) / 8
	if kind == 2 {
		if bits == 8 {
			for at := 0; at < len(b); at++ {
				if at%row >= pixel {
					b[at] += b[at-pixel]
				}
			}
		}
		return b
	}
	out := make([]byte, 0, len(b))
	above := make([]byte, row)
	for len(b) > 1 {
		n := min(row, len(b)-1)
		line := make([]byte, row)
		copy(line, b[1:1+n])
		unfilter(b[0], line, above, pixel)
		out, above, b = append(out, line[:n]...), line, b[1+n:]
	}
	return out
}

func unfilter(kind byte, line, above []byte, pixel int) {
	for i := range line {
		var left, corner int
		if i >= pixel {
			left, corner = int(line[i-pixel]), int(above[i-pixel])
		}
		up := int(above[i])
		switch kind {
		case 1:
			line[i] += byte(left)
		case 2:
			line[i] += byte(up)
		case 3:
			line[i] += byte((left + up) / 2)
		case 4:
			line[i] += byte(paeth(left, up, corner))
		}
	}
}

func paeth(a, b, c int) int {
	p := a + b - c
	pa, pb, pc := max(p-a, a-p), max(p-b, b-p), max(p-c, c-p)
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}
