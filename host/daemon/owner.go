package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/router"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// tellOwner says what is for the owner alone, and for him to answer: at a console, and where nobody is in
// the console that it is about, in the WhatsApp chat that he alone reads. That one must have a route: what
// is said in another chat is not heard.
func (d *Daemon) tellOwner(ctx context.Context, a host.Agent, text string) error {
	err := d.tellConsole(ctx, a, text)
	if a.Channel == console.Name && d.console.Open(a.Chat) {
		return err
	}
	for _, chat := range d.wa.OwnerChats() {
		if d.router.RoleOf(whatsapp.Name, "", chat) != "" {
			return errors.Join(err, d.router.Notify(ctx, host.Outgoing{
				Channel: whatsapp.Name, Chat: chat, Text: text, Kind: host.OutNotice,
			}))
		}
	}
	return err
}

// tellConsole says what is for the owner alone in the console chat of a, else in the open consoles.
func (d *Daemon) tellConsole(ctx context.Context, a host.Agent, text string) error {
	if a.Channel != console.Name {
		d.tell(text)
		return nil
	}
	return d.router.Notify(ctx, host.Outgoing{Channel: a.Channel, Chat: a.Chat, Text: text, Kind: host.OutNotice})
}

// commands are what the owner says to the host itself. Only the owner's own messages get here:
// nothing that a model or a skill says does.
func (d *Daemon) commands() map[string]router.Command {
	out := map[string]router.Command{
		"/help": func(_ context.Context, a host.Agent, _ host.Message, _ []string) string { return d.help(a.Role) },
		"/stop": func(_ context.Context, a host.Agent, _ host.Message, _ []string) string {
			return d.router.StopTurn(a.ID)
		},
		"/usage": func(ctx context.Context, _ host.Agent, _ host.Message, _ []string) string { return d.usage(ctx) },
	}
	maps.Copy(out, d.conversations())
	for _, verb := range []string{"allow", "always", "deny"} {
		out["/"+verb] = func(ctx context.Context, _ host.Agent, m host.Message, args []string) string {
			return d.answer(ctx, m, verb, args)
		}
	}
	return out
}

func (d *Daemon) answer(ctx context.Context, m host.Message, verb string, args []string) string {
	if len(args) == 1 {
		if n, err := strconv.ParseInt(args[0], 10, 64); err == nil && n > 0 {
			text, err := d.owner.Answer(ctx, n, verb, fmt.Sprintf("%s on %s", m.Sender, m.Channel))
			if err != nil {
				d.log.Error("answer of the owner", "approval", n, "error", err)
				return "That could not be kept, so nothing is allowed: " + err.Error() + "."
			}
			return text
		}
	}
	waiting, err := d.store.Pending(ctx)
	if err != nil {
		return "What waits for you cannot be read: " + err.Error() + "."
	}
	if len(waiting) == 0 {
		return "Nothing waits for your answer."
	}
	text := fmt.Sprintf("Write /%s and the number. These wait:", verb)
	for _, a := range waiting {
		text += fmt.Sprintf("\n  %d  %s", a.N, a.What)
	}
	return text
}

// Used is what a role used of one budget in the present day or minute.
type Used struct {
	Budget host.Budget `json:"budget"`
	Per    string      `json:"per"` // "day" or "minute"
	Used   int64       `json:"used"`
	Limit  int64       `json:"limit"` // 0 = none
}

func (u Used) String() string {
	limit := "no bound"
	if u.Limit > 0 {
		limit = fmt.Sprintf("of %d", u.Limit)
	}
	when := map[string]string{"day": "today", "minute": "in this minute"}[u.Per]
	return fmt.Sprintf("%d %s %s, %s", u.Used, u.Budget, when, limit)
}

func usageOf(ctx context.Context, s *store.Store, role *host.Role) (out []Used, err error) {
	for _, b := range host.Budgets {
		u := Used{Budget: b, Per: "day", Limit: role.Budget[b]}
		if b == host.BudgetRequests {
			u.Per = "minute"
		}
		if s != nil {
			if u.Used, err = s.Spent(ctx, role.Name, b); err != nil {
				return nil, err
			}
		}
		out = append(out, u)
	}
	return out, nil
}

// budgets is what each role used of what it may.
func (d *Daemon) budgets(ctx context.Context) (map[host.RoleName][]Used, error) {
	out := make(map[host.RoleName][]Used)
	for name, role := range d.config().Roles {
		used, err := usageOf(ctx, d.store, role)
		if err != nil {
			return nil, err
		}
		out[name] = used
	}
	return out, nil
}

func (d *Daemon) usage(ctx context.Context) string {
	budgets, err := d.budgets(ctx)
	if err != nil {
		return "The counts cannot be read: " + err.Error() + "."
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(budgets)) {
		lines = append(lines, string(name)+":")
		for _, u := range budgets[name] {
			lines = append(lines, "  "+u.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Usage says what role used of its budgets, with or without a running host.
func Usage(ctx context.Context, cfg *config.Config, role *host.Role) (out []Used, err error) {
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		out, err = usageOf(ctx, s, role)
		return err
	})
	return out, err
}

// Grants lists the rows of `/always` and what waits for an answer.
func Grants(ctx context.Context, cfg *config.Config) (rows []host.GrantRow, pending []host.Approval, err error) {
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s == nil {
			return nil
		}
		if rows, err = s.GrantRows(ctx); err == nil {
			pending, err = s.Pending(ctx)
		}
		return err
	})
	return rows, pending, err
}

// RemoveGrant takes a row of `/always` back, at once.
func RemoveGrant(ctx context.Context, cfg *config.Config, n int64) error {
	return withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s == nil {
			return fmt.Errorf("%w: there is no grant %d", host.ErrNotFound, n)
		}
		return s.RemoveGrant(ctx, n)
	})
}

// withStore opens the database beside a host that may be running; nil when there is none yet.
func withStore(ctx context.Context, state string, f func(*store.Store) error) error {
	if _, err := os.Stat(database(state)); os.IsNotExist(err) {
		return f(nil)
	}
	return inStore(ctx, state, f)
}

// database is the one file of rows in a state directory.
func database(state string) string { return filepath.Join(state, "nanoclaw.db") }

// inStore is withStore that makes the database where there is none.
func inStore(ctx context.Context, state string, f func(*store.Store) error) error {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	s, err := store.Open(ctx, database(state))
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}
