package config

import (
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// ClaudeImage is the image that `nanoclaw image build claude-code` makes, and the preset's own.
const ClaudeImage = "nanoclaw-claude-code"

// exec gives r the program that answers its turns, where the file says so.
func (b *builder) exec(c *Config, at string, r *host.Role, t roleTable) {
	e := t.execTable
	is := e.Engine == "exec"
	b.oneOf(at+".engine", e.Engine, "wasm", "exec")
	b.oneOf(at+".preset", e.Preset, wire.PresetClaude)
	b.oneOf(at+".permissions", e.Permissions, "edits", "bypass")
	b.oneOf(at+".lifetime", e.Lifetime, "turn", "conversation")
	for key, said := range map[string]bool{
		"image": e.Image != "", "command": len(e.Command) > 0, "preset": e.Preset != "", "permissions": e.Permissions != "",
		"lifetime": e.Lifetime != "",
	} {
		if said && !is {
			b.fail(at+"."+key, `is for engine = "exec" alone`)
		}
	}
	if !is {
		return
	}
	r.Brain, r.Exec = "", &host.Exec{
		Image: e.Image, Command: e.Command, Preset: e.Preset, Bypass: e.Permissions == "bypass",
		Keep: e.Lifetime == "conversation",
	}
	if e.Preset == wire.PresetClaude {
		if e.Image == "" {
			r.Exec.Image = ClaudeImage
		}
		if len(e.Command) == 0 {
			r.Exec.Command = []string{"claude"}
		}
	}
	switch {
	case r.Exec.Image == "" || strings.ContainsAny(r.Exec.Image, " \t\n"):
		b.fail(at, `must say its image, one that the Docker daemon has: image = "NAME"`)
	case len(r.Exec.Command) == 0 || strings.TrimSpace(r.Exec.Command[0]) == "":
		b.fail(at, `must say its command: command = ["PROGRAM", "ARGUMENT"]`)
	case t.Agent != "":
		b.fail(at+".agent", `a program answers for this role; agent is for engine = "wasm"`)
	case len(t.Delegates) > 0:
		b.fail(at+".delegates", "a program cannot give tasks to other roles; they may give tasks to it")
	case c.Engine.Runtime == None:
		b.fail(at+".engine", `a program needs a container, and engine.runtime is "none"`)
	}
}

// oneOf refuses what is said and none of the words.
func (b *builder) oneOf(at, said string, words ...string) {
	if said != "" && !slices.Contains(words, said) {
		b.fail(at, `%q is none of "%s"`, said, strings.Join(words, `", "`))
	}
}
