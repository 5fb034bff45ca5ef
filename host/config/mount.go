package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// never are directories that no agent gets, nor anything below them.
var never = []string{"/proc", "/sys", "/dev", "/run", "/var/run"}

// mounts resolves the directories of a role. Symlinks are followed now, once: what the
// kernel mounts later is the path that was checked.
func (b *builder) mounts(c *Config, at string, tables []mountTable) (out []host.Mount) {
	for i, t := range tables {
		at := fmt.Sprintf("%s.mounts[%d]", at, i)
		m := host.Mount{Name: t.Name, Write: t.Mode == "rw"}
		if t.Mode != "" && t.Mode != "ro" && t.Mode != "rw" {
			b.fail(at+".mode", `must be "ro" or "rw"`)
		}
		var err error
		if m.Path, err = b.mountPath(c, t.Path); err != nil {
			b.fail(at+".path", "%v", err)
			continue
		}
		if m.Name == "" {
			m.Name = filepath.Base(b.path(t.Path))
		}
		if !entryName.MatchString(m.Name) {
			b.fail(at, "give it a name of letters, digits, hyphens and underscores: it becomes /mnt/NAME")
		}
		if slices.ContainsFunc(out, func(o host.Mount) bool { return o.Name == m.Name }) {
			b.fail(at, "another mount is called %q already; give it a name", m.Name)
		}
		out = append(out, m)
	}
	return out
}

func (b *builder) mountPath(c *Config, written string) (string, error) {
	if written == "" || !filepath.IsAbs(written) && written[0] != '~' {
		return "", fmt.Errorf("%q must be an absolute path, or begin with ~/", written)
	}
	path := b.path(written)
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", written, reason(err))
	}
	if st, err := os.Stat(real); err != nil || !st.IsDir() {
		return "", fmt.Errorf("%s is not a directory", written)
	}
	if err := aboveHome(written, path, real); err != nil {
		return "", err
	}
	state := resolved(c.StateDir)
	if within(real, state) || within(state, real) {
		return "", fmt.Errorf("%s holds, or is in, the state of NanoClaw", written)
	}
	if slices.ContainsFunc(never, func(d string) bool { return within(real, d) }) || within("/etc/passwd", real) {
		return "", fmt.Errorf("%s belongs to the system", written)
	}
	return real, nil
}

// aboveHome refuses the home directory as a whole, and a symlink in it that leads out.
func aboveHome(written, path, real string) error {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	if within(resolved(home), real) {
		return fmt.Errorf("%s is or holds your whole home directory; name a directory in it", written)
	}
	if within(path, home) && !within(real, resolved(home)) {
		return fmt.Errorf("%s leads out of your home directory, to %s; write that if you mean it", written, real)
	}
	return nil
}

// within reports whether p is dir or below it. Both are clean.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// resolved follows symlinks in as much of p as exists.
func resolved(p string) string {
	if real, err := filepath.EvalSymlinks(p); err == nil {
		return real
	}
	if parent := filepath.Dir(p); parent != p {
		return filepath.Join(resolved(parent), filepath.Base(p))
	}
	return p
}
