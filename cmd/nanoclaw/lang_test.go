package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/kit"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// `make toolchains` puts asc where nothing but these tests looks.
func init() {
	at, err := filepath.Abs("../../bin/toolchains/node_modules/.bin")
	if err != nil {
		panic(err)
	}
	os.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+at)
}

// ran fails the test unless c ends well, and answers what it said.
func ran(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", c.Args, err, &stdout, &stderr)
	}
	return stdout.String()
}

// called is the text of a tool's answer.
func called(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	var r wire.ToolResult
	out := ran(t, c)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %v: %s", c.Args, err, out)
	}
	return r.Text()
}

func code(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// newSkill is `skill new`, as a stranger does it.
func (s site) newSkill(name, lang string, args ...string) (dir string) {
	s.t.Helper()
	dir = filepath.Join(s.t.TempDir(), name)
	ran(s.t, s.cmd(append([]string{"skill", "new", name, "--lang", lang, "-o", dir}, args...)...))
	return dir
}

// TestNewSkillInEveryLanguage: what `skill new` makes builds, answers in a container and
// passes its own test, with nothing but the language's toolchain.
func TestNewSkillInEveryLanguage(t *testing.T) {
	s := newSite(t, "")
	for _, lang := range kit.Langs() {
		t.Run(lang, func(t *testing.T) {
			s := s
			s.t = t
			name := "greeter-" + lang
			dir := s.newSkill(name, lang)
			out := filepath.Join(t.TempDir(), "x.wasm")
			ran(t, s.cmd("skill", "build", dir, "-o", out))
			if got := called(t, s.cmd("skill", "call", out, name, `{"name":"Ada \"é\""}`)); got != `Hello, Ada "é"!` {
				t.Errorf("it said %q", got)
			}
			for _, args := range []string{`{"name":""}`, `{"name":7}`} {
				said, err := s.cmd("skill", "call", out, name, args).CombinedOutput()
				if code(err) != exitFailure || !strings.Contains(string(said), "isError") {
					t.Errorf("%s: %v: %s", args, err, said)
				}
			}
			for _, c := range ownTests[lang] {
				cmd := exec.Command("sh", "-c", c)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+t.TempDir())
				ran(t, cmd)
			}
		})
	}
}

// ownTests is how the README of a new skill says that it is tested.
var ownTests = map[string][]string{
	"go": {
		"GOPROXY=off GOFLAGS=-mod=mod go test ./...", "GOPROXY=off GOFLAGS= go test ./...", "GOPROXY=off go vet ./...",
		"GOPROXY=off GOOS=wasip1 GOARCH=wasm go vet .",
	},
	"rust": {"cargo test --offline"},
	"c":    {"cc -Wall -Werror -I nanoclaw-sdk skill_test.c nanoclaw-sdk/nanoclaw.c -o skill_test && ./skill_test"},
}

// TestNewAgentInEveryLanguage: a skill agent answers as the brain of a role.
func TestNewAgentInEveryLanguage(t *testing.T) {
	for _, lang := range kit.Langs() {
		t.Run(lang, func(t *testing.T) {
			if testing.Short() && lang != "go" {
				t.Skip("long: 'make test-all' runs it")
			}
			plugins := t.TempDir()
			s := newSite(t, fmt.Sprintf("[skills]\ndir = %q\n[roles.main]\ndescription = \"d\"\nprompt = \"p\"\nagent = \"brain\"\n", plugins))
			dir := s.newSkill("brain", lang, "--agent")
			ran(t, s.cmd("skill", "build", dir, "-o", filepath.Join(plugins, "brain.wasm")))
			if got := s.chat("hello"); !strings.Contains(got, "offline") {
				t.Errorf("chat said %q, want the offline model's words", got)
			}
			for _, c := range ownTests[lang] {
				cmd := exec.Command("sh", "-c", c)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "CARGO_TARGET_DIR="+t.TempDir())
				ran(t, cmd)
			}
		})
	}
}

// TestNewSkillInChat puts a skill in Rust beside the bundled ones and asks for it both ways.
func TestNewSkillInChat(t *testing.T) {
	i := installed(t)
	plugins := t.TempDir()
	if err := os.CopyFS(plugins, os.DirFS(i.plugins)); err != nil {
		t.Fatal(err)
	}
	cfg := strings.ReplaceAll(i.config(""), i.plugins, plugins)
	s := newSite(t, strings.Replace(cfg, `skills = [`, `skills = ["hello", `, 1))
	ran(t, s.cmd("skill", "build", s.newSkill("hello", "rust"), "-o", filepath.Join(plugins, "hello.wasm")))
	got := s.chat("/hello Ada", "say hello to Bob")
	if !strings.HasPrefix(got, "Hello, Ada!\n") || !strings.HasSuffix(got, "Hello, Bob!\n") {
		t.Errorf("chat said %q", got)
	}
}

