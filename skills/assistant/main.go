// Skill assistant is the general skill agent: the loop between model and tools.
//
// It holds no state and no policy. Which tools there are, what they may do and
// what a model costs is decided by the host; this only carries messages.
package main

import "github.com/nanoclaw/nanoclaw/sdk"

func init() { sdk.Agent(sdk.Loop{Agents: sdk.CallAgents}.Run) }

func main() {}
