package phone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// `nanoclaw setup` by flags alone leads to a first reply on the phone: it pairs by a code, routes what the
// owner writes to himself, and is safe to run again.
func TestSetup(t *testing.T) {
	w := newWorld(t)
	text, err := os.ReadFile(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	bare, _, _ := strings.Cut(string(text), "[[routes]]") // no chat of WhatsApp is answered
	w.cfg = filepath.Join(t.TempDir(), "nanoclaw.toml")
	if err := os.WriteFile(w.cfg, []byte(bare), 0o600); err != nil {
		t.Fatal(err)
	}
	setup := []string{"setup", "--yes", "--whatsapp=yes", "--phone=+15550000001", "--message=hello"}
	out := w.pairs(setup...)
	for _, want := range []string{"Linked as +15550000001.", "you> hello\n1 heard; owner: hello\n", "That is all."} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if out := w.pairs(setup...); !strings.Contains(out, "linked as +15550000001 already") || !strings.Contains(out, "That is all.") {
		t.Errorf("the second time:\n%s", out)
	}
	w.start()
	w.writes(w.alice, "nobody's business")
	if _, err := w.owner.SendOwn(w.owner.LID, say("first")); err != nil {
		t.Fatal(err)
	}
	w.waitReads(w.owner, 1)
	w.caughtUp()
	if got := w.said(w.owner); len(got) != 1 || got[0] != "Andy: 1 heard; Olga: first" || len(reads(w.alice)) != 0 {
		t.Errorf("the owner reads %q, alice %q", got, reads(w.alice))
	}
}
