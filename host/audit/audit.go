// Package audit owns the record of what the broker decided: one JSON object a line in
// audit-000001.jsonl and the files after it, numbered without gaps, chained by hashes and
// only ever appended to.
//
// It must never lose a row silently: a row that cannot be written is an error, and the
// broker then does not act. It must never decide anything itself, nor be given a path, a
// query or a secret to write.
//
// Read in this order: audit.go (a row), file.go (the files, their end, and what Open
// checks), verify.go (what an auditor checks).
//
// Rationale. Rows that allow an act outside this machine are on disk before the act
// (fsync); the others may be lost with the machine, never with the process. Several
// processes may append to one log (`skill call`), so number and hash are taken under a
// lock, on the directory, from the last line.
//
// Chain: prev is the SHA-256 of every byte since the row before began, without the last
// line feed. That is the line before, and what a crash left of a line after it, if one did.
//
// Files are never renamed or removed: rotation is one step, the making of the next file, so
// a crash, a reader or another process finds either the old state or the new one.
//
// Anchor: whoever can write the files can also make a chain that fits, so the last row's
// number and hash are kept in the database too. That costs a commit, so it is done at most
// anchorAfter after a row, at the latest after maxBehind rows, and at Close. The file is
// synced before: no crash leaves the log behind its anchor, and a log that is behind it was
// cut. An anchor that cannot be written stops the log after maxBehind rows, and with it
// everything that needs a row. Who can write both files and database can forge both: keep
// the head that `audit verify` prints elsewhere, if that matters.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	maxRow      = 16 << 10 // bytes of a line: the last ones are found without reading the log
	maxFile     = 64 << 20 // bytes after which the next file is begun
	maxBehind   = 64       // rows that the database may not know of
	anchorAfter = time.Second
)

// Row is one line of the log.
type Row struct {
	Seq  int64  `json:"seq"`  // from 1, without gaps
	Prev string `json:"prev"` // see Chain above; "" in rows of versions without a chain
	host.Decision
}

// Head is a row as the chain and the anchor know it. The zero Head is no row.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"` // SHA-256 of the line, hex
}

// Anchor remembers the head of one log; host/store is one.
type Anchor interface {
	SetHead(ctx context.Context, seq int64, hash string) error // never back to a lower seq
	Head(ctx context.Context) (seq int64, hash string, err error)
}

// Log appends rows. It is safe for concurrent use, by several processes too.
type Log struct {
	dir     *os.File // carries the lock
	anchor  Anchor   // may be nil
	maxFile int64

	mu       sync.Mutex
	f        *os.File // the last one
	n        int      // its number
	size     int64    // of f when last was read; -1 = read it again
	last     Head     // of the last row
	prev     string   // for the next row
	torn     bool     // the last line has no end: a crash cut it
	anchored int64    // number of the last row that the anchor has
	timer    *time.Timer
}

// Record appends d and, when it allows an act with an effect outside this machine, syncs
// it. An error means that the row does not count and the act must not happen.
func (l *Log) Record(ctx context.Context, d host.Decision) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		err = l.locked(func() error { return l.append(d) })
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// append writes one row in one write. What a failed write left is taken back.
func (l *Log) append(d host.Decision) error {
	if err := l.prepare(); err != nil {
		return err
	}
	line, err := json.Marshal(Row{l.last.Seq + 1, l.prev, d})
	if err != nil {
		return err
	}
	if len(line) >= maxRow {
		return fmt.Errorf("%w: a row of %d bytes", host.ErrLimit, len(line))
	}
	head := Head{l.last.Seq + 1, sum(line)}
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
	l.size, l.last, l.prev, l.torn = l.size+int64(len(line)), head, head.Hash, false
	if l.anchor != nil && l.timer == nil {
		l.timer = time.AfterFunc(anchorAfter, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			_ = l.settle() // prepare tries again, and tells
		})
	}
	return nil
}

// prepare does what is due before a row: an anchor, the next file.
func (l *Log) prepare() error {
	full := l.size >= l.maxFile && !l.torn // what covers a torn line comes into its file
	if full || l.anchor != nil && l.last.Seq-l.anchored >= maxBehind {
		if err := l.settle(); err != nil {
			return err
		}
	}
	if !full {
		return nil
	}
	err := l.use(l.n+1, os.O_CREATE|os.O_EXCL)
	if err == nil {
		l.size = 0
	}
	return err
}

// settle syncs the file and anchors the last row.
func (l *Log) settle() error {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if err := l.f.Sync(); err != nil {
		return err
	}
	if l.anchor == nil || l.last.Seq == l.anchored {
		return nil
	}
	if err := l.anchor.SetHead(context.Background(), l.last.Seq, l.last.Hash); err != nil {
		return fmt.Errorf("anchor: %w", err)
	}
	l.anchored = l.last.Seq
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
	if err := syscall.Flock(int(l.dir.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	defer func() { _ = syscall.Flock(int(l.dir.Fd()), syscall.LOCK_UN) }()
	if err := l.catchUp(); err != nil {
		return err
	}
	return f()
}

// Close anchors the last row and closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.settle(), l.f.Close(), l.dir.Close())
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
