package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// historySchema: a row of summaries stands for all turns of its agent up to a number; with an
// empty text they were put away by /new.
var historySchema = `
CREATE TABLE summaries (
	agent TEXT NOT NULL REFERENCES agents(id), upto INTEGER NOT NULL, text TEXT NOT NULL, created INTEGER NOT NULL,
	PRIMARY KEY (agent, upto)) WITHOUT ROWID;
CREATE INDEX messages_by_agent ON messages(agent, seq);` + strings.ReplaceAll(wordsSQL, "$", "messages") +
	strings.ReplaceAll(wordsSQL, "$", "outbox")

// wordsSQL is an index of the words in a table, without a text of its own. What was said never
// changes, so there is no trigger for that.
const wordsSQL = `
CREATE VIRTUAL TABLE $_words USING fts5(
	text, content='$', content_rowid='seq', tokenize='unicode61 remove_diacritics 2');
CREATE TRIGGER $_said AFTER INSERT ON $ BEGIN
	INSERT INTO $_words (rowid, text) VALUES (new.seq, new.text); END;
CREATE TRIGGER $_gone AFTER DELETE ON $ BEGIN
	INSERT INTO $_words ($_words, rowid, text) VALUES ('delete', old.seq, old.text); END;
INSERT INTO $_words ($_words) VALUES ('rebuild');`

// endedSQL are the turns of agent ?1 that a model may be shown: those of its own chat that ended, however
// they ended, before the first that is not over. A turn that is run again so sees what it saw before.
const endedSQL = `agent = ?1 AND parent IS NULL AND state <> 'running' AND n < coalesce((SELECT min(n) FROM turns
	WHERE agent = ?1 AND parent IS NULL AND state = 'running'), 1 << 62)`

// saidSQL is what was said in some of those after number ?2:
// the messages of a turn, then what the chat was told. Those turns are in the order %[2]s, whole, as
// many as fit into ?4 bytes; the first of them may have ?5.
const saidSQL = `
	WITH some AS (SELECT id, n, state FROM turns WHERE ` + endedSQL + ` AND n > ?2 %[1]s),
	said AS (
		SELECT n, 0 AS part, seq, 'user' AS role, sender_name AS sender, text, time
		FROM some JOIN messages ON turn = id
		UNION ALL SELECT n, 1, seq, 'assistant', '', trim(text || coalesce((SELECT char(10) || '[sent the file ' || name ||
			']' FROM files WHERE outgoing = outbox.id), ''), char(10)), created
		FROM some JOIN outbox ON turn = some.id WHERE kind IN ('reply', 'error') OR some.state = 'stopped'),
	sized AS (SELECT *, sum(octet_length(text)) OVER (ORDER BY %[2]s) AS size,
		n = first_value(n) OVER (ORDER BY %[2]s) AS first FROM said)
	SELECT n, role, sender, text, time FROM sized WHERE size <= iif(first, ?5, ?4) ORDER BY n, part, seq`

// Window is what a model is shown of a conversation.
type Window struct {
	Summary  string             // of what comes before; "" = there is none
	Hidden   int                // turns between the summary and Messages, which do not fit
	Messages []wire.ChatMessage // oldest first
}

// said reads lines of saidSQL and the numbers of their turns.
func (s *Store) said(ctx context.Context, q string, args ...any) (ms []wire.ChatMessage, turns []int64, err error) {
	ms, err = query(ctx, s.db, func(r *sql.Rows) (c wire.ChatMessage, err error) {
		var n, ms int64
		err = r.Scan(&n, &c.Role, &c.Sender, &c.Text, &ms)
		c.Time, turns = time.UnixMilli(ms).UTC().Format(time.RFC3339), append(turns, n)
		return c, err
	}, q, args...)
	return ms, turns, err
}

var (
	latestSQL = fmt.Sprintf(saidSQL, "ORDER BY n DESC LIMIT ?3", "n DESC")
	oldestSQL = fmt.Sprintf(saidSQL, `AND n <= (SELECT n FROM turns WHERE `+endedSQL+`
		ORDER BY n DESC LIMIT 1 OFFSET ?3) ORDER BY n LIMIT 100`, "n")
)

// Window returns the last turns of agent that ended: at most so many, and as many of them as fit
// into so many bytes. The very last one may have eight times that: the next question is about it.
func (s *Store) Window(ctx context.Context, agent host.AgentID, turns, bytes int) (w Window, err error) {
	after, summary, err := s.summary(ctx, agent)
	if err != nil {
		return w, err
	}
	shown := []int64(nil)
	w.Summary = summary
	if w.Messages, shown, err = s.said(ctx, latestSQL, agent, after, turns, bytes, 8*bytes); err != nil {
		return w, err
	}
	before := int64(1) << 62
	if len(shown) > 0 {
		before = shown[0]
	}
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM turns WHERE "+endedSQL+" AND n > ?2 AND n < ?3",
		agent, after, before).Scan(&w.Hidden)
	return w, err
}

