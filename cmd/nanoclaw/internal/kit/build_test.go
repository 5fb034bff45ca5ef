package kit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

const parrotTOML = `
name = "parrot"
version = "1.0.0"
description = "Says it again"
[[tools]]
name = "say"
description = "Says it"
[tools.inputSchema]
type = "object"
`

// parrot is a skill whose tool runs these statements.
func parrot(body string) string {
	return `package main

import "github.com/nanoclaw/nanoclaw/sdk"

func init() { sdk.Tool("say", func(sdk.Context, struct{}) (string, error) { ` + body + ` }) }

func main() {}
`
}

func folder(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// standIn is a child process in the place of nanoclaw-runner: a shell script.
func standIn(t *testing.T, script string) ChildAdmitter {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return ChildAdmitter{path}
}

const copies = `cp "$2" "$3/skill.wasm" && echo '{"ok":true}'`

// build runs a build as a machine does that has the Go toolchain, no network and odd settings.
func build(t *testing.T, dir, out string) (*skill.File, error) {
	t.Helper()
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "-mod=mod")
	b := &Build{Dir: dir, Out: out, Admit: standIn(t, copies), Stage: func(string, time.Duration) {}}
	return b.Run(t.Context())
}

func TestBuildNeedsOnlyGo(t *testing.T) {
	files := map[string]string{"main.go": parrot(`return "hello", nil`), "skill.toml": parrotTOML, "SKILL.md": "# Parrot\n"}
	dir := folder(t, t.TempDir(), files)
	f, err := build(t, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if f.Path != filepath.Join(dir, "parrot.wasm") || f.Text != "# Parrot\n" || f.Manifest.Name != "parrot" {
		t.Fatalf("%+v", f)
	}
	read, err := skill.Read(f.Path)
	if err != nil || read.Digest != f.Digest {
		t.Fatal(read, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(files)+1 {
		t.Fatalf("the folder holds %v", entries)
	}
	elsewhere := folder(t, filepath.Join(t.TempDir(), "quite", "another", "path"), files)
	again, err := build(t, elsewhere, filepath.Join(t.TempDir(), "x.wasm"))
	if err != nil || again.Digest != f.Digest {
		t.Fatalf("the same source on another path: %v, want %v; %v", again.Digest, f.Digest, err)
	}
}

func TestBuildInsideAnotherModule(t *testing.T) {
	mod := "module example.com/mine\n\ngo 1.21\n"
	root := folder(t, t.TempDir(), map[string]string{
		"go.mod": mod, "words/words.go": "package words\n\nconst Hello = \"hello\"\n",
		"parrot/skill.toml": parrotTOML,
		"parrot/main.go":    strings.Replace(parrot("return words.Hello, nil"), "import ", "import \"example.com/mine/words\"\nimport ", 1),
	})
	if _, err := build(t, filepath.Join(root, "parrot"), ""); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "go.mod")); err != nil || string(b) != mod {
		t.Fatalf("go.mod is now %s, %v", b, err)
	}
}

func TestBuildCommand(t *testing.T) {
	made, err := build(t, folder(t, t.TempDir(), map[string]string{"main.go": parrot(`return "", nil`), "skill.toml": parrotTOML}), "")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, t.TempDir(), map[string]string{"skill.toml": `build = "cp '` + made.Path + `' $OUT"` + parrotTOML})
	f, err := build(t, dir, "")
	if err != nil || f.Digest != made.Digest {
		t.Fatal(f, err)
	}
}

func TestBuildFailures(t *testing.T) {
	good := parrot(`return "", nil`)
	for name, c := range map[string]struct {
		files map[string]string
		want  string
		kind  error
	}{
		"no skill.toml":   {map[string]string{"main.go": good}, "has no skill.toml", host.ErrInvalid},
		"bad skill.toml":  {map[string]string{"main.go": good, "skill.toml": "nam = 1"}, `did you mean "name"?`, host.ErrInvalid},
		"does not build":  {map[string]string{"main.go": parrot("return 1"), "skill.toml": parrotTOML}, "main.go:5", nil},
		"command fails":   {map[string]string{"skill.toml": `build = "echo oh no; exit 3"` + parrotTOML}, "oh no", nil},
		"command is idle": {map[string]string{"skill.toml": `build = "true"` + parrotTOML}, "made no module", host.ErrInvalid},
		"command's text":  {map[string]string{"skill.toml": `build = "echo hi > $OUT"` + parrotTOML}, "not a WebAssembly file", host.ErrDenied},
		"a component": {
			map[string]string{"skill.toml": `build = '''printf '\0asm\015\0\001\0' > $OUT'''` + parrotTOML},
			"this is a WebAssembly component", host.ErrDenied,
		},
		"undeclared": {
			map[string]string{"main.go": parrot(`_, err := sdk.HTTP(sdk.Request{URL: "https://x"}); return "", err`), "skill.toml": parrotTOML},
			`"nanoclaw_http_1" without declaring the capability "http"`, host.ErrDenied,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := folder(t, t.TempDir(), map[string]string{"x.wasm": "what was there"})
			_, err := build(t, folder(t, t.TempDir(), c.files), filepath.Join(out, "x.wasm"))
			if err == nil || !strings.Contains(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) {
				t.Fatalf("%v, want %q and kind %v", err, c.want, c.kind)
			}
			if b, err := os.ReadFile(filepath.Join(out, "x.wasm")); err != nil || string(b) != "what was there" {
				t.Error("a failed build touched its output", err)
			}
			if left, err := os.ReadDir(out); err != nil || len(left) != 1 {
				t.Error(left, err)
			}
		})
	}
}

func TestGoTooOldOrMissing(t *testing.T) {
	for script, want := range map[string]string{"echo go1.22.3": "needs Go 1.26 or newer, ", "exit 1": "needs Go 1.26 or newer on the PATH"} {
		bin := folder(t, t.TempDir(), map[string]string{"go": "#!/bin/sh\n" + script + "\n"})
		if err := os.Chmod(filepath.Join(bin, "go"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", bin+":/usr/bin:/bin")
		_, err := build(t, folder(t, t.TempDir(), map[string]string{"main.go": parrot(""), "skill.toml": parrotTOML}), "")
		if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", script, err)
		}
	}
}

func TestChildAdmitter(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   error
		says   string
	}{
		"ok":            {copies, nil, ""},
		"refused":       {`echo '{"ok":false,"error":"refused: type mismatch"}'; exit 1`, host.ErrDenied, "type mismatch"},
		"ok and fails":  {`echo '{"ok":true}'; exit 1`, host.ErrCrashed, "exit status 1"},
		"silent":        {"exit 0", host.ErrCrashed, "failed"},
		"out of memory": {"echo fatal error: out of memory >&2; exit 2", host.ErrDenied, "too much memory"},
		"unlimited":     {`[ "$(ulimit -v)" != unlimited ] && ` + copies, nil, ""},
		"no secrets":    {`[ -z "$ANTHROPIC_API_KEY" ] && ` + copies, nil, ""},
		"flood":         {`yes | head -c 1000000; exit 1`, host.ErrCrashed, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("ANTHROPIC_API_KEY", "sk-test")
			in := filepath.Join(folder(t, t.TempDir(), map[string]string{"in.wasm": "x"}), "in.wasm")
			err := standIn(t, c.script).Admit(t.Context(), in, t.TempDir())
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want %v with %q", err, c.want, c.says)
			}
		})
	}
}
