package wasm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Extism's Go SDK carries plugins made by its PDKs for C, Go, Haskell, Rust and TinyGo. They
// are read from the module cache and not kept here.
const (
	extismSDK = "github.com/extism/go-sdk@v1.7.1"
	extismSum = "h1:lWJos6uY+tRFdlIHR+SJjwFDApY7OypS/2nMhiVQ9Sw="
)

var extismDir = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", extismSDK)
	cmd.Dir = os.TempDir() // not this module's go.mod
	out, err := cmd.Output()
	var got struct{ Dir, Sum, Error string }
	if jerr := json.Unmarshal(out, &got); jerr != nil || got.Sum != extismSum {
		return "", fmt.Errorf("go mod download %s: %w, sum %q, %s", extismSDK, err, got.Sum, got.Error)
	}
	return filepath.Join(got.Dir, "wasm"), nil
})

// extism is one of the SDK's plugins as a skill called "p".
func extism(t *testing.T, file, tool string, granted ...string) wire.LoadSkill {
	t.Helper()
	dir, err := extismDir()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return pluginSpec(admitted(t, b), tool, granted...)
}

const inputSchema = `{"type":"object","properties":{"input":{"type":"string"}}}`

func pluginSpec(dir, tool string, granted ...string) wire.LoadSkill {
	s := spec("p", dir, granted...)
	s.Adapter = wire.AdapterExtism
	s.Tools = []wire.Tool{{Name: tool, InputSchema: json.RawMessage(inputSchema)}}
	return s
}

// TestExtismPlugins runs foreign plugins through the whole engine, each twice: nothing of
// the first call is there in the second.
func TestExtismPlugins(t *testing.T) {
	for _, tc := range []struct {
		file, tool, input, outcome, text string
	}{
		{"alloc.wasm", "run_test", "", wire.OutcomeOK, ""},
		{"config.wasm", "run_test", "", wire.OutcomeOK, `{"config": "<unset by host>"}`},
		{"count_vowels.wasm", "count_vowels", "hello world", wire.OutcomeOK, `{"count":3,"total":3,"vowels":"aeiouAEIOU"}`},
		{"count_vowels_std.wasm", "_start", "hello world", wire.OutcomeOK, `"count": 3, "config": "<unset by host>"`},
		{"exit.wasm", "_start", "", wire.OutcomeToolError, "returned 2 without saying why"},
		{"fail.wasm", "run_test", "", wire.OutcomeToolError, "Some error message"},
		{"fs_std.wasm", "run_test", "", wire.OutcomeToolError, ""}, // without fs there is no file
		{"hello.wasm", "run_test", "", wire.OutcomeOK, "Hello, world!"},
		{"hello_haskell.wasm", "testing", "John", wire.OutcomeOK, "Hello, John"},
		{"input_offset.wasm", "input_offset_length", "hello world", wire.OutcomeOK, "\x0b"},
		{"log.wasm", "run_test", "", wire.OutcomeOK, ""},
		{"noop.wasm", "run_test", "", wire.OutcomeOK, ""},
		{"replace.wasm", "run_test", "This is a test", wire.OutcomeOK, ""},
		{"sleep.wasm", "run_test", "", wire.OutcomeOK, ""},
		{"std_command.wasm", "_start", "ben", wire.OutcomeOK, "hello ben"},
		{"var.wasm", "run_test", "", wire.OutcomeOK, "a: 0"},
	} {
		t.Run(tc.file, func(t *testing.T) {
			e := one(t, extism(t, tc.file, tc.tool))
			args, err := json.Marshal(map[string]string{"input": tc.input})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				want(t, e.call(t, "p_"+tc.tool, string(args)), tc.outcome, tc.text)
			}
			if tc.file == "log.wasm" && !strings.Contains(e.log.String(), "this is an error log") {
				t.Error("nothing in the log:", e.log.String())
			}
		})
	}
}

