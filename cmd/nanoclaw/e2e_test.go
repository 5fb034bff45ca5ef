package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nanoclaw/nanoclaw/host/daemon"
)

const installLabel = "nanoclaw.install"

// TestScripts runs testdata/*.txtar: one user story each, with the real programs and real
// containers. They are the manual of the command line.
func TestScripts(t *testing.T) {
	i, extism := installed(t), extismPlugins(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", i.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("BIN", i.bin)
			e.Setenv("PLUGINS", i.plugins)
			e.Setenv("EXTISM", extism)
			e.Setenv("SITE", countingSite(e))
			e.Setenv("NANOCLAW_STATE", filepath.Join(e.WorkDir, "state"))
			for _, k := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS"} {
				if v, err := exec.Command("go", "env", k).Output(); err == nil {
					e.Setenv(k, strings.TrimSpace(string(v)))
				}
			}
			if err := os.WriteFile(filepath.Join(e.WorkDir, "shipped.toml"), []byte(i.config("")), 0o600); err != nil {
				return err
			}
			component := []byte("\x00asm\x0d\x00\x01\x00")
			if err := os.WriteFile(filepath.Join(e.WorkDir, "component.wasm"), component, 0o600); err != nil {
				return err
			}
			return i.freshState(filepath.Join(e.WorkDir, "state"))
		},
	})
}

// extismPlugins is where the Go module cache has the plugins inside Extism's Go SDK. Its
// version and sum are those of host/wasm's tests.
func extismPlugins(t *testing.T) string {
	t.Helper()
	const version, sum = "github.com/extism/go-sdk@v1.7.1", "h1:lWJos6uY+tRFdlIHR+SJjwFDApY7OypS/2nMhiVQ9Sw="
	cmd := exec.Command("go", "mod", "download", "-json", version)
	cmd.Dir = t.TempDir() // not this module's go.mod
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jerr := json.Unmarshal(out, &got); jerr != nil || got.Sum != sum {
		t.Fatalf("go mod download %s: %v, sum %q, %s", version, err, got.Sum, got.Error)
	}
	return filepath.Join(got.Dir, "wasm")
}

// countingSite is a web site of one script: every page says how often it was asked for one.
func countingSite(e *testscript.Env) string {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "This page was asked for %d times.", asked.Add(1))
	}))
	e.Defer(s.Close)
	return s.URL
}

// TestNewSkillAnswers is the promise to a skill author: a skill that nobody has seen, with a
// name and phrase made up now, built from source, put in place and asked, through containers.
func TestNewSkillAnswers(t *testing.T) {
	i := installed(t)
	word := strings.ToLower(rand.Text()[:8])
	src := t.TempDir()
	write(t, filepath.Join(src, "main.go"), `package main

import "github.com/nanoclaw/nanoclaw/sdk"

type in struct {
	Thing string `+"`json:\"thing\"`"+`
}

func init() {
	sdk.Tool("`+word+`", func(_ sdk.Context, i in) (string, error) { return "`+word+` says " + i.Thing, nil })
}

func main() {}
`)
	write(t, filepath.Join(src, "skill.toml"), fmt.Sprintf(`abi = 1
name = "s%[1]s"
version = "1.0.0"
description = "made by a test"
[[tools]]
name = %[1]q
description = "says things"
examples = ["please %[1]s the {thing} now"]
[tools.inputSchema]
type = "object"
required = ["thing"]
properties = { thing = { type = "string" } }
`, word))
	plugins := t.TempDir()
	if err := os.CopyFS(plugins, os.DirFS(i.plugins)); err != nil {
		t.Fatal(err)
	}
	cfg := strings.ReplaceAll(i.config(""), i.plugins, plugins)
	cfg = strings.Replace(cfg, `skills = [`, fmt.Sprintf(`skills = ["s%s", `, word), 1)
	s := newSite(t, cfg)
	out, err := s.cmd("skill", "build", src, "-o", filepath.Join(plugins, "new.wasm")).CombinedOutput()
	if err != nil {
		t.Fatalf("skill build: %v: %s", err, out)
	}
	got := s.chat("please "+word+" the round table now", "/s"+word+"_"+word+" again")
	if !strings.Contains(got, word+" says round table") || !strings.Contains(got, word+" says again") {
		t.Fatalf("chat said %q", got)
	}
}

