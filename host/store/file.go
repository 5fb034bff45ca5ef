package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
)

// fileSchema: a file belongs to the message that it came with, or to the outbox row that sends it, and
// its row goes with that.
const fileSchema = `
CREATE TABLE files (
	n INTEGER PRIMARY KEY, message INTEGER REFERENCES messages(seq) ON DELETE CASCADE,
	outgoing TEXT UNIQUE REFERENCES outbox(id) ON DELETE CASCADE, agent TEXT,
	digest TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL, size INTEGER NOT NULL);
CREATE INDEX files_by_message ON files(message) WHERE message IS NOT NULL;
CREATE INDEX files_by_agent ON files(agent, name) WHERE agent IS NOT NULL;
CREATE INDEX files_by_digest ON files(digest);
`

func addFile(ctx context.Context, tx *sql.Tx, message any, outgoing any, agent string, f host.File) error {
	_, err := tx.ExecContext(ctx,
		`INSERT INTO files (message, outgoing, agent, digest, name, type, size) VALUES (?,?,?,?,?,?,?)`,
		message, outgoing, null(agent), f.Digest, f.Name, f.Type, f.Size)
	return err
}

// addFiles gives the messages of a turn their files.
func addFiles(ctx context.Context, tx *sql.Tx, t *Turn) error {
	type row struct {
		seq int64
		host.File
	}
	rows, err := query(ctx, tx, func(r *sql.Rows) (f row, err error) {
		err = r.Scan(&f.seq, &f.Digest, &f.Name, &f.Type, &f.Size)
		return f, err
	}, `SELECT f.message, f.digest, f.name, f.type, f.size FROM messages m JOIN files f ON f.message = m.seq
		WHERE m.turn = ? ORDER BY f.n`, t.ID)
	for _, f := range rows {
		for i := range t.Messages {
			if m := &t.Messages[i]; m.Seq == f.seq {
				m.Files = append(m.Files, f.File)
			}
		}
	}
	return err
}

// Known reports whether m is stored already.
func (s *Store) Known(ctx context.Context, m host.Message) (known bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM messages
		WHERE channel = ? AND account = ? AND chat = ? AND sender = ? AND external_id = ?)`,
		m.Channel, m.Account, m.Chat, m.Sender, m.ExternalID).Scan(&known)
	return known, err
}

// FileUsed reports whether a row names d.
func (s *Store) FileUsed(ctx context.Context, d host.Digest) (used bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM files WHERE digest = ?)`, d).Scan(&used)
	return used, err
}

// AgentBytes sums up the files that came to agent, each content once.
func (s *Store) AgentBytes(ctx context.Context, agent host.AgentID) (n int64, err error) {
	err = s.db.QueryRowContext(ctx,
		`SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT digest, size FROM files WHERE agent = ?)`, agent).Scan(&n)
	return n, err
}

// AgentFile returns a file that came to agent, of its name, or host.ErrNotFound: no agent has another's.
func (s *Store) AgentFile(ctx context.Context, agent host.AgentID, name string) (host.File, error) {
	files, err := s.agentFiles(ctx, `agent = ? AND name = ? LIMIT 1`, agent, name)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%w: no such file came to the agent", host.ErrNotFound)
	}
	if err != nil {
		return host.File{}, err
	}
	return files[0], nil
}

// AgentFiles lists the files that came to agent.
func (s *Store) AgentFiles(ctx context.Context, agent host.AgentID) ([]host.File, error) {
	return s.agentFiles(ctx, `agent = ? ORDER BY n`, agent)
}

func (s *Store) agentFiles(ctx context.Context, where string, args ...any) ([]host.File, error) {
	return query(ctx, s.db, func(r *sql.Rows) (f host.File, err error) {
		err = r.Scan(&f.Digest, &f.Name, &f.Type, &f.Size)
		return f, err
	}, `SELECT digest, name, type, size FROM files WHERE `+where, args...)
}
