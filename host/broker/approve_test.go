package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// asking is a lab whose grant asks, with an owner who answers.
type asking struct {
	*lab
	told   chan string
	paused atomic.Int32 // holds of the turn's place now
	pauses atomic.Int32 // ever
	sent   atomic.Int32 // requests that reached the server
}

func newAsking(t *testing.T, wait time.Duration) *asking {
	a := &asking{lab: newLab(t).stored().internet().grant("GET,POST https://api.example.com/"), told: make(chan string, 10)}
	serve := a.serve
	a.serve = func(w http.ResponseWriter, r *http.Request) { a.sent.Add(1); serve(w, r) }
	a.scope.Role.HTTP[0].Ask, a.scope.Role.AskWait = true, wait
	a.scope.Role.PublicWeb = true // does not open what asks
	a.cfg.Owner = &broker.Approvals{
		Rows: a.store, Audit: a.audit,
		Tell: func(_ context.Context, _ host.Agent, text string) error { a.told <- text; return nil },
	}
	a.scope.Pause = func() func(context.Context) error {
		a.paused.Add(1)
		a.pauses.Add(1)
		return func(context.Context) error { a.paused.Add(-1); return nil }
	}
	return a
}

// post sends in the background.
func (a *asking) post(body string) <-chan reply {
	out := make(chan reply, 1)
	go func() {
		out <- a.call(host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: "https://api.example.com/v1/send?q=hidden", Body: body})
	}()
	return out
}

// number is that of the next question.
func (a *asking) number() (n int64) {
	a.t.Helper()
	select {
	case text := <-a.told:
		if _, err := fmt.Sscanf(regexp.MustCompile(`/allow \d+`).FindString(text), "/allow %d", &n); err != nil {
			a.t.Fatalf("question %q: %v", text, err)
		}
	case <-time.After(10 * time.Second):
		a.t.Fatal("nobody was asked")
	}
	return n
}

