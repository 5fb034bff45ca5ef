package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/schedule"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// world is a real store, and agents that answer at once with what answer says. Its clock is
// synctest's, which begins on 1 January 2000, 00:00 UTC.
type world struct {
	t     *testing.T
	store *store.Store
	book  *schedule.Book
	sched *schedule.Scheduler
	stop  func()
	look  time.Duration // how often the loop wakes up at least; 0 = as in a host

	mu     sync.Mutex
	texts  []string // delivered and fresh
	told   []string
	gates  int
	answer func() store.Outcome              // nil: the turn goes on
	gate   func() (wire.ToolOutcome, error)  // of every task with one
	broken func(context.Context) (err error) // instead of delivering
}

var (
	alice = host.Agent{ID: "alice", Role: "main", Channel: "console", Chat: "a"}
	bob   = host.Agent{ID: "bob", Role: "main", Channel: "console", Chat: "b"}
)

func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), filepath.Join(dir, "db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := &world{t: t, store: s, book: &schedule.Book{Store: s, Zone: "UTC"}}
		w.answer = func() store.Outcome { return store.Done }
		for _, a := range []host.Agent{alice, bob} {
			if err := s.EnsureAgent(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		w.start()
		defer func() { w.stop() }()
		f(w)
	})
}

func (w *world) start() { w.with(w.deliver) }

// with starts a scheduler that hands what is due to deliver.
func (w *world) with(deliver func(context.Context, host.Agent, host.Message) error) {
	w.sched = schedule.New(schedule.Config{
		Store: w.store, Deliver: deliver, Look: w.look, Log: hclog.NewNullLogger(),
		Gate: func(context.Context, host.Agent, wire.TaskGate) (wire.ToolOutcome, error) {
			w.mu.Lock()
			w.gates++
			f := w.gate
			w.mu.Unlock()
			return f()
		},
		Tell: func(_ context.Context, _ host.Task, text string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, text)
			return nil
		},
	})
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.sched.Run(ctx) }()
	w.stop = func() { cancel(); <-done }
}

// deliver is the router's part: the message, and a turn of it.
func (w *world) deliver(ctx context.Context, a host.Agent, m host.Message) error {
	w.mu.Lock()
	broken := w.broken
	w.mu.Unlock()
	if broken != nil {
		return broken(ctx)
	}
	fresh, err := w.store.AddMessage(ctx, m, a.ID, true)
	if err != nil || !fresh {
		return err
	}
	w.mu.Lock()
	w.texts = append(w.texts, m.Text)
	how := w.answer
	w.mu.Unlock()
	if how == nil {
		return nil
	}
	return w.finish(ctx, a, how())
}

func (w *world) finish(ctx context.Context, a host.Agent, how store.Outcome) error {
	turn, err := w.store.Begin(ctx, a.ID, host.NewTurnID(), 10)
	if err == nil {
		err = w.store.Finish(ctx, turn.ID, how, "because", nil)
	}
	w.sched.Poke()
	return err
}

func (w *world) do(a host.Agent, r wire.TaskRequest) host.Task {
	w.t.Helper()
	out, err := w.book.Do(w.t.Context(), a, "skill test", r)
	if err != nil {
		w.t.Fatalf("%+v: %v", r, err)
	}
	w.sched.Poke()
	synctest.Wait()
	return out[0]
}

// set changes what the world does from now on.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// after lets time pass, then tells the outcomes of a task's runs, oldest first.
func (w *world) after(d time.Duration, task int64) string {
	w.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	runs, err := w.store.Runs(w.t.Context(), task)
	if err != nil {
		w.t.Fatal(err)
	}
	out := []string{}
	for _, r := range runs {
		how := string(r.Outcome)
		if how == "" {
			how = "open"
		}
		out = append([]string{r.Due.Format("15:04 ") + how}, out...)
	}
	return strings.Join(out, ", ")
}

