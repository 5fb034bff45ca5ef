package wasm

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	esys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
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
