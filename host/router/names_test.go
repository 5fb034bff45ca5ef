package router

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// A chat and a sender may have several names: routes and rules may use each of them, and the agent is
// that of the chat's own.
func TestOtherNames(t *testing.T) {
	f := start(t, db(t), heard)
	f.SetRoutes([]host.Route{
		{Channel: "memory", Chat: "*", Role: "other"},
		{Channel: "memory", Chat: "+1555", Role: "main", Senders: []string{"+1666"}},
	})
	m := say("1555@lid", "1", "hello")
	m.Owner, m.Sender, m.SenderName = false, "1666@lid", "Eve"
	m.ChatAlso, m.SenderAlso = []host.ChatID{"1555@pn", "+1555"}, []string{"1666@pn", "+1666"}
	f.deliver(t, m)
	if got := f.ch.next(t); got.Chat != "1555@lid" || got.Text != "Eve (not the owner): hello" {
		t.Errorf("got %+v", got)
	}
	m.ExternalID, m.SenderAlso = "2", []string{"+1777"}
	f.deliver(t, m)
	m.ExternalID, m.Owner, m.Text = "3", true, "bye"
	f.deliver(t, m)
	if got := f.ch.next(t); got.Text != "Eve: bye" {
		t.Errorf("somebody else was heard: %+v", got)
	}
	agents, err := f.st.Agents(t.Context())
	if err != nil || len(agents) != 1 || agents[0].ID != host.NewAgentID("main", "memory", "", "1555@lid") {
		t.Errorf("agents %+v, %v", agents, err)
	}
}

// What stands below a text is kept with it, and is neither a trigger nor a command.
func TestBelow(t *testing.T) {
	f := start(t, db(t), echo)
	f.SetRoutes([]host.Route{{Channel: "memory", Chat: "*", Role: "main", Engage: host.EngageMention, Trigger: "@Andy"}})
	m := say("c", "1", "no")
	m.Below = "[in answer to Eve:]\n> @Andy, do it"
	f.deliver(t, m)
	m.ExternalID, m.Text, m.Below = "2", "@Andy /help me", "[in answer to Eve:]\n> more"
	f.deliver(t, m)
	if got := f.ch.next(t); got.Text != `help for main ["me"]` {
		t.Errorf("got %q", got.Text)
	}
	m.ExternalID, m.Text = "3", "@Andy, hi"
	f.deliver(t, m)
	want := "no\n\n[in answer to Eve:]\n> @Andy, do it|@Andy, hi\n\n[in answer to Eve:]\n> more"
	if got := f.ch.next(t); got.Text != want {
		t.Errorf("got %q", got.Text)
	}
}

// Messages of a backlog are one turn, which begins when the channel says so; a quiet one wakes nobody.
func TestBacklogAndQuiet(t *testing.T) {
	path := db(t)
	synctest.Test(t, func(t *testing.T) {
		f := start(t, path, echo)
		for _, id := range []string{"1", "2", "3"} {
			m := say("c", id, id)
			m.More = true
			f.deliver(t, m)
		}
		m := say("d", "4", "reacts")
		m.Quiet = true
		f.deliver(t, m)
		time.Sleep(time.Hour)
		if len(f.ch.sent) != 0 {
			t.Fatalf("answered at once: %+v", <-f.ch.sent)
		}
		f.ch.ready <- struct{}{}
		if got := f.ch.next(t); got.Text != "1|2|3" {
			t.Errorf("got %q", got.Text)
		}
		f.deliver(t, say("d", "5", "speaks"))
		if got := f.ch.next(t); got.Text != "reacts|speaks" {
			t.Errorf("got %q", got.Text)
		}
		f.Stop()
		f.st.Close()
	})
}
