//go:build !wasip1

package abi

import (
	"sync"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

var installed struct {
	sync.Mutex
	host Host
}

// Install makes h answer until remove is called. One host at a time: a second
// one would answer calls of the first one's skill.
func Install(h Host) (remove func()) {
	installed.Lock()
	defer installed.Unlock()
	if installed.host != nil {
		panic("sdk: two test hosts at once; tests of skills cannot run in parallel")
	}
	installed.host = h
	return func() {
		installed.Lock()
		defer installed.Unlock()
		installed.host = nil
	}
}

func current() Host {
	installed.Lock()
	defer installed.Unlock()
	if installed.host == nil {
		panic("sdk: outside wasm a skill needs a host: call it through package sdktest")
	}
	return installed.host
}

// Workspace is where the agent's files are.
func Workspace() string { return current().Workspace() }

// Setting is what the role says to this skill under name, "" when nothing.
func Setting(name string) string { return current().Setting(name) }

// Mounts are the role's directories of the host's machine.
func Mounts() []string { return current().Mounts() }

// Log writes one line to the host's log.
func Log(level uint32, text string) { current().Log(level, text) }

// HTTP stands for nanoclaw_http_1.
func HTTP(req []byte) ([]byte, wire.Status) { return current().Capability("http", req) }

// LLM stands for nanoclaw_llm_1.
func LLM(req []byte) ([]byte, wire.Status) { return current().Capability("llm", req) }

// KV stands for nanoclaw_kv_1.
func KV(req []byte) ([]byte, wire.Status) { return current().Capability("kv", req) }

// History stands for nanoclaw_history_1.
func History(req []byte) ([]byte, wire.Status) { return current().Capability("history", req) }

// Tool stands for nanoclaw_tool_1.
func Tool(req []byte) ([]byte, wire.Status) { return current().Capability("tool", req) }

// Agent stands for nanoclaw_agent_1.
func Agent(req []byte) ([]byte, wire.Status) { return current().Capability("agent", req) }

// Task stands for nanoclaw_task_1.
func Task(req []byte) ([]byte, wire.Status) { return current().Capability("task", req) }

// Message stands for nanoclaw_message_1.
func Message(req []byte) ([]byte, wire.Status) { return current().Capability("message", req) }
