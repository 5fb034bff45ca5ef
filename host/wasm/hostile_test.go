package wasm

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const never = 1<<32 - 1

// TestHostileGuests: each ends as an outcome, soon enough, and the next call works.
func TestHostileGuests(t *testing.T) {
	bare := func(code ...[]byte) []byte {
		b := newBuilder()
		return b.skill(b.fn("i", "i", 2, append(code, i32(0))...))
	}
	recursion := func(locals int) []byte {
		b := newBuilder()
		return b.skill(b.fn("i", "i", locals, get(0), call(0), drop, i32(0)))
	}
	mutual := func() []byte { // through a table, so that no static call shows it
		b := newBuilder()
		b.tables.add(0x70, 1, 1, 1)
		b.elems.add(0, 0x41, 0, 0x0b, 1, 0)
		return b.skill(b.fn("i", "i", 0, get(0), i32(0), append(op(0x11), byte(b.typ("i", "i")), 0)))
	}
	// fib has a shallow stack and no loop.
	fib := func() []byte {
		b := newBuilder()
		f := b.fn("i", "i", 0, get(0), i32(2), op(0x49), op(0x04, 0x7f), get(0), op(0x05),
			get(0), i32(1), op(0x6b), call(0), get(0), i32(2), op(0x6b), call(0), add, op(0x0b))
		return b.skill(b.fn("i", "i", 0, i32(90), call(f)))
	}
	// straight has one loop round of a megabyte of code.
	straight := bare(loop(bytesOf(200_000, get(1), i32(1), add, set(1)), br0))
	fill := newBuilder().memoryPages(1000, -1)
	fillLoop := fill.skill(fill.fn("i", "i", 0, loop(i32(0), i32(1), i32(1000*pageSize), memFill, br0), i32(0)))
	table := newBuilder()
	table.tables.add(0x70, 1, 0x80, 0x80, 2, 0x80, 0x80, 2) // 32768
	tableLoop := table.skill(table.fn("i", "i", 0,
		loop(i32(0), op(0xd0, 0x70), i32(32768), op(0xfc, 17, 0), br0), i32(0)))

	for _, tc := range []struct {
		name    string
		wasm    []byte
		outcome string
		text    string
	}{
		{"infinite loop", bare(loop(br0)), wire.OutcomeTimeout, "timed out"},
		{"loop of a megabyte", straight, wire.OutcomeTimeout, "timed out"},
		{"recursion without depth", fib(), wire.OutcomeTimeout, "timed out"},
		{"recursion", recursion(0), wire.OutcomeCrashed, "call stack exhausted"},
		{"recursion with large frames", recursion(10_000), wire.OutcomeCrashed, "call stack exhausted"},
		{"recursion through a table", mutual(), wire.OutcomeCrashed, "call stack exhausted"},
		{"memory.fill loop", fillLoop, wire.OutcomeTimeout, "timed out"},
		{"table.fill loop", tableLoop, wire.OutcomeTimeout, "timed out"},
		{"memory.grow loop", bare(loop(i32(1), memGrow, drop, br0)), wire.OutcomeTimeout, "timed out"},
		{"trap", bare(trap), wire.OutcomeCrashed, "skill s crashed: unreachable"},
		{"out of bounds", bare(i32(-8), load, drop), wire.OutcomeCrashed, "out of bounds"},
		{"no answer", bare(), wire.OutcomeInvalid, "not a tool result"},
		{"answer is no result", answers(`[1]`), wire.OutcomeInvalid, "not a tool result"},
		{"answer is an error", answers(`{"content":[{"type":"text","text":"sorry\nmore"}],"isError":true}`), wire.OutcomeToolError, "sorry"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := one(t, spec("s", admitted(t, tc.wasm)))
			limit := 30_000
			if tc.outcome == wire.OutcomeTimeout {
				limit = 300 // for the others it would be a race with a busy machine
			}
			within(t, time.Minute, func() {
				out := e.Tool(context.Background(), wire.ToolCall{Name: "s", TimeoutMS: limit})
				want(t, out, tc.outcome, tc.text)
			})
		})
	}
}

