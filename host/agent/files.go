package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const maxMemory = 64 << 10

// OpenWorkspaceFile reads a file that an agent may have written. It is the one way in which
// the host reads such files: name cannot leave dir, and what is not a regular file with one
// name and at most max bytes is refused, without waiting for it.
func OpenWorkspaceFile(dir, name string, max int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	named, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !named.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", host.ErrInvalid, name)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !os.SameFile(named, st) || !ok || sys.Nlink != 1:
		return nil, fmt.Errorf("%w: %s has another name or was exchanged", host.ErrInvalid, name)
	case st.Size() > max:
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", host.ErrLimit, name, st.Size(), max)
	}
	return wire.ReadLimited(f, max)
}

// makeDir makes rel and what is above it below dir, which symlinks cannot leave, and gives
// what it made to the uid that agents have.
func makeDir(dir, rel string, uid, gid int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	made := ""
	for _, part := range strings.Split(filepath.ToSlash(rel), "/") {
		made = filepath.Join(made, part)
		err := root.Mkdir(made, 0o700)
		if err == nil && os.Getuid() == 0 {
			err = root.Lchown(made, uid, gid)
		}
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if st, err := root.Stat(made); err != nil || !st.IsDir() {
		return fmt.Errorf("%w: %s in %s is not a directory", host.ErrInvalid, rel, dir)
	}
	return nil
}

// adopt gives an empty directory to the uid that agents have, when the host is root. What is
// in use keeps its owner: agents reach there what its modes allow.
func adopt(dir string, uid, gid int) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 || os.Getuid() != 0 {
		return err
	}
	return os.Lchown(dir, uid, gid)
}

// seal takes what a container left in dir: directories and regular files alone, at most max
// bytes in all, which from now on belong to the host and are readable for everyone.
func seal(dir string, maxBytes int64, maxFiles int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := root.Lstat(name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o755)
		if st.Mode().IsRegular() {
			mode = 0o644
			maxBytes -= st.Size()
		} else if !st.IsDir() {
			return fmt.Errorf("%w: %s is neither a file nor a directory", host.ErrInvalid, name)
		}
		if maxFiles--; maxBytes < 0 || maxFiles < 0 {
			return fmt.Errorf("%w: the compiled module is too large", host.ErrLimit)
		}
		return errors.Join(root.Lchown(name, os.Getuid(), os.Getgid()), root.Chmod(name, mode))
	})
}
