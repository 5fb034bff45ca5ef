package container

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
)

// demux takes stdout out of an attach stream and gives stderr away. It holds nothing back,
// so that a frame of any length costs no memory.
type demux struct {
	r      io.Reader
	stderr io.Writer
	left   uint32 // of the frame of stdout being read
	head   [8]byte
}

func (d *demux) Read(p []byte) (int, error) {
	for d.left == 0 {
		if _, err := io.ReadFull(d.r, d.head[:]); err != nil {
			return 0, err
		}
		n := binary.BigEndian.Uint32(d.head[4:])
		switch d.head[0] {
		case 0, 1:
			d.left = n
		case 2, 3: // stderr, and what the daemon has to say
			if _, err := io.CopyN(d.stderr, d.r, int64(n)); err != nil {
				return 0, err
			}
		default:
			return 0, fmt.Errorf("%w: attach stream has a frame of kind %d", host.ErrInvalid, d.head[0])
		}
	}
	if uint64(len(p)) > uint64(d.left) {
		p = p[:d.left]
	}
	n, err := d.r.Read(p)
	d.left -= uint32(n)
	return n, err
}

// Bounds on what a container's stderr may cost.
const (
	keepBytes = 8 << 10 // for Exit.Log
	maxLine   = 1 << 10
	maxLines  = 1000 // of one container that are logged
)

// tail is where stderr goes: its end is kept, its lines are logged. Both are bounded, and
// nothing that could drive a terminal gets through.
type tail struct {
	log   hclog.Logger
	mu    sync.Mutex
	kept  []byte
	lines int
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - keepBytes; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	for line := range bytes.Lines(p) {
		if t.lines++; t.lines > maxLines {
			break
		}
		line = bytes.TrimSpace(line)
		t.log.Debug("stderr", "line", printable(line[:min(len(line), maxLine)]))
	}
	return len(p), nil
}

// String is the end of what was written.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return printable(t.kept)
}

func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return unicode.ReplacementChar
	}, string(b))
}
