package main

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// Objects of a PDF are nil, bool, float64, name, text, array, dict, ref or *stream; in
// content streams also operator.
type (
	name     string
	text     string
	operator string
	array    []any
	dict     map[name]any
	ref      int // the number; generations do not matter to a reader of whole files
	stream   struct {
		dict dict
		raw  []byte
	}
)

const (
	maxDepth = 64
	maxName  = 200
)

// errMuch ends the reading of a file that asks for more work than a real one does.
var errMuch = errors.New("the PDF takes more work than this skill does: it may be made to")

// lexer reads objects.
type lexer struct {
	b     []byte
	i     int
	depth int
	steps *int // objects that may still be read, in all of the file
}

// isSpace and isDelimiter are the classes of characters of the format.
func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == 0 || c == '\f'
}

func isDelimiter(c byte) bool { return strings.IndexByte("()<>[]{}/%", c) >= 0 }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// charge counts what is read from start on as work, so that no object is read again and
// again for nothing.
func (l *lexer) charge(start int) { *l.steps -= (l.i - start) / 64 }

// space moves to the next character that is neither space nor of a comment.
func (l *lexer) space() {
	defer l.charge(l.i)
	for ; l.i < len(l.b); l.i++ {
		switch c := l.b[l.i]; {
		case c == '%':
			n := bytes.IndexAny(l.b[l.i:], "\r\n")
			if n < 0 {
				l.i = len(l.b)
				return
			}
			l.i += n
		case !isSpace(c):
			return
		}
	}
}

// end is what next returns when there is nothing more: the end, or a bracket that closes.
type end byte

// next reads one object. References need the caller's look behind two numbers, so they
// are made by array and dict alone, through collect.
func (l *lexer) next() any {
	l.space()
	if *l.steps--; l.i >= len(l.b) || *l.steps < 0 {
		return end(0)
	}
	c := l.b[l.i]
	switch {
	case c == '/':
		return l.name()
	case c == '(':
		return l.string()
	case c == '<' && l.peek(1) == '<':
		return l.dict()
	case c == '<':
		return l.hex()
	case c == '[':
		l.i++
		return array(l.collect(']'))
	case c == ']' || c == '>' || c == ')' || c == '{' || c == '}':
		l.i++
		return end(c)
	case isDigit(c) || c == '+' || c == '-' || c == '.':
		return l.number()
	}
	return l.word()
}

func (l *lexer) peek(n int) byte {
	if l.i+n < len(l.b) {
		return l.b[l.i+n]
	}
	return 0
}

// token moves behind what is neither space nor delimiter.
func (l *lexer) token() string {
	start := l.i
	defer l.charge(start)
	for l.i < len(l.b) && !isSpace(l.b[l.i]) && !isDelimiter(l.b[l.i]) {
		l.i++
	}
	return string(l.b[start:min(l.i, start+maxName)])
}

func (l *lexer) word() any {
	switch w := l.token(); w {
	case "true", "false":
		return w == "true"
	case "null":
		return nil
	default:
		return operator(w)
	}
}

func (l *lexer) number() any {
	w := l.token()
	if f, err := strconv.ParseFloat(w, 64); err == nil && f > -1e12 && f < 1e12 {
		return f
	}
	// Numbers such as 12-3 and --5 occur, and are read as far as they go.
	digits := 0
	for digits < len(w) && (isDigit(w[digits]) || w[digits] == '.' || digits == 0) {
		digits++
	}
	f, err := strconv.ParseFloat(w[:digits], 64)
	if err != nil || f < -1e12 || f > 1e12 {
		f = 0
	}
	return f
}

func (l *lexer) name() name {
	l.i++
	w := l.token()
	if !strings.Contains(w, "#") {
		return name(w)
	}
	out := make([]byte, 0, len(w))
	for i := 0; i < len(w); i++ {
		if w[i] == '#' && i+2 < len(w) && hexValue(w[i+1]) >= 0 && hexValue(w[i+2]) >= 0 {
			out = append(out, byte(hexValue(w[i+1])<<4|hexValue(w[i+2])))
			i += 2
		} else {
			out = append(out, w[i])
		}
	}
	return name(out)
}

func hexValue(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// string reads (text), with its escapes and nested brackets.
func (l *lexer) string() text {
	var out []byte
	depth := 0
	defer l.charge(l.i)
	for ; l.i < len(l.b); l.i++ {
		c := l.b[l.i]
		switch {
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				l.i++
				return text(out)
			}
		case c == '\\':
			l.i++
			out = l.escape(out)
			continue
		}
		out = append(out, c)
	}
	return text(out)
}

// escape reads what is behind a backslash and stands on its last character.
func (l *lexer) escape(out []byte) []byte {
	if l.i >= len(l.b) {
		return out
	}
	switch c := l.b[l.i]; {
	case c >= '0' && c <= '7':
		v := 0
		for n := 0; n < 3 && l.i < len(l.b) && l.b[l.i] >= '0' && l.b[l.i] <= '7'; n++ {
			v = v<<3 | int(l.b[l.i]-'0')
			l.i++
		}
		l.i--
		return append(out, byte(v))
	case c == '\r' && l.peek(1) == '\n':
		l.i++
		return out
	case c == '\n' || c == '\r':
		return out
	default:
		if i := strings.IndexByte("nrtbf", c); i >= 0 {
			c = "\n\r\t\b\f"[i]
		}
		return append(out, c)
	}
}

func (l *lexer) hex() text {
	defer l.charge(l.i)
	l.i++
	n := bytes.IndexByte(l.b[l.i:], '>')
	if n < 0 {
		n = len(l.b) - l.i
	}
	out := unhex(l.b[l.i : l.i+n])
	l.i = min(l.i+n+1, len(l.b))
	return text(out)
}

func unhex(b []byte) []byte {
	out := make([]byte, 0, len(b)/2+1)
	high := -1
	for _, c := range b {
		v := hexValue(c)
		switch {
		case v < 0:
		case high < 0:
			high = v
		default:
			out = append(out, byte(high<<4|v))
			high = -1
		}
	}
	if high >= 0 {
		out = append(out, byte(high<<4))
	}
	return out
}

// collect reads objects up to a closing bracket, and makes references of N G R.
func (l *lexer) collect(closing byte) (out []any) {
	if l.depth++; l.depth > maxDepth {
		*l.steps = -1
	}
	defer func() { l.depth-- }()
	for {
		o := l.next()
		switch o := o.(type) {
		case end:
			if o == end(closing) || o == 0 {
				return out
			}
			continue
		case operator:
			if o == "R" && len(out) >= 2 {
				if n, ok := out[len(out)-2].(float64); ok {
					out = append(out[:len(out)-2], ref(n))
				}
				continue
			}
			if o == "endobj" || o == "stream" || o == "obj" { // the bracket was forgotten
				l.i -= len(o)
				return out
			}
		}
		out = append(out, o)
	}
}

func (l *lexer) dict() dict {
	l.i += 2
	list := l.collect('>')
	if l.peek(0) == '>' {
		l.i++
	}
	d := make(dict, len(list)/2)
	for i := 0; i+1 < len(list); {
		k, ok := list[i].(name)
		if !ok {
			i++
			continue
		}
		d[k] = list[i+1]
		i += 2
	}
	return d
}
