package wasm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const okResult = `{"content":[{"type":"text","text":"ok"}]}`

// admitted admits wasm and returns the directory.
func admitted(t testing.TB, wasm []byte) string {
	t.Helper()
	dir := t.TempDir()
	in := filepath.Join(dir, "in.wasm")
	if err := os.WriteFile(in, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := Admit(context.Background(), in, dir); !r.OK {
		t.Fatal("not admitted:", r.Error)
	}
	return dir
}

// spec is a skill called name with one tool, also called name.
func spec(name, dir string, granted ...string) wire.LoadSkill {
	return wire.LoadSkill{
		Name: name, Dir: dir, Tools: []wire.Tool{{Name: name}}, Granted: granted, MemoryMiB: 64, TimeoutMS: 60_000,
	}
}

// logBuffer is a log that may be written and read at once.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type testEngine struct {
	*Engine
	log    *logBuffer
	loaded wire.Loaded
}

// echoBroker answers with what it was asked.
func echoBroker(_ context.Context, skill, path, capability string, body []byte) (wire.Status, []byte, error) {
	b, err := json.Marshal(map[string]string{"skill": skill, "path": path, "capability": capability, "body": string(body)})
	return wire.StatusOK, b, err
}

func newEngine(t testing.TB, c Config, set wire.Load) *testEngine {
	t.Helper()
	log := &logBuffer{}
	c.Log = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug})
	if c.Broker == nil {
		c.Broker = echoBroker
	}
	e := &testEngine{Engine: New(c), log: log}
	var err error
	if e.loaded, err = e.Load(context.Background(), set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if used := e.memory.used.Load(); used != 0 && !t.Failed() {
			t.Errorf("%d bytes of linear memory are still in use after Close", used)
		}
		if t.Failed() {
			text := log.String()
			t.Log(text[:min(len(text), 4000)])
		}
	})
	return e
}

// one is an engine with the one skill.
func one(t testing.TB, s wire.LoadSkill) *testEngine {
	t.Helper()
	return newEngine(t, Config{}, wire.Load{Agent: "a", Skills: []wire.LoadSkill{s}, Warm: []string{s.Name}})
}

func (e *testEngine) call(t testing.TB, tool, args string) wire.ToolOutcome {
	t.Helper()
	return e.Tool(context.Background(), wire.ToolCall{Name: tool, Arguments: json.RawMessage(args), Turn: "t1"})
}

func want(t testing.TB, out wire.ToolOutcome, outcome, text string) {
	t.Helper()
	if got := out.Message + " " + out.Result.Text(); out.Outcome != outcome || !strings.Contains(got, text) {
		t.Fatalf("outcome %s (%s), want %s with %q", out.Outcome, got, outcome, text)
	}
}

// within fails a test that hangs. The times are for liveness only.
func within(t testing.TB, limit time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatal("still running after", limit)
	}
}

// shared is a directory of the whole test run.
var shared string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nanoclaw-wasm")
	if err != nil {
		panic(err)
	}
	shared = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// goGuest is testdata/guest, built for wasip1 and admitted, once in a run.
func goGuest(t testing.TB) string {
	t.Helper()
	r := guest()
	if !r.OK {
		t.Fatal(r.Error)
	}
	return shared
}

var guest = sync.OnceValue(func() wire.AdmitResult {
	in := filepath.Join(shared, "in.wasm")
	if err := buildGo(filepath.Join("testdata", "guest"), in); err != nil {
		return wire.AdmitResult{Error: err.Error()}
	}
	return Admit(context.Background(), in, shared)
})

func buildGo(dir, out string) error {
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w -buildid=", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, b)
	}
	return nil
}

// answers writes s with output_write and returns 0.
func answers(s string) []byte {
	b := newBuilder()
	write := b.imp(coreModule, "output_write", "ii", "")
	b.bytesAt(0, s)
	return b.skill(b.fn("i", "i", 0, i32(0), i32(int64(len(s))), call(write), i32(0)))
}

func TestSmoke(t *testing.T) {
	e := one(t, spec("s", admitted(t, answers(okResult))))
	if len(e.loaded.Refused) > 0 {
		t.Fatal(e.loaded.Refused)
	}
	for range 3 {
		want(t, e.call(t, "s", `{}`), wire.OutcomeOK, "ok")
	}
	want(t, e.call(t, "nope", ``), wire.OutcomeNotFound, "nope")
	want(t, e.call(t, "s", `{`), wire.OutcomeInvalid, "JSON")
}
