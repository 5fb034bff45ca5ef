// Package disk is what skills need of package os, on package syscall: os adds 0.4 MB to a
// module and this 0.05. Errors are those of the system, a syscall.Errno, without a path.
//
// It must never be told a path that its caller has not checked.
package disk

import (
	"strings"
	"syscall"
)

// Kind is what a name stands for.
type Kind int

// Kinds of Info and Entry.
const (
	Other Kind = iota // a link, a device
	File
	Dir
)

// Info is what Stat knows.
type Info struct {
	Kind Kind
	Size int64
}

// Entry is a name in a directory.
type Entry struct {
	Name string
	Kind Kind
}

// Stat looks at what is called path, and follows links.
func Stat(path string) (Info, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return Info{}, err
	}
	return Info{kindOf(&st), int64(st.Size)}, nil
}

// Exists reports nil when there is something, if only a link, called path.
func Exists(path string) error {
	var st syscall.Stat_t
	return syscall.Lstat(path, &st)
}

// Read returns at most limit bytes of a file, from offset.
func Read(path string, offset int64, limit int) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	b := make([]byte, 0, min(limit, 64<<10))
	for len(b) < limit {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(limit, 2*cap(b))), b...)
		}
		n, err := syscall.Pread(fd, b[len(b):min(limit, cap(b))], offset+int64(len(b)))
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			break
		}
		b = b[:len(b)+n]
	}
	return b, nil
}

// Write makes a file of b. flag is O_TRUNC, or O_EXCL for one that must not be there.
func Write(path string, flag int, b []byte) error {
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_WRONLY|syscall.O_CLOEXEC|flag, 0o600)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// MkdirAll makes a directory and those around it, as far as they are not there.
func MkdirAll(path string) error {
	if st, err := Stat(path); err == nil {
		if st.Kind != Dir {
			return syscall.ENOTDIR
		}
		return nil
	}
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		if err := MkdirAll(path[:i]); err != nil {
			return err
		}
	}
	err := syscall.Mkdir(path, 0o700)
	if st, err2 := Stat(path); err2 == nil && st.Kind == Dir {
		return nil // another call was quicker
	}
	return err
}

// Remove removes a file, a link or an empty directory.
func Remove(path string) error {
	err := syscall.Unlink(path)
	if err == nil {
		return nil
	}
	if err2 := syscall.Rmdir(path); err2 != syscall.ENOTDIR {
		return err2
	}
	return err
}

// sortByName is a heap sort: package slices would be 20 KB of code for this type.
func sortByName(all []Entry) {
	sift := func(i, n int) {
		for c := 2*i + 1; c < n; c = 2*i + 1 {
			if c+1 < n && all[c].Name < all[c+1].Name {
				c++
			}
			if all[i].Name >= all[c].Name {
				return
			}
			all[i], all[c] = all[c], all[i]
			i = c
		}
	}
	for i := len(all) / 2; i >= 0; i-- {
		sift(i, len(all))
	}
	for n := len(all) - 1; n > 0; n-- {
		all[0], all[n] = all[n], all[0]
		sift(0, n)
	}
}
