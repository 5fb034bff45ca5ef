//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"go.mau.fi/whatsmeow/types"

	"github.com/nanoclaw/nanoclaw/host"
)

// person is one person or group under all names that are known.
type person struct {
	id   string   // stable: the name it was first seen under
	also []string // its other names: LID, phone number as a JID, "+" and digits
}

// person finds who jid is; alt is another name of the same, or empty.
func (s *session) person(jid, alt types.JID) (person, error) {
	if jid.Server != types.DefaultUserServer && jid.Server != types.HiddenUserServer {
		return person{id: jid.String()}, nil
	}
	var lid, pn types.JID
	for _, j := range []types.JID{jid, alt} {
		switch j = j.ToNonAD(); j.Server {
		case types.HiddenUserServer:
			lid = j
		case types.DefaultUserServer:
			pn = j
		}
	}
	var err error
	switch {
	case lid.IsEmpty():
		lid, err = s.cli.Store.LIDs.GetLIDForPN(s.ctx, pn)
	case pn.IsEmpty():
		pn, err = s.cli.Store.LIDs.GetPNForLID(s.ctx, lid)
	}
	if err != nil {
		return person{}, fmt.Errorf("whatsapp: names of %s: %w", jid, err)
	}
	var known []string // the name that is to be the ID of whoever is new first
	for _, j := range []types.JID{lid, pn} {
		if !j.IsEmpty() {
			known = append(known, j.ToNonAD().String())
		}
	}
	id, merged, err := s.keys.identify(s.ctx, known)
	if err != nil {
		return person{}, fmt.Errorf("whatsapp: names of %s: %w", jid, err)
	}
	if merged != "" {
		s.w.cfg.Notice(fmt.Sprintf("the WhatsApp chats %s and %s are one person's; they go on as %s, which gets the files "+
			"and the history of the other when this host starts again", id, merged, id))
	}
	p := person{id: id}
	if !pn.IsEmpty() {
		known = append(known, "+"+pn.User)
	}
	for _, n := range known {
		if n != id {
			p.also = append(p.also, n)
		}
	}
	return p, nil
}

// identify returns the ID of whoever has these names, one of them at least. merged is another ID that
// turned out to be the same person's: the older one stays.
func (k *keys) identify(ctx context.Context, names []string) (id, merged string, err error) {
	tx, err := k.db.BeginTx(ctx, nil)
	if err != nil {
		return "", "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	first, ids := int64(0), map[string]string{}
	for _, name := range names {
		var at string
		var n int64
		switch err := tx.QueryRowContext(ctx, `SELECT id, n FROM nanoclaw_names WHERE jid = ?`, name).Scan(&at, &n); {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return "", "", err
		}
		ids[name] = at
		if id == "" || n < first {
			id, first, merged = at, n, id
		} else if at != id {
			merged = at
		}
	}
	if id == "" {
		id = names[0]
	}
	for _, name := range names {
		if ids[name] == id {
			continue
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO nanoclaw_names (jid, id, n) VALUES (?1, ?2, coalesce(
				(SELECT n FROM nanoclaw_names WHERE jid = ?2), (SELECT 1 + coalesce(max(n), 0) FROM nanoclaw_names)))
			ON CONFLICT (jid) DO UPDATE SET id = excluded.id, n = excluded.n`, name, id)
		if err != nil {
			return "", "", err
		}
	}
	return id, merged, tx.Commit()
}

// Renamed are the chats that are known by an older name, with that.
func Renamed(ctx context.Context, cfg Config) (ids map[host.ChatID]host.ChatID, err error) {
	if !exists(cfg.Path) {
		return nil, nil
	}
	k, err := openKeys(ctx, cfg.Path, cfg.Log)
	if err != nil {
		return nil, err
	}
	defer k.close()
	rows, err := k.db.QueryContext(ctx, `SELECT jid, id FROM nanoclaw_names WHERE jid <> id`)
	if err != nil {
		return nil, fmt.Errorf("whatsapp: %w", err)
	}
	defer rows.Close()
	ids = make(map[host.ChatID]host.ChatID)
	for rows.Next() {
		var jid, id host.ChatID
		if err := rows.Scan(&jid, &id); err != nil {
			return nil, fmt.Errorf("whatsapp: %w", err)
		}
		ids[jid] = id
	}
	return ids, rows.Err()
}

// chatJID is the address of a chat as the router, a route or a grant names it.
func chatJID(chat host.ChatID) (types.JID, error) {
	if number, ok := cutNumber(string(chat)); ok {
		return types.NewJID(number, types.DefaultUserServer), nil
	}
	jid, err := types.ParseJID(string(chat))
	if err == nil && jid.User != "" && jid.Device == 0 {
		switch jid.Server {
		case types.DefaultUserServer, types.HiddenUserServer, types.GroupServer:
			return jid, nil
		}
	}
	return types.JID{}, fmt.Errorf("%w: %q is no chat of WhatsApp: it is +NUMBER, …@s.whatsapp.net, …@lid or …@g.us",
		host.ErrInvalid, chat)
}
