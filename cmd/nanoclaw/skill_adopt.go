package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/module"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Schemas of adopted tools: what the runner's adapters take.
const (
	commandSchema = `{"type":"object","properties":{"args":{"type":"array","items":{"type":"string"},` +
		`"description":"arguments of the command line"},"stdin":{"type":"string","description":"standard input"}}}`
	extismSchema = `{"type":"object","required":["input"],"properties":{` +
		`"input":{"type":"string","description":"what the plugin reads, as it is"}}}`
	extismModule = "extism:host/env"
)

// skillAdopt makes a skill of a module that was written for another host.
type skillAdopt struct {
	file, name, version, description, out string
	tools, capabilities                   []string // NAME[=TEXT]
}

func (a *app) skillAdoptCmd() *cobra.Command {
	var s skillAdopt
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
			if s.file = args[0]; s.name == "" {
				return &exitError{exitUsage, errors.New("give the skill a name: --as NAME")}
			}
			return a.makeSkill(cmd.Context(), &skillBuild{out: cmp.Or(s.out, s.name+".wasm")}, s.run)
		},
	}
	f := c.Flags()
	f.StringVar(&s.name, "as", "", "name of the skill")
	f.StringArrayVar(&s.tools, "tool", nil, "NAME[=DESCRIPTION] of a tool (repeatable)")
	f.StringArrayVar(&s.capabilities, "capability", nil, "NAME[=REASON] that a role has to grant (repeatable)")
	f.StringVar(&s.version, "version", "1.0.0", "version of the skill")
	f.StringVar(&s.description, "description", "", "what it is for, as models and people read it")
	f.StringVarP(&s.out, "output", "o", "", "file to write (default NAME.wasm)")
	return c
}

func (s *skillAdopt) run(b *skillBuild, ctx context.Context) (_ *skill.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", s.file, err)
		}
	}()
	m, err := s.manifest()
	if err != nil {
		return nil, err
	}
	if b.tmp, err = os.MkdirTemp("", "nanoclaw-adopt-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	return b.finish(ctx, s.file, m, "")
}

// manifest finds out what the module is and says so.
func (s *skillAdopt) manifest() (m host.Manifest, err error) {
	f, err := os.Open(s.file)
	if err != nil {
		return m, fmt.Errorf("%w: %w", host.ErrInvalid, errors.Unwrap(err))
	}
	defer f.Close()
	wasm, err := io.ReadAll(io.LimitReader(f, module.MaxSize+1)) // Scan refuses what is larger
	if err != nil {
		return m, err
	}
	info, err := module.Scan(wasm)
	if err != nil {
		return m, fmt.Errorf("%w: %w", host.ErrDenied, err)
	}
	var exported, imported []string
	http := false
	for _, e := range info.Exports {
		if e.Kind == module.KindFunc {
			exported = append(exported, e.Name)
		}
	}
	for _, i := range info.Imports {
		imported = append(imported, i.Module)
		http = http || i.Module == extismModule && i.Name == "http_request"
	}
	m = host.Manifest{ABI: skill.ABI, Name: host.SkillName(s.name), Version: s.version, Adapter: wire.AdapterCommand}
	m.Limits.MemoryMiB = max(64, int(info.MemoryPages)/8) // twice what it starts with
	what, schema := "WASI command ", commandSchema
	switch {
	case slices.ContainsFunc(imported, func(s string) bool { return strings.HasPrefix(s, "nanoclaw_") }):
		return m, fmt.Errorf("%w: it is written for this program: use 'nanoclaw skill build'", host.ErrInvalid)
	case slices.Contains(imported, extismModule):
		m.Adapter, what, schema = wire.AdapterExtism, "Extism plugin ", extismSchema
	case !slices.Contains(exported, "_start"):
		return m, fmt.Errorf("%w: it is neither an Extism plugin (it imports nothing of %s) "+
			"nor a WASI command (it exports no _start)", host.ErrInvalid, extismModule)
	case len(s.tools) == 0:
		s.tools = []string{s.name}
	}
	all := strings.Join(exported, ", ")
	m.Description = cmp.Or(s.description, what+filepath.Base(s.file))
	for _, t := range s.tools {
		name, text, _ := strings.Cut(t, "=")
		text = cmp.Or(text, m.Description)
		m.Tools = append(m.Tools, wire.Tool{Name: name, Description: text, InputSchema: json.RawMessage(schema)})
		if m.Adapter == wire.AdapterExtism && !slices.Contains(exported, name) {
			return m, fmt.Errorf("%w: it has no function %q; it exports %s", host.ErrInvalid, name, all)
		}
	}
	if len(m.Tools) == 0 {
		return m, fmt.Errorf("%w: name the functions to offer with --tool; it exports %s", host.ErrInvalid, all)
	}
	for _, c := range s.capabilities {
		name, reason, _ := strings.Cut(c, "=")
		reason = cmp.Or(reason, "whoever adopted it says so")
		m.Capabilities = append(m.Capabilities, host.Need{Name: host.Capability(name), Reason: reason})
	}
	if _, declared := m.Need(host.CapHTTP); !declared && http {
		n := host.Need{Name: host.CapHTTP, Reason: "it imports http_request", Optional: true}
		m.Capabilities = append(m.Capabilities, n)
	}
	return m, nil
}
