package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// maxDigits bounds an exact number; beyond it arithmetic goes on in float64.
const maxDigits = 1000

var (
	errZero  = errors.New("division by zero")
	errLarge = errors.New("the result is too large")
	errReal  = errors.New("the result is not a real number")
)

// num is a number: exactly ±mant/10^scale, or about f.
type num struct {
	neg   bool
	mant  nat
	scale int
	about bool
	f     float64
}

func integer(n int64) num {
	if n < 0 {
		return num{neg: true, mant: natOf(uint64(-n))}
	}
	return num{mant: natOf(uint64(n))}
}

// exact is ±mant/10^scale without trailing zeros; ok is false when it has too many digits.
func exact(neg bool, mant nat, scale int) (n num, ok bool) {
	if scale < 0 {
		if -scale > maxDigits {
			return num{}, false
		}
		mant, scale = mant.mul(pow10(-scale)), 0
	}
	if len(mant) == 0 {
		return num{}, true
	}
	zeros := min(mant.zeros(), scale)
	mant, scale = mant.shift(zeros), scale-zeros
	return num{neg: neg, mant: mant, scale: scale}, mant.digits() <= maxDigits && scale <= maxDigits
}

// fromFloat takes over the result of a function. Whole numbers become exact again.
func fromFloat(f float64) (num, error) {
	switch {
	case math.IsNaN(f):
		return num{}, errReal
	case math.IsInf(f, 0):
		return num{}, errLarge
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return integer(int64(f)), nil
	}
	return num{about: true, f: f}, nil
}

func (n num) float() float64 {
	if n.about {
		return n.f
	}
	f, _ := strconv.ParseFloat(n.String(), 64) // ±Inf when out of range, which fromFloat refuses
	return f
}

// decimal is n as an exact number, rounded to the digits it is shown with.
func (n num) decimal() num {
	if !n.about {
		return n
	}
	d, _, err := parseNumber(strconv.FormatFloat(math.Abs(n.f), 'e', 14, 64))
	if err != nil {
		return num{}
	}
	d.neg = n.f < 0
	return d
}

func (n num) String() string {
	if n.about {
		s := strconv.FormatFloat(n.f, 'g', 15, 64)
		return strings.Replace(s, "e+", "e", 1)
	}
	s := n.mant.String()
	if n.scale > 0 {
		if pad := n.scale + 1 - len(s); pad > 0 {
			s = strings.Repeat("0", pad) + s
		}
		s = s[:len(s)-n.scale] + "." + s[len(s)-n.scale:]
	}
	if n.neg {
		return "-" + s
	}
	return s
}

func (n num) isZero() bool { return !n.about && len(n.mant) == 0 }

func (n num) isInt() bool { return !n.about && n.scale == 0 }

// small returns n as an int when it is whole and of at most nine digits.
func (n num) small() (int, bool) {
	if !n.isInt() || len(n.mant) > 1 {
		return 0, false
	}
	v := 0
	if len(n.mant) == 1 {
		v = int(n.mant[0])
	}
	if n.neg {
		v = -v
	}
	return v, true
}

func (n num) negate() num {
	n.neg, n.f = !n.neg && len(n.mant) > 0, -n.f
	return n
}

// align gives two exact numbers the same scale.
func align(a, b num) (x, y nat, scale int) {
	scale = max(a.scale, b.scale)
	return a.mant.mul(pow10(scale - a.scale)), b.mant.mul(pow10(scale - b.scale)), scale
}

func add(a, b num) (num, error) {
	if a.about || b.about {
		return fromFloat(a.float() + b.float())
	}
	x, y, scale := align(a, b)
	neg, sum := a.neg, nat(nil)
	switch {
	case a.neg == b.neg:
		sum = x.add(y)
	case x.cmp(y) >= 0:
		sum = x.sub(y)
	default:
		neg, sum = b.neg, y.sub(x)
	}
	if n, ok := exact(neg, sum, scale); ok {
		return n, nil
	}
	return fromFloat(a.float() + b.float())
}

func mul(a, b num) (num, error) {
	if !a.about && !b.about {
		if n, ok := exact(a.neg != b.neg, a.mant.mul(b.mant), a.scale+b.scale); ok {
			return n, nil
		}
	}
	return fromFloat(a.float() * b.float())
}

// quotientDigits is how many digits after the point a quotient may need to be exact.
const quotientDigits = 40

func div(a, b num) (num, error) {
	if b.isZero() {
		return num{}, errZero
	}
	if !a.about && !b.about {
		q, r := a.mant.mul(pow10(quotientDigits + b.scale)).div(b.mant)
		if len(r) == 0 {
			if n, ok := exact(a.neg != b.neg, q, a.scale+quotientDigits); ok {
				return n, nil
			}
		}
		if q.digits() > 16 { // more digits than a float64 holds, also when a or b is beyond its range
			return fromFloat(num{neg: a.neg != b.neg, mant: q, scale: a.scale + quotientDigits}.float())
		}
	}
	return fromFloat(a.float() / b.float())
}

