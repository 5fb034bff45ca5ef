package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/nanoclaw/nanoclaw/host"
)

// KVGet returns the value of a skill's key in one agent, or host.ErrNotFound.
func (s *Store) KVGet(ctx context.Context, agent host.AgentID, skill host.SkillName, key string) (string, error) {
	var v string
	err := s.db.QueryRowContext(ctx, `SELECT value FROM kv WHERE agent = ? AND skill = ? AND key = ?`,
		agent, skill, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return "", host.ErrNotFound
	}
	return v, err
}

// KVPut sets a key.
func (s *Store) KVPut(ctx context.Context, agent host.AgentID, skill host.SkillName, key, value string) error {
	_, err := s.db.ExecContext(ctx,
		`INSERT INTO kv (agent, skill, key, value) VALUES (?,?,?,?)
		 ON CONFLICT (agent, skill, key) DO UPDATE SET value = excluded.value`, agent, skill, key, value)
	return err
}

// KVDelete removes a key; a missing one is no error.
func (s *Store) KVDelete(ctx context.Context, agent host.AgentID, skill host.SkillName, key string) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM kv WHERE agent = ? AND skill = ? AND key = ?`, agent, skill, key)
	return err
}

// KVList returns at most limit keys that begin with prefix, sorted.
func (s *Store) KVList(
	ctx context.Context, agent host.AgentID, skill host.SkillName, prefix string, limit int,
) ([]string, error) {
	return query(ctx, s.db, func(r *sql.Rows) (k string, err error) { return k, r.Scan(&k) },
		`SELECT key FROM kv WHERE agent = ?1 AND skill = ?2 AND substr(key, 1, length(?3)) = ?3
		 ORDER BY key LIMIT ?4`, agent, skill, prefix, limit)
}
