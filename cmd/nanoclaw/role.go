package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func (a *app) roleCmd() *cobra.Command {
	c := &cobra.Command{Use: "role", Short: "Show the roles of the configuration"}
	c.AddCommand(a.roleListCmd(), a.roleShowCmd())
	return c
}

func (a *app) roleListCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the roles", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			roles := cfg.Examine().Roles
			if asJSON {
				return a.printJSON(roles)
			}
			w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			for _, r := range roles {
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Role, strings.Join(texts(r.Skills), " "), r.About)
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// shownRole is what `role show --json` prints.
type shownRole struct {
	config.Reach
	Prompt   string                           `json:"prompt"`
	Settings map[host.SkillName]wire.Settings `json:"settings,omitempty"`
	Runtime  string                           `json:"runtime"`
	Limits   shownLimits                      `json:"limits"`
	Budgets  []daemon.Used                    `json:"budgets"`
}

type shownLimits struct {
	Memory         int64   `json:"memory"` // bytes
	CPUs           float64 `json:"cpus"`
	PIDs           int64   `json:"pids"`
	TurnTimeout    string  `json:"turn_timeout"`
	Workspace      int64   `json:"workspace"` // bytes
	WorkspaceFiles int64   `json:"workspace_files"`
}

func (a *app) roleShowCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show NAME", Short: "Show one role: what it is and what it can reach", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			reach, err := reachOf(cfg.Examine(), args[0])
			if err != nil {
				return err
			}
			s := showRole(cfg, reach)
			if s.Budgets, err = daemon.Usage(cmd.Context(), cfg, cfg.Roles[reach.Role]); err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(s)
			}
			printReach(a.stdout, reach)
			fmt.Fprintf(a.stdout, "  %-11s %d MiB memory, %g CPUs, %d processes, %s a turn, %d files\n", "limits",
				s.Limits.Memory>>20, s.Limits.CPUs, s.Limits.PIDs, s.Limits.TurnTimeout, s.Limits.WorkspaceFiles)
			single := "a container serves one turn"
			if reach.Kept {
				single = "no single use: a container serves one turn after the other"
			}
			fmt.Fprintf(a.stdout, "  %-11s %s; %s\n", "runtime", s.Runtime, single)
			for _, u := range s.Budgets {
				fmt.Fprintf(a.stdout, "  %-11s %s\n", "budget", u)
			}
			for _, skill := range slices.Sorted(maps.Keys(s.Settings)) {
				for _, name := range slices.Sorted(maps.Keys(s.Settings[skill])) {
					fmt.Fprintf(a.stdout, "  %-11s %s: %s = %q\n", "setting", skill, name, s.Settings[skill][name])
				}
			}
			prompt := strings.ReplaceAll(strings.TrimSpace(s.Prompt), "\n", "\n              ")
			fmt.Fprintf(a.stdout, "  %-11s %s\n", "prompt", prompt)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func showRole(cfg *config.Config, reach config.Reach) shownRole {
	r := cfg.Roles[reach.Role]
	runtime := r.Runtime
	if runtime == "" || cfg.Engine.Runtime == config.None {
		runtime = cfg.Engine.Runtime
	}
	return shownRole{Reach: reach, Prompt: r.Prompt, Settings: r.Settings, Runtime: runtime, Limits: limitsOf(r)}
}

func limitsOf(r *host.Role) shownLimits {
	l := r.Limits
	return shownLimits{
		Memory: l.Memory, CPUs: l.CPUs, PIDs: l.PIDs, TurnTimeout: l.TurnTimeout.String(),
		Workspace: l.Workspace.Bytes, WorkspaceFiles: l.Workspace.Files,
	}
}