// summary is the last one of agent, and the turn up to which it reaches.
func (s *Store) summary(ctx context.Context, agent host.AgentID) (upTo int64, text string, err error) {
	err = s.db.QueryRowContext(ctx,
		`SELECT upto, text FROM summaries WHERE agent = ? ORDER BY upto DESC LIMIT 1`, agent).Scan(&upTo, &text)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return upTo, text, err
}

// Old is what the next summary is made of: the last one, and the oldest turns after it, in whole,
// as many as fit into so many bytes, but at least one, and none of the last keep turns. It ends
// with turn upTo; 0 = there is nothing old.
func (s *Store) Old(
	ctx context.Context, agent host.AgentID, keep, bytes int,
) (summary string, old []wire.ChatMessage, upTo int64, err error) {
	after, summary, err := s.summary(ctx, agent)
	if err != nil {
		return "", nil, 0, err
	}
	old, turns, err := s.said(ctx, oldestSQL, agent, after, keep, bytes, 1<<40)
	if len(turns) > 0 {
		upTo = turns[len(turns)-1]
	}
	return summary, old, upTo, err
}

// Summarise puts text in the place of all turns of agent up to the one with number upTo.
func (s *Store) Summarise(ctx context.Context, agent host.AgentID, upTo int64, text string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO summaries (agent, upto, text, created) VALUES (?,?,?,?)
		ON CONFLICT (agent, upto) DO UPDATE SET text = excluded.text`, agent, upTo, text, s.now().UnixMilli())
	return err
}

// PutAway begins a new conversation of agent: no model is shown what was said before.
func (s *Store) PutAway(ctx context.Context, agent host.AgentID) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO summaries (agent, upto, text, created)
		SELECT agent, max(n), '', ? FROM turns WHERE agent = ? GROUP BY agent
		ON CONFLICT (agent, upto) DO UPDATE SET text = ''`, s.now().UnixMilli(), agent)
	return err
}

// maxFind bounds how long a search takes.
const maxFind = 5 * time.Second

// Find returns the newest messages that fit f, newest first. It has a connection of its own: no
// commit waits for what a skill looks for.
func (s *Store) Find(ctx context.Context, f host.Find) ([]host.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, maxFind)
	defer cancel()
	part := func(table, at, columns string) string {
		from, text, order, where := table+" m", "substr(m.text, 1, 4000)", "m.seq", ""
		if f.Agent != "" {
			order = "t.n DESC, m.seq"
		}
		if f.Query != "" {
			index := table + "_words"
			from, where = index+" CROSS JOIN "+from, " AND "+index+" MATCH ?1 AND m.seq = "+index+".rowid"
			text, order = "snippet("+index+", 0, '', '', '…', 48)", index+".rowid" // the index answers in this order
		}
		if f.Agent != "" {
			where += " AND t.agent = ?2 AND t.state <> 'running'"
		}
		if f.Chat != "" {
			where += " AND m.chat = ?3"
		}
		return "SELECT * FROM (SELECT m." + at + " AS at, m.channel, m.chat, " + columns + ", " + text +
			", m.text FROM " + from + " LEFT JOIN turns t ON t.id = m.turn" +
			" WHERE m." + at + " >= ?4 AND m." + at + " < ?5" + where + " ORDER BY " + order + " DESC LIMIT ?6)"
	}
	before := int64(1) << 52
	if !f.Before.IsZero() {
		before = f.Before.UnixMilli()
	}
	return query(ctx, s.finds, scanFound, part("messages", "time", "coalesce(m.agent, ''), 'user', m.sender_name")+
		" UNION ALL "+part("outbox", "created", "coalesce(t.agent, ''), 'assistant', ''")+" ORDER BY at DESC LIMIT ?6",
		words(f.Query), f.Agent, f.Chat, max(0, f.Since.UnixMilli()), before, f.Limit)
}

func scanFound(r *sql.Rows) (s host.Found, err error) {
	var ms int64
	err = r.Scan(&ms, &s.Channel, &s.Chat, &s.Agent, &s.Role, &s.Sender, &s.Text, &s.Whole)
	s.Time = time.UnixMilli(ms)
	return s, err
}

// words is a query in the language of the index: all words of s, none of them an operator.
func words(s string) string {
	list := strings.Fields(strings.ReplaceAll(s, "\x00", " "))
	for i, w := range list {
		list[i] = `"` + strings.ReplaceAll(w, `"`, `""`) + `"`
		if len(w) > 2 { // half of all texts have a word that begins with "a"
			list[i] += "*"
		}
	}
	return strings.Join(list, " ")
}
