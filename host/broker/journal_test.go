package broker_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// rerun is a lab whose turn is run several times. Each attempt has a broker of its own, as after a crash.
type rerun struct {
	*lab
	reached []string // what came to the servers
}

func newRerun(t *testing.T) *rerun {
	r := &rerun{lab: newLab(t).stored().internet().grant("GET,POST https://api.example.com/")}
	r.cfg.Journal = r.store
	r.serve = func(w http.ResponseWriter, q *http.Request) {
		r.reached = append(r.reached, q.Method+" "+q.URL.Path)
		switch {
		case strings.HasPrefix(q.URL.Path, "/away"):
			http.Redirect(w, q, "https://other.example.com/", http.StatusFound)
		case strings.HasPrefix(q.URL.Path, "/cut"):
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(q.URL.Path, "/big"):
			_, _ = w.Write([]byte(strings.Repeat("x", 2<<20)))
		}
		fmt.Fprint(w, len(r.reached))
	}
	r.again()
	return r
}

// again begins another attempt.
func (r *rerun) again() {
	r.scope.Attempt++
	r.use = broker.New(r.cfg).Handler(r.scope)
}

func (r *rerun) fetch(place, method, path string) reply {
	r.t.Helper()
	return r.callAs(string(skillName), place, host.CapHTTP, wire.HTTPRequest{Method: method, URL: "https://api.example.com" + path})
}

func (r *rerun) verdicts() (out []string) {
	for _, row := range r.rows() {
		out = append(out, row.Verdict)
	}
	return out
}

// TestTheMatchingPrefixIsReplayed: what was answered is answered again without being made, up to the
// first call that differs; from there, and only in what comes after it, calls are made.
func TestTheMatchingPrefixIsReplayed(t *testing.T) {
	r := newRerun(t)
	first := r.fetch("0", "POST", "/a").http().Body
	r.fetch("1", "GET", "/b")
	r.fetch("2.0.0", "GET", "/c")
	r.fetch("2.1.0", "POST", "/d")
	r.fetch("3", "POST", "/e")
	r.again()
	if got := r.fetch("0", "POST", "/a").http().Body; got != first {
		t.Errorf("the replay says %s, the first run %s", got, first)
	}
	r.fetch("1", "GET", "/b")
	r.fetch("2.0.0", "GET", "/other") // differs
	r.fetch("2.0.1", "GET", "/new")
	r.fetch("2.1.0", "POST", "/d") // beside it
	r.fetch("3", "POST", "/e")     // after it
	want := []string{"POST /a", "GET /b", "GET /c", "POST /d", "POST /e", "GET /other", "GET /new", "POST /e"}
	if !slices.Equal(r.reached, want) {
		t.Errorf("made  %q\nwant %q", r.reached, want)
	}
	verdicts := r.verdicts()
	if n := len(slices.DeleteFunc(verdicts, func(v string) bool { return v != "replay" })); n != 3 {
		t.Errorf("%d rows say replay, want 3", n)
	}
	// The third attempt does as the second did, and finds nothing of the branch that was left.
	r.again()
	for place, path := range map[string]string{"0": "POST /a", "1": "GET /b", "2.0.0": "GET /other", "2.0.1": "GET /new", "2.1.0": "POST /d", "3": "POST /e"} {
		method, path, _ := strings.Cut(path, " ")
		r.fetch(place, method, path)
	}
	if len(r.reached) != len(want) {
		t.Errorf("the third attempt made %q", r.reached[len(want):])
	}
}

// TestUnknownIsNeverRepeated: an intent whose outcome nobody wrote is refused by every later attempt,
// at its place and at any other; the same without an effect outside is simply made again.
func TestUnknownIsNeverRepeated(t *testing.T) {
	for _, method := range []string{"POST", "GET"} {
		t.Run(method, func(t *testing.T) {
			r := newRerun(t)
			r.cfg.Journal = deaf{r.store}
			r.again()
			r.fetch("0", method, "/a").want(wire.StatusOK, "")
			r.cfg.Journal = r.store
			for range 2 {
				r.again()
				for _, place := range []string{"0", "1"} {
					got := r.fetch(place, method, "/a")
					if method == "GET" {
						got.want(wire.StatusOK, "")
						continue
					}
					got.want(wire.StatusUnavailable, "it may have happened; it is not repeated")
					if strings.Contains(string(got.body), `"retryable":true`) {
						t.Errorf("the guest is told to try again: %s", got.body)
					}
				}
			}
			if n := len(r.reached); method == "POST" && n != 1 || method == "GET" && n != 3 {
				t.Errorf("made %q", r.reached)
			}
			rows, err := r.store.Calls(t.Context(), "t1")
			if err != nil || method == "POST" && rows[0].State != host.CallUnknown {
				t.Errorf("%v, %+v", err, rows)
			}
		})
	}
}

