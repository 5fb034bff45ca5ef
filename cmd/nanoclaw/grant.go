package main

import (
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

func (a *app) grantCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "grant", Short: "Show and take back what you allowed with /always",
		Long: "Grants that ask (ask = true in nanoclaw.toml) wait for /allow N, /always N or /deny N in a chat of yours.\n" +
			"/always adds a row for exactly that skill, method and address; this lists the rows and takes them back.",
	}
	c.AddCommand(a.grantListCmd(), a.grantRmCmd())
	return c
}

func (a *app) grantListCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List what is always allowed, and what waits for your answer", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			rows, pending, err := daemon.Grants(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(struct {
					Grants  []host.GrantRow `json:"grants"`
					Pending []host.Approval `json:"pending"`
				}{append([]host.GrantRow{}, rows...), append([]host.Approval{}, pending...)})
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, g := range rows {
				fmt.Fprintf(w, "%d\talways\t%s\t%s\t%s\t%s, %s\n", g.N, g.Role, g.Skill, g.Rule, g.Author,
					g.Created.Format(time.DateTime))
			}
			for _, p := range pending {
				fmt.Fprintf(w, "%d\twaits\t%s\t%s\t%s\tuntil %s\n", p.N, p.Role, p.Skill, p.What, p.Expires.Format(time.TimeOnly))
			}
			if len(rows)+len(pending) == 0 {
				fmt.Fprintln(a.stderr, "nothing is always allowed, and nothing waits for your answer")
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) grantRmCmd() *cobra.Command {
	return &cobra.Command{
		Use: "rm N", Short: "Take a row of /always back: you are asked again, from the next request on",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return &exitError{exitUsage, fmt.Errorf("%q is no number of a grant; see nanoclaw grant list", args[0])}
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return daemon.RemoveGrant(cmd.Context(), cfg, n)
		},
	}
}
