package wasm

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	esys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
	"golang.org/x/sys/unix"
)

const (
	maxPath    = 4096
	maxSegment = 255
	maxOpen    = 128 // files and directories of one instance at once
)

// rootFS is one preopened directory of one instance: an os.Root, which no symlink
// escapes from, and the agent's quota.
type rootFS struct {
	esys.UnimplementedFS // Chmod stays unimplemented
	root                 *os.Root
	readOnly             bool
	quota                *quota
	open                 *int  // of the instance; guests are single-threaded
	full                 *bool // set when a quota refused, see guard.After
}

// resolve bounds and cleans a path. asDir says that it ended in a slash, and so must
// be a directory.
func resolve(p string) (name string, asDir bool, errno esys.Errno) {
	if len(p) > maxPath {
		return "", false, esys.ENAMETOOLONG
	}
	if strings.IndexByte(p, 0) >= 0 {
		return "", false, esys.EINVAL
	}
	name = strings.TrimPrefix(path.Clean("/"+p), "/")
	for segment := range strings.SplitSeq(name, "/") {
		if len(segment) > maxSegment {
			return "", false, esys.ENAMETOOLONG
		}
	}
	if name == "" {
		return ".", false, 0
	}
	return name, strings.HasSuffix(p, "/"), 0
}

// errnoOf maps an error of package os. An escape from the root is no system error.
func errnoOf(err error) esys.Errno {
	if err == nil {
		return 0
	}
	if e := esys.UnwrapOSError(err); e != esys.EIO || !strings.Contains(err.Error(), "escapes") {
		return e
	}
	return esys.EPERM
}

// outOfQuota answers EIO, which is all wazero's Errno has; the guard makes it ENOSPC.
func (f *rootFS) outOfQuota() esys.Errno {
	*f.full = true
	return esys.EIO
}

// stat is Lstat, or Stat for a path that must be a directory.
func (f *rootFS) stat(name string, asDir bool) (os.FileInfo, esys.Errno) {
	if !asDir {
		info, err := f.root.Lstat(name)
		return info, errnoOf(err)
	}
	info, err := f.root.Stat(name)
	if err == nil && !info.IsDir() {
		return nil, esys.ENOTDIR
	}
	return info, errnoOf(err)
}

// OpenFile implements esys.FS. Only regular files and directories are opened: never a
// FIFO, on which the runner would hang, nor a device.
func (f *rootFS) OpenFile(p string, flag esys.Oflag, perm fs.FileMode) (esys.File, esys.Errno) {
	name, asDir, errno := resolve(p)
	if errno != 0 {
		return nil, errno
	}
	if *f.open >= maxOpen {
		return nil, esys.EAGAIN
	}
	write := flag&(esys.O_WRONLY|esys.O_RDWR) != 0
	if f.readOnly && (write || flag&(esys.O_CREAT|esys.O_TRUNC) != 0) && flag&esys.O_DIRECTORY == 0 {
		return nil, esys.EROFS
	}
	f.quota.Lock()
	defer f.quota.Unlock()
	info, err := f.root.Stat(name)
	if flag&esys.O_NOFOLLOW != 0 {
		if l, lerr := f.root.Lstat(name); lerr == nil && l.Mode()&fs.ModeSymlink != 0 {
			return nil, esys.ELOOP
		}
	}
	switch {
	case err == nil && info.IsDir():
		if write || flag&esys.O_TRUNC != 0 || flag&(esys.O_CREAT|esys.O_DIRECTORY) == esys.O_CREAT {
			return nil, esys.EISDIR
		}
		return f.opened(name, os.O_RDONLY, 0, flag)
	case err == nil && (asDir || flag&esys.O_DIRECTORY != 0):
		return nil, esys.ENOTDIR
	case err == nil && !info.Mode().IsRegular():
		return nil, esys.EPERM
	case err == nil && write && sys.NewStat_t(info).Nlink > 1:
		return nil, esys.EPERM
	case err == nil || flag&esys.O_CREAT == 0:
		return f.opened(name, access(flag)|excl(flag), 0, flag)
	case asDir:
		return nil, esys.EISDIR
	}
	if !f.quota.take(0, 1) {
		return nil, f.outOfQuota()
	}
	file, errno := f.opened(name, access(flag)|os.O_CREATE|excl(flag), perm&0o777, flag)
	if errno != 0 {
		f.quota.take(0, -1)
	}
	return file, errno
}

