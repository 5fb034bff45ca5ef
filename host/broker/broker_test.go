package broker_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// TestWhoMayCall: every capability against what role and manifest say of it.
func TestWhoMayCall(t *testing.T) {
	needs := func(caps ...host.Capability) (out []host.Need) {
		for _, c := range caps {
			out = append(out, host.Need{Name: c, Optional: true})
		}
		return out
	}
	all := needs(host.Capabilities...)
	for _, tc := range []struct {
		name   string
		skill  string
		place  string
		cap    host.Capability
		needs  []host.Need
		change func(*host.Role)
		want   wire.Status
		says   string
	}{
		{name: "kv", cap: host.CapKV, needs: all, want: wire.StatusOK},
		{name: "kv not in manifest", cap: host.CapKV, needs: needs(host.CapLLM), want: wire.StatusDenied, says: "kv is not granted to skill probe"},
		{name: "kv withheld", cap: host.CapKV, needs: all, change: func(r *host.Role) { r.Withhold = []host.Capability{host.CapKV} }, want: wire.StatusDenied, says: "kv is not granted"},
		{name: "history", cap: host.CapHistory, needs: all, want: wire.StatusInvalid, says: "shape"}, // granted, and not asked for keys
		{name: "history not in manifest", cap: host.CapHistory, needs: needs(host.CapKV), want: wire.StatusDenied, says: "history is not granted to skill probe"},
		{name: "llm withheld", cap: host.CapLLM, needs: all, change: func(r *host.Role) { r.Withhold = []host.Capability{host.CapLLM} }, want: wire.StatusDenied, says: "llm is not granted"},
		{name: "http without grant", cap: host.CapHTTP, needs: all, want: wire.StatusDenied, says: "http is not granted"},
		{name: "message", cap: host.CapMessage, needs: all, want: wire.StatusDenied, says: "message is not granted"},
		{name: "task", cap: host.CapTask, needs: all, want: wire.StatusDenied, says: "task is not granted"},
		{name: "agent", cap: host.CapAgent, needs: all, want: wire.StatusDenied, says: "agent is not granted"},
		{name: "agent with delegates", cap: host.CapAgent, needs: all, change: func(r *host.Role) { r.Delegates = []host.RoleName{"x"} }, want: wire.StatusInvalid, says: "shape of the capability"},
		{name: "another's skill", skill: "notes", cap: host.CapKV, needs: all, want: wire.StatusDenied, says: "not one of this agent's"},
		{name: "no skill", skill: "-", cap: host.CapKV, needs: all, want: wire.StatusDenied, says: "not one of this agent's"},
		{name: "long skill", skill: strings.Repeat("a", 5000), cap: host.CapKV, needs: all, want: wire.StatusDenied, says: "not one of this agent's"},
		{name: "place", place: "2.0; x", cap: host.CapKV, needs: all, want: wire.StatusInvalid, says: "list of numbers"},
		{name: "long place", place: strings.Repeat("1.", 500) + "1", cap: host.CapKV, needs: all, want: wire.StatusInvalid, says: "list of numbers"},
		{name: "no place", place: "-", cap: host.CapKV, needs: all, want: wire.StatusOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t).stored()
			l.scope.Skills[skillName].Manifest.Capabilities = tc.needs
			if tc.change != nil {
				tc.change(l.scope.Role)
			}
			pick := func(s, normal string) string {
				return map[string]string{"": normal, "-": ""}[s] + strings.TrimPrefix(s, "-")
			}
			r := l.callAs(pick(tc.skill, "probe"), pick(tc.place, "1"), tc.cap, wire.KVRequest{Op: "list"})
			r.want(tc.want, tc.says)
			rows := l.rows()
			if last := rows[len(rows)-1]; last.Verdict == "deny" == (tc.want == wire.StatusOK) || last.Capability != tc.cap ||
				len(last.Skill) > 64 {
				t.Errorf("rows %+v", rows)
			}
			if tc.says != "" && strings.Contains(tc.says, "not granted") && len(l.notices) != 1 {
				t.Errorf("notices %q", l.notices)
			}
		})
	}
}

func TestUnknownPaths(t *testing.T) {
	l := newLab(t)
	for path, want := range map[string]int{
		wire.PathCap + "teleport": 404, wire.PathCap: 404, "/": 404, wire.PathCap + "fs": 404, wire.PathCap + "tool": 404,
		wire.PathTurn: 404, wire.PathCap + "kv/x": 404,
	} {
		if r := l.do(httptest.NewRequest(http.MethodPost, path, nil)); r.code != want {
			t.Errorf("%s: %d", path, r.code)
		}
	}
	if r := l.do(httptest.NewRequest(http.MethodGet, wire.PathCap+"kv", nil)); r.code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", r.code)
	}
}

