package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/secret"
)

func (a *app) secretCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "secret", Short: "Store, list and remove secrets; their values are never shown",
		Long: `Store, list and remove the secrets that the host puts into requests.

A secret is used by its name: in bearer, basic, headers, query or paths of an http grant, or as
api_key = { secret = "NAME" } of a provider. Its value is where [secrets.NAME] says; without
that table it is a credential of the systemd service (LoadCredential=NAME:…), or what was stored
by "nanoclaw secret set": a file of mode 0600 in the state directory.`,
	}
	c.AddCommand(a.secretSetCmd(), a.secretListCmd(), &cobra.Command{
		Use: "rm NAME", Short: "Remove a stored secret", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			return secret.Remove(cfg.StateDir, args[0])
		},
	})
	return c
}

func (a *app) secretSetCmd() *cobra.Command {
	var fromEnv string
	c := &cobra.Command{
		Use: "set NAME", Short: "Store a secret, read from the terminal or from stdin", Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.loadConfig()
			if err == nil {
				err = host.CheckSecretName(args[0]) // before anything is typed
			}
			if err != nil {
				return err
			}
			value, err := a.readSecret(args[0], fromEnv)
			if err == nil {
				err = secret.Set(cfg.StateDir, args[0], value)
			}
			if _, elsewhere := cfg.Secrets[args[0]]; err == nil && elsewhere && sourceOf(cfg, cfg.Secrets[args[0]]) != stored {
				fmt.Fprintf(a.stderr, "nanoclaw: %s is taken from elsewhere, see 'nanoclaw secret list'\n", args[0])
			}
			if err == nil && !secret.Guarded(value) {
				fmt.Fprintln(a.stderr, "nanoclaw: it is too short to be looked for in what leaves this machine")
			}
			return err
		},
	}
	c.Flags().StringVar(&fromEnv, "from-env", "", "take the value of this environment variable")
	return c
}

// readSecret never takes a value from the command line, which every user of the machine can read.
func (a *app) readSecret(name, env string) (string, error) {
	if env != "" {
		value, ok := os.LookupEnv(env)
		if !ok {
			return "", fmt.Errorf("%w: environment variable %s is not set", host.ErrNotFound, env)
		}
		return value, nil
	}
	if f, ok := a.stdin.(*os.File); ok && isTerminal(f) {
		fmt.Fprintf(a.stderr, "Value of %s (not shown): ", name)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.stderr)
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(a.stdin, 1<<20))
	return string(b), err
}

// stored is where `secret set` puts them.
const stored = "stored"

// shownSecret is a line of `secret list`: never a value, nor how long it is.
type shownSecret struct {
	Name   string   `json:"name"`
	Source string   `json:"source"`
	State  string   `json:"state"` // "ok", "not tried" of a command, or what is wrong
	Used   []string `json:"used_by"`
}

func (a *app) secretListCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the secrets, where they are and who uses them", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			out := listSecrets(cfg)
			if asJSON {
				return a.printJSON(out)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, s := range out {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, s.Source, cmp.Or(strings.Join(s.Used, ", "), "not used"), s.State)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func listSecrets(cfg *config.Config) []shownSecret {
	all := secret.Stored(cfg.StateDir)
	maps.Copy(all, cfg.Secrets)
	used := make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(cfg.Providers)) {
		p := cfg.Providers[name]
		if key := cmp.Or(p.Secret, "api_key of "+name); p.APIKey != nil {
			all[key] = *p.APIKey
			used[key] = append(used[key], "provider "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Roles)) {
		for _, g := range cfg.Roles[name].HTTP {
			for _, s := range g.Secrets() {
				used[s] = append(used[s], "role "+string(name))
			}
		}
	}
	out := []shownSecret{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s := shownSecret{Name: name, Source: sourceOf(cfg, all[name]), State: "not tried", Used: slices.Compact(used[name])}
		if len(all[name].Command) == 0 {
			_, err := secret.Resolve(name, all[name])
			s.State = "ok"
			if err != nil {
				s.State = strings.TrimPrefix(err.Error(), "secret "+name+": ")
			}
			if errors.Is(err, host.ErrNotFound) && s.Source == stored {
				s.State = "not set: nanoclaw secret set " + name
			}
		}
		out = append(out, s)
	}
	return out
}

func sourceOf(cfg *config.Config, s host.SecretSource) string {
	switch {
	case s.Managed:
		return secret.Managed
	case s.Env != "":
		return "env " + s.Env
	case len(s.Command) > 0:
		return "command " + s.Command[0]
	case filepath.Dir(s.File) == filepath.Dir(host.SecretFile(cfg.StateDir, "x")):
		return stored
	}
	return "file " + s.File
}
