package wasm

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// commands are one program in several languages, as their own toolchains make it.
var commands = []struct {
	file, packages string // Debian's
	build          []string
}{
	{"main.go", "Go", []string{"go", "build", "-trimpath", "-o"}},
	{
		"main.c", "clang lld wasi-libc libclang-rt-dev-wasm32",
		[]string{"clang", "--target=wasm32-wasi", "-Os", "-o"},
	},
	{
		"main.rs", "rustc libstd-rust-dev-wasm32 lld", // the rustc of a rustup may stand before it and lack the target
		[]string{"/usr/bin/rustc", "--target=wasm32-wasi", "-O", "-C", "linker=wasm-ld", "-o"},
	},
}

// foreign builds one of them. A missing toolchain is a failure that names it.
func foreign(t *testing.T, file string) []byte {
	t.Helper()
	for _, c := range commands {
		if c.file != file {
			continue
		}
		out := filepath.Join(t.TempDir(), "out.wasm")
		cmd := exec.Command(c.build[0], append(c.build[1:], out, filepath.Join("testdata", "command", file))...)
		if file == "main.go" {
			cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
		}
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s needs the packages %s: %v\n%s", file, c.packages, err, said)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	t.Fatal("no such command", file)
	return nil
}

func commandSpec(dir string, granted ...string) wire.LoadSkill {
	s := spec("c", dir, granted...)
	s.Adapter = wire.AdapterCommand
	return s
}

func TestCommands(t *testing.T) {
	for _, c := range commands {
		t.Run(c.file, func(t *testing.T) {
			dir := admitted(t, foreign(t, c.file))
			e := one(t, commandSpec(dir))
			for _, tc := range []struct{ args, outcome, text string }{
				{`{}`, wire.OutcomeOK, "c: "},
				{`{"args":["a b","","é\"$HOME"],"stdin":"two\nlines"}`, wire.OutcomeOK, "c|a b||é\"$HOME: two\nlines"},
				{`{"args":["cat","/etc/passwd"]}`, wire.OutcomeToolError, "exit code 3: cannot read /etc/passwd"},
				{`{"args":["cat","/etc/passwd"]}`, wire.OutcomeToolError, "exit code 3\nlooking\ncannot read"},
				{`{"args":["a\u0000b"]}`, wire.OutcomeInvalid, "zero byte"},
				{`{"args":"a"}`, wire.OutcomeInvalid, `must be {"args": [strings], "stdin": string}`},
				{`{"argv":["a"]}`, wire.OutcomeInvalid, `unknown field "argv"`},
			} {
				want(t, e.call(t, "c", tc.args), tc.outcome, tc.text)
			}
			big, err := json.Marshal(map[string]string{"stdin": strings.Repeat("x", 900_000)})
			if err != nil {
				t.Fatal(err)
			}
			if out := e.call(t, "c", string(big)); len(out.Result.Text()) != 900_003 {
				t.Errorf("%d bytes came back, want 900,003", len(out.Result.Text()))
			}

			ws := t.TempDir()
			if err := os.WriteFile(filepath.Join(ws, "note"), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := commandSpec(dir, capFS)
			s.Preopens = []wire.Preopen{{Guest: workspaceDir, Path: ws, ReadOnly: true}}
			s.Tools = []wire.Tool{{Name: "cat"}, {Name: "other"}} // the tool is a subcommand
			e = one(t, s)
			want(t, e.call(t, "c_cat", `{"args":["/workspace/note"]}`), wire.OutcomeOK, "c|cat|/workspace/note: mine")
			want(t, e.call(t, "c_other", `{"stdin":"in"}`), wire.OutcomeOK, "c|other: in")
		})
	}
}

// TestHostileCommands: what a command says is bounded, and so is what it does.
func TestHostileCommands(t *testing.T) {
	// writes 4 KiB of 'x' to a descriptor, as often as it is asked to
	writes := func(fd int64, code ...[]byte) []byte {
		b := newBuilder()
		write := b.imp(wasiModule, "fd_write", "iiii", "i")
		exit := b.imp(wasiModule, "proc_exit", "i", "")
		b.bytesAt(0, "\x10\x00\x00\x00\x00\x10\x00\x00").bytesAt(16, strings.Repeat("x", 4096))
		all := [][]byte{loop(append([][]byte{
			i32(fd), i32(0), i32(1), i32(8), call(write), drop, get(0), i32(1), add, set(0),
		}, code...)...), i32(7), call(exit)}
		return b.export("memory", 2, 0).export(entryCommand, 0, b.fn("", "", 1, all...)).build()
	}
	times := func(n int64) [][]byte { return [][]byte{get(0), i32(n), op(0x48), op(0x0d, 0)} }
	badArgs := func() []byte { // where its arguments go lies outside of its memory
		b := newBuilder()
		sizes := b.imp(wasiModule, "args_sizes_get", "ii", "i")
		get := b.imp(wasiModule, "args_get", "ii", "i")
		exit := b.imp(wasiModule, "proc_exit", "i", "")
		return b.export("memory", 2, 0).export(entryCommand, 0, b.fn("", "", 0,
			i32(-2), i32(0), call(sizes), i32(0), i32(-2), call(get), add, call(exit))).build()
	}
	for _, tc := range []struct {
		name          string
		wasm          []byte
		outcome, text string
	}{
		{"stdout of 2 MiB", writes(1, times(512)...), wire.OutcomeInvalid, "larger than 1 MiB"},
		{"stdout for ever", writes(1, br0), wire.OutcomeTimeout, "timed out"},
		{"stderr of 2 MiB", writes(2, times(512)...), wire.OutcomeToolError, "exit code 7: xxx"},
		{"stderr for ever", writes(2, br0), wire.OutcomeTimeout, "timed out"},
		{"arguments into nowhere", badArgs(), wire.OutcomeToolError, "exit code 42"},
		{"no entry", answers(okResult), wire.OutcomeDenied, "is no WASI command: it exports no _start"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := one(t, commandSpec(admitted(t, tc.wasm)))
			limit := 30_000
			if tc.outcome == wire.OutcomeTimeout {
				limit = 300
			}
			within(t, time.Minute, func() {
				out := e.Tool(context.Background(), wire.ToolCall{Name: "c", TimeoutMS: limit})
				want(t, out, tc.outcome, tc.text)
				if n := len(out.Result.Text()) + len(out.Message); n > 8<<10 {
					t.Errorf("the outcome has %d bytes", n)
				}
			})
		})
	}
}
