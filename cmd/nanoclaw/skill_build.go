package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/module"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	modulePath = "github.com/nanoclaw/nanoclaw"
	goNeeded   = "1.26" // of the SDK; go.mod says the same
	maxOutput  = 16 << 10
)

// skillBuild makes one .wasm file of one folder.
type skillBuild struct {
	dir   string
	out   string         // "" = <dir>/<name>.wasm
	admit skill.Admitter // compiles it as admission would
	stage func(name string, took time.Duration)
	tmp   string
}

// run builds and finishes.
func (b *skillBuild) run(ctx context.Context) (f *skill.File, err error) {
	m, spec, text, err := b.sources()
	if err != nil {
		return nil, err
	}
	if b.out == "" {
		b.out = filepath.Join(b.dir, string(m.Name)+".wasm")
	}
	if b.tmp, err = os.MkdirTemp("", "nanoclaw-build-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	raw := filepath.Join(b.tmp, "module.wasm")
	compile := b.goBuild
	if spec.Command != "" {
		compile = func(ctx context.Context, out string) error { return b.command(ctx, spec.Command, out) }
	}
	if err := b.timed("build", func() error { return compile(ctx, raw) }); err != nil {
		return nil, err
	}
	return b.finish(ctx, raw, m, text)
}

// finish makes the skill of a module: packed, checked and compiled as admission would,
// and only then put in place.
func (b *skillBuild) finish(ctx context.Context, raw string, m host.Manifest, text string) (f *skill.File, err error) {
	packed := filepath.Join(b.tmp, string(m.Name)+".wasm")
	err = b.timed("check", func() error {
		if err := pack(raw, packed, m, text); err != nil {
			return err
		}
		f, err = skill.Read(packed)
		return err
	})
	if err != nil {
		return nil, err
	}
	admitted := filepath.Join(b.tmp, "admitted")
	if err := os.Mkdir(admitted, 0o700); err != nil {
		return nil, err
	}
	if err := b.timed("compile", func() error { return skill.Admit(ctx, b.admit, packed, admitted) }); err != nil {
		return nil, err
	}
	f.Path = b.out
	return f, skill.WriteAtomic(b.out, f.Bytes, 0o644)
}

func (b *skillBuild) timed(name string, f func() error) error {
	start := time.Now()
	err := f()
	b.stage(name, time.Since(start))
	return err
}

func (b *skillBuild) sources() (m host.Manifest, spec skill.BuildSpec, text string, err error) {
	src, err := os.ReadFile(filepath.Join(b.dir, "skill.toml"))
	if errors.Is(err, os.ErrNotExist) {
		return m, spec, "", fmt.Errorf("%w: %s has no skill.toml", host.ErrInvalid, b.dir)
	} else if err != nil {
		return m, spec, "", err
	}
	if m, spec, err = skill.ParseSkillTOML(src); err != nil {
		return m, spec, "", err
	}
	md, err := os.ReadFile(filepath.Join(b.dir, "SKILL.md"))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return m, spec, string(md), err
}

func pack(raw, packed string, m host.Manifest, text string) error {
	st, err := os.Stat(raw)
	if err != nil {
		return fmt.Errorf("%w: the build made no module", host.ErrInvalid)
	}
	if st.Size() > module.MaxSize {
		return fmt.Errorf("%w: the module has %d bytes, at most %d", host.ErrDenied, st.Size(), module.MaxSize)
	}
	wasm, err := os.ReadFile(raw)
	if err != nil {
		return err
	}
	if wasm, err = skill.Pack(wasm, m, text); err != nil {
		return err
	}
	return os.WriteFile(packed, wasm, 0o644)
}

// command runs the folder's own build command, which writes the module to $OUT.
func (b *skillBuild) command(ctx context.Context, command, out string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "OUT="+out)
	return quiet(cmd, "the build command of skill.toml")
}

// goBuild compiles Go. Nothing of the user's settings may change the result: same source, same digest.
func (b *skillBuild) goBuild(ctx context.Context, out string) error {
	tool, err := findGo(ctx)
	if err != nil {
		return err
	}
	args := []string{"build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out}
	overlay, err := b.overlay()
	if err != nil {
		return err
	}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, tool, append(args, ".")...)
	cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off",
		"GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "GO111MODULE=on", "GOTOOLCHAIN=local")
	return quiet(cmd, "go build")
}

