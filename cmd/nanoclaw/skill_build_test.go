package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
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
func standIn(t *testing.T, script string) childAdmitter {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runner")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return childAdmitter{path}
}

const copies = `cp "$2" "$3/skill.wasm" && echo '{"ok":true}'`

// build runs a build as a machine does that has the Go toolchain, no network and odd settings.
func build(t *testing.T, dir, out string) (*skill.File, error) {
	t.Helper()
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "-mod=mod")
	b := &skillBuild{dir: dir, out: out, admit: standIn(t, copies), stage: func(string, time.Duration) {}}
	return b.run(t.Context())
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
		code  int
	}{
		"no skill.toml":   {map[string]string{"main.go": good}, "has no skill.toml", exitUsage},
		"bad skill.toml":  {map[string]string{"main.go": good, "skill.toml": "nam = 1"}, `did you mean "name"?`, exitUsage},
		"does not build":  {map[string]string{"main.go": parrot("return 1"), "skill.toml": parrotTOML}, "main.go:5", exitFailure},
		"command fails":   {map[string]string{"skill.toml": `build = "echo oh no; exit 3"` + parrotTOML}, "oh no", exitFailure},
		"command is idle": {map[string]string{"skill.toml": `build = "true"` + parrotTOML}, "made no module", exitUsage},
		"command's text":  {map[string]string{"skill.toml": `build = "echo hi > $OUT"` + parrotTOML}, "not a WebAssembly file", exitDenied},
		"a component": {
			map[string]string{"skill.toml": `build = '''printf '\0asm\015\0\001\0' > $OUT'''` + parrotTOML}, "this is a WebAssembly component", exitDenied,
		},
		"undeclared": {
			map[string]string{"main.go": parrot(`_, err := sdk.HTTP(sdk.Request{URL: "https://x"}); return "", err`), "skill.toml": parrotTOML},
			`"nanoclaw_http_1" without declaring the capability "http"`, exitDenied,
		},
	} {
		t.Run(name, func(t *testing.T) {
			out := folder(t, t.TempDir(), map[string]string{"x.wasm": "what was there"})
			_, err := build(t, folder(t, t.TempDir(), c.files), filepath.Join(out, "x.wasm"))
			if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != c.code {
				t.Fatalf("%v (exit code %d), want %q (%d)", err, exitCode(err), c.want, c.code)
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

// runSkill runs the command line and answers its exit code, stdout and stderr.
func runSkill(args ...string) (int, string, string) {
	var stdout, stderr bytes.Buffer
	code := run(append([]string{"skill"}, args...), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestSkillInspect(t *testing.T) {
	toml := parrotTOML + `
[[capabilities]]
name = "http"
reason = "to listen"
hosts = ["api.example.com"]
methods = ["GET"]
`
	src := strings.Replace(parrot(`_, err := os.ReadFile("x"); return "", err`), "import ", "import \"os\"\nimport ", 1)
	f, err := build(t, folder(t, t.TempDir(), map[string]string{"main.go": src, "skill.toml": toml}), "")
	if err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runSkill("inspect", f.Path)
	for _, want := range []string{
		"parrot 1.0.0", string(f.Digest), "parrot_say: Says it",
		"http: send GET to api.example.com, because: to listen", "imported, unbound", "path_open",
	} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("%d %s%s, want %q", code, stdout, stderr, want)
		}
	}
	code, stdout, stderr = runSkill("inspect", "--json", f.Path)
	var got inspected
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitOK {
		t.Fatal(code, stdout, stderr, err)
	}
	if got.Name != "parrot" || got.Digest != f.Digest || got.Size != f.Size || got.Kind != "skill" ||
		len(got.Tools) != 1 || len(got.Capabilities) != 1 ||
		!slices.Contains(got.Imports, inspectImport{"wasi_snapshot_preview1", "path_open", false}) ||
		!slices.Contains(got.Imports, inspectImport{"nanoclaw_core_1", "output_write", true}) {
		t.Errorf("%+v", got)
	}
}

func TestSkillCommandExitCodes(t *testing.T) {
	bad := filepath.Join(folder(t, t.TempDir(), map[string]string{"bad.wasm": "\x00asm\x0d\x00\x01\x00"}), "bad.wasm")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"inspect", bad}, exitDenied, "refused: this is a WebAssembly component"},
		{[]string{"inspect", bad + "2"}, exitUsage, "not found"},
		{[]string{"inspect"}, exitUsage, "'nanoclaw skill inspect --help'"},
		{[]string{"inspect", "--yaml", bad}, exitUsage, "unknown flag"},
		{[]string{"build", "a", "b"}, exitUsage, "'nanoclaw skill build --help'"},
		{[]string{"bild"}, exitUsage, "bild"},
	} {
		code, stdout, stderr := runSkill(c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%q: exit %d, %q, %q; want %d and %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
}

func TestNeedText(t *testing.T) {
	for want, n := range map[string]host.Need{
		"fs: read files of the workspace below notes, because: r":               {Name: "fs", Mode: "ro", Path: "notes"},
		"fs: read and write files of the workspace (optional), because: r":      {Name: "fs", Optional: true},
		"http: send requests to the public web, because: r":                     {Name: "http", PublicWeb: true},
		"http: send GET, POST to a.com, because: r":                             {Name: "http", Hosts: []string{"a.com"}, Methods: []string{"GET", "POST"}},
		"http: send requests to the public web and to a.com, b.com, because: r": {Name: "http", PublicWeb: true, Hosts: []string{"a.com", "b.com"}},
		"http: send requests to whatever hosts its role allows, because: r":     {Name: "http"},
		"llm: ask the language model, because: r":                               {Name: "llm"},
	} {
		n.Reason = "r"
		if got := needText(n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, c := range host.Capabilities {
		if strings.Contains(needText(host.Need{Name: c, Reason: "r"}), ": ,") {
			t.Errorf("%s has no words", c)
		}
	}
}
