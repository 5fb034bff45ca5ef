package abi

import "github.com/nanoclaw/nanoclaw/sdk/wire"

// Host answers in the place of the runner. sdktest.Host is the one there is.
type Host interface {
	// Capability answers one call of "http", "llm", "kv", "history", "task", "tool" or "agent".
	Capability(name string, req []byte) ([]byte, wire.Status)
	// Log takes one line.
	Log(level uint32, text string)
	// Setting is the value of one of the role's settings for this skill, "" when there is none.
	Setting(name string) string
	// Mounts are the directories that stand for those below /mnt.
	Mounts() []string
	// Workspace is the directory that stands for /workspace.
	Workspace() string
}
