package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

// runSkill runs the command line and answers its exit code, stdout and stderr.
func runSkill(args ...string) (int, string, string) {
	return runCommand(append([]string{"skill"}, args...)...)
}

func runCommand(args ...string) (int, string, string) {
	var stdout, stderr bytes.Buffer
	code := run(args, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestSkillInspect(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "skill.toml"), `name = "parrot"
version = "1.0.0"
description = "Says it again"
[[tools]]
name = "say"
description = "Says it"
inputSchema = { type = "object" }
[[capabilities]]
name = "http"
reason = "to listen"
hosts = ["api.example.com"]
methods = ["GET"]
`)
	write(t, filepath.Join(dir, "main.go"), `package main

import (
	"os"

	"github.com/nanoclaw/nanoclaw/sdk"
)

func init() {
	sdk.Tool("say", func(sdk.Context, struct{}) (string, error) { _, err := os.ReadFile("x"); return "", err })
}

func main() {}
`)
	s := newSite(t, "")
	if out, err := s.cmd("skill", "build", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := skill.Read(filepath.Join(dir, "parrot.wasm"))
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
	bad := filepath.Join(t.TempDir(), "bad.wasm")
	write(t, bad, "\x00asm\x0d\x00\x01\x00")
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
