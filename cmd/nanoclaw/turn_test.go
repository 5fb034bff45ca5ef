package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// TestDeadLetter: a model that does not answer is asked in six attempts, the user is told once, and the
// owner finds the turn, sees what it did and runs it again; what its attempts had done is not done twice.
func TestDeadLetter(t *testing.T) {
	busy := modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"0.01"}}}
	s, fake := modelSite(t, "anthropic",
		modeltest.Answer{Text: "Let me see.", Uses: []modeltest.Use{{ID: "u1", Name: "calc", Input: `{"expression":"6*7"}`}}}, busy)
	said := s.said(t)
	if n := strings.Count(said, "I can't answer right now: anthropic is overloaded"); n > 1 {
		t.Fatalf("told %d times: %s", n, said)
	}
	var list []host.TurnRow
	out, err := s.cmd("turn", "list", "--failed", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil || len(list) != 1 || list[0].Attempts != 6 || list[0].State != "failed" {
		t.Fatalf("turn list: %v: %s", err, out)
	}
	id := string(list[0].ID)
	run := func(args ...string) string {
		t.Helper()
		out, err := s.cmd(args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	for _, want := range []string{"in     owner: hi", "tool   calc, ", "llm default: ok", "10 tokens in, 5 out", "llm default: unavailable", "error  sent: I can't"} {
		if got := run("turn", "show", id[:12]); !strings.Contains(got, want) {
			t.Errorf("turn show has no %q:\n%s", want, got)
		}
	}
	if got := run("turn", "list", "--failed"); !strings.Contains(got, id) || !strings.Contains(got, "overloaded") {
		t.Errorf("turn list:\n%s", got)
	}
	firsts := func() (n int) { // requests that are the first of a turn
		for _, r := range fake.Requests() {
			if m, _ := r.Body["messages"].([]any); len(m) == 1 {
				n++
			}
		}
		return n
	}
	if n := firsts(); n != 1 {
		t.Errorf("the first question was asked %d times: the attempts do not replay", n)
	}
	fake.Script(modeltest.Answer{Text: "It is \x1b[31mforty-two."})
	if got := run("turn", "retry", id[:12]); !strings.Contains(got, "none runs now") {
		t.Errorf("turn retry: %s", got)
	}
	s.start()
	a := s.listen("default")
	eventually(t, time.Minute, "the answer", func() bool { return a.heard("forty-two.") })
	if n := firsts(); n != 1 {
		t.Errorf("after turn retry the first question was asked %d times", n)
	}
	if got := run("turn", "show", id); strings.Contains(got, "\x1b") || !strings.Contains(got, `\u001b[31mforty-two`) || !strings.Contains(got, "done") {
		t.Errorf("turn show:\n%q", got)
	}
	if out, err := s.cmd("turn", "retry", id).CombinedOutput(); err == nil || !strings.Contains(string(out), "only a failed turn") {
		t.Errorf("retry of a turn that is done: %v: %s", err, out)
	}
	fake.Script(modeltest.Answer{Status: 400})
	s.say("default", "again")
	eventually(t, time.Minute, "the failure", func() bool { return a.heard("refused the request") })
	fake.Script(modeltest.Answer{Text: "Here it is."})
	out, err = s.cmd("turn", "list", "--failed", "--json", "-n", "1").Output()
	if err != nil || json.Unmarshal(out, &list) != nil || len(list) != 1 || list[0].Attempts != 1 {
		t.Fatalf("turn list: %v: %s", err, out)
	}
	if got := run("turn", "retry", string(list[0].ID)); !strings.Contains(got, "being run") {
		t.Errorf("turn retry: %s", got)
	}
	eventually(t, time.Minute, "the answer of the running host", func() bool { return a.heard("Here it is.") })
	if out, err := s.cmd("turn", "show", "nothing-like-that").CombinedOutput(); err == nil || !strings.Contains(string(out), "no turn begins with") {
		t.Errorf("%v: %s", err, out)
	}
}
