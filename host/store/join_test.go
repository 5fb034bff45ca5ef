package store

import (
	"errors"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// What one agent had is the other's, once; of two values of a key the other's own stays, and a task that is
// at work stays where its run is.
func TestJoin(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	other := host.Agent{ID: "main-2", Role: "main", Channel: "console", Chat: "other"}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(s.EnsureAgent(ctx, other))
	for _, id := range []string{"old", "waiting"} {
		_, err := s.AddMessage(ctx, host.Message{
			Channel: "console", Chat: "other", Sender: "owner", ExternalID: id, Text: id, Time: time.UnixMilli(1),
			Files: []host.File{{Name: id + ".png", Digest: host.Digest(id)}},
		}, other.ID, true)
		check(err)
		if id == "old" {
			if _, err := s.Begin(ctx, other.ID, "t-old", 10); err != nil {
				t.Fatal(err)
			}
			check(s.Finish(ctx, "t-old", Done, "", []host.Outgoing{reply("o-1", "t-old", "other")}))
		}
	}
	check(s.KVPut(ctx, main.ID, "notes", "both", "mine"))
	check(s.KVPut(ctx, other.ID, "notes", "both", "its"))
	check(s.KVPut(ctx, other.ID, "notes", "one", "its"))
	for range 2 {
		_, err := s.AddTask(ctx, host.Task{
			Agent: other, Prompt: "x", Schedule: "every 1h", Timezone: "UTC", State: "active", Misfire: "skip",
		}, 10)
		check(err)
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO runs (task, due, outcome, error) VALUES (2, 1, '', '')`)
	check(err)
	for range 2 {
		check(s.Join(ctx, other.ID, main.ID))
		if tasks, err := s.Tasks(ctx, main.ID); err != nil || len(tasks) != 1 || tasks[0].N != 1 {
			t.Errorf("tasks %+v, %v", tasks, err)
		}
		for key, want := range map[string]string{"both": "mine", "one": "its"} {
			if v, err := s.KVGet(ctx, main.ID, "notes", key); v != want || err != nil {
				t.Errorf("key %s: %q, %v", key, v, err)
			}
		}
	}
	if w, err := s.Window(ctx, main.ID, 10, 1000); err != nil || len(w.Messages) != 2 || w.Messages[0].Text != "old" {
		t.Errorf("%+v, %v", w, err)
	}
	if f, err := s.AgentFile(ctx, main.ID, "old.png"); err != nil || f.Digest != "old" {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := s.Begin(ctx, other.ID, "t-other", 10); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("the other still has something to do: %v", err)
	}
	if turn, err := s.Begin(ctx, main.ID, "t-main", 10); err != nil || len(turn.Messages) != 1 || turn.Messages[0].Text != "waiting" {
		t.Errorf("%+v, %v", turn, err)
	}
}
