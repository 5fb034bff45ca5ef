package router

import (
	"errors"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestTaskMessages: a task's message needs no trigger, is there once, answers nothing that a
// channel knows, and cannot come from a channel.
func TestTaskMessages(t *testing.T) {
	f := start(t, db(t), echo)
	a := host.Agent{ID: host.NewAgentID("main", "memory", "", "group"), Role: "main", Channel: "memory", Chat: "group"}
	if err := f.st.EnsureAgent(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	m := host.Message{Channel: "memory", Chat: "group", Sender: host.TaskSender, ExternalID: "task:1:1", Text: "water"}
	if err := f.Deliver(t.Context(), m); !errors.Is(err, host.ErrInvalid) {
		t.Errorf("a channel's sender is called task: %v", err)
	}
	for range 2 {
		if err := f.Task(t.Context(), a, m); err != nil {
			t.Fatal(err)
		}
	}
	if o := f.ch.next(t); o.Text != "water" || o.ReplyTo != "" || o.Chat != "group" {
		t.Errorf("sent %+v", o)
	}
	m.ExternalID, m.Text = "task:1:2", "plants"
	if err := f.Task(t.Context(), a, m); err != nil {
		t.Fatal(err)
	}
	if o := f.ch.next(t); o.Text != "plants" { // not "water" once more
		t.Errorf("sent %+v", o)
	}
}
