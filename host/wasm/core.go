package wasm

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// coreFunctions are those of nanoclaw_core_1. No pointer or length of a guest leads to
// an allocation or a copy before it is known to lie in the guest's memory.
var coreFunctions = []hostFunc{
	{"input_read", inputRead, "iii", "i"},
	{"output_write", outputWrite, "ii", ""},
	{"result_read", resultRead, "iii", "i"},
	{"log", guestLog, "iii", ""},
}

// tick is nanoclaw_meter's: fuel is used up, or the stack is.
func tick(ctx context.Context, _ api.Module, stack []uint64) {
	instanceOf(ctx).tick(int32(stack[0]), int32(stack[1]))
}

// input_read(dst, off, len) copies from the call's input and returns how much.
func inputRead(ctx context.Context, mod api.Module, stack []uint64) {
	in := instanceOf(ctx)
	in.check()
	stack[0] = readInto(mod.Memory(), in.input, stack)
}

// result_read(dst, off, len) copies from the answer to the last capability call.
func resultRead(ctx context.Context, mod api.Module, stack []uint64) {
	in := instanceOf(ctx)
	in.check()
	stack[0] = readInto(mod.Memory(), in.result, stack)
}

func readInto(mem api.Memory, from []byte, stack []uint64) uint64 {
	dst, off, n := uint32(stack[0]), uint32(stack[1]), uint32(stack[2])
	if uint64(off) >= uint64(len(from)) {
		return 0
	}
	from = from[off:]
	from = from[:min(uint64(n), uint64(len(from)))]
	if !mem.Write(dst, from) {
		return 0
	}
	return uint64(len(from))
}

// output_write(src, len) appends to the call's output.
func outputWrite(ctx context.Context, mod api.Module, stack []uint64) {
	in := instanceOf(ctx)
	in.check()
	b, ok := mod.Memory().Read(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		in.outputFault = "its result lies outside of its memory"
		return
	}
	in.write(b)
}

// log(level, ptr, len) writes one line to the runner's log.
func guestLog(ctx context.Context, mod api.Module, stack []uint64) {
	in := instanceOf(ctx)
	in.check()
	n := min(uint32(stack[2]), maxLine+utf8.UTFMax) // what is cut off need not be there
	if b, ok := mod.Memory().Read(uint32(stack[1]), n); ok {
		in.logLine(uint32(stack[0]), string(b))
	}
}

// capability is the function `call` of nanoclaw_NAME_1.
func capability(name string, granted bool) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		in := instanceOf(ctx)
		in.check()
		status, body := in.capability(ctx, mod.Memory(), name, granted, uint32(stack[0]), uint32(stack[1]))
		in.result = body
		stack[0] = uint64(status)<<32 | uint64(len(body))
	}
}

// capability checks and makes one capability call. ctx is the call's, with its deadline.
func (in *instance) capability(
	ctx context.Context, mem api.Memory, name string, granted bool, ptr, n uint32,
) (wire.Status, []byte) {
	if status, body := in.may(name, granted, int(n)); status != wire.StatusOK {
		return status, body
	}
	view, ok := mem.Read(ptr, n)
	if !ok {
		return fail(wire.StatusInvalid, "the request lies outside of the guest's memory")
	}
	return in.ask(ctx, name, append([]byte(nil), view...)) // the guest's memory may go away under a slow broker
}

// may says why a request of n bytes is not even read.
func (in *instance) may(name string, granted bool, n int) (wire.Status, []byte) {
	switch {
	case !in.running:
		return fail(wire.StatusUnavailable, "capabilities are available inside a call only")
	case !granted:
		in.deny(name, "not granted to this role")
		return fail(wire.StatusDenied, "the capability "+name+" is not granted")
	case n > wire.MaxCapRequest:
		return fail(wire.StatusTooLarge, "the request is larger than 4 MiB")
	}
	return wire.StatusOK, nil
}

// ask makes a capability call that it may make.
func (in *instance) ask(ctx context.Context, name string, body []byte) (wire.Status, []byte) {
	path := in.nextPath()
	if name == capTool {
		return in.callTools(ctx, path, body)
	}
	if name == capLLM {
		in.progress("model", "")
	}
	status, answer, err := in.skill.engine.broker(ctx, in.skill.spec.Name, path, name, body)
	switch {
	case err != nil && ctx.Err() != nil:
		return fail(wire.StatusTimeout, "the call's time is over")
	case err != nil:
		in.log().Warn("the host did not answer", "capability", name, "error", err)
		return fail(wire.StatusUnavailable, "the host did not answer")
	case len(answer) > wire.MaxCapResponse:
		return fail(wire.StatusTooLarge, "the answer is larger than 8 MiB")
	case status > wire.StatusInternal:
		status = wire.StatusInternal
	case status == wire.StatusDenied:
		var e wire.Error
		if json.Unmarshal(answer, &e) != nil {
			e.Message = "denied"
		}
		in.deny(name, e.Message)
	}
	return status, answer
}

func fail(s wire.Status, message string) (wire.Status, []byte) {
	b, _ := json.Marshal(wire.NewError(s, message)) // strings always encode
	return s, b
}

// cut shortens s to at most n bytes, between runes, and makes it valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
