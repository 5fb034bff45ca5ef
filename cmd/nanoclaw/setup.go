package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/sandbox"
	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/wizard"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/secret"
)

// tryModel bounds the call that tries a model.
const tryModel = time.Minute

func (a *app) setupCmd() *cobra.Command {
	var yes, skill bool
	c := &cobra.Command{
		Use: "setup", Short: "From nothing to a first reply, in at most ten answers", Args: usageArgs(cobra.NoArgs),
		Long: `From nothing to a first reply, in at most ten answers.

It looks for a Docker Sandbox and for Docker, asks for a model and tries it with one call, keeps
the key as 'nanoclaw secret set' does, writes a nanoclaw.toml that explains every setting, offers a
service, and says a first message. A file that is there is never replaced: it shows what would
change and asks. It may be run again at any time, and goes on with what is there.

Every answer can be given beforehand by a flag; with --yes, nothing is asked, and what no flag says
is the default. A key is never a flag: name the environment variable that holds it.

--print-skill prints a SKILL.md by which Claude Code does all this:
  mkdir -p .claude/skills/nanoclaw-setup
  nanoclaw setup --print-skill > .claude/skills/nanoclaw-setup/SKILL.md`,
	}
	for _, f := range wizard.Flags {
		c.Flags().String(f.Value, "", f.Label)
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&skill, "print-skill", false, "only print a SKILL.md for Claude Code")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if skill {
			fmt.Fprint(a.stdout, wizard.Skill)
			return nil
		}
		in, ok := a.stdin.(*os.File)
		if !yes && !isTerminal(a.stdin) {
			return &exitError{exitUsage, errors.New("there is no terminal to ask on; say --yes, and answer by flags")}
		}
		given := make(map[string]string)
		for _, f := range wizard.Flags {
			if cmd.Flags().Changed(f.Value) {
				given[f.Value], _ = cmd.Flags().GetString(f.Value)
			}
		}
		w, err := a.wizard(cmd.Root(), given)
		if err != nil {
			return err
		}
		if !yes && ok {
			w.Ask = wizard.Form(in, os.Stdout)
		}
		return w.Run(cmd.Context())
	}
	return c
}

// wizard is one for this machine.
func (a *app) wizard(root *cobra.Command, given map[string]string) (*wizard.Wizard, error) {
	path, err := a.configToMake()
	if err != nil {
		return nil, err
	}
	d := &doctor{app: a}
	_, noSandbox := sandbox.Find(lookPlugin)
	return &wizard.Wizard{
		Config: path, Plugins: bundledPlugins(), Sandboxed: host.InSandbox(), Given: given,
		Sandboxes: noSandbox == nil,
		Say:       func(s string) { fmt.Fprintln(a.stdout, s) }, Env: os.Getenv,
		Has: func(command ...string) bool { return has(root, command) },
		Program: func(ctx context.Context, args ...string) error {
			if args[0] == "sandbox" { // it has a file of its own
				return a.again(ctx, "", args, nil, a.stdout)
			}
			return a.again(ctx, path, args, nil, a.stdout)
		},
		Chat: func(ctx context.Context, text string) (string, error) {
			var out bytes.Buffer
			err := a.again(ctx, path, []string{"chat"}, strings.NewReader(text+"\n"), &out)
			return out.String(), err
		},
		Docker: func(ctx context.Context) error {
			cfg, err := a.load(path)
			if a.runtime == daemon.RuntimeNone || err == nil && cfg.Engine.Runtime == daemon.RuntimeNone {
				return nil
			}
			docker, _, err := d.ask(ctx)
			if err != nil {
				return err
			}
			return docker.Close()
		},
		Fix: d.fix, Load: a.load,
		Try: func(ctx context.Context, cfg *config.Config, key string) error {
			ctx, cancel := context.WithTimeout(ctx, tryModel)
			defer cancel()
			return daemon.TryModel(ctx, cfg, a.vault, &host.Role{}, key)
		},
		Keep: func(cfg *config.Config, name, key string) error { return secret.Set(cfg.StateDir, name, key) },
		Linked: func(ctx context.Context) (string, error) {
			cfg, err := a.load(path)
			if err != nil {
				return "", err
			}
			return whatsapp.Linked(ctx, daemon.WhatsApp(cfg, a.log))
		},
	}, nil
}

func (a *app) load(path string) (*config.Config, error) {
	return config.Load(path, config.Overrides{StateDir: a.stateDir, Runtime: a.runtime})
}

// configToMake is the file that every command finds, or else the one that --config or
// $NANOCLAW_CONFIG names, or the user's own, which is not there yet.
func (a *app) configToMake() (string, error) {
	path, err := config.Find(a.configPath)
	if !errors.Is(err, host.ErrNotFound) {
		return path, err
	}
	named := a.configPath
	if named == "" {
		named = os.Getenv("NANOCLAW_CONFIG")
	}
	if named != "" {
		return filepath.Abs(named)
	}
	return config.Home()
}

// bundledPlugins is the directory of skills that comes with this program; "" = none.
func bundledPlugins() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	for _, dir := range []string{"../plugins", "../share/nanoclaw/plugins"} {
		dir = filepath.Join(filepath.Dir(exe), dir)
		if found, _ := filepath.Glob(filepath.Join(dir, "*.wasm")); len(found) > 0 {
			return dir
		}
	}
	return ""
}

// has reports whether there is a command of this name, or of these names below each other.
func has(root *cobra.Command, command []string) bool {
	c := root
	for _, name := range command {
		i := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == name })
		if i < 0 {
			return false
		}
		c = c.Commands()[i]
	}
	return true
}

// lookPlugin finds a program, and also a plugin of the docker CLI.
func lookPlugin(name string) (string, error) {
	path, err := exec.LookPath(name)
	home, _ := os.UserHomeDir()
	for _, dir := range []string{
		filepath.Join(home, ".docker/cli-plugins"), "/usr/local/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
		"/usr/lib/docker/cli-plugins",
	} {
		if err == nil {
			return path, nil
		}
		path, err = exec.LookPath(filepath.Join(dir, name))
	}
	return path, err
}

// again runs a command of this program in a process of its own, on the same file and state.
func (a *app) again(ctx context.Context, path string, args []string, in *strings.Reader, out io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	var all []string
	if path != "" {
		all = []string{"--config", path}
	}
	if a.stateDir != "" {
		all = append(all, "--state", a.stateDir)
	}
	if a.runtime != "" {
		all = append(all, "--runtime", a.runtime)
	}
	c := exec.CommandContext(ctx, exe, append(all, args...)...)
	c.Stdin, c.Stdout, c.Stderr = a.stdin, out, a.stderr
	if in != nil {
		c.Stdin = in
	}
	if err := c.Run(); err != nil {
		return fmt.Errorf("nanoclaw %s: %w", strings.Join(args, " "), err)
	}
	return nil
}