func bytesOf(n int, parts ...[]byte) []byte {
	var out []byte
	for len(out) < n {
		for _, p := range parts {
			out = append(out, p...)
		}
	}
	return out
}

// TestRecursionMemory: wazero would let a stack grow to 400 MB.
func TestRecursionMemory(t *testing.T) {
	b := newBuilder()
	e := one(t, spec("s", admitted(t, b.skill(b.fn("i", "i", 0, get(0), call(0), drop, i32(0))))))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	want(t, e.call(t, "s", `{}`), wire.OutcomeCrashed, "call stack exhausted")
	runtime.ReadMemStats(&after)
	if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 192 { // all stacks on the way there, doubling
		t.Errorf("%d MiB allocated", mib)
	}
}

// TestOneCPUStaysUsable: a loop in a guest does not keep others from running.
func TestOneCPUStaysUsable(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b := newBuilder()
	looping := spec("loop", admitted(t, b.skill(b.fn("i", "i", 0, loop(br0), i32(0)))))
	e := newEngine(t, Config{}, wire.Load{Skills: []wire.LoadSkill{looping, spec("s", admitted(t, answers(okResult)))}})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan wire.ToolOutcome)
	go func() { done <- e.Tool(ctx, wire.ToolCall{Name: "loop"}) }()
	within(t, 30*time.Second, func() {
		want(t, e.call(t, "s", `{}`), wire.OutcomeOK, "ok")
		stop()
		want(t, <-done, wire.OutcomeTimeout, "")
	})
}

// TestFuel: a manifest may bound the work itself.
func TestFuel(t *testing.T) {
	b := newBuilder()
	s := spec("s", admitted(t, b.skill(b.fn("i", "i", 0, loop(br0), i32(0)))))
	s.Fuel = 3
	e := one(t, s)
	within(t, 30*time.Second, func() { want(t, e.call(t, "s", `{}`), wire.OutcomeTimeout, "timed out") })
}

// TestMemoryCap: memory.grow stops at the skill's limit, and all instances at the engine's.
func TestMemoryCap(t *testing.T) {
	b := newBuilder()
	write := b.imp(coreModule, "output_write", "ii", "")
	b.bytesAt(0, okResult)
	// grows page by page; traps unless exactly `want` were granted
	grows := func(pages int64) []byte {
		b := *b
		b.table = map[string]int{"ii/": 0}
		return b.skill(b.fn("i", "i", 1, loop(i32(1), memGrow, i32(-1), op(0x47), op(0x0d, 0)),
			op(0x3f, 0), i32(pages), op(0x47), op(0x04, 0x40), trap, op(0x0b),
			i32(0), i32(int64(len(okResult))), call(write), i32(0)))
	}
	s := spec("s", admitted(t, grows(5<<20/pageSize)))
	s.MemoryMiB = 5
	want(t, one(t, s).call(t, "s", `{}`), wire.OutcomeOK, "ok")

	s = spec("s", admitted(t, grows(7<<20/pageSize)))
	e := newEngine(t, Config{Memory: 7 << 20}, wire.Load{Skills: []wire.LoadSkill{s}})
	for range 3 { // and it comes back
		want(t, e.call(t, "s", `{}`), wire.OutcomeOK, "ok")
	}
}

func TestMemoryRefused(t *testing.T) {
	b := newBuilder().memoryPages(1600, -1)
	dir := admitted(t, b.skill(b.fn("i", "i", 0, i32(0))))
	e := one(t, spec("s", dir))
	want(t, e.call(t, "s", `{}`), wire.OutcomeDenied, "needs 100 MiB of memory at start and may have 64")
	s := spec("s", dir)
	s.MemoryMiB = 200
	e = newEngine(t, Config{Memory: 50 << 20}, wire.Load{Skills: []wire.LoadSkill{s}})
	if out := e.call(t, "s", `{}`); out.Outcome == wire.OutcomeOK || out.Outcome == "" {
		t.Error(out)
	}
}

