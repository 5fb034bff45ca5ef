// Package sdk is the guest API for skills written in Go.
//
// `nanoclaw skill new hello` makes a skill that works, with this package beside it in
// nanoclaw-sdk, so that go build, go test and gopls need no network. A skill is a program
// that registers its tools and does nothing else:
//
//	package main
//
//	import "github.com/nanoclaw/nanoclaw/sdk"
//
//	type Input struct {
//		City string `json:"city"`
//	}
//
//	func init() {
//		sdk.Tool("forecast", func(c sdk.Context, in Input) (string, error) {
//			return "Sunny in " + in.City, nil
//		})
//	}
//
//	func main() {}
//
// `nanoclaw skill build` makes a .wasm file of it and of the skill.toml beside
// it, with Go alone. The same source runs under `go test`, where package sdktest
// stands for the host.
//
// What a skill may do beyond computing it asks for by calling it: [HTTP], [LLM],
// [KVGet] and its like, [CallTool], [Tasks], and files below [Workspace] with package os.
// Each of them is a wasm import of its own, and a function that is never called
// is not imported; so the imports of a module say what it can do, and a
// skill.toml that does not declare one of them is refused. A refused call
// returns an [Error]: errors.Is(err, sdk.ErrDenied). Files that were not granted are not
// there at all: package os answers "Capabilities insufficient".
//
// What a role tells a skill, such as the address of a server, [Setting] reads: settings =
// { SKILL = { name = "…" } } in nanoclaw.toml. A skill whose skill.toml says kind = "agent" is
// the brain of roles that name it: [Agent], and [Loop] for what most of them do.
//
// Every call runs in a fresh instance: package variables do not outlive it. A
// guest has one thread and no clock of its own; deadlines are the host's. A
// turn that was cut short runs again with the same Context.Turn, and what a
// tool wrote to the workspace is still there: use it to write things once.
//
// What lies below, for other languages: ABI.md, and the folders rust, c and assemblyscript.
//
// # Size
//
// A loaded skill costs the runner about four times the size of its module for native code, and
// six times with the instance that is kept ready; and there is a runner for every agent. An
// empty Go module is 1.8 MB, with this package 2.4 MB. Importing time adds 0.26 MB to that, fmt
// 0.44, os 0.49, encoding/json 0.83, even for one call: prefer strconv and strings, [Marshal]
// and [Unmarshal], and package syscall where a skill is loaded by many agents: the bundled
// skill files went from 3.2 to 2.7 MB, and its runner from 48 to 44 MB.
package sdk
