package main

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

func TestCalc(t *testing.T) {
	for in, want := range map[string]string{
		"6*7": "42", " 1 + 2 * 3 ": "7", "(1+2)*3": "9", "2^10": "1024", "2**3**2": "512", "-2^2": "-4", "2^-2": "0.25",
		"10/4": "2.5", "1/3": "0.333333333333333", "1/3*3": "1", "2/3": "0.666666666666667", "7 % 3": "1", "-7 % 3": "2",
		"7.5 mod 2": "1.5", "0.1+0.2": "0.3", "19.99*3": "59.97", "1.1^2": "1.21", "5!": "120", "3!!": "720",
		"2^100": "1267650600228229401496703205376", "10^30 - 1": "999999999999999999999999999999",
		"100000000000000000000/10": "10000000000000000000", "sqrt(144)": "12", "sqrt 2": "1.4142135623731", "√16": "4",
		"abs(-3.5)": "3.5", "sin(pi)": "0", "cos(0)": "1", "sin(pi/6)": "0.5", "ln(e)": "1", "log(1000)": "3", "log(8, 2)": "3",
		"log2(1024)": "10", "exp(0)": "1", "round(2.5)": "3", "round(-2.5)": "-3", "round(3.14159, 2)": "3.14",
		"round(1234, -2)": "1200", "round(pi, 4)": "3.1416", "floor(-1.5)": "-2", "ceil(1.2)": "2", "trunc(-1.9)": "-1",
		"max(1, 2.5, 2)": "2.5", "min(3,200)": "3", "15% of 80": "12", "20%": "0.2", "50% * 3": "1.5", "200 - 10%": "199.9",
		"6 times 7": "42", "12 divided by 4": "3", "3 x 4": "12", "6×7": "42", "8÷2": "4", "5−3": "2", "3²": "9",
		"1,234,567 + 1": "1234568", "1,000.5*2": "2001", "1_000": "1000", "2(3+4)": "14", "2pi": "6.28318530717959",
		"= 6*7 =": "42", "6*7?": "42", "1e3": "1000", "1.5e-3": "0.0015", "2e": "5.43656365691809", ".5+.5": "1", "--3": "3",
		"1e400/1e399": "10", "0^0": "1", "(-8)^3": "-512", "(-1)^1000000001": "-1", "1^99999999": "1", "9^0.5": "3",
		"2^0.5": "1.4142135623731", "1e20*1.5": "150000000000000000000", "0.5^20": "0.00000095367431640625",
		"2^5000": "the result is too large", "7e22/3": "2.33333333333333e22", "10^999/3^1900": "2.94860116398202e92", "1/3e-20": "3.33333333333333e19",
		"9^9^9^9": "the result is too large", "9^387420489": "the result is too large", "451!": "the result is too large",
		"1/0": "division by zero", "1 % 0": "division by zero", "0^-1": "division by zero", "1/(2-2)": "division by zero",
		"sqrt(-1)": "the result is not a real number", "ln(0)": "the logarithm is of numbers above 0",
		"": "there is no expression", "1 +": "at character 4: the expression ends too early", "(1+2": "at character 5: a \")\" is missing",
		"1 2": "at character 3: unexpected \"2\"", "2 * apples": "at character 5: unknown word \"apples\"",
		"é+1": "at character 1: unexpected \"é\"", "1..2": "at character 3: ", "round(1,2,3)": "too many arguments",
		"(-1)!": "the factorial is of whole numbers from 0 on", "1)": "at character 2: unexpected \")\"",
		"sqrt()": "at character 6: unexpected \")\"", "the capital of France": "at character 1: unknown word \"the\"",
	} {
		r := sdktest.Call(t, "calc", input{in})
		got := r.Text()
		if wantError := strings.Contains(want, " "); r.IsError != wantError || wantError && !strings.Contains(got, want) ||
			!wantError && got != want {
			t.Errorf("%s: got %q (error %v), want %q", in, got, r.IsError, want)
		}
	}
}

func TestHostileExpressionsEnd(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("(", 1900), strings.Repeat("-", 1900) + "1", strings.Repeat("2^", 900) + "2", strings.Repeat("9*", 900) + "9",
		"450!^450!", strings.Repeat("450!*", 300) + "1", "1/" + strings.Repeat("3/", 900) + "7", "10^999/3^1900", "1e999999",
		strings.Repeat("9", 3000), strings.Repeat("sqrt ", 300) + "2", "0.1^1000*0.1^1000", "(10^900+1)%(10^899+7)",
		strings.Repeat("0.0000001*", 190) + "1", "round(1, 999999999)", "round(1.5, -999999999)", "1e-999", "0^999999999", strings.Repeat("450!/7/", 270) + "1", strings.Repeat("0.1^900%", 240) + "3",
	} {
		start := time.Now()
		r := sdktest.Call(t, "calc", input{in})
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%.30s took %v", in, d)
		}
		if len(r.Text()) > 2*maxDigits+10 {
			t.Errorf("%.30s: %d characters", in, len(r.Text()))
		}
	}
}

// FuzzNat compares with math/big.
func FuzzNat(f *testing.F) {
	f.Add("123456789012345678901234567890", "987654321")
	f.Add("1000000000", "999999999")
	f.Add("0", "1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !isDigits(a) || !isDigits(b) || len(a) > 300 || len(b) > 300 || a == "" || b == "" {
			return
		}
		x, _ := new(big.Int).SetString(a, 10)
		y, _ := new(big.Int).SetString(b, 10)
		m, n := parseNat(a), parseNat(b)
		check := func(op string, got nat, want *big.Int) {
			if got.String() != want.String() {
				t.Errorf("%s %s %s = %s, want %s", a, op, b, got, want)
			}
		}
		check("+", m.add(n), new(big.Int).Add(x, y))
		check("*", m.mul(n), new(big.Int).Mul(x, y))
		if x.Cmp(y) >= 0 {
			check("-", m.sub(n), new(big.Int).Sub(x, y))
		}
		if (m.cmp(n) < 0) != (x.Cmp(y) < 0) || (m.cmp(n) == 0) != (x.Cmp(y) == 0) {
			t.Errorf("cmp %s %s", a, b)
		}
		if y.Sign() > 0 {
			q, r := m.div(n)
			wantQ, wantR := new(big.Int).QuoRem(x, y, new(big.Int))
			check("/", q, wantQ)
			check("rem", r, wantR)
		}
		if x.Sign() > 0 {
			check("shift", m.shift(m.zeros()), trimZeros(x))
		}
		if x.Sign() > 0 && m.digits() != len(x.String()) {
			t.Errorf("digits of %s: %d", a, m.digits())
		}
	})
}

func trimZeros(x *big.Int) *big.Int {
	out, _ := new(big.Int).SetString(strings.TrimRight(x.String(), "0"), 10)
	return out
}

// FuzzCalculate looks for expressions that do not end or crash.
func FuzzCalculate(f *testing.F) {
	for _, s := range []string{"1+2*3", "sqrt(2)^-1.5!", "15% of 1,000", "max(1,2;3)", "2e-5 divided by .3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		watchdog := time.AfterFunc(10*time.Second, func() { panic("does not end: " + s) })
		defer watchdog.Stop()
		out, err := calculate(s)
		if (out == "") == (err == nil) {
			t.Errorf("%q: %q, %v", s, out, err)
		}
	})
}
