package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/nanoclaw/nanoclaw/sdk/module"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// reapEnv marks the process in which TestReap does its work.
const reapEnv = "NANOCLAW_TEST_REAP"

var runnerPath, brainDir string

// TestMain builds the runner as it is shipped and a skill, and admits it with the runner.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nanoclaw-runner")
	if err == nil && os.Getenv(reapEnv) == "" {
		runnerPath, brainDir = filepath.Join(dir, "nanoclaw-runner"), filepath.Join(dir, "brain")
		err = prepare()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func prepare() error {
	wasm := brainDir + ".wasm"
	for _, b := range []struct {
		dir string
		env []string
		arg []string
	}{
		{".", []string{"CGO_ENABLED=0"}, []string{"-ldflags=-s -w", "-o", runnerPath, "."}},
		{
			"testdata/brain",
			[]string{"GOOS=wasip1", "GOARCH=wasm"},
			[]string{"-buildmode=c-shared", "-ldflags=-s -w -buildid=", "-o", wasm, "."},
		},
	} {
		cmd := exec.Command("go", append([]string{"build", "-trimpath"}, b.arg...)...)
		cmd.Dir, cmd.Env = b.dir, append(os.Environ(), b.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	if err := os.Mkdir(brainDir, 0o700); err != nil {
		return err
	}
	out, err := exec.Command(runnerPath, "admit", wasm, brainDir).Output()
	if err != nil {
		return fmt.Errorf("admit: %w: %s", err, out)
	}
	return nil
}

// host is the other end of the wire.
type host struct {
	t       *testing.T
	cmd     *exec.Cmd
	session *yamux.Session
	client  http.Client
	stderr  bytes.Buffer
	exited  chan error

	mu    sync.Mutex
	calls []string // what the broker was asked
}

type pipes struct {
	io.Reader
	io.WriteCloser
}

func start(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, cmd: exec.Command(runnerPath), exited: make(chan error, 1)}
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Stdout, h.cmd.Stderr, h.cmd.Env = outW, &h.stderr, []string{}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	outW.Close()
	gone := make(chan struct{}) // and stderr is complete
	go func() {
		h.exited <- h.cmd.Wait()
		close(gone)
	}()
	config := yamux.DefaultConfig()
	config.EnableKeepAlive, config.LogOutput = false, io.Discard
	if h.session, err = yamux.Client(pipes{out, in}, config); err != nil {
		t.Fatal(err)
	}
	h.client.Transport = &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return h.session.Open() },
	}
	go func() { _ = http.Serve(h.session, http.HandlerFunc(h.broker)) }()
	t.Cleanup(func() {
		h.session.Close()
		_ = h.cmd.Process.Kill()
		<-gone
		out.Close()
		if t.Failed() {
			t.Log(h.stderr.String())
		}
	})
	return h
}

func (h *host) broker(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h.mu.Lock()
	h.calls = append(h.calls, fmt.Sprintf("%s %s %s", strings.TrimPrefix(r.URL.Path, wire.PathCap),
		r.Header.Get(wire.HeaderSkill), r.Header.Get(wire.HeaderCall)))
	h.mu.Unlock()
	w.Header().Set(wire.HeaderStatus, "0")
	switch r.URL.Path {
	case wire.PathCap + "llm":
		var q wire.LLMRequest
		_ = json.Unmarshal(body, &q)
		fmt.Fprintf(w, `{"content":[{"type":"text","text":%q}],"stop_reason":"end_turn","usage":{}}`, q.Messages[0].Content[0].Text)
	case wire.PathCap + "kv":
		_, _ = io.WriteString(w, `{}`)
	default:
		http.NotFound(w, r)
	}
}

