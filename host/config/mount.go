package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nanoclaw/nanoclaw/host"
)

// mounts resolves the directories of a role. Symlinks are followed now, once: what the kernel
// mounts later is the path that was checked, and host/agent refuses it if it leads elsewhere by then.
//
// The allow-list is the file itself: the directories that its roles name, bounded by [mounts]
// allow or, without that, by the home directory. The file is the owner's, as a list in a second
// place would be, as long as no agent can write it. So no mount holds the configuration, or
// anything else that decides what NanoClaw does, or a symlink on the way to it.
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

// mountRules prepares what every mount is compared with. Sources of secrets are guarded already.
func (b *builder) mountRules(c *Config, f *file) {
	program, _ := os.Executable()
	b.guarded = append(b.guarded, c.Path, c.SkillsDir, c.StateDir, program)
	for _, r := range f.Roles {
		b.guarded = append(b.guarded, b.path(r.PromptFile)) // without one, the directory of the configuration
	}
	b.guarded = slices.DeleteFunc(b.guarded, func(p string) bool { return !filepath.IsAbs(p) })
	slices.Sort(b.guarded)
	for _, root := range f.Mounts.Allow {
		path, err := b.absolute(root)
		if err == nil {
			err = refused(path, Resolved(path))
		}
		if err != nil {
			b.fail("mounts.allow", "%q %v", root, err)
		}
		b.allowed = append(b.allowed, Resolved(path))
	}
	if f.Mounts.Allow == nil {
		home, _ := homeDir() // none: no mount gets as far as the list
		b.allowed = []string{home}
	}
	if b.sandboxed() { // whose Docker daemon sees the workspace alone
		b.inWorkspace("state_dir", c.StateDir)
		b.allowed = []string{Resolved(b.dir)}
	}
}

// inWorkspace refuses a directory that containers in a Docker Sandbox could not be given.
func (b *builder) inWorkspace(at, dir string) {
	if !Within(Resolved(dir), Resolved(b.dir)) {
		b.fail(at, "%s is outside of %s: in a Docker Sandbox only what is in its workspace can be mounted", dir, b.dir)
	}
}

// mountPath is where a written path really is, when that may be mounted.
func (b *builder) mountPath(c *Config, written string) (string, error) {
	path, err := b.absolute(written)
	if err != nil {
		return "", fmt.Errorf("%q %w", written, err)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", written, reason(err))
	}
	if st, err := os.Stat(real); err != nil || !st.IsDir() {
		return "", fmt.Errorf("%s is not a directory; of single files, mount the directory that they are in", written)
	}
	if err := refused(path, real); err != nil {
		return "", fmt.Errorf("%s %w", written, err)
	}
	for _, own := range b.guarded {
		if passes(own, real) {
			return "", fmt.Errorf("%s holds %s, or a symlink to it, which is not for agents", written, own)
		}
	}
	if below(real, Resolved(c.StateDir)) || below(real, Resolved(c.SkillsDir)) {
		return "", fmt.Errorf("%s belongs to NanoClaw", written)
	}
	if !slices.ContainsFunc(b.allowed, func(root string) bool { return Within(real, root) }) {
		hint := "if you mean it, list it as allow in [mounts]"
		if b.sandboxed() {
			hint = "in a Docker Sandbox only what is in its workspace can be mounted"
		}
		return "", fmt.Errorf("%s is %s, outside of %s; %s", written, real, strings.Join(b.allowed, " and "), hint)
	}
	if err := syscall.Access(real, readAndEnter); err != nil {
		return "", fmt.Errorf("%s: %w: give the user that runs nanoclaw the right to read it", written, err)
	}
	return real, nil
}

const readAndEnter = 4 | 1

// absolute is a written path, and never one beside the file.
func (b *builder) absolute(written string) (string, error) {
	if !filepath.IsAbs(written) && written != "~" && !strings.HasPrefix(written, "~/") {
		return "", errors.New("must be an absolute path, or begin with ~/")
	}
	_, err := homeDir()
	return b.path(written), err
}

// apart refuses a mount on whose way is a name that an agent can replace: it could put a symlink
// there, and Docker would follow it at the next start.
func (b *builder) apart(c *Config, f *file) {
	for _, n := range slices.Sorted(maps.Keys(f.Roles)) {
		for i, t := range f.Roles[n].Mounts {
			path, err := b.absolute(t.Path)
			if err != nil {
				continue
			}
			at := fmt.Sprintf("roles.%s.mounts[%d].path", n, i)
			for _, w := range slices.Sorted(maps.Keys(c.Roles)) {
				for _, m := range c.Roles[w].Mounts {
					if m.Write && passes(path, m.Path) {
						b.fail(at, "%s leads through %s, where role %s could put a symlink in its place: mount that read-only, "+
							"or another directory", t.Path, m.Path, w)
					}
				}
			}
		}
	}
}

// passes reports whether resolving p looks up a name in dir.
func passes(p, dir string) bool {
	seen := make(map[string]string)
	trail(p, seen)
	for _, at := range seen {
		if below(at, dir) && !below(dir, at) {
			return true
		}
	}
	return false
}

// trail adds to seen every name that resolving p looks up, as written and where it really is.
func trail(p string, seen map[string]string) {
	if seen[p] != "" || p == "/" {
		return
	}
	at := filepath.Join(Resolved(filepath.Dir(p)), filepath.Base(p))
	seen[p] = at
	if link, err := os.Readlink(at); err == nil {
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(at), link)
		}
		trail(filepath.Clean(link), seen)
	}
	trail(filepath.Dir(p), seen)
}

// Within reports whether p is dir or below it. Both are clean.
func Within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// Resolved follows symlinks in as much of p as exists.
func Resolved(p string) string {
	if real, err := filepath.EvalSymlinks(p); err == nil {
		return real
	}
	if parent := filepath.Dir(p); parent != p {
		return filepath.Join(Resolved(parent), filepath.Base(p))
	}
	return p
}
