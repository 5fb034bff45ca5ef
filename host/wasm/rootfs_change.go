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
