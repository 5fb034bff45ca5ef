package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of parentheses, signs and powers.
const maxDepth = 200

// parser evaluates while it reads:
//
//	sum     = product { ("+" | "-") product }
//	product = signed { ("*" | "/" | "%" | "of" | nothing) signed }
//	signed  = { "+" | "-" } power
//	power   = postfix [ "^" signed ]
//	postfix = value { "!" | "%" }
//	value   = number | constant | function "(" sum { "," sum } ")" | "(" sum ")"
type parser struct {
	s     string
	i     int
	depth int
	calls int // function calls around i: there a comma divides arguments
}

// spellings are other ways to write operators, each followed by what it means.
// A strings.Replacer would do it at once and with 25 KB more code.
var spellings = [...]string{
	"**", "^", "×", "*", "·", "*", "÷", "/", "−", "-", "–", "-", "√", "sqrt ", "π", "pi ",
	"²", "^2", "³", "^3", "\u00a0", " ",
}

func newParser(s string) *parser {
	if len(s) > 4*maxLength {
		return &parser{s: s} // refused by its length
	}
	for i := 0; i < len(spellings); i += 2 {
		s = strings.ReplaceAll(s, spellings[i], spellings[i+1])
	}
	s = strings.TrimLeft(s, " \t\r\n=")
	return &parser{s: strings.TrimRight(s, " \t\r\n=?.")}
}

func (p *parser) fail(at int, why string) error {
	return errors.New("at character " + strconv.Itoa(utf8.RuneCountInString(p.s[:at])+1) + ": " + why)
}

// all reads the whole expression.
func (p *parser) all() (num, error) {
	if p.s == "" {
		return num{}, errors.New("there is no expression")
	}
	v, err := p.sum()
	if err == nil && p.peek() != 0 {
		err = p.unexpected()
	}
	return v, err
}

func (p *parser) unexpected() error {
	if p.peek() == 0 {
		return p.fail(len(p.s), "the expression ends too early")
	}
	if w := p.word(); w != "" {
		return p.fail(p.i, "unknown word \""+w+"\"")
	}
	r, _ := utf8.DecodeRuneInString(p.s[p.i:])
	return p.fail(p.i, "unexpected \""+string(r)+"\"")
}

// peek passes over white space and returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	for ; p.i < len(p.s); p.i++ {
		if c := p.s[p.i]; c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
	}
	return 0
}

func (p *parser) take(c byte) bool {
	if p.peek() == c {
		p.i++
		return true
	}
	return false
}

// word returns the letters, and digits after letters, that begin at p.i.
func (p *parser) word() string {
	p.peek()
	end := p.i
	for ; end < len(p.s); end++ {
		c := p.s[end] | 0x20
		if (c < 'a' || c > 'z') && (end == p.i || p.s[end] < '0' || p.s[end] > '9') {
			break
		}
	}
	return strings.ToLower(p.s[p.i:end])
}

// wordOperators are operators written out.
var wordOperators = map[string]byte{
	"plus": '+', "minus": '-', "times": '*', "x": '*', "of": '*', "multiplied": '*',
	"over": '/', "divided": '/', "mod": '%',
}

// operator returns the operator that comes next, 0 if there is none, and its length.
func (p *parser) operator() (op byte, length int) {
	c := p.peek()
	if strings.IndexByte("+-*/%^", c) >= 0 && c != 0 {
		return c, 1
	}
	w := p.word()
	op = wordOperators[w]
	if op == 0 {
		return 0, 0
	}
	length = len(w)
	if w == "multiplied" || w == "divided" {
		rest := strings.TrimLeft(p.s[p.i+length:], " ")
		if !strings.HasPrefix(strings.ToLower(rest), "by ") {
			return 0, 0
		}
		length = len(p.s) - p.i - len(rest) + len("by")
	}
	return op, length
}

func (p *parser) sum() (num, error) {
	if p.depth++; p.depth > maxDepth {
		return num{}, p.fail(p.i, "nested too deep")
	}
	defer func() { p.depth-- }()
	v, err := p.product()
	for err == nil {
		op, length := p.operator()
		if op != '+' && op != '-' {
			return v, nil
		}
		p.i += length
		var w num
		if w, err = p.product(); err != nil {
			break
		}
		if op == '-' {
			w = w.negate()
		}
		v, err = add(v, w)
	}
	return v, err
}

func (p *parser) product() (num, error) {
	v, err := p.signed()
	for err == nil {
		op, length := p.operator()
		if op == 0 && (p.peek() == '(' || p.isName()) {
			op = '*' // 2(3+4), 2 pi
		} else if op != '*' && op != '/' && op != '%' {
			return v, nil
		}
		at := p.i
		p.i += length
		var w num
		if w, err = p.signed(); err != nil {
			break
		}
		switch op {
		case '*':
			v, err = mul(v, w)
		case '/':
			v, err = div(v, w)
		case '%':
			v, err = mod(v, w)
		}
		if err != nil {
			err = p.fail(at, err.Error())
		}
	}
	return v, err
}