// mod is the remainder with the sign of b.
func mod(a, b num) (num, error) {
	if b.isZero() {
		return num{}, errZero
	}
	a, b = a.decimal(), b.decimal()
	if b.isZero() {
		return num{}, errZero
	}
	x, y, scale := align(a, b)
	_, r := x.div(y)
	if len(r) > 0 && a.neg != b.neg {
		r = y.sub(r)
	}
	n, ok := exact(b.neg, r, scale)
	if !ok {
		return n, errLarge
	}
	return n, nil
}

func pow(a, b num) (num, error) {
	n, whole := b.small()
	if !whole || a.about {
		return fromFloat(math.Pow(a.float(), b.float()))
	}
	if n < 0 {
		p, err := pow(a, integer(int64(-n)))
		if err != nil {
			return p, err
		}
		return div(integer(1), p)
	}
	// The power of a number of d digits has more than (d-1)*n digits.
	isOne := a.scale == 0 && a.mant.cmp(nat{1}) == 0
	switch {
	case isOne:
		a.neg = a.neg && n%2 == 1
		return a, nil
	case len(a.mant) == 0 && n > 0:
		return a, nil
	case (a.mant.digits()-1)*n > maxDigits || a.scale*n > maxDigits || n > 4*maxDigits:
		return fromFloat(math.Pow(a.float(), float64(n)))
	}
	result, square := integer(1), a
	var err error
	for ; n > 0; n /= 2 {
		if n%2 == 1 {
			if result, err = mul(result, square); err != nil {
				return result, err
			}
		}
		if n > 1 {
			if square, err = mul(square, square); err != nil {
				return square, err
			}
		}
	}
	return result, nil
}

func factorial(a num) (num, error) {
	n, ok := a.small()
	if !ok || n < 0 {
		return num{}, errors.New("the factorial is of whole numbers from 0 on")
	}
	if n > 450 { // 450! has 1,001 digits
		return num{}, errLarge
	}
	p := nat{1}
	for i := 2; i <= n; i++ {
		p = p.mul(nat{uint32(i)})
	}
	return num{mant: p}, nil
}

// round cuts a to digits after the point; mode is "floor", "ceil", "trunc" or "round".
func round(a num, digits int, mode string) (num, error) {
	a = a.decimal()
	if a.scale <= digits {
		return a, nil
	}
	if digits < -maxDigits {
		return integer(0), nil
	}
	unit := pow10(a.scale - digits)
	q, r := a.mant.div(unit)
	up := false
	switch mode {
	case "floor":
		up = a.neg && len(r) > 0
	case "ceil":
		up = !a.neg && len(r) > 0
	case "round":
		up = r.add(r).cmp(unit) >= 0
	}
	if up {
		q = q.add(nat{1})
	}
	n, ok := exact(a.neg, q, digits)
	if !ok {
		return n, errLarge
	}
	return n, nil
}

// less orders exactly where both are exact.
func less(a, b num) bool {
	if a.about || b.about {
		return a.float() < b.float()
	}
	d, err := add(a, b.negate())
	return err == nil && (d.neg || d.about && d.f < 0)
}

// parseNumber reads the number that s begins with and returns how many bytes it took.
func parseNumber(s string) (n num, length int, err error) {
	digits, scale, i := "", 0, 0
	for point := false; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			digits += s[i : i+1]
			if point {
				scale++
			}
			continue
		case c == '.' && !point:
			point = true
			continue
		case c == '_':
			continue
		}
		break
	}
	if digits == "" {
		return n, i, errors.New("a point without digits")
	}
	if exp, length := exponent(s[i:]); length > 0 {
		scale -= exp
		i += length
	}
	n, ok := exact(false, parseNat(digits), scale)
	if !ok {
		return n, i, errors.New("a number of more than " + strconv.Itoa(maxDigits) + " digits")
	}
	return n, i, nil
}

// exponent reads e12, E+3 and the like; what is no exponent has length 0.
func exponent(s string) (exp, length int) {
	if len(s) < 2 || s[0] != 'e' && s[0] != 'E' {
		return 0, 0
	}
	i := 1
	if s[i] == '+' || s[i] == '-' {
		i++
	}
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == start || i-start > 6 {
		return 0, 0
	}
	exp, _ = strconv.Atoi(s[start:i]) // at most six digits
	if s[1] == '-' {
		exp = -exp
	}
	return exp, i
}
