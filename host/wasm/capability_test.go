package wasm

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	statusResult = `{"content":[{"type":"text","text":"status ?"}]}`
	capRequest   = `{"name":"nope"}`
)

var statusAt = int64(strings.IndexByte(statusResult, '?'))

// bareCaller is the smallest module that calls a capability: it answers its status.
func bareCaller(capability string) []byte {
	b := newBuilder()
	write := b.imp(coreModule, "output_write", "ii", "")
	capCall := b.imp("nanoclaw_"+capability+"_1", "call", "ii", "I")
	b.bytesAt(0, statusResult).bytesAt(512, capRequest)
	return b.skill(b.fn("i", "i", 0,
		i32(statusAt), i32(512), i32(int64(len(capRequest))), call(capCall), shr32, wrap, i32('0'), add, op(0x3a, 0, 0),
		i32(0), i32(int64(len(statusResult))), call(write), i32(0)))
}

// cCaller is what clang and wasm-ld make of the same in C: a stack pointer, a frame on
// it, an import called through a table of function pointers, _initialize, names.
func cCaller(capability string) []byte {
	b := newBuilder().memoryPages(2, -1)
	write := b.imp(coreModule, "output_write", "ii", "")
	capCall := b.imp("nanoclaw_"+capability+"_1", "call", "ii", "I")
	b.imp(wasiModule, "fd_write", "iiii", "i") // imported by libc, not called
	sp := b.global(66560)
	b.bytesAt(1024, statusResult).bytesAt(1536, capRequest)
	ask := b.fn("ii", "I", 0, get(0), get(1), call(capCall))
	b.tables.add(0x70, 1, 3, 3)                                 // funcref, 3
	b.elems.add(0, 0x41, 1, 0x0b, 2, byte(ask), byte(capCall))  // at 1: the wrapper and the import itself
	initialize := b.fn("", "", 0, i32(1), op(0x1a))             // nothing to do
	indirect := append([]byte{0x11}, byte(b.typ("ii", "I")), 0) // call_indirect
	entry := b.fn("i", "i", 1,                                  //
		gget(sp), i32(16), op(0x6b), op(0x22, 1), gset(sp), // a frame
		get(1), i32(1536), store,
		i32(1024+statusAt),
		get(1), load, i32(int64(len(capRequest))), get(0), i32(1), op(0x71), i32(1), add, indirect, // parity chooses the pointer
		shr32, wrap, i32('0'), add, op(0x3a, 0, 0),
		i32(1024), i32(int64(len(statusResult))), call(write),
		get(1), i32(16), add, gset(sp), i32(0), ret)
	b.export("_initialize", 0, initialize).export("__indirect_function_table", 1, 0)
	return b.skill(entry)
}

