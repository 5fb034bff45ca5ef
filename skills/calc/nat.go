package main

import (
	"math"
	"strconv"
)

// nat is a natural number in base 10^9, least significant limb first, without
// leading zeros. It is small rather than fast: numbers have at most some hundred limbs.
type nat []uint32

const base = 1_000_000_000

func (a nat) norm() nat {
	for len(a) > 0 && a[len(a)-1] == 0 {
		a = a[:len(a)-1]
	}
	return a
}

func natOf(n uint64) nat {
	var a nat
	for ; n > 0; n /= base {
		a = append(a, uint32(n%base))
	}
	return a
}

// parseNat reads decimal digits and nothing else.
func parseNat(digits string) nat {
	var a nat
	for end := len(digits); end > 0; end -= 9 {
		n, _ := strconv.ParseUint(digits[max(0, end-9):end], 10, 32) // the caller saw digits only
		a = append(a, uint32(n))
	}
	return a.norm()
}

func (a nat) String() string {
	if len(a) == 0 {
		return "0"
	}
	b := strconv.AppendUint(nil, uint64(a[len(a)-1]), 10)
	for i := len(a) - 2; i >= 0; i-- {
		limb := strconv.Itoa(int(a[i]) + base) // a one before nine digits
		b = append(b, limb[1:]...)
	}
	return string(b)
}

// digits counts decimal digits; zero has none.
func (a nat) digits() int {
	if len(a) == 0 {
		return 0
	}
	return (len(a)-1)*9 + len(strconv.Itoa(int(a[len(a)-1])))
}

func (a nat) cmp(b nat) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	for i := len(a) - 1; i >= 0; i-- {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

func (a nat) add(b nat) nat {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := make(nat, 0, len(a)+1)
	carry := uint32(0)
	for i := range a {
		sum := a[i] + carry
		if i < len(b) {
			sum += b[i]
		}
		out = append(out, sum%base)
		carry = sum / base
	}
	return append(out, carry).norm()
}

// sub is a - b for a >= b.
func (a nat) sub(b nat) nat {
	out := make(nat, 0, len(a))
	borrow := int64(0)
	for i := range a {
		d := int64(a[i]) - borrow
		if i < len(b) {
			d -= int64(b[i])
		}
		borrow = 0
		if d < 0 {
			d, borrow = d+base, 1
		}
		out = append(out, uint32(d))
	}
	return out.norm()
}

func (a nat) mul(b nat) nat {
	out := make(nat, len(a)+len(b))
	for i := range a {
		carry := uint64(0)
		for j := range b {
			t := uint64(a[i])*uint64(b[j]) + uint64(out[i+j]) + carry
			out[i+j] = uint32(t % base)
			carry = t / base
		}
		out[i+len(b)] = uint32(carry)
	}
	return out.norm()
}

// div is long division: the leading limbs give each limb of the quotient to
// within one or two, and the remainder says which.
func (a nat) div(b nat) (quo, rem nat) {
	quo = make(nat, len(a))
	for i := len(a) - 1; i >= 0; i-- {
		rem = append(nat{a[i]}, rem...).norm()
		if rem.cmp(b) < 0 {
			continue
		}
		q := uint32(min(rem.lead(len(b))/b.lead(len(b)), base-1))
		part := b.mul(nat{q})
		for part.cmp(rem) > 0 {
			q, part = q-1, part.sub(b)
		}
		rem = rem.sub(part)
		for rem.cmp(b) >= 0 {
			q, rem = q+1, rem.sub(b)
		}
		quo[i] = q
	}
	return quo.norm(), rem
}

// lead is about a / base^(n-1), from its leading limbs.
func (a nat) lead(n int) float64 {
	f := 0.0
	for i := len(a) - 1; i >= max(0, len(a)-3); i-- {
		f += float64(a[i]) * math.Pow(base, float64(i-n+1))
	}
	return f
}

// zeros counts the zeros at the end of a, which is not 0.
func (a nat) zeros() int {
	n := 0
	for a[n/9] == 0 {
		n += 9
	}
	for limb := a[n/9]; limb%10 == 0; limb /= 10 {
		n++
	}
	return n
}

// shift is a / 10^n, rounded down.
func (a nat) shift(n int) nat {
	a = a[min(n/9, len(a)):]
	unit := uint64(pow10(n % 9)[0])
	out, rest := make(nat, len(a)), uint64(0)
	for i := len(a) - 1; i >= 0; i-- {
		rest = rest*base + uint64(a[i])
		out[i] = uint32(rest / unit)
		rest %= unit
	}
	return out.norm()
}

// pow10 is 10^n.
func pow10(n int) nat {
	a := make(nat, n/9, n/9+1)
	top := uint32(1)
	for range n % 9 {
		top *= 10
	}
	return append(a, top)
}