func (w *world) want(what, got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func create(prompt, when string) wire.TaskRequest {
	return wire.TaskRequest{Op: "create", Prompt: prompt, Schedule: when}
}

func TestTaskRunsAtItsTimes(t *testing.T) {
	inWorld(t, func(w *world) {
		hourly := w.do(alice, create("look around", "0 * * * *"))
		once := w.do(alice, create("wake me", "2000-01-01 01:30"))
		w.want("before", w.after(59*time.Minute+59*time.Second, hourly.N), "")
		w.want("after", w.after(2*time.Second, hourly.N), "01:00 ok")
		w.want("a day", fmt.Sprint(strings.Count(w.after(23*time.Hour, hourly.N), "ok")), "24")
		w.want("once", w.after(0, once.N), "01:30 ok")
		w.want("its state", string(w.do(alice, wire.TaskRequest{Op: "list", ID: once.N}).State), "done")
		w.want("text", w.texts[1], "[SCHEDULED TASK - The following message was sent automatically and is not coming directly "+
			"from the user or group.]\n\nwake me")
	})
}

// TestMissed: nobody was there for 27 minutes; or the host was killed in the middle.
func TestMissed(t *testing.T) {
	inWorld(t, func(w *world) {
		skip, once := create("s", "every 5m"), create("o", "every 5m")
		skip.Misfire = host.MisfireSkip
		a, b := w.do(alice, skip), w.do(bob, once)
		gone := w.do(bob, wire.TaskRequest{Op: "create", Prompt: "g", Schedule: "2000-01-01 00:10", Misfire: "skip"})
		w.stop()
		w.want("nobody there", w.after(27*time.Minute, a.N), "")
		w.start()
		w.want("skip", w.after(time.Second, a.N), "00:05 missed")
		w.want("run once", w.after(0, b.N), "00:05 ok")
		w.want("a single time", w.after(0, gone.N), "00:10 missed")
		w.want("and on", w.after(3*time.Minute, a.N), "00:05 missed, 00:30 ok") // never drifts

		// Killed after the row was written and before the message was: once, by the next host.
		w.set(func() { w.broken = func(ctx context.Context) error { return errors.New("killed") } })
		w.want("killed", w.after(5*time.Minute, b.N), "00:05 ok, 00:30 ok, 00:35 open")
		w.stop()
		w.set(func() { w.broken = nil })
		w.start()
		w.want("next host", w.after(time.Second, b.N), "00:05 ok, 00:30 ok, 00:35 ok")
		w.want("skip, not late", w.after(0, a.N), "00:05 missed, 00:30 ok, 00:35 ok")

		// Killed after the message was written: the message is there once.
		w.set(func() { w.answer = nil })
		w.want("turn runs", w.after(5*time.Minute, b.N), "00:05 ok, 00:30 ok, 00:35 ok, 00:40 open")
		w.stop()
		n := len(w.texts)
		w.start()
		w.after(time.Second, b.N)
		if len(w.texts) != n {
			t.Errorf("delivered again: %q", w.texts[n:])
		}
		// It is never queued twice: what is due while it runs is missed.
		w.want("busy", w.after(5*time.Minute, b.N), "00:05 ok, 00:30 ok, 00:35 ok, 00:40 open, 00:45 missed")
		if err := w.finish(w.t.Context(), bob, store.Done); err != nil {
			t.Fatal(err)
		}
		w.want("over", w.after(0, b.N), "00:05 ok, 00:30 ok, 00:35 ok, 00:40 ok, 00:45 missed")
	})
}

// TestClockJumps: the loop sleeps by a clock that stands still in a suspended machine.
func TestClockJumps(t *testing.T) {
	inWorld(t, func(w *world) {
		var jump time.Duration
		now := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return time.Now().Add(jump) }
		w.stop()
		w.sched = schedule.New(schedule.Config{Store: w.store, Deliver: w.deliver, Log: hclog.NewNullLogger(), Now: now})
		ctx, cancel := context.WithCancel(w.t.Context())
		go w.sched.Run(ctx)
		w.stop = cancel
		n := w.do(alice, create("x", "every 10h")).N
		w.mu.Lock()
		jump = 10*time.Hour + 27*time.Minute
		w.mu.Unlock()
		w.want("seen in a minute", w.after(time.Minute, n), "10:00 ok")
		w.mu.Lock()
		jump = 0 // back
		w.mu.Unlock()
		w.want("not twice", w.after(12*time.Hour, n), "10:00 ok")
		w.want("but at its time", w.after(8*time.Hour, n), "10:00 ok, 20:00 ok")
	})
}

