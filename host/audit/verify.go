package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Report is what Verify found.
type Report struct {
	Rows       int64  `json:"rows"`
	Files      int    `json:"files"`
	First      int64  `json:"first"`      // number of the first row; more than 1 after Renew
	Chained    int64  `json:"chained"`    // number of the first row that is chained
	Cut        int    `json:"cut"`        // lines that crashes cut; the rows after them vouch for them
	Unfinished int    `json:"unfinished"` // bytes of a last line that is cut, or being written
	Head       Head   `json:"head"`
	Anchor     Head   `json:"anchor"` // as the database has it; what comes after it could be cut unseen
	Bad        *Wrong `json:"bad,omitempty"`
}

// Wrong is the first bad record of a log.
type Wrong struct {
	Place string `json:"place"` // file and line
	Seq   int64  `json:"seq"`   // its number, or the one that a row here must have
	What  string `json:"what"`
}

func (w *Wrong) Error() string { return fmt.Sprintf("%s: row %d %s", w.Place, w.Seq, w.What) }

// verifier is Verify on its way.
type verifier struct {
	Report
	covered hash.Hash // all bytes since the last row began
	at, row Place     // of this line, of the last row
	cut     *Wrong    // the first line after the last row that is none
	cuts    int       // how many there are
	edited  [2]*Wrong // one of the last two rows was: they do not fit
}

// Verify reads all of the log in dir. The anchor must have been read before: the log grows.
func Verify(dir string, anchor Head) (Report, error) {
	v := verifier{Report: Report{Anchor: anchor}, covered: sha256.New()}
	if _, err := Read(dir, Place{}, v.line); err != nil && v.Bad == nil {
		return v.Report, fmt.Errorf("audit: %w", err)
	}
	switch {
	case v.Bad != nil:
	case v.edited[0] != nil:
		v.Bad = v.edited[0]
	case v.cuts > 1 || v.cuts == 1 && v.Unfinished == 0:
		v.Bad = v.cut
	case v.Head.Seq < anchor.Seq:
		v.at.Line++
		v.Bad = wrong(v.at, v.Head.Seq+1, "is missing: the database remembers row %d, so the end was cut off", anchor.Seq)
	}
	return v.Report, nil
}

func wrong(at Place, seq int64, format string, args ...any) *Wrong {
	return &Wrong{at.String(), seq, fmt.Sprintf(format, args...)}
}

func (v *verifier) line(at Place, b []byte) error {
	if at.File != v.at.File {
		v.Files++
	}
	b, whole := bytes.CutSuffix(b, []byte{'\n'})
	v.at, v.Unfinished = at, 0
	row, ok := parse(b)
	switch {
	case v.edited[0] != nil && ok && row.Prev == v.Head.Hash:
		v.Bad = v.edited[0]
	case v.edited[0] != nil:
		v.Bad = v.edited[1]
	case ok:
		v.check(row, sum(b))
		v.covered.Reset()
	default:
		if v.cuts++; v.cuts == 1 {
			v.cut = wrong(at, v.Head.Seq+1, "is not a row")
		}
		if !whole {
			v.Unfinished = len(b)
		}
		if v.Rows > 0 || v.cuts > 1 {
			v.covered.Write([]byte{'\n'})
		}
	}
	v.covered.Write(b)
	if v.Bad != nil {
		return v.Bad
	}
	return nil
}

// check compares a row with what came before it.
func (v *verifier) check(row Row, hash string) {
	want := hex.EncodeToString(v.covered.Sum(nil))
	if v.Rows == 0 && v.cuts == 0 {
		want = genesis
	}
	// What the row of Renew is chained to is aside. It was anchored with it: else anyone could begin anew.
	renewed := v.Rows == 0 && row.Verdict == verdictNew && row.Seq <= v.Anchor.Seq
	unchained := row.Prev == "" && v.Chained == 0
	fits := row.Prev == want || unchained || renewed
	switch {
	case v.cuts > 0 && !fits:
		v.Bad = v.cut
	case row.Seq != v.Head.Seq+1 && !renewed:
		v.Bad = wrong(v.at, row.Seq, "comes after row %d: rows were deleted, inserted or moved", v.Head.Seq)
	case row.Seq == v.Anchor.Seq && hash != v.Anchor.Hash:
		v.Bad = wrong(v.at, row.Seq, "was edited: the database remembers another hash of it")
	case !fits && v.Rows == 0:
		v.Bad = wrong(v.at, row.Seq, "was edited: it is the first, and is chained to another")
	case !fits && row.Seq == v.Anchor.Seq:
		v.Bad = wrong(v.row, v.Head.Seq, "was edited: row %d is chained to another", row.Seq)
	case !fits: // the row after them, if there is one, says which
		v.edited = [2]*Wrong{
			wrong(v.row, v.Head.Seq, "was edited: row %d is chained to another", row.Seq),
			wrong(v.at, row.Seq, "was edited: it is not chained to row %d", v.Head.Seq),
		}
	}
	if v.Rows++; v.Rows == 1 {
		v.First = row.Seq
	}
	if v.Chained == 0 && !unchained {
		v.Chained = row.Seq
	}
	v.Cut, v.cuts, v.Head, v.row = v.Cut+v.cuts, 0, Head{row.Seq, hash}, v.at
}
