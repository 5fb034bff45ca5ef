package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func (a *app) turnCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "turn", Short: "Show turns and what was done in them, and run failed ones again",
		Long: `Show turns and what was done in them, and run failed ones again.

A turn is one input to one reply. It fails for good when it was denied, is invalid, or found no
answer in six attempts: after 5, 10, 20, 40 and 80 seconds. ID may be the beginning of one.`,
		Args: usageArgs(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.turnListCmd(), a.turnShowCmd(), a.turnRetryCmd())
	return c
}

func (a *app) turnListCmd() *cobra.Command {
	var asJSON bool
	var f host.TurnFilter
	c := &cobra.Command{
		Use: "list", Short: "List turns, newest first", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if f.Last < 1 {
				return &exitError{exitUsage, fmt.Errorf("-n %d: write a number from 1", f.Last)}
			}
			turns, err := daemon.Turns(cmd.Context(), cfg, f)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(append([]host.TurnRow{}, turns...))
			}
			if len(turns) == 0 {
				fmt.Fprintln(a.stderr, "no turn matches")
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TURN\tBEGAN\tTOOK\tSTATE\tATTEMPTS\tAGENT\tWHY")
			for _, t := range turns {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", t.ID, t.Created.Format(time.DateTime), took(t.Created, t.Ended),
					t.State, t.Attempts, printable(string(t.Agent)), printable(cut(t.Error, 80)))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&f.Failed, "failed", false, "only those that failed: 'turn retry' runs them again")
	c.Flags().StringVar(&f.Agent, "agent", "", "only those of the agent whose ID begins so")
	c.Flags().IntVarP(&f.Last, "last", "n", 20, "at most so many")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) turnShowCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show ID", Short: "Show what was said in a turn, each capability call of it, and what was answered",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			t, err := daemon.TurnOf(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(t)
			}
			return showTurn(a.stdout, t, "")
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// showTurn prints a turn for a terminal, and below it the turns that it gave to other roles. What
// people, models and skills wrote is escaped.
func showTurn(out io.Writer, t host.TurnRow, indent string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(k string, v ...any) { fmt.Fprintf(w, "%s%s\t%s\n", indent, k, printable(fmt.Sprint(v...))) }
	row("turn", t.ID)
	row("agent", t.Agent)
	row("state", t.State, ", attempt ", t.Attempts)
	row("began", t.Created.Format(time.DateTime), ", took ", took(t.Created, t.Ended))
	if t.Error != "" {
		row("error", t.Error)
	}
	if !t.Next.IsZero() {
		row("next", "attempt at ", t.Next.Format(time.DateTime))
	}
	for _, m := range t.Messages {
		row("in", m.From, ": ", m.Text)
	}
	for _, c := range t.Calls {
		tokens := ""
		if c.TokensIn+c.TokensOut > 0 {
			tokens = fmt.Sprintf(", %d tokens in, %d out", c.TokensIn, c.TokensOut)
		}
		row("call", c.Attempt, "/", c.Place, " ", c.Skill, " ", c.Capability, " ", cmp.Or(c.Target, "-"), ": ",
			callState(t, c), ", ", took(c.Started, c.Ended), tokens)
	}
	for _, tool := range t.Tools {
		row("tool", tool.Name, ", ", tool.At.Sub(t.Created).Round(time.Millisecond), " after the beginning")
	}
	for _, o := range t.Replies {
		row(o.From, strings.TrimPrefix(o.State+": ", ": "), o.Text)
	}
	for _, child := range t.Children {
		fmt.Fprintln(w)
		if err := errors.Join(w.Flush(), showTurn(out, child, indent+"  ")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// callState is how a call ended, in a word.
func callState(t host.TurnRow, c host.CallRow) string {
	switch {
	case c.State == host.CallBegun && t.State == "running" && c.Attempt == t.Attempts:
		return "begun"
	case c.State == host.CallDone && c.Status == wire.StatusOK:
		return "ok"
	case c.State == host.CallDone:
		return c.Status.String()
	}
	return "unknown: it may have happened"
}

func took(from, to time.Time) string {
	if to.IsZero() {
		return "not over"
	}
	return to.Sub(from).Round(time.Millisecond).String()
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func (a *app) turnRetryCmd() *cobra.Command {
	return &cobra.Command{
		Use: "retry ID", Short: "Run a failed turn again, before what waits for its agent",
		Long: `Run a failed turn again, before what waits for its agent.

What its attempts did is not done twice: calls are answered as they were, up to the first that
failed or differs. A call whose outcome is not known is not repeated; its skill is told so.`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			t, now, err := daemon.RetryTurn(cmd.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			when := "It is run when a host starts: none runs now."
			if now {
				when = "It is being run; the answer goes to its chat."
			}
			fmt.Fprintln(a.stdout, "Turn", t.ID, "is put back.", when)
			return nil
		},
	}
}
