package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/sandbox"
	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/wizard"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// boxFlags are those of all commands about a sandbox.
type boxFlags struct {
	name, programs        string
	dryRun, yes, whatsApp bool
	asJSON, chat          bool
}

func (a *app) sandboxCmd() *cobra.Command {
	var f boxFlags
	c := &cobra.Command{
		Use: "sandbox", Short: "Run NanoClaw in a Docker Sandbox, a microVM around everything",
		Long: `Run NanoClaw in a Docker Sandbox: a microVM around the host process, its Docker daemon and its agents.

One folder of this machine is shared with it, the WORKSPACE (default: ~/nanoclaw-workspace): nanoclaw.toml,
state/, plugins/ and the programs are there. What it may reach is derived from the grants in that nanoclaw.toml,
and everything else is refused; keys of models stay outside.

sbx is used where it is there, else "docker sandbox". Each command is shown as it runs. Neither program could
be run where this was written: the commands are those of their documentation.`,
	}
	c.PersistentFlags().StringVar(&f.name, "name", "nanoclaw", "name of the sandbox")
	up := &cobra.Command{
		Use: "up [WORKSPACE]", Short: "Create the sandbox, or change what differs, and start NanoClaw in it",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.box(f, args)
			if err != nil {
				return err
			}
			return b.Up(cmd.Context())
		},
	}
	up.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the commands, and run only those that ask")
	up.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask before the sandbox may reach more than it did")
	up.Flags().BoolVar(&f.whatsApp, "whatsapp", false, "allow WhatsApp's hosts already, so that a phone can be linked")
	up.Flags().StringVar(&f.programs, "programs", "", "directory of the Linux programs (default: beside this one)")
	shell := &cobra.Command{
		Use: "shell [WORKSPACE]", Short: "Open a shell in the sandbox", Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.sandboxShell(cmd, f, args) },
	}
	shell.Flags().BoolVar(&f.chat, "chat", false, "talk to the host in it, as by 'nanoclaw chat'")
	status := &cobra.Command{
		Use: "status [WORKSPACE]", Short: "Show the sandbox, its policy and whether NanoClaw runs in it",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.sandboxStatus(cmd, f, args) },
	}
	status.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	rm := &cobra.Command{
		Use: "rm [WORKSPACE]", Short: "Remove the sandbox and its policy; the workspace stays",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.box(f, args)
			if err != nil {
				return err
			}
			return b.Remove(cmd.Context())
		},
	}
	rm.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the commands, and run only those that ask")
	rm.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	c.AddCommand(up, shell, status, rm)
	return c
}

// box is the sandbox that a command is about.
func (a *app) box(f boxFlags, args []string) (*sandbox.Box, error) {
	if host.InSandbox() {
		return nil, fmt.Errorf("%w: this is a sandbox already", host.ErrInvalid)
	}
	if err := sandbox.CheckName(f.name); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if a.configPath != "" {
		err := errors.New("the configuration of a sandbox is nanoclaw.toml in its WORKSPACE: name that")
		return nil, &exitError{exitUsage, err}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	workspace := filepath.Join(home, "nanoclaw-workspace")
	if len(args) > 0 {
		workspace = args[0]
	}
	if workspace, err = sandbox.CheckWorkspace(workspace); err != nil {
		return nil, err
	}
	cli, err := sandbox.Find(lookPlugin)
	if err != nil {
		return nil, err
	}
	state, err := config.StateHome()
	if err != nil {
		return nil, err
	}
	b := &sandbox.Box{
		CLI: cli, Name: f.name, Workspace: workspace, State: filepath.Join(state, "sandboxes"),
		Shipped: strings.Replace(wizard.Shipped, "# require_sandbox = false", "require_sandbox = true", 1),
		Skills:  bundledPlugins(), Arch: runnerArch, WhatsApp: f.whatsApp, DryRun: f.dryRun, In: a.stdin, Out: a.stdout,
		Say:     func(s string) { tell(a.stdout, s) },
		Confirm: func(question string) (bool, error) { return a.confirm(question, f.yes) },
	}
	if f.programs != "" {
		b.Programs = []string{f.programs}
	} else if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		b.Programs = []string{filepath.Dir(exe), filepath.Join(filepath.Dir(exe), "..", "libexec", "nanoclaw")}
	}
	return b, nil
}

// tell prints lines, of which some came out of the sandbox.
func tell(w io.Writer, s string) {
	for l := range strings.SplitSeq(s, "\n") {
		fmt.Fprintln(w, printable(l))
	}
}

func (a *app) sandboxShell(cmd *cobra.Command, f boxFlags, args []string) error {
	b, err := a.box(f, args)
	if err != nil {
		return err
	}
	argv := b.Shell(isTerminal(a.stdin) && isTerminal(a.stdout), f.chat)
	c := exec.CommandContext(cmd.Context(), argv[0], argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr = a.stdin, a.stdout, a.stderr
	err = c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) { // it has said why
		return &exitError{code: exit.ExitCode()}
	}
	return err
}

func (a *app) sandboxStatus(cmd *cobra.Command, f boxFlags, args []string) error {
	b, err := a.box(f, args)
	if err != nil {
		return err
	}
	b.Say = func(s string) { tell(a.stderr, s) }
	s, err := b.Status(cmd.Context())
	if err != nil {
		return err
	}
	if f.asJSON {
		return a.printJSON(s)
	}
	runs := "does not run"
	if s.Host != nil {
		var h struct {
			Version string `json:"version"`
			PID     int    `json:"pid"`
		}
		if err := json.Unmarshal(s.Host, &h); err != nil {
			return err
		}
		runs = fmt.Sprintf("%s runs, pid %d", h.Version, h.PID)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(k string, v ...any) { fmt.Fprintf(w, "%s\t%s\n", k, printable(fmt.Sprint(v...))) }
	row("program", s.CLI, " ", s.Version)
	row("sandbox", s.Name, ", ", s.State)
	row("workspace", s.Workspace)
	row("nanoclaw", runs)
	for _, list := range []struct {
		name  string
		items []string
	}{{"may reach", s.Policy}, {"not yet", s.Add}, {"no more needed", s.Drop}, {"besides", s.Beyond}} {
		if len(list.items) > 0 {
			row(list.name, strings.Join(list.items, ", "))
		}
	}
	if s.Problem != "" {
		row("configuration", s.Problem)
	}
	return w.Flush()
}
