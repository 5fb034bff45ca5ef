//go:build !wasip1

package workfile

import (
	"errors"
	"io/fs"
	"os"
)

// List returns the names of the regular files in dir, in order; none when there is no dir.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		return nil, Plain(dir, p.Err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
