package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// historySchema: a row of summaries stands for all turns of its agent up to a number; with an
// empty text they were put away by /new. The index of words has no text of its own; what was
// said never changes, so there is no trigger for that.
const historySchema = `
CREATE TABLE summaries (
	agent TEXT NOT NULL REFERENCES agents(id), upto INTEGER NOT NULL, text TEXT NOT NULL, created INTEGER NOT NULL,
	PRIMARY KEY (agent, upto)) WITHOUT ROWID;
CREATE INDEX messages_by_agent ON messages(agent, seq);
CREATE VIRTUAL TABLE messages_words USING fts5(
	text, content='messages', content_rowid='seq', tokenize='unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE outbox_words USING fts5(
	text, content='outbox', content_rowid='seq', tokenize='unicode61 remove_diacritics 2');
CREATE TRIGGER messages_said AFTER INSERT ON messages BEGIN
	INSERT INTO messages_words (rowid, text) VALUES (new.seq, new.text); END;
CREATE TRIGGER messages_gone AFTER DELETE ON messages BEGIN
	INSERT INTO messages_words (messages_words, rowid, text) VALUES ('delete', old.seq, old.text); END;
CREATE TRIGGER outbox_said AFTER INSERT ON outbox BEGIN
	INSERT INTO outbox_words (rowid, text) VALUES (new.seq, new.text); END;
CREATE TRIGGER outbox_gone AFTER DELETE ON outbox BEGIN
	INSERT INTO outbox_words (outbox_words, rowid, text) VALUES ('delete', old.seq, old.text); END;
INSERT INTO messages_words (messages_words) VALUES ('rebuild');
INSERT INTO outbox_words (outbox_words) VALUES ('rebuild');
`

// saidSQL is what was said in the turns of agent ?1 after number ?2 that ended, however they ended:
// the messages of a turn, then what the chat was told.
const saidSQL = `
	SELECT t.n AS n, 0 AS part, seq, 'user' AS role, sender_name AS sender, text, time
	FROM turns t JOIN messages ON messages.turn = t.id WHERE t.agent = ?1 AND t.n > ?2 AND t.state <> 'running'
	UNION ALL
	SELECT t.n, 1, seq, 'assistant', '', text, outbox.created
	FROM turns t JOIN outbox ON outbox.turn = t.id WHERE t.agent = ?1 AND t.n > ?2 AND t.state <> 'running'
	AND (kind IN ('reply', 'error') OR t.state = 'stopped')`

// Window is what a model is shown of a conversation.
type Window struct {
	Summary  string             // of what comes before; "" = there is none
	Hidden   int                // turns between the summary and Messages, which do not fit
	Messages []wire.ChatMessage // oldest first
}

// line is one message and the number of its turn.
type line struct {
	n int64
	wire.ChatMessage
}

func scanLine(r *sql.Rows) (l line, err error) {
	var ms int64
	err = r.Scan(&l.n, &l.Role, &l.Sender, &l.Text, &ms)
	l.Time = time.UnixMilli(ms).UTC().Format(time.RFC3339)
	return l, err
}

// Window returns the last turns of agent that ended: at most so many, and as many of them as fit
// into so many bytes. The very last one may have eight times that: the next question is about it.
func (s *Store) Window(ctx context.Context, agent host.AgentID, turns, bytes int) (w Window, err error) {
	after, summary, err := s.summary(ctx, agent)
	if err != nil {
		return w, err
	}
	w.Summary = summary
	lines, err := query(ctx, s.db, scanLine, `SELECT n, role, sender, text, time FROM (`+saidSQL+`) WHERE n IN
		(SELECT n FROM turns WHERE agent = ?1 AND n > ?2 AND state <> 'running' ORDER BY n DESC LIMIT ?3)
		ORDER BY n, part, seq`, agent, after, turns)
	if err != nil || len(lines) == 0 {
		return w, err
	}
	first, size := len(lines), 0
	for end := first; end > 0; end = first {
		from := turnBefore(lines, end)
		for _, l := range lines[from:end] {
			size += len(l.Text)
		}
		if size > 8*bytes || size > bytes && end < len(lines) {
			break
		}
		first = from
	}
	shown := lines[len(lines)-1].n + 1
	for _, l := range lines[first:] {
		w.Messages, shown = append(w.Messages, l.ChatMessage), min(shown, l.n)
	}
	err = s.db.QueryRowContext(ctx, `SELECT count(*) FROM turns WHERE agent = ? AND n > ? AND n < ?`, agent, after, shown).
		Scan(&w.Hidden)
	return w, err
}

// turnBefore is where the turn begins that ends before lines[end].
func turnBefore(lines []line, end int) int {
	from := end - 1
	for from > 0 && lines[from-1].n == lines[from].n {
		from--
	}
	return from
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

// maxOld bounds how many messages Old reads. It is more than a turn has.
const maxOld = 500

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
	lines, err := query(ctx, s.db, scanLine, `SELECT n, role, sender, text, time FROM (`+saidSQL+`) WHERE n <=
		(SELECT n FROM turns WHERE agent = ?1 AND state <> 'running' ORDER BY n DESC LIMIT 1 OFFSET ?3)
		ORDER BY n, part, seq LIMIT ?4`, agent, after, keep, maxOld)
	if err != nil {
		return "", nil, 0, err
	}
	if len(lines) == maxOld { // the last turn may be cut
		lines = lines[:turnBefore(lines, maxOld)]
	}
	for _, l := range lines {
		if bytes -= len(l.Text); bytes < 0 && upTo != 0 && l.n != upTo {
			break
		}
		old, upTo = append(old, l.ChatMessage), l.n
	}
	return summary, old, upTo, nil
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
func (s *Store) Find(ctx context.Context, f host.Find) ([]host.Said, error) {
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
	return query(ctx, s.finds, scanSaid, part("messages", "time", "coalesce(m.agent, ''), 'user', m.sender_name")+
		" UNION ALL "+part("outbox", "created", "coalesce(t.agent, ''), 'assistant', ''")+" ORDER BY at DESC LIMIT ?6",
		words(f.Query), f.Agent, f.Chat, max(0, f.Since.UnixMilli()), before, f.Limit)
}

func scanSaid(r *sql.Rows) (s host.Said, err error) {
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