func says(text string) func() (wire.ToolOutcome, error) {
	return func() (wire.ToolOutcome, error) {
		return wire.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult(text)}, nil
	}
}

func TestGate(t *testing.T) {
	inWorld(t, func(w *world) {
		r := create("summarise", "every 1m")
		r.Gate = &wire.TaskGate{Tool: "feeds_digest", Arguments: []byte(`{"new":true}`)}
		n := w.do(alice, r).N
		runs := ""
		for _, c := range []struct{ said, outcome, text string }{
			{`{"wake": false}`, "gated", ""},
			{"two new\n{\"wakeAgent\":false}\n", "gated", ""},
			{`{"wake": true}`, "ok", "sent automatically"},
			{`{"wake": true, "data": null}`, "ok", "sent automatically"},
			{`{"wakeAgent": true, "data": {"n":[1]}}`, "ok", "[SCHEDULED TASK]\n\nScript output:\n{\n  \"n\": [\n    1\n  ]\n}\n\nInstructions:\nsummarise"},
			{`{"wake": "no"}`, "failed", ""},
			{"nothing new", "failed", ""},
			{"", "failed", ""},
			{`{"wake": true, "data": "` + strings.Repeat("x", 70_000) + `"}`, "failed", ""},
			{`{"wake": false}`, "gated", ""}, // the count of failures begins anew
			{`[]`, "failed", ""},
		} {
			before := len(w.texts)
			w.set(func() { w.gate = says(c.said) })
			got := w.after(time.Minute, n)
			if last := strings.TrimPrefix(got, runs); !strings.HasSuffix(last, " "+c.outcome) {
				t.Fatalf("%.60q: %s, want %s", c.said, last, c.outcome)
			}
			runs = got
			if c.text == "" != (len(w.texts) == before) || c.text != "" && !strings.Contains(w.texts[before], c.text) {
				t.Errorf("%.60q: delivered %q", c.said, w.texts[before:])
			}
		}
		w.set(func() { w.gate = func() (wire.ToolOutcome, error) { return wire.ToolOutcome{}, host.ErrTimeout } })
		w.after(10*time.Minute, n)
		if len(w.told) != 1 || !strings.Contains(w.told[0], `Task 1 ("summarise") failed 5 times in a row and is paused.`) {
			t.Errorf("told %q", w.told)
		}
		if w.gates != 15 { // 11, and 4 more until it was paused
			t.Errorf("the gate was asked %d times", w.gates)
		}
	})
}

func TestPausedAfterFailures(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.do(alice, create("x", "every 1m")).N
		w.set(func() { w.answer = func() store.Outcome { return store.Failed } })
		w.want("runs", fmt.Sprint(strings.Count(w.after(time.Hour, n), "failed")), "5")
		got := w.do(alice, wire.TaskRequest{Op: "list", ID: n})
		if got.State != host.TaskPaused || got.Why != "it failed 5 times in a row" || len(w.told) != 1 {
			t.Errorf("%+v, told %q", got, w.told)
		}
		w.set(func() { w.answer = func() store.Outcome { return store.Done } })
		if got = w.do(alice, wire.TaskRequest{Op: "resume", ID: n}); got.Failures != 0 || got.State != host.TaskActive {
			t.Errorf("resumed: %+v", got)
		}
		w.want("resumed", fmt.Sprint(strings.Count(w.after(3*time.Minute, n), "ok")), "3")
	})
}

