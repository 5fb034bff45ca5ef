package wasm

import (
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// quota bounds the bytes and files of one agent's workspace, for all instances that
// write into it. What is there already is counted by one walk before the first write
// of a turn; from then on each change is added. Sizes are logical, so that a sparse
// file of 10 GB is 10 GB. A file that is deleted while it is open somewhere keeps its
// bytes until the next turn.
type quota struct {
	sync.Mutex // held across "how large is it" and the change, so that writers cannot both fit
	limit      wire.Quota
	workspace  string // counted; "" = nothing to count
	counted    bool
	used       wire.Quota
	writers    atomic.Int64 // files open for writing
}

// recount forgets what was counted: a new turn begins.
func (q *quota) recount() {
	q.Lock()
	defer q.Unlock()
	q.counted, q.used = false, wire.Quota{}
}

// take reserves, or returns false. Call it locked. Negative numbers give back.
func (q *quota) take(bytes, files int64) bool {
	q.count()
	if bytes > 0 && bytes > q.limit.Bytes-q.used.Bytes || files > 0 && files > q.limit.Files-q.used.Files {
		return false
	}
	q.used.Bytes = max(0, q.used.Bytes+bytes)
	q.used.Files = max(0, q.used.Files+files)
	return true
}

// count walks the workspace once, and not further than the limit. What cannot be read
// counts as full: an agent must not gain room by hiding files from its own runner.
func (q *quota) count() {
	if q.counted || q.workspace == "" {
		return
	}
	q.counted = true
	root, err := os.OpenRoot(q.workspace)
	if err != nil {
		q.used = q.limit
		return
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == "." {
			return nil
		}
		q.used.Files++
		if d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				q.used.Bytes += info.Size()
			}
		}
		if q.used.Files > q.limit.Files || q.used.Bytes > q.limit.Bytes {
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		q.used = q.limit
	}
}
