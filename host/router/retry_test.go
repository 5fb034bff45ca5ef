package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/store"
)

var schedule = []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second}

// flaky is a turn that fails the first times with err. It keeps when it was run.
type flaky struct {
	err   error
	times int

	mu   sync.Mutex
	runs []time.Time
}

func (f *flaky) turn(ctx context.Context, a host.Agent, t store.Turn, emit func(host.Event)) (string, error) {
	if a.Chat == "b" {
		return echo(ctx, a, t, emit)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs = append(f.runs, time.Now())
	if len(f.runs) <= f.times {
		return "", f.err
	}
	return echo(ctx, a, t, emit)
}

func (f *flaky) gaps() (out []time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range len(f.runs) - 1 {
		out = append(out, f.runs[i+1].Sub(f.runs[i]).Round(time.Second))
	}
	return out
}

// TestRetries: after 5, 10, 20, 40 and 80 seconds, then one message and a dead letter. What the user
// says meanwhile waits behind it; other chats do not.
func TestRetries(t *testing.T) {
	unavailable := fmt.Errorf("main: %w: the model does not answer", host.ErrUnavailable)
	for _, c := range []struct {
		name   string
		times  int
		gaps   []time.Duration
		said   string
		failed bool
	}{
		{"none", 0, nil, "one", false},
		{"twice", 2, schedule[:2], "one", false},
		{"five times", 5, schedule, "one", false},
		{"six times", 6, schedule, "I can't answer right now: the model does not answer. ", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				turn := &flaky{err: unavailable, times: c.times}
				f := start(t, db(t), turn.turn)
				f.deliver(t, say("a", "1", "one"))
				synctest.Wait()
				f.deliver(t, say("a", "2", "two"))
				f.deliver(t, say("b", "3", "beside"))
				var said []string
				collect := func() {
					for len(f.ch.sent) > 0 {
						said = append(said, (<-f.ch.sent).Text)
					}
				}
				synctest.Wait()
				if collect(); !slices.Contains(said, "beside") || c.times > 0 && len(said) > 1 {
					t.Errorf("at once it said %q", said)
				}
				time.Sleep(200 * time.Second)
				collect()
				said = slices.DeleteFunc(said, func(s string) bool { return s == "beside" })
				if len(said) != 2 || !strings.HasPrefix(said[0], c.said) || said[1] != "two" {
					t.Errorf("said %q, want %q, then two", said, c.said)
				}
				if got := turn.gaps(); len(got) < len(c.gaps) || !slices.Equal(got[:len(c.gaps)], c.gaps) {
					t.Errorf("waited %v, want %v", got, c.gaps)
				}
				if list, err := f.st.Turns(t.Context(), host.TurnFilter{Last: 9, Failed: true}); err != nil || len(list) == 1 != c.failed {
					t.Errorf("failed turns: %+v, %v", list, err)
				}
			})
		})
	}
}

// TestWhatPasses is the table of reasons.
func TestWhatPasses(t *testing.T) {
	for kind, want := range map[error]bool{
		host.ErrUnavailable: true, host.ErrBusy: true, host.ErrCrashed: true,
		host.ErrDenied: false, host.ErrInvalid: false, host.ErrNotFound: false, host.ErrTimeout: false, host.ErrLimit: false,
		host.ErrStopped: false, errors.New("disk full"): false, host.Lasting(host.ErrUnavailable): false,
	} {
		if got := passes(fmt.Errorf("main: %w: x", kind)); got != want {
			t.Errorf("%v passes: %v, want %v", kind, got, want)
		}
	}
	if passes(nil) {
		t.Error("a success is tried again")
	}
}

// TestRestartGoesOnWithTheSchedule: neither the wait nor the count begins anew, stopping does not
// take the time of a wait, and a clock that was set back by a day stretches none.
func TestRestartGoesOnWithTheSchedule(t *testing.T) {
	for name, back := range map[string]time.Duration{"clock kept": 0, "clock back by a day": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := db(t)
				turn := &flaky{err: host.ErrUnavailable, times: 1000}
				f := start(t, path, turn.turn)
				f.deliver(t, say("a", "1", "one"))
				time.Sleep(5*time.Second + 10*time.Second + 8*time.Second) // three attempts, and 8 of 20 s
				began := time.Now()
				f.Stop()
				if time.Since(began) != 0 {
					t.Errorf("stopping took %v", time.Since(began))
				}
				if back > 0 {
					u, err := f.st.Begin(t.Context(), agentOf(host.Route{Role: "main"}, say("a", "", "")).ID, "x", 1)
					if err == nil {
						err = f.st.PutBack(t.Context(), u.ID, u.Failures, u.Next.Add(back), "")
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				f.st.Close()
				start(t, path, turn.turn)
				time.Sleep(200 * time.Second)
				want := slices.Clone(schedule)
				if back > 0 {
					want[2] += 8 * time.Second // a whole wait again, and no more
				}
				if got := turn.gaps(); !slices.Equal(got, want) {
					t.Errorf("waited %v, want %v", got, want)
				}
			})
		})
	}
}

// TestStopEndsTheWait: and what waits behind it is answered.
func TestStopEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := &flaky{err: host.ErrBusy, times: 1}
		f := start(t, db(t), turn.turn)
		f.deliver(t, say("a", "1", "one"))
		synctest.Wait()
		began := time.Now()
		f.deliver(t, say("a", "2", "/stop"))
		got := []string{f.ch.next(t).Text, f.ch.next(t).Text}
		if slices.Sort(got); !slices.Equal(got, []string{"Stopped.", "Stopping."}) || time.Since(began) != 0 {
			t.Errorf("said %q after %v", got, time.Since(began))
		}
		f.deliver(t, say("a", "3", "two"))
		if o := f.ch.next(t); o.Text != "two" {
			t.Errorf("said %+v", o)
		}
	})
}

// TestStoppedHostsCountForNothing: a turn may be put back any number of times.
func TestStoppedHostsCountForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := db(t)
		for range 3 * maxAttempts {
			f := start(t, path, func(ctx context.Context, _ host.Agent, _ store.Turn, _ func(host.Event)) (string, error) {
				<-ctx.Done()
				return "", context.Cause(ctx)
			})
			f.deliver(t, say("a", "1", "one"))
			synctest.Wait()
			f.Stop()
			f.st.Close()
		}
		f := start(t, path, echo)
		if o := f.ch.next(t); o.Text != "one" {
			t.Errorf("said %+v", o)
		}
	})
}

// TestRetryOfTheOwner: a dead letter is taken up before what waits, with its messages and its history.
func TestRetryOfTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := &flaky{err: host.ErrDenied, times: 1}
		f := start(t, db(t), turn.turn)
		f.deliver(t, say("a", "1", "one"))
		if o := f.ch.next(t); o.Kind != host.OutError {
			t.Fatalf("said %+v", o)
		}
		f.deliver(t, say("a", "2", "two"))
		f.ch.next(t)
		list, err := f.st.Turns(t.Context(), host.TurnFilter{Failed: true, Last: 10})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if err := f.Retry(t.Context(), list[0].ID); err != nil {
			t.Fatal(err)
		}
		if o := f.ch.next(t); o.Text != "one" || o.ReplyTo != "1" {
			t.Errorf("said %+v", o)
		}
		if err := f.Retry(t.Context(), list[0].ID); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("a turn that is done is retried: %v", err)
		}
	})
}
