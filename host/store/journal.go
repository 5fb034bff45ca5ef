package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

const callColumns = `n, turn, attempt, place, skill, capability, target, print, outside, acted, state, status,
	tokens_in, tokens_out, started, ended, answer`

const putCall = `INSERT OR REPLACE INTO calls (` + callColumns + `)
	VALUES (nullif(?,0),?,?,?,?,?,?,?,?,?,?,?,?,?,?,nullif(?,0),?) RETURNING n`

// PutCall keeps a row of a turn's journal, in the place of what it said before, and numbers it.
//
// The intent of a call with an effect outside is on disk when this returns. Other rows are like
// those of Spend: they survive the process and not the machine, so that a turn does not pay a
// sync for each call. After a power cut an outcome may be an intent again: unknown, never doubled.
func (s *Store) PutCall(ctx context.Context, r *host.CallRow) error {
	put := s.put
	if r.Outside && r.State == host.CallBegun {
		put = s.intend
	}
	ended := int64(0)
	if !r.Ended.IsZero() {
		ended = r.Ended.UnixMilli()
	}
	err := put.QueryRowContext(ctx, r.N, r.Turn, r.Attempt, r.Place, r.Skill, r.Capability, r.Target, r.Print, r.Outside,
		r.Acted, r.State, r.Status, r.TokensIn, r.TokensOut, r.Started.UnixMilli(), ended, r.Answer).Scan(&r.N)
	if err != nil {
		return fmt.Errorf("store: journal of %s: %w", r.Turn, err)
	}
	return nil
}

// Calls is the journal of a turn, all its attempts, oldest row first.
func (s *Store) Calls(ctx context.Context, turn host.TurnID) ([]host.CallRow, error) {
	return query(ctx, s.db, func(r *sql.Rows) (c host.CallRow, err error) {
		var started int64
		var ended sql.NullInt64
		err = r.Scan(&c.N, &c.Turn, &c.Attempt, &c.Place, &c.Skill, &c.Capability, &c.Target, &c.Print, &c.Outside,
			&c.Acted, &c.State, &c.Status, &c.TokensIn, &c.TokensOut, &started, &ended, &c.Answer)
		c.Started = time.UnixMilli(started)
		if ended.Valid {
			c.Ended = time.UnixMilli(ended.Int64)
		}
		return c, err
	}, `SELECT `+callColumns+` FROM calls WHERE turn = ? ORDER BY n`, turn)
}