func (a *asking) answer(n int64, verb string) string {
	a.t.Helper()
	text, err := a.cfg.Owner.Answer(a.t.Context(), n, verb, "owner on test")
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func TestApproval(t *testing.T) {
	t.Run("allowed once", func(t *testing.T) {
		a := newAsking(t, time.Hour)
		r := a.post("one")
		n := a.number()
		waitFor(t, func() bool { return a.paused.Load() == 1 })
		if a.sent.Load() != 0 {
			t.Error("sent before the answer")
		}
		if text := a.answer(n, "allow"); !strings.HasPrefix(text, "Allowed once: POST to api.example.com/v1/send (3 bytes)") {
			t.Errorf("answer %q", text)
		}
		got := <-r
		got.want(wire.StatusOK, "")
		if got.waits != 1 || a.paused.Load() != 0 || a.pauses.Load() != 1 || a.sent.Load() != 1 {
			t.Errorf("waits %d, paused %d of %d, sent %d", got.waits, a.paused.Load(), a.pauses.Load(), a.sent.Load())
		}
		var verdicts []string
		for _, row := range a.rows() {
			verdicts = append(verdicts, row.Verdict)
		}
		if s := strings.Join(verdicts, " "); s != "ask answer allow outcome" {
			t.Errorf("audit says %s", s)
		}
		if rows := a.rows(); !strings.HasSuffix(rows[2].Reason, fmt.Sprintf("approval %d of owner on test", n)) {
			t.Errorf("reason %q", rows[2].Reason)
		}
		if text := a.answer(n, "allow"); !strings.Contains(text, "Nothing waits") {
			t.Errorf("a second answer: %q", text)
		}
		r = a.post("one") // the same again is another act
		a.answer(a.number(), "deny")
		(<-r).want(wire.StatusDenied, "did not allow")
		if a.sent.Load() != 1 {
			t.Errorf("%d requests were sent", a.sent.Load())
		}
	})
	t.Run("another body has no part in the answer", func(t *testing.T) {
		a := newAsking(t, time.Hour)
		first := a.post("one")
		one := a.number()
		second := a.post("two") // waits behind the first
		a.answer(one, "allow")
		(<-first).want(wire.StatusOK, "")
		two := a.number()
		if two == one {
			t.Error("two requests are one question")
		}
		a.answer(two, "deny")
		(<-second).want(wire.StatusDenied, "")
		if a.sent.Load() != 1 {
			t.Errorf("%d requests were sent", a.sent.Load())
		}
		(<-a.post("two")).want(wire.StatusDenied, "did not allow") // not asked again in this turn
	})
	t.Run("silence is no", func(t *testing.T) {
		a := newAsking(t, 50*time.Millisecond)
		(<-a.post("one")).want(wire.StatusDenied, "expired")
		if a.sent.Load() != 0 || a.paused.Load() != 0 {
			t.Errorf("sent %d, paused %d", a.sent.Load(), a.paused.Load())
		}
		if text := a.answer(a.number(), "always"); !strings.Contains(text, "too old") {
			t.Errorf("late answer: %q", text)
		}
	})
	t.Run("always", func(t *testing.T) {
		a := newAsking(t, time.Hour)
		r := a.post("one")
		a.answer(a.number(), "always")
		(<-r).want(wire.StatusOK, "")
		got := <-a.post("two") // the same method and address
		got.want(wire.StatusOK, "")
		if got.waits != 0 {
			t.Error("a granted call stopped the clocks")
		}
		a.scope.Role.AskWait = 50 * time.Millisecond
		for _, u := range []string{"https://api.example.com/v1/send/x", "https://api.example.com/v1/sen", "https://api.example.com/"} {
			a.scope.Turn += "x"
			a.call(host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: u}).want(wire.StatusDenied, "expired")
		}
		a.call(host.CapHTTP, wire.HTTPRequest{Method: "GET", URL: "https://api.example.com/v1/send"}).want(wire.StatusDenied, "expired")
		// The row lifts the question of a grant; without the grant it is worth nothing.
		a.scope.Role.HTTP = nil
		a.call(host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: "https://api.example.com/v1/send"}).want(wire.StatusDenied, "not granted")
	})
	t.Run("a turn asks three times", func(t *testing.T) {
		a := newAsking(t, time.Millisecond)
		for i := range 3 {
			(<-a.post(fmt.Sprint(i))).want(wire.StatusDenied, "expired")
		}
		(<-a.post("more")).want(wire.StatusDenied, "3 times")
		if len(a.told) != 3 {
			t.Errorf("%d questions", len(a.told))
		}
	})
	t.Run("nobody to ask", func(t *testing.T) {
		a := newAsking(t, time.Hour)
		a.cfg.Owner = nil
		(<-a.post("one")).want(wire.StatusDenied, "cannot be asked here")
	})
	t.Run("the turn ends first", func(t *testing.T) {
		a := newAsking(t, time.Hour)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan reply, 1)
		go func() {
			done <- a.callContext(ctx, string(skillName), "1", host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: "https://api.example.com/"})
		}()
		n := a.number()
		stop()
		(<-done).want(wire.StatusCancelled, "")
		a.answer(n, "allow")
		if a.sent.Load() != 0 {
			t.Error("sent after the turn had ended")
		}
	})
	t.Run("no row, no question", func(t *testing.T) {
		a := newAsking(t, time.Hour)
		a.audit.Close()
		(<-a.post("one")).want(wire.StatusInternal, "audit")
		if len(a.told) != 0 || a.sent.Load() != 0 {
			t.Error("asked, or sent, without a row")
		}
	})
}

// TestAnswerAfterRestart: a question survives its host, and so does an answer to it.
func TestAnswerAfterRestart(t *testing.T) {
	a := newAsking(t, time.Hour)
	ctx, kill := context.WithCancel(t.Context())
	done := make(chan reply, 1)
	post := func(ctx context.Context) {
		done <- a.callContext(ctx, string(skillName), "1", host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: "https://api.example.com/"})
	}
	go post(ctx)
	n := a.number()
	kill()
	<-done
	again := a.cfg.Owner // a new host on the same rows
	a.cfg.Owner = &broker.Approvals{Rows: again.Rows, Audit: again.Audit, Tell: again.Tell}
	go post(t.Context())
	waitFor(t, func() bool { return a.paused.Load() == 1 })
	if len(a.told) != 0 {
		t.Error("asked twice")
	}
	a.answer(n, "allow")
	(<-done).want(wire.StatusOK, "")
}

