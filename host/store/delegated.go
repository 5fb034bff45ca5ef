package store

import (
	"context"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
)

// BeginDelegated makes the row of a turn that another turn asked for, or takes it up again when the
// turn above it is run again, and says which attempt this is. It has no messages: task is all that its agent is told.
func (s *Store) BeginDelegated(
	ctx context.Context, t host.TurnID, a host.AgentID, parent host.TurnID, task string,
) (attempt int, err error) {
	err = s.db.QueryRowContext(ctx,
		`INSERT INTO turns (id, agent, state, created, parent, task) VALUES (?,?,'running',?,?,?)
		 ON CONFLICT (id) DO UPDATE SET state = 'running', attempts = attempts + 1, ended = NULL, error = ''
		 RETURNING attempts`, t, a, s.now().UnixMilli(), parent, task).Scan(&attempt)
	if err != nil {
		return 0, fmt.Errorf("store: delegated turn %s: %w", t, err)
	}
	return attempt, nil
}

// EndDelegated ends such a turn. What it answered goes to the turn that asked, and stays here for
// `turn show`.
func (s *Store) EndDelegated(ctx context.Context, t host.TurnID, how Outcome, reason, reply string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE turns SET state = ?, ended = ?, error = ?, reply = ? WHERE id = ?`,
		how, s.now().UnixMilli(), reason, reply, t)
	return err
}