// TestBodies: bounded before decoded, strictly decoded.
func TestBodies(t *testing.T) {
	for _, tc := range []struct {
		body string
		want wire.Status
	}{
		{`{"op":"list"}`, wire.StatusOK},
		{`{"op":"list","agent":"other"}`, wire.StatusInvalid},
		{`{"op":"list"} {}`, wire.StatusInvalid},
		{`{"op":"list"`, wire.StatusInvalid},
		{`[]`, wire.StatusInvalid},
		{``, wire.StatusInvalid},
		{"{\"op\":\"put\",\"key\":\"\xff\",\"value\":\"\"}", wire.StatusInvalid},
		{`{"op":"list","key":"` + strings.Repeat(" ", wire.MaxCapRequest) + `"}`, wire.StatusTooLarge},
	} {
		l := newLab(t).stored()
		if r := l.call(host.CapKV, tc.body); r.status != tc.want {
			t.Errorf("%.60s: %s, want %s", tc.body, r.status, tc.want)
		}
	}
}

// TestNoRowNoAct: with a log that cannot be written nothing happens, and nothing is told.
func TestNoRowNoAct(t *testing.T) {
	l := newLab(t).stored().internet().grant(policy...)
	l.call(host.CapKV, wire.KVRequest{Op: "put", Key: "k", Value: "v"}).want(wire.StatusOK, "")
	asked := false
	l.serve = func(http.ResponseWriter, *http.Request) { asked = true }
	l.cfg.Models = func(*host.Role, string) (broker.Model, error) {
		return modelFunc(func(wire.LLMRequest, func(string)) (*wire.LLMResponse, error) {
			asked = true
			return &wire.LLMResponse{}, nil
		}), nil
	}
	l.audit.Close()
	l.get("https://api.example.com/").want(wire.StatusInternal, "audit log")
	l.call(host.CapLLM, wire.LLMRequest{}).want(wire.StatusInternal, "audit log")
	l.call(host.CapKV, wire.KVRequest{Op: "get", Key: "k"}).want(wire.StatusInternal, "audit log")
	l.call(host.CapKV, wire.KVRequest{Op: "delete", Key: "k"}).want(wire.StatusInternal, "audit log")
	if v, err := l.store.KVGet(t.Context(), "agent-1", skillName, "k"); v != "v" || err != nil {
		t.Errorf("the key is %q, %v", v, err)
	}
	if asked || len(l.looked) > 0 {
		t.Error("an act happened without its row")
	}
	// The row of the outcome: what was done is not told when it cannot be recorded.
	l.cfg.Audit = &failAt{n: 2}
	l.call(host.CapKV, wire.KVRequest{Op: "get", Key: "k"}).want(wire.StatusInternal, "audit log")
}

type failAt struct{ n, seen int }

func (f *failAt) Record(context.Context, host.Decision) error {
	if f.seen++; f.seen == f.n {
		return errors.New("disk full")
	}
	return nil
}

var _ broker.Auditor = (*audit.Log)(nil)

type modelFunc func(wire.LLMRequest, func(string)) (*wire.LLMResponse, error)

func (f modelFunc) Complete(_ context.Context, r wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error) {
	return f(r, onText)
}

// overloaded is an error with a sentence for everybody, as host/model's are.
type overloaded struct{ error }

func (o overloaded) Unwrap() error  { return o.error }
func (overloaded) Sentence() string { return "box is overloaded" }

