package store

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// talk makes turn n of an agent: text is said, and answered in how the turn ends.
func talk(t *testing.T, s *Store, a host.Agent, n int, text, answer string, how Outcome) {
	t.Helper()
	ctx, turn := t.Context(), host.TurnID(fmt.Sprint(a.ID, "-", n))
	if err := s.EnsureAgent(ctx, a); err != nil {
		t.Fatal(err)
	}
	m := host.Message{
		Channel: a.Channel, Chat: a.Chat, Sender: "owner", SenderName: "Ada", ExternalID: string(turn), Text: text,
		Time: time.UnixMilli(int64(n) * 1000), Owner: true,
	}
	s.now = func() time.Time { return m.Time.Add(100 * time.Millisecond) }
	if _, err := s.AddMessage(ctx, m, a.ID, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(ctx, a.ID, turn, 10); err != nil {
		t.Fatal(err)
	}
	kind := map[Outcome]host.OutKind{Done: host.OutReply, Failed: host.OutError, Stopped: host.OutNotice}[how]
	if how == "" {
		return // it is running
	}
	o := host.Outgoing{ID: host.MessageID("m" + turn), Turn: turn, Channel: a.Channel, Chat: a.Chat, Text: answer, Kind: kind}
	if err := s.Finish(ctx, turn, how, "", []host.Outgoing{o}); err != nil {
		t.Fatal(err)
	}
}

func texts(ms []wire.ChatMessage) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.Role[:1]+":"+m.Text)
	}
	return strings.Join(out, " ")
}

func TestWindow(t *testing.T) {
	s := fresh(t)
	big := strings.Repeat("x", 100)
	for i, c := range []struct {
		text, answer string
		how          Outcome
	}{
		{"one", "1", Done},
		{big, "2", Done},
		{"three", "Something went wrong.", Failed},
		{"four", "Stopped.", Stopped},
		{"five", "5", Done},
		{"six", "", ""},
	} {
		talk(t, s, main, i+1, c.text, c.answer, c.how)
	}
	for _, c := range []struct {
		name         string
		turns, bytes int
		want         string
		hidden       int
	}{
		{"all", 10, 1000, "u:one a:1 u:" + big + " a:2 u:three a:Something went wrong. u:four a:Stopped. u:five a:5", 0},
		{"by turns", 2, 1000, "u:four a:Stopped. u:five a:5", 3},
		{"by bytes", 10, 50, "u:three a:Something went wrong. u:four a:Stopped. u:five a:5", 2},
		{"the last turn is shown anyway", 10, 1, "u:five a:5", 4},
	} {
		w, err := s.Window(t.Context(), main.ID, c.turns, c.bytes)
		if got := texts(w.Messages); err != nil || got != c.want || w.Hidden != c.hidden || w.Summary != "" {
			t.Errorf("%s: %q, hidden %d, summary %q, %v; want %q and %d", c.name, got, w.Hidden, w.Summary, err, c.want, c.hidden)
		}
	}
	if w, err := s.Window(t.Context(), "another", 10, 1000); err != nil || len(w.Messages)+w.Hidden != 0 {
		t.Errorf("another agent sees %+v, %v", w, err)
	}
	talk(t, s, host.Agent{ID: "huge", Role: "main", Channel: "console", Chat: "h"}, 1, strings.Repeat("y", 81), "", Done)
	if w, err := s.Window(t.Context(), "huge", 10, 10); err != nil || len(w.Messages) != 0 || w.Hidden != 1 {
		t.Errorf("a last turn of eight times the bytes: %+v, %v", w, err)
	}
}

// TestSummariesStandForWhatTheySay: what is old is handed out in whole turns, once, and stays findable.
func TestSummariesStandForWhatTheySay(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	if sum, old, upTo, err := s.Old(ctx, main.ID, 0, 1000); sum != "" || old != nil || upTo != 0 || err != nil {
		t.Fatalf("nothing was said: %q %v %d %v", sum, old, upTo, err)
	}
	if err := s.PutAway(ctx, main.ID); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		talk(t, s, main, i+1, fmt.Sprint("question", i+1), fmt.Sprint("answer", i+1), Done)
	}
	if _, _, upTo, err := s.Old(ctx, main.ID, 6, 1000); upTo != 0 || err != nil {
		t.Fatalf("all turns are kept and %d is old, %v", upTo, err)
	}
	_, old, upTo, err := s.Old(ctx, main.ID, 2, 1)
	if texts(old) != "u:question1 a:answer1" || err != nil {
		t.Fatalf("one turn at least, and in whole: %q, %v", texts(old), err)
	}
	if err := s.Summarise(ctx, main.ID, upTo, "the first"); err != nil {
		t.Fatal(err)
	}
	sum, old, upTo, err := s.Old(ctx, main.ID, 2, 1000)
	if sum != "the first" || texts(old) != "u:question2 a:answer2 u:question3 a:answer3 u:question4 a:answer4" || err != nil {
		t.Fatalf("%q then %q, %v", sum, texts(old), err)
	}
	if err := s.Summarise(ctx, main.ID, upTo, "the first four"); err != nil {
		t.Fatal(err)
	}
	w, err := s.Window(ctx, main.ID, 10, 1000)
	if w.Summary != "the first four" || w.Hidden != 0 || texts(w.Messages) != "u:question5 a:answer5 u:question6 a:answer6" || err != nil {
		t.Fatalf("%+v, %v", w, err)
	}
	if err := s.PutAway(ctx, main.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Summarise(ctx, main.ID, upTo, "too late"); err != nil { // it began before /new
		t.Fatal(err)
	}
	if w, err := s.Window(ctx, main.ID, 10, 1000); w.Summary != "" || len(w.Messages) != 0 || w.Hidden != 0 || err != nil {
		t.Fatalf("after /new: %+v, %v", w, err)
	}
	if found, err := s.Find(ctx, host.Find{Agent: main.ID, Query: "question1", Limit: 5}); len(found) != 1 || err != nil {
		t.Fatalf("after /new the history has %v, %v", found, err)
	}
}

