package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

func (a *app) routeCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "route", Short: "Show, add and remove which role answers which chat",
		Long: "Routes stand in nanoclaw.toml ([[routes]]), which wins, or are rows: added here, or by /allow when an\n" +
			"agent proposed one. A row is for one chat, and for you alone. A running host takes changes up at once.",
	}
	var t host.Route
	add := &cobra.Command{
		Use: "add CHANNEL CHAT ROLE", Short: "Let ROLE answer your messages in a chat", Args: cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Channel, t.Chat, t.Role = args[0], host.ChatID(args[1]), host.RoleName(args[2])
			return a.changeRoutes(cmd.Context(), func(cfg *config.Config) error {
				return daemon.AddRoute(cmd.Context(), cfg, t, "nanoclaw route add")
			})
		},
	}
	add.Flags().StringVar(&t.Trigger, "trigger", "", "the word that calls it (not set: every message)")
	add.Flags().StringVar((*string)(&t.Engage), "engage", "", `"trigger", "mention", "reply" or "always"`)
	account := ""
	rm := &cobra.Command{
		Use: "rm CHANNEL CHAT", Short: "Remove the row of a chat", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeRoutes(cmd.Context(), func(cfg *config.Config) error {
				return daemon.RemoveRoute(cmd.Context(), cfg, args[0], account, host.ChatID(args[1]))
			})
		},
	}
	for cmd, to := range map[*cobra.Command]*string{add: &t.Account, rm: &account} {
		cmd.Flags().StringVar(to, "account", "", "which account of the channel, where there are several")
	}
	c.AddCommand(a.routeListCmd(), add, rm)
	return c
}

// changeRoutes makes a change and lets a running host know.
func (a *app) changeRoutes(ctx context.Context, change func(*config.Config) error) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if err := change(cfg); err != nil {
		return err
	}
	cl, err := daemon.Dial(ctx, cfg.StateDir)
	if errors.Is(err, host.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return cl.Reload(ctx)
}

func (a *app) routeListCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List all routes, and who added them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			routes, err := daemon.Routes(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(append([]daemon.ShownRoute{}, routes...))
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, r := range routes {
				by := r.Author
				if !r.Created.IsZero() {
					by += ", " + r.Created.Format(time.DateTime)
				}
				if r.Unused != "" {
					by += "; not used: " + r.Unused
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Channel, r.Chat, r.Role, r.Engage, r.Trigger, by)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
