package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/failpoint"

	"modernc.org/sqlite" // registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Store is one open database. Safe for concurrent use.
type Store struct {
	db       *sql.DB
	counters *sql.DB // the same file, see Spend
	finds    *sql.DB // the same file, see Find
	spend    *sql.Stmt
	put      *sql.Stmt // of PutCall, not synced
	intend   *sql.Stmt // of PutCall, synced
	spending sync.Mutex
	leases   map[account]lease
	now      func() time.Time
}

// schema is a list of forward migrations; PRAGMA user_version counts those applied.
var schema = []string{`
CREATE TABLE agents (
	id TEXT PRIMARY KEY, role TEXT NOT NULL, channel TEXT NOT NULL, account TEXT NOT NULL,
	chat TEXT NOT NULL, created INTEGER NOT NULL);
CREATE TABLE turns (
	n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, agent TEXT NOT NULL REFERENCES agents(id),
	state TEXT NOT NULL CHECK (state IN ('running','done','failed','stopped')),
	attempts INTEGER NOT NULL DEFAULT 1, created INTEGER NOT NULL, ended INTEGER, error TEXT NOT NULL DEFAULT '');
CREATE INDEX turns_by_agent ON turns(agent, n);
CREATE TABLE messages (
	seq INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT REFERENCES agents(id), turn TEXT REFERENCES turns(id),
	channel TEXT NOT NULL, account TEXT NOT NULL, chat TEXT NOT NULL, sender TEXT NOT NULL,
	sender_name TEXT NOT NULL, external_id TEXT NOT NULL, text TEXT NOT NULL, time INTEGER NOT NULL,
	owner INTEGER NOT NULL, wakes INTEGER NOT NULL,
	UNIQUE (channel, account, chat, sender, external_id));
CREATE INDEX messages_waiting ON messages(agent, seq) WHERE turn IS NULL;
CREATE INDEX messages_by_turn ON messages(turn);
CREATE TABLE outbox (
	seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, turn TEXT REFERENCES turns(id),
	channel TEXT NOT NULL, account TEXT NOT NULL, chat TEXT NOT NULL, text TEXT NOT NULL,
	reply_to TEXT NOT NULL, kind TEXT NOT NULL, created INTEGER NOT NULL, sent INTEGER,
	state TEXT NOT NULL CHECK (state IN ('queued','sending','sent','failed','unknown')),
	error TEXT NOT NULL DEFAULT '');
CREATE INDEX outbox_open ON outbox(channel, account, chat, seq) WHERE state IN ('queued','sending');
CREATE INDEX outbox_by_turn ON outbox(turn);
CREATE TABLE kv (
	agent TEXT NOT NULL, skill TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
	PRIMARY KEY (agent, skill, key)) WITHOUT ROWID;
CREATE TABLE usage (
	role TEXT NOT NULL, day TEXT NOT NULL, tokens INTEGER NOT NULL,
	PRIMARY KEY (role, day)) WITHOUT ROWID;
`, `
CREATE TABLE spent (
	role TEXT NOT NULL, budget TEXT NOT NULL, period TEXT NOT NULL, n INTEGER NOT NULL,
	PRIMARY KEY (role, budget)) WITHOUT ROWID;
INSERT INTO spent SELECT role, 'tokens', max(day), tokens FROM usage GROUP BY role;
DROP TABLE usage;
CREATE TABLE approvals (
	n INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL, turn TEXT NOT NULL, role TEXT NOT NULL,
	skill TEXT NOT NULL, capability TEXT NOT NULL, rule TEXT NOT NULL, print TEXT NOT NULL, what TEXT NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('pending','allowed','denied','expired','used')),
	author TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL, expires INTEGER NOT NULL);
CREATE INDEX approvals_by_turn ON approvals(turn);
CREATE TABLE grants (
	n INTEGER PRIMARY KEY AUTOINCREMENT, role TEXT NOT NULL, skill TEXT NOT NULL, capability TEXT NOT NULL,
	rule TEXT NOT NULL, author TEXT NOT NULL, created INTEGER NOT NULL,
	UNIQUE (role, skill, capability, rule));
`, `
CREATE TABLE audit_head (
	one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL);
`, `
ALTER TABLE turns ADD COLUMN parent TEXT;
ALTER TABLE turns ADD COLUMN task TEXT NOT NULL DEFAULT '';
ALTER TABLE turns ADD COLUMN reply TEXT NOT NULL DEFAULT '';
CREATE INDEX turns_by_parent ON turns(parent) WHERE parent IS NOT NULL;
`, `
CREATE TABLE tasks (
	n INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL REFERENCES agents(id), prompt TEXT NOT NULL,
	schedule TEXT NOT NULL, zone TEXT NOT NULL, next INTEGER,
	state TEXT NOT NULL CHECK (state IN ('active','paused','done')), why TEXT NOT NULL,
	misfire TEXT NOT NULL CHECK (misfire IN ('skip','run-once')), gate TEXT, failures INTEGER NOT NULL,
	author TEXT NOT NULL, created INTEGER NOT NULL);
CREATE INDEX tasks_by_agent ON tasks(agent, n);
CREATE INDEX tasks_active ON tasks(next) WHERE state = 'active';
CREATE TABLE runs (
	n INTEGER PRIMARY KEY AUTOINCREMENT, task INTEGER NOT NULL REFERENCES tasks(n) ON DELETE CASCADE,
	due INTEGER NOT NULL, started INTEGER, ended INTEGER, message TEXT,
	outcome TEXT NOT NULL CHECK (outcome IN ('','ok','failed','gated','missed')), error TEXT NOT NULL, turn TEXT,
	UNIQUE (task, due));
CREATE INDEX runs_open ON runs(task) WHERE outcome = '';
`, `
ALTER TABLE turns ADD COLUMN ended_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE turns ADD COLUMN next INTEGER NOT NULL DEFAULT 0;
CREATE TABLE calls (
	n INTEGER PRIMARY KEY, turn TEXT NOT NULL, attempt INTEGER NOT NULL, place TEXT NOT NULL,
	skill TEXT NOT NULL, capability TEXT NOT NULL, target TEXT NOT NULL, print TEXT NOT NULL,
	outside INTEGER NOT NULL, acted INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('begun','done','unknown')),
	status INTEGER NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
	started INTEGER NOT NULL, ended INTEGER NOT NULL, answer BLOB);
CREATE INDEX calls_by_turn ON calls(turn, n);
`, historySchema, `
CREATE TABLE chats (
	channel TEXT NOT NULL, account TEXT NOT NULL, chat TEXT NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL,
	PRIMARY KEY (channel, account, chat)) WITHOUT ROWID;
CREATE INDEX chats_by_last ON chats(last);
CREATE TABLE routes (
	channel TEXT NOT NULL, account TEXT NOT NULL, chat TEXT NOT NULL, role TEXT NOT NULL, engage TEXT NOT NULL,
	word TEXT NOT NULL, author TEXT NOT NULL, created INTEGER NOT NULL,
	PRIMARY KEY (channel, account, chat)) WITHOUT ROWID;
`, `
ALTER TABLE turns ADD COLUMN tools TEXT NOT NULL DEFAULT '[]';
`, fileSchema}