// post returns status and body.
func (h *host) post(path string, v any) (int, string) {
	h.t.Helper()
	b, ok := v.([]byte)
	if !ok {
		b, _ = json.Marshal(v)
	}
	resp, err := h.client.Post("http://runner"+path, "application/json", bytes.NewReader(b))
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func (h *host) load() wire.Loaded {
	h.t.Helper()
	set := wire.Load{Agent: "a", Brain: "brain", Timezone: "UTC", Skills: []wire.LoadSkill{
		{Name: "brain", Dir: brainDir, Tools: []wire.Tool{{Name: "turn"}}, Granted: []string{"llm", "kv", "tool"}, MemoryMiB: 64},
		{Name: "tools", Dir: brainDir, Tools: []wire.Tool{{Name: "echo"}, {Name: "spin"}}, Granted: []string{"llm", "kv", "tool"}},
	}}
	status, body := h.post(wire.PathLoad, set)
	var out wire.Loaded
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 || out.Skills != 2 || out.Refused != nil {
		h.t.Fatal(status, body)
	}
	return out
}

func (h *host) turn(in wire.Turn) (events []wire.Event) {
	h.t.Helper()
	_, body := h.post(wire.PathTurn, in)
	for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
		var e wire.Event
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			h.t.Fatal(err, s.Text())
		}
		events = append(events, e)
	}
	return events
}

func TestTurn(t *testing.T) {
	h := start(t)
	h.load()
	events := h.turn(wire.Turn{
		Turn: "t1", System: "be brief", DeadlineMS: 60_000,
		Messages: []wire.ChatMessage{{Role: wire.RoleUser, Text: "<héllo> & more"}},
	})
	kinds := ""
	for _, e := range events {
		kinds += e.Type + " " + e.Stage + e.Name + ","
	}
	if kinds != "progress model,progress tooltools_echo,reply ," {
		t.Fatal(kinds)
	}
	if last := events[2]; last.Text != "echo <héllo> & more" || !slices.Equal(last.Used, []string{"tools"}) {
		t.Fatal(last)
	}
	if want := []string{"llm brain 0", "kv tools 1.0.0"}; !slices.Equal(h.calls, want) {
		t.Fatalf("broker was asked %q, want %q", h.calls, want)
	}
	status, body := h.post(wire.PathTool, wire.ToolCall{Name: "tools_echo", Arguments: json.RawMessage(`{"text":"x"}`)})
	if want := `{"outcome":"ok","result":{"content":[{"type":"text","text":"echo x"}]}}`; status != 200 || strings.TrimSpace(body) != want {
		t.Fatal(status, body)
	}
}

// TestDeadlines: a tool's and the turn's own, in the runner.
func TestDeadlines(t *testing.T) {
	h := start(t)
	h.load()
	status, body := h.post(wire.PathTool, wire.ToolCall{Name: "tools_spin", TimeoutMS: 200})
	if status != 200 || !strings.Contains(body, `"outcome":"timeout"`) {
		t.Fatal(status, body)
	}
	events := h.turn(wire.Turn{Turn: "t", DeadlineMS: 1, Messages: []wire.ChatMessage{{Role: wire.RoleUser, Text: "x"}}})
	if last := events[len(events)-1]; last.Type != wire.EventError || last.Outcome != wire.OutcomeTimeout {
		t.Fatal(last)
	}
}

func TestRequests(t *testing.T) {
	h := start(t)
	resp, err := h.client.Get("http://runner" + wire.PathHealth)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var health wire.Health
	if err := wire.Decode(resp.Body, 4096, &health); err != nil || health.ABI != 1 || health.Runner == "" || health.RSS == 0 {
		t.Fatal(health, err)
	}
	t.Logf("idle RSS %.1f MB", float64(health.RSS)/1e6)
	began := time.Now()
	h.load()
	t.Logf("brain loaded from the cache and one instance made ready in %v", time.Since(began))
	for _, tc := range []struct {
		path   string
		body   any
		status int
	}{
		{wire.PathLoad, wire.Load{}, http.StatusConflict},
		{wire.PathLoad, []byte(`{"unknown":1}`), http.StatusBadRequest},
		{wire.PathTool, []byte(`{`), http.StatusBadRequest},
		{wire.PathTool, []byte(`{} {}`), http.StatusBadRequest},
		{wire.PathTool, bytes.Repeat([]byte{' '}, wire.MaxToolArgs+100<<10), http.StatusRequestEntityTooLarge},
		{wire.PathHealth, wire.Load{}, http.StatusMethodNotAllowed},
		{"/v1/exec", wire.Load{}, http.StatusNotFound},
	} {
		if status, body := h.post(tc.path, tc.body); status != tc.status {
			t.Errorf("%s: %d %.100s, want %d", tc.path, status, body, tc.status)
		}
	}
	if status, body := h.post(wire.PathTool, wire.ToolCall{Name: "gone"}); status != 200 || !strings.Contains(body, "not_found") {
		t.Error(status, body)
	}
}

