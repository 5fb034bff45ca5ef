package wasm

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// The guest ABI of Extism 1 plugins. What a plugin and its host say to each other lies in
// a memory of the host's, which the plugin reaches by these functions alone.
const (
	extismModule = "extism:host/env"
	extismHTTP   = "http_request"

	kernelBase  = 16      // offset 0 says "nothing", so no block begins there
	smallBlock  = 1 << 16 // up to here blocks take a power of two, and multiples of it beyond
	maxBlocks   = 1 << 16 // ever made by one call, free ones included: the books are Go memory
	maxVars     = 1 << 20 // bytes of names and values
	varOverhead = 64      // and this for each
)

// guestFault ends a call from inside a function of the host, with a sentence of ours.
type guestFault struct{ outcome, message string }

func (f guestFault) Error() string { return f.message }

func crash(format string, args ...any) {
	panic(guestFault{wire.OutcomeCrashed, fmt.Sprintf(format, args...)})
}

// kernel is what an Extism plugin's instance shares with its host. Like everything of an
// instance it is one call long: what a plugin keeps in its vars is gone afterwards.
type kernel struct {
	memory experimental.LinearMemory // bounded and counted like the guest's own
	mem    []byte                    // as far as it has grown
	blocks map[uint64]block          // in use, by offset
	free   map[uint64][]uint64       // offsets by room
	made   int

	input, inputLen   uint64
	output, outputLen uint64
	message           uint64 // of error_set
	vars              map[string][]byte
	varBytes          int
	status            int
	headers           []byte
}

type block struct{ size, room uint64 }

func newKernel(a experimental.MemoryAllocator) *kernel {
	return &kernel{
		memory: a.Allocate(0, 1<<32), // the allocator has a bound of its own
		blocks: map[uint64]block{}, free: map[uint64][]uint64{}, vars: map[string][]byte{},
	}
}

// alloc makes a block of n bytes. As in Extism, 0 is the answer for none and for no room.
func (k *kernel) alloc(n uint64) uint64 {
	if n == 0 || n > maxMemoryMiB<<20 {
		return 0
	}
	room := (n + smallBlock - 1) &^ (smallBlock - 1)
	if n <= smallBlock {
		room = 1 << bits.Len64(max(n, kernelBase)-1)
	}
	at := max(kernelBase, uint64(len(k.mem)))
	if free := k.free[room]; len(free) > 0 {
		at = free[len(free)-1]
		k.free[room] = free[:len(free)-1]
	} else {
		if k.made >= maxBlocks {
			return 0
		}
		mem := k.memory.Reallocate(at + room)
		if mem == nil {
			return 0
		}
		k.mem = mem
		k.made++
	}
	k.blocks[at] = block{n, room}
	return at
}

// release frees a block. What is none is ignored, as in Extism.
func (k *kernel) release(at uint64) {
	if b, ok := k.blocks[at]; ok {
		delete(k.blocks, at)
		k.free[b.room] = append(k.free[b.room], at)
	}
}

// put copies b into a new block.
func (k *kernel) put(b []byte) uint64 {
	at := k.alloc(uint64(len(b)))
	if at == 0 && len(b) > 0 {
		crash("its memory has no room for %d bytes", len(b))
	}
	copy(k.bytes(at), b)
	return at
}

// bytes is the block at an offset, nothing when there is none.
func (k *kernel) bytes(at uint64) []byte {
	b, ok := k.blocks[at]
	if !ok {
		return nil
	}
	return k.mem[at : at+b.size]
}

// take is a block's text, and frees it: the host does so with what it was handed.
func (k *kernel) take(at uint64) string {
	s := string(k.bytes(at))
	k.release(at)
	return s
}

// at is n bytes at an offset of the memory, wherever blocks begin and end.
func (k *kernel) at(off, n uint64) []byte {
	if size := uint64(len(k.mem)); off < kernelBase || off > size || n > size-off {
		crash("it reached outside of its memory")
	}
	return k.mem[off : off+n]
}

// inputAt is n bytes of the input.
func (k *kernel) inputAt(off, n uint64) []byte {
	if off > k.inputLen || n > k.inputLen-off {
		crash("it read beyond its input")
	}
	return k.at(k.input+off, n)
}

