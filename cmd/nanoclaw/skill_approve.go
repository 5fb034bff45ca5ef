package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func (a *app) skillApproveCmd() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "approve NAME", Short: "Accept a skill that is held", Args: usageArgs(cobra.ExactArgs(1)),
		Long: `Accept the file of the plugins folder that says it is NAME, although it wants more than
what was accepted before, or has another signer. The difference is printed first. What
is accepted is that very file, by its digest; roles and their grants stay as they are.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.skillApprove(cmd.Context(), host.SkillName(args[0]), yes)
			return coded(err)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

// coded gives err the exit code of its kind.
func coded(err error) error {
	var e *exitError
	if err == nil || errors.As(err, &e) {
		return err
	}
	return &exitError{exitCode(err), err}
}

func (a *app) skillApprove(ctx context.Context, name host.SkillName, yes bool) error {
	dir, state, err := a.skillsDir()
	if err != nil {
		return err
	}
	f, err := skill.Find(dir, name)
	if err != nil {
		return err
	}
	keys, err := skill.TrustedKeys(state)
	if err != nil {
		return err
	}
	signer, err := f.Verify(keys)
	if err != nil {
		return err
	}
	lock, err := skill.ReadLock(dir)
	if err != nil {
		return err
	}
	was, known := lock[name]
	if known && was.Digest == f.Digest && was.Signer == signer {
		fmt.Fprintf(a.stdout, "%s %s is accepted already.\n", name, f.Manifest.Version)
		return nil
	}
	if old, err := skill.Read(skill.Stored(state, was.Digest)); err == nil {
		a.printDiff(side{old, was.Signer}, side{f, signer})
	} else {
		a.printWider(was, f, signer)
	}
	question := fmt.Sprintf("Accept %s %s (%.19s…)?", name, f.Manifest.Version, f.Digest)
	if ok, err := a.confirm(question, yes); err != nil || !ok {
		return err
	}
	by := "approved"
	if u, err := user.Current(); err == nil {
		by = "approved by " + u.Username
	}
	if err := skill.Approve(dir, f, signer, by); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Accepted %s %s.\n", name, f.Manifest.Version)
	a.pokeHost(ctx, state)
	return nil
}

// printWider says what is new where nothing is left of the file before but its entry in the lock.
func (a *app) printWider(was skill.Locked, f *skill.File, signer string) {
	wider := skill.Widened(was.Capabilities, f.Manifest.Capabilities)
	for _, line := range append(wider, signerChange(was.Signer, signer)...) {
		fmt.Fprintln(a.stdout, "wider  ", line)
	}
}

// pokeHost has a running host look at its folders now.
func (a *app) pokeHost(ctx context.Context, state string) {
	if cl, err := daemon.Dial(ctx, state); err == nil {
		if err := cl.Reload(ctx); err != nil {
			fmt.Fprintln(a.stderr, "nanoclaw: the running host takes it up a little later:", err)
		}
	}
}

func (a *app) skillDiffCmd() *cobra.Command {
	return &cobra.Command{
		Use: "diff A B", Short: "Say how two skills differ in what they are and may do", Args: usageArgs(cobra.ExactArgs(2)),
		Long: `Say how skill B differs from skill A. Each is a file, or the NAME of a skill as it was
last accepted. Exit code 1: B goes beyond A.`,
		Example: "  nanoclaw skill diff fetch plugins/fetch.wasm",
		RunE: func(_ *cobra.Command, args []string) error {
			var sides [2]side
			for i, arg := range args {
				var err error
				if sides[i], err = a.side(arg); err != nil {
					return coded(err)
				}
			}
			if a.printDiff(sides[0], sides[1]) {
				return &exitError{code: exitFailure}
			}
			return nil
		},
	}
}

// side is one of two skills that are compared.
type side struct {
	*skill.File
	signer string
}

func (a *app) side(arg string) (s side, err error) {
	dir, state, err := a.skillsDir()
	if err != nil {
		return s, err
	}
	if st, err := os.Stat(arg); (err != nil || st.IsDir()) && !strings.ContainsAny(arg, `/.\`) {
		lock, err := skill.ReadLock(dir)
		if err != nil {
			return s, err
		}
		was, ok := lock[host.SkillName(arg)]
		if !ok {
			return s, fmt.Errorf("%w: %s is neither a file nor a skill that was accepted", host.ErrNotFound, arg)
		}
		if s.File, err = skill.Read(skill.Stored(state, was.Digest)); err != nil {
			return s, fmt.Errorf("the copy of %s: %w", arg, err)
		}
		return side{s.File, was.Signer}, nil
	}
	if s.File, err = skill.Read(arg); err != nil {
		return s, err
	}
	keys, err := skill.TrustedKeys(state)
	if err != nil {
		return s, err
	}
	if s.signer, err = s.Verify(keys); err != nil {
		s.signer = "a key that you do not trust"
	}
	return s, nil
}

func signerChange(was, now string) []string {
	if was == now {
		return nil
	}
	return []string{fmt.Sprintf("signer: %s, before %s", cmp.Or(now, "nobody"), cmp.Or(was, "nobody"))}
}

// printDiff reports whether b goes beyond a.
func (a *app) printDiff(x, y side) (wider bool) {
	m, n := x.Manifest, y.Manifest
	line := func(mark, format string, args ...any) {
		fmt.Fprintf(a.stdout, "%-7s %s\n", mark, fmt.Sprintf(format, args...))
	}
	if x.Digest == y.Digest {
		line("same", "%s %s, byte for byte", n.Name, n.Version)
		return false
	}
	for _, c := range [][3]any{
		{"name", m.Name, n.Name},
		{"version", m.Version, n.Version},
		{"kind", m.Kind, n.Kind},
		{"memory, MiB", m.Limits.MemoryMiB, n.Limits.MemoryMiB},
		{"time, ms", m.Limits.TimeoutMS, n.Limits.TimeoutMS},
		{"size, bytes", x.Size, y.Size},
	} {
		if c[1] != c[2] {
			line("changed", "%v: %v, before %v", c[0], c[2], c[1])
		}
	}
	a.diffTools(m.Tools, n.Tools, line)
	for _, need := range m.Capabilities {
		if _, still := n.Need(need.Name); !still {
			line("less", "%s", needText(need))
		}
	}
	more := append(skill.Widened(m.Capabilities, n.Capabilities), signerChange(x.signer, y.signer)...)
	if m.Kind != n.Kind {
		more = append(more, "another kind of skill")
	}
	for _, s := range more {
		line("wider", "%s", s)
	}
	for _, need := range n.Capabilities {
		if _, before := m.Need(need.Name); !before {
			line("", "%s", needText(need))
		}
	}
	if more == nil {
		line("may", "the same or less than before")
	}
	return more != nil
}

func (a *app) diffTools(was, now []wire.Tool, line func(mark, format string, args ...any)) {
	find := func(in []wire.Tool, name string) *wire.Tool {
		if i := slices.IndexFunc(in, func(t wire.Tool) bool { return t.Name == name }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for _, t := range was {
		if find(now, t.Name) == nil {
			line("less", "tool %s", t.Name)
		}
	}
	for _, t := range now {
		switch o := find(was, t.Name); {
		case o == nil:
			line("new", "tool %s: %s", t.Name, oneLine(t.Description))
		case o.Description != t.Description || string(o.InputSchema) != string(t.InputSchema):
			line("changed", "tool %s", t.Name)
		}
	}
}