func TestLLM(t *testing.T) {
	text := []wire.Block{{Type: wire.BlockText, Text: "hello"}}
	answer := &wire.LLMResponse{Content: text, StopReason: wire.StopEndTurn, Usage: wire.Usage{InputTokens: 30, OutputTokens: 12}}
	newLLM := func(t *testing.T, m modelFunc) *lab {
		l := newLab(t).stored()
		l.cfg.Models = func(r *host.Role, name string) (broker.Model, error) {
			if r.Name != "web" || name != "" && name != "fast" {
				return nil, host.ErrDenied
			}
			return m, nil
		}
		return l
	}
	stream := func(_ wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error) {
		onText("hel")
		onText("lo")
		return answer, nil
	}
	req := wire.LLMRequest{Messages: []wire.LLMMessage{{Role: wire.RoleUser, Content: text}}}
	t.Run("streams for the brain alone", func(t *testing.T) {
		for _, brain := range []host.SkillName{"probe", "assistant", ""} {
			l := newLLM(t, stream)
			l.scope.Brain = brain
			l.call(host.CapLLM, req).want(wire.StatusOK, "")
			var got string
			for _, e := range l.events {
				if e.Stage != host.StageModel || e.Turn != "t1" {
					t.Errorf("event %+v", e)
				}
				got += "|" + e.Text
			}
			if want := map[bool]string{true: "||hel|lo", false: "|"}[brain == "probe"]; got != want {
				t.Errorf("brain %q: events %q, want %q", brain, got, want)
			}
			if n, err := l.store.Spent(t.Context(), "web", host.BudgetTokens); n != 42 || err != nil {
				t.Errorf("%d tokens counted, %v", n, err)
			}
			if rows := l.rows(); len(rows) != 2 || rows[0].Target != "default" || rows[1].Reason != "30 tokens in, 12 out" {
				t.Errorf("rows %+v", rows)
			}
		}
	})
	t.Run("budget", func(t *testing.T) {
		var room []int
		l := newLLM(t, func(r wire.LLMRequest, _ func(string)) (*wire.LLMResponse, error) {
			room = append(room, r.MaxTokens)
			return answer, nil
		})
		l.scope.Role.Budget = map[host.Budget]int64{host.BudgetTokens: 400}
		for range 10 {
			if l.call(host.CapLLM, req).status != wire.StatusOK {
				break
			}
		}
		l.call(host.CapLLM, req).want(wire.StatusRateLimited, "used up")
		if n, _ := l.store.Spent(t.Context(), "web", host.BudgetTokens); n != int64(42*len(room)) || n > 400 {
			t.Errorf("%d tokens counted after %d answers", n, len(room))
		}
		if len(room) < 2 || room[0]-room[1] != 42 { // what is left is all that an answer may take
			t.Errorf("room for answers %v", room)
		}
		l.notices = l.notices[:1]
		if len(l.notices) != 1 || !strings.Contains(l.notices[0], "daily_tokens") {
			t.Errorf("notices %q", l.notices)
		}
	})
	t.Run("model names", func(t *testing.T) {
		l := newLLM(t, stream)
		r := req
		r.Model = "fast"
		l.call(host.CapLLM, r).want(wire.StatusOK, "")
		r.Model = "someone-else's"
		l.call(host.CapLLM, r).want(wire.StatusDenied, "the model: denied")
		if rows := l.rows(); rows[0].Target != "fast" || rows[2].Target != "-" {
			t.Errorf("rows %+v", rows)
		}
	})
	t.Run("failures", func(t *testing.T) {
		for err, want := range map[error]wire.Status{
			host.ErrUnavailable: wire.StatusUnavailable, host.ErrLimit: wire.StatusRateLimited, host.ErrTimeout: wire.StatusTimeout,
			host.ErrInvalid: wire.StatusInvalid, context.Canceled: wire.StatusCancelled, errors.New("key sk-123"): wire.StatusInternal,
		} {
			l := newLLM(t, func(wire.LLMRequest, func(string)) (*wire.LLMResponse, error) { return answer, err })
			r := l.call(host.CapLLM, req)
			r.want(want, "the model")
			if strings.Contains(string(r.body), "sk-") {
				t.Errorf("the guest is told %s", r.body)
			}
			if n, _ := l.store.Spent(t.Context(), "web", host.BudgetTokens); n != 42 {
				t.Errorf("%v: %d tokens counted", err, n)
			}
		}
		l := newLLM(t, func(wire.LLMRequest, func(string)) (*wire.LLMResponse, error) { return nil, overloaded{host.ErrBusy} })
		l.call(host.CapLLM, req).want(wire.StatusUnavailable, "box is overloaded")
		if rows := l.rows(); !strings.HasSuffix(rows[len(rows)-1].Reason, ": box is overloaded") {
			t.Errorf("rows %+v", rows)
		}
		l = newLLM(t, func(wire.LLMRequest, func(string)) (*wire.LLMResponse, error) { return nil, nil })
		l.call(host.CapLLM, req).want(wire.StatusInternal, "the model")
		l = newLLM(t, stream)
		l.store.Close()
		l.scope.Role.Budget = map[host.Budget]int64{host.BudgetTokens: 1}
		l.call(host.CapLLM, req).want(wire.StatusInternal, "the count of")
	})
}