func (k *kernel) setVar(name string, value []byte, ok bool) {
	if old, is := k.vars[name]; is {
		k.varBytes -= len(name) + len(old) + varOverhead
		delete(k.vars, name)
	}
	if !ok {
		return
	}
	if k.varBytes += len(name) + len(value) + varOverhead; k.varBytes > maxVars {
		crash("its vars are larger than 1 MiB")
	}
	k.vars[name] = slices.Clone(value)
}

// kernelFunc is a function of the ABI. Those that only move a few bytes do not look at
// the clock: the code that calls them is metered.
func kernelFunc(name, params, results string, f func(in *instance, k *kernel, s []uint64)) hostFunc {
	return hostFunc{name, func(ctx context.Context, _ api.Module, stack []uint64) {
		in := instanceOf(ctx)
		f(in, in.kernel, stack)
	}, params, results}
}

// extismFunctions are all of the ABI. Config is empty, and http_request asks the
// capability http, which is granted or only stubbed.
func extismFunctions(http bool) []hostFunc {
	le := binary.LittleEndian
	functions := []hostFunc{
		kernelFunc("alloc", "I", "I", func(in *instance, k *kernel, s []uint64) { in.check(); s[0] = k.alloc(s[0]) }),
		kernelFunc("free", "I", "", func(_ *instance, k *kernel, s []uint64) { k.release(s[0]) }),
		kernelFunc("length", "I", "I", func(_ *instance, k *kernel, s []uint64) { s[0] = k.blocks[s[0]].size }),
		kernelFunc("length_unsafe", "I", "I", func(_ *instance, k *kernel, s []uint64) { s[0] = k.blocks[s[0]].size }),
		kernelFunc("load_u8", "I", "i", func(_ *instance, k *kernel, s []uint64) { s[0] = uint64(k.at(s[0], 1)[0]) }),
		kernelFunc("load_u64", "I", "I", func(_ *instance, k *kernel, s []uint64) { s[0] = le.Uint64(k.at(s[0], 8)) }),
		kernelFunc("store_u8", "Ii", "", func(_ *instance, k *kernel, s []uint64) { k.at(s[0], 1)[0] = byte(s[1]) }),
		kernelFunc("store_u64", "II", "", func(_ *instance, k *kernel, s []uint64) { le.PutUint64(k.at(s[0], 8), s[1]) }),
		kernelFunc("input_length", "", "I", func(_ *instance, k *kernel, s []uint64) { s[0] = k.inputLen }),
		kernelFunc("input_offset", "", "I", func(_ *instance, k *kernel, s []uint64) { s[0] = k.input }),
		kernelFunc("input_load_u8", "I", "i", func(_ *instance, k *kernel, s []uint64) {
			s[0] = uint64(k.inputAt(s[0], 1)[0])
		}),
		kernelFunc("input_load_u64", "I", "I", func(_ *instance, k *kernel, s []uint64) {
			s[0] = le.Uint64(k.inputAt(s[0], 8))
		}),
		kernelFunc("output_set", "II", "", func(_ *instance, k *kernel, s []uint64) {
			if k.output, k.outputLen = s[0], s[1]; s[1] > 0 {
				k.at(s[0], s[1])
			}
		}),
		kernelFunc("error_set", "I", "", func(_ *instance, k *kernel, s []uint64) { k.message = s[0] }),
		kernelFunc("config_get", "I", "I", func(_ *instance, k *kernel, s []uint64) { k.release(s[0]); s[0] = 0 }),
		kernelFunc("var_get", "I", "I", func(in *instance, k *kernel, s []uint64) {
			in.check()
			s[0] = k.put(k.vars[k.take(s[0])])
		}),
		kernelFunc("var_set", "II", "", func(in *instance, k *kernel, s []uint64) {
			in.check()
			k.setVar(k.take(s[0]), k.bytes(s[1]), s[1] != 0)
			k.release(s[1])
		}),
		kernelFunc("http_status_code", "", "i", func(_ *instance, k *kernel, s []uint64) { s[0] = uint64(k.status) }),
		kernelFunc("http_headers", "", "I", func(in *instance, k *kernel, s []uint64) {
			in.check()
			s[0] = k.put(k.headers)
		}),
		kernelFunc("get_log_level", "", "i", func(_ *instance, _ *kernel, s []uint64) { s[0] = 0 }),
		kernelFunc(extismHTTP, "II", "I", func(in *instance, k *kernel, s []uint64) {
			s[0] = in.extismHTTP(k, s[0], s[1], http)
		}),
	}
	for i, level := range []string{"trace", "debug", "info", "warn", "error"} {
		functions = append(functions, kernelFunc("log_"+level, "I", "", func(in *instance, k *kernel, s []uint64) {
			in.check()
			text := k.bytes(s[0])
			in.logLine(uint32(max(0, i-1)), string(text[:min(len(text), maxLine+utf8.UTFMax)]))
			k.release(s[0])
		}))
	}
	return functions
}

