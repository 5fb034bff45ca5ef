package main

import (
	"errors"
	"math"
)

// functions of one number; those of several are in call.
var functions = map[string]func(float64) float64{
	"sqrt": math.Sqrt, "cbrt": math.Cbrt, "exp": math.Exp, "ln": math.Log, "log": math.Log10, "log10": math.Log10,
	"log2": math.Log2, "sin": settled(math.Sin), "cos": settled(math.Cos), "tan": settled(math.Tan),
	"asin": math.Asin, "acos": math.Acos, "atan": math.Atan, "abs": math.Abs, "min": nil, "max": nil,
}

// settled takes away the noise of float64 around 0 and 1, so that sin(pi) is 0.
func settled(f func(float64) float64) func(float64) float64 {
	return func(x float64) float64 {
		y := f(x)
		if math.Abs(y) > 1e6 {
			return y
		}
		return math.Round(y*1e15) / 1e15
	}
}

func isRounding(name string) bool {
	return name == "round" || name == "floor" || name == "ceil" || name == "trunc"
}

var errArguments = errors.New("too many arguments")

// call applies the function to args, of which there is at least one.
func call(name string, args []num) (num, error) {
	x := args[0]
	switch {
	case name == "min" || name == "max":
		for _, a := range args[1:] {
			if less(a, x) == (name == "min") {
				x = a
			}
		}
		return x, nil
	case isRounding(name):
		return callRound(name, args)
	case name == "log" && len(args) == 2:
		return fromFloat(logBase(x.float(), args[1].float()))
	case len(args) > 1:
		return x, errArguments
	case name == "abs":
		x.neg, x.f = false, math.Abs(x.f)
		return x, nil
	}
	f := x.float()
	if (name == "ln" || name[0] == 'l') && f <= 0 {
		return x, errors.New("the logarithm is of numbers above 0")
	}
	return fromFloat(functions[name](f))
}

func callRound(name string, args []num) (num, error) {
	digits := 0
	if len(args) > 2 {
		return num{}, errArguments
	}
	if len(args) == 2 {
		n, ok := args[1].small()
		if !ok {
			return num{}, errors.New("the number of digits is not a whole number")
		}
		digits = n
	}
	return round(args[0], digits, name)
}

// logBase is exact for whole powers, which a quotient of logarithms is not.
func logBase(x, b float64) float64 {
	y := math.Log(x) / math.Log(b)
	if r := math.Round(y); math.Pow(b, r) == x {
		return r
	}
	return y
}
