package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// caller makes the given capability calls in order and answers okResult.
func caller(t *testing.T, calls ...[2]string) string {
	b := newBuilder()
	write := b.imp(coreModule, "output_write", "ii", "")
	imports := map[string]int{}
	for _, c := range calls {
		if _, ok := imports[c[0]]; !ok {
			imports[c[0]] = b.imp("nanoclaw_"+c[0]+"_1", "call", "ii", "I")
		}
	}
	b.bytesAt(0, okResult)
	var code [][]byte
	at := 1024
	for _, c := range calls {
		b.bytesAt(at, c[1])
		code = append(code, i32(int64(at)), i32(int64(len(c[1]))), call(imports[c[0]]), drop)
		at += len(c[1])
	}
	code = append(code, i32(0), i32(int64(len(okResult))), call(write), i32(0))
	return admitted(t, b.skill(b.fn("i", "i", 0, code...)))
}

// TestTurn: paths are the same in each run, progress is the brain's, and used is sorted.
func TestTurn(t *testing.T) {
	brain := caller(t, [2]string{"llm", `{}`}, [2]string{"tool", `{"name":"one"}`}, [2]string{"kv", `{}`},
		[2]string{"tool", `[{"name":"two"},{"name":"one"},{"name":"gone"},{"name":"brain_turn"}]`})
	one := caller(t, [2]string{"kv", `{}`}, [2]string{"kv", `{}`})
	two := caller(t, [2]string{"tool", `{"name":"one"}`}, [2]string{"tool", `[{"name":"one"}]`})
	b := spec("brain", brain, "llm", "kv", "tool")
	b.Tools = []wire.Tool{{Name: "turn"}}
	set := wire.Load{Brain: "brain", Skills: []wire.LoadSkill{b, spec("one", one, "kv"), spec("two", two, "tool")}}
	paths := []string{
		"brain 0 llm", "brain 2 kv", "one 1.0.0 kv", "one 1.0.1 kv", "one 3.0.0.0.0 kv", "one 3.0.0.0.1 kv",
		"one 3.0.1.0.0 kv", "one 3.0.1.0.1 kv", "one 3.1.0 kv", "one 3.1.1 kv",
	}
	for range 3 {
		var mu sync.Mutex
		var seen []string
		e := newEngine(t, Config{Broker: func(_ context.Context, skill, path, c string, _ []byte) (wire.Status, []byte, error) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, skill+" "+path+" "+c)
			return wire.StatusOK, []byte("{}"), nil
		}}, set)
		var progress []string
		last := e.Turn(context.Background(), wire.Turn{Turn: "t", DeadlineMS: 60_000}, func(ev wire.Event) {
			progress = append(progress, ev.Type+" "+ev.Stage+" "+ev.Name)
		})
		if last.Type != wire.EventReply || last.Text != "ok" || !slices.Equal(last.Used, []string{"one", "two"}) {
			t.Fatal(last)
		}
		if slices.Sort(seen); !slices.Equal(seen, paths) {
			t.Fatalf("paths\n%q want\n%q", seen, paths)
		}
		if p := strings.Join(progress, ","); p != "progress model ,progress tool one,progress tool two,progress tool one,"+
			"progress tool gone,progress tool brain_turn" {
			t.Fatal(p)
		}
	}
}

// TestToolAnswers: outcomes in order, one that is not there, too many, and not JSON.
func TestToolAnswers(t *testing.T) {
	for _, tc := range []struct{ request, want string }{
		{`{"name":"t","arguments":{}}`, `{"results":[{"outcome":"ok","result":{"content":[{"type":"text","text":"ok"}]}}]}`},
		{`[{"name":"gone"},{"name":"t"}]`, `{"results":[{"outcome":"not_found","message":"there is no tool \"gone\"",` +
			`"result":{"content":null}},{"outcome":"ok","result":{"content":[{"type":"text","text":"ok"}]}}]}`},
		{`[]`, `{"results":[]}`},
		{`[` + strings.Repeat(`{"name":"t"},`, 16) + `{"name":"t"}]`, `{"code":"too_large","message":"more than 16 tool calls at once"}`},
		{`nonsense`, `{"code":"invalid","message":"the request is neither a tool call nor an array of them"}`},
	} {
		b := newBuilder()
		result := b.imp(coreModule, "result_read", "iii", "i")
		write := b.imp(coreModule, "output_write", "ii", "")
		toolCall := b.imp("nanoclaw_tool_1", "call", "ii", "I")
		b.bytesAt(0, tc.request)
		dir := admitted(t, b.skill(b.fn("i", "i", 0, i32(0), i32(int64(len(tc.request))), call(toolCall), drop,
			i32(4096), i32(4096), i32(0), i32(4096), call(result), call(write), i32(1))))
		e := newEngine(t, Config{}, wire.Load{Skills: []wire.LoadSkill{spec("c", dir, "tool"), spec("t", admitted(t, answers(okResult)))}})
		if out := e.call(t, "c", ``); out.Result.Text() != tc.want {
			t.Errorf("%.40s: %s, want %s", tc.request, out.Result.Text(), tc.want)
		}
	}
}

