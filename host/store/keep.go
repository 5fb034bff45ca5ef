package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	maxBackups = 3   // copies from before an upgrade that are kept
	trimBatch  = 500 // rows that one transaction deletes: others wait for it
)

// backup copies the database to a file beside it, mode 0600, before its schema goes forward.
func (s *Store) backup(ctx context.Context, path string, have int) (err error) {
	to := fmt.Sprintf("%s.%s-schema-%d", path, s.now().UTC().Format("20060102T150405.000Z"), have)
	f, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("copy before the upgrade: %w", err)
	}
	defer f.Close()
	if _, err = s.db.ExecContext(ctx, `VACUUM INTO ?`, to); err == nil { // into an empty file
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("copy before the upgrade, to %s: %w; nothing was changed", to, err), os.Remove(to))
	}
	old, err := filepath.Glob(path + ".*Z-schema-*")
	slices.Sort(old)
	for _, name := range old[:max(0, len(old)-maxBackups)] {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// Trim deletes the messages from before a time, a few at once, and says how many rows: no message that
// waits for an answer or is in a turn that runs, and nothing that is still to be sent. Summaries
// that a later one has replaced go with them, and what turns were told and did.
func (s *Store) Trim(ctx context.Context, before time.Time) (deleted int64, err error) {
	for _, q := range []string{
		`DELETE FROM messages WHERE seq IN (SELECT seq FROM messages m LEFT JOIN turns t ON t.id = m.turn
		 WHERE time < ?1 AND CASE WHEN turn IS NULL THEN m.agent IS NULL OR NOT wakes ELSE state <> 'running' END LIMIT ?2)`,
		`DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox o LEFT JOIN turns t ON t.id = o.turn
		 WHERE o.created < ?1 AND o.state NOT IN ('queued', 'sending') AND coalesce(t.state, '') <> 'running' LIMIT ?2)`,
		`DELETE FROM summaries WHERE (agent, upto) IN (SELECT agent, upto FROM summaries s WHERE created < ?1 AND
		 upto < (SELECT max(upto) FROM summaries WHERE agent = s.agent) LIMIT ?2)`,
		`DELETE FROM calls WHERE n IN (SELECT c.n FROM calls c LEFT JOIN turns t ON t.id = c.turn
		 WHERE c.started < ?1 AND coalesce(t.state, '') <> 'running' LIMIT ?2)`,
		`UPDATE turns SET task = '', reply = '' WHERE n IN (SELECT n FROM turns
		 WHERE created < ?1 AND state <> 'running' AND (task <> '' OR reply <> '') LIMIT ?2)`,
	} {
		for n := int64(trimBatch); n == trimBatch; {
			res, err := s.db.ExecContext(ctx, q, before.UnixMilli(), trimBatch)
			if err == nil {
				n, err = res.RowsAffected()
			}
			if err != nil {
				return deleted, fmt.Errorf("store: delete what is old: %w", err)
			}
			deleted += n
		}
	}
	return deleted, nil
}
