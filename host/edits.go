package host

// maxEdited is how much of a word is compared: what a user meant is shorter.
const maxEdited = 64

// Edits is how many bytes must be put in, taken out or changed to make b of a. It finds
// the known word that an unknown one was meant to be.
func Edits(a, b string) int {
	a, b = a[:min(len(a), maxEdited)], b[:min(len(b), maxEdited)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			edit := diagonal
			if a[i] != b[j] {
				edit++
			}
			diagonal = row[j+1]
			row[j+1] = min(edit, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