// TestToolDepth: a tool that calls itself stops at the fourth level.
func TestToolDepth(t *testing.T) {
	dir := caller(t, [2]string{"kv", `{}`}, [2]string{"tool", `{"name":"s"}`})
	calls := 0
	e := newEngine(t, Config{Broker: func(context.Context, string, string, string, []byte) (wire.Status, []byte, error) {
		calls++
		return wire.StatusOK, nil, nil
	}}, wire.Load{Skills: []wire.LoadSkill{spec("s", dir, "tool", "kv")}})
	want(t, e.call(t, "s", ``), wire.OutcomeOK, "ok")
	if calls != maxDepth {
		t.Error(calls)
	}
}

// TestBrokerGone: no answer is an answer to the guest, and a slow one ends at the deadline.
func TestBrokerGone(t *testing.T) {
	dir := admitted(t, bareCaller("kv"))
	for _, tc := range []struct {
		broker Broker
		want   string
	}{
		{func(context.Context, string, string, string, []byte) (wire.Status, []byte, error) {
			return 0, nil, errors.New("gone")
		}, "status 8"},
		{func(context.Context, string, string, string, []byte) (wire.Status, []byte, error) {
			return wire.StatusOK, make([]byte, wire.MaxCapResponse+1), nil
		}, "status 6"},
		{func(context.Context, string, string, string, []byte) (wire.Status, []byte, error) {
			return 200, nil, nil
		}, "status 9"},
	} {
		e := newEngine(t, Config{Broker: tc.broker}, wire.Load{Skills: []wire.LoadSkill{spec("s", dir, "kv")}})
		want(t, e.call(t, "s", ``), wire.OutcomeOK, tc.want)
	}
	e := newEngine(t, Config{Broker: func(ctx context.Context, _, _, _ string, _ []byte) (wire.Status, []byte, error) {
		<-ctx.Done()
		return 0, nil, ctx.Err()
	}}, wire.Load{Skills: []wire.LoadSkill{spec("s", dir, "kv")}})
	within(t, 30*time.Second, func() {
		want(t, e.Tool(context.Background(), wire.ToolCall{Name: "s", TimeoutMS: 100}), wire.OutcomeTimeout, "timed out")
	})
}

// TestBrokerPanic: a panic in the runner's own code ends the call, not the runner.
func TestBrokerPanic(t *testing.T) {
	e := newEngine(t, Config{Broker: func(context.Context, string, string, string, []byte) (wire.Status, []byte, error) {
		panic("a bug")
	}}, wire.Load{Skills: []wire.LoadSkill{spec("s", admitted(t, bareCaller("kv")), "kv")}})
	want(t, e.call(t, "s", ``), wire.OutcomeCrashed, "")
}

// TestTurnDeadline: the turn's own deadline ends the brain, whatever it does.
func TestTurnDeadline(t *testing.T) {
	b := newBuilder()
	brain := spec("brain", admitted(t, b.skill(b.fn("i", "i", 0, loop(br0), i32(0)))))
	e := newEngine(t, Config{}, wire.Load{Brain: "brain", Skills: []wire.LoadSkill{brain}})
	within(t, 30*time.Second, func() {
		last := e.Turn(context.Background(), wire.Turn{DeadlineMS: 200}, func(wire.Event) {})
		if last.Type != wire.EventError || last.Outcome != wire.OutcomeTimeout {
			t.Error(last)
		}
	})
	// A guest that never comes back is left behind.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	within(t, 30*time.Second, func() { want(t, bounded(ctx, func() wire.ToolOutcome { select {} }), wire.OutcomeTimeout, "") })
}

