package attach

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// fetchTime bounds how long all files of one message may take to come.
const fetchTime = 5 * time.Minute

const partly = "part-" // begins the name of a file that is being written

// Rows knows which files are in use; host/store does.
type Rows interface {
	FileUsed(ctx context.Context, d host.Digest) (bool, error)
	// AgentBytes sums up the files that came to an agent, each content once.
	AgentBytes(ctx context.Context, agent host.AgentID) (int64, error)
}

// Box holds the bytes. It is safe for concurrent use.
type Box struct {
	dir  string
	rows Rows

	mu   sync.Mutex
	held map[host.Digest]int // has no row yet
}

// Open makes the directory if need be, and removes what a dead host was writing.
func Open(dir string, rows Rows) (*Box, error) {
	b := &Box{dir: dir, rows: rows, held: make(map[host.Digest]int)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("attachments: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(dir, partly+"*"))
	for _, name := range old {
		err = errors.Join(err, os.Remove(name))
	}
	return b, err
}

// errLocal marks what is wrong with this machine, not with a file.
var errLocal = errors.New("attachments cannot be stored")

// Take stores what a message for agent brought, and returns what was kept and a line for each file, kept
// or not. done is called when their rows are committed, or will never be. An error means that nothing
// was taken because of this machine, and trying again may do.
func (b *Box) Take(
	ctx context.Context, agent host.AgentID, files []host.File,
) (kept []host.File, lines []string, done func(), err error) {
	done = func() {
		for _, f := range kept {
			b.release(f.Digest)
		}
	}
	have, err := b.rows.AgentBytes(ctx, agent)
	if err != nil {
		return nil, nil, done, err
	}
	fetch, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	room := int64(host.MaxFileBytes)
	for i, f := range files {
		if i == host.MaxFiles {
			lines = append(lines, fmt.Sprintf("[%d more files were not taken: a message has at most %d]",
				len(files)-i, host.MaxFiles))
			break
		}
		k, err := b.take(fetch, f, min(room, host.MaxAgentFiles-have))
		if errors.Is(err, errLocal) || ctx.Err() != nil {
			done()
			return nil, nil, func() {}, errors.Join(err, ctx.Err())
		}
		if err != nil {
			lines = append(lines, fmt.Sprintf("[file %s was not taken: %s]", Safe(f.Name, f.Type), reason(err, room, have)))
			continue
		}
		room, have = room-k.Size, have+k.Size
		kept, lines = append(kept, k), append(lines, Line(k))
	}
	return kept, lines, done, nil
}

// reason is why a file was not taken, for people. What a channel says of a failure is for its log.
func reason(err error, room, have int64) string {
	switch {
	case !errors.Is(err, host.ErrLimit):
		return "it could not be fetched"
	case host.MaxAgentFiles-have < min(room, host.MaxFile):
		return fmt.Sprintf("the files of this chat take %s of %s; keep_messages in [store] deletes old ones", Size(have),
			Size(host.MaxAgentFiles))
	case room < host.MaxFile:
		return fmt.Sprintf("the files of a message have at most %s together", Size(host.MaxFileBytes))
	}
	return fmt.Sprintf("it is larger than %s", Size(host.MaxFile))
}

func (b *Box) take(ctx context.Context, f host.File, room int64) (host.File, error) {
	room = min(room, host.MaxFile)
	if f.Size > room { // an honest sender is spared the way
		return f, host.ErrLimit
	}
	in, err := f.Open(ctx)
	if err != nil {
		return f, err
	}
	defer in.Close()
	return b.put(f.Name, f.Type, in, room)
}

// Put stores bytes of this machine. done is as in Take.
func (b *Box) Put(name string, data []byte) (f host.File, done func(), err error) {
	f, err = b.put(name, "", bytes.NewReader(data), host.MaxFile)
	return f, func() { b.release(f.Digest) }, err
}

func (b *Box) put(name, claimed string, in io.Reader, max int64) (f host.File, err error) {
	out, err := os.CreateTemp(b.dir, partly+"*") // mode 0600
	if err != nil {
		return f, fmt.Errorf("%w: %w", errLocal, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	defer out.Close()
	sum, disk := sha256.New(), &local{w: out}
	f.Size, err = io.Copy(io.MultiWriter(disk, sum), io.LimitReader(in, max+1))
	switch {
	case disk.err != nil:
		return f, fmt.Errorf("%w: %w", errLocal, disk.err)
	case err != nil:
		return f, err
	case f.Size > max:
		return f, host.ErrLimit
	}
	f.Digest = host.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
	f.Type = Type(disk.head, claimed)
	f.Name = Name(name, f.Type, f.Digest)
	if err = out.Sync(); err == nil {
		b.hold(f.Digest)
		if err = os.Rename(out.Name(), b.path(f.Digest)); err == nil {
			err = syncDir(b.dir)
		}
		if err != nil {
			b.release(f.Digest)
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errLocal, err)
	}
	return f, err
}

// local remembers how writing here failed, and how the file begins.
type local struct {
	w    io.Writer
	head []byte
	err  error
}

func (l *local) Write(p []byte) (n int, err error) {
	if more := 512 - len(l.head); more > 0 {
		l.head = append(l.head, p[:min(more, len(p))]...)
	}
	n, err = l.w.Write(p)
	l.err = err
	return n, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Reader reads the file with digest d; host.ErrNotFound when it is gone.
func (b *Box) Reader(d host.Digest) (io.ReadCloser, error) {
	f, err := os.Open(b.path(d))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: the file is no longer kept", host.ErrNotFound)
	}
	return f, err
}

// path is where d is. A digest is the host's own word, from a row.
func (b *Box) path(d host.Digest) string {
	return filepath.Join(b.dir, filepath.Base(strings.TrimPrefix(string(d), "sha256:")))
}

func (b *Box) hold(d host.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held[d]++
}

func (b *Box) release(d host.Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[d]--; b.held[d] <= 0 {
		delete(b.held, d)
	}
}

// Sweep removes the files that no row names, and says how many. What has no row yet is held, and a
// row is there before that ends: so no file is removed that one will name.
func (b *Box) Sweep(ctx context.Context) (n int, err error) {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), partly) { // of this host: Open removed the others
			continue
		}
		gone, err := b.sweep(ctx, host.Digest("sha256:"+e.Name()))
		if err != nil {
			return n, err
		}
		if gone {
			n++
		}
	}
	return n, nil
}

func (b *Box) sweep(ctx context.Context, d host.Digest) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[d] > 0 {
		return false, nil
	}
	used, err := b.rows.FileUsed(ctx, d)
	if err != nil || used {
		return false, err
	}
	return true, os.Remove(b.path(d))
}
