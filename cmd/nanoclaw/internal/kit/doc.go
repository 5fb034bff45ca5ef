// Package kit is what authors of skills work with: `nanoclaw skill build` and the commands
// around it. Reading order: build.go (a folder becomes one file), child.go (compiling where
// no Docker daemon answers), casefile.go (test cases: DIR/tests/*.toml), runcases.go (one
// case, one container, one verdict), record.go (what http and llm answered once).
//
// It owns toolchains, templates and test cases of skills. A running host never uses it: it
// must not be imported by host/daemon or below, decide a grant, or compile WASM in this process.
package kit
