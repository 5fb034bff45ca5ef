package phone

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp/fakewa"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
)

// A picture with a caption reaches the agent as a file in its workspace; a file of the agent's reaches the
// phone as a document, once, although the host dies with it in the outbox.
func TestFiles(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.start()
	w.idle(true)
	picture := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("pixels"), 999)...)
	m, err := w.s.Upload(picture, whatsmeow.MediaImage)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.alice.Send(w.owner, &waE2E.Message{ImageMessage: &waE2E.ImageMessage{
		Caption: proto.String("what is this?"), Mimetype: proto.String("image/png"), URL: &m.URL, DirectPath: &m.DirectPath,
		MediaKey: m.Key, FileEncSHA256: m.EncSHA256, FileSHA256: m.SHA256, FileLength: &m.Length,
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := w.waitReads(w.alice, 1)[0]
	if !strings.HasPrefix(got, "Andy: 1 heard; Alice (not the owner): what is this?") ||
		!strings.Contains(got, fmt.Sprintf("(read %d bytes)", len(picture))) {
		t.Fatalf("alice reads %q", got)
	}
	kept, _ := filepath.Glob(filepath.Join(w.state, "workspaces", "*", "attachments", "*.png"))
	if len(kept) != 1 {
		t.Fatalf("in workspaces: %q", kept)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(b, picture) {
		t.Errorf("%s: %v, %d bytes", kept[0], err, len(b))
	}
	w.kill()

	w.start("NANOCLAW_FAILPOINT=" + failpoint.BeforeSending + ":1")
	w.writes(w.alice, "a file, please")
	w.died("before it sent the file")
	w.start()
	w.caughtUp()
	var documents []string
	for _, r := range w.alice.Received() {
		d := r.Msg.GetDocumentMessage()
		if d == nil {
			continue
		}
		b, err := w.s.Download(d.GetDirectPath(), d.GetMediaKey(), whatsmeow.MediaDocument)
		documents = append(documents, fmt.Sprint(d.GetFileName(), "|", d.GetCaption(), "|", string(b), "|", err))
	}
	if len(documents) != 1 || !strings.HasPrefix(documents[0], "report") ||
		!strings.HasSuffix(documents[0], "|Andy: Here.|All is well.|<nil>") {
		t.Errorf("alice got %q", documents)
	}
	if n := strings.Count(strings.Join(reads(w.alice), "\n"), ": a file, please"); n != 1 {
		t.Errorf("%d answers; alice reads %q", n, reads(w.alice))
	}
}

// WhatsApp may bring a message again: while it is being answered, later, and to the next host.
func TestDuplicates(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.start()
	w.idle(true)
	id, err := w.alice.Send(w.owner, say("once"))
	again := func() {
		t.Helper()
		if err == nil {
			err = w.alice.Resend(w.owner, id, say("once"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	again()
	again()
	w.caughtUp()
	again()
	w.caughtUp()
	w.kill()
	again()
	again()
	w.start()
	w.caughtUp()
	w.writes(w.alice, "end")
	if w.waitReads(w.alice, 2); len(reads(w.alice)) != 2 || strings.Count(strings.Join(reads(w.alice), " "), ": once") != 1 {
		t.Errorf("alice reads %q", reads(w.alice))
	}
}

// In a group everybody's phone gets each answer once, encrypted for the group, from one host and from the
// next, which has the keys of the group from the one before.
func TestGroup(t *testing.T) {
	w := newWorld(t)
	w.link()
	bob := w.s.NewUser("15550000003", "Bob")
	g := w.s.NewGroup("Family", w.owner, w.alice, bob)
	in := func(u *fakewa.User, text string) {
		t.Helper()
		if _, err := g.Send(u, say(text)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		w.start()
		in(bob, fmt.Sprintf("context %d", round))
		in(bob, fmt.Sprintf("@Andy, says bob %d", round)) // who may not call it
		in(w.alice, fmt.Sprintf("@Andy, answer %d", round))
		w.caughtUp()
		in(w.owner, fmt.Sprintf("@Andy, order %d", round))
		w.caughtUp()
		w.kill()
	}
	for _, u := range []*fakewa.User{w.owner, w.alice, bob} {
		got := strings.Join(reads(u), "\n")
		for round := range 3 {
			answer := fmt.Sprintf("Andy: 3 heard; Bob (not the owner): context %d; Bob (not the owner): @Andy, says bob %[1]d; "+
				"Alice (not the owner): @Andy, answer %[1]d", round)
			order := fmt.Sprintf("Andy: 1 heard; Olga: @Andy, order %d", round)
			if strings.Count(got, answer) != 1 || strings.Count(got, order) != 1 {
				t.Errorf("round %d: %s reads %q", round, u.Name, got)
			}
		}
		for _, r := range u.Received() {
			if r.EncType != "skmsg" || r.Chat != g.JID {
				t.Errorf("%s got %v as %s in %s", u.Name, r.Msg, r.EncType, r.Chat)
			}
		}
		if n := len(reads(u)); n != 6 {
			t.Errorf("%s got %d messages", u.Name, n)
		}
	}
}
