package model

import "slices"

// Costs, as parts of an example whose words weigh 1 together.
const (
	threshold    = 0.45
	costLeading  = 0.03 // a word before the phrase
	costTrailing = 0.1  // a word after it
	costInside   = 0.08 // a word in it that the example has not
)

// alignment is an example laid over a message.
type alignment struct {
	score float64
	words int            // of the example that were found
	spans map[int][2]int // tokens of each argument, by element
}

// align looks for each word of the example after the one before it. An argument is what lies
// between two words, or after the last: one token or more. ok is false when it does not fit.
func align(es []element, tokens []token) (a alignment, ok bool) {
	a.spans = make(map[int][2]int)
	at, open := 0, -1 // the first token not used; the argument that begins there
	for i, e := range es {
		from := at
		if open >= 0 {
			from++
		}
		if from > len(tokens) {
			return a, false
		}
		if e.prop != "" {
			if open >= 0 { // two arguments side by side: the first is one token
				a.spans[open], at = [2]int{at, from}, from
			}
			open = i
			continue
		}
		n := slices.IndexFunc(tokens[from:], func(t token) bool { return t.text == e.word })
		switch {
		case n < 0 && i+1 < len(es) && es[i+1].prop != "":
			return a, false // the word before an argument tells where it begins
		case n < 0:
			continue
		case open >= 0:
			a.spans[open], open = [2]int{at, from + n}, -1
		case a.words == 0:
			a.score -= float64(n) * costLeading
		default:
			a.score -= float64(n) * costInside
		}
		a.score, a.words, at = a.score+e.weight, a.words+1, from+n+1
	}
	if open < 0 {
		a.score -= float64(len(tokens)-at) * costTrailing
	} else if a.spans[open] = [2]int{at, len(tokens)}; at >= len(tokens) {
		return a, false
	}
	return a, a.words > 0 && a.score >= threshold
}
