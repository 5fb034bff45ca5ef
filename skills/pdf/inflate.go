package main

// inflater undoes Deflate (RFC 1951). Package compress/flate would do it faster, but it
// brings fmt and with it os along: 0.25 MB of a module that costs four times its size.
type inflater struct {
	b    []byte
	out  []byte
	max  int
	bits uint32
	have uint
	end  bool // of the input, or what it holds is no Deflate
}

// inflate is what b holds, at most limit bytes; of damaged data as much as there is.
func inflate(b []byte, limit int) []byte {
	if len(b) >= 2 && b[0]&0x0f == 8 && (int(b[0])<<8|int(b[1]))%31 == 0 { // the header of zlib
		b = b[2:]
	}
	d := &inflater{b: b, max: limit}
	for last := false; !last && !d.end && len(d.out) < limit; {
		last = d.take(1) == 1
		switch d.take(2) {
		case 0:
			d.stored()
		case 1:
			d.block(fixedCodes())
		case 2:
			d.block(d.readCodes())
		default:
			d.end = true
		}
	}
	return d.out[:min(len(d.out), limit)]
}

// take reads n bits, at most 16.
func (d *inflater) take(n uint) int {
	for d.have < n {
		if len(d.b) == 0 {
			d.end = true
			return 0
		}
		d.bits |= uint32(d.b[0]) << d.have
		d.b = d.b[1:]
		d.have += 8
	}
	v := d.bits & (1<<n - 1)
	d.bits >>= n
	d.have -= n
	return int(v)
}

func (d *inflater) stored() {
	d.take(d.have % 8)
	n, inverse := d.take(16), d.take(16)
	if d.end || n^inverse != 0xffff {
		d.end = true
		return
	}
	for ; n > 0 && d.have > 0; n-- {
		d.out = append(d.out, byte(d.take(8)))
	}
	n = min(n, len(d.b))
	d.out, d.b = append(d.out, d.b[:n]...), d.b[n:]
}

// codes are those of a canonical Huffman code: how many there are of each length, and
// their symbols in order.
type codes struct {
	count   [16]int
	symbols []int
}

func newCodes(lengths []int) *codes {
	c := &codes{symbols: make([]int, len(lengths))}
	for _, n := range lengths {
		c.count[n]++
	}
	var at [16]int
	for n := 1; n < 15; n++ {
		at[n+1] = at[n] + c.count[n]
	}
	c.count[0] = 0
	for symbol, n := range lengths {
		if n > 0 {
			c.symbols[at[n]] = symbol
			at[n]++
		}
	}
	return c
}

// symbol reads one; -1 at the end.
func (d *inflater) symbol(c *codes) int {
	code, first, index := 0, 0, 0
	for n := 1; n < 16; n++ {
		code |= d.take(1)
		if d.end {
			return -1
		}
		if code-first < c.count[n] {
			if index += code - first; index < 0 || index >= len(c.symbols) {
				break // more codes than their lengths have room for
			}
			return c.symbols[index]
		}
		index += c.count[n]
		first = (first + c.count[n]) << 1
		code <<= 1
	}
	d.end = true
	return -1
}

func fixedCodes() (literals, distances *codes) {
	var l [288]int
	for i := range l {
		switch {
		case i < 144 || i >= 280:
			l[i] = 8
		case i < 256:
			l[i] = 9
		default:
			l[i] = 7
		}
	}
	var d [30]int
	for i := range d {
		d[i] = 5
	}
	return newCodes(l[:]), newCodes(d[:])
}

// readCodes reads the codes that a block brings along.
func (d *inflater) readCodes() (literals, distances *codes) {
	nl, nd, nc := d.take(5)+257, d.take(5)+1, d.take(4)+4
	var l [19]int
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nc] {
		l[i] = d.take(3)
	}
	c := newCodes(l[:])
	lengths := make([]int, 0, 320)
	for len(lengths) < nl+nd && !d.end {
		n, value := 1, d.symbol(c)
		switch {
		case value < 0, value == 16 && len(lengths) == 0:
			d.end = true
			return newCodes(nil), newCodes(nil)
		case value == 16:
			n, value = 3+d.take(2), lengths[len(lengths)-1]
		case value == 17:
			n, value = 3+d.take(3), 0
		case value == 18:
			n, value = 11+d.take(7), 0
		}
		for ; n > 0; n-- {
			lengths = append(lengths, value)
		}
	}
	if len(lengths) != nl+nd {
		d.end = true
		return newCodes(nil), newCodes(nil)
	}
	return newCodes(lengths[:nl]), newCodes(lengths[nl:])
}

// block copies literals, and what stood before.
func (d *inflater) block(literals, distances *codes) {
	for len(d.out) < d.max && !d.end {
		s := d.symbol(literals)
		switch {
		case s < 0 || s == 256:
			return
		case s < 256:
			d.out = append(d.out, byte(s))
			continue
		case s > 285:
			d.end = true
			return
		}
		length := 258
		if s -= 257; s < 8 {
			length = s + 3
		} else if s < 28 {
			extra := uint(s-4) / 4
			length = 3 + (4+s%4)<<extra + d.take(extra)
		}
		s = d.symbol(distances)
		if s < 0 || s > 29 {
			d.end = true
			return
		}
		distance := s + 1
		if s >= 4 {
			extra := uint(s-2) / 2
			distance = 1 + (2+s%2)<<extra + d.take(extra)
		}
		if distance > len(d.out) || d.end {
			d.end = true
			return
		}
		for range length {
			d.out = append(d.out, d.out[len(d.out)-distance])
		}
	}
}
