package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// say delivers one message to the running host, and does not wait for what comes of it.
func (s site) say(chat, text string) {
	s.t.Helper()
	cl, err := daemon.Dial(s.t.Context(), s.state)
	if err == nil {
		err = cl.Say(s.t.Context(), chat, console.Input{ID: fmt.Sprint(time.Now().UnixNano()), Text: text})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s site) pending() (n int) {
	s.t.Helper()
	out, err := s.cmd("grant", "list", "--json").Output()
	var list struct {
		Grants  []host.GrantRow `json:"grants"`
		Pending []host.Approval `json:"pending"`
	}
	if err == nil {
		err = json.Unmarshal(out, &list)
	}
	if err != nil {
		s.t.Fatalf("grant list: %v: %s", err, out)
	}
	return len(list.Pending)
}

// TestApprovalInAContainer: a turn that asks its owner waits longer than it may run, its place is
// free for others meanwhile, a killed host changes nothing of that, and what was allowed happens once.
func TestApprovalInAContainer(t *testing.T) {
	web := newFakeWeb(t, map[string]http.Handler{"tea.example": page("text/plain", "Green tea, brewed cool.")})
	s := web.site("web", "\npublic_web = true\n", "\npublic_web = \"ask\"\nturn_timeout = \"4s\"\n",
		"# max_agents = 8", "max_agents = 1")
	host := s.start()
	a, b := s.listen("a"), s.listen("b")
	s.say("a", "/fetch https://tea.example/one")
	eventually(t, time.Minute, "the owner is asked", func() bool {
		return a.heard("May I? GET to tea.example/one (0 bytes), by skill fetch of role web.",
			`The skill's own words for it: "gets the page that was asked for".`, "/allow 1")
	})
	if n := len(web.requests()); n != 0 {
		t.Errorf("%d requests before the answer", n)
	}
	s.say("b", "hello")
	eventually(t, time.Minute, "another agent answers meanwhile", func() bool { return b.heard("message: ") })
	time.Sleep(5 * time.Second) // longer than the turn and its grace may take
	s.say("b", "/allow 1")
	eventually(t, time.Minute, "the answer", func() bool { return a.heard("message: ", "Green tea") })
	if !b.heard("Allowed once: GET to tea.example/one") {
		t.Error("the owner is not told what was allowed")
	}

	s.say("a", "/fetch https://tea.example/two")
	eventually(t, time.Minute, "the owner is asked again", func() bool { return a.heard("May I?", "/allow 2") })
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	if s.pending() != 1 {
		t.Error("the question is gone with its host")
	}
	s.start()
	a = s.listen("a")
	s.say("a", "/always 2")
	eventually(t, time.Minute, "the answer after the restart", func() bool { return a.heard("message: ", "Green tea") })
	s.say("a", "/fetch https://tea.example/two") // not asked any more
	eventually(t, time.Minute, "an answer without a question", func() bool { return len(web.requests()) == 3 })
	if out, err := s.cmd("grant", "list").Output(); err != nil || !strings.Contains(string(out), "GET https://tea.example:443/two") {
		t.Errorf("grant list: %v: %s", err, out)
	}
	if out, err := s.cmd("grant", "rm", "1").CombinedOutput(); err != nil {
		t.Errorf("grant rm: %v: %s", err, out)
	}
	s.say("a", "/fetch https://tea.example/two")
	eventually(t, time.Minute, "asked after grant rm", func() bool { return a.heard("May I?", "/allow 3") })
	s.say("a", "/deny 3")
	eventually(t, time.Minute, "the denial", func() bool { return a.heard("message: ", "denied") || a.heard("message: ", "not allow") })
	if n := len(web.requests()); n != 3 {
		t.Errorf("%d requests, want 3: %v", n, web.requests())
	}
}