// goCaller is a Go program that imports every capability and calls the one that its
// arguments name.
func goCaller(t *testing.T) []byte {
	dir := t.TempDir()
	imports, cases := "", ""
	for i, c := range capabilities {
		imports += fmt.Sprintf("//go:wasmimport nanoclaw_%s_1 call\nfunc cap%d(src unsafe.Pointer, n uint32) uint64\n\n", c, i)
		cases += fmt.Sprintf("\tcase strings.Contains(s, %q):\n\t\tr = cap%d(p, n)\n", "cap:"+c, i)
	}
	source := strings.NewReplacer("IMPORTS", imports, "CASES", cases, "REQUEST", "`"+capRequest+"`",
		"RESULT", "`"+statusResult+"`", "AT", fmt.Sprint(statusAt)).Replace(`package main

import (
	"strings"
	"unsafe"
)

//go:wasmimport nanoclaw_core_1 input_read
func inputRead(dst unsafe.Pointer, off, n uint32) uint32

//go:wasmimport nanoclaw_core_1 output_write
func outputWrite(src unsafe.Pointer, n uint32)

IMPORTS
func main() {}

//go:wasmexport nanoclaw_call
func nanoclawCall(length uint32) uint32 {
	in := make([]byte, length)
	inputRead(unsafe.Pointer(&in[0]), 0, length)
	request := []byte(REQUEST)
	s, p, n, r := string(in), unsafe.Pointer(&request[0]), uint32(len(request)), uint64(0)
	switch {
CASES	}
	out := []byte(RESULT)
	out[AT] = '0' + byte(r>>32)
	outputWrite(unsafe.Pointer(&out[0]), uint32(len(out)))
	return 0
}
`)
	for name, text := range map[string]string{"main.go": source, "go.mod": "module caller\n\ngo 1.24\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out.wasm")
	if err := buildGo(dir, out); err != nil {
		t.Fatal(err)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestCapabilities is the table of DESIGN section 7: every import module, granted,
// optional and not granted, for three kinds of module.
func TestCapabilities(t *testing.T) {
	goDir := admitted(t, goCaller(t))
	for _, c := range capabilities {
		t.Run("hand/"+c, func(t *testing.T) { testCapability(t, admitted(t, bareCaller(c)), c) })
		t.Run("c/"+c, func(t *testing.T) { testCapability(t, admitted(t, cCaller(c)), c) })
		t.Run("go/"+c, func(t *testing.T) { testCapability(t, goDir, c) })
	}
}

func testCapability(t *testing.T, dir, c string) {
	granted, optional, none := spec("s", dir, capabilities...), spec("s", dir, others(c)...), spec("s", dir, others(c)...)
	optional.Stubbed = []string{c}
	none.Stubbed = none.Granted
	start := func(s wire.LoadSkill) (*testEngine, *asked) {
		a := &asked{}
		return newEngine(t, Config{Broker: a.broker}, wire.Load{Skills: []wire.LoadSkill{s}, Warm: []string{"s"}}), a
	}

	e, asked := start(granted)
	for _, args := range []string{`["cap:` + c + `"]`, `["cap:` + c + `",1]`} { // both function pointers of the C module
		want(t, e.call(t, "s", args), wire.OutcomeOK, "status 0")
	}
	if call := "s 0 " + c + " " + capRequest; c != capTool && !slices.Equal(asked.calls, []string{call, call}) {
		t.Errorf("broker was asked %q, want %q twice", asked.calls, call)
	}

	e, asked = start(optional)
	out := e.call(t, "s", `["cap:`+c+`"]`)
	want(t, out, wire.OutcomeOK, "status 1")
	if len(out.Denied) != 1 || !strings.HasPrefix(out.Denied[0], c+": ") || len(asked.calls) > 0 {
		t.Errorf("denied %q, broker was asked %q", out.Denied, asked.calls)
	}

	e, asked = start(none)
	sentence := "skill s: needs the capability " + c + ", which its role does not grant"
	if !slices.Equal(e.loaded.Refused, []string{sentence}) {
		t.Errorf("refused %q", e.loaded.Refused)
	}
	want(t, e.call(t, "s", `["cap:`+c+`"]`), wire.OutcomeDenied, sentence)
	if len(asked.calls) > 0 {
		t.Errorf("broker was asked %q", asked.calls)
	}
}

func others(c string) []string {
	return slices.DeleteFunc(append([]string{capFS}, capabilities...), func(o string) bool { return o == c })
}

// asked is a broker that remembers.
type asked struct{ calls []string }

func (a *asked) broker(_ context.Context, skill, path, capability string, body []byte) (wire.Status, []byte, error) {
	a.calls = append(a.calls, fmt.Sprintf("%s %s %s %s", skill, path, capability, body))
	return wire.StatusOK, []byte("{}"), nil
}

// TestRefusedImports: what is not in ABI 1 is never linked, whatever is granted.
func TestRefusedImports(t *testing.T) {
	for _, tc := range []struct{ mod, name, want string }{
		{"env", "system", "not part of ABI 1"},
		{"nanoclaw_http_2", "call", "not part of ABI 1"},
		{"nanoclaw_http_1", "open", "not part of ABI 1"},
		{"nanoclaw_fs_1", "call", "not part of ABI 1"},
		{coreModule, "exec", "not part of ABI 1"},
		{wasiModule, "sock_accept", "sockets are not part of the ABI"},
		{wasiModule, "proc_raise", "not part of ABI 1"},
	} {
		b := newBuilder()
		b.imp(tc.mod, tc.name, "ii", "i")
		e := one(t, spec("s", admitted(t, b.skill(b.fn("i", "i", 0, i32(0)))), others("")...))
		if r := strings.Join(e.loaded.Refused, ""); !strings.Contains(r, tc.want) {
			t.Errorf("%s.%s: refused %q, want %q", tc.mod, tc.name, r, tc.want)
		}
	}
}

// TestDenied: a tool that gives up after a refusal is an outcome of its own.
func TestDenied(t *testing.T) {
	b := newBuilder()
	capCall := b.imp("nanoclaw_http_1", "call", "ii", "I")
	dir := admitted(t, b.skill(b.fn("i", "i", 0, i32(0), i32(2), call(capCall), drop, i32(1))))
	e := newEngine(t, Config{Broker: func(context.Context, string, string, string, []byte) (wire.Status, []byte, error) {
		body, err := json.Marshal(wire.NewError(wire.StatusDenied, "host not in grant"))
		return wire.StatusDenied, body, err
	}}, wire.Load{Skills: []wire.LoadSkill{spec("s", dir, "http")}})
	out := e.call(t, "s", `{}`)
	want(t, out, wire.OutcomeDenied, "host not in grant")
	if !slices.Equal(out.Denied, []string{"http: host not in grant"}) {
		t.Error(out.Denied)
	}
}

// TestTraceOfARun (W25): a guest that looks at the clock and at random numbers asks its host the same, byte for
// byte, in two runs with the same answers, as long as its requests do not depend on them; only what it makes of
// them itself differs. That is all that a replay needs, and what doc.go promises of one.
func TestTraceOfARun(t *testing.T) {
	for name, mixed := range map[string]bool{"beside its requests": false, "in its requests": true} {
		b := newBuilder()
		write := b.imp(coreModule, "output_write", "ii", "")
		capCall := b.imp("nanoclaw_kv_1", "call", "ii", "I")
		random := b.imp(wasiModule, "random_get", "ii", "i")
		clock := b.imp(wasiModule, "clock_time_get", "iIi", "i")
		const result, request = `{"content":[{"type":"text","text":"done"}]}`, `{"name":"????"}`
		b.bytesAt(0, result).bytesAt(512, request)
		var body [][]byte
		for i := range 4 {
			body = append(body, i32(1024), i32(8), call(random), drop, i32(0), i64(1), i32(2048), call(clock), drop)
			if mixed { // a letter of it goes into the request
				body = append(body, i32(int64(512+9+i)), i32(1024), op(0x2d, 0, 0), i32(15), op(0x71), i32('a'), add, op(0x3a, 0, 0))
			}
			body = append(body, i32(512), i32(int64(len(request))), call(capCall), drop)
		}
		body = append(body, i32(0), i32(int64(len(result))), call(write), i32(0))
		s := spec("s", admitted(t, b.skill(b.fn("i", "i", 0, body...))), "kv")
		var traces []string
		for range 2 {
			a := &asked{}
			want(t, newEngine(t, Config{Broker: a.broker}, wire.Load{Skills: []wire.LoadSkill{s}}).call(t, "s", `{}`), wire.OutcomeOK, "done")
			if len(a.calls) != 4 {
				t.Fatalf("the broker was asked %q", a.calls)
			}
			traces = append(traces, strings.Join(a.calls, "\n"))
		}
		if same := traces[0] == traces[1]; same == mixed {
			t.Errorf("%s: %q", name, traces)
		}
	}
}
