package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/service"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// How long a service waits for Docker at boot, and whoever installs it for its first sign of life.
const (
	waitDocker = 10 * time.Minute
	firstSign  = 30 * time.Second
)

func (a *app) serviceCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "service", Short: "Run the host as a service of this machine",
		Long: `Run the host as a service: started at boot, started again when it fails.

Where systemd runs the machine it is a unit: of the machine when root installs it, else yours
("systemctl --user"). On macOS it is an agent of launchd. It waits for Docker at boot. The file
holds paths and no key: a service does not see your shell's environment, so keys belong into
'nanoclaw secret'.`,
	}
	var show bool
	install := &cobra.Command{
		Use: "install", Short: "Install and start it, or replace what was installed before", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serviceInstall(cmd.Context(), show) },
	}
	install.Flags().BoolVar(&show, "print", false, "only print the service file")
	var last int
	var follow bool
	logs := &cobra.Command{
		Use: "logs", Short: "Show what it logs", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.machine().Logs(cmd.Context(), last, follow)
			if !errors.Is(err, host.ErrUnavailable) {
				return err
			}
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return a.logs(cmd.Context(), cfg.StateDir, last, follow)
		},
	}
	logs.Flags().IntVarP(&last, "last", "n", 50, "how many lines")
	logs.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes")
	c.AddCommand(install, logs, &cobra.Command{
		Use: "status", Short: "Show what the service manager says of it", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.machine().Status(cmd.Context()) },
	}, &cobra.Command{
		Use: "uninstall", Short: "Stop and remove it; configuration and state stay", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.machine().Uninstall(cmd.Context()); err != nil {
				return err
			}
			if cfg, err := a.loadConfig(); err == nil {
				fmt.Fprintf(a.stdout, "Configuration (%s) and state (%s) stay.\n", cfg.Path, cfg.StateDir)
			}
			return nil
		},
	})
	return c
}

// machine is this one.
func (a *app) machine() *service.Machine {
	home, _ := os.UserHomeDir()
	return &service.Machine{
		GOOS: runtime.GOOS, UID: os.Getuid(), Root: "/", Home: home, User: userName(), Look: exec.LookPath,
		Run: func(ctx context.Context, name string, args ...string) error {
			c := exec.CommandContext(ctx, name, args...)
			c.Stdout, c.Stderr = a.stdout, a.stderr
			return c.Run()
		},
		Say: func(s string) { fmt.Fprintln(a.stdout, s) },
	}
}

func (a *app) serviceInstall(ctx context.Context, show bool) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	m := a.machine()
	u, err := a.unit(cfg, m)
	if err != nil {
		return err
	}
	if show {
		text, err := m.File(u)
		fmt.Fprint(a.stdout, text)
		return err
	}
	if p := cfg.Examine().Problems; len(p) > 0 {
		return fmt.Errorf("%w: it would not start: %s", host.ErrDenied, strings.Join(p, "; "))
	}
	for _, s := range unseen(cfg) {
		fmt.Fprintln(a.stderr, "nanoclaw:", s)
	}
	if cl, err := daemon.Dial(ctx, cfg.StateDir); err == nil && m.Installed() != nil {
		s, _ := cl.Status(ctx)
		return fmt.Errorf("%w: a host (pid %d) runs on %s already; stop it first", host.ErrBusy, s.PID, cfg.StateDir)
	}
	if err := m.Install(ctx, u); err != nil {
		return err
	}
	return a.awaitHost(ctx, cfg)
}

// unit is what the service runs: this program, with what was found by flags, environment and places
// that a service does not have.
func (a *app) unit(cfg *config.Config, m *service.Machine) (u service.Unit, err error) {
	exe, err := os.Executable()
	if err != nil {
		return u, err
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return u, err
	}
	u = service.Unit{
		Command: []string{exe, "--config", cfg.Path, "--state", cfg.StateDir},
		Env:     map[string]string{"HOME": m.Home}, Writes: []string{cfg.StateDir, cfg.SkillsDir},
		System: m.System(), Log: filepath.Join(cfg.StateDir, "service.log"),
	}
	if a.runtime != "" {
		u.Command = append(u.Command, "--runtime", a.runtime)
	}
	u.Command = append(u.Command, "run", "--wait-docker", waitDocker.String())
	if !u.System { // where the programs are that print keys
		u.Env["PATH"] = os.Getenv("PATH")
	}
	if at := os.Getenv("DOCKER_HOST"); at != "" {
		u.Env["DOCKER_HOST"] = at
	}
	return u, os.MkdirAll(cfg.StateDir, 0o700) // ReadWritePaths must be there
}

// unseen says which keys the service will not find: those in the environment of this shell.
func unseen(cfg *config.Config) (out []string) {
	for _, s := range listSecrets(cfg) {
		if env, ok := strings.CutPrefix(s.Source, "env "); ok {
			out = append(out, fmt.Sprintf("the service will not see %s of your shell: "+
				"'nanoclaw secret set NAME --from-env %s', "+
				"and { secret = \"NAME\" } in place of { env = … } for %s", env, env, s.Name))
		}
	}
	return out
}

// awaitHost waits until the service takes messages, for as long as somebody watches.
func (a *app) awaitHost(ctx context.Context, cfg *config.Config) error {
	ctx, cancel := context.WithTimeout(ctx, firstSign)
	defer cancel()
	for tick := time.Tick(200 * time.Millisecond); ; {
		if _, err := daemon.Dial(ctx, cfg.StateDir); err == nil {
			fmt.Fprintln(a.stdout, "The host runs and takes messages.")
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: it is installed, but takes no messages after %s: see 'nanoclaw service status' and "+
				"'nanoclaw service logs'", host.ErrTimeout, firstSign)
		case <-tick:
		}
	}
}

// awaitDocker waits until a daemon answers, as at boot, when it may be started after this program.
func (a *app) awaitDocker(ctx context.Context, patience time.Duration) error {
	endpoint, source, err := container.Endpoint()
	if err != nil {
		return err
	}
	d := &doctor{app: a}
	s := a.newSetup(endpoint, source, false, func(ctx context.Context) error {
		docker, _, err := d.ask(ctx)
		if err != nil {
			return err
		}
		return docker.Close()
	})
	if err := s.ping(ctx); err == nil {
		return nil
	}
	a.log.Info("waiting for Docker", "at", endpoint, "for", patience)
	return s.await(ctx, patience, nil)
}
