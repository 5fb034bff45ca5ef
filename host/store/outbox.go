package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
)

// Enqueue puts the parts of a message that is no turn's reply into the outbox. Where one with the
// same ID was put there before, nothing is: a turn that is run again sends nothing twice.
func (s *Store) Enqueue(ctx context.Context, parts ...host.Outgoing) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		var before bool
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM outbox WHERE id = ?)`, parts[0].ID).Scan(&before)
		if err != nil || before {
			return err
		}
		for _, o := range parts {
			if err := s.enqueue(ctx, tx, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) enqueue(ctx context.Context, tx *sql.Tx, o host.Outgoing) error {
	_, err := tx.ExecContext(ctx,
		`INSERT INTO outbox (id, turn, channel, account, chat, text, reply_to, kind, created, state)
		 VALUES (?,?,?,?,?,?,?,?,?,'queued')`,
		o.ID, null(string(o.Turn)), o.Channel, o.Account, o.Chat, o.Text, o.ReplyTo, o.Kind, s.now().UnixMilli())
	if err == nil && o.File != nil {
		err = addFile(ctx, tx, nil, o.ID, "", *o.File)
	}
	if err != nil {
		return fmt.Errorf("store: outbox: %w", err)
	}
	return nil
}

// Sendable lists the oldest queued message of every chat that has none on its way:
// order holds within a chat, and no chat waits for another.
func (s *Store) Sendable(ctx context.Context) ([]host.Outgoing, error) {
	return query(ctx, s.db, scanOutgoing,
		`SELECT seq, id, coalesce(turn, ''), channel, account, chat, text, reply_to, kind, coalesce(digest, ''),
		 coalesce(name, ''), coalesce(type, ''), coalesce(size, 0) FROM outbox LEFT JOIN files ON outgoing = id
		 WHERE state = 'queued' AND seq IN
		 (SELECT min(seq) FROM outbox WHERE state IN ('queued','sending') GROUP BY channel, account, chat)
		 ORDER BY seq`)
}

func scanOutgoing(r *sql.Rows) (o host.Outgoing, err error) {
	var f host.File
	err = r.Scan(&o.Seq, &o.ID, &o.Turn, &o.Channel, &o.Account, &o.Chat, &o.Text, &o.ReplyTo, &o.Kind,
		&f.Digest, &f.Name, &f.Type, &f.Size)
	if f.Digest != "" {
		o.File = &f
	}
	return o, err
}

// SendState is where an outbox row stands.
type SendState string

// States. A row that was Sending when the host died becomes Unknown and is never sent again by itself.
const (
	Queued  SendState = "queued"
	Sending SendState = "sending"
	Sent    SendState = "sent"
	Undone  SendState = "failed"
	Unknown SendState = "unknown"
)

// Mark moves one outbox row to state.
func (s *Store) Mark(ctx context.Context, id host.MessageID, state SendState, reason string) error {
	var sent sql.NullInt64
	if state == Sent {
		sent = sql.NullInt64{Int64: s.now().UnixMilli(), Valid: true}
	}
	_, err := s.db.ExecContext(ctx, `UPDATE outbox SET state = ?, error = ?, sent = ? WHERE id = ?`,
		state, reason, sent, id)
	if err != nil {
		return fmt.Errorf("store: outbox %s: %w", id, err)
	}
	return nil
}

// Recover is called once at start: sends that the last host began and did not see end
// become unknown. It returns how many.
func (s *Store) Recover(ctx context.Context) (int64, error) {
	_, err := s.db.ExecContext(ctx, // the turn that asked for them runs again, and asks again
		`UPDATE turns SET state = 'failed', error = 'the host ended' WHERE parent IS NOT NULL AND state = 'running'`)
	if err != nil {
		return 0, fmt.Errorf("store: recover: %w", err)
	}
	res, err := s.db.ExecContext(ctx,
		`UPDATE outbox SET state = 'unknown', error = 'the host stopped while it was being sent' WHERE state = 'sending'`)
	if err != nil {
		return 0, fmt.Errorf("store: recover: %w", err)
	}
	return res.RowsAffected()
}
