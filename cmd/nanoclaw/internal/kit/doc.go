// Package kit is what authors of skills work with: `nanoclaw skill build` and the commands
// around it. Reading order: manifest.go (skill.toml), build.go (a folder becomes one file),
// lang.go (each language and its toolchain), child.go (compiling where no Docker daemon
// answers), verify.go (is a file what its source builds?), new.go and templates/ (a skill to
// begin from), adopt.go (modules written for other hosts), sign.go, casefile.go (test cases:
// DIR/tests/*.toml), runcases.go (one case, one container, one verdict), record.go (what http
// and llm answered once).
//
// It owns toolchains, templates and test cases of skills. A running host never uses it: it
// must not be imported by host/daemon or below, decide a grant, or compile WASM in this process.
//
// # What would surprise
//
// Rust and C are built by calling their compilers, not cargo or make: then source and compiler
// alone decide the result, no registry is asked, and a folder of three files is enough.
//
// The guest API lies in nanoclaw-sdk beside a new skill or, without that folder, in a temporary
// one; paths are rewritten so that both give the same digest. In Go that takes the same name for
// the directory that go.mod's replace names, since Go writes it into every program.
//
// Rust's compiler is looked for in every directory of the PATH: the first one there is often
// rustup's, without a WASI target, and the second one Debian's, with it.
package kit
