package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// claudeImage makes sure that the image is there. Making it takes npm, and debootstrap where no image
// can be pulled; NANOCLAW_TEST_BASE names an image to build on instead.
func claudeImage(t *testing.T) {
	t.Helper()
	made, _ := exec.Command("docker", "image", "inspect", "-f", `{{index .Config.Labels "nanoclaw.made"}}`, config.ClaudeImage).Output()
	if strings.TrimSpace(string(made)) == "claude-code-"+claudeVersion {
		return
	}
	c := exec.Command(installed(t).nanoclaw(), "image", "build", "claude-code", "--base", os.Getenv("NANOCLAW_TEST_BASE"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("image build: %v: %s", err, out)
	}
}

// claudeSite is a site whose roles are Claude Code: main may do anything in its container, careful
// edits files.
func claudeSite(t *testing.T) (site, *modeltest.Server) {
	t.Helper()
	claudeImage(t)
	fake := modeltest.NewAnthropic(t)
	role := "engine = \"exec\"\npreset = \"claude-code\"\nskills = [\"calc\", \"notes\"]\nmemory = \"512MiB\"\n"
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
prompt = "Be brief."
permissions = "bypass"
%s
[roles.careful]
%s
[[routes]]
channel = "console"
chat = "careful"
role = "careful"
`, installed(t).plugins, fake.URL, role, role))
	s.env = []string{"NANOCLAW_TEST_KEY=" + modeltest.Key}
	return s, fake
}

func use(name, input string) modeltest.Answer {
	return modeltest.Answer{Uses: []modeltest.Use{{ID: fmt.Sprintf("toolu_%d", time.Now().UnixNano()), Name: name, Input: input}}}
}

// bash is a command that Claude Code is told to run.
func bash(command string) modeltest.Answer {
	return use("Bash", fmt.Sprintf(`{"command":%q,"description":"a look around"}`, command))
}

// lookAround is what a program does that wants out: it looks for keys, asks the proxy for what is not
// there, brings a key of its own, and calls hosts.
const lookAround = `cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\0' ' '; env; ls /proc/1/fd /proc/1/mem 2>&1
ask() { exec 3<>/dev/tcp/127.0.0.1/${ANTHROPIC_BASE_URL##*:}; printf "$1" >&3; timeout 60 head -n 1 <&3; exec 3>&-; }
ask 'POST /api/event_logging/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}'
body='{"model":"claude-test","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"forged"}]}'
ask "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAnthropic-Version: 2023-06-01\r\nX-Api-Key: forged\r\nAuthorization: Bearer forged\r\nContent-Length: ${#body}\r\n\r\n$body"
(echo >/dev/tcp/1.1.1.1/443) 2>&1; (echo >/dev/tcp/api.anthropic.com/443) 2>&1; ls /sys/class/net; touch /usr/x 2>&1; id -u`

// TestClaudeCode: unmodified, from npm, in the container of an agent. It answers, uses a WASM tool over
// MCP, edits a file, goes on with its session in the next container, and reaches nothing else.
func TestClaudeCode(t *testing.T) {
	if testing.Short() {
		t.Skip("Claude Code and an image of half a gigabyte")
	}
	s, fake := claudeSite(t)
	turn := func(say string, answers ...modeltest.Answer) (said string, asked []modeltest.Request) {
		t.Helper()
		before := len(fake.Requests())
		fake.Script(append(answers, modeltest.Answer{Text: "nobody asks any more"})...)
		said = s.chat(say)
		return said, fake.Requests()[before:]
	}
	workspace := func(role string) string {
		t.Helper()
		found, _ := filepath.Glob(filepath.Join(s.state, "workspaces", role+"-*"))
		if len(found) != 1 {
			t.Fatalf("workspaces of %s: %q", role, found)
		}
		return found[0]
	}

	said, asked := turn("multiply six by seven", use("mcp__nanoclaw__calc", `{"expression":"6*7"}`), modeltest.Answer{Text: "It is forty-two."})
	if said != "It is forty-two.\n" || len(asked) != 2 || !bytes.Contains(asked[1].Raw, []byte(`"text":"42"`)) {
		t.Fatalf("%d requests, said %q", len(asked), said)
	}
	if first := asked[0]; !strings.Contains(first.Header.Get("Anthropic-Beta"), "claude-code-") || first.Header.Get("X-Stainless-Lang") == "" ||
		!bytes.Contains(first.Raw, []byte("Be brief.")) || first.Body["model"] != "claude-test" {
		t.Errorf("asked with %v", first.Header)
	}

	// The seed's settings, as a user of the original would put them there.
	settings := filepath.Join(workspace("main"), ".nanoclaw", "claude", "settings.json")
	write(t, settings, `{"apiKeyHelper":"echo proxy-managed","defaultMode":"bypassPermissions","bypassPermissionsModeAccepted":true}`)
	said, asked = turn("write it down", use("Write", `{"file_path":"/workspace/answer.txt","content":"42\n"}`), modeltest.Answer{Text: "Done."})
	if b, err := os.ReadFile(filepath.Join(workspace("main"), "answer.txt")); said != "Done.\n" || string(b) != "42\n" {
		t.Errorf("said %q, wrote %q, %v", said, b, err)
	}
	for _, past := range []string{"multiply six by seven", "It is forty-two.", `"text":"42"`} {
		if !bytes.Contains(asked[0].Raw, []byte(past)) {
			t.Errorf("%q is not in the session that goes on: %.2000s", past, asked[0].Raw)
		}
	}

	said, asked = turn("look around", bash(lookAround), modeltest.Answer{Text: "to the forged one"}, modeltest.Answer{Text: "Nothing."})
	if len(asked) != 3 || said != "Nothing.\n" {
		t.Fatalf("%d requests, said %q", len(asked), said)
	}
	if h := asked[1].Header; h.Get("X-Api-Key") != modeltest.Key || h.Get("Authorization") != "" || !bytes.Contains(asked[1].Raw, []byte("forged")) {
		t.Errorf("the forged request came as %v", h)
	}
	messages, _ := json.Marshal(asked[2].Body["messages"])
	saw := string(messages)
	for _, want := range []string{"proxy-managed", "404 Not Found", "HTTP/1.1 200 OK", "Network is unreachable", "Read-only file system", "65532", "Permission denied"} {
		if !strings.Contains(saw, want) {
			t.Errorf("%q is not in what it saw: %s", want, saw[max(0, len(saw)-3000):])
		}
	}
	if strings.Contains(saw, modeltest.Key) || strings.Contains(saw, "eth0") {
		t.Error("it saw the key, or a network")
	}
	denied, err := s.cmd("audit", "show", "--verdict", "deny").CombinedOutput()
	if n := bytes.Count(denied, []byte("exec")); err != nil || n != 1 || !bytes.Contains(denied, []byte("not_found")) {
		t.Errorf("refused, besides the unknown path, and so tried: %s", denied)
	}

	t.Run("hunt", func(t *testing.T) { s.huntClaude(t, fake) })
	t.Run("careful", func(t *testing.T) {
		before := len(fake.Requests())
		fake.Script(use("Write", `{"file_path":"/workspace/a","content":"a"}`), bash("sh -c 'id > /workspace/b'"), modeltest.Answer{Text: "I may not."})
		c := s.cmd("chat", "--chat", "careful")
		c.Stdin = strings.NewReader("run it\n")
		out, err := c.CombinedOutput()
		if err != nil || string(out) != "I may not.\n" || len(fake.Requests())-before != 3 {
			t.Fatalf("%v: %s", err, out)
		}
		_, errA := os.Stat(filepath.Join(workspace("careful"), "a"))
		if _, errB := os.Stat(filepath.Join(workspace("careful"), "b")); errA != nil || errB == nil {
			t.Errorf("edit: %v, command: %v", errA, errB)
		}
	})
}

// huntClaude looks for the key in a container in which Claude Code waits for its model.
func (s site) huntClaude(t *testing.T, fake *modeltest.Server) {
	if os.Geteuid() != 0 {
		t.Skip("only root reads the memory of other processes")
	}
	const word = "controlWord-" + "7734-in-the-open"
	hang, before := make(chan struct{}), len(fake.Requests())
	fake.Script(modeltest.Answer{Text: "At last.", Hang: hang})
	c := s.cmd("-v", "chat")
	c.Stdin = strings.NewReader(word + "\n")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "a request to the model", func() bool { return len(fake.Requests()) > before })
	h := newHunt(t, map[string]string{"key": modeltest.Key, "control": word})
	for _, id := range s.docker("-q") {
		h.container(id)
	}
	close(hang)
	if err := c.Wait(); err != nil || !strings.Contains(out.String(), "At last.") {
		t.Errorf("%v: %s", err, &out)
	}
	h.search("log", out.Bytes())
	h.tree("state", s.state)
	if len(h.found["key"]) > 0 || !strings.Contains(strings.Join(h.found["control"], " "), "memory") {
		t.Errorf("the key was found in %q, the control in %q", h.found["key"], h.found["control"])
	}
}
