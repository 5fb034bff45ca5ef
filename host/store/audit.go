package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// SetHead remembers the last row of the audit log: its number and hash. A number that is not
// higher than the one remembered changes nothing.
func (s *Store) SetHead(ctx context.Context, seq int64, hash string) error {
	_, err := s.db.ExecContext(ctx,
		`INSERT INTO audit_head (one, seq, hash) VALUES (1,?,?)
		 ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash WHERE excluded.seq > seq`, seq, hash)
	if err != nil {
		return fmt.Errorf("store: audit head: %w", err)
	}
	return nil
}

// Head returns what SetHead remembered; 0 and "" = nothing.
func (s *Store) Head(ctx context.Context) (seq int64, hash string, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT seq, hash FROM audit_head`).Scan(&seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("store: audit head: %w", err)
	}
	return seq, hash, err
}
