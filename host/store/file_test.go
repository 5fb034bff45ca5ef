package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestFiles: they come with their messages, belong to one agent, are sent with their rows, and go when
// those go.
func TestFiles(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	for _, a := range []host.AgentID{"a", "b"} {
		if err := s.EnsureAgent(ctx, host.Agent{ID: a, Role: "main", Channel: "x", Chat: host.ChatID(a)}); err != nil {
			t.Fatal(err)
		}
	}
	cat := host.File{Name: "cat-1.png", Type: "image/png", Size: 5, Digest: "sha256:c"}
	dog := host.File{Name: "dog-1.png", Type: "image/png", Size: 7, Digest: "sha256:d"}
	m := host.Message{
		Channel: "x", Chat: "a", Sender: "me", ExternalID: "1", Text: "look", Time: time.Now().Add(-time.Hour),
		Files: []host.File{cat, dog, cat},
	}
	for i, want := range []bool{true, false} {
		if known := must(s.Known(ctx, m)); known == want {
			t.Errorf("%d: known %v", i, known)
		}
		if fresh := must(s.AddMessage(ctx, m, "a", true)); fresh != want {
			t.Errorf("%d: fresh %v", i, fresh)
		}
	}
	turn := must(s.Begin(ctx, "a", "t1", 10))
	if !reflect.DeepEqual(turn.Messages[0].Files, m.Files) {
		t.Errorf("the turn has %+v", turn.Messages[0].Files)
	}
	if n := must(s.AgentBytes(ctx, "a")); n != 12 {
		t.Errorf("%d bytes: each content counts once", n)
	}
	if got := must(s.AgentFile(ctx, "a", "dog-1.png")); got.Digest != dog.Digest {
		t.Errorf("found %+v", got)
	}
	for _, of := range []host.AgentID{"b", "", "%"} {
		if f, err := s.AgentFile(ctx, of, "dog-1.png"); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("agent %q has %+v, %v", of, f, err)
		}
	}
	o := reply("m1", "t1", "a")
	o.File = &cat
	if err := s.Finish(ctx, "t1", Done, "", []host.Outgoing{o}); err != nil {
		t.Fatal(err)
	}
	out := must(s.Sendable(ctx))
	if len(out) != 1 || out[0].File == nil || !reflect.DeepEqual(*out[0].File, cat) {
		t.Fatalf("sendable %+v", out)
	}
	if w := must(s.Window(ctx, "a", 9, 9999)); !strings.HasSuffix(w.Messages[1].Text, "[sent the file cat-1.png]") {
		t.Errorf("the window shows %+v", w.Messages)
	}
	used := func(want bool) {
		t.Helper()
		if got := must(s.FileUsed(ctx, cat.Digest)); got != want {
			t.Errorf("used: %v", got)
		}
	}
	if _, err := s.Trim(ctx, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	used(true) // what is to be sent stays
	if err := s.Mark(ctx, "m1", Sent, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Trim(ctx, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	used(false)
	if files := must(s.AgentFiles(ctx, "a")); len(files) != 0 {
		t.Errorf("left are %+v", files)
	}
}