// TestLab calls every function of each guest API, with grants against a local server and
// without any: the report is the same in every language.
func TestLab(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute: in make test-all")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		fmt.Fprintf(w, "pong to %s %s", body, r.Header.Get("X-Lab"))
	}))
	defer srv.Close()
	s := newSite(t, "")
	args := fmt.Sprintf(`{"url":"%s/x","other":"https://example.com/"}`, srv.URL)
	granted := []string{"--grant", "http=POST " + srv.URL + "/ private", "--grant", "kv", "--grant", "llm", "--grant", "fs=rw:."}
	const echo = `{"a":[1.50,-0,1e3,12345678901234567890,"\u00e9\ud83d\ude00\"\\\n\u0001",null,true,{"b":{}},[]]}`
	toml, err := os.ReadFile("testdata/lab/skill.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range kit.Langs() {
		t.Run(lang, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("testdata/lab/"+lang)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "skill.toml"), string(toml))
			s, file := s, filepath.Join(dir, "lab.wasm")
			s.t = t
			ran(t, s.cmd("skill", "build", dir))

			c := s.cmd(append([]string{"-v", "skill", "call", file, "lab", args}, granted...)...)
			var logged strings.Builder
			c.Stderr = &logged
			out, err := c.Output()
			want := `http: 200 pong to ping 1 yes\nelsewhere: denied\nkv: value of a2 a2\nno key: not_found\nllm: true\n` +
				`tool: denied\nfs: one two f.txt not_found\nlab `
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("with grants: %v: %s, want %s", err, out, want)
			}
			if !strings.Contains(logged.String(), "a line of the log") {
				t.Errorf("the log is\n%s", &logged)
			}
			bare := called(t, s.cmd("skill", "call", file, "lab", args))
			want = "http: denied\nelsewhere: denied\nkv: denied\nno key: denied\nllm: denied\ntool: denied\nfs: denied\nlab "
			if !strings.HasPrefix(bare, want) {
				t.Errorf("without grants: %s", bare)
			}
			var sent, got any
			answer := called(t, s.cmd("skill", "call", file, "echo", echo))
			if json.Unmarshal([]byte(echo), &sent) != nil || json.Unmarshal([]byte(answer), &got) != nil ||
				fmt.Sprint(sent) != fmt.Sprint(got) {
				t.Errorf("echo of %s is %s", echo, answer)
			}
			said, err := s.cmd("skill", "call", file, "fail").CombinedOutput()
			if code(err) != exitFailure || !strings.HasSuffix(string(said), "nanoclaw: it was asked to fail\n") {
				t.Errorf("fail: %v: %s", err, said)
			}
		})
	}
}

// TestSameDigestEverywhere builds each language's skill again on another path, without the
// copy of the guest API, as another user with other directories, umask and settings.
func TestSameDigestEverywhere(t *testing.T) {
	s := newSite(t, "")
	away, err := os.MkdirTemp("", "nanoclaw away ")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(away) })
	other := s
	other.env = []string{
		"HOME=" + away, "TMPDIR=" + away, "USER=somebody", "LOGNAME=somebody", "LANG=C", "TZ=Asia/Tokyo", "GOCACHE=" + filepath.Join(away, "c"),
		"GOFLAGS=-tags=x", "CPATH=" + away, "NODE_OPTIONS=--no-deprecation", "SOURCE_DATE_EPOCH=1",
	}
	if os.Getuid() == 0 {
		other.user = &syscall.Credential{Uid: 12345, Gid: 12345}
		// What asc needs may lie where only root reads.
		if err := os.CopyFS(filepath.Join(away, "toolchains"), os.DirFS("../../bin/toolchains")); err != nil {
			t.Fatalf("run 'make toolchains' first: %v", err)
		}
		other.env = append(other.env, "PATH="+os.Getenv("PATH")+":"+filepath.Join(away, "toolchains", "node_modules", ".bin"))
	}
	for _, lang := range kit.Langs() {
		t.Run(lang, func(t *testing.T) {
			if testing.Short() && lang != "go" {
				t.Skip("a build from nothing as another user takes long")
			}
			s := s
			s.t = t
			dir, file := s.newSkill("same", lang), filepath.Join(away, lang+".wasm")
			ran(t, s.cmd("skill", "build", dir, "-o", file))
			again := filepath.Join(away, "deep", "er", lang)
			if err := os.CopyFS(again, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(again, "nanoclaw-sdk")); err != nil {
				t.Fatal(err)
			}
			ran(t, exec.Command("chown", "-R", fmt.Sprint(max(other.uid(), 0)), away))
			check := other.cmd("skill", "build", again, "--check", file)
			check.Args = append([]string{"sh", "-c", `umask 077; exec "$0" "$@"`}, check.Args...)
			check.Path = "/bin/sh"
			if got := ran(t, check); !strings.Contains(got, " is what "+again+" builds: sha256:") {
				t.Error(got)
			}
		})
	}
}

func (s site) uid() int {
	if s.user == nil {
		return os.Getuid()
	}
	return int(s.user.Uid)
}

// TestABIExample builds the skill that sdk/ABI.md shows, as it says there, and calls it.
func TestABIExample(t *testing.T) {
	doc, err := os.ReadFile("../../sdk/ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(lang string) string {
		_, rest, _ := strings.Cut(string(doc), "```"+lang+"\n")
		text, _, _ := strings.Cut(rest, "```")
		return text
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "abi.c"), block("c"))
	write(t, filepath.Join(dir, "skill.toml"), fmt.Sprintf(`name = "abi"
version = "1.0.0"
description = "The example of ABI.md"
build = %q
[[tools]]
name = "abi"
description = "Asks for a colour"
inputSchema = { type = "object" }
[[capabilities]]
name = "kv"
reason = "to keep the colour"
`, strings.TrimSpace(block("sh"))))
	s := newSite(t, "")
	ran(t, s.cmd("skill", "build", dir))
	out := ran(t, s.cmd("skill", "call", filepath.Join(dir, "abi.wasm"), "abi", "--grant", "kv"))
	if !strings.Contains(out, `"code": "not_found"`) {
		t.Error(out)
	}
}
