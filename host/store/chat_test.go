package store

import (
	"errors"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestChats is the original's table: no name is the ID, a later name replaces, an older message never
// makes the chat older.
func TestChats(t *testing.T) {
	s := fresh(t)
	see := func(chat host.ChatID, name string, at int64) {
		t.Helper()
		m := host.Message{Channel: "whatsapp", Chat: chat, ChatName: name, Time: time.UnixMilli(at)}
		if err := s.SeeChat(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want ...host.Chat) {
		t.Helper()
		got, err := s.Chats(t.Context(), 2)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		for i := range got {
			if want[i].Channel = "whatsapp"; got[i] != want[i] {
				t.Errorf("%+v, want %+v", got[i], want[i])
			}
		}
	}
	see("a@g.us", "", 1000)
	want(host.Chat{Chat: "a@g.us", Name: "a@g.us", Last: time.UnixMilli(1000)})
	see("a@g.us", "Family", 500)
	want(host.Chat{Chat: "a@g.us", Name: "Family", Last: time.UnixMilli(1000)})
	see("b", "B", 2000)
	see("a@g.us", "", 3000)
	see("c", "C", 1)
	want(host.Chat{Chat: "a@g.us", Name: "Family", Last: time.UnixMilli(3000)},
		host.Chat{Chat: "b", Name: "B", Last: time.UnixMilli(2000)})
	if add(t, s, "x", true); len(must(s.Chats(t.Context(), 9))) != 4 {
		t.Error("a stored message leaves no trace of its chat")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestRouteRows(t *testing.T) {
	s := fresh(t)
	row := host.RouteRow{Channel: "whatsapp", Chat: "a", Role: "family", Engage: host.EngageTrigger, Trigger: "@Andy", Author: "me"}
	for _, role := range []host.RoleName{"main", "family"} { // the second in the place of the first
		row.Role = role
		if err := s.PutRoute(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	rows := must(s.RouteRows(t.Context()))
	if len(rows) != 1 || time.Since(rows[0].Created) > time.Minute {
		t.Fatalf("rows %+v", rows)
	}
	if row.Created = rows[0].Created; rows[0] != row {
		t.Errorf("row %+v, want %+v", rows[0], row)
	}
	for _, want := range []error{nil, host.ErrNotFound} {
		if err := s.RemoveRoute(t.Context(), "whatsapp", "", "a"); !errors.Is(err, want) {
			t.Errorf("removed: %v, want %v", err, want)
		}
	}
}

// TestFailureIsKept: it is final, says why, and lets what is behind it go.
func TestFailureIsKept(t *testing.T) {
	s := fresh(t)
	if err := s.Enqueue(t.Context(), reply("m1", "", "a"), reply("m1-2", "", "a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Enqueue(t.Context(), reply("m1", "", "a"), reply("m1-2", "", "a")); err != nil {
		t.Fatalf("again: %v", err)
	}
	if err := s.Mark(t.Context(), "m1", Undone, "no such chat"); err != nil {
		t.Fatal(err)
	}
	if out := must(s.Sendable(t.Context())); len(out) != 1 || out[0].ID != "m1-2" {
		t.Errorf("sendable %+v", out)
	}
	var state, reason string
	if err := s.db.QueryRow("SELECT state, error FROM outbox WHERE id = 'm1'").Scan(&state, &reason); err != nil || state != "failed" || reason != "no such chat" {
		t.Errorf("%s %q, %v", state, reason, err)
	}
}
