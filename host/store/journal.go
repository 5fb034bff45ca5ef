package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

const callColumns = `n, turn, attempt, place, skill, capability, target, print, outside, acted, state, status,
	tokens_in, tokens_out, started, ended, answer`

const putCall = `INSERT OR REPLACE INTO calls (` + callColumns + `)
	VALUES (nullif(?,0),?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING n`

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
		var started, ended int64
		err = r.Scan(&c.N, &c.Turn, &c.Attempt, &c.Place, &c.Skill, &c.Capability, &c.Target, &c.Print, &c.Outside,
			&c.Acted, &c.State, &c.Status, &c.TokensIn, &c.TokensOut, &started, &ended, &c.Answer)
		c.Started, c.Ended = moment(started), moment(ended)
		return c, err
	}, `SELECT `+callColumns+` FROM calls WHERE turn = ? ORDER BY n`, turn)
}

// Turns lists the turns that match, newest first, without what is in them.
func (s *Store) Turns(ctx context.Context, f host.TurnFilter) ([]host.TurnRow, error) {
	return query(ctx, s.db, func(r *sql.Rows) (t host.TurnRow, err error) {
		var created, ended, next int64
		err = r.Scan(&t.ID, &t.Parent, &t.Agent, &t.Role, &t.State, &t.Attempts, &t.Failures, &created, &ended, &next,
			&t.Error)
		t.Created, t.Ended, t.Next = time.UnixMilli(created), moment(ended), moment(next)
		return t, err
	}, `SELECT turns.id, coalesce(parent, ''), agent, role, state, attempts, failures, turns.created,
		coalesce(ended, 0), next, error
		FROM turns JOIN agents ON agents.id = agent
		WHERE substr(turns.id, 1, length(?1)) = ?1
		AND (?1 IN ('', turns.id) OR substr(coalesce(parent, ''), 1, length(?1)) <> ?1) -- whose ID begins with the parent's
		AND substr(agent, 1, length(?2)) = ?2 AND (NOT ?3 OR state = 'failed')
		ORDER BY n DESC LIMIT ?4`, f.ID, f.Agent, f.Failed, f.Last)
}

// TurnOf is one turn with all that is in it. Part of its ID is enough, if no other begins so.
func (s *Store) TurnOf(ctx context.Context, id string) (t host.TurnRow, err error) {
	list, err := s.Turns(ctx, host.TurnFilter{ID: id, Last: 2})
	switch {
	case err != nil:
		return t, err
	case len(list) == 0 || id == "":
		return t, fmt.Errorf("%w: no turn begins with %q", host.ErrNotFound, id)
	case len(list) > 1 && string(list[0].ID) != id && string(list[1].ID) != id:
		return t, fmt.Errorf("%w: more than one turn begins with %q; write more of it", host.ErrInvalid, id)
	case len(list) > 1 && string(list[1].ID) == id:
		list = list[1:]
	}
	t = list[0]
	said := func(from string) ([]host.Said, error) {
		return query(ctx, s.db, func(r *sql.Rows) (m host.Said, err error) {
			var ms int64
			err = r.Scan(&m.From, &m.Text, &m.State, &ms)
			m.Time = moment(ms)
			return m, err
		}, from+` WHERE turn = ? ORDER BY seq`, t.ID)
	}
	t.Messages, err = said(
		`SELECT CASE sender_name WHEN '' THEN sender ELSE sender_name END, text, '', time FROM messages`)
	if err == nil {
		t.Replies, err = said(`SELECT kind, text, state, created FROM outbox`)
	}
	if err == nil {
		t.Calls, err = s.Calls(ctx, t.ID)
	}
	if err == nil {
		err = s.family(ctx, &t)
	}
	return t, err
}

// family adds the tools of t, what it was told if another turn asked for it, and the turns that it asked
// for. Those of a role are bounded in number and depth, so this ends.
func (s *Store) family(ctx context.Context, t *host.TurnRow) error {
	var from, task, reply, tools string
	err := s.db.QueryRowContext(ctx, `SELECT coalesce((SELECT role FROM turns p JOIN agents ON agents.id = p.agent
		WHERE p.id = t.parent), ''), task, reply, tools FROM turns t WHERE id = ?`, t.ID).Scan(&from, &task, &reply, &tools)
	if err == nil {
		err = json.Unmarshal([]byte(tools), &t.Tools)
	}
	if err != nil {
		return err
	}
	if task != "" {
		t.Messages = []host.Said{{From: from, Text: task, Time: t.Created}}
	}
	if reply != "" {
		t.Replies = []host.Said{{From: "answer", Text: reply, Time: t.Ended}}
	}
	ids, err := query(ctx, s.db, func(r *sql.Rows) (id string, err error) { return id, r.Scan(&id) },
		`SELECT id FROM turns WHERE parent = ? ORDER BY n`, t.ID)
	for _, id := range ids {
		child, err := s.TurnOf(ctx, id)
		if err != nil {
			return err
		}
		t.Children = append(t.Children, child)
	}
	return err
}

// SetTools keeps which tools the running attempt of a turn called.
func (s *Store) SetTools(ctx context.Context, turn host.TurnID, tools []host.ToolRow) error {
	text, err := json.Marshal(append([]host.ToolRow{}, tools...))
	if err == nil {
		_, err = s.counters.ExecContext(ctx, `UPDATE turns SET tools = ? WHERE id = ?`, text, turn)
	}
	return err
}

// Retry makes a failed turn one that waits to be run, before all later ones of its agent, and
// says whose it is. Any other is host.ErrNotFound.
func (s *Store) Retry(ctx context.Context, turn host.TurnID) (host.Agent, error) {
	list, err := query(ctx, s.db, scanAgent, `UPDATE turns SET state = 'running', ended = NULL, error = '', failures = 0,
		ended_attempts = attempts WHERE id = ? AND state = 'failed' AND parent IS NULL
		RETURNING agent, '', '', '', ''`, turn)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: turn %s is not one that failed", host.ErrNotFound, turn)
	}
	if err != nil {
		return host.Agent{}, err
	}
	list, err = query(ctx, s.db, scanAgent, `SELECT id, role, channel, account, chat FROM agents WHERE id = ?`, list[0].ID)
	if err != nil || len(list) == 0 {
		return host.Agent{}, err
	}
	return list[0], nil
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
