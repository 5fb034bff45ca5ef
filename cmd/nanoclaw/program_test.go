package main

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// programSource is an agent in forty lines: its prompt on stdin, a tool over MCP, its model by the
// proxy with a key of its own, the reply on stdout. What the prompt says besides, it does.
const programSource = `package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func post(url, body string) string {
	r, _ := http.NewRequest("POST", url, strings.NewReader(body))
	r.Header.Set("X-Api-Key", "forged")
	r.Header.Set("Authorization", "Bearer forged")
	r.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err.Error()
	}
	b, _ := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(b))
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "stay" {
		time.Sleep(time.Hour)
	}
	if len(os.Args) > 1 { // left behind by its parent: the runner's to reap
		time.Sleep(10 * time.Millisecond)
		return
	}
	prompt, _ := io.ReadAll(os.Stdin)
	switch {
	case strings.Contains(string(prompt), "count"): // turns in this container, and what the last one left running
		n, _ := os.ReadFile("/tmp/n")
		os.WriteFile("/tmp/n", append(n, '1'), 0o600)
		left := exec.Command(os.Args[0], "stay")
		left.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		left.Start()
		running, _ := filepath.Glob("/proc/[0-9]*")
		fmt.Println(len(n)+1, len(running))
		return
	case strings.Contains(string(prompt), "fail"):
		fmt.Fprintln(os.Stderr, "no luck today")
		os.Exit(4)
	case strings.Contains(string(prompt), "children"):
		for range 20 {
			exec.Command(os.Args[0], "child").Start()
		}
	}
	sum := post(os.Getenv("NANOCLAW_MCP"), ` + "`" + `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"calc","arguments":{"expression":"6*7"}}}` + "`" + `)
	said := post(os.Getenv("ANTHROPIC_BASE_URL")+"/v1/messages", ` + "`" + `{"model":"claude-test","max_tokens":99,"stream":true,"messages":[{"role":"user","content":"hi"}]}` + "`" + `)
	other := post(os.Getenv("ANTHROPIC_BASE_URL")+"/v1/files", "{}")
	text := ""
	for _, m := range regexp.MustCompile("\"text_delta\",\"text\":\"([^\"]*)\"").FindAllStringSubmatch(said, -1) {
		text += m[1]
	}
	_, err := os.ReadFile("/proc/1/mem")
	_, down := http.Get("http://1.1.1.1/")
	fmt.Println(strings.Contains(sum, "\"text\":\"42\""), text, other[:3], err != nil, down != nil, os.Getuid(), os.Getpid() != 1)
	os.WriteFile("kept.txt", []byte("kept"), 0o600)
}
`

// programImage imports an image that holds the program alone.
func programImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.go"), programSource)
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "program"), filepath.Join(dir, "main.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	w.WriteHeader(&tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755})
	w.WriteHeader(&tar.Header{Name: "bin/program", Mode: 0o755, Size: int64(len(b))})
	w.Write(b)
	w.Close()
	ref := "nanoclaw-test-" + strings.ToLower(rand.Text()[:8])
	c := exec.Command("docker", "import", "-", ref)
	c.Stdin = &layer
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("docker import: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("docker", "rmi", ref).Run() })
	return ref
}

// TestProgram: a program answers a role's turns in the role's container. It uses a WASM tool and its
// model, whose key is put in the place of its own, and finds nothing else.
func TestProgram(t *testing.T) {
	fake := modeltest.NewAnthropic(t, modeltest.Answer{Text: "Hello."})
	s := newSite(t, fmt.Sprintf(`
[skills]
dir = %q
[model]
provider = "mine"
name = "claude-test"
[providers.mine]
kind = "anthropic"
base_url = %q
api_key = { env = "NANOCLAW_TEST_KEY" }
[roles.main]
engine = "exec"
image = %q
command = ["program"]
skills = ["calc"]
[roles.gone]
engine = "exec"
preset = "claude-code"
image = "nanoclaw-test-gone"
model = "none"
[models.none]
provider = "offline"
[[routes]]
channel = "console"
chat = "gone"
role = "gone"
`, installed(t).plugins, fake.URL, programImage(t)))
	s.env = []string{"NANOCLAW_TEST_KEY=" + modeltest.Key}
	uid := os.Getuid()
	if uid == 0 {
		uid = 65532
	}
	want := fmt.Sprintf("true Hello. 404 true true %d true\n", uid)
	if got := s.chat("hi", "and with children"); got != want+want {
		t.Fatalf("chat said %q, want twice %q", got, want)
	}
	for _, r := range fake.Requests() {
		if r.Header.Get("X-Api-Key") != modeltest.Key || r.Header.Get("Authorization") != "" {
			t.Errorf("asked with %v", r.Header)
		}
	}
	kept, err := filepath.Glob(filepath.Join(s.state, "workspaces", "main-*", "kept.txt"))
	if err != nil || len(kept) != 1 {
		t.Errorf("%q, %v", kept, err)
	}
	denied, err := s.cmd("audit", "show", "--verdict", "deny").CombinedOutput()
	if err != nil || bytes.Count(denied, []byte("not_found: this is no endpoint")) != 2 {
		t.Errorf("%v: %s", err, denied)
	}
	for chat, tc := range map[string][2]string{
		"default": {"fail", "the program failed: exit status 4: no luck today"},
		"gone":    {"hi", "Claude Code needs a model of a provider"},
	} {
		c := s.cmd("chat", "--chat", chat)
		c.Stdin = strings.NewReader(tc[0] + "\n")
		if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), tc[1]) {
			t.Errorf("%s: %v: %s", tc[0], err, out)
		}
	}
	shown, err := s.cmd("role", "show", "main").CombinedOutput()
	if err != nil || !strings.Contains(string(shown), "program     program, of image nanoclaw-test-") || !strings.Contains(string(shown), "a container serves one turn") {
		t.Errorf("role show: %v: %s", err, shown)
	}
}

// TestProgramKept: a container that is kept serves the next turn, with what is in its /tmp and without what
// ran there, until the configuration changes.
func TestProgramKept(t *testing.T) {
	text := fmt.Sprintf(`
[skills]
dir = %q
[model]
provider = "offline"
[roles.main]
engine = "exec"
image = %q
command = ["program"]
lifetime = "conversation"
`, installed(t).plugins, programImage(t))
	s := newSite(t, text)
	s.start()
	// The runner, the program and what it has left just now.
	if got := s.chat("count", "count", "count"); got != "1 3\n2 3\n3 3\n" {
		t.Errorf("three turns: %q", got)
	}
	if n := s.running(); n != 1 {
		t.Errorf("%d containers", n)
	}
	for _, args := range [][]string{{"role", "show", "main"}, {"status"}} {
		if out, err := s.cmd(args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "no single use") {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	write(t, s.cfg, text+"memory = \"300MiB\"\n")
	eventually(t, time.Minute, "the kept container goes with the configuration", func() bool { return s.running() == 0 })
	write(t, s.cfg, strings.Replace(text, "conversation", "turn", 1))
	eventually(t, time.Minute, "the change is in force", func() bool { return len(s.status().Kept) == 0 })
	if got := s.chat("count", "count"); got != "1 3\n1 3\n" {
		t.Errorf("without it: %q", got)
	}
}
