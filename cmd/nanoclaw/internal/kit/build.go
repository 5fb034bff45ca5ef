package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

const (
	modulePath = "github.com/nanoclaw/nanoclaw"
	goNeeded   = "1.26" // of the SDK; go.mod says the same
	maxOutput  = 16 << 10
)

// Build makes one .wasm file of one folder.
type Build struct {
	Dir   string
	Out   string                                   // "" = <dir>/<name>.wasm
	Admit skill.Admitter                           // compiles it as admission would; nil = that is left to admission
	Keep  func(context.Context, *skill.File) error // in place of Admit: admission itself, whose work is kept
	Stage func(name string, took time.Duration)
	name  string
	tmp   string
}

// Run builds, embeds the manifest, checks and compiles the result exactly as admission
// would, and only then puts it in place.
func (b *Build) Run(ctx context.Context) (f *skill.File, err error) {
	if b.tmp, err = os.MkdirTemp("", "nanoclaw-build-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	if f, err = b.make(ctx); err != nil {
		return nil, err
	}
	return f, b.finish(ctx, f)
}

// finish compiles f as admission would and puts it in place.
func (b *Build) finish(ctx context.Context, f *skill.File) error {
	if b.Keep != nil {
		if err := b.timed("compile", func() error { return b.Keep(ctx, f) }); err != nil {
			return err
		}
	} else if b.Admit != nil {
		if err := b.timed("compile", func() error { return b.compile(ctx, f.Path) }); err != nil {
			return err
		}
	}
	if f.Path = b.Out; b.Out == "" {
		f.Path = filepath.Join(b.Dir, string(f.Manifest.Name)+".wasm")
	}
	return skill.WriteAtomic(f.Path, f.Bytes, 0o644)
}

// make builds and checks a file in b.tmp.
func (b *Build) make(ctx context.Context) (f *skill.File, err error) {
	m, spec, text, err := b.sources()
	if err != nil {
		return nil, err
	}
	b.name = string(m.Name)
	raw := filepath.Join(b.tmp, "module.wasm")
	compile := func() error { return b.command(ctx, spec.Command, raw) }
	if spec.Command == "" {
		l, err := langOf(b.Dir)
		if err != nil {
			return nil, err
		}
		compile = func() error { return l.build(b, ctx, raw) }
	}
	if err := b.timed("build", compile); err != nil {
		return nil, err
	}
	return b.check(raw, m, text)
}

// check makes the skill of a module and reads it as admission does.
func (b *Build) check(raw string, m host.Manifest, text string) (f *skill.File, err error) {
	packed := filepath.Join(b.tmp, string(m.Name)+".wasm")
	err = b.timed("check", func() error {
		if err := pack(raw, packed, m, text); err != nil {
			return err
		}
		f, err = skill.Read(packed)
		return err
	})
	return f, err
}

func (b *Build) compile(ctx context.Context, packed string) error {
	admitted := filepath.Join(b.tmp, "admitted")
	if err := os.Mkdir(admitted, 0o700); err != nil {
		return err
	}
	return skill.Admit(ctx, b.Admit, packed, admitted)
}

func (b *Build) timed(name string, f func() error) error {
	start := time.Now()
	err := f()
	b.Stage(name, time.Since(start))
	return err
}

func (b *Build) sources() (m host.Manifest, spec BuildSpec, text string, err error) {
	src, err := os.ReadFile(filepath.Join(b.Dir, "skill.toml"))
	if errors.Is(err, os.ErrNotExist) {
		return m, spec, "", fmt.Errorf("%w: %s has no skill.toml", host.ErrInvalid, b.Dir)
	} else if err != nil {
		return m, spec, "", err
	}
	if m, spec, err = ParseSkillTOML(src); err != nil {
		return m, spec, "", err
	}
	md, err := os.ReadFile(filepath.Join(b.Dir, "SKILL.md"))
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
func (b *Build) command(ctx context.Context, command, out string) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir, cmd.Env = b.Dir, append(os.Environ(), "OUT="+out)
	return quiet(cmd, "the build command of skill.toml")
}

// goBuild compiles Go. Nothing of the user's settings may change the result: same source, same digest.
func (b *Build) goBuild(ctx context.Context, out string) error {
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
	cmd.Dir, cmd.Env = b.Dir, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off",
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

var goLine = regexp.MustCompile(`(?m)^go\s+(\S+)`)

// overlay gives a folder that has no copy of the SDK the one that this program carries, and a
// go.mod that knows it. The folder itself is not changed and nothing is downloaded. It answers
// "" inside this repository, beside a copy, and where the go.mod names another.
func (b *Build) overlay() (string, error) {
	root, mod, err := b.findMod()
	if err != nil {
		return "", err
	}
	own := []byte(goMod(string(mod)))
	if strings.Contains(string(mod), modulePath) {
		if exists(filepath.Join(root, sdkDir)) || !strings.Contains(string(mod), "=> ./"+sdkDir+"\n") {
			return "", nil
		}
		own = mod
	}
	files, err := guestAPI("go")
	if err != nil {
		return "", err
	}
	at := filepath.Join(b.tmp, "overlay")
	if err := put(at, files); err != nil {
		return "", err
	}
	replace := map[string]string{filepath.Join(root, "go.mod"): filepath.Join(b.tmp, "go.mod")}
	for path := range files {
		replace[filepath.Join(root, sdkDir, path)] = filepath.Join(at, path)
	}
	spec, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.tmp, "overlay.json")
	return path, put(b.tmp, map[string][]byte{"go.mod": own, "overlay.json": spec})
}

// goMod is the text of a go.mod that knows the SDK.
func goMod(text string) string {
	if g := goLine.FindStringSubmatch(text); g == nil || version.Compare("go"+g[1], "go"+goNeeded) < 0 {
		text = goLine.ReplaceAllString(text, "") + "\ngo " + goNeeded + "\n"
	}
	return text + "\nrequire " + modulePath + " v0.0.0\n\nreplace " + modulePath + " => ./" + sdkDir + "\n"
}

// findMod finds the module that the folder is in, or makes one up: that of `skill new`.
func (b *Build) findMod() (root string, mod []byte, err error) {
	dir, err := filepath.Abs(b.Dir)
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
			return dir, []byte("module skill/" + b.name + "\n"), nil
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
