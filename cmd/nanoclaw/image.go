package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Claude Code as it is built in: a package for each machine, and what npm says of its bytes.
const claudeVersion = "2.1.330"

var claudePackages = map[string]struct{ name, integrity string }{
	"amd64": {
		"@anthropic-ai/claude-code-linux-x64",
		"sha512-9Gn+V7DtJ8M1nztP9CeDVl9g3RtrepI7rOFTyPRRnZe8D6zebIHKmC7OvBauucuAP0X0k85SDN/LPVZyjsGezQ==",
	},
	"arm64": {
		"@anthropic-ai/claude-code-linux-arm64",
		"sha512-V4yanAY5EA5UpwwRPtjSfqDbNqAlUJeVn3NYZw2AgmRHjdpSsLtHAzbxRXfkAnbjwTXzE0uedjQxUY02ARPcsA==",
	},
}

// slimBase is what the image is made from where images can be pulled; Debian's packages else.
const slimBase = "debian@sha256:40b107342c492725bc7aacbe93a49945445191ae364184a6d24fedb28172f6f7"

// claudeSettings hold for every user of the image, and no other settings win over them.
const claudeSettings = `{
  "apiKeyHelper": "echo proxy-managed",
  "env": {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1"
  }
}
`

func (a *app) imageCmd() *cobra.Command {
	c := &cobra.Command{Use: "image", Short: "Build images for roles whose engine is a program"}
	var base string
	build := &cobra.Command{
		Use: "build claude-code", Short: "Build the image of Claude Code", Args: cobra.ExactArgs(1),
		Long: `Build the image that a role with preset = "claude-code" runs.

It is Claude Code of a pinned version and digest, from npm, on a base: --base, an image that
the Docker daemon has or can pull; else a pinned slim Debian, where images can be pulled; else
a minimal Debian made of its packages by debootstrap, as root, which takes some minutes. It
holds no key and no runner; agents run it read-only, without network and as no root.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != wire.PresetClaude {
				return &exitError{exitUsage, fmt.Errorf("%q cannot be built; there is claude-code", args[0])}
			}
			return a.buildClaude(cmd.Context(), base)
		},
	}
	build.Flags().StringVar(&base, "base", "", "image to build on")
	c.AddCommand(build)
	return c
}

func (a *app) buildClaude(ctx context.Context, base string) (err error) {
	d, err := container.NewDocker(ctx, container.DockerConfig{InstallID: "image", Log: a.log})
	if err != nil {
		return err
	}
	defer d.Close()
	info, err := d.Info(ctx)
	if err != nil {
		return err
	}
	pkg, ok := claudePackages[info.Arch]
	if !ok {
		return fmt.Errorf("%w: there is no Claude Code for %s", host.ErrNotFound, info.Arch)
	}
	dir, err := os.MkdirTemp("", "nanoclaw-image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeTree(dir)) }()
	fmt.Fprintf(a.stdout, "getting %s %s\n", pkg.name, claudeVersion)
	archive, err := a.npmPack(ctx, dir, pkg.name+"@"+claudeVersion, pkg.integrity)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	layer, made := &layer{Writer: tar.NewWriter(w), made: make(map[string]bool)}, make(chan error, 1)
	go func() {
		err := a.base(ctx, d, base, dir, layer)
		if err == nil {
			err = layer.finish(archive)
		}
		w.CloseWithError(err)
		made <- err
	}()
	err = d.Import(ctx, config.ClaudeImage, r, "claude-code-"+claudeVersion)
	r.Close()
	if e := <-made; e != nil && !errors.Is(e, io.ErrClosedPipe) {
		err = e
	}
	if err == nil {
		fmt.Fprintf(a.stdout, "image %s is ready, for roles with engine = %q, preset = %q\n",
			config.ClaudeImage, "exec", wire.PresetClaude)
	}
	return err
}

// npmPack gets a package by its ordinary client, and checks what it got.
func (a *app) npmPack(ctx context.Context, dir, spec, integrity string) (string, error) {
	if err := a.tool(ctx, dir, "npm", "pack", "--silent", "--pack-destination", dir, spec); err != nil {
		return "", err
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if len(found) != 1 {
		return "", fmt.Errorf("%w: npm pack left %d files", host.ErrNotFound, len(found))
	}
	f, err := os.Open(found[0])
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != integrity {
		return "", fmt.Errorf("%w: %s is %s, and must be %s", host.ErrDenied, spec, got, integrity)
	}
	return found[0], nil
}

// tool runs a program of this machine; what it says on failure is the error.
func (a *app) tool(ctx context.Context, dir, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%w: %s is needed, and is not installed", host.ErrNotFound, name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", name, err, strings.Join(lines[max(0, len(lines)-5):], "; "))
	}
	return nil
}

// base writes what the image is made on.
func (a *app) base(ctx context.Context, d *container.Docker, image, dir string, l *layer) error {
	from, err := d.Export(ctx, image)
	if image == "" {
		from, err = d.Export(ctx, slimBase)
	}
	if err == nil {
		defer from.Close()
		return l.addTar(from)
	}
	if image != "" {
		return err
	}
	fmt.Fprintln(a.stdout, "no image can be pulled here; making a Debian of its packages, which takes some minutes")
	if os.Getuid() != 0 {
		return fmt.Errorf("%w: debootstrap needs root; or name an image that is there: --base IMAGE", host.ErrDenied)
	}
	root := filepath.Join(dir, "rootfs")
	err = a.tool(ctx, dir, "debootstrap", "--variant=minbase", "--include=git", "bookworm", root)
	if err != nil {
		return fmt.Errorf("%w; on Debian: apt-get install debootstrap", err)
	}
	return l.addDir(root)
}

// removeTree removes dir, unless something is mounted in it, which would be emptied.
func removeTree(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err == nil && strings.Contains(string(mounts), " "+dir+"/") {
		return fmt.Errorf("%w: something is still mounted below %s, which is left there", host.ErrBusy, dir)
	}
	return os.RemoveAll(dir)
}

// layer is the file system of an image on its way.
type layer struct {
	*tar.Writer
	made map[string]bool // what is there already
}

// unwanted is what an image has no use for: what is mounted over, and what only people read.
var unwanted = []string{
	"proc/", "sys/", "dev/", "run/", "tmp/", "var/cache/", "var/lib/apt/lists/", "var/log/", ".dockerenv",
	"usr/share/doc/", "usr/share/man/", "usr/share/locale/",
}

// add writes one file, but for what the image is not to have: programs that change who runs them
// among it.
func (l *layer) add(h *tar.Header, body io.Reader) error {
	h.Name = strings.TrimPrefix(strings.TrimPrefix(h.Name, "./"), "/")
	wanted := !slices.ContainsFunc(unwanted, func(p string) bool { return strings.HasPrefix(h.Name, p) && h.Name != p })
	device := h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock || h.Typeflag == tar.TypeFifo
	if h.Name == "" || !wanted || device || l.made[strings.TrimSuffix(h.Name, "/")] {
		return nil
	}
	l.made[strings.TrimSuffix(h.Name, "/")] = true
	if h.Mode &^= 0o6000; h.Typeflag == tar.TypeDir {
		h.Name = strings.TrimSuffix(h.Name, "/") + "/"
	}
	if h.Name == "etc/passwd" { // git and others ask who they are
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		b = fmt.Appendf(b, "agent:x:65532:65532::/workspace:/bin/sh\n")
		if uid := os.Getuid(); uid != 0 {
			b = fmt.Appendf(b, "owner:x:%d:%d::/workspace:/bin/sh\n", uid, os.Getgid())
		}
		h.Size, body = int64(len(b)), strings.NewReader(string(b))
	}
	if err := l.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeReg {
		_, err := io.Copy(l, body)
		return err
	}
	return nil
}

func (l *layer) addTar(r io.Reader) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = l.add(h, t)
		}
		if err != nil {
			return err
		}
	}
}

func (l *layer) addDir(root string) error {
	return filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		link := ""
		if st.Mode()&os.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		if st.Mode()&os.ModeSocket != 0 {
			return nil
		}
		h, err := tar.FileInfoHeader(st, link)
		if err != nil {
			return err
		}
		if h.Name, err = filepath.Rel(root, path); err != nil || h.Name == "." {
			return err
		}
		if st.IsDir() {
			unread := slices.Contains(unwanted, h.Name+"/")
			if err := l.add(h, nil); err != nil || !unread {
				return err
			}
			return filepath.SkipDir
		}
		if !st.Mode().IsRegular() {
			return l.add(h, nil)
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return l.add(h, f)
	})
}

// finish adds Claude Code, its settings, and the places of what is mounted.
func (l *layer) finish(archive string) error {
	for _, dir := range []string{
		"etc/", "etc/claude-code/", "usr/", "usr/local/", "usr/local/bin/", "workspace/", "skills/", "mnt/", "tmp/",
	} {
		if err := l.add(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"etc/claude-code/managed-settings.json": claudeSettings, "runner": "", "etc/passwd": "root:x:0:0::/:/bin/sh\n",
	} {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}
		if err := l.add(h, strings.NewReader(text)); err != nil {
			return err
		}
	}
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err != nil {
			return fmt.Errorf("%w: the package has no package/claude: %w", host.ErrInvalid, err)
		}
		if h.Name == "package/claude" {
			h = &tar.Header{Typeflag: tar.TypeReg, Name: "usr/local/bin/claude", Mode: 0o755, Size: h.Size}
			return errors.Join(l.add(h, t), l.Close())
		}
	}
}
