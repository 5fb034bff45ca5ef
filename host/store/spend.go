package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
)

// Spend counts n against a budget of role, unless that would pass limit (0 = none): then
// nothing is counted and the answer is host.ErrLimit. A negative n gives back. Periods are
// days and minutes in UTC.
//
// These rows survive the process but, unlike all others, may be lost with the machine: a sync
// for each request would cost more than the request.
func (s *Store) Spend(ctx context.Context, role host.RoleName, b host.Budget, n, limit int64) error {
	period := s.period(b)
	var used int64
	err := s.counters.QueryRowContext(ctx,
		`INSERT INTO spent (role, budget, period, n) SELECT ?1, ?2, ?3, max(0, ?4) WHERE ?5 = 0 OR ?4 <= ?5
		 ON CONFLICT (role, budget) DO UPDATE SET period = ?3, n = max(0, CASE WHEN period = ?3 THEN n ELSE 0 END + ?4)
		 WHERE ?5 = 0 OR CASE WHEN period = ?3 THEN n ELSE 0 END + ?4 <= ?5 OR ?4 < 0
		 RETURNING n`, role, b, period, n, limit).Scan(&used)
	if errors.Is(err, sql.ErrNoRows) {
		return host.ErrLimit
	}
	if err != nil {
		return fmt.Errorf("store: budget: %w", err)
	}
	return nil
}

// Spent returns what role used of a budget in the present period.
func (s *Store) Spent(ctx context.Context, role host.RoleName, b host.Budget) (n int64, err error) {
	err = s.counters.QueryRowContext(ctx,
		`SELECT coalesce(sum(n), 0) FROM spent WHERE role = ? AND budget = ? AND period = ?`, role, b, s.period(b)).Scan(&n)
	return n, err
}

func (s *Store) period(b host.Budget) string {
	if b == host.BudgetRequests {
		return s.now().UTC().Format("2006-01-02T15:04")
	}
	return s.now().UTC().Format("2006-01-02")
}
