package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// loadConfig finds and checks the configuration, with the flags that win over it.
func (a *app) loadConfig() (*config.Config, error) {
	path, err := config.Find(a.configPath)
	if err != nil {
		return nil, err
	}
	return config.Load(path, config.Overrides{StateDir: a.stateDir, Runtime: a.runtime})
}

// checked is what `check --json` prints.
type checked struct {
	Config string `json:"config"`
	config.Report
}

func (a *app) checkCmd() *cobra.Command {
	var asJSON, chart bool
	c := &cobra.Command{
		Use: "check", Short: "Check the configuration and say what each role can reach", Args: cobra.NoArgs,
		Long: `Check the configuration and say in plain words what each role can reach.

A role that holds private data (mounts, or sensitive = true), reads untrusted content
(public_web, http answers, messages of others than the owner) and can send outward
(public_web, http, answers to others) can be tricked into giving the data away: the
lethal trifecta. What roles have is carried along delegation, both ways, and from a role
that writes a directory to those that mount it. It is a problem, with the way named,
unless the roles with the private data say accept_risk = "why".

A model on another machine that gets private data, and keys in mounted directories, are
warnings. --mermaid draws it all for a Mermaid viewer; problems are on stderr then.

Exit code 0 without problems, 1 with.`,
		RunE: func(*cobra.Command, []string) error { return a.check(asJSON, chart) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&chart, "mermaid", false, "print a flowchart in Mermaid's language, and nothing else")
	c.MarkFlagsMutuallyExclusive("json", "mermaid")
	return c
}

func (a *app) check(asJSON, chart bool) error {
	cfg, err := a.loadConfig()
	var invalid *config.Error
	if asJSON && errors.As(err, &invalid) {
		out := checked{invalid.Path, config.Report{
			Roles: []config.Reach{}, Problems: invalid.Problems, Warnings: []string{},
		}}
		return errors.Join(a.printJSON(out), &exitError{code: exitFailure})
	}
	if err != nil {
		return err
	}
	report := cfg.Examine()
	report.Warnings = append(report.Warnings, keyWarnings(cfg)...)
	switch {
	case asJSON:
		err = a.printJSON(checked{cfg.Path, report})
	case chart:
		_, err = io.WriteString(a.stdout, mermaid(cfg, report))
		for _, s := range report.Problems {
			fmt.Fprintln(a.stderr, "problem:", s)
		}
	default:
		fmt.Fprintln(a.stdout, cfg.Path)
		for _, r := range report.Roles {
			fmt.Fprintln(a.stdout)
			printReach(a.stdout, r)
		}
		a.printFindings(report)
	}
	if err == nil && len(report.Problems) > 0 {
		err = &exitError{code: exitFailure}
	}
	return err
}

func (a *app) printFindings(r config.Report) {
	fmt.Fprintln(a.stdout)
	for _, s := range r.Warnings {
		fmt.Fprintln(a.stdout, "warning:", s)
	}
	for _, s := range r.Problems {
		fmt.Fprintln(a.stdout, "problem:", s)
	}
	if len(r.Problems) == 0 {
		fmt.Fprintln(a.stdout, "No problems.")
	}
}

// printReach says in plain words what one role can reach.
func printReach(w io.Writer, r config.Reach) {
	fmt.Fprintf(w, "role %s: %s\n", r.Role, r.About)
	line := func(what string, items []string, none string) {
		if len(items) == 0 {
			items = []string{none}
		}
		for i, s := range items {
			if i > 0 {
				what = ""
			}
			fmt.Fprintf(w, "  %-11s %s\n", what, s)
		}
	}
	line("chats", r.Chats, "none of its own")
	skills := texts(r.Skills)
	if r.Program == "" {
		skills = append([]string{string(r.Agent)}, skills...)
	} else {
		line("program", []string{r.Program}, "")
	}
	line("skills", []string{strings.Join(skills, ", ")}, "")
	line("model", []string{r.Model}, "")
	line("network", r.Network, "none")
	line("files", r.Files, "")
	line("asks", texts(r.Delegates), "no other role")
	if len(r.Asked) > 0 {
		line("asked by", texts(r.Asked), "")
	}
	if r.Tasks {
		line("tasks", []string{"its skills may schedule turns for it"}, "")
	}
	line("private", causes(r.Private), "no private data")
	line("untrusted", causes(r.Untrusted), "no untrusted content")
	line("way out", causes(r.Outward), "none")
	if r.AcceptRisk != "" {
		line("risk taken", []string{r.AcceptRisk}, "")
	}
}

func texts[S ~string](in []S) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = string(s)
	}
	return out
}

func causes(in []config.Cause) []string {
	out := make([]string, len(in))
	for i, c := range in {
		out[i] = c.String()
	}
	return out
}

// reachOf finds one role of a report.
func reachOf(r config.Report, name string) (config.Reach, error) {
	i := slices.IndexFunc(r.Roles, func(x config.Reach) bool { return string(x.Role) == name })
	if i >= 0 {
		return r.Roles[i], nil
	}
	var have []string
	for _, x := range r.Roles {
		have = append(have, string(x.Role))
	}
	return config.Reach{}, fmt.Errorf("%w: role %q; there are %s", host.ErrNotFound, name, strings.Join(have, ", "))
}
