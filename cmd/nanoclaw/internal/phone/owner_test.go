package phone

import (
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp/fakewa"
)

// said are the texts of the account itself, by chat, as its phone has them.
func (w *world) said(chat *fakewa.User) (out []string) {
	for _, r := range w.owner.Received() {
		m := r.Msg.GetDeviceSentMessage()
		if to := m.GetDestinationJID(); to == chat.PN.String() || to == chat.LID.String() {
			out = append(out, m.GetMessage().GetConversation()+m.GetMessage().GetExtendedTextMessage().GetText())
		}
	}
	return out
}

// A question to the owner is on his phone, in the chat that he alone reads, and nowhere else; his answer
// there is done once, and the same answer of somebody else is only text.
func TestTheOwnerIsAskedOnThePhone(t *testing.T) {
	w := newWorld(t)
	bob := w.s.NewUser("15550000003", "Bob")
	g := w.s.NewGroup("Family", w.owner, w.alice, bob)
	w.link()
	w.start()
	w.idle(true)
	console := w.console()
	asked := func(n int) []string {
		t.Helper()
		w.until("the owner is asked", func() bool { return len(w.said(w.owner)) == n })
		return w.said(w.owner)
	}
	w.writes(w.alice, "tell Bob")
	if got := asked(1)[0]; !strings.HasPrefix(got, "Andy: May I? ") || !strings.Contains(got, "/allow 1") {
		t.Fatalf("asked %q", got)
	}
	w.until("the console has it too", func() bool {
		all := console.of("notice")
		return len(all) == 1 && strings.HasPrefix(all[0], "May I? ")
	})
	w.writes(w.alice, "/allow 1")
	if _, err := g.Send(w.alice, say("/allow 1")); err != nil {
		t.Fatal(err)
	}
	if err := w.device().WaitAcknowledged(w.ctx()); err != nil {
		t.Fatal(err)
	}
	if out, err := w.says("grant", "list"); err != nil || !strings.Contains(out, "by skill echo of role main") || len(reads(bob)) != 0 {
		t.Fatalf("somebody else's answer: %v: %s; bob reads %q", err, out, reads(bob))
	}
	if _, err := w.owner.SendOwn(w.owner.LID, say("/allow 1")); err != nil {
		t.Fatal(err)
	}
	if got := asked(2)[1]; !strings.HasPrefix(got, "Andy: Allowed once: ") {
		t.Errorf("the owner reads %q", got)
	}
	w.caughtUp()
	if got := reads(bob); len(got) != 1 || got[0] != "Andy: You are told." {
		t.Errorf("bob reads %q", got)
	}
	if got := strings.Join(reads(w.alice), "\n"); strings.Contains(got, "May I") || !strings.Contains(got, "told Bob: <nil>") {
		t.Errorf("alice reads %q", got)
	}

	// The answer counts from any chat of his that has a route; the question is still in none but his own.
	if _, err := g.Send(w.owner, say("@Andy, tell Bob")); err != nil {
		t.Fatal(err)
	}
	if got := asked(3)[2]; !strings.Contains(got, "/deny 2") {
		t.Fatalf("asked %q", got)
	}
	if _, err := g.Send(w.owner, say("/deny 2")); err != nil {
		t.Fatal(err)
	}
	w.caughtUp()
	for _, text := range append(reads(bob), reads(w.alice)...) {
		if strings.Contains(text, "May I") {
			t.Errorf("somebody reads %q", text)
		}
	}
	if got := strings.Join(reads(bob), "\n"); strings.Count(got, "Andy: You are told.") != 1 || !strings.Contains(got, "told Bob: denied") {
		t.Errorf("bob reads %q", got)
	}
}