// TestCustomAgent names a skill agent of a few lines as a role's brain.
func TestCustomAgent(t *testing.T) {
	src := t.TempDir()
	write(t, filepath.Join(src, "main.go"), `package main

import "github.com/nanoclaw/nanoclaw/sdk"

func init() {
	sdk.Agent(func(t sdk.Turn) (sdk.Reply, error) {
		last := t.Messages[len(t.Messages)-1].Text
		return sdk.Reply{Text: "you said: " + last}, nil
	})
}

func main() {}
`)
	write(t, filepath.Join(src, "skill.toml"), `abi = 1
name = "parrot"
version = "1.0.0"
kind = "agent"
description = "repeats"
`)
	plugins := t.TempDir()
	s := newSite(t, fmt.Sprintf("[skills]\ndir = %q\n[roles.main]\ndescription = \"repeats\"\nprompt = \"x\"\nagent = \"parrot\"\n", plugins))
	if out, err := s.cmd("skill", "build", src, "-o", filepath.Join(plugins, "parrot.wasm")).CombinedOutput(); err != nil {
		t.Fatalf("skill build: %v: %s", err, out)
	}
	if got := s.chat("hello"); got != "you said: hello\n" {
		t.Fatalf("chat said %q", got)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// start runs `nanoclaw run` until the test ends and returns when it takes messages.
func (s site) start() *exec.Cmd {
	s.t.Helper()
	c := s.cmd("run")
	log := filepath.Join(s.t.TempDir(), "log")
	f, err := os.Create(log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	c.Stderr = f
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		if b, err := os.ReadFile(log); err == nil && s.t.Failed() {
			s.t.Logf("log of the host:\n%s", b)
		}
	})
	eventually(s.t, time.Minute, "the host takes messages", func() bool {
		_, err := daemon.Dial(s.t.Context(), s.state)
		return err == nil
	})
	return c
}

func (s site) status() (st daemon.Status) {
	s.t.Helper()
	out, err := s.cmd("status", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &st)
	}
	if err != nil {
		s.t.Fatalf("status: %v: %s", err, out)
	}
	return st
}

func TestKilledHostLeavesNoContainer(t *testing.T) {
	s := newSite(t, "")
	c := s.start()
	if got := s.chat("/calc 6*7"); !strings.Contains(got, "42") {
		t.Fatalf("chat said %q", got)
	}
	eventually(t, time.Minute, "a spare runs", func() bool { return s.running() > 0 })
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	eventually(t, 25*time.Second, "the killed host's containers are gone", func() bool { return len(s.containers()) == 0 })
	s.start() // the socket and lock it left are no obstacle
	if got := s.chat("/calc 2+2"); !strings.Contains(got, "4") {
		t.Fatalf("after the restart chat said %q", got)
	}
}

// TestHostKilledWhileItStartsAContainer: one that was created and not started has no process
// that would notice the end of its host.
func TestHostKilledWhileItStartsAContainer(t *testing.T) {
	s := newSite(t, "")
	created := 0
	for range 3 {
		c := s.start()
		chat := s.cmd("chat")
		chat.Stdin = strings.NewReader("/calc 6*7\n")
		if err := chat.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "a container is there", func() bool { return len(s.containers()) > 0 })
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = c.Wait(), chat.Wait()
		created += len(s.docker("-aq", "--filter", "status=created"))
		eventually(t, 25*time.Second, "the killed host's containers are gone", func() bool { return len(s.containers()) == 0 })
	}
	t.Logf("%d were created and not started when their host was killed", created)
}