func TestFind(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	web := host.Agent{ID: "web-1", Role: "web", Channel: "whatsapp", Chat: "family"}
	talk(t, s, main, 1, "Where is the blue teapot?", "In the cupboard.", Done)
	talk(t, s, main, 2, "Où est le café?", "Nowhere.", Failed)
	talk(t, s, web, 3, "a teapot of another chat", "Yes, a teapot.", Done)
	talk(t, s, main, 4, "the teapot again", "", "")
	if err := s.Enqueue(ctx, host.Outgoing{ID: "n", Channel: "console", Chat: "default", Text: "a teapot notice", Kind: host.OutNotice}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		f    host.Find
		want []string
	}{
		{"own words", host.Find{Agent: main.ID, Query: "TEAPOT blue"}, []string{"Where is the blue teapot?"}},
		{"own beginnings of words, accents or not", host.Find{Agent: main.ID, Query: "caf ou"}, []string{"Où est le café?"}},
		{"own, newest first", host.Find{Agent: main.ID}, []string{"Nowhere.", "Où est le café?", "In the cupboard.", "Where is the blue teapot?"}},
		{"own, before", host.Find{Agent: main.ID, Before: time.UnixMilli(1100)}, []string{"Where is the blue teapot?"}},
		{"own, limited", host.Find{Agent: main.ID, Limit: 1}, []string{"Nowhere."}},
		{"another agent's", host.Find{Agent: web.ID, Query: "teapot"}, []string{"Yes, a teapot.", "a teapot of another chat"}},
		{"all", host.Find{Query: "teapot"}, []string{
			"a teapot notice", "the teapot again", "Yes, a teapot.", "a teapot of another chat", "Where is the blue teapot?",
		}},
		{"a chat", host.Find{Query: "teapot", Chat: "family"}, []string{"Yes, a teapot.", "a teapot of another chat"}},
		{"since", host.Find{Query: "teapot", Since: time.UnixMilli(4000)}, []string{"a teapot notice", "the teapot again"}},
		{"no operators", host.Find{Query: `teapot OR "x* NEAR(`}, nil},
		{"no words at all", host.Find{Query: `"" -- ' * ; \`}, nil},
		{"a zero byte", host.Find{Query: "blue\x00teapot"}, []string{"Where is the blue teapot?"}},
		{"a column", host.Find{Query: "text:teapot"}, nil},
	} {
		if c.f.Limit == 0 {
			c.f.Limit = 10
		}
		found, err := s.Find(ctx, c.f)
		var got []string
		for _, m := range found {
			got = append(got, m.Text)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	found, err := s.Find(ctx, host.Find{Agent: main.ID, Query: "blue", Limit: 9})
	const text = "Where is the blue teapot?"
	want := host.Found{
		Time: time.UnixMilli(1000), Channel: "console", Chat: "default", Agent: main.ID, Role: "user", Sender: "Ada",
		Text: text, Whole: text,
	}
	if err != nil || len(found) != 1 || found[0] != want {
		t.Errorf("%+v, %v; want %+v", found, err, want)
	}
}

// TestOldRowsAreIndexed: what was said before there was an index is found too.
func TestOldRowsAreIndexed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Index(schema, historySchema)
	_, err = db.Exec(strings.Join(schema[:before], "") + fmt.Sprintf(`PRAGMA user_version = %d;
		INSERT INTO agents VALUES ('main-1', 'main', 'console', '', 'default', 1);
		INSERT INTO turns (n, id, agent, state, attempts, created, ended, error) VALUES (1, 't', 'main-1', 'done', 1, 1, 2, '');
		INSERT INTO messages VALUES (1, 'main-1', 't', 'console', '', 'default', 'o', 'Ada', 'e', 'an old teapot', 5, 1, 1);
		INSERT INTO outbox VALUES (1, 'o', 't', 'console', '', 'default', 'an old pot', '', 'reply', 6, 7, 'sent', '')`, before))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if found, err := s.Find(t.Context(), host.Find{Agent: main.ID, Query: "old", Limit: 9}); len(found) != 2 || err != nil {
		t.Fatalf("%v, %v", found, err)
	}
}