// TestConcurrentCalls: many calls of one skill at once are all fresh.
func TestConcurrentCalls(t *testing.T) {
	e := one(t, spec("s", admitted(t, answers(okResult))))
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if out := e.Tool(context.Background(), wire.ToolCall{Name: "s"}); out.Outcome != wire.OutcomeOK {
				t.Error(out)
			}
		})
	}
	wg.Wait()
}

// TestUnload: what was used least recently goes, comes back, and the brain stays.
func TestUnload(t *testing.T) {
	brain := spec("brain", admitted(t, answers(okResult)))
	set := wire.Load{Brain: "brain", Skills: []wire.LoadSkill{brain}}
	for i := range 3 {
		set.Skills = append(set.Skills, spec(fmt.Sprint("s", i), admitted(t, answers(fmt.Sprintf(`{"content":[{"text":"%d"}]}`, i)))))
	}
	e := newEngine(t, Config{Code: 1}, set)
	loaded := func() (names []string) {
		e.preparing.Wait()
		e.mu.Lock()
		defer e.mu.Unlock()
		for name, s := range e.skills {
			if s.loaded != nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	for _, i := range []int{0, 1, 2, 0} {
		name := fmt.Sprint("s", i)
		want(t, e.call(t, name, ``), wire.OutcomeOK, "")
		if got := loaded(); !slices.Equal(got, []string{"brain", name}) {
			t.Errorf("loaded %q after %s", got, name)
		}
	}
}

// TestCache: a hit on a read-only directory, and no turn lost without it.
func TestCache(t *testing.T) {
	wasm := answers(okResult)
	entries := func(dir string) []string {
		found, err := filepath.Glob(filepath.Join(dir, "cache", "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for name, spoil := range map[string]func(dir string) error{
		"untouched": func(string) error { return nil },
		"no cache":  func(dir string) error { return os.RemoveAll(dir + "/cache") },
		"broken":    func(dir string) error { return os.WriteFile(entries(dir)[0], []byte("WAZEVO nonsense"), 0o600) },
		"empty":     func(dir string) error { return os.WriteFile(entries(dir)[0], nil, 0o600) },
		"no directory": func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/cache"), os.WriteFile(dir+"/cache", nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := admitted(t, wasm)
			if len(entries(dir)) != 1 {
				t.Fatal(entries(dir))
			}
			info, err := os.Stat(entries(dir)[0])
			if err != nil || info.Mode().Perm() != 0o644 {
				t.Fatal(info.Mode(), err)
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			e := one(t, spec("s", dir))
			want(t, e.call(t, "s", ``), wire.OutcomeOK, "ok")
			if used := !strings.Contains(e.log.String(), "cache not used"); name == "untouched" && !used {
				t.Error("the cache was not used")
			}
		})
	}
}

func TestLoad(t *testing.T) {
	unmetered := t.TempDir()
	if err := os.WriteFile(unmetered+"/skill.wasm", answers(okResult), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBuilder()
	wrong := admitted(t, b.export("memory", 2, 0).export(entryCall, 0, b.fn("ii", "i", 0, i32(0))).build())
	set := wire.Load{Skills: []wire.LoadSkill{
		spec("u", unmetered), spec("missing", "/nonexistent"), spec("w", wrong), spec("none", admitted(t, newBuilder().build())),
	}, Warm: []string{"u", "missing", "w", "none", "unknown"}}
	e := newEngine(t, Config{}, set)
	wantRefused := []string{
		"skill u: is not metered: it did not come through admission",
		"skill missing: cannot be read: no such file or directory",
		"skill w: exports nanoclaw_call with another type than (i32) -> i32",
		"skill none: exports neither nanoclaw_call nor _start",
	}
	if !slices.Equal(e.loaded.Refused, wantRefused) {
		t.Errorf("refused %q", e.loaded.Refused)
	}
	if _, err := e.Load(context.Background(), set); !errors.Is(err, ErrLoaded) {
		t.Error(err)
	}
	last := e.Turn(context.Background(), wire.Turn{}, nil)
	if b, _ := json.Marshal(last); last.Type != wire.EventError || last.Outcome != wire.OutcomeNotFound {
		t.Errorf("%s", b)
	}
}
