package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// EnsureAgent makes the agent's row once. The row never changes afterwards.
func (s *Store) EnsureAgent(ctx context.Context, a host.Agent) error {
	_, err := s.db.ExecContext(ctx,
		`INSERT INTO agents (id, role, channel, account, chat, created) VALUES (?,?,?,?,?,?)
		 ON CONFLICT (id) DO NOTHING`,
		a.ID, a.Role, a.Channel, a.Account, a.Chat, s.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("store: agent %s: %w", a.ID, err)
	}
	return nil
}

// Join gives what agent from said, heard, kept and planned to agent to, which is there. Of two values of a
// key to's stays in force; a task that is at work follows the next time. Neither agent may be at work.
func (s *Store) Join(ctx context.Context, from, to host.AgentID) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE turns SET agent = ?2 WHERE agent = ?1; UPDATE messages SET agent = ?2
			WHERE agent = ?1; UPDATE files SET agent = ?2 WHERE agent = ?1; UPDATE OR IGNORE kv SET agent = ?2 WHERE agent = ?1;
			UPDATE tasks SET agent = ?2 WHERE agent = ?1 AND n NOT IN (SELECT task FROM runs WHERE outcome = '')`, from, to)
		return err
	})
}

// AddMessage commits m and the rows of its files for agent, which "" means nobody answers: it is only recorded.
// wakes says whether it starts a turn or rides along with the next one that does.
// The answer is false when the same message was stored before.
func (s *Store) AddMessage(ctx context.Context, m host.Message, agent host.AgentID, wakes bool) (bool, error) {
	var n int64
	err := s.tx(ctx, func(tx *sql.Tx) error {
		if err := see(ctx, tx, m); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx,
			`INSERT INTO messages
			 (agent, channel, account, chat, sender, sender_name, external_id, text, time, owner, wakes)
			 VALUES (?,?,?,?,?,?,?,?,?,?,?)
			 ON CONFLICT (channel, account, chat, sender, external_id) DO NOTHING`,
			null(string(agent)), m.Channel, m.Account, m.Chat, m.Sender, m.SenderName, m.ExternalID, m.Text,
			m.Time.UnixMilli(), m.Owner, wakes)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil || n == 0 || len(m.Files) == 0 {
			return err
		}
		seq, err := res.LastInsertId()
		for _, f := range m.Files {
			if err == nil {
				err = addFile(ctx, tx, seq, nil, string(agent), f)
			}
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("store: message %s: %w", m.ExternalID, err)
	}
	return n == 1, nil
}

// Waiting lists the agents that have a message which wakes them and is in no turn.
func (s *Store) Waiting(ctx context.Context) ([]host.Agent, error) {
	return query(ctx, s.db, scanAgent,
		`SELECT id, role, channel, account, chat FROM agents WHERE id IN
		 (SELECT agent FROM messages WHERE turn IS NULL AND wakes)`)
}

// Agents lists every agent there ever was.
func (s *Store) Agents(ctx context.Context) ([]host.Agent, error) {
	return query(ctx, s.db, scanAgent, `SELECT id, role, channel, account, chat FROM agents ORDER BY id`)
}

func scanAgent(r *sql.Rows) (a host.Agent, err error) {
	err = r.Scan(&a.ID, &a.Role, &a.Channel, &a.Account, &a.Chat)
	return a, err
}

const messageColumns = `seq, channel, account, chat, sender, sender_name, external_id, text, time, owner`

func scanMessage(r *sql.Rows) (m host.Message, err error) {
	var ms int64
	err = r.Scan(&m.Seq, &m.Channel, &m.Account, &m.Chat, &m.Sender, &m.SenderName, &m.ExternalID, &m.Text,
		&ms, &m.Owner)
	m.Time = time.UnixMilli(ms)
	return m, err
}

type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

// query collects all rows of q.
func query[T any](
	ctx context.Context, db querier, scan func(*sql.Rows) (T, error), q string, args ...any,
) ([]T, error) {
	rows, err := db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func null(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