func TestKV(t *testing.T) {
	l := newLab(t).stored()
	kv := func(r wire.KVRequest) reply { return l.call(host.CapKV, r) }
	kv(wire.KVRequest{Op: "get", Key: "a"}).want(wire.StatusNotFound, "")
	kv(wire.KVRequest{Op: "put", Key: "a", Value: "1<é"}).want(wire.StatusOK, "")
	if r := kv(wire.KVRequest{Op: "get", Key: "a"}); string(r.body) != "{\"value\":\"1<é\"}" {
		t.Errorf("%q", r.body)
	}
	kv(wire.KVRequest{Op: "put", Key: "b/1", Value: ""}).want(wire.StatusOK, "")
	kv(wire.KVRequest{Op: "put", Key: "b/2", Value: strings.Repeat("x", 64<<10)}).want(wire.StatusOK, "")
	if r := kv(wire.KVRequest{Op: "list", Key: "b/"}); string(r.body) != "{\"keys\":[\"b/1\",\"b/2\"]}" {
		t.Errorf("%q", r.body)
	}
	if r := kv(wire.KVRequest{Op: "list", Limit: 1}); string(r.body) != "{\"keys\":[\"a\"]}" {
		t.Errorf("%q", r.body)
	}
	kv(wire.KVRequest{Op: "delete", Key: "a"}).want(wire.StatusOK, "")
	kv(wire.KVRequest{Op: "get", Key: "a"}).want(wire.StatusNotFound, "")
	for _, bad := range []wire.KVRequest{{Op: "drop", Key: "a"}, {Op: "get"}, {Op: "put"}, {Op: "delete"}, {Op: "get", Key: "a\x00b"}, {}} {
		kv(bad).want(wire.StatusInvalid, "")
	}
	kv(wire.KVRequest{Op: "put", Key: strings.Repeat("k", 257)}).want(wire.StatusTooLarge, "256")
	kv(wire.KVRequest{Op: "put", Key: "a", Value: strings.Repeat("x", 64<<10+1)}).want(wire.StatusTooLarge, "65536")

	// Another skill and another agent see nothing of it.
	l.scope.Skills["other"] = &host.Skill{Manifest: host.Manifest{Name: "other", Capabilities: []host.Need{{Name: host.CapKV}}}}
	l.callAs("other", "1", host.CapKV, wire.KVRequest{Op: "get", Key: "b/1"}).want(wire.StatusNotFound, "")
	l.scope.Agent.ID = "agent-2"
	kv(wire.KVRequest{Op: "get", Key: "b/1"}).want(wire.StatusNotFound, "")
	if r := kv(wire.KVRequest{Op: "list"}); string(r.body) != "{}" {
		t.Errorf("%q", r.body)
	}
}

func TestKVIsBounded(t *testing.T) {
	l := newLab(t).stored()
	for i := range 1000 {
		if err := l.store.KVPut(t.Context(), "agent-1", skillName, "key"+strings.Repeat("x", i%200)+string(rune('a'+i/200)), "v"); err != nil {
			t.Fatal(err)
		}
	}
	l.call(host.CapKV, wire.KVRequest{Op: "put", Key: "one too many"}).want(wire.StatusTooLarge, "1000 keys")
	l.call(host.CapKV, wire.KVRequest{Op: "put", Key: "keya", Value: "new"}).want(wire.StatusOK, "")
}

// TestCallsAtOnce: a turn that floods waits; calls beyond the bound are not even read.
func TestCallsAtOnce(t *testing.T) {
	l := newLab(t)
	release := make(chan struct{})
	var mu sync.Mutex
	now, most := 0, 0
	l.cfg.Budgets = noBudgets{}
	l.cfg.Models = func(*host.Role, string) (broker.Model, error) {
		return modelFunc(func(wire.LLMRequest, func(string)) (*wire.LLMResponse, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-release
			mu.Lock()
			now--
			mu.Unlock()
			return &wire.LLMResponse{}, nil
		}), nil
	}
	h := broker.New(l.cfg).Handler(l.scope)
	var wg sync.WaitGroup
	call := func(ctx context.Context) {
		r := httptest.NewRequest(http.MethodPost, wire.PathCap+"llm", strings.NewReader(`{"messages":null}`)).WithContext(ctx)
		r.Header.Set(wire.HeaderSkill, "probe")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for range 40 {
		wg.Go(func() { call(t.Context()) })
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		mu.Lock()
		n := now
		mu.Unlock()
		if n == 16 || time.Now().After(deadline) {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	call(ctx) // does not wait for ever
	close(release)
	wg.Wait()
	if most != 16 {
		t.Errorf("%d calls at once", most)
	}
}

type noBudgets struct{}

func (noBudgets) Spend(context.Context, host.RoleName, host.Budget, int64, int64) error { return nil }

func (noBudgets) Spent(context.Context, host.RoleName, host.Budget) (n int64, err error) {
	return 0, nil
}
