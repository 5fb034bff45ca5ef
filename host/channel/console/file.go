package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/nanoclaw/nanoclaw/host"
)

// MaxFile implements channel.Filer.
func (c *Console) MaxFile() int64 { return host.MaxFile }

// open looks at what the user attaches. What is wrong with a path is said at once.
func open(paths []string) (out []host.File, err error) {
	if len(paths) > host.MaxFiles {
		return nil, fmt.Errorf("%w: a message has at most %d files", host.ErrInvalid, host.MaxFiles)
	}
	for _, path := range paths {
		st, err := os.Stat(path)
		switch {
		case !filepath.IsAbs(path):
			return nil, fmt.Errorf("%w: %s is no absolute path", host.ErrInvalid, path)
		case err != nil:
			return nil, fmt.Errorf("%w: %w", host.ErrInvalid, err)
		case !st.Mode().IsRegular():
			return nil, fmt.Errorf("%w: %s is not a regular file", host.ErrInvalid, path)
		}
		out = append(out, host.File{
			Name: filepath.Base(path), Size: st.Size(), Open: func(context.Context) (io.ReadCloser, error) {
				return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be another one by now
			},
		})
	}
	return out, nil
}

// save copies the file of o to where the user finds it, and returns what they read. undo takes it away
// when nobody was told.
func (c *Console) save(ctx context.Context, o host.Outgoing) (text string, undo func(error), err error) {
	in, err := o.File.Open(ctx)
	if err != nil {
		return "", nil, err
	}
	defer in.Close()
	out, err := c.create(o.File.Name)
	if err != nil {
		return "", nil, fmt.Errorf("console: %w", err)
	}
	_, err = io.Copy(out, in)
	undo = func(err error) {
		if err != nil {
			_ = os.Remove(out.Name()) // it is sent again later, under this name
		}
	}
	if err = errors.Join(err, out.Close()); err != nil {
		undo(err)
		return "", nil, fmt.Errorf("console: %w", err)
	}
	return strings.TrimSpace(o.Text + "\n[file: " + out.Name() + "]"), undo, nil
}

// create makes a file that replaces none.
func (c *Console) create(name string) (*os.File, error) {
	if err := os.MkdirAll(c.received, 0o700); err != nil {
		return nil, err
	}
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for n := 2; ; n++ {
		f, err := os.OpenFile(filepath.Join(c.received, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, os.ErrExist) {
			return f, err
		}
		name = fmt.Sprintf("%s-%d%s", stem, n, ext)
	}
}
