package json

import "unicode/utf8"

// str reads a string; d.i is at its opening quote.
func (d *decoder) str() (string, error) {
	d.i++
	start := d.i
	for ; d.i < len(d.b); d.i++ {
		c := d.b[d.i]
		if c == '"' {
			s := string(d.b[start:d.i])
			d.i++
			return s, nil
		}
		if c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			return d.slowStr(start)
		}
	}
	return "", d.syntax()
}

// slowStr goes on from a byte that cannot be taken as it is.
func (d *decoder) slowStr(start int) (string, error) {
	b := append([]byte(nil), d.b[start:d.i]...)
	for d.i < len(d.b) {
		switch c := d.b[d.i]; {
		case c == '"':
			d.i++
			return string(b), nil
		case c < ' ':
			return "", d.syntax()
		case c == '\\':
			d.i++
			var ok bool
			if b, ok = d.escape(b); !ok {
				return "", d.syntax()
			}
		case c < utf8.RuneSelf:
			b = append(b, c)
			d.i++
		default:
			r, n := utf8.DecodeRune(d.b[d.i:]) // U+FFFD for what is not UTF-8
			b = utf8.AppendRune(b, r)
			d.i += n
		}
	}
	return "", d.syntax()
}

// escape appends what the escape at d.i, just after its backslash, stands for.
func (d *decoder) escape(b []byte) ([]byte, bool) {
	if d.i >= len(d.b) {
		return b, false
	}
	c := d.b[d.i]
	d.i++
	switch c {
	case '"', '\\', '/':
		return append(b, c), true
	case 'b':
		return append(b, '\b'), true
	case 'f':
		return append(b, '\f'), true
	case 'n':
		return append(b, '\n'), true
	case 'r':
		return append(b, '\r'), true
	case 't':
		return append(b, '\t'), true
	case 'u':
		r, ok := d.hex4()
		if !ok {
			return b, false
		}
		if r >= 0xd800 && r < 0xdc00 {
			r = d.lowSurrogate(r)
		}
		return utf8.AppendRune(b, r), true // a lone surrogate becomes U+FFFD
	}
	d.i--
	return b, false
}

// lowSurrogate joins high with the surrogate that must follow it. When none
// does, nothing is read and the answer is U+FFFD.
func (d *decoder) lowSurrogate(high rune) rune {
	at := d.i
	if d.accept('\\') && d.accept('u') {
		if low, ok := d.hex4(); ok && low >= 0xdc00 && low < 0xe000 {
			return (high-0xd800)<<10 | (low - 0xdc00) + 0x10000
		}
	}
	d.i = at
	return utf8.RuneError
}

func (d *decoder) hex4() (rune, bool) {
	if len(d.b)-d.i < 4 {
		return 0, false
	}
	var r rune
	for _, c := range d.b[d.i : d.i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	d.i += 4
	return r, true
}
