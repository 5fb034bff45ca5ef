package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// delegateSite is a modelSite whose main gives tasks to web, and web to research.
func delegateSite(t *testing.T, answers ...modeltest.Answer) (site, *modeltest.Server) {
	s, fake := modelSite(t, "anthropic", answers...)
	b, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg := strings.Replace(string(b), `# delegates = ["web"]`, `delegates = ["web"]`, 1)
	cfg = strings.Replace(cfg, "[roles.web]\n", "[roles.web]\ndelegates = [\"research\"]\n", 1)
	cfg = strings.Replace(cfg, "agent = \"websearch\"\n", "", 1)
	write(t, s.cfg, strings.Replace(cfg, "# max_delegates = 8", "max_delegates = 1", 1))
	return s, fake
}

func task(role, text string) modeltest.Use {
	in, _ := json.Marshal(map[string]string{"role": role, "task": text})
	return modeltest.Use{ID: "u-" + text, Name: "delegate", Input: string(in)}
}

func body(t *testing.T, r modeltest.Request) string {
	t.Helper()
	b, err := json.Marshal(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDelegation: a task goes two roles deep, with one place for delegates in all, each in a container of
// its own. Whoever is asked sees the task and nothing else.
func TestDelegation(t *testing.T) {
	s, fake := delegateSite(t,
		modeltest.Answer{Uses: []modeltest.Use{task("web", "how warm is Oslo")}},
		modeltest.Answer{Uses: []modeltest.Use{task("research", "temperature in Oslo")}},
		modeltest.Answer{Text: "Minus three."},
		modeltest.Answer{Text: "It is minus three in Oslo."},
		modeltest.Answer{Text: "Take a coat."})
	if got := s.chat("my name is Zaphod; do I need a coat in Oslo?"); got != "Take a coat.\n" {
		t.Fatalf("chat said %q", got)
	}
	asked := fake.Requests()
	if len(asked) != 5 {
		t.Fatalf("%d requests, want 5", len(asked))
	}
	for i, want := range []string{"how warm is Oslo", "temperature in Oslo", "Minus three.", "It is minus three in Oslo."} {
		if !strings.Contains(body(t, asked[i+1]), want) {
			t.Errorf("request %d lacks %q", i+2, want)
		}
	}
	for _, i := range []int{1, 2, 3} {
		if strings.Contains(body(t, asked[i]), "Zaphod") {
			t.Errorf("request %d, of a delegate, holds the conversation", i+1)
		}
	}
	if b := body(t, asked[2]); strings.Contains(b, `"delegate"`) || !strings.Contains(b, "the research agent") {
		t.Errorf("the last role may give tasks too, or is another one")
	}
	if left := s.containers(); len(left) != 0 {
		t.Errorf("containers are left: %v", left)
	}
	s.wantTree(t)
}

// wantTree: turn show prints the turn, below it what it gave away, and below that what that gave away.
func (s site) wantTree(t *testing.T) {
	t.Helper()
	var list []host.TurnRow
	out, err := s.cmd("turn", "list", "--agent", "main-", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil || len(list) != 1 {
		t.Fatalf("turn list: %v: %s", err, out)
	}
	if out, err = s.cmd("turn", "show", string(list[0].ID)).Output(); err != nil {
		t.Fatal(err)
	}
	tree := string(out)
	for _, want := range []string{
		"\nin     owner: my name is Zaphod", "\nreply  sent: Take a coat.", "\n  in      main: how warm is Oslo",
		"\n  answer  It is minus three in Oslo.", "\n    in      web: temperature in Oslo", "\n    answer  Minus three.",
		"tokens in,", "\n    state   done, attempt 1",
	} {
		if !strings.Contains(tree, want) {
			t.Errorf("turn show has no %q:\n%s", want, tree)
		}
	}
}

// TestDelegationFails: what goes wrong in one task is an answer that the model reads; several are worked
// on at once, though there is one place.
func TestDelegationFails(t *testing.T) {
	s, fake := delegateSite(t,
		modeltest.Answer{Uses: []modeltest.Use{task("finance", "show the accounts")}},
		modeltest.Answer{Uses: []modeltest.Use{task("web", "one"), task("web", "two"), task("web", "")}},
		modeltest.Answer{Uses: []modeltest.Use{task("web", "three")}},
		modeltest.Answer{Status: 400, Message: "no such model"},
		modeltest.Answer{Text: "I could not."})
	if got := s.chat("ask around"); !strings.HasSuffix(got, "\nI could not.\n") || !strings.Contains(got, "To allow it") {
		t.Fatalf("chat said %q", got)
	}
	asked := fake.Requests()
	for i, want := range map[int]string{1: "denied: the role may not give tasks to that role", 2: "invalid: a task has from 1", 4: "tool_error"} {
		if i >= len(asked) || !strings.Contains(body(t, asked[i]), want) {
			t.Errorf("request %d lacks %q: %v", i+1, want, len(asked))
		}
	}
	out, err := s.cmd("audit", "show", "--capability", "agent").Output()
	if err != nil || !strings.Contains(string(out), "web") || !strings.Contains(string(out), "deny") {
		t.Errorf("audit: %v: %s", err, out)
	}
}

// TestStopReachesDelegates: stopping a turn ends those that it waits for.
func TestStopReachesDelegates(t *testing.T) {
	mute := make(chan struct{})
	defer close(mute)
	s, fake := delegateSite(t,
		modeltest.Answer{Uses: []modeltest.Use{task("web", "something long")}}, modeltest.Answer{Mute: mute})
	s.start()
	l := s.listen("a")
	s.say("a", "go")
	eventually(t, 2*time.Minute, "the delegate asks its model", func() bool { return len(fake.Requests()) == 2 })
	s.say("a", "/stop")
	eventually(t, time.Minute, "the turn is stopped", func() bool { return l.heard("Stopped.") })
	eventually(t, time.Minute, "nothing is at work", func() bool { st := s.status(); return st.Containers-st.Spares == 0 })
}
