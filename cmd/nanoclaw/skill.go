package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/kit"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/module"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func (a *app) skillCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "skill", Short: "Make, build, adopt, test, inspect, sign, approve, list and call skills",
		Args: usageArgs(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		a.skillNewCmd(), a.skillBuildCmd(), a.skillAdoptCmd(), a.skillInspectCmd(), a.skillListCmd(), a.skillCallCmd(),
		a.skillTestCmd(), a.skillDiffCmd(), a.skillApproveCmd(),
		a.skillKeygenCmd(), a.skillSignCmd(), a.skillVerifyCmd(), a.skillTrustCmd(),
	)
	return c
}

// usageArgs makes wrong arguments exit code 2.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%w; see '%s --help'", err, c.CommandPath())}
		}
		return nil
	}
}

func (a *app) skillBuildCmd() *cobra.Command {
	var out, verify string
	c := &cobra.Command{
		Use: "build [DIR] [-o FILE | --check FILE]", Short: "Make a .wasm file of a skill's folder",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		Long: `Make one .wasm file of a folder that holds skill.toml, a program and, if you like,
SKILL.md. What the folder holds says the language: *.go, src/lib.rs (Rust), *.c, or
assembly/index.ts (AssemblyScript). Only the language's toolchain is needed: the guest
APIs travel in this program, unless the folder has its own copy in nanoclaw-sdk/. For
other languages, and for cargo or make, skill.toml says build = "command", which writes
the module to $OUT.

The file is checked and compiled exactly as it will be when it is dropped into the
plugins folder: in a container, or without Docker in a memory-limited child process,
which is said. The same source and toolchain give the same digest, whoever builds it
and wherever: --check builds without writing and compares with a file (exit code 1 and
the first section that differs, when it is not the same).`,
		Example: "  nanoclaw skill build skills/calc -o plugins/calc.wasm",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			if verify != "" {
				return a.skillVerify(cmd.Context(), dir, verify)
			}
			return a.skillBuild(cmd.Context(), dir, out)
		},
	}
	c.Flags().StringVar(&verify, "check", "", "compare with this file instead of writing one")
	c.Flags().StringVarP(&out, "output", "o", "", "file to write (default DIR/NAME.wasm)")
	return c
}

func (a *app) skillBuild(ctx context.Context, dir, out string) error {
	run := func(ctx context.Context, b *kit.Build) (*skill.File, error) { return b.Run(ctx) }
	return a.makeSkill(ctx, &kit.Build{Dir: dir, Out: out}, run)
}

// makeSkill runs a build and describes what it made.
func (a *app) makeSkill(
	ctx context.Context, b *kit.Build, run func(context.Context, *kit.Build) (*skill.File, error),
) error {
	done, err := a.buildAdmitter(ctx, b)
	if err != nil {
		return err
	}
	defer done()
	b.Stage = a.stage
	f, err := run(ctx, b)
	if err != nil {
		return &exitError{exitCode(err), err}
	}
	return a.describe(f)
}

// skillVerify says whether a file is what a folder builds.
func (a *app) skillVerify(ctx context.Context, dir, file string) error {
	digest, err := (&kit.Build{Dir: dir, Stage: a.stage}).Verify(ctx, file)
	if err != nil {
		return &exitError{exitCode(err), err}
	}
	fmt.Fprintf(a.stdout, "%s is what %s builds: %s\n", file, dir, digest)
	return nil
}

func (a *app) stage(name string, took time.Duration) {
	fmt.Fprintf(a.stderr, "%6.1f s  %s\n", took.Seconds(), name)
}

// buildAdmitter has b compile on the engine that skills will run on, and keeps what that makes, so
// that the file is ready the moment it is dropped. Where there is no engine it says so.
func (a *app) buildAdmitter(ctx context.Context, b *kit.Build) (done func(), err error) {
	admit, done, err := a.admitter(ctx)
	if err == nil {
		_, state, err := a.skillsDir()
		reg := skill.NewRegistry(skill.Config{State: state, Admit: admit})
		b.Keep = func(ctx context.Context, f *skill.File) error {
			_, err := reg.AdmitFile(ctx, f)
			return err
		}
		return done, err
	}
	runner, noRunner := daemon.RunnerPath()
	if noRunner != nil {
		return nil, noRunner
	}
	fmt.Fprintf(a.stderr, "compiling in a memory-limited child process, not in a container: %v\n", err)
	b.Admit = kit.ChildAdmitter{Runner: runner}
	return func() {}, nil
}

func (a *app) skillInspectCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "inspect FILE", Short: "Say what a .wasm file is and asks for", Args: usageArgs(cobra.ExactArgs(1)),
		Long: `Say what a .wasm file is and asks for, without compiling or running it. A file that
could not be admitted is refused with exit code 3 and the reason on stderr.`,
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := skill.Read(args[0])
			if err != nil {
				return &exitError{exitCode(err), err}
			}
			if asJSON {
				return a.printJSON(inspection(f))
			}
			return a.describe(f)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// inspected is the JSON of `skill inspect`.
type inspected struct {
	Name         host.SkillName   `json:"name"`
	Version      string           `json:"version"`
	Kind         string           `json:"kind"`
	Adapter      string           `json:"adapter,omitempty"`
	Description  string           `json:"description"`
	Digest       host.Digest      `json:"digest"`
	Size         int64            `json:"size"`
	Limits       host.SkillLimits `json:"limits"`
	Tools        []wire.Tool      `json:"tools"`
	Capabilities []host.Need      `json:"capabilities"`
	Imports      []inspectImport  `json:"imports"`
}

type inspectImport struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Bound  bool   `json:"bound"` // false: a stub with nothing behind it
}

