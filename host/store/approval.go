package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

const approvalColumns = `n, agent, turn, role, skill, capability, rule, print, what, state, author, created, expires`

func scanApproval(r *sql.Rows) (a host.Approval, err error) {
	var created, expires int64
	err = r.Scan(&a.N, &a.Agent, &a.Turn, &a.Role, &a.Skill, &a.Capability, &a.Rule, &a.Print, &a.What, &a.State,
		&a.Author, &created, &expires)
	a.Created, a.Expires = time.UnixMilli(created), time.UnixMilli(expires)
	return a, err
}

// Ask returns the row of a request that needs the owner's answer: the one of the same turn and
// fingerprint that was not acted upon yet, else a new one. fresh says which. A turn that asked
// max times is host.ErrLimit.
func (s *Store) Ask(ctx context.Context, a host.Approval, max int) (out host.Approval, fresh bool, err error) {
	err = s.tx(ctx, func(tx *sql.Tx) error {
		rows, err := query(ctx, tx, scanApproval,
			`SELECT `+approvalColumns+` FROM approvals WHERE turn = ? ORDER BY n DESC`, a.Turn)
		if err != nil {
			return err
		}
		for _, r := range rows {
			same := r.Role == a.Role && r.Skill == a.Skill && r.Capability == a.Capability && r.Print == a.Print
			if same && r.State != host.ApprovalUsed {
				out = r
				return nil
			}
		}
		if len(rows) >= max {
			return host.ErrLimit
		}
		fresh, a.State = true, host.ApprovalPending
		out = a
		return tx.QueryRowContext(ctx,
			`INSERT INTO approvals (agent, turn, role, skill, capability, rule, print, what, state, created, expires)
			 VALUES (?,?,?,?,?,?,?,?,?,?,?) RETURNING n`, a.Agent, a.Turn, a.Role, a.Skill, a.Capability, a.Rule, a.Print,
			a.What, a.State, a.Created.UnixMilli(), a.Expires.UnixMilli()).Scan(&out.N)
	})
	return out, fresh, err
}

// Decide moves approval n from one state to another, once: host.ErrNotFound when it is in no
// such state, or too late. Besides, always makes a grant of it, for the next times.
func (s *Store) Decide(
	ctx context.Context, n int64, from, to host.ApprovalState, author string, always bool,
) (a host.Approval, err error) {
	err = s.tx(ctx, func(tx *sql.Tx) error {
		rows, err := query(ctx, tx, scanApproval,
			`UPDATE approvals SET state = ?1, author = CASE ?2 WHEN '' THEN author ELSE ?2 END WHERE n = ?3 AND state = ?4
			 AND (expires > ?5 OR ?1 IN ('used', 'expired')) RETURNING `+approvalColumns,
			to, author, n, from, s.now().UnixMilli())
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return host.ErrNotFound
		}
		if a = rows[0]; !always || a.Rule == "" { // what has no rule is asked each time
			return nil
		}
		_, err = tx.ExecContext(ctx,
			`INSERT INTO grants (role, skill, capability, rule, author, created) VALUES (?,?,?,?,?,?)
			 ON CONFLICT (role, skill, capability, rule) DO NOTHING`,
			a.Role, a.Skill, a.Capability, a.Rule, author, s.now().UnixMilli())
		return err
	})
	return a, err
}

// Pending lists the approvals that wait for an answer.
func (s *Store) Pending(ctx context.Context) ([]host.Approval, error) {
	return query(ctx, s.db, scanApproval, `SELECT `+approvalColumns+` FROM approvals
		WHERE state = 'pending' AND expires > ? ORDER BY n`, s.now().UnixMilli())
}

const grantColumns = `n, role, skill, capability, rule, author, created`

func scanGrant(r *sql.Rows) (g host.GrantRow, err error) {
	var created int64
	err = r.Scan(&g.N, &g.Role, &g.Skill, &g.Capability, &g.Rule, &g.Author, &created)
	g.Created = time.UnixMilli(created)
	return g, err
}

// Granted returns the row that answers a question in advance, or host.ErrNotFound. Everything
// must be equal: there are no patterns.
func (s *Store) Granted(
	ctx context.Context, role host.RoleName, skill host.SkillName, c host.Capability, rule string,
) (host.GrantRow, error) {
	rows, err := query(ctx, s.db, scanGrant,
		`SELECT `+grantColumns+` FROM grants WHERE role = ? AND skill = ? AND capability = ? AND rule = ?`,
		role, skill, c, rule)
	if err != nil || len(rows) == 0 {
		return host.GrantRow{}, errors.Join(err, host.ErrNotFound)
	}
	return rows[0], nil
}

// GrantRows lists what `/always` added.
func (s *Store) GrantRows(ctx context.Context) ([]host.GrantRow, error) {
	return query(ctx, s.db, scanGrant, `SELECT `+grantColumns+` FROM grants ORDER BY n`)
}

// RemoveGrant takes row n away; from then on the owner is asked again.
func (s *Store) RemoveGrant(ctx context.Context, n int64) error {
	res, err := s.db.ExecContext(ctx, `DELETE FROM grants WHERE n = ?`, n)
	if err != nil {
		return err
	}
	if k, err := res.RowsAffected(); err != nil || k == 0 {
		return errors.Join(err, fmt.Errorf("%w: there is no grant %d", host.ErrNotFound, n))
	}
	return nil
}
