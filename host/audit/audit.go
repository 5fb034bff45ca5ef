// Package audit owns the record of what the broker decided: one JSON object a line in
// audit.jsonl, numbered without gaps, only ever appended to.
//
// It must never lose a row silently: a row that cannot be written is an error, and the
// broker then does not act. It must never decide anything itself, nor be given a path, a
// query or a secret to write.
//
// Rationale: rows that allow an act outside this machine are on disk before the act
// (fsync); the others may be lost with the machine, never with the process. Several
// processes may append to one log (`skill call` runs beside a host), so the number, and
// with it the hash chain that comes later, is taken under a file lock from the last line.
package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/nanoclaw/nanoclaw/host"
)

// FileName is the name of the log in its directory.
const FileName = "audit.jsonl"

// maxRow bounds one line, so that the last one is found without reading the log.
const maxRow = 16 << 10

// Row is one line of the log.
type Row struct {
	Seq int64 `json:"seq"` // from 1, without gaps
	host.Decision
}

// Log appends rows. It is safe for concurrent use, by several processes too.
type Log struct {
	mu   sync.Mutex
	f    *os.File
	size int64 // of the file when seq was read
	seq  int64 // of the last row
	torn bool  // the last line has no end: a crash cut it
}

// Open opens or makes the log in dir.
func Open(dir string) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	path := filepath.Join(dir, FileName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l := &Log{f: f, size: -1}
	if err := l.open(dir); err != nil {
		return nil, fmt.Errorf("audit: %s: %w", path, errors.Join(err, f.Close()))
	}
	return l, nil
}

func (l *Log) open(dir string) error {
	st, err := l.f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%w: not a regular file", host.ErrInvalid)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return errors.Join(d.Sync(), l.locked(func() error { return nil }))
}

// Record appends d and, when it allows an act with an effect outside this machine, syncs
// it. An error means that the row does not count and the act must not happen.
func (l *Log) Record(ctx context.Context, d host.Decision) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := l.locked(func() error { return l.append(d) }); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// append writes one row in one write. What a failed write left is taken back.
func (l *Log) append(d host.Decision) error {
	line, err := json.Marshal(Row{Seq: l.seq + 1, Decision: d})
	if err != nil {
		return err
	}
	if len(line) >= maxRow {
		return fmt.Errorf("%w: a row of %d bytes", host.ErrLimit, len(line))
	}
	line = append(line, '\n')
	if l.torn {
		line = append([]byte{'\n'}, line...)
	}
	_, err = l.f.Write(line)
	if err == nil && outside(d) {
		err = l.f.Sync()
	}
	if err != nil {
		size := l.size
		l.size = -1 // read the end again, whatever it is now
		return errors.Join(err, l.f.Truncate(size))
	}
	l.size, l.seq, l.torn = l.size+int64(len(line)), l.seq+1, false
	return nil
}

// outside reports whether d comes before an act that others can see.
func outside(d host.Decision) bool {
	switch d.Capability {
	case host.CapFS, host.CapKV, host.CapTool:
		return false
	}
	return d.Verdict == "allow"
}

// locked runs f while no other process appends and l knows the last row.
func (l *Log) locked(f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := syscall.Flock(int(l.f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	defer func() { _ = syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN) }()
	st, err := l.f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != l.size {
		if err := l.readEnd(st.Size()); err != nil {
			return err
		}
	}
	return f()
}

// readEnd finds the last whole row of a file of size bytes.
func (l *Log) readEnd(size int64) error {
	tail := make([]byte, min(size, 2*maxRow+2)) // a torn line and a whole one
	if _, err := l.f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return err
	}
	var last Row
	end := bytes.LastIndexByte(tail, '\n')
	for lines := bytes.Split(tail[:max(end, 0)], []byte{'\n'}); len(lines) > 0 && last.Seq == 0; {
		row := lines[len(lines)-1]
		lines = lines[:len(lines)-1]
		_ = json.Unmarshal(row, &last) // a line that a crash cut: take the one before
	}
	if last.Seq == 0 && end >= 0 {
		return fmt.Errorf("%w: the last rows cannot be read", host.ErrInvalid)
	}
	l.size, l.seq, l.torn = size, last.Seq, size > 0 && end != len(tail)-1
	return nil
}

// Close syncs and closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.f.Sync(), l.f.Close())
}
