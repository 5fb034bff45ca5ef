package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
)

// leaseParts is into how many parts a limit is cut that are counted ahead, see Spend.
const leaseParts = 16

// lease is what was counted in the database already and is not used yet.
type lease struct {
	period string
	limit  int64 // by which it was taken
	left   int64
}

type account struct {
	role host.RoleName
	of   host.Budget
}

const spendSQL = `
	INSERT INTO spent (role, budget, period, n) SELECT ?1, ?2, ?3, max(0, ?4) WHERE ?5 = 0 OR ?4 <= ?5
	ON CONFLICT (role, budget) DO UPDATE SET period = ?3, n = max(0, CASE WHEN period = ?3 THEN n ELSE 0 END + ?4)
	WHERE ?5 = 0 OR CASE WHEN period = ?3 THEN n ELSE 0 END + ?4 <= ?5 OR ?4 < 0
	RETURNING n`

// Spend counts n against a budget of role, unless that would pass limit (0 = none): then
// nothing is counted and the answer is host.ErrLimit. A negative n gives back. Periods are
// days and minutes in UTC.
//
// A request costs less than a commit. So a part of the limit is counted at once, and used up in
// memory: the database is never behind, and a host that dies loses at most that part. These
// rows, unlike all others, are not synced: they survive the process and not the machine.
func (s *Store) Spend(ctx context.Context, role host.RoleName, b host.Budget, n, limit int64) error {
	s.spending.Lock()
	defer s.spending.Unlock()
	l := s.leases[account{role, b}]
	if period := s.period(b); l.period != period {
		l = lease{period: period, limit: limit}
	}
	if l.left > 0 && l.limit != limit { // the configuration changed: a lease by a higher limit would pass the new one
		if err := s.count(ctx, role, b, l.period, -l.left, 0); err != nil {
			return err
		}
		l.left = 0
	}
	l.limit = limit
	defer func() { s.leases[account{role, b}] = l }()
	if limit > 0 && n > 0 && (b == host.BudgetRequests || b == host.BudgetBytesOut) { // there are few of the others
		if l.left < n {
			part := limit/leaseParts + n
			switch err := s.count(ctx, role, b, l.period, part, limit); {
			case err == nil:
				l.left += part
			case !errors.Is(err, host.ErrLimit):
				return err
			}
		}
		if l.left >= n {
			l.left -= n
			return nil
		}
		n -= l.left // the last part is smaller
		if err := s.count(ctx, role, b, l.period, n, limit); err != nil {
			return err
		}
		l.left = 0
		return nil
	}
	return s.count(ctx, role, b, l.period, n, limit)
}

func (s *Store) count(ctx context.Context, role host.RoleName, b host.Budget, period string, n, limit int64) error {
	var used int64
	err := s.spend.QueryRowContext(ctx, role, b, period, n, limit).Scan(&used)
	if errors.Is(err, sql.ErrNoRows) {
		return host.ErrLimit
	}
	if err != nil {
		return fmt.Errorf("store: budget: %w", err)
	}
	return nil
}

// Spent returns what role used of a budget in the present period. Asked beside the host that
// spends, it includes what that has counted ahead.
func (s *Store) Spent(ctx context.Context, role host.RoleName, b host.Budget) (n int64, err error) {
	s.spending.Lock()
	defer s.spending.Unlock()
	period := s.period(b)
	err = s.counters.QueryRowContext(ctx,
		`SELECT coalesce(sum(n), 0) FROM spent WHERE role = ? AND budget = ? AND period = ?`, role, b, period).Scan(&n)
	if l := s.leases[account{role, b}]; l.period == period {
		n -= l.left
	}
	return n, err
}

func (s *Store) period(b host.Budget) string {
	if b == host.BudgetRequests {
		return s.now().UTC().Format("2006-01-02T15:04")
	}
	return s.now().UTC().Format("2006-01-02")
}
