package schedule_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestYear lives through a year in five zones, three times a day each, across every change of their clocks,
// with a host that is started again every 40 days: each task runs at the instants of the reference,
// once at each, and at no other.
func TestYear(t *testing.T) {
	zones := []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Chatham"}
	schedules := []string{"30 2 * * *", "45 */12 * * *", "0 3 * * 0"}
	inWorld(t, func(w *world) {
		var mu sync.Mutex
		ran := make(map[string][]time.Time)
		w.stop()
		w.look = time.Hour // half a million looks at the tasks take half an hour and show nothing more
		periods := 9
		if testing.Short() { // the weeks in which four of the five change their clocks
			time.Sleep(70 * 24 * time.Hour)
			periods = 1
		}
		begin := time.Now()
		deliver := func(ctx context.Context, a host.Agent, m host.Message) error {
			mu.Lock()
			name := m.Text[len(m.Text)-3:]
			ran[name] = append(ran[name], time.Now())
			mu.Unlock()
			return w.deliver(ctx, a, m)
		}
		w.with(deliver)
		for z, zone := range zones {
			for s, text := range schedules {
				a := alice // an agent has at most 50 tasks, and one turn at a time
				a.ID = host.AgentID(fmt.Sprint("agent-", z, s))
				if err := w.store.EnsureAgent(w.t.Context(), a); err != nil {
					t.Fatal(err)
				}
				r := create(fmt.Sprintf("%d-%d", z, s), text)
				r.Timezone = zone
				w.do(a, r)
			}
		}
		for range periods {
			time.Sleep(40 * 24 * time.Hour)
			synctest.Wait()
			w.stop()
			w.with(deliver)
		}
		time.Sleep(6*24*time.Hour + 30*time.Second) // midnight is over
		synctest.Wait()
		end := time.Now()
		mu.Lock()
		defer mu.Unlock()
		for z, zone := range zones {
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			for s, text := range schedules {
				want := slices.Collect(slowly(reading(text), loc, begin, end))
				got := ran[fmt.Sprintf("%d-%d", z, s)]
				if len(want) < 5*periods || !slices.EqualFunc(got, want, func(a, b time.Time) bool { return a.Truncate(time.Second).Equal(b) }) {
					t.Errorf("%q in %s ran %d times, the reference says %d: first difference at %s", text, zone, len(got), len(want),
						difference(got, want))
				}
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.told) > 0 {
			t.Errorf("the owner was told %q", w.told)
		}
	})
}

func difference(got, want []time.Time) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !got[i].Truncate(time.Second).Equal(want[i]) {
			return fmt.Sprintf("run %d: %v, want %v", i, got[i:min(i+1, len(got))], want[i:min(i+1, len(want))])
		}
	}
	return "none"
}
