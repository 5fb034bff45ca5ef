package main

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/kit"
)

func (a *app) skillAdoptCmd() *cobra.Command {
	var s kit.Adopt
	var out string
	c := &cobra.Command{
		Use:   "adopt FILE --as NAME [--tool NAME[=DESCRIPTION]]… [-o OUT]",
		Short: "Make a skill of an Extism plugin or a WASI command", Args: usageArgs(cobra.ExactArgs(1)),
		Long: `Make a skill of a .wasm file that was not written for this program: embed a manifest, then
check and compile it as 'skill build' does. Components are refused: core modules run here.

An Extism plugin: each --tool is an exported function, called with {"input": "text"}. Its
vars last for one call, its config is empty, host functions of one's own are not there. If
it imports http_request, the capability http is declared for it, as optional.

A WASI command (exports _start): a tool runs it with {"args": ["…"], "stdin": "…"}; stdout is
the result, an exit code other than 0 a tool error with the last lines of stderr. Without
--tool it is one tool, NAME; with several, the tool's name is the first argument.`,
		Example: `  nanoclaw skill adopt count_vowels.wasm --as vowels --tool "count_vowels=Count vowels" -o vowels.wasm
  nanoclaw skill adopt notes.wasm --as notes --tool add --tool list --capability "fs=keeps its notes there"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.File = args[0]; s.Name == "" {
				return &exitError{exitUsage, errors.New("give the skill a name: --as NAME")}
			}
			return a.makeSkill(cmd.Context(), &kit.Build{Out: cmp.Or(out, s.Name+".wasm")}, s.Run)
		},
	}
	f := c.Flags()
	f.StringVar(&s.Name, "as", "", "name of the skill")
	f.StringArrayVar(&s.Tools, "tool", nil, "NAME[=DESCRIPTION] of a tool (repeatable)")
	f.StringArrayVar(&s.Capabilities, "capability", nil, "NAME[=REASON] that a role has to grant (repeatable)")
	f.StringVar(&s.Version, "version", "1.0.0", "version of the skill")
	f.StringVar(&s.Description, "description", "", "what it is for, as models and people read it")
	f.StringVarP(&out, "output", "o", "", "file to write (default NAME.wasm)")
	return c
}