func (p *parser) signed() (num, error) {
	if p.depth++; p.depth > maxDepth {
		return num{}, p.fail(p.i, "nested too deep")
	}
	defer func() { p.depth-- }()
	if p.take('-') {
		v, err := p.signed()
		return v.negate(), err
	}
	if p.take('+') {
		return p.signed()
	}
	v, err := p.postfix()
	at := p.i
	if err != nil || !p.take('^') {
		return v, err
	}
	w, err := p.signed()
	if err != nil {
		return v, err
	}
	if v, err = pow(v, w); err != nil {
		err = p.fail(at, err.Error())
	}
	return v, err
}

func (p *parser) postfix() (num, error) {
	v, err := p.value()
	for err == nil {
		at := p.i
		switch {
		case p.take('!'):
			v, err = factorial(v)
		case p.isPercent():
			p.i++
			v, err = div(v, integer(100))
		default:
			return v, nil
		}
		if err != nil {
			err = p.fail(at, err.Error())
		}
	}
	return v, err
}

// isPercent reports whether a % comes that has no right operand.
func (p *parser) isPercent() bool {
	if p.peek() != '%' {
		return false
	}
	next := &parser{s: p.s, i: p.i + 1}
	c := next.peek()
	return c != '(' && c != '.' && (c < '0' || c > '9') && !next.isName()
}

// isName reports whether a constant or a function comes.
func (p *parser) isName() bool {
	w := p.word()
	_, isConstant := constants[w]
	_, isFunction := functions[w]
	return isConstant || isFunction || isRounding(w)
}

func (p *parser) value() (num, error) {
	c := p.peek()
	switch {
	case c == '(':
		p.i++
		outer := p.calls
		p.calls = 0
		v, err := p.sum()
		p.calls = outer
		if err == nil && !p.take(')') {
			err = p.missing(")")
		}
		return v, err
	case c >= '0' && c <= '9' || c == '.':
		return p.number()
	case p.isName():
		return p.named()
	}
	return num{}, p.unexpected()
}

func (p *parser) missing(what string) error {
	if p.peek() == 0 {
		return p.fail(len(p.s), "a \""+what+"\" is missing")
	}
	return p.unexpected()
}

func (p *parser) number() (num, error) {
	start := p.i
	s := p.s[p.i:]
	if n := groupedLength(s); n > 0 && p.calls == 0 {
		digits := strings.ReplaceAll(s[:n], ",", "")
		p.i += n
		rest := 0
		for rest < len(s)-n && (s[n+rest] == '.' || s[n+rest] >= '0' && s[n+rest] <= '9') {
			rest++
		}
		p.i += rest
		v, used, err := parseNumber(digits + s[n:n+rest])
		if err == nil && used < len(digits)+rest {
			err = errors.New("unexpected \".\"")
		}
		return p.checked(v, start, err)
	}
	v, n, err := parseNumber(s)
	p.i += n
	return p.checked(v, start, err)
}

func (p *parser) checked(v num, start int, err error) (num, error) {
	if err != nil {
		return v, p.fail(start, err.Error())
	}
	return v, nil
}

// groupedLength is the length of a number such as 1,234,567 that s begins with, 0 if none.
func groupedLength(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n == 0 || n > 3 {
		return 0
	}
	groups := 0
	for len(s) >= n+4 && s[n] == ',' && isDigits(s[n+1:n+4]) && (len(s) == n+4 || !isDigits(s[n+4:n+5])) {
		n += 4
		groups++
	}
	if groups == 0 {
		return 0
	}
	return n
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

var constants = map[string]float64{"pi": math.Pi, "e": math.E, "tau": 2 * math.Pi}

// named reads a constant or a function call. A function may do without
// parentheses before a single value: sqrt 2.
func (p *parser) named() (num, error) {
	at, w := p.i, p.word()
	p.i += len(w)
	if f, ok := constants[w]; ok {
		return num{about: true, f: f}, nil
	}
	args, err := p.args()
	if err != nil {
		return num{}, err
	}
	v, err := call(w, args)
	return p.checked(v, at, err)
}

func (p *parser) args() ([]num, error) {
	if !p.take('(') {
		v, err := p.signed()
		return []num{v}, err
	}
	p.calls++
	defer func() { p.calls-- }()
	var out []num
	for {
		v, err := p.sum()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if p.take(',') || p.take(';') {
			continue
		}
		if !p.take(')') {
			return nil, p.missing(")")
		}
		return out, nil
	}
}