func findGo(ctx context.Context) (string, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		tool = "/usr/local/go/bin/go" // where go.dev's archive goes, and often not on the PATH
	}
	cmd := exec.CommandContext(ctx, tool, "env", "GOVERSION")
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	cmd.Dir = os.TempDir() // no go.mod there may ask for another version
	found, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: building a Go skill needs Go %s or newer on the PATH: https://go.dev/dl/",
			host.ErrUnavailable, goNeeded)
	}
	v := strings.TrimSpace(string(found))
	if version.IsValid(v) && version.Compare(v, "go"+goNeeded) < 0 {
		return "", fmt.Errorf("%w: building a Go skill needs Go %s or newer, %s is %s",
			host.ErrUnavailable, goNeeded, tool, v)
	}
	return tool, nil
}

// overlaid is where the go command sees the SDK: a path below the module, so that no
// temporary name gets into the result.
const overlaid = ".nanoclaw-sdk"

var goLine = regexp.MustCompile(`(?m)^go\s+(\S+)`)

// overlay gives a folder that does not know the SDK a go.mod that does: the source this
// program carries. The folder itself is not changed and nothing is downloaded. It
// answers "" inside this repository and where the go.mod names the SDK.
func (b *skillBuild) overlay() (string, error) {
	root, mod, err := findMod(b.dir)
	if err != nil {
		return "", err
	}
	if strings.Contains(string(mod), modulePath) {
		return "", nil
	}
	text := string(mod)
	if g := goLine.FindStringSubmatch(text); g == nil || version.Compare("go"+g[1], "go"+goNeeded) < 0 {
		text = goLine.ReplaceAllString(text, "") + "\ngo " + goNeeded + "\n"
	}
	text += "\nrequire " + modulePath + " v0.0.0\nreplace " + modulePath + " => ./" + overlaid + "\n"
	files := map[string]string{}
	put := func(path string, content []byte) error {
		real := filepath.Join(b.tmp, fmt.Sprintf("overlay%d", len(files)))
		files[filepath.Join(root, path)] = real
		return os.WriteFile(real, content, 0o600)
	}
	err = errors.Join(put("go.mod", []byte(text)),
		put(overlaid+"/go.mod", []byte("module "+modulePath+"\n\ngo "+goNeeded+"\n")),
		fs.WalkDir(sdk.Source, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := sdk.Source.ReadFile(path)
			return errors.Join(err, put(overlaid+"/sdk/"+path, content))
		}))
	if err != nil {
		return "", err
	}
	spec, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.tmp, "overlay.json")
	return path, os.WriteFile(path, spec, 0o600)
}

// findMod finds the module that dir is in, or makes one up.
func findMod(dir string) (root string, mod []byte, err error) {
	dir, err = filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", nil, err
	}
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil {
			return at, mod, nil
		}
		if at == filepath.Dir(at) {
			return dir, []byte("module skill\n"), nil
		}
	}
}

// quiet runs cmd and shows what it said only when it failed.
func quiet(cmd *exec.Cmd, what string) error {
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(string(out[max(0, len(out)-maxOutput):]))
	return fmt.Errorf("%s: %w\n%s", what, err, text)
}

// childAdmitter compiles in a memory-limited process of this machine: for building
// skills where no Docker daemon answers. It is not what guards a host: agent.Admitter is.
type childAdmitter struct{ runner string }

const (
	childMemoryKiB = 4 << 20 // of address space, most of which Go only reserves
	childTimeout   = 2 * time.Minute
)

// Key is never used: nothing of a build's compilation is kept.
func (childAdmitter) Key() string { return "child-" + runtime.GOARCH }

// Admit runs the runner's `admit`.
func (c childAdmitter) Admit(ctx context.Context, wasmPath, outDir string) error {
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	limit := fmt.Sprintf(`ulimit -v %d 2>/dev/null; exec "$0" admit "$1" "$2"`, childMemoryKiB) // macOS has no such limit
	cmd := exec.CommandContext(ctx, "sh", "-c", limit, c.runner, wasmPath, outDir)
	cmd.Env = []string{"GOMEMLIMIT=1GiB", "TMPDIR=" + os.TempDir()}
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var result wire.AdmitResult
	switch decode := wire.Decode(io.LimitReader(&stdout, maxOutput), maxOutput, &result); {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: refused: compiling took longer than %v", host.ErrDenied, childTimeout)
	case decode == nil && result.OK && err == nil:
		return nil
	case decode == nil && result.Error != "":
		return fmt.Errorf("%w: %s", host.ErrDenied, result.Error)
	case strings.Contains(stderr.String(), "out of memory"):
		return fmt.Errorf("%w: refused: compiling needs too much memory", host.ErrDenied)
	}
	return fmt.Errorf("%w: the compiling process failed: %w: %.500s", host.ErrCrashed, err, stderr.String())
}
