package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nanoclaw/nanoclaw/host"
)

var main = host.Agent{ID: "main-1", Role: "main", Channel: "console", Chat: "default"}

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func fresh(t *testing.T) *Store {
	s := open(t, filepath.Join(t.TempDir(), "nanoclaw.db"))
	if err := s.EnsureAgent(t.Context(), main); err != nil {
		t.Fatal(err)
	}
	return s
}

func add(t *testing.T, s *Store, id string, wakes bool) bool {
	t.Helper()
	ok, err := s.AddMessage(t.Context(), host.Message{
		Channel: "console", Chat: "default", Sender: "owner", ExternalID: id, Text: "text " + id,
		Time: time.UnixMilli(1000), Owner: true,
	}, main.ID, wakes)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func reply(id host.MessageID, turn host.TurnID, chat host.ChatID) host.Outgoing {
	return host.Outgoing{ID: id, Turn: turn, Channel: "console", Chat: chat, Text: "answer", Kind: host.OutReply}
}

func TestDuplicateMessageIsStoredOnce(t *testing.T) {
	s := fresh(t)
	if !add(t, s, "a", true) || add(t, s, "a", true) {
		t.Fatal("want the first stored and the second recognised")
	}
	turn, err := s.Begin(t.Context(), main.ID, "t1", 100)
	if err != nil || len(turn.Messages) != 1 {
		t.Fatalf("turn %+v, %v; want one message", turn, err)
	}
}

func TestTurnTakesWaitingMessagesInOrder(t *testing.T) {
	s := fresh(t)
	if _, err := s.Begin(t.Context(), main.ID, "t0", 100); !errors.Is(err, host.ErrNotFound) {
		t.Fatalf("nothing waits: %v, want not found", err)
	}
	add(t, s, "context", false)
	if _, err := s.Begin(t.Context(), main.ID, "t0", 100); !errors.Is(err, host.ErrNotFound) {
		t.Fatalf("a message that does not wake began a turn: %v", err)
	}
	add(t, s, "b", true)
	add(t, s, "c", true)
	turn, err := s.Begin(t.Context(), main.ID, "t1", 2)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{turn.Messages[0].ExternalID, turn.Messages[1].ExternalID}
	if !slices.Equal(got, []string{"context", "b"}) || len(turn.Messages) != 2 {
		t.Fatalf("turn has %v, want context and b", got)
	}
}

func TestInterruptedTurnIsTakenUpAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	s := open(t, path)
	if err := s.EnsureAgent(t.Context(), main); err != nil {
		t.Fatal(err)
	}
	add(t, s, "a", true)
	if _, err := s.Begin(t.Context(), main.ID, "t1", 100); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = open(t, path) // as after a crash
	add(t, s, "b", true)
	agents, err := s.Interrupted(t.Context())
	if err != nil || len(agents) != 1 {
		t.Fatalf("interrupted %v, %v; want the one agent", agents, err)
	}
	turn, err := s.Begin(t.Context(), main.ID, "t2", 100)
	if err != nil || turn.ID != "t1" || turn.Attempts != 2 || len(turn.Messages) != 1 {
		t.Fatalf("turn %+v, %v; want t1 again with its own message alone", turn, err)
	}
}

func TestFinishAnswersOnce(t *testing.T) {
	s := fresh(t)
	add(t, s, "a", true)
	if _, err := s.Begin(t.Context(), main.ID, "t1", 100); err != nil {
		t.Fatal(err)
	}
	out := []host.Outgoing{reply("m1", "t1", "default")}
	if err := s.Finish(t.Context(), "t1", Done, "", out); err != nil {
		t.Fatal(err)
	}
	out[0].ID = "m2"
	if err := s.Finish(t.Context(), "t1", Done, "", out); !errors.Is(err, host.ErrNotFound) {
		t.Fatalf("second finish: %v, want not found", err)
	}
	if send, err := s.Sendable(t.Context()); err != nil || len(send) != 1 || send[0].ID != "m1" {
		t.Fatalf("outbox %v, %v; want m1 alone", send, err)
	}
	w, err := s.Window(t.Context(), main.ID, 10, 1000)
	if h := w.Messages; err != nil || len(h) != 2 || h[0].Text != "text a" || h[1].Text != "answer" {
		t.Fatalf("history %v, %v", h, err)
	}
}

func TestFinishIsAllOrNothing(t *testing.T) {
	s := fresh(t)
	add(t, s, "a", true)
	if _, err := s.Begin(t.Context(), main.ID, "t1", 100); err != nil {
		t.Fatal(err)
	}
	twice := []host.Outgoing{reply("m1", "t1", "default"), reply("m1", "t1", "default")} // same ID: the second insert fails
	if err := s.Finish(t.Context(), "t1", Done, "", twice); err == nil {
		t.Fatal("want an error")
	}
	if send, _ := s.Sendable(t.Context()); len(send) != 0 {
		t.Fatalf("half of a failed transaction was kept: %v", send)
	}
	if _, err := s.Begin(t.Context(), main.ID, "t2", 100); err != nil {
		t.Fatalf("the turn should still be running: %v", err)
	}
}

