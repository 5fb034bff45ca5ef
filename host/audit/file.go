package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// FileName is the name of a log's first file in its directory.
const FileName = "audit-000001.jsonl"

// verdictNew marks the row that Renew writes.
const verdictNew = "new"

// genesis is what the first row of all is chained to.
var genesis = strings.Repeat("0", 64)

const wayOut = "see 'nanoclaw audit verify'; 'nanoclaw audit new' puts this log aside and begins another"

func fileName(n int) string { return fmt.Sprintf("audit-%06d.jsonl", n) }

// Open opens or makes the log in dir. A nil anchor is none. A log whose end is not what the
// anchor remembers is not opened: rows of it are gone.
func Open(dir string, anchor Anchor) (*Log, error) {
	l := &Log{anchor: anchor, maxFile: maxFile}
	if err := l.open(dir); err != nil {
		l.f.Close()
		l.dir.Close()
		return nil, fmt.Errorf("audit: %s: %w", dir, err)
	}
	return l, nil
}

func (l *Log) open(dir string) (err error) {
	if l.anchor != nil {
		if l.last.Seq, l.last.Hash, err = l.anchor.Head(context.Background()); err != nil {
			return err
		}
		l.anchored = l.last.Seq
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if l.dir, err = os.Open(dir); err != nil {
		return err
	}
	return l.locked(func() error { return nil })
}

// Renew puts the log in dir aside and begins another with one row that says so. Only the
// owner asks for it, when no host runs. Number and chain go on from the anchor: what is
// missing stays visible. It returns where the old log is.
func Renew(dir string, anchor Anchor, d host.Decision) (aside string, err error) {
	seq, hash, err := anchor.Head(context.Background())
	if err != nil {
		return "", err
	}
	d.Verdict = verdictNew
	line, err := json.Marshal(Row{seq + 1, cmp.Or(hash, genesis), d})
	if err != nil {
		return "", err
	}
	aside = dir + time.Now().UTC().Format("-before-20060102T150405.000")
	if err := os.Rename(dir, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, FileName), append(line, '\n'), 0o600))
	if err == nil {
		err = anchor.SetHead(context.Background(), seq+1, sum(line))
	}
	return aside, err
}

// use goes on in file n.
func (l *Log) use(n, flag int) error {
	path := filepath.Join(l.dir.Name(), fileName(n))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|flag, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", host.ErrInvalid, path)
	}
	if err = errors.Join(err, l.dir.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	if l.f != nil {
		err = l.f.Close()
	}
	l.f, l.n, l.size = f, n, -1
	return err
}

// catchUp learns what was appended since the last row that l knows. Only a full file has one after it.
func (l *Log) catchUp() error {
	if l.f != nil {
		at, err := os.Lstat(l.f.Name())
		st, e := l.f.Stat()
		switch {
		case err != nil || e != nil || !os.SameFile(at, st):
			return fmt.Errorf("%w: %s is not the file that was written: %s", host.ErrInvalid, l.f.Name(), wayOut)
		case st.Size() == l.size && l.size < l.maxFile:
			return nil
		}
	}
	old, err := l.n, error(nil)
	for err == nil {
		err = l.use(l.n+1, 0)
	}
	if errors.Is(err, fs.ErrNotExist) && l.n == 0 { // no log, or the one file of a version that had no chain
		err = os.Rename(filepath.Join(l.dir.Name(), "audit.jsonl"), filepath.Join(l.dir.Name(), FileName))
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = l.use(1, os.O_CREATE)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	st, err := l.f.Stat()
	if err != nil || l.n == old && st.Size() == l.size {
		return err
	}
	if err = l.readEnd(old == 0); err == nil {
		l.size = st.Size()
	}
	return err
}

// readEnd finds the last row. The row that l knows must be there as it was; unless l was
// just opened, it may also be further back than what is read.
func (l *Log) readEnd(opened bool) error {
	tail, err := tail(l.dir.Name(), l.n, (maxBehind+2)*maxRow) // every row after the anchor, and cut lines
	if err != nil {
		return err
	}
	last, prev, agreed := Head{}, genesis, !opened || l.last.Seq == 0
	for end := len(tail); end >= 0; {
		start := bytes.LastIndexByte(tail[:end], '\n') + 1
		if row, ok := parse(tail[start:end]); ok { // else it is a line that a crash cut: take the one before
			h := Head{row.Seq, sum(tail[start:end])}
			if last.Seq == 0 {
				last, prev = h, sum(bytes.TrimSuffix(tail[start:], []byte{'\n'}))
			}
			if h.Seq <= l.last.Seq {
				agreed = h == l.last
				break
			}
		}
		end = start - 1
	}
	switch {
	case last.Seq < l.last.Seq || !agreed:
		return fmt.Errorf("%w: row %d is gone or not what it was, so the log was cut or edited: %s",
			host.ErrInvalid, l.last.Seq, wayOut)
	case last.Seq == 0 && bytes.IndexByte(tail, '\n') >= 0:
		return fmt.Errorf("%w: the last rows cannot be read: %s", host.ErrInvalid, wayOut)
	case last.Seq == 0 && len(tail) > 0: // not even the first row came to its end
		prev = sum(tail)
	}
	l.last, l.prev, l.torn = last, prev, len(tail) > 0 && tail[len(tail)-1] != '\n'
	return nil
}

// tail reads the last bytes of the log in dir up to file n: want, or all.
func tail(dir string, n int, want int64) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, fileName(n)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, want))
	if _, err := f.ReadAt(b, size-int64(len(b))); err != nil || size >= want {
		return b, err
	}
	before, err := tail(dir, n-1, want-size)
	return append(before, b...), err
}

// parse reports whether a line is a row.
func parse(line []byte) (row Row, ok bool) {
	err := json.Unmarshal(line, &row)
	return row, err == nil && row.Seq > 0
}

// Place is the end of a line: number of the file, number and end of the line in it. The zero
// Place is where a log begins.
type Place struct {
	File, Line int
	Offset     int64
}

func (p Place) String() string { return fmt.Sprintf("%s line %d", fileName(p.File), p.Line) }

// Read calls each with the lines of the log in dir that come after a place, and returns the
// place where there are no more yet. A last line that has no line feed is cut, or still being
// written: each gets it too, but it stays to be read. A directory that is not there is empty.
func Read(dir string, from Place, each func(Place, []byte) error) (Place, error) {
	entries, err := os.ReadDir(dir) // sorted
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil
	}
	for i := 0; err == nil && i < len(entries); i++ {
		var n int
		_, no := fmt.Sscanf(entries[i].Name(), "audit-%06d.jsonl", &n)
		if no != nil || entries[i].Name() != fileName(n) || n < from.File {
			continue
		}
		if n > from.File {
			from = Place{File: n}
		}
		err = from.read(dir, each)
	}
	return from, err
}

// read reads on in the place's file.
func (p *Place) read(dir string, each func(Place, []byte) error) error {
	f, err := os.Open(filepath.Join(dir, fileName(p.File)))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(p.Offset, io.SeekStart); err != nil {
		return err
	}
	for r := bufio.NewReaderSize(f, 2*maxRow); ; { // no row is that long
		b, err := r.ReadSlice('\n')
		if len(b) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		at := Place{p.File, p.Line + 1, p.Offset + int64(len(b))}
		if e := each(at, b); e != nil || errors.Is(err, io.EOF) {
			return e
		}
		*p = at
	}
}