// TestEnds: the runner goes when stdin does, at SIGTERM, and when the wire is nonsense.
func TestEnds(t *testing.T) {
	ends := map[string]func(h *host){
		"stdin ends": func(h *host) { h.session.Close() },
		"SIGTERM":    func(h *host) { _ = h.cmd.Process.Signal(syscall.SIGTERM) },
		"stdin ends in a turn": func(h *host) {
			go func() {
				_, _ = h.client.Post("http://runner"+wire.PathTool, "", strings.NewReader(`{"name":"tools_spin"}`))
			}()
			time.Sleep(50 * time.Millisecond) // most of the time the call has begun; either way it must end
			h.session.Close()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.load()
			end(h)
			select {
			case err := <-h.exited:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(30 * time.Second):
				t.Error("still there")
			}
		})
	}
	cmd := exec.Command(runnerPath, "serve")
	cmd.Stdin = strings.NewReader(strings.Repeat("no yamux ", 100))
	done := make(chan error, 1)
	go func() { done <- cmd.Run() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("nonsense on stdin keeps it alive")
		_ = cmd.Process.Kill()
	}
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	bomb := module.Encode([]module.Section{
		{ID: module.SecType, Body: []byte{1, 0x60, 0, 0}},
		{ID: module.SecFunction, Body: []byte{1, 0}},
		{ID: module.SecCode, Body: []byte{1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7e, 0x0b}},
	})
	if err := os.WriteFile(dir+"/bomb.wasm", bomb, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		exit int
		out  string
	}{
		{[]string{"version"}, 0, "nanoclaw-runner abi 1 go1."},
		{[]string{"admit", dir + "/bomb.wasm", dir}, 1, `4294967295 locals, at most 50000"`},
		{[]string{"admit", dir + "/gone.wasm", dir}, 1, "no such file"},
		{[]string{"admit"}, 2, "usage: "},
		{[]string{"exec", "sh"}, 2, "usage: "},
	} {
		cmd := exec.Command(runnerPath, tc.args...)
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != tc.exit || !strings.Contains(string(out), tc.out) {
			t.Errorf("%q: %d %s", tc.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// TestBinary: it must run in an image that holds nothing else.
func TestBinary(t *testing.T) {
	f, err := elf.Open(runnerPath)
	if err != nil {
		t.Skip("not an ELF system:", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Error("the runner is not static")
		}
	}
	info, err := os.Stat(runnerPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.2f MB", float64(info.Size())/1e6)
	if info.Size() > 10<<20 {
		t.Errorf("%d bytes, at most 10 MiB", info.Size())
	}
}

// TestEvents: nothing after the end, not too many, and no line that the host would refuse.
func TestEvents(t *testing.T) {
	var b bytes.Buffer
	e := &events{w: &b, flush: func() error { return nil }}
	for range maxProgress + 10 {
		e.emit(wire.Event{Type: wire.EventProgress})
	}
	e.end(wire.Event{Type: wire.EventReply, Text: strings.Repeat("\x01", wire.MaxReply)})
	e.emit(wire.Event{Type: wire.EventProgress})
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != maxProgress+1 || !strings.Contains(lines[maxProgress], wire.EventReply) || len(lines[maxProgress]) > wire.MaxEvent {
		t.Error(len(lines), len(lines[len(lines)-1]))
	}
}

// TestReap runs in a process that adopts orphans, as PID 1 does.
func TestReap(t *testing.T) {
	if os.Getenv(reapEnv) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestReap$", "-test.v")
		cmd.Env = append(os.Environ(), reapEnv+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	reapOrphan(t)
}
