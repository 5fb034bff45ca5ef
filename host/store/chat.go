package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// Bounds of what rides along with the message that wakes an agent, newest first.
const (
	maxContext      = 50       // messages
	maxContextBytes = 32 << 10 // of their texts
)

// trimContext lets go of the older part of what waits for agent without waking it: it stays recorded,
// and no turn will have it.
func trimContext(ctx context.Context, tx *sql.Tx, agent host.AgentID) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE messages SET agent = NULL WHERE seq IN (
			SELECT seq FROM (
				SELECT seq, row_number() OVER newest AS n, sum(octet_length(text)) OVER newest AS bytes
				FROM messages WHERE agent = ? AND turn IS NULL AND NOT wakes WINDOW newest AS (ORDER BY seq DESC))
			WHERE n > ? OR bytes > ?)`, agent, maxContext, maxContextBytes)
	return err
}

// SeeChat remembers that m came, and nothing of what it says.
func (s *Store) SeeChat(ctx context.Context, m host.Message) error {
	return s.tx(ctx, func(tx *sql.Tx) error { return see(ctx, tx, m) })
}

func see(ctx context.Context, tx *sql.Tx, m host.Message) error {
	_, err := tx.ExecContext(ctx,
		`INSERT INTO chats (channel, account, chat, name, last) VALUES (?,?,?,?,?)
		 ON CONFLICT (channel, account, chat) DO UPDATE SET last = max(last, excluded.last),
		 name = CASE excluded.name WHEN '' THEN name ELSE excluded.name END`,
		m.Channel, m.Account, m.Chat, m.ChatName, m.Time.UnixMilli())
	return err
}

// Chats lists the chats that messages came from, at most max, the last one active first.
func (s *Store) Chats(ctx context.Context, max int) ([]host.Chat, error) {
	return query(ctx, s.db, func(r *sql.Rows) (c host.Chat, err error) {
		var last int64
		err = r.Scan(&c.Channel, &c.Account, &c.Chat, &c.Name, &last)
		c.Last = time.UnixMilli(last)
		return c, err
	}, `SELECT channel, account, chat, CASE name WHEN '' THEN chat ELSE name END, last FROM chats
		ORDER BY last DESC, channel, account, chat LIMIT ?`, max)
}

// RouteRows lists the routes that are not in nanoclaw.toml.
func (s *Store) RouteRows(ctx context.Context) ([]host.RouteRow, error) {
	return query(ctx, s.db, func(r *sql.Rows) (t host.RouteRow, err error) {
		var created int64
		err = r.Scan(&t.Channel, &t.Account, &t.Chat, &t.Role, &t.Engage, &t.Trigger, &t.Author, &created)
		t.Created = time.UnixMilli(created)
		return t, err
	}, `SELECT channel, account, chat, role, engage, word, author, created FROM routes ORDER BY channel, account, chat`)
}

// PutRoute adds a route, in the place of the chat's present row.
func (s *Store) PutRoute(ctx context.Context, r host.RouteRow) error {
	_, err := s.db.ExecContext(ctx, `REPLACE INTO routes VALUES (?,?,?,?,?,?,?,?)`,
		r.Channel, r.Account, r.Chat, r.Role, r.Engage, r.Trigger, r.Author, s.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("store: route: %w", err)
	}
	return nil
}

// RemoveRoute takes a chat's row away: host.ErrNotFound when it has none.
func (s *Store) RemoveRoute(ctx context.Context, channel, account string, chat host.ChatID) error {
	res, err := s.db.ExecContext(ctx,
		`DELETE FROM routes WHERE channel = ? AND account = ? AND chat = ?`, channel, account, chat)
	if err != nil {
		return fmt.Errorf("store: route: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("%w: no row routes chat %s of %s", host.ErrNotFound, chat, channel))
	}
	return nil
}
