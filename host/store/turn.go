package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// Turn is a turn that has begun: its messages belong to it until it ends.
type Turn struct {
	ID       host.TurnID
	Agent    host.AgentID
	Attempts int // times it was begun: 1 on the first run
	Deaths   int // attempts whose end no host saw
	Failures int // attempts that failed for a reason that may pass
	// Next is when to try again: until PutBack has taken it away, this is no attempt. Zero = now.
	Next     time.Time
	Reason   string // of the last failure, while Next is set
	Messages []host.Message
}

// Begin takes every waiting message of agent into one turn, at most max of them, oldest
// first. A turn that a dead host left running is taken up again, with its own ID, before
// anything newer. It answers host.ErrNotFound when nothing waits.
func (s *Store) Begin(ctx context.Context, agent host.AgentID, fresh host.TurnID, max int) (Turn, error) {
	t := Turn{ID: fresh, Agent: agent, Attempts: 1}
	err := s.tx(ctx, func(tx *sql.Tx) error {
		var next int64
		row := tx.QueryRowContext(ctx, `SELECT id, attempts, attempts - ended_attempts, failures, next, error FROM turns
			WHERE agent = ? AND state = 'running' AND parent IS NULL ORDER BY n LIMIT 1`, agent)
		switch err := row.Scan(&t.ID, &t.Attempts, &t.Deaths, &t.Failures, &next, &t.Reason); {
		case err == nil && next != 0:
			t.Next = time.UnixMilli(next)
		case err == nil:
			t.Attempts++
			if _, err := tx.ExecContext(ctx, `UPDATE turns SET attempts = ? WHERE id = ?`, t.Attempts, t.ID); err != nil {
				return err
			}
		case !errors.Is(err, sql.ErrNoRows):
			return err
		default:
			if err := s.open(ctx, tx, t, max); err != nil {
				return err
			}
		}
		var err error
		t.Messages, err = query(ctx, tx, scanMessage,
			`SELECT `+messageColumns+` FROM messages WHERE turn = ? ORDER BY seq`, t.ID)
		if err != nil {
			return err
		}
		return addFiles(ctx, tx, &t)
	})
	if errors.Is(err, host.ErrNotFound) {
		return Turn{}, host.ErrNotFound
	}
	if err != nil {
		return Turn{}, fmt.Errorf("store: begin turn of %s: %w", agent, err)
	}
	return t, nil
}

// open makes the turn's row and moves waiting messages into it, unless none of them wakes.
func (s *Store) open(ctx context.Context, tx *sql.Tx, t Turn, max int) error {
	var wakes bool
	err := tx.QueryRowContext(ctx,
		`SELECT EXISTS (SELECT 1 FROM messages WHERE agent = ? AND turn IS NULL AND wakes)`, t.Agent).Scan(&wakes)
	if err != nil {
		return err
	}
	if !wakes {
		return host.ErrNotFound
	}
	if err := trimContext(ctx, tx, t.Agent); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO turns (id, agent, state, created) VALUES (?,?,'running',?)`,
		t.ID, t.Agent, s.now().UnixMilli()); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx,
		`UPDATE messages SET turn = ? WHERE seq IN
		 (SELECT seq FROM messages WHERE agent = ? AND turn IS NULL ORDER BY seq LIMIT ?)`, t.ID, t.Agent, max)
	return err
}

// PutBack says that the attempt which t is has ended, and its turn has not: it failures times
// failed so far, the last time for reason, and is to be tried again at next (zero = at once).
func (s *Store) PutBack(ctx context.Context, turn host.TurnID, failures int, next time.Time, reason string) error {
	ms := int64(0)
	if !next.IsZero() {
		ms = next.UnixMilli()
	}
	_, err := s.db.ExecContext(ctx, `UPDATE turns SET ended_attempts = attempts, failures = ?, next = ?, error = ?
		WHERE id = ? AND state = 'running'`, failures, ms, reason, turn)
	if err != nil {
		return fmt.Errorf("store: put back turn %s: %w", turn, err)
	}
	return nil
}

// Outcome of a turn.
type Outcome string

// Outcomes.
const (
	Done    Outcome = "done"
	Failed  Outcome = "failed"
	Stopped Outcome = "stopped"
)

// Finish ends a turn and puts what it says into the outbox, in one transaction.
// A turn that ended before is host.ErrNotFound and nothing is sent.
func (s *Store) Finish(ctx context.Context, turn host.TurnID, how Outcome, reason string, out []host.Outgoing) error {
	err := s.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx,
			`UPDATE turns SET state = ?, ended = ?, error = ?, next = 0 WHERE id = ? AND state = 'running'`,
			how, s.now().UnixMilli(), reason, turn)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(host.ErrNotFound, err)
		}
		if err := s.endTurnRuns(ctx, tx, turn, how, reason); err != nil {
			return err
		}
		if how != Failed { // which may be tried again
			if _, err := tx.ExecContext(ctx, `UPDATE calls SET answer = NULL WHERE turn = ?1
				OR substr(turn, 1, length(?1) + 1) = ?1 || '-'`, turn); err != nil {
				return err
			}
		}
		for _, o := range out {
			if err := s.enqueue(ctx, tx, o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: finish turn %s: %w", turn, err)
	}
	return nil
}

// Interrupted lists the agents whose turn was running when the last host died or stopped.
func (s *Store) Interrupted(ctx context.Context) ([]host.Agent, error) {
	return query(ctx, s.db, scanAgent,
		`SELECT id, role, channel, account, chat FROM agents WHERE id IN
		 (SELECT agent FROM turns WHERE state = 'running' AND parent IS NULL)`)
}

// Counts is what `status` shows.
type Counts struct {
	Messages, Waiting, Turns, Failed, Queued, Unknown, Agents int64
}

// Counts counts rows.
func (s *Store) Counts(ctx context.Context) (c Counts, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT
		(SELECT count(*) FROM messages), (SELECT count(*) FROM messages WHERE turn IS NULL AND wakes),
		(SELECT count(*) FROM turns), (SELECT count(*) FROM turns WHERE state = 'failed'),
		(SELECT count(*) FROM outbox WHERE state IN ('queued','sending')),
		(SELECT count(*) FROM outbox WHERE state = 'unknown'), (SELECT count(*) FROM agents)`).
		Scan(&c.Messages, &c.Waiting, &c.Turns, &c.Failed, &c.Queued, &c.Unknown, &c.Agents)
	return c, err
}