// Open opens or creates the database at path, mode 0600, and brings its schema forward.
func Open(ctx context.Context, path string) (*Store, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil { // a symlink is somebody else's file
		return nil, fmt.Errorf("store: %w", err)
	}
	f.Close()
	journal := "WAL"
	if host.InSandbox() {
		journal = "DELETE" // a WAL is shared memory, which the shared folder of a microVM has not
	}
	dsn := "file:" + path + "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(" + journal +
		")&_pragma=foreign_keys(1)&_pragma=synchronous"
	s := &Store{now: time.Now, leases: make(map[account]lease)}
	for mode, db := range map[string]**sql.DB{
		"(FULL)": &s.db, "(NORMAL)": &s.counters, "(FULL)&_pragma=query_only(1)": &s.finds,
	} {
		if *db, err = sql.Open("sqlite", dsn+mode); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		(*db).SetMaxOpenConns(1)
	}
	err = s.migrate(ctx, path)
	for _, p := range []struct {
		stmt **sql.Stmt
		db   *sql.DB
		sql  string
	}{{&s.spend, s.counters, spendSQL}, {&s.put, s.counters, putCall}, {&s.intend, s.db, putCall}} {
		if err == nil {
			*p.stmt, err = p.db.PrepareContext(ctx, p.sql)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, errors.Join(damage(err), err, s.Close()))
	}
	return s, nil
}

// damage says what to do about a file that is no sound database; nil when that is not it.
func damage(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_CORRUPT && e.Code()&0xff != sqlite3.SQLITE_NOTADB {
		return nil
	}
	return fmt.Errorf("%w: the database is damaged; move it and its -wal and -shm files away, or put a copy of them there",
		host.ErrInvalid)
}

// Close closes the database.
func (s *Store) Close() error { return errors.Join(s.finds.Close(), s.counters.Close(), s.db.Close()) }

func (s *Store) migrate(ctx context.Context, path string) error {
	var have int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > len(schema) {
		return fmt.Errorf("%w: schema %d is newer than this program's %d; use the newer nanoclaw",
			host.ErrInvalid, have, len(schema))
	}
	if have > 0 && have < len(schema) {
		if err := s.backup(ctx, path, have); err != nil {
			return err
		}
	}
	for i := have; i < len(schema); i++ {
		err := s.tx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, schema[i]); err != nil {
				return err
			}
			failpoint.Hit(failpoint.Migration)
			_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", i+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("migration %d: %w", i+1, err)
		}
	}
	return nil
}

// tx runs f in one transaction: all of it or nothing.
func (s *Store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	return tx.Commit()
}

func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}
