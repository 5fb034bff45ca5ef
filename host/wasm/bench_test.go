package wasm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero/api"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// abiInstance is an instance that is not running, for calling host functions directly.
func abiInstance(t testing.TB) (*instance, context.Context) {
	t.Helper()
	e := one(t, spec("s", admitted(t, answers(okResult)), "kv"))
	l, err := e.skills["s"].use(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.newInstance(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.close()
		e.release(e.skills["s"])
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	t.Cleanup(cancel)
	in.running, in.call.turn = true, &turn{}
	return in, in.enter(ctx)
}

// FuzzABI calls every host function of the ABI with any arguments.
func FuzzABI(f *testing.F) {
	for _, n := range []uint32{0, 1, pageSize - 1, pageSize, wire.MaxCapRequest + 1, 1 << 31, never} {
		f.Add(uint8(n), n, n, n, "text")
		f.Add(uint8(n+1), uint32(0), n, n, "text")
	}
	in, ctx := abiInstance(f)
	functions := append([]hostFunc{
		{"kv", capability("kv", true), "", ""}, {"stub", capability("kv", false), "", ""}, {"tool", capability("tool", true), "", ""},
	}, coreFunctions...)
	f.Fuzz(func(t *testing.T, which uint8, a, b, c uint32, text string) {
		in.input, in.result, in.output, in.outputFault, in.lines = []byte(text), []byte(text), nil, "", 0
		in.mod.Memory().Write(0, []byte(text))
		stack := []uint64{uint64(a), uint64(b), uint64(c)}
		fn := functions[int(which)%len(functions)]
		fn.f(ctx, in.mod, stack)
		switch {
		case len(in.output) > pageSize:
			t.Errorf("%s(%d, %d, %d) wrote %d bytes of a page", fn.name, a, b, c, len(in.output))
		case fn.results == "i" && stack[0] > uint64(len(text)):
			t.Errorf("%s(%d, %d, %d) read %d of %d bytes", fn.name, a, b, c, stack[0], len(text))
		case fn.params == "" && uint32(stack[0]) != uint32(len(in.result)):
			t.Errorf("%s(%d, %d) says %d bytes, there are %d", fn.name, a, b, uint32(stack[0]), len(in.result))
		}
	})
}

const benchArgs = `{"op":"reverse","data":"the quick brown fox jumps over the lazy dog"}`

// BenchmarkCall is what DESIGN section 12 compares: a tool call on an instance made
// ready ahead, and the same export on one kept instance of the unmetered module.
func BenchmarkCall(b *testing.B) {
	cases := []struct{ name, dir string }{{"go", goGuest(b)}, {"hand", admittedIn(b, answers(okResult))}}
	for lang, build := range compilers {
		if wasm := compiled(b, build); wasm != nil {
			cases = append(cases, struct{ name, dir string }{lang, admittedIn(b, wasm)})
		}
	}
	for _, c := range cases {
		b.Run(c.name+"/fresh", func(b *testing.B) {
			benchFresh(b, spec("s", c.dir), wire.ToolCall{Name: "s", Arguments: json.RawMessage(benchArgs)})
		})
		b.Run(c.name+"/sustained", func(b *testing.B) {
			e := one(b, spec("s", c.dir))
			e.quiet = 0
			call := wire.ToolCall{Name: "s", Arguments: json.RawMessage(benchArgs)}
			for b.Loop() {
				if out := e.Tool(context.Background(), call); out.Outcome != wire.OutcomeOK {
					b.Fatal(out)
				}
			}
		})
		for kind, file := range map[string]string{"kept": "in.wasm", "kept-metered": "skill.wasm"} {
			b.Run(c.name+"/"+kind, func(b *testing.B) { benchKept(b, filepath.Join(c.dir, file)) })
		}
		b.Run(c.name+"/load", func(b *testing.B) {
			for b.Loop() {
				e := one(b, spec("s", c.dir))
				e.Close()
			}
		})
	}
}

// compilers build testdata/bench for the languages whose toolchain need not be there: Debian's
// clang and lld; rustc and libstd-rust-dev-wasm32. The file to write is added at the end.
var compilers = map[string][]string{
	"c": {"clang", "--target=wasm32", "-Os", "-fno-builtin", "-nostdlib", "-Wl,--no-entry", "testdata/bench/reverse.c", "-o"},
	"rust": {
		"/usr/bin/rustc", "--target=wasm32-unknown-unknown", "--crate-type=cdylib", "-Copt-level=s", "-Cstrip=symbols",
		"testdata/bench/reverse.rs", "-o",
	},
}

// compiled is the module that a compiler makes, nil without one.
func compiled(b *testing.B, build []string) []byte {
	if _, err := exec.LookPath(build[0]); err != nil {
		b.Logf("left out: %v", err)
		return nil
	}
	out := filepath.Join(b.TempDir(), "guest.wasm")
	if said, err := exec.Command(build[0], append(build[1:], out)...).CombinedOutput(); err != nil {
		b.Logf("left out: %v: %s", err, said)
		return nil
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	return wasm
}

// BenchmarkSkill measures each skill of $NANOCLAW_BENCH_SKILLS (FILE.wasm, with a tool called
// "hello") from its file to its answer: admission, loading what was admitted, an instance,
// and a call on one made ready ahead.
func BenchmarkSkill(b *testing.B) {
	files, _ := filepath.Glob(filepath.Join(os.Getenv("NANOCLAW_BENCH_SKILLS"), "*.wasm"))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".wasm")
		wasm, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		s := spec("hello", admittedIn(b, wasm))
		b.Run(name+"/admit", func(b *testing.B) {
			for b.Loop() {
				admitted(b, wasm)
			}
		})
		b.Run(name+"/load", func(b *testing.B) {
			for b.Loop() {
				one(b, s).Close()
			}
		})
		b.Run(name+"/instantiate", func(b *testing.B) {
			l, err := one(b, s).skills["hello"].use(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			defer l.skill.engine.release(l.skill)
			for b.Loop() {
				in, err := l.newInstance(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				in.close()
			}
		})
		b.Run(name+"/call", func(b *testing.B) {
			benchFresh(b, s, wire.ToolCall{Name: "hello", Arguments: json.RawMessage(`{"name":"Ada"}`)})
		})
	}
}

// benchFresh calls on instances made ready ahead and reports the median.
func benchFresh(b *testing.B, s wire.LoadSkill, call wire.ToolCall) {
	e := one(b, s)
	e.quiet = 0
	var took []time.Duration
	for b.Loop() {
		e.preparing.Wait() // made ready off the path
		began := time.Now()
		out := e.Tool(context.Background(), call)
		took = append(took, time.Since(began))
		if out.Outcome != wire.OutcomeOK {
			b.Fatal(out)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
}

func admittedIn(b *testing.B, wasm []byte) string { return admitted(b, wasm) }

// benchKept calls one instance again and again.
func benchKept(b *testing.B, file string) {
	ctx := context.Background()
	e := New(Config{Log: discard})
	s := &skill{engine: e, spec: spec("s", "")}
	wasm, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	l := &loaded{skill: s}
	if err := l.compileWith(ctx, wasm, ""); err != nil {
		b.Fatal(err)
	}
	defer l.closeCode()
	imports := map[string][]api.FunctionDefinition{}
	for _, f := range l.compiled.ImportedFunctions() {
		mod, _, _ := f.Import()
		imports[mod] = append(imports[mod], f)
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(l.check())
	must(export(ctx, l.runtime, meterModule, hostFunc{meterTick, tick, "ii", ""}))
	must(export(ctx, l.runtime, coreModule, coreFunctions...))
	must(linkWASI(ctx, l.runtime, imports[wasiModule], false))
	in, err := l.newInstance(ctx)
	must(err)
	defer in.close()
	call, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	at := callSpec{turn: &turn{}}
	for b.Loop() {
		input := fmt.Appendf(nil, `{"tool":"s","arguments":%s,"call":{"turn":"","agent":"","timezone":""}}`, benchArgs)
		in.output = in.output[:0]
		if out := in.run(call, at, request{input: input}); out.Outcome != wire.OutcomeOK {
			b.Fatal(out)
		}
	}
}

var discard = hclog.NewNullLogger()