// TestPointers: lengths and places outside of the memory are answered, and cost nothing.
func TestPointers(t *testing.T) {
	for _, p := range []int64{0, 8, pageSize - 1, pageSize, 1 << 31, never} {
		for _, n := range []int64{0, 1, pageSize, pageSize + 1, wire.MaxCapRequest + 1, 1 << 31, never} {
			b := newBuilder()
			read := b.imp(coreModule, "input_read", "iii", "i")
			write := b.imp(coreModule, "output_write", "ii", "")
			result := b.imp(coreModule, "result_read", "iii", "i")
			log := b.imp(coreModule, "log", "iii", "")
			capCall := b.imp("nanoclaw_kv_1", "call", "ii", "I")
			wasm := b.skill(b.fn("i", "i", 0,
				i32(p), i32(n), i32(n), call(read), drop,
				i32(p), i32(0), i32(n), call(read), drop,
				i32(p), i32(n), call(capCall), drop,
				i32(p), i32(0), i32(n), call(result), drop,
				i32(n), i32(p), i32(n), call(log),
				i32(p), i32(n), call(write), i32(0)))
			e := one(t, spec("s", admitted(t, wasm), "kv"))
			if len(e.loaded.Refused) > 0 {
				t.Fatal(e.loaded.Refused)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			want(t, e.call(t, "s", `{}`), wire.OutcomeInvalid, "")
			runtime.ReadMemStats(&after)
			if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 8 {
				t.Errorf("pointer %#x length %#x: %d MiB allocated", p, n, n)
			}
		}
	}
}

// TestWASIArguments: what wazero would allocate or loop by is bounded before.
func TestWASIArguments(t *testing.T) {
	for _, tc := range []struct {
		name, params string
		args         []int64
		errno        int64
	}{
		{"poll_oneoff", "iiii", []int64{0, 0, 100_000_000, 0}, 21},
		{"poll_oneoff", "iiii", []int64{0, 0, 0x5555556, 0}, 21}, // times 48 is over 32 bits
		{"fd_renumber", "ii", []int64{1, 1 << 30}, 8},
		{"fd_write", "iiii", []int64{1, 0, 1 << 29, 0}, 21},
		{"fd_read", "iiii", []int64{0, 0, 0x20000001, 0}, 21},
		{"path_open", "iiiiiIIii", []int64{3, 0, 0, 60 << 20, 0, 0, 0, 0, 0}, 21},
		{"path_unlink_file", "iii", []int64{3, 0, 60 << 20}, 21},
		{"path_rename", "iiiiii", []int64{3, 0, 1, 3, 0, 60 << 20}, 21},
		{"path_unlink_file", "iii", []int64{3, 0, 5000}, 37}, // ENAMETOOLONG
		{"path_unlink_file", "iii", []int64{3, 0, 300}, 37},
	} {
		b := newBuilder().memoryPages(1000, -1)
		b.bytesAt(0, strings.Repeat("x", 6000))
		f := b.imp(wasiModule, tc.name, tc.params, "i")
		code := [][]byte{}
		for i, a := range tc.args {
			if tc.params[i] == 'I' {
				code = append(code, sleb([]byte{0x42}, a))
			} else {
				code = append(code, i32(int64(int32(a))))
			}
		}
		code = append(code, call(f), i32(tc.errno), op(0x47), op(0x04, 0x40), trap, op(0x0b), i32(1))
		s := spec("s", admitted(t, b.skill(b.fn("i", "i", 0, code...))), capFS)
		s.Preopens = []wire.Preopen{{Guest: workspaceDir, Path: t.TempDir()}}
		e := one(t, s)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out := e.call(t, "s", `{}`)
		runtime.ReadMemStats(&after)
		if out.Outcome != wire.OutcomeToolError {
			t.Errorf("%s%v: %s %s", tc.name, tc.args, out.Outcome, out.Message)
		}
		if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 4 {
			t.Errorf("%s%v: %d MiB allocated", tc.name, tc.args, mib)
		}
	}
}

// TestWASILoop: a loop of host calls ends too.
func TestWASILoop(t *testing.T) {
	b := newBuilder().memoryPages(1000, -1)
	random := b.imp(wasiModule, "random_get", "ii", "i")
	dir := admitted(t, b.skill(b.fn("i", "i", 0, loop(i32(0), i32(60<<20), call(random), drop, br0), i32(0))))
	within(t, 30*time.Second, func() {
		out := one(t, spec("s", dir)).Tool(context.Background(), wire.ToolCall{Name: "s", TimeoutMS: 300})
		want(t, out, wire.OutcomeTimeout, "timed out")
	})
}

// TestInitialize: it may not call, crash or hang for ever, and what fails there is refused.
func TestInitialize(t *testing.T) {
	b := newBuilder()
	capCall := b.imp("nanoclaw_kv_1", "call", "ii", "I")
	seen := b.global(-1)
	init := b.fn("", "", 0, i32(0), i32(2), call(capCall), shr32, wrap, gset(seen))
	b.export("_initialize", 0, init)
	e := one(t, spec("s", admitted(t, b.skill(b.fn("i", "i", 0,
		gget(seen), i32(int64(wire.StatusUnavailable)), op(0x47), op(0x04, 0x40), trap, op(0x0b), i32(1)))), "kv"))
	want(t, e.call(t, "s", `{}`), wire.OutcomeToolError, "")

	b = newBuilder()
	b.export("_initialize", 0, b.fn("", "", 0, trap))
	e = one(t, spec("s", admitted(t, b.skill(b.fn("i", "i", 0, i32(0))))))
	if r := fmt.Sprint(e.loaded.Refused); !strings.Contains(r, "_initialize: skill s crashed: unreachable") {
		t.Error(r)
	}
}

// TestOutputBound: a result of more than a megabyte is refused, not kept.
func TestOutputBound(t *testing.T) {
	b := newBuilder().memoryPages(3, -1)
	write := b.imp(coreModule, "output_write", "ii", "")
	dir := admitted(t, b.skill(b.fn("i", "i", 0,
		loop(i32(0), i32(100_000), call(write), get(0), i32(1), add, op(0x22, 0), i32(5000), op(0x48), op(0x0d, 0)), i32(0))))
	want(t, one(t, spec("s", dir)).call(t, "s", `{}`), wire.OutcomeInvalid, "larger than 1 MiB")
}

// TestCommand: a module with _start alone is a WASI command.
func TestCommand(t *testing.T) {
	command := func(result string, exit int64) string {
		b := newBuilder()
		fdRead := b.imp(wasiModule, "fd_read", "iiii", "i")
		fdWrite := b.imp(wasiModule, "fd_write", "iiii", "i")
		procExit := b.imp(wasiModule, "proc_exit", "i", "")
		b.bytesAt(1024, result).bytesAt(0, "\x00\x10\x00\x00\x00\x10\x00\x00") // iovec 4096, 4096
		b.bytesAt(16, "\x00\x04\x00\x00"+string([]byte{byte(len(result))})+"\x00\x00\x00")
		f := b.fn("", "", 0,
			i32(0), i32(0), i32(1), i32(8), call(fdRead), drop,
			i32(8), load, i32(60), op(0x48), op(0x04, 0x40), trap, op(0x0b), // the request is longer
			i32(1), i32(16), i32(1), i32(8), call(fdWrite), drop, i32(exit), call(procExit))
		return admitted(t, b.export("memory", 2, 0).export(entryCommand, 0, f).build())
	}
	e := one(t, spec("s", command(okResult, 0)))
	for range 2 {
		want(t, e.call(t, "s", `{"a":"some arguments"}`), wire.OutcomeOK, "ok")
	}
	want(t, one(t, spec("s", command("no good", 4))).call(t, "s", `{"a":"some arguments"}`), wire.OutcomeToolError, "no good")
}
