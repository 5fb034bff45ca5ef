package wasm

import (
	"errors"
	"io"
	"math"
	"os"
	"path"

	esys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
)

// offset keeps vet from taking Seek for io.Seeker's.
type offset = int64

// file is one open file or directory. Appending is done here and not by the system,
// so that it can be switched on and off and the quota sees where a write goes.
type file struct {
	esys.UnimplementedFile
	fs            *rootFS
	f             *os.File
	name          string
	append, write bool
	closed        bool
}

func (f *file) Dev() (uint64, esys.Errno) {
	st, errno := f.Stat()
	return st.Dev, errno
}

func (f *file) Ino() (sys.Inode, esys.Errno) {
	st, errno := f.Stat()
	return st.Ino, errno
}

func (f *file) IsDir() (bool, esys.Errno) {
	st, errno := f.Stat()
	return st.Mode.IsDir(), errno
}

func (f *file) IsAppend() bool { return f.append }

func (f *file) SetAppend(on bool) esys.Errno {
	f.append = on
	return 0
}

func (f *file) Stat() (sys.Stat_t, esys.Errno) {
	info, err := f.f.Stat()
	return statT(info, errnoOf(err))
}

func (f *file) Read(b []byte) (int, esys.Errno)             { return read(f.f.Read(b)) }
func (f *file) Pread(b []byte, off int64) (int, esys.Errno) { return read(f.f.ReadAt(b, off)) }
func (f *file) Sync() esys.Errno                            { return errnoOf(f.f.Sync()) }
func (f *file) Datasync() esys.Errno                        { return errnoOf(f.f.Sync()) }
func read(n int, err error) (int, esys.Errno)               { return n, errnoOf(notEOF(err)) }

// Seek knows WASI's three ways; Linux has two more of the following numbers.
func (f *file) Seek(off offset, whence int) (int64, esys.Errno) {
	if uint(whence) > io.SeekEnd {
		return 0, esys.EINVAL
	}
	n, err := f.f.Seek(off, whence)
	return n, errnoOf(err)
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Readdir gives names, types and inode numbers. These are looked up by the root, since os
// would do so by a path that may have come to lead elsewhere.
func (f *file) Readdir(n int) ([]esys.Dirent, esys.Errno) {
	entries, err := f.f.ReadDir(n)
	out := make([]esys.Dirent, 0, len(entries))
	for _, e := range entries {
		d := esys.Dirent{Name: e.Name(), Type: e.Type()}
		if info, err := f.fs.root.Lstat(path.Join(f.name, e.Name())); err == nil {
			d.Ino = sys.NewStat_t(info).Ino
		}
		out = append(out, d)
	}
	return out, errnoOf(notEOF(err))
}

// Write writes at the position, or at the end when appending.
func (f *file) Write(b []byte) (int, esys.Errno) {
	f.fs.quota.Lock()
	defer f.fs.quota.Unlock()
	whence := io.SeekCurrent
	if f.append {
		whence = io.SeekEnd
	}
	at, err := f.f.Seek(0, whence)
	if err != nil {
		return 0, errnoOf(err)
	}
	n, errno := f.writeAt(b, at)
	if _, err := f.f.Seek(at+int64(n), io.SeekStart); err != nil && errno == 0 {
		errno = errnoOf(err)
	}
	return n, errno
}

// Pwrite writes at an offset, also when appending.
func (f *file) Pwrite(b []byte, off int64) (int, esys.Errno) {
	f.fs.quota.Lock()
	defer f.fs.quota.Unlock()
	return f.writeAt(b, off)
}

// writeAt takes what the file grows by from the quota first. Call it locked.
func (f *file) writeAt(b []byte, off int64) (int, esys.Errno) {
	switch {
	case !f.write:
		return 0, esys.EBADF
	case off < 0 || off > math.MaxInt64-int64(len(b)):
		return 0, esys.EINVAL
	case len(b) == 0:
		return 0, 0
	}
	info, err := f.f.Stat()
	if err != nil {
		return 0, errnoOf(err)
	}
	growth := max(0, off+int64(len(b))-info.Size())
	if !f.fs.quota.take(growth, 0) {
		return 0, f.fs.outOfQuota()
	}
	n, err := f.f.WriteAt(b, off)
	if n < len(b) { // the rest was not needed
		f.fs.quota.take(-min(growth, int64(len(b)-n)), 0)
	}
	return n, errnoOf(err)
}

// Truncate sets the size. A larger one counts at once, although the file is sparse.
func (f *file) Truncate(size int64) esys.Errno {
	f.fs.quota.Lock()
	defer f.fs.quota.Unlock()
	return f.resize(size)
}

func (f *file) resize(size int64) esys.Errno {
	if !f.write {
		return esys.EBADF
	}
	if size < 0 {
		return esys.EINVAL
	}
	info, err := f.f.Stat()
	if err != nil {
		return errnoOf(err)
	}
	growth := size - info.Size()
	if growth > 0 && !f.fs.quota.take(growth, 0) {
		return f.fs.outOfQuota()
	}
	err = f.f.Truncate(size)
	switch {
	case err != nil && growth > 0:
		f.fs.quota.take(-growth, 0)
	case err == nil && growth < 0:
		f.fs.quota.take(growth, 0)
	}
	return errnoOf(err)
}

// Utimens sets times by the name that was opened.
func (f *file) Utimens(atim, mtim int64) esys.Errno { return f.fs.Utimens(f.name, atim, mtim) }

func (f *file) Close() esys.Errno {
	if f.closed {
		return esys.EBADF
	}
	f.closed = true
	*f.fs.open--
	if f.write {
		f.fs.quota.writers.Add(-1)
	}
	return errnoOf(f.f.Close())
}
