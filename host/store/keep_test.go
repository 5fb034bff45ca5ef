package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestBackupBeforeAnUpgrade: the copy is whole and private, there are never more than three, and
// without it the schema does not move.
func TestBackupBeforeAnUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	older := func() {
		t.Helper()
		for _, side := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(path + side); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		db, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(schema[0] + `PRAGMA user_version = 1; INSERT INTO kv VALUES ('a', 's', 'k', 'v')`); err != nil {
			t.Fatal(err)
		}
	}
	copies := func() []string {
		t.Helper()
		list, err := filepath.Glob(path + ".*-schema-1")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for i := range 5 {
		older()
		open(t, path).Close()
		list := copies()
		if len(list) != min(i+1, maxBackups) {
			t.Fatalf("%d copies after %d upgrades", len(list), i+1)
		}
		newest := list[len(list)-1] // is as old as it would be
		if err := os.Rename(newest, fmt.Sprintf("%s.2020010%dT000000.000Z-schema-1", path, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	open(t, path).Close()
	list := copies()
	if len(list) != maxBackups {
		t.Fatalf("opening without an upgrade left %v", list)
	}
	if st, err := os.Stat(list[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	db, err := sql.Open("sqlite", "file:"+list[0])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var version int
	var value string
	if err := db.QueryRow(`SELECT value, (SELECT user_version FROM pragma_user_version) FROM kv`).Scan(&value, &version); err != nil ||
		value != "v" || version != 1 {
		t.Fatalf("the copy has %q, version %d, %v", value, version, err)
	}
	older()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, path); err == nil {
		t.Fatal("opened although the copy could not be made")
	}
}

func TestTrim(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	other := host.Agent{ID: "other", Role: "main", Channel: "console", Chat: "o"}
	for n := 1; n <= 4; n++ { // seconds 1 to 4
		talk(t, s, main, n, fmt.Sprint("q", n), fmt.Sprint("a", n), Done)
	}
	if _, err := s.db.Exec(`UPDATE outbox SET state = 'sent' WHERE text <> 'a2'`); err != nil { // a2 is still queued
		t.Fatal(err)
	}
	talk(t, s, other, 1, "running", "", "")
	for id, agent := range map[string]host.AgentID{"waits": other.ID, "recorded": ""} {
		m := host.Message{Channel: "console", Chat: "o", Sender: "x", ExternalID: id, Text: id, Time: time.UnixMilli(1000)}
		if _, err := s.AddMessage(ctx, m, agent, agent != ""); err != nil {
			t.Fatal(err)
		}
	}
	for upTo, text := range []string{"old", "last"} {
		if err := s.Summarise(ctx, main.ID, int64(upTo+1), text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.db.Exec(`UPDATE turns SET reply = 'r', created = 1 WHERE n = 1;
		INSERT INTO calls (turn, attempt, place, skill, capability, target, print, outside, acted, state, status,
			tokens_in, tokens_out, started, ended, answer)
		SELECT id, 1, '1', 's', 'kv', '', '', 0, 0, 'done', 0, 0, 0, 1, 1, 'told' FROM turns WHERE n = 1 OR state = 'running'`); err != nil {
		t.Fatal(err)
	}
	n, err := s.Trim(ctx, time.UnixMilli(3000))
	if err != nil || n != 7 { // q1, q2, a1, recorded, the older summary, a call and a reply
		t.Errorf("%d deleted, %v", n, err)
	}
	found, err := s.Find(ctx, host.Find{Limit: 50})
	var left []string
	for _, m := range found {
		left = append(left, m.Text)
	}
	slices.Sort(left)
	if got, want := strings.Join(left, " "), "a2 a3 a4 q3 q4 running waits"; err != nil || got != want {
		t.Errorf("left: %q, %v; want %q", got, err, want)
	}
	if found, err := s.Find(ctx, host.Find{Query: "q1", Limit: 50}); len(found) != 0 || err != nil {
		t.Errorf("the index still has %v, %v", found, err)
	}
	if _, err := s.db.Exec(`INSERT INTO messages_words (messages_words) VALUES ('integrity-check')`); err != nil {
		t.Errorf("the index does not fit the messages: %v", err)
	}
	if _, text, err := s.summary(ctx, main.ID); text != "last" || err != nil {
		t.Errorf("summary %q, %v", text, err)
	}
	if _, err := s.db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
		INSERT INTO messages (channel, account, chat, sender, sender_name, external_id, text, time, owner, wakes)
		SELECT 'c', '', 'x', 's', '', i, 'many', 1, 0, 0 FROM n`); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Trim(ctx, time.UnixMilli(1000)); n != 1200 || err != nil {
		t.Errorf("%d of 1200 deleted, %v", n, err)
	}
}
