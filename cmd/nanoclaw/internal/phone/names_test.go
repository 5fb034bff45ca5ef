package phone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp/fakewa"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// Somebody who wrote under two names before anybody knew that they are one person's has two agents. When it
// comes out one goes on, and after the next start it has the other's files and history too.
func TestTwoNamesOfOnePerson(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = filepath.Join(t.TempDir(), "nanoclaw.toml")
	open := strings.ReplaceAll(string(text), `senders = ["+15550000002"]`, `senders = ["*"]`)
	if err := os.WriteFile(w.cfg, []byte(open), 0o600); err != nil {
		t.Fatal(err)
	}
	w.link()
	w.start()
	w.idle(true)
	bob := w.s.NewUser("15550000003", "Bob")
	answered := 0
	as := func(how fakewa.Addressing, text string, more int) {
		t.Helper()
		if _, err := bob.Send(w.owner, say(text), how); err != nil {
			t.Fatal(err)
		}
		answered += 1 + more
		w.waitReads(bob, answered)
		w.caughtUp()
	}
	as(fakewa.AsLIDOnly, "as LID: a file, please", 1)
	as(fakewa.AsPNOnly, "as number: a file, please", 1)
	agent := func(chat host.ChatID) host.AgentID { return host.NewAgentID("main", "whatsapp", "", chat) }
	lid, pn := agent("100015550000003@lid"), agent("15550000003@s.whatsapp.net")
	dir := func(parts ...string) string {
		return filepath.Join(append([]string{w.state, "workspaces"}, parts...)...)
	}
	for _, id := range []host.AgentID{lid, pn} {
		if _, err := os.Stat(dir(string(id), "report.txt")); err != nil {
			t.Fatalf("there are not two agents: %v", err)
		}
	}
	as(fakewa.AsLID, "as both", 0)
	w.kill()
	for range 2 { // once is enough, twice no harm
		w.start()
		w.idle(true)
		for _, path := range []string{dir(string(lid), "report.txt"), dir(string(lid), "joined-"+string(pn), "report.txt")} {
			if b, err := os.ReadFile(path); err != nil || string(b) != "All is well." {
				t.Errorf("%q, %v", b, err)
			}
		}
		if _, err := os.Stat(dir(string(pn))); !os.IsNotExist(err) {
			t.Errorf("the other workspace: %v", err)
		}
		as(fakewa.AsPNOnly, "again", 0)
		w.kill()
	}
	if n := strings.Count(w.log.String(), "its history goes on there"); n != 1 {
		t.Errorf("told %d times", n)
	}
	s, err := store.Open(t.Context(), filepath.Join(w.state, "nanoclaw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	win, err := s.Window(t.Context(), lid, 100, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, m := range win.Messages {
		if m.Role == "user" {
			said = append(said, m.Text)
		}
	}
	want := "as LID: a file, please|as number: a file, please|as both|again|again"
	if got := strings.Join(said, "|"); got != want {
		t.Errorf("it remembers %q", got)
	}
	if len(reads(bob)) != answered {
		t.Errorf("bob reads %q", reads(bob))
	}
}