// deaf loses outcomes, as a host does that dies before it writes them.
type deaf struct{ broker.Journal }

func (d deaf) PutCall(ctx context.Context, r *host.CallRow) error {
	if r.State != host.CallBegun {
		return host.ErrUnavailable
	}
	return d.Journal.PutCall(ctx, r)
}

// TestFailuresInReplay: what is done again, and what is told again.
func TestFailuresInReplay(t *testing.T) {
	for _, c := range []struct {
		name, method, path string
		goesOn             bool // the guest makes another call after it
		made               int  // times it reached the server, in two attempts
		want               wire.Status
	}{
		{"cut GET at the end", "GET", "/cut", false, 2, wire.StatusUnavailable},
		{"cut GET, gone on", "GET", "/cut", true, 1, wire.StatusUnavailable},
		{"cut POST at the end", "POST", "/cut", false, 1, wire.StatusUnavailable},
		{"cut POST, gone on", "POST", "/cut", true, 1, wire.StatusUnavailable},
		{"POST whose redirect is denied", "POST", "/away", false, 1, wire.StatusDenied},
		{"large GET", "GET", "/big", true, 2, wire.StatusOK},
		{"large POST", "POST", "/big", true, 1, wire.StatusUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRerun(t)
			r.fetch("0", c.method, c.path)
			if c.goesOn {
				r.fetch("1", "GET", "/next")
			}
			r.again()
			if got := r.fetch("0", c.method, c.path); got.status != c.want {
				t.Errorf("%s, want %s: %.200s", got.status, c.want, got.body)
			}
			n := len(slices.DeleteFunc(r.reached, func(s string) bool { return !strings.HasSuffix(s, c.path) }))
			if n != c.made {
				t.Errorf("made %d times, want %d", n, c.made)
			}
		})
	}
}

// TestReplayCostsNothing: no budget, and a denial at the end is checked again: a grant may be new.
func TestReplayCostsNothing(t *testing.T) {
	r := newRerun(t)
	spent := func() int64 {
		n, err := r.store.Spent(t.Context(), r.scope.Role.Name, host.BudgetBytesOut)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	r.fetch("0", "GET", "/a").want(wire.StatusOK, "")
	before := spent()
	for range 3 {
		r.again()
		r.fetch("0", "GET", "/a").want(wire.StatusOK, "")
	}
	if n := spent(); n != before || n == 0 {
		t.Errorf("%d bytes sent before the replays, %d after", before, n)
	}
	r.fetch("1", "DELETE", "/x").want(wire.StatusDenied, "")
	r.grant("DELETE https://api.example.com/")
	r.again()
	r.fetch("0", "GET", "/a").want(wire.StatusOK, "")
	r.fetch("1", "DELETE", "/x").want(wire.StatusOK, "")
}

// TestNoIntentNoAct: a request with an effect outside needs its row first.
func TestNoIntentNoAct(t *testing.T) {
	r := newRerun(t)
	r.cfg.Journal = mute{}
	r.again()
	r.fetch("0", "POST", "/a").want(wire.StatusUnavailable, "")
	r.fetch("1", "GET", "/b").want(wire.StatusOK, "")
	if !slices.Equal(r.reached, []string{"GET /b"}) {
		t.Errorf("made %q", r.reached)
	}
}

// mute is a journal that cannot be written.
type mute struct{}

func (mute) PutCall(context.Context, *host.CallRow) error { return host.ErrUnavailable }
func (mute) Calls(context.Context, host.TurnID) ([]host.CallRow, error) {
	return nil, nil
}
