// Skill calc is a calculator: one tool, no capability.
//
// Numbers are decimals of at most maxDigits digits as long as they can be exact,
// and float64 from the first result on that cannot. Both are its own few lines
// (nat.go, number.go), since math/big would make the skill a quarter larger.
package main

import (
	"errors"
	"strconv"

	"github.com/nanoclaw/nanoclaw/sdk"
)

type input struct {
	Expression string `json:"expression"`
}

func init() {
	sdk.Tool("calc", func(_ sdk.Context, in input) (string, error) { return calculate(in.Expression) })
}

func main() {}

// maxLength bounds an expression, in characters.
const maxLength = 2000

// calculate evaluates s and returns the value as text.
func calculate(s string) (string, error) {
	p := newParser(s)
	if len(p.s) > maxLength {
		return "", errors.New("the expression is longer than " + strconv.Itoa(maxLength) + " characters")
	}
	v, err := p.all()
	if err != nil {
		return "", err
	}
	return v.String(), nil
}
