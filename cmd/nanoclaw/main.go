// Command nanoclaw is the host and its tools: one binary, one subcommand a job.
//
// It owns flags, help, exit codes and what is printed; the work is done by the
// packages below host. It must never link wazero: WASM runs in nanoclaw-runner.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host/secret"
)

// Version is set by the linker: -X main.Version=v1.2.3.
var Version = "dev"

// Retries is after what a turn is tried again that failed for a reason that may pass. Tests set
// it by the linker too.
var Retries = "5s 10s 20s 40s 80s"

// Exit codes shared by all subcommands.
const (
	exitOK      = 0
	exitFailure = 1 // the command ran and failed; for `skill call`: tool error
	exitUsage   = 2
	exitDenied  = 3 // denied or refused
	exitTimeout = 4
	exitCrashed = 5
)

// exitError carries an exit code; its error, if any, is printed on stderr.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// app is what every subcommand shares.
type app struct {
	stdin      io.Reader
	stdout     io.Writer
	stderr     io.Writer
	log        hclog.InterceptLogger
	vault      *secret.Vault
	configPath string // --config
	stateDir   string // --state
	runtime    string // --runtime
	verbose    bool
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, vault: secret.NewVault()}
	root := a.rootCmd()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintln(stderr, "nanoclaw:", msg)
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	return exitFailure
}

func (a *app) rootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:           "nanoclaw",
		Short:         "A personal assistant whose agents run in throw-away containers",
		Version:       Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			level := hclog.Warn
			if a.verbose {
				level = hclog.Debug
			}
			out := secret.Writer(a.stderr, a.vault.Matcher)
			a.log = hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "nanoclaw", Level: level, Output: out})
		},
	}
	root.SetVersionTemplate("nanoclaw {{.Version}}\n")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w; see '%s --help'", err, c.CommandPath())}
	})
	f := root.PersistentFlags()
	f.StringVar(&a.configPath, "config", "", "configuration file "+
		"(default: $NANOCLAW_CONFIG, ./nanoclaw.toml, $XDG_CONFIG_HOME/nanoclaw/nanoclaw.toml)")
	f.StringVar(&a.stateDir, "state", "", "state directory "+
		"(default: state_dir in the file, $NANOCLAW_STATE, $XDG_STATE_HOME/nanoclaw)")
	f.StringVar(&a.runtime, "runtime", "", "engine runtime: runc, runsc, or \"none\" for no containers "+
		"(default: engine.runtime in the file)")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log details on stderr")
	root.AddCommand(
		a.chatCmd(), a.runCmd(), a.statusCmd(), a.checkCmd(), a.roleCmd(), a.grantCmd(), a.routeCmd(), a.taskCmd(),
		a.skillCmd(), a.secretCmd(), a.setupCmd(), a.serviceCmd(), a.doctorCmd(), a.auditCmd(), a.turnCmd(),
		a.historyCmd(), a.logsCmd(), a.channelCmd(), a.resetCmd(), a.versionCmd(), a.sweepCmd(), a.imageCmd(),
		a.mcpCmd(), a.sandboxCmd(),
	)
	return root
}

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) { fmt.Fprintln(a.stdout, "nanoclaw", Version) },
	}
}
