//go:build !wasip1

package disk

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func kindOf(st *syscall.Stat_t) Kind {
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		return Dir
	case syscall.S_IFREG:
		return File
	}
	return Other
}

// ReadDir returns what is in a directory, by name.
func ReadDir(path string) ([]Entry, error) {
	entries, err := os.ReadDir(path)
	var p *fs.PathError
	if errors.As(err, &p) {
		return nil, p.Err
	}
	var all []Entry
	for _, e := range entries {
		kind := Other
		switch {
		case e.IsDir():
			kind = Dir
		case e.Type().IsRegular():
			kind = File
		}
		all = append(all, Entry{e.Name(), kind})
	}
	sortByName(all)
	return all, nil
}
