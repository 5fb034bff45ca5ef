package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestOriginalStore is the original's table of messages and crash recovery (behaviour.md section 11). Where
// we differ, doc.go says why.
func TestOriginalStore(t *testing.T) {
	message := func(id, text string, ms int64) host.Message {
		return host.Message{
			Channel: "console", Chat: "default", Sender: "owner", ExternalID: id, Text: text, Time: time.UnixMilli(ms), Owner: true,
		}
	}
	for name, c := range map[string]struct {
		in   []host.Message
		ends int // turns of the first messages that are over before the others come
		want string
	}{
		"twice the same is one":                     {[]host.Message{message("1", "first", 1), message("1", "last", 2)}, 0, "first"}, // differs: theirs is "last"
		"order is that of arrival":                  {[]host.Message{message("1", "a", 2), message("2", "b", 1)}, 0, "a b"},
		"two at the same instant":                   {[]host.Message{message("1", "a", 1), message("2", "b", 1)}, 0, "a b"},
		"what was answered is not shown again":      {[]host.Message{message("1", "a", 1), message("2", "b", 1)}, 1, "b"},
		"a late one is not lost behind the answer":  {[]host.Message{message("1", "a", 5), message("2", "b", 3)}, 1, "b"}, // differs: their cursor is past it
		"the same message after it was answered":    {[]host.Message{message("1", "a", 1), message("1", "a", 1)}, 1, ""},
		"the same message from another chat counts": {[]host.Message{message("1", "a", 1), {Channel: "console", Chat: "other", Sender: "owner", ExternalID: "1", Text: "b"}}, 0, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			for i, m := range c.in {
				if _, err := s.AddMessage(t.Context(), m, main.ID, true); err != nil {
					t.Fatal(err)
				}
				if i < c.ends {
					end(t, s)
				}
			}
			if got := begin(t, s); got != c.want {
				t.Errorf("the turn has %q, want %q", got, c.want)
			}
		})
	}
}

// TestNothingIsSkipped: of 30 that wait, a turn of 10 takes the first 10, and the next ones the others. The
// original takes the last 10 and skips the rest.
func TestNothingIsSkipped(t *testing.T) {
	s := fresh(t)
	for i := range 30 {
		add(t, s, fmt.Sprint(i), true)
	}
	n := 0
	for range 3 {
		turn, err := s.Begin(t.Context(), main.ID, host.NewTurnID(), 10)
		if err != nil || len(turn.Messages) != 10 {
			t.Fatalf("%d messages, %v", len(turn.Messages), err)
		}
		for _, m := range turn.Messages {
			if m.Text != fmt.Sprintf("text %d", n) {
				t.Errorf("message %d of 30 is %q", n, m.Text)
			}
			n++
		}
		if err := s.Finish(t.Context(), turn.ID, Done, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := s.Waiting(t.Context()); err != nil || len(a) != 0 {
		t.Errorf("%v still wait, %v", a, err)
	}
}

// begin is the texts of the next turn; "" = nothing waits.
func begin(t *testing.T, s *Store) (texts string) {
	t.Helper()
	turn, _ := s.Begin(t.Context(), main.ID, host.NewTurnID(), 100)
	for i, m := range turn.Messages {
		if i > 0 {
			texts += " "
		}
		texts += m.Text
	}
	return texts
}

func end(t *testing.T, s *Store) {
	t.Helper()
	turn, err := s.Begin(t.Context(), main.ID, host.NewTurnID(), 100)
	if err == nil {
		err = s.Finish(t.Context(), turn.ID, Done, "", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}
