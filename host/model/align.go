package model

// alignment is the best way to lay an example over a message.
type alignment struct {
	score float64
	words int            // of the example that were found
	spans map[int][2]int // tokens of each argument, by element
}

// cell is the best way to have used up some elements and tokens; back says by which step.
type cell struct {
	score float64
	back  step
}

type step byte

const (
	none    step = iota
	skip         // a token that the example has not
	found        // a word
	lacking      // a word that the message has not
	begin        // the first token of an argument
	more         // another one
	finish       // the argument is complete
)

// align is the usual alignment of two sequences, but an argument takes one token or more. In
// done[i][j] i elements and j tokens are used; in open[i][j] element i is an argument that
// ends, so far, with token j.
func align(es []element, tokens []token) alignment {
	n, m := len(es), len(tokens)
	done, open := table(n+1, m+1), table(n+1, m+1)
	done[0][0].score = 0
	for i := range n + 1 {
		for j := range m + 1 {
			if i < n && open[i][j].back != none {
				better(&done[i+1][j], open[i][j].score, finish)
				if j < m {
					better(&open[i][j+1], open[i][j].score-costLonger, more)
				}
			}
			at := done[i][j].score
			if j < m {
				better(&done[i][j+1], at-strange(i, n), skip)
			}
			switch {
			case i == n:
			case es[i].prop != "" && j < m:
				better(&open[i][j+1], at, begin)
			case es[i].prop == "":
				if i+1 == n || es[i+1].prop == "" { // the word before an argument tells where it begins
					better(&done[i+1][j], at-missing*es[i].weight, lacking)
				}
				if j < m && es[i].word == tokens[j].text {
					better(&done[i+1][j+1], at+es[i].weight, found)
				}
			}
		}
	}
	return trace(done, open, n, m)
}

// strange is the cost of a token that is not in the example, after i of its n elements.
func strange(i, n int) float64 {
	switch i {
	case 0:
		return costLeading
	case n:
		return costTrailing
	}
	return costInside
}

const impossible = -1e9

func table(rows, columns int) [][]cell {
	cells := make([]cell, rows*columns)
	for i := range cells {
		cells[i].score = impossible
	}
	out := make([][]cell, rows)
	for i := range out {
		out[i] = cells[i*columns : (i+1)*columns]
	}
	return out
}

func better(c *cell, score float64, by step) {
	if score > c.score {
		c.score, c.back = score, by
	}
}

// trace walks back from the end. A walk inside an argument is one in open.
func trace(done, open [][]cell, n, m int) alignment {
	a := alignment{score: done[n][m].score, spans: make(map[int][2]int)}
	if a.score < threshold {
		return a
	}
	for i, j, inside := n, m, 0; i > 0 || j > 0; {
		by := done[i][j].back
		if inside > 0 {
			by = open[i][j].back
		}
		switch by {
		case skip:
			j--
		case found:
			i, j = i-1, j-1
			a.words++
		case lacking:
			i--
		case finish:
			i--
			inside = j
		case more:
			j--
		case begin:
			j--
			a.spans[i] = [2]int{j, inside}
			inside = 0
		default: // not reached: every cell that was used has a step
			return alignment{}
		}
	}
	return a
}
