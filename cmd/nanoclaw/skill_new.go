package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/kit"
)

func (a *app) skillNewCmd() *cobra.Command {
	var n kit.New
	c := &cobra.Command{
		Use: "new NAME [--lang LANG] [--agent] [-o DIR]", Short: "Make a skill's folder to begin from",
		Args: usageArgs(cobra.ExactArgs(1)),
		Long: `Make a folder that holds a skill which works: skill.toml, SKILL.md, a program with one
tool, its test, and the guest API of its language. Building, testing and an editor then
need the language's toolchain alone, and no network.`,
		Example: "  nanoclaw skill new hello && nanoclaw skill build hello -o plugins/hello.wasm",
		RunE: func(_ *cobra.Command, args []string) error {
			n.Name = args[0]
			files, err := n.Run()
			if err != nil {
				return &exitError{exitCode(err), err}
			}
			a.nextSteps(n, files)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&n.Lang, "lang", "go", strings.Join(kit.Langs(), ", "))
	f.BoolVar(&n.Agent, "agent", false, "make a skill agent, a role's brain, in the place of a tool")
	f.StringVarP(&n.Dir, "output", "o", "", "folder to make (default ./NAME)")
	return c
}

func (a *app) nextSteps(n kit.New, files []string) {
	file := filepath.Join("plugins", n.Name+".wasm")
	fmt.Fprintf(a.stdout, "made %s: %s\n\n", n.Dir, strings.Join(files, ", "))
	fmt.Fprintf(a.stdout, "  nanoclaw skill build %s -o %s\n", n.Dir, file)
	if n.Agent {
		fmt.Fprintf(a.stdout, "\nthen say agent = %q in a role of nanoclaw.toml.\n", n.Name)
		return
	}
	fmt.Fprintf(a.stdout, "  nanoclaw skill call %s %s '{\"name\":\"Ada\"}'\n", file, n.Name)
	fmt.Fprintf(a.stdout, "\nthen add %q to the skills of a role in nanoclaw.toml and say: /%s Ada\n", n.Name, n.Name)
}