// TestExtismFiles: a plugin's files are the fs grant's.
func TestExtismFiles(t *testing.T) {
	for _, file := range []string{"fs.wasm", "fs_std.wasm"} {
		base := t.TempDir()
		if err := os.WriteFile(filepath.Join(base, "test.txt"), []byte("hello world!"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := extism(t, file, "run_test", capFS)
		s.Preopens = []wire.Preopen{{Guest: "/mnt", Path: base}}
		e := newEngine(t, Config{}, wire.Load{Skills: []wire.LoadSkill{s}, Quota: wire.Quota{Bytes: 100, Files: 5}})
		want(t, e.call(t, "p_run_test", ""), wire.OutcomeOK, "hello world!")
	}
}

// TestExtismHTTP: a plugin's requests go to the broker like any skill's, or nowhere.
func TestExtismHTTP(t *testing.T) {
	const url = `{"url":"https://extism.org"}`
	for _, tc := range []struct {
		name, file, tool, args string
		granted, stubbed       []string
		status                 wire.Status
		answer                 string
		outcome, text, asked   string
	}{
		{
			"granted", "http.wasm", "run_test", "",
			[]string{"http"},
			nil, wire.StatusOK, `{"status":200,"body":"the page"}`,
			wire.OutcomeOK, "the page", `{"method":"GET","url":"https://jsonplaceholder.typicode.com/todos/1",`,
		},
		{
			"bytes", "http.wasm", "run_test", "",
			[]string{"http"},
			nil, wire.StatusOK, `{"status":200,"body_base64":"aGk="}`,
			wire.OutcomeOK, "hi", `{"method":"GET",`,
		},
		{
			"headers", "http_headers.wasm", "http_get", url,
			[]string{"http"},
			nil,
			wire.StatusOK, `{"status":200,"headers":{"Content-Type":"text/html"},"body":""}`,
			wire.OutcomeOK, `{"content-type":"text/html"}`, `{"method":"","url":"https://extism.org"}`,
		},
		{
			"refused by the broker", "http.wasm", "run_test", "",
			[]string{"http"},
			nil, wire.StatusDenied,
			`{"code":"denied","message":"host not in grant"}`, wire.OutcomeDenied, "host not in grant", `{"method":"GET",`,
		},
		{
			"no answer", "http.wasm", "run_test", "",
			[]string{"http"},
			nil, wire.StatusUnavailable, `nonsense`,
			wire.OutcomeToolError, "http: no answer", `{"method":"GET",`,
		},
		{
			"too large an answer", "http.wasm", "run_test", "",
			[]string{"http"},
			nil, wire.StatusOK,
			`{"body":"` + strings.Repeat("x", 7<<20) + `"}`, wire.OutcomeCrashed, "no room for", `{"method":"GET",`,
		},
		{"stubbed", "http.wasm", "run_test", "", nil, []string{"http"}, 0, "", wire.OutcomeDenied, "http: not granted to this role", ""},
		{"not declared", "http.wasm", "run_test", "", nil, nil, 0, "", wire.OutcomeDenied, "needs the capability http", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := ""
			s := extism(t, tc.file, tc.tool, tc.granted...)
			s.Stubbed, s.MemoryMiB = tc.stubbed, 4
			if tc.args != "" { // JSON for the plugin itself
				s.Tools[0].InputSchema = json.RawMessage(`{"type":"object","properties":{"url":{"type":"string"}}}`)
			}
			e := newEngine(t, Config{Broker: func(_ context.Context, _, _, c string, body []byte) (wire.Status, []byte, error) {
				asked += c + string(body)
				return tc.status, []byte(tc.answer), nil
			}}, wire.Load{Skills: []wire.LoadSkill{s}})
			want(t, e.call(t, "p_"+tc.tool, tc.args), tc.outcome, tc.text)
			if tc.asked == "" && asked != "" || !strings.Contains(asked, tc.asked) {
				t.Errorf("the broker was asked %q, want %q", asked, tc.asked)
			}
		})
	}
}

// TestExtismRefused: what an Extism host of one's own would link is not linked here, and
// the ABI's module only for a plugin.
func TestExtismRefused(t *testing.T) {
	mult := extism(t, "host.wasm", "run_test")
	want(t, one(t, mult).call(t, "p_run_test", ""), wire.OutcomeDenied, `imports "extism:host/user" "mult"`)
	none := extism(t, "hello.wasm", "malloc")
	want(t, one(t, none).call(t, "p_malloc", ""), wire.OutcomeDenied, `exports no function "malloc" that an Extism host can call`)
	e := one(t, extism(t, "count_vowels.wasm", "count_vowels"))
	for args, text := range map[string]string{`{"inptu":"x"}`: "unknown field", `{"input":1}`: `{"input": string}`, `[]`: "input"} {
		want(t, e.call(t, "p_count_vowels", args), wire.OutcomeInvalid, text)
	}
	b := newBuilder()
	b.imp(extismModule, "alloc", "I", "I")
	plain := b.skill(b.fn("i", "i", 0, i32(0)))
	want(t, one(t, spec("s", admitted(t, plain))).call(t, "s", ""), wire.OutcomeDenied, "not part of ABI 1")
}

// hostilePlugin has the tool "f", which runs code. The functions of the kernel are imported
// as named, with a dot and their type.
func hostilePlugin(imports []string, code ...[]byte) []byte {
	b := newBuilder()
	for _, i := range imports {
		name, sig, _ := strings.Cut(i, ".")
		params, results, _ := strings.Cut(sig, "/")
		b.imp(extismModule, name, params, results)
	}
	return b.export("memory", 2, 0).export("f", 0, b.fn("", "i", 0, append(code, i32(0))...)).build()
}

func i64(v int64) []byte { return sleb([]byte{0x42}, v) }

func TestHostileExtismPlugins(t *testing.T) {
	const alloc, store, output, varSet = "alloc.I/I", "store_u64.II/", "output_set.II/", "var_set.II/"
	all := []string{alloc, store, output, varSet, "load_u8.I/i", "input_load_u64.I/I", "error_set.I/", "free.I/", "log_info.I/"}
	const fAlloc, fStore, fOutput, fVarSet, fLoad, fInput, fError, fFree, fLog = 0, 1, 2, 3, 4, 5, 6, 7, 8
	keep := op(0x0d, 0) // br_if: the loop goes on while what is on the stack is not 0
	wrapped := func(code ...[]byte) []byte { return append(bytesOf(1, code...), wrap...) }
	for _, tc := range []struct {
		name, outcome, text string
		code                [][]byte
	}{
		{"huge block", wire.OutcomeOK, "", [][]byte{i64(-1), call(fAlloc), wrap, op(0x04, 0x40), trap, op(0x0b)}},
		{"all memory there is", wire.OutcomeOK, "", [][]byte{loop(wrapped(i64(1<<20), call(fAlloc)), keep)}},
		{"all blocks there are", wire.OutcomeOK, "", [][]byte{loop(wrapped(i64(1), call(fAlloc)), keep)}},
		{"blocks for ever", wire.OutcomeTimeout, "timed out", [][]byte{loop(i64(9000), call(fAlloc), call(fFree), br0)}},
		{"store at 0", wire.OutcomeCrashed, "reached outside of its memory", [][]byte{i64(0), i64(1), call(fStore)}},
		{"store at the end", wire.OutcomeCrashed, "reached outside", [][]byte{i64(16), call(fAlloc), i64(10), op(0x7c), i64(1), call(fStore)}},
		{"store at -1", wire.OutcomeCrashed, "reached outside", [][]byte{i64(-1), i64(1), call(fStore)}},
		{"load far away", wire.OutcomeCrashed, "reached outside", [][]byte{i64(1 << 40), call(fLoad), drop}},
		{"input beyond", wire.OutcomeCrashed, "beyond its input", [][]byte{i64(-4), call(fInput), drop}},
		{"output beyond", wire.OutcomeCrashed, "reached outside", [][]byte{i64(16), i64(-1), call(fOutput)}},
		{"output of 2 MiB", wire.OutcomeInvalid, "larger than 1 MiB", [][]byte{i64(2 << 20), call(fAlloc), i64(2 << 20), call(fOutput)}},
		{"error nowhere", wire.OutcomeToolError, "without saying why", [][]byte{i64(77), call(fError), i32(7), ret}},
		{"vars of 2 MiB", wire.OutcomeCrashed, "vars are larger", [][]byte{i64(0), i64(2 << 20), call(fAlloc), call(fVarSet)}},
		{"log of 2 MiB", wire.OutcomeOK, "", [][]byte{i64(2 << 20), call(fAlloc), call(fLog)}},
		{"log for ever", wire.OutcomeTimeout, "timed out", [][]byte{loop(i64(0), call(fLog), br0)}},
		{"endless loop", wire.OutcomeTimeout, "timed out", [][]byte{loop(br0)}},
		{"recursion", wire.OutcomeCrashed, "call stack exhausted", [][]byte{call(len(all)), drop}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := pluginSpec(admitted(t, hostilePlugin(all, tc.code...)), "f")
			s.MemoryMiB = 8
			e := one(t, s)
			limit := 30_000
			if tc.outcome == wire.OutcomeTimeout {
				limit = 300
			}
			within(t, time.Minute, func() {
				for range 2 {
					out := e.Tool(context.Background(), wire.ToolCall{Name: "p_f", TimeoutMS: limit})
					want(t, out, tc.outcome, tc.text)
				}
			})
			if used := e.memory.used.Load(); used > 2*9<<20 { // this instance's and the next one's
				t.Errorf("%d bytes in use", used)
			}
			if n := len(e.log.String()); n > 1<<20 {
				t.Errorf("%d bytes were logged", n)
			}
		})
	}
}

