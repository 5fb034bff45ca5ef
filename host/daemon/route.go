package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// useRoutes puts the routes of the configuration and the rows in force.
func (d *Daemon) useRoutes(ctx context.Context) {
	rows, err := d.store.RouteRows(ctx)
	if err != nil {
		d.log.Error("the routes stay as they are", "error", err)
		return
	}
	d.router.SetRoutes(routes(d.config(), rows))
}

// routes are the configured ones, which win, then the rows that are still right; the owner's own
// console reaches main where none says otherwise.
func routes(cfg *config.Config, rows []host.RouteRow) []host.Route {
	out := slices.Clone(cfg.Routes)
	for _, r := range rows {
		if t, err := cfg.CheckRoute(r.Route()); err == nil {
			out = append(out, t)
		}
	}
	if _, ok := cfg.Roles["main"]; ok {
		out = append(out, host.Route{Channel: console.Name, Chat: "*", Role: "main"})
	}
	return out
}

// maxChats is how many chats an agent is told of.
const maxChats = 200

// messenger is broker.Messenger.
type messenger struct{ d *Daemon }

func (m messenger) Send(ctx context.Context, o host.Outgoing) error { return m.d.router.Notify(ctx, o) }

func (m messenger) Chats(ctx context.Context) ([]wire.Chat, error) {
	chats, err := m.d.store.Chats(ctx, maxChats)
	out := make([]wire.Chat, len(chats))
	for i, c := range chats {
		out[i] = wire.Chat{
			Channel: c.Channel, Account: c.Account, Chat: string(c.Chat), Name: c.Name,
			Last: c.Last.UTC().Format(time.RFC3339), Role: string(m.d.router.RoleOf(c.Channel, c.Account, c.Chat)),
		}
	}
	return out, err
}

func (m messenger) CheckRoute(t host.Route) (host.Route, error) { return m.d.config().CheckRoute(t) }

func (m messenger) AddRoute(ctx context.Context, t host.Route, author string) error {
	if err := m.d.store.PutRoute(ctx, rowOf(t, author)); err != nil {
		return err
	}
	m.d.useRoutes(ctx)
	return nil
}

func rowOf(t host.Route, author string) host.RouteRow {
	return host.RouteRow{
		Channel: t.Channel, Account: t.Account, Chat: t.Chat, Role: t.Role, Engage: t.Engage, Trigger: t.Trigger,
		Author: author,
	}
}

// ShownRoute is a route of the file or a row.
type ShownRoute struct {
	host.RouteRow
	Senders []string `json:"senders"`
	Others  string   `json:"others"` // "drop" or "context"
	Unused  string   `json:"unused"` // why a row is not in force; "" = it is
}

// Routes lists the routes of the configuration, then the rows.
func Routes(ctx context.Context, cfg *config.Config) (out []ShownRoute, err error) {
	for _, t := range cfg.Routes {
		s := ShownRoute{RouteRow: rowOf(t, cfg.Path), Senders: append([]string{}, t.Senders...), Others: "drop"}
		if t.Others {
			s.Others = "context"
		}
		out = append(out, s)
	}
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s == nil {
			return nil
		}
		rows, err := s.RouteRows(ctx)
		for _, r := range rows {
			shown := ShownRoute{RouteRow: r, Senders: []string{}, Others: "drop"}
			if _, err := cfg.CheckRoute(r.Route()); err != nil {
				shown.Unused = err.Error()
			}
			out = append(out, shown)
		}
		return err
	})
	return out, err
}

// AddRoute adds a row. A host that runs takes it up when it is asked to reload.
func AddRoute(ctx context.Context, cfg *config.Config, t host.Route, author string) error {
	t, err := cfg.CheckRoute(t)
	if err != nil {
		return err
	}
	return inStore(ctx, cfg.StateDir, func(s *store.Store) error { return s.PutRoute(ctx, rowOf(t, author)) })
}

// RemoveRoute takes a row away.
func RemoveRoute(ctx context.Context, cfg *config.Config, channel, account string, chat host.ChatID) error {
	err := error(host.ErrNotFound)
	if e := withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s != nil {
			err = s.RemoveRoute(ctx, channel, account, chat)
		}
		return nil
	}); e != nil {
		return e
	}
	if errors.Is(err, host.ErrNotFound) {
		return fmt.Errorf("%w: no row routes chat %s of %s; routes of %s are changed there",
			host.ErrNotFound, chat, channel, cfg.Path)
	}
	return err
}