func TestCleanStopRemovesContainers(t *testing.T) {
	s := newSite(t, "")
	c := s.start()
	s.chat("/calc 6*7")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("exit after SIGTERM: %v", err)
	}
	if left := s.containers(); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestSecondInstanceIsRefused(t *testing.T) {
	s := newSite(t, "")
	c := s.start()
	out, err := s.cmd("run").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), fmt.Sprintf("another nanoclaw (pid %d)", c.Process.Pid)) {
		t.Fatalf("second run: %v: %s", err, out)
	}
}

// TestKilledRunnerGivesOneLineAndTheNextTurnWorks kills the container in the middle of a
// turn, while the agent waits for its model.
func TestKilledRunnerGivesOneLineAndTheNextTurnWorks(t *testing.T) {
	s, answer := hangingSite(t)
	s.start()
	c := s.cmd("chat")
	c.Stdin = strings.NewReader("think for ever\n")
	var out, stderr strings.Builder
	c.Stdout, c.Stderr = &out, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the turn has a container", func() bool { return s.status().Working == 1 && len(s.containers()) > 0 })
	killed := 0
	eventually(t, time.Minute, "chat ends", func() bool {
		for _, id := range s.containers() {
			if exec.Command("docker", "kill", id).Run() == nil {
				killed++
			}
		}
		return s.status().Working == 0
	})
	err := c.Wait()
	if err == nil || killed == 0 || out.Len() != 0 || strings.Count(stderr.String(), "\n") != 1 ||
		!strings.Contains(stderr.String(), "container ended before it answered") {
		t.Fatalf("%d killed; chat: %v, stdout %q, stderr %q", killed, err, out.String(), stderr.String())
	}
	answer()
	if got := s.chat("and now?"); got != "Here I am again.\n" {
		t.Fatalf("the next turn: %q", got)
	}
}

func TestKilledSpareIsNotMissed(t *testing.T) {
	s := newSite(t, "")
	s.start()
	s.chat("/calc 1+1")
	eventually(t, time.Minute, "a spare is kept", func() bool { return len(s.containers()) > 0 })
	for _, id := range s.containers() {
		_ = exec.Command("docker", "kill", id).Run() // one that ends by itself meanwhile is as good
	}
	if got := s.chat("/calc 6*7"); !strings.Contains(got, "42") {
		t.Fatalf("after the spare was killed chat said %q", got)
	}
	if st := s.status(); st.Engine != "ok" || !st.Isolated {
		t.Fatalf("status %+v", st)
	}
}

// TestBombDisturbsNothing: bad files beside good ones are refused by name, and the good ones answer.
func TestBombDisturbsNothing(t *testing.T) {
	i := installed(t)
	plugins := t.TempDir()
	if err := os.CopyFS(plugins, os.DirFS(i.plugins)); err != nil {
		t.Fatal(err)
	}
	// One function that declares 4,294,967,295 locals: compiling it kills any process that tries.
	bomb := "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7e\x0b"
	write(t, filepath.Join(plugins, "bomb.wasm"), bomb)
	write(t, filepath.Join(plugins, "component.wasm"), "\x00asm\x0d\x00\x01\x00")
	write(t, filepath.Join(plugins, "half.wasm"), bomb[:20])
	if err := syscall.Mkfifo(filepath.Join(plugins, "fifo.wasm"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, strings.ReplaceAll(i.config(""), i.plugins, plugins))
	s.start()
	if got := s.chat("/calc 6*7"); !strings.Contains(got, "42") {
		t.Fatalf("chat said %q", got)
	}
	want := map[string]string{
		"bomb.wasm": "4294967295 locals", "component.wasm": "component", "half.wasm": "cut short", "fifo.wasm": "regular file",
		"calc.wasm": "",
	}
	for _, k := range s.status().Skills {
		why, known := want[filepath.Base(k.File)]
		if !known {
			continue
		}
		delete(want, filepath.Base(k.File))
		if refused := k.State == "refused"; refused != (why != "") || !strings.Contains(k.Why, why) {
			t.Errorf("%s is %s: %s; want %q", k.File, k.State, k.Why, why)
		}
	}
	if len(want) != 0 {
		t.Errorf("status does not list %v", want)
	}
}