func inspection(f *skill.File) inspected {
	m := f.Manifest
	out := inspected{
		Name: m.Name, Version: m.Version, Kind: m.Kind, Adapter: m.Adapter, Description: m.Description,
		Digest: f.Digest, Size: f.Size,
		Limits: m.Limits, Tools: append([]wire.Tool{}, m.Tools...), Capabilities: append([]host.Need{}, m.Capabilities...),
		Imports: []inspectImport{},
	}
	for _, i := range f.Imports {
		out.Imports = append(out.Imports, inspectImport{i.Module, i.Name, bound(f, i)})
	}
	return out
}

func bound(f *skill.File, i module.Import) bool {
	return i.Module != "wasi_snapshot_preview1" || !slices.Contains(f.Unbound, i.Name)
}

// describe prints a skill in plain words.
func (a *app) describe(f *skill.File) error {
	m := f.Manifest
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s %s\t%s\n", m.Name, m.Version, oneLine(m.Description))
	fmt.Fprintf(w, "file\t%s, %.1f MB\n", f.Path, float64(f.Size)/1e6)
	fmt.Fprintf(w, "digest\t%s\n", f.Digest)
	fmt.Fprintf(w, "kind\t%s\n", kindText(m.Kind))
	if m.Adapter != "" {
		fmt.Fprintf(w, "adapter\t%s\n", m.Adapter)
	}
	fmt.Fprintf(w, "limits\t%d MiB of memory, %v a call\n", m.Limits.MemoryMiB,
		time.Duration(m.Limits.TimeoutMS)*time.Millisecond)
	for _, t := range m.Tools {
		fmt.Fprintf(w, "tool\t%s: %s\n", wire.PublicName(string(m.Name), t.Name), oneLine(t.Description))
	}
	for _, n := range m.Capabilities {
		fmt.Fprintf(w, "may, if granted\t%s\n", needText(n))
	}
	if len(m.Capabilities) == 0 {
		fmt.Fprintf(w, "may\tcompute, and nothing else\n")
	}
	describeImports(w, f)
	return w.Flush()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func describeImports(w io.Writer, f *skill.File) {
	var modules []string
	for _, i := range f.Imports {
		if !slices.Contains(modules, i.Module) {
			modules = append(modules, i.Module)
		}
	}
	for _, mod := range modules {
		var names []string
		for _, i := range f.Imports {
			if i.Module == mod && bound(f, i) {
				names = append(names, i.Name)
			}
		}
		fmt.Fprintf(w, "imports\t%s: %s\n", mod, strings.Join(names, " "))
	}
	if len(f.Unbound) > 0 {
		fmt.Fprintf(w, "imported, unbound\t%s (its toolchain wants them; there is no file system behind them)\n",
			strings.Join(f.Unbound, " "))
	}
}

func kindText(kind string) string {
	if kind == host.KindAgent {
		return "skill agent: can be a role's brain"
	}
	return "skill: offers tools"
}

// needText is one capability in plain words, with the author's reason.
func needText(n host.Need) string {
	s := map[host.Capability]string{
		host.CapLLM: "ask the language model", host.CapKV: "keep keys and values of its own",
		host.CapTool: "call other tools of its role", host.CapMessage: "send messages to other chats",
		host.CapTask: "schedule tasks", host.CapAgent: "hand work to other agents",
		host.CapHistory: "read what was said to and by its agent",
	}[n.Name]
	switch n.Name {
	case host.CapFS:
		s = "read and write files of the workspace"
		if n.Mode == "ro" {
			s = "read files of the workspace"
		}
		if n.Path != "" {
			s += " below " + n.Path
		}
	case host.CapHTTP:
		s = httpText(n)
	case host.CapMessage:
		if n.Mode == host.ModeOwn {
			s = "send files to the agent's own chat"
		}
	}
	if n.Optional {
		s += " (optional)"
	}
	return fmt.Sprintf("%s: %s, because: %s", n.Name, s, n.Reason)
}

func httpText(n host.Need) string {
	methods := "send requests"
	if len(n.Methods) > 0 {
		methods = "send " + strings.Join(n.Methods, ", ")
	}
	switch {
	case n.PublicWeb && len(n.Hosts) > 0:
		return methods + " to the public web and to " + strings.Join(n.Hosts, ", ")
	case n.PublicWeb:
		return methods + " to the public web"
	case len(n.Hosts) > 0:
		return methods + " to " + strings.Join(n.Hosts, ", ")
	}
	return methods + " to whatever hosts its role allows"
}

func (a *app) skillListCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the files of the plugins folder and what became of them", Args: usageArgs(cobra.NoArgs),
		Long: `List the .wasm files of skills.dir, and its folders with SKILL.md: ready, held until you
approve, or refused, and why. New files are admitted first, which takes some seconds each.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.skillList(cmd.Context(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) skillList(ctx context.Context, asJSON bool) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	admit, done, err := a.admitter(ctx)
	if err != nil {
		return err
	}
	defer done()
	reg := skill.NewRegistry(skill.Config{
		Dir: cfg.SkillsDir, State: cfg.StateDir, RequireSigned: cfg.RequireSigned,
		Admit:    admit, // no Log: the list says it all
		Progress: func(s string) { fmt.Fprintln(a.stderr, s) },
	})
	if err := reg.Refresh(ctx); err != nil {
		return err
	}
	list := reg.List()
	if asJSON {
		return a.printJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintf(a.stdout, "no skill in %s\n", cfg.SkillsDir)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\n", filepath.Base(s.File), s.State, s.Name, s.Version, s.Why)
	}
	return w.Flush()
}