func access(flag esys.Oflag) int {
	switch {
	case flag&esys.O_RDWR != 0:
		return os.O_RDWR
	case flag&esys.O_WRONLY != 0:
		return os.O_WRONLY
	}
	return os.O_RDONLY
}

func excl(flag esys.Oflag) int {
	if flag&esys.O_EXCL != 0 && flag&esys.O_CREAT != 0 {
		return os.O_CREATE | os.O_EXCL
	}
	return 0
}

// opened opens and looks at what it got: between the look before and the open, another
// program may have changed what the name stands for.
func (f *rootFS) opened(name string, mode int, perm fs.FileMode, flag esys.Oflag) (esys.File, esys.Errno) {
	of, err := f.root.OpenFile(name, mode|syscall.O_NONBLOCK, perm)
	if err != nil {
		return nil, errnoOf(err)
	}
	info, err := of.Stat()
	if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
		_ = of.Close()
		return nil, esys.EPERM
	}
	out := &file{fs: f, f: of, name: name, append: flag&esys.O_APPEND != 0, write: mode&(os.O_WRONLY|os.O_RDWR) != 0}
	*f.open++
	if out.write {
		f.quota.writers.Add(1)
	}
	if flag&esys.O_TRUNC != 0 && out.write && !info.IsDir() {
		if errno := out.resize(0); errno != 0 {
			_ = out.Close()
			return nil, errno
		}
	}
	return out, 0
}

// Lstat implements esys.FS.
func (f *rootFS) Lstat(p string) (sys.Stat_t, esys.Errno) {
	name, asDir, errno := resolve(p)
	if errno != 0 {
		return sys.Stat_t{}, errno
	}
	return statT(f.stat(name, asDir))
}

// Stat implements esys.FS.
func (f *rootFS) Stat(p string) (sys.Stat_t, esys.Errno) {
	name, asDir, errno := resolve(p)
	if errno != 0 {
		return sys.Stat_t{}, errno
	}
	if asDir {
		return statT(f.stat(name, true))
	}
	info, err := f.root.Stat(name)
	return statT(info, errnoOf(err))
}

func statT(info os.FileInfo, errno esys.Errno) (sys.Stat_t, esys.Errno) {
	if errno != 0 {
		return sys.Stat_t{}, errno
	}
	return sys.NewStat_t(info), 0
}

// Readlink implements esys.FS.
func (f *rootFS) Readlink(p string) (string, esys.Errno) {
	name, asDir, errno := resolve(p)
	if errno != 0 || asDir {
		return "", max(errno, esys.EINVAL)
	}
	target, err := f.root.Readlink(name)
	return target, errnoOf(err)
}

// change runs do on a path of a writable file system, with the quota locked.
func (f *rootFS) change(p string, do func(name string, asDir bool) esys.Errno) esys.Errno {
	name, asDir, errno := resolve(p)
	switch {
	case errno != 0:
		return errno
	case f.readOnly:
		return esys.EROFS
	case name == ".":
		return esys.EPERM
	}
	f.quota.Lock()
	defer f.quota.Unlock()
	return do(name, asDir)
}

// create reserves one file for do.
func (f *rootFS) create(do func() error) esys.Errno {
	if !f.quota.take(0, 1) {
		return f.outOfQuota()
	}
	err := do()
	if err != nil {
		f.quota.take(0, -1)
	}
	return errnoOf(err)
}

// Mkdir implements esys.FS.
func (f *rootFS) Mkdir(p string, perm fs.FileMode) esys.Errno {
	return f.change(p, func(name string, _ bool) esys.Errno {
		return f.create(func() error { return f.root.Mkdir(name, perm&0o777|0o700) })
	})
}

// Symlink implements esys.FS. A target must lie inside by its text, so that a link
// cannot trap another program that follows it either.
func (f *rootFS) Symlink(target, p string) esys.Errno {
	if len(target) > maxPath || target == "" || strings.IndexByte(target, 0) >= 0 {
		return esys.EINVAL
	}
	return f.change(p, func(name string, asDir bool) esys.Errno {
		_, errno := f.stat(name, asDir)
		switch {
		case asDir && errno == 0:
			return esys.EEXIST
		case asDir:
			return errno
		case !inside(name, target):
			return esys.EPERM
		}
		return f.create(func() error { return f.root.Symlink(target, name) })
	})
}

