package main

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"
)

// matrix is [a b c d e f] of the format.
type matrix [6]float64

var identity = matrix{1, 0, 0, 1, 0, 0}

// times is m, then n.
func (m matrix) times(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

// state is what q keeps and Q brings back.
type state struct {
	ctm                               matrix
	font                              *font
	size, char, word, scale, lead, up float64
}

const (
	maxStates = 64
	maxForms  = 8 // forms within forms
	maxArgs   = 64
)

// page turns the content of one page into text, in the order in which it is drawn, which
// is the order of reading in what programs write. Where the next piece lies decides
// whether a space, a line or an empty line comes before it.
type page struct {
	f     *pdf
	fonts map[any]*font // by reference, of all pages
	limit int           // bytes of text

	state
	kept         []state
	text, line   matrix
	out          []byte
	endX, endY   float64 // where the last piece ended
	lastSize     float64
	forms        int
	lost, placed int // glyphs without and with a meaning
}

func (p *page) run(b []byte, resources dict) {
	l := &lexer{b: b, steps: &p.f.steps}
	var args []any
	for !p.f.spent() && len(p.out) < p.limit {
		o := l.next()
		switch o := o.(type) {
		case end:
			if o == 0 {
				return
			}
		case operator:
			if o == "ID" {
				l.i += imageEnd(l.b[l.i:])
			} else {
				p.do(o, args, resources)
			}
			args = args[:0]
		default:
			if len(args) < maxArgs {
				args = append(args, o)
			}
		}
	}
}

// imageEnd is where the data of an image within the content ends.
func imageEnd(b []byte) int {
	for i := 0; ; {
		n := bytes.Index(b[i:], []byte("EI"))
		if n < 0 {
			return len(b)
		}
		i += n + 2
		if i >= 3 && isSpace(b[i-3]) && (i == len(b) || isSpace(b[i])) {
			return i
		}
	}
}

// num is an operand that is a number; 0 when there is none.
func num(args []any, i int) float64 {
	if i < len(args) {
		if f, ok := args[i].(float64); ok {
			return f
		}
	}
	return 0
}

func six(args []any) (m matrix) {
	for i := range m {
		m[i] = num(args, i)
	}
	return m
}

func (p *page) do(op operator, args []any, resources dict) {
	switch op {
	case "q":
		if len(p.kept) < maxStates {
			p.kept = append(p.kept, p.state)
		}
	case "Q":
		if n := len(p.kept); n > 0 {
			p.state, p.kept = p.kept[n-1], p.kept[:n-1]
		}
	case "cm":
		p.ctm = six(args).times(p.ctm)
	case "Do":
		p.form(args, resources)
	case "BT":
		p.text, p.line = identity, identity
	case "Tf":
		if len(args) == 2 {
			p.size = num(args, 1)
			p.setFont(args[0], resources)
		}
	case "Tc":
		p.char = num(args, 0)
	case "Tw":
		p.word = num(args, 0)
	case "Tz":
		p.scale = num(args, 0) / 100
	case "TL":
		p.lead = num(args, 0)
	case "Ts":
		p.up = num(args, 0)
	case "Tm":
		p.text, p.line = six(args), six(args)
	default:
		p.show(op, args)
	}
}

// show is the operators that move to a line or show text.
func (p *page) show(op operator, args []any) {
	last := any(nil)
	if len(args) > 0 {
		last = args[len(args)-1]
	}
	switch op {
	case "Td":
		p.move(num(args, 0), num(args, 1))
	case "TD":
		p.lead = -num(args, 1)
		p.move(num(args, 0), num(args, 1))
	case "T*":
		p.move(0, -p.lead)
	case "\"":
		p.word, p.char = num(args, 0), num(args, 1)
		fallthrough
	case "'":
		p.move(0, -p.lead)
		fallthrough
	case "Tj":
		if s, ok := last.(text); ok {
			p.string(string(s))
		}
	case "TJ":
		list, _ := last.(array)
		for _, o := range list {
			switch o := o.(type) {
			case text:
				p.string(string(o))
			case float64:
				p.advance(-o / 1000 * p.size * p.scale)
			}
		}
	}
}

func (p *page) move(x, y float64) {
	p.line = matrix{1, 0, 0, 1, x, y}.times(p.line)
	p.text = p.line
}

func (p *page) advance(x float64) { p.text = matrix{1, 0, 0, 1, x, 0}.times(p.text) }

func (p *page) setFont(o any, resources dict) {
	n, _ := o.(name)
	o = p.f.dict(resources["Font"])[n]
	key, isRef := o.(ref)
	if isRef && p.fonts[key] != nil {
		p.font = p.fonts[key]
		return
	}
	p.font = p.f.font(o)
	if isRef && len(p.fonts) < 500 {
		p.fonts[key] = p.font
	}
}

// form draws a form, which is content of its own. Pictures are passed over.
func (p *page) form(args []any, resources dict) {
	if len(args) == 0 || p.forms >= maxForms {
		return
	}
	n, _ := args[0].(name)
	s, ok := p.f.resolve(p.f.dict(resources["XObject"])[n]).(*stream)
	if !ok || p.f.resolve(s.dict["Subtype"]) != name("Form") {
		return
	}
	before, kept, text, line := p.state, len(p.kept), p.text, p.line
	if m := p.f.array(s.dict["Matrix"]); len(m) == 6 {
		p.ctm = six(m).times(p.ctm)
	}
	if own := p.f.dict(s.dict["Resources"]); own != nil {
		resources = own
	}
	p.forms++
	p.run(p.f.decode(s), resources)
	p.forms--
	p.state, p.kept, p.text, p.line = before, p.kept[:min(kept, len(p.kept))], text, line
}

// string shows the codes of s.
func (p *page) string(s string) {
	if p.font == nil || s == "" {
		return
	}
	begun := false
	p.font.each(s, func(text string, width float64, isSpace bool) {
		if text != "" && !begun {
			begun = true
			if p.gap() {
				text = p.compose(text)
			}
		}
		if text == "" && width != 0 {
			p.lost++
		}
		if p.placed++; len(p.out) < p.limit {
			p.out = append(p.out, readable(text)...)
		}
		x := width/1000*p.size + p.char
		if isSpace {
			x += p.word
		}
		p.advance(x * p.scale)
	})
	at := p.text.times(p.ctm)
	p.endX, p.endY = at[4], at[5]
}

// gap puts what separates the last piece from the one that begins here, and reports
// whether this one lies over the last.
func (p *page) gap() (over bool) {
	at := matrix{1, 0, 0, 1, 0, p.up}.times(p.text).times(p.ctm)
	dx, dy := at[4]-p.endX, at[5]-p.endY
	along, across := math.Hypot(at[0], at[1]), math.Hypot(at[2], at[3])
	size := math.Abs(p.size) * across
	if len(p.out) == 0 || along == 0 || size == 0 {
		p.lastSize = size
		return false
	}
	ux, uy := at[0]/along, at[1]/along // the direction of writing
	forward, down := dx*ux+dy*uy, math.Abs(dy*ux-dx*uy)
	body := max(size, p.lastSize)
	p.lastSize = size
	wide := 0.2
	if p.font.isApprox {
		wide = 0.3
	}
	switch last := p.out[len(p.out)-1]; {
	case down > 1.9*body:
		p.breakLine("\n\n")
	case down > 0.5*body, forward < -1.5*body:
		p.breakLine("\n")
	case forward < -0.1*size:
		return true
	case forward > wide*size && last != ' ' && last != '\n':
		p.out = append(p.out, ' ')
	}
	return false
}

func (p *page) breakLine(s string) {
	p.out = append(bytes.TrimRight(p.out, " \n"), s...)
}

// readable takes ligatures apart, and leaves out what is no character.
func readable(s string) string {
	if s == "" || len(s) == 1 && s[0] >= ' ' {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= 'ﬀ' && r <= 'ﬆ':
			b.WriteString([]string{"ff", "fi", "fl", "ffi", "ffl", "st", "st"}[r-'ﬀ'])
		case r == '\u00a0' || r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case r < ' ' || r == '\u00ad' || r == '\ufeff' || r >= 0xe000 && r <= 0xf8ff:
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// compose puts the accent that was drawn last over the letter that is drawn at the same
// place, as TeX does it.
func (p *page) compose(letter string) string {
	r, n := utf8.DecodeLastRune(p.out)
	for i, a := range []rune("´`ˆ¨˜˚ˇ") {
		if r == a && len(letter) > 0 {
			if letter[0] == 0xc4 && letter[1:] == "\xb1" { // a dotless i
				letter = "i"
			}
			if both := accented(letter[0], accents[i][1]); both != "" {
				p.out = p.out[:len(p.out)-n]
				return both + letter[1:]
			}
		}
	}
	return letter
}
