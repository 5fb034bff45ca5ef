// Package wasm is the WASM host that runs inside an agent's container: it loads
// admitted skills, gives each exactly the import modules it was granted, and runs
// tool calls and turns in fresh instances.
//
// It owns everything that touches wazero, and nothing else does: metering (Meter),
// admission (Admit), linear memory (allocator), the file system of guests (rootFS),
// the ABI (link.go, core.go), instances, skills and the Engine over them. It must
// never hold a secret, open a socket, or decide what a role may do: it is told by
// wire.Load, asks its Broker for everything that leaves the container, and the
// broker checks again.
//
// Reading order: engine.go (what the runner asks for), skill.go (one loaded skill
// and its instance made ready), instance.go (one call), link.go and core.go (what
// a guest can reach), wasi.go and rootfs.go (its files), meter.go (why it ends),
// adapter.go and extism.go (modules that were written for other hosts).
//
// # What would surprise
//
// Each skill has a wazero.Runtime of its own. Import modules are looked up by name
// within a runtime, so "linked only if granted" is then a fact of the runtime and not
// a check in a function; it costs 0.7 ms, and a closed runtime gives all memory back.
//
// Fuel is a global of the rewritten module and not WithCloseOnContextDone, which is
// 17 times slower in tight loops and never stops recursion. The meter also counts the
// depth of calls, by frame size: wazero lets a stack grow to 400 MB, which is more
// than the container has.
//
// WASI functions are wazero's own, behind a function listener (guard). A listener sees
// the arguments before the function does, so that a path of 60 MB, a descriptor number
// of two billion or ten million poll subscriptions cost the runner nothing, and the
// deadline is checked at each call.
//
// A module may export nanoclaw_warm (no parameters, no results): it is called once when an
// instance is made ready, after _initialize and like it without capabilities. What a
// runtime is slow at the first time is then done before anybody waits; a Go skill
// answers its first call in about half the time.
//
// Memories are mappings and not slices (allocator): what a closed instance used goes
// back to the system at once, and all instances together stay below one bound.
//
// Extism's kernel is Go here and not the WASM module that its SDKs bring: what a plugin
// and its host share is one more linear memory of the allocator, so that its bounds and
// accounts are those of any memory. http_request is the capability http; vars last for
// one call, since an instance does; config is empty. The tool's arguments are the input
// as JSON, or the one string "input" as it is, because most plugins read plain text.
//
// args_get and args_sizes_get are ours and not wazero's, whose arguments are fixed when
// an instance is made, which is before anybody knows the call that it will serve.
//
// A file that has several names may be read but not written, since one of its names may
// lie outside of the workspace. So it is with hard links that a guest makes itself.
//
// Symlinks may exist and are followed as long as they stay inside (os.Root); new ones
// must point inside by their text alone.
//
// Random numbers and the clock are real, also when the broker replays a turn from its journal: a seed
// that a guest could know would make another's numbers known too. A replay matches, byte for byte, as
// long as requests do not depend on them; one that does is a request of its own, and the broker
// treats it as every first difference.
//
// Of the 72 preview1 tests of WebAssembly/wasi-testsuite (on 2026-11-24, retyped from copies of
// several commits, most often 0ebe949; all could be built) wazero's directory mount passes 58;
// over rootFS the same 58 pass and pwrite-with-append. One of them, sock_shutdown-invalid_fd,
// is refused as a skill: no sockets. TestPreview1 has scenarios of our own on these topics.
package wasm