// inside reports whether a symlink's target lies inside by its text.
func inside(name, target string) bool {
	return !path.IsAbs(target) && fs.ValidPath(path.Join(path.Dir(name), target))
}

// misplaced reports whether info is a symlink at name whose text leads out of the root from
// the place it is to get.
func (f *rootFS) misplaced(info os.FileInfo, name, place string) bool {
	if info.Mode()&fs.ModeSymlink == 0 {
		return false
	}
	target, err := f.root.Readlink(name)
	return err != nil || !inside(place, target)
}

// Rmdir implements esys.FS.
func (f *rootFS) Rmdir(p string) esys.Errno {
	return f.change(p, func(name string, _ bool) esys.Errno {
		info, errno := f.stat(name, false)
		if errno == 0 && !info.IsDir() {
			errno = esys.ENOTDIR
		}
		if errno != 0 {
			return errno
		}
		return f.remove(name, info)
	})
}

// Unlink implements esys.FS.
func (f *rootFS) Unlink(p string) esys.Errno {
	return f.change(p, func(name string, asDir bool) esys.Errno {
		info, errno := f.stat(name, false)
		switch {
		case errno != 0:
			return errno
		case info.IsDir():
			return esys.EISDIR
		case asDir:
			return esys.ENOTDIR
		}
		return f.remove(name, info)
	})
}

func (f *rootFS) remove(name string, info os.FileInfo) esys.Errno {
	if err := f.root.Remove(name); err != nil {
		return errnoOf(err)
	}
	f.gone(info)
	return 0
}

// gone gives back what a removed file took, unless somebody may still write into it.
func (f *rootFS) gone(info os.FileInfo) {
	var bytes int64
	if info.Mode().IsRegular() && sys.NewStat_t(info).Nlink <= 1 && f.quota.writers.Load() == 0 {
		bytes = info.Size()
	}
	f.quota.take(-bytes, -1)
}

// Rename implements esys.FS, for files and directories.
func (f *rootFS) Rename(from, to string) esys.Errno {
	target, toDir, errno := resolve(to)
	if errno != 0 {
		return errno
	}
	return f.change(from, func(name string, asDir bool) esys.Errno {
		info, errno := f.stat(name, false)
		switch {
		case errno != 0:
			return errno
		case (asDir || toDir) && !info.IsDir():
			return esys.ENOTDIR
		case target == ".", f.misplaced(info, name, target):
			return esys.EPERM
		}
		old, errno := f.stat(target, false)
		if err := f.rename(name, target); err != nil {
			return errnoOf(err)
		}
		if errno == 0 && !os.SameFile(old, info) {
			f.gone(old)
		}
		return 0
	})
}

// rename is os.Root's, but for the rule that no directory is replaced: an empty one may be.
func (f *rootFS) rename(from, to string) error {
	source, err := f.root.OpenFile(path.Dir(from), os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := f.root.OpenFile(path.Dir(to), os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	return unix.Renameat(int(source.Fd()), path.Base(from), int(target.Fd()), path.Base(to))
}

// Link implements esys.FS. Both names lie inside; from then on the file can be read under
// either and written under none, see OpenFile.
func (f *rootFS) Link(from, to string) esys.Errno {
	source, fromDir, errno := resolve(from)
	if errno != 0 {
		return errno
	}
	return f.change(to, func(name string, asDir bool) esys.Errno {
		info, errno := f.stat(source, fromDir)
		switch {
		case errno != 0:
			return errno
		case asDir:
			return esys.ENOENT
		case info.IsDir(), f.misplaced(info, source, name):
			return esys.EPERM
		}
		return f.create(func() error { return f.root.Link(source, name) })
	})
}

// Utimens implements esys.FS.
func (f *rootFS) Utimens(p string, atim, mtim int64) esys.Errno {
	name, _, errno := resolve(p)
	if errno != 0 {
		return errno
	}
	if f.readOnly {
		return esys.EROFS
	}
	return errnoOf(f.root.Chtimes(name, timeOf(atim), timeOf(mtim)))
}

// timeOf is the zero time, which leaves the file's, for UTIME_OMIT.
func timeOf(nanos int64) time.Time {
	if nanos == esys.UTIME_OMIT {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}