// extismHTTP makes a request by the broker. As in Extism, a plugin that is refused or gets
// no answer ends there.
func (in *instance) extismHTTP(k *kernel, at, bodyAt uint64, granted bool) uint64 {
	in.check()
	k.status, k.headers = 0, nil
	failed := func(why string) { panic(guestFault{wire.OutcomeToolError, "http: " + why}) }
	raw, body := k.bytes(at), string(k.bytes(bodyAt))
	if len(raw)+len(body) > wire.MaxCapRequest {
		failed("the request is larger than 4 MiB")
	}
	var asked struct {
		URL     string            `json:"url"`
		Method  string            `json:"method"`
		Headers map[string]string `json:"headers"`
	}
	if err := json.Unmarshal(raw, &asked); err != nil {
		failed("the request is not JSON")
	}
	req := wire.HTTPRequest{Method: strings.ToUpper(asked.Method), URL: asked.URL, Headers: asked.Headers, Body: body}
	if !utf8.ValidString(body) {
		req.Body, req.BodyBase64 = "", base64.StdEncoding.EncodeToString([]byte(body))
	}
	k.release(at)
	k.release(bodyAt)
	encoded, err := jsonOf(req)
	if err != nil {
		failed("the request cannot be encoded")
	}
	status, answer := in.may(capHTTP, granted, len(encoded))
	if status == wire.StatusOK {
		status, answer = in.ask(in.ctx, capHTTP, encoded)
	}
	var refused wire.Error
	var resp wire.HTTPResponse
	switch {
	case status != wire.StatusOK && json.Unmarshal(answer, &refused) == nil:
		failed(refused.Message)
	case status != wire.StatusOK || json.Unmarshal(answer, &resp) != nil:
		failed("no answer")
	}
	data := []byte(resp.Body)
	if resp.BodyBase64 != "" {
		data, _ = base64.StdEncoding.DecodeString(resp.BodyBase64) // the host's own
	}
	headers := map[string]string{}
	for name, value := range resp.Headers {
		headers[strings.ToLower(name)] = value
	}
	k.status = resp.Status
	k.headers, _ = jsonOf(headers) // strings always encode
	return k.put(data)
}

// plugin calls an exported function of an Extism plugin.
func (in *instance) plugin(ctx context.Context, r request) (_ []uint64, err error) {
	k := in.kernel
	if k.input, k.inputLen = k.alloc(uint64(len(r.input))), uint64(len(r.input)); k.input == 0 && k.inputLen > 0 {
		return nil, guestFault{wire.OutcomeCrashed, "its memory has no room for its input"}
	}
	copy(k.bytes(k.input), r.input)
	return in.mod.ExportedFunction(r.tool).Call(ctx)
}

// pluginAnswer is what an Extism plugin left behind, by the code that it returned.
func (in *instance) pluginAnswer(code uint32) wire.ToolOutcome {
	k := in.kernel
	if code != 0 {
		text := k.bytes(k.message)
		said := cut(string(text[:min(len(text), wire.MaxToolResult)]), wire.MaxToolResult)
		if said == "" {
			said = fmt.Sprintf("it returned %d without saying why", code)
		}
		return toolError(said, said)
	}
	if k.outputLen > 0 {
		in.write(k.at(k.output, k.outputLen))
	}
	if in.outputFault != "" {
		return failed(wire.OutcomeInvalid, "skill %s: %s", in.skill.spec.Name, in.outputFault)
	}
	return wire.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult(cut(string(in.output), len(in.output)))}
}
