package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/secret"
)

func (a *app) historyCmd() *cobra.Command {
	var f host.Find
	var since string
	var asJSON bool
	c := &cobra.Command{
		Use: "history [QUERY]", Short: "Show what was said, in all chats", Args: cobra.ArbitraryArgs,
		Long: `Show what was said, newest last: by you and others, and by the agents.

QUERY is words, all of which a message must have; three letters and more are the beginning
of a word. It needs no running host. What is older than [store] keep_messages is gone.`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cfg, err := a.loadConfig()
			if err == nil {
				f.Since, err = parseSince(since)
			}
			if err != nil {
				return err
			}
			if f.Query = strings.Join(args, " "); f.Limit < 1 {
				return &exitError{exitUsage, errors.New("-n must be at least 1")}
			}
			found, err := daemon.History(cmd.Context(), cfg.StateDir, f)
			if err != nil {
				return err
			}
			slices.Reverse(found)
			if asJSON {
				return a.printJSON(append([]host.Found{}, found...))
			}
			for _, m := range found {
				who := printable(cmp.Or(m.Sender, m.Role))
				fmt.Fprintf(a.stdout, "%s  %s %s  %s: %s\n", m.Time.Local().Format(time.DateTime), printable(m.Channel),
					printable(string(m.Chat)), who, printable(strings.Join(strings.Fields(m.Text), " ")))
			}
			return nil
		},
	}
	c.Flags().StringVar((*string)(&f.Agent), "agent", "", "only of this agent; its ID, as in the audit log")
	c.Flags().StringVar((*string)(&f.Chat), "chat", "", "only this chat")
	c.Flags().StringVar(&since, "since", "", "only since then: 90m, 24h, or 2006-01-02T15:04:05Z")
	c.Flags().IntVarP(&f.Limit, "last", "n", 50, "only so many messages")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// parseSince reads --since: how long ago, or when; "" is the zero time.
func parseSince(s string) (t time.Time, err error) {
	if d, err := time.ParseDuration(s); err == nil {
		return time.Now().Add(-d), nil
	}
	if t, err = time.Parse(time.RFC3339, s); err != nil && s != "" {
		return t, &exitError{exitUsage, fmt.Errorf("--since %q: write 90m, 24h, or 2006-01-02T15:04:05Z", s)}
	}
	return t, nil
}

// logFile is where a host logs besides stderr, in its state directory.
const logFile = "nanoclaw.log"

// logToFile makes the log go to a file too, whatever stderr shows of it: of at most 20 MiB with
// those that are put aside, mode 0600, and without secrets as everywhere.
func (a *app) logToFile(cfg *config.Config) error {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return err
	}
	file := &lumberjack.Logger{Filename: filepath.Join(cfg.StateDir, logFile), MaxSize: 5, MaxBackups: 3}
	level := hclog.Info
	if a.verbose {
		level = hclog.Debug
	}
	a.log.RegisterSink(hclog.NewSinkAdapter(&hclog.LoggerOptions{
		Name: "nanoclaw", Level: level, Output: secret.Writer(file, a.vault.Matcher),
	}))
	return nil
}

func (a *app) logsCmd() *cobra.Command {
	var last int
	var follow bool
	c := &cobra.Command{
		Use: "logs", Short: "Show the log of the host", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return a.logs(cmd.Context(), cfg.StateDir, last, follow)
		},
	}
	c.Flags().IntVarP(&last, "last", "n", 50, "only so many lines; 0 = all")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as lines are written, until Ctrl-C")
	return c
}

func (a *app) logs(ctx context.Context, state string, last int, follow bool) error {
	names, err := filepath.Glob(filepath.Join(state, "nanoclaw*.log")) // those put aside sort before the present one
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: no host has written a log in %s yet", host.ErrNotFound, state)
	}
	if err != nil {
		return err
	}
	var lines []string
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in := bufio.NewReader(f)
		for _, line := range readLines(in) {
			if lines = append(lines, line); last > 0 && len(lines) > last {
				lines = lines[1:]
			}
		}
		if follow && name == names[len(names)-1] {
			a.printLines(lines)
			return a.follow(ctx, name, f, in)
		}
	}
	a.printLines(lines)
	return nil
}

// follow prints what is added to the log, also after it was put aside and begun anew.
func (a *app) follow(ctx context.Context, name string, f *os.File, in *bufio.Reader) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := os.Stat(name)
		a.printLines(readLines(in))
		if was, e := f.Stat(); err == nil && e == nil && !os.SameFile(was, now) {
			next, err := os.Open(name)
			if err != nil {
				return err
			}
			defer next.Close()
			f, in = next, bufio.NewReader(next)
		}
	}
}

// readLines reads to the end of what is there now. The host writes whole lines.
func readLines(in *bufio.Reader) (out []string) {
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				out = append(out, "the log cannot be read: "+err.Error())
			}
			return out
		}
	}
}

func (a *app) printLines(lines []string) {
	for _, line := range lines {
		fmt.Fprintln(a.stdout, printable(line))
	}
}
