package sandbox

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// What is where in the workspace. The agents' files, messages and keys are in its state directory.
const (
	configFile = "nanoclaw.toml"
	binDir     = "bin"
	program    = binDir + "/nanoclaw"
)

var programs = []string{"nanoclaw", "nanoclaw-runner"}

// CheckWorkspace makes path absolute, and refuses what would share too much.
func CheckWorkspace(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	dir = config.Resolved(dir)
	home, _ := os.UserHomeDir()
	if config.Within(config.Resolved(home), dir) {
		return "", fmt.Errorf("%w: %s is or holds your whole home directory, and all of a workspace is in the sandbox's "+
			"hands: name a directory of its own", host.ErrInvalid, dir)
	}
	return dir, nil
}

// place puts the Linux programs for arch into the workspace, and skills where there are none yet. It says
// what it changed. Everything is written through root: what runs in the sandbox can put links there.
func (b *Box) place(root *os.Root, arch string) (changed bool, err error) {
	if err := mkdir(root, binDir); err != nil {
		return false, err
	}
	for _, name := range programs {
		from, err := b.find(name, arch)
		if err != nil {
			return changed, err
		}
		new, err := copyIn(root, from, path.Join(binDir, name), 0o755)
		if err != nil {
			return changed, fmt.Errorf("copy %s: %w", from, err)
		}
		if new {
			b.Say(fmt.Sprintf("copied %s to %s", from, filepath.Join(b.Workspace, binDir, name)))
		}
		changed = changed || new
	}
	return changed, nil
}

// find is where the program called name for arch is on this machine.
func (b *Box) find(name, arch string) (string, error) {
	var why []error
	for _, dir := range b.Programs {
		for _, p := range []string{filepath.Join(dir, "linux-"+arch, name), filepath.Join(dir, name)} {
			if _, err := os.Stat(p); err != nil {
				continue
			}
			switch is, err := b.Arch(p); {
			case err != nil:
				why = append(why, err)
			case is != arch:
				why = append(why, fmt.Errorf("%s is for %s", p, is))
			default:
				return p, nil
			}
		}
	}
	return "", errors.Join(fmt.Errorf("%w: there is no %s for linux/%s in %s; from the source: CGO_ENABLED=0 GOOS=linux "+
		"GOARCH=%[3]s go build -o DIR/ ./cmd/nanoclaw ./cmd/nanoclaw-runner, and then --programs DIR",
		host.ErrNotFound, name, arch, strings.Join(b.Programs, ", ")), errors.Join(why...))
}

// skills copies the bundled skills into dir, unless there are some.
func (b *Box) skills(root *os.Root, dir string) error {
	rel, err := filepath.Rel(b.Workspace, dir)
	if err != nil || !filepath.IsLocal(rel) || b.Skills == "" {
		return err // elsewhere in the sandbox
	}
	rel = filepath.ToSlash(rel)
	if err := mkdir(root, rel); err != nil {
		return err
	}
	f, err := root.Open(rel)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := f.Readdirnames(-1)
	if err != nil || slices.ContainsFunc(have, func(n string) bool { return path.Ext(n) == ".wasm" }) {
		return err
	}
	bundled, err := filepath.Glob(filepath.Join(b.Skills, "*.wasm"))
	for _, from := range bundled {
		if err == nil {
			_, err = copyIn(root, from, path.Join(rel, filepath.Base(from)), 0o644)
		}
	}
	if err == nil {
		b.Say(fmt.Sprintf("copied %d skills to %s", len(bundled), dir))
	}
	return err
}

func mkdir(root *os.Root, dir string) error {
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if st, err := root.Lstat(dir); err != nil || !st.IsDir() {
		return errors.Join(err, fmt.Errorf("%w: %s is no directory", host.ErrInvalid, filepath.Join(root.Name(), dir)))
	}
	return nil
}

// copyIn copies a file unless it is there already. A running program is replaced, not overwritten.
func copyIn(root *os.Root, from, to string, mode os.FileMode) (changed bool, err error) {
	src, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer src.Close()
	want := sha256.New()
	if _, err := io.Copy(want, src); err != nil {
		return false, err
	}
	if st, err := root.Lstat(to); err == nil && st.Mode().IsRegular() && st.Mode().Perm() == mode {
		old, err := root.OpenFile(to, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO by now
		if err != nil {
			return false, err
		}
		have := sha256.New()
		_, err = io.Copy(have, io.LimitReader(old, 1<<30))
		old.Close()
		if err == nil && string(have.Sum(nil)) == string(want.Sum(nil)) {
			return false, nil
		}
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	tmp := to + "." + rand.Text()[:8]
	dst, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(dst, src)
	err = errors.Join(err, dst.Chmod(mode), dst.Close())
	if err == nil {
		err = root.Rename(tmp, to)
	}
	if err != nil {
		_ = root.Remove(tmp)
	}
	return err == nil, err
}
