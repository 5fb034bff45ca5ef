package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// TestJoinAChat: main lists chats and proposes to answer in one; the route is there after the owner's
// /allow, survives the host, and goes by `route rm`. A message to another chat goes only where main may send.
func TestJoinAChat(t *testing.T) {
	s := newSite(t, "")
	b, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg := strings.Replace(string(b), `"memory", "history"]`, `"memory", "history", "message"]`+
		"\nchats = true\nmessages = [ { channel = \"console\", chat = \"family\" } ]", 1)
	write(t, s.cfg, cfg)
	host := s.start()
	main, family := s.listen("default"), s.listen("family")
	s.say("family", "/calc 6*7")
	eventually(t, time.Minute, "main answers the family", func() bool { return family.heard("message: ", "42") })
	s.say("default", "list my chats")
	eventually(t, time.Minute, "the chats", func() bool { return main.heard("message: ", "- console family, last message", "answered by main") })

	s.say("default", `/message_propose {"chat": "family", "role": "web", "trigger": "@José"}`)
	eventually(t, time.Minute, "the question", func() bool {
		return main.heard(`May I? let role web answer your messages that begin with "@José" in chat "family" (family) of console`,
			"in the place of role main", "Answer /allow 1 or /deny 1;")
	})
	if routes := s.routes(); len(routes) != 1 {
		t.Fatalf("routed before the answer: %+v", routes)
	}
	s.say("default", "/always 1")
	eventually(t, time.Minute, "the route", func() bool { return main.heard("message: ", "The owner allowed it") })
	if routes := s.routes(); len(routes) != 2 || routes[1].Role != "web" || routes[1].Author != "approval 1 of owner on console" {
		t.Fatalf("routes %+v", routes)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	s.start()
	main, family = s.listen("default"), s.listen("family")
	eventually(t, time.Minute, "web answers the family", func() bool {
		s.say("family", "@José /help")
		return family.heard("Role web can use:")
	})

	s.say("default", `/message_send {"chat": "family", "text": "<internal>hm</internal>dinner at **7**"}`)
	eventually(t, time.Minute, "the message", func() bool { return family.heard("message: dinner at **7**") })
	s.say("default", `/message_send {"chat": "default", "text": "me"}`)
	eventually(t, time.Minute, "the refusal", func() bool { return main.heard("may not send to that chat") })

	if out, err := s.cmd("route", "rm", "console", "family").CombinedOutput(); err != nil {
		t.Fatalf("route rm: %v: %s", err, out)
	}
	eventually(t, time.Minute, "main answers again", func() bool {
		s.say("family", "/help")
		return family.heard("Role main can use:")
	})
}

func (s site) routes() (out []daemon.ShownRoute) {
	s.t.Helper()
	b, err := s.cmd("route", "list", "--json").Output()
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		s.t.Fatalf("route list: %v: %s", err, b)
	}
	return out
}
