package kit

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

// Adopt makes a skill of a module that was written for another host.
type Adopt struct {
	File, Name, Version, Description string
	Tools, Capabilities              []string // NAME[=TEXT]
}

// Run embeds a manifest, checks and compiles as b says, and only then puts the file in place.
func (s *Adopt) Run(ctx context.Context, b *Build) (f *skill.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", s.File, err)
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
	if f, err = b.check(s.File, m, ""); err != nil {
		return nil, err
	}
	return f, b.finish(ctx, f)
}

// manifest finds out what the module is and says so.
func (s *Adopt) manifest() (m host.Manifest, err error) {
	f, err := os.Open(s.File)
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
	m = host.Manifest{ABI: skill.ABI, Name: host.SkillName(s.Name), Version: s.Version, Adapter: wire.AdapterCommand}
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
	case len(s.Tools) == 0:
		s.Tools = []string{s.Name}
	}
	all := strings.Join(exported, ", ")
	m.Description = cmp.Or(s.Description, what+filepath.Base(s.File))
	for _, t := range s.Tools {
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
	for _, c := range s.Capabilities {
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
