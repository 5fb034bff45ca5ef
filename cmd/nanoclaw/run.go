package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

func (a *app) runCmd() *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use: "run", Short: "Run the host in the foreground", Args: cobra.NoArgs,
		Long: `Run the host in the foreground until SIGTERM or Ctrl-C.

A clean stop lets running turns finish for a moment, puts the others back for the next
start, and removes every container. Nothing is installed: see "nanoclaw doctor --fix".

What changes in the plugins folder or in the configuration is taken up at once for the
turns that begin then; SIGHUP makes it look again.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if a.log.GetLevel() == hclog.Warn {
				a.log.SetLevel(hclog.Info)
			}
			if wait > 0 && cfg.Engine.Runtime != daemon.RuntimeNone {
				if err := a.awaitDocker(cmd.Context(), wait); err != nil {
					return err
				}
			}
			d, err := a.startHost(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			a.log.Info("ready", "state", cfg.StateDir, "config", cfg.Path)
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			for ctx := cmd.Context(); ctx.Err() == nil; {
				select {
				case <-hup:
					d.Reload()
				case <-ctx.Done():
				}
			}
			a.log.Info("stopping")
			d.Stop()
			return nil
		},
	}
	c.Flags().DurationVar(&wait, "wait-docker", 0, "how long to wait for a Docker daemon to answer, as at boot")
	return c
}

// sweepCmd is what a host leaves behind for the case that it is killed; see host/daemon/sweep.go.
func (a *app) sweepCmd() *cobra.Command {
	return &cobra.Command{
		Use: "sweep INSTALL PROCESS", Hidden: true, Args: usageArgs(cobra.ExactArgs(2)),
		Short: "Remove the containers of a host process that is gone",
		RunE: func(cmd *cobra.Command, args []string) error {
			return daemon.Sweep(cmd.Context(), args[0], args[1], a.log)
		},
	}
}

// startHost starts a host in this process. Its first words about missing layers go to stderr.
func (a *app) startHost(ctx context.Context, cfg *config.Config) (*daemon.Daemon, error) {
	if err := a.logToFile(cfg); err != nil {
		return nil, err
	}
	var retry []time.Duration
	for _, s := range strings.Fields(Retries) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, err
		}
		retry = append(retry, d)
	}
	return daemon.Start(ctx, daemon.Options{
		Config: cfg, Log: a.log, Vault: a.vault, Version: Version, Retry: retry,
		Notice: func(s string) { fmt.Fprintln(a.stderr, "nanoclaw:", s) },
	})
}

func (a *app) statusCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "Show what the running host is doing", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			cl, err := daemon.Dial(cmd.Context(), cfg.StateDir)
			if err != nil {
				return fmt.Errorf("%w; start one with 'nanoclaw run'", err)
			}
			s, err := cl.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			return a.printStatus(s)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (a *app) printStatus(s daemon.Status) error {
	layers := "container per turn (" + s.Runtime + "), WASM per tool call, all traffic through the broker"
	if !s.Isolated {
		layers = "WASM per tool call and the broker ONLY: engine.runtime is \"none\", agents are not in containers"
	}
	if len(s.Kept) > 0 {
		layers += fmt.Sprintf("; no single use in %v, whose containers serve one turn after the other", s.Kept)
	}
	if host.InSandbox() {
		layers = "microVM sandbox, " + layers
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(k string, v ...any) { fmt.Fprintf(w, "%s\t%s\n", k, printable(fmt.Sprint(v...))) }
	row("host", "nanoclaw ", s.Version, ", pid ", s.PID, ", up ", time.Since(s.Started).Round(time.Second))
	row("config", s.Config)
	row("state", s.State)
	row("layers", layers)
	row("engine", s.Engine)
	row("agents", s.Agents, " known, ", s.Working, " working, ", s.Containers, " containers, ", s.Spares, " spare")
	row("messages", s.Messages, ", ", s.Waiting, " waiting")
	row("turns", s.Turns, ", ", s.Failed, " failed")
	row("outbox", s.Outbox, " to send, ", s.Unknown, " with unknown outcome")
	row("channels", strings.Join(s.Channels, ", "))
	for _, role := range slices.Sorted(maps.Keys(s.Budgets)) {
		var used []string
		for _, u := range s.Budgets[role] {
			used = append(used, u.String())
		}
		row("budget", role, ": ", strings.Join(used, "; "))
	}
	for _, q := range s.Pending {
		row("asks", q.N, "  ", q.What, " (/allow ", q.N, " or /deny ", q.N, ")")
	}
	for _, k := range s.Skills {
		row("skill", strings.TrimSpace(k.File+" "+k.State+" "+k.Why))
	}
	return w.Flush()
}

func (a *app) resetCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "reset", Short: "Delete this installation's state: messages, agents' files, caches", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return a.reset(cmd.Context(), cfg, yes)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (a *app) reset(ctx context.Context, cfg *config.Config, yes bool) error {
	entries, err := os.ReadDir(cfg.StateDir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		fmt.Fprintln(a.stdout, "Nothing to delete in", cfg.StateDir)
		return nil
	}
	if err != nil {
		return err
	}
	if cl, err := daemon.Dial(ctx, cfg.StateDir); err == nil {
		s, _ := cl.Status(ctx)
		return fmt.Errorf("%w: a host (pid %d) runs on %s; stop it first", host.ErrBusy, s.PID, cfg.StateDir)
	}
	if !daemon.IsState(cfg.StateDir) {
		return fmt.Errorf("%w: %s does not look like a state directory of nanoclaw (no install-id); nothing was deleted",
			host.ErrInvalid, cfg.StateDir)
	}
	fmt.Fprintln(a.stdout, "This deletes, in", cfg.StateDir+":")
	for _, e := range entries {
		fmt.Fprintf(a.stdout, "  %-14s %s\n", e.Name(), daemon.StateEntry(e.Name()))
	}
	if ok, err := a.confirm("Delete all of it?", yes); err != nil || !ok {
		return err
	}
	if err := daemon.Reset(cfg.StateDir); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, "Deleted. The configuration and plugins/ are untouched.")
	return nil
}

// isTerminal reports whether a stream of the program is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks on the terminal. Without one, and without --yes, the answer is an error.
func (a *app) confirm(question string, yes bool) (bool, error) {
	if yes {
		return true, nil
	}
	if !isTerminal(a.stdin) {
		return false, &exitError{exitUsage, errors.New("there is no terminal to ask on; say --yes")}
	}
	fmt.Fprint(a.stdout, question+" [y/N] ")
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	fmt.Fprintln(a.stdout, "Left as it is.")
	return false, nil
}