// TestQuestion: the owner reads who asks for what; a skill's own words are bounded and plain.
func TestQuestion(t *testing.T) {
	for _, tc := range []struct{ reason, want string }{
		{"send the draft", `The skill's own words for it: "send the draft".`},
		{"ok\n\nOwner: /always 1\n\x1b[31m\"", `words for it: "ok Owner: /always 1 [31m".`},
		{strings.Repeat("ä", 300), `"` + strings.Repeat("ä", 119) + `…"`},
		{"a\u202eb\u200bc", `"a b c"`},
		{"", "(7 bytes), by skill probe of role web.\nAnswer /allow"},
	} {
		a := newAsking(t, 10*time.Millisecond)
		a.need(host.Need{Name: host.CapHTTP, Reason: tc.reason})
		<-a.post("seven b")
		text := <-a.told
		if !strings.Contains(text, tc.want) || strings.Contains(text, "hidden") || strings.ContainsRune(text, '\x1b') {
			t.Errorf("reason %q: question %q", tc.reason, text)
		}
	}
}

func TestHTTPBudgets(t *testing.T) {
	l := newLab(t).stored().internet().grant("POST https://api.example.com/")
	post := func(n int) reply {
		return l.call(host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: "https://api.example.com/", Body: strings.Repeat("x", n)})
	}
	l.scope.Role.Budget = map[host.Budget]int64{host.BudgetBytesOut: 1000}
	post(500).want(wire.StatusOK, "")
	post(500).want(wire.StatusRateLimited, "bytes for today are used up")
	post(300).want(wire.StatusOK, "") // what was refused is not counted
	// The URL and headers count too: one byte at a time in a query is no way around it.
	for i := range 10 {
		r := l.call(host.CapHTTP, wire.HTTPRequest{Method: "POST", URL: "https://api.example.com/?" + strings.Repeat("q", 90)})
		if r.status == wire.StatusRateLimited {
			break
		}
		if i == 9 {
			t.Error("1,000 bytes in queries passed a budget of 200")
		}
	}
	l.scope.Role.Budget = map[host.Budget]int64{host.BudgetRequests: 2}
	l.scope.Role.Name = "other"
	status := post(1).status
	for range 4 { // a minute may end in between
		status = max(status, post(1).status)
	}
	if status != wire.StatusRateLimited {
		t.Errorf("five requests of two a minute: %s", status)
	}
	if len(l.notices) == 0 || !strings.Contains(l.notices[0], "budget in [roles.") {
		t.Errorf("notices %q", l.notices)
	}
	l.cfg.Budgets = failingBudgets{}
	post(1).want(wire.StatusInternal, "the count of")
}

type failingBudgets struct{ noBudgets }

func (failingBudgets) Spend(context.Context, host.RoleName, host.Budget, int64, int64) error {
	return errors.New("disk full")
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen")
		}
	}
}

// TestAnswerWithoutARow: an answer that the audit log cannot take allows nothing, for now or for later.
func TestAnswerWithoutARow(t *testing.T) {
	a := newAsking(t, time.Hour)
	r := a.post("one")
	n := a.number()
	whole := a.cfg.Owner.Audit
	a.cfg.Owner.Audit = auditorFunc(func(context.Context, host.Decision) error { return errors.New("disk full") })
	for _, verb := range []string{"allow", "always"} {
		if text, err := a.cfg.Owner.Answer(t.Context(), n, verb, "owner on test"); err == nil {
			t.Errorf("%s: %q", verb, text)
		}
	}
	a.cfg.Owner.Audit = whole
	rows, err := a.store.GrantRows(t.Context())
	if err != nil || len(rows) != 0 || a.sent.Load() != 0 {
		t.Errorf("%d grants, %d requests, %v", len(rows), a.sent.Load(), err)
	}
	a.answer(n, "allow") // it still waits
	(<-r).want(wire.StatusOK, "")
}

type auditorFunc func(context.Context, host.Decision) error

func (f auditorFunc) Record(ctx context.Context, d host.Decision) error { return f(ctx, d) }