func TestOutboxKeepsOrderWithinAChatOnly(t *testing.T) {
	s := fresh(t)
	for _, o := range []host.Outgoing{reply("a1", "", "a"), reply("a2", "", "a"), reply("b1", "", "b")} {
		if err := s.Enqueue(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	want := func(ids ...host.MessageID) {
		t.Helper()
		send, err := s.Sendable(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []host.MessageID
		for _, o := range send {
			got = append(got, o.ID)
		}
		if !slices.Equal(got, ids) {
			t.Fatalf("sendable %v, want %v", got, ids)
		}
	}
	mark := func(id host.MessageID, st SendState) {
		t.Helper()
		if err := s.Mark(t.Context(), id, st, ""); err != nil {
			t.Fatal(err)
		}
	}
	want("a1", "b1")
	mark("a1", Sending)
	want("b1") // a2 waits for a1, b1 for nobody
	mark("a1", Sent)
	want("a2", "b1")
	mark("a2", Sending)
	if n, err := s.Recover(t.Context()); err != nil || n != 1 {
		t.Fatalf("recover %d, %v; want the one in flight", n, err)
	}
	want("b1") // a2 is unknown and is not sent again
}

func TestKeysAreSeparate(t *testing.T) {
	s := fresh(t)
	ctx := t.Context()
	put := func(agent host.AgentID, skill host.SkillName, k, v string) {
		t.Helper()
		if err := s.KVPut(ctx, agent, skill, k, v); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "x", "k%1", "1")
	put("a", "x", "K%2", "2")
	put("a", "y", "k%1", "other skill")
	put("b", "x", "k%1", "other agent")
	if v, err := s.KVGet(ctx, "a", "x", "k%1"); err != nil || v != "1" {
		t.Fatalf("got %q, %v", v, err)
	}
	if keys, err := s.KVList(ctx, "a", "x", "k%", 10); err != nil || !slices.Equal(keys, []string{"k%1"}) {
		t.Fatalf("list %v, %v", keys, err)
	}
	if err := s.KVDelete(ctx, "a", "x", "k%1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.KVGet(ctx, "a", "x", "k%1"); !errors.Is(err, host.ErrNotFound) {
		t.Fatalf("after delete: %v", err)
	}
	if v, err := s.KVGet(ctx, "a", "y", "k%1"); err != nil || v != "other skill" {
		t.Fatalf("the other skill's key: %q, %v", v, err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	s := open(t, path)
	if _, err := s.db.Exec("PRAGMA user_version = 999"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := Open(context.Background(), path); !errors.Is(err, host.ErrInvalid) {
		t.Fatalf("open: %v, want a refusal", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
}

// TestDatabaseIsNoSymlink (K10): nothing is written where one leads.
func TestDatabaseIsNoSymlink(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "nanoclaw.db"), filepath.Join(dir, "other")
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open: %v, want an error that names the file", err)
	}
	if _, err := os.Lstat(other); !os.IsNotExist(err) {
		t.Errorf("the file behind the symlink: %v", err)
	}
}

func TestForeignFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	if err := os.WriteFile(path, []byte("this is not a database, it is a letter to the reader"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), path); err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Fatalf("open: %v, want an error that names the file", err)
	}
}

// TestMigrationKeepsTokens: a database of the version before the budgets.
func TestMigrationKeepsTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(schema[0]+`; PRAGMA user_version = 1;
		INSERT INTO usage VALUES ('web', '2020-01-01', 7), ('web', ?, 42)`, time.Now().UTC().Format("2006-01-02"))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if n, err := s.Spent(t.Context(), "web", host.BudgetTokens); n != 42 || err != nil {
		t.Errorf("%d tokens today, %v", n, err)
	}
}

// TestHeadOnlyMovesForward: of two writers of one audit log, the later row counts.
func TestHeadOnlyMovesForward(t *testing.T) {
	s := fresh(t)
	want := func(seq int64, hash string) {
		t.Helper()
		if n, h, err := s.Head(t.Context()); n != seq || h != hash || err != nil {
			t.Fatalf("got %d %q %v, want %d %q", n, h, err, seq, hash)
		}
	}
	want(0, "")
	for _, h := range []struct {
		seq  int64
		hash string
	}{{5, "five"}, {4, "four"}, {5, "other"}} {
		if err := s.SetHead(t.Context(), h.seq, h.hash); err != nil {
			t.Fatal(err)
		}
		want(5, "five")
	}
	if err := s.SetHead(t.Context(), 6, "six"); err != nil {
		t.Fatal(err)
	}
	want(6, "six")
	s.Close()
	if _, _, err := s.Head(t.Context()); err == nil {
		t.Error("a closed database has a head")
	}
	if s.SetHead(t.Context(), 7, "seven") == nil {
		t.Error("a closed database took a head")
	}
}

// TestRollbackJournal: inside a Docker Sandbox the database has no WAL, one that had is converted, and
// its connections do not fail each other.
func TestRollbackJournal(t *testing.T) {
	for _, k := range []string{"SANDBOX_NAME", "SANDBOX_ID", "SANDBOX_VM_ID"} {
		t.Setenv(k, "")
	}
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	mode := func(s *Store) (m string) {
		t.Helper()
		if err := s.db.QueryRow(`PRAGMA journal_mode`).Scan(&m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	s := open(t, path)
	talk(t, s, main, 1, "before", "a", Done)
	if m := mode(s); m != "wal" {
		t.Fatalf("journal mode %s outside a sandbox", m)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SANDBOX_ID", "x")
	s = open(t, path)
	if m := mode(s); m != "delete" {
		t.Fatalf("journal mode %s in a sandbox", m)
	}
	var all errgroup.Group
	for n := range 20 {
		all.Go(func() error {
			_, err := s.Find(t.Context(), host.Find{Query: "before", Limit: 5})
			return errors.Join(err, s.Spend(t.Context(), "main", host.BudgetMessages, 1, 0),
				s.KVPut(t.Context(), main.ID, "s", fmt.Sprint(n), "v"))
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("a WAL is there: %v", err)
	}
}