// FuzzExtismKernel does with the kernel's memory what a hostile plugin may: nothing but a
// guestFault may come of it, and its bounds hold.
func FuzzExtismKernel(f *testing.F) {
	f.Add([]byte("\x00\x10\x01\x10\x02\x10\x03\x10"))
	f.Fuzz(func(t *testing.T, program []byte) {
		a := &allocator{max: 4 << 20}
		in := &instance{ctx: context.Background(), lines: maxLines + 1}
		in.kernel = newKernel(a.limited(2 << 20))
		defer func() {
			in.kernel.memory.Free()
			if a.used.Load() != 0 {
				t.Error("memory is left")
			}
		}()
		ctx := context.WithValue(context.Background(), instanceKey{}, in)
		functions := extismFunctions(false)
		values := []uint64{0, 1, 8, 16, 17, 4096, 1 << 20, 1 << 32, 1<<64 - 1, 1<<64 - 8}
		for len(program) > 3 {
			stack := []uint64{values[int(program[1])%len(values)], values[int(program[2])%len(values)]}
			func() {
				defer func() {
					if r := recover(); r != nil {
						if _, ok := r.(guestFault); !ok {
							t.Fatal(r)
						}
					}
				}()
				functions[int(program[0])%len(functions)].f(ctx, nil, stack)
			}()
			values = append(values, stack[0])
			program = program[3:]
		}
		if k := in.kernel; a.used.Load() > 2<<20 || k.varBytes > maxVars+1<<20 || len(k.blocks) > maxBlocks {
			t.Error("beyond its bounds:", a.used.Load(), k.varBytes, len(k.blocks))
		}
	})
}