func TestBook(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.do(alice, create(" say hello ", "0 9 * * *"))
		if a.Prompt != "say hello" || a.Next != at(t, "2000-01-01T09:00:00Z") || a.Misfire != host.MisfireOnce || a.Author != "skill test" {
			t.Errorf("created %+v", a)
		}
		if got := w.do(alice, wire.TaskRequest{Op: "update", ID: a.N, Timezone: "Asia/Tokyo"}); got.Next != at(t, "2000-01-02T00:00:00Z") || got.Prompt != "say hello" {
			t.Errorf("in Tokyo %+v", got)
		}
		if got := w.do(alice, wire.TaskRequest{Op: "pause", ID: a.N}); got.State != host.TaskPaused || !got.Next.IsZero() {
			t.Errorf("paused %+v", got)
		}
		w.do(alice, wire.TaskRequest{Op: "run", ID: a.N})
		w.want("run by hand, although paused", w.after(25*time.Hour, a.N), "00:00 ok")
		w.do(alice, wire.TaskRequest{Op: "resume", ID: a.N})
		w.want("resumed", w.after(24*time.Hour, a.N), "00:00 ok, 00:00 ok")
		w.set(func() { w.answer = nil })
		w.do(alice, wire.TaskRequest{Op: "run", ID: a.N})
		for _, c := range []struct {
			r    wire.TaskRequest
			is   error
			want string
		}{
			{wire.TaskRequest{Op: "run", ID: a.N}, host.ErrBusy, "task 1 is running already"},
			{wire.TaskRequest{Op: "list", ID: 77}, host.ErrNotFound, "this agent has no task 77"},
			{wire.TaskRequest{Op: "grant"}, host.ErrInvalid, "op is create"},
			{create("", "every 5m"), host.ErrInvalid, "needs a prompt and a schedule"},
			{create("x", ""), host.ErrInvalid, "needs a prompt and a schedule"},
			{create("x", "every 5s"), host.ErrInvalid, "at least 1 minute"},
			{create("x", "1999-12-31 23:59"), host.ErrInvalid, "is past; it is 2000-01-03 01:00 there now"},
			{create(strings.Repeat("x", 8<<10+1), "every 5m"), host.ErrInvalid, "the prompt has 8193 bytes"},
			{wire.TaskRequest{Op: "update", ID: a.N, Misfire: "never"}, host.ErrInvalid, `misfire is "skip" or "run-once"`},
			{wire.TaskRequest{Op: "update", ID: a.N, Gate: &wire.TaskGate{Tool: "x", Arguments: []byte("[]")}}, host.ErrInvalid, "a JSON object"},
		} {
			if _, err := w.book.Do(w.t.Context(), alice, "x", c.r); !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %q", c.r, err, c.want)
			}
		}
		// Nothing of alice's is bob's, whatever he says.
		for _, op := range []string{"list", "update", "pause", "resume", "cancel", "run"} {
			if _, err := w.book.Do(w.t.Context(), bob, "x", wire.TaskRequest{Op: op, ID: a.N, Prompt: "mine"}); !errors.Is(err, host.ErrNotFound) {
				t.Errorf("bob may %s: %v", op, err)
			}
		}
		if all, err := w.book.Do(w.t.Context(), bob, "x", wire.TaskRequest{Op: "list"}); err != nil || len(all) != 0 {
			t.Errorf("bob sees %v %v", all, err)
		}
		w.do(alice, wire.TaskRequest{Op: "cancel", ID: a.N})
		if _, err := w.book.Do(w.t.Context(), alice, "x", wire.TaskRequest{Op: "resume", ID: a.N}); !errors.Is(err, host.ErrInvalid) ||
			!strings.Contains(err.Error(), "task 1 is over (cancelled by skill test)") {
			t.Errorf("resumed after the end: %v", err)
		}
		for range 50 {
			w.do(alice, create("x", "@yearly"))
		}
		if _, err := w.book.Do(w.t.Context(), alice, "x", create("x", "@yearly")); !errors.Is(err, host.ErrLimit) || !strings.Contains(err.Error(), "at most 50") {
			t.Errorf("51 tasks: %v", err)
		}
		w.do(bob, create("x", "@yearly"))
	})
}
