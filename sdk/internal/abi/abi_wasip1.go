//go:build wasip1

package abi

import (
	"runtime"
	"strings"
	"unsafe"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Workspace is where the agent's files are.
func Workspace() string { return "/workspace" }

// Setting is what the role says to this skill under name, "" when nothing. It asks the system
// itself: package syscall, which would, adds 20 KB and opens every directory at the start.
func Setting(name string) string {
	var count, size uint32
	environSizes(unsafe.Pointer(&count), unsafe.Pointer(&size))
	at, text := make([]uint32, count+1), make([]byte, size+1)
	environGet(unsafe.Pointer(unsafe.SliceData(at)), unsafe.Pointer(unsafe.SliceData(text)))
	for pair := range strings.SplitSeq(string(text), "\x00") {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			return v
		}
	}
	return ""
}

// Mounts are the role's directories of the host's machine: the preopened ones below /mnt.
func Mounts() (out []string) {
	for fd := uint32(3); ; fd++ {
		var stat [2]uint32 // kind, length of the name
		if prestatGet(fd, unsafe.Pointer(&stat)) != 0 || stat[1] == 0 {
			return out
		}
		name := make([]byte, stat[1])
		prestatName(fd, unsafe.Pointer(unsafe.SliceData(name)), stat[1])
		if strings.HasPrefix(string(name), "/mnt/") {
			out = append(out, string(name))
		}
	}
}

//go:wasmimport wasi_snapshot_preview1 fd_prestat_get
func prestatGet(fd uint32, stat unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_prestat_dir_name
func prestatName(fd uint32, dst unsafe.Pointer, n uint32) uint32

//go:wasmimport wasi_snapshot_preview1 environ_sizes_get
func environSizes(count, size unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 environ_get
func environGet(at, text unsafe.Pointer) uint32

//go:wasmimport nanoclaw_core_1 input_read
func inputRead(dst unsafe.Pointer, off, n uint32) uint32

//go:wasmimport nanoclaw_core_1 output_write
func outputWrite(src unsafe.Pointer, n uint32)

//go:wasmimport nanoclaw_core_1 result_read
func resultRead(dst unsafe.Pointer, off, n uint32) uint32

//go:wasmimport nanoclaw_core_1 log
func logWrite(level uint32, src unsafe.Pointer, n uint32)

//go:wasmimport nanoclaw_http_1 call
func httpCall(src unsafe.Pointer, n uint32) uint64

//go:wasmimport nanoclaw_llm_1 call
func llmCall(src unsafe.Pointer, n uint32) uint64

//go:wasmimport nanoclaw_kv_1 call
func kvCall(src unsafe.Pointer, n uint32) uint64

//go:wasmimport nanoclaw_history_1 call
func historyCall(src unsafe.Pointer, n uint32) uint64

//go:wasmimport nanoclaw_tool_1 call
func toolCall(src unsafe.Pointer, n uint32) uint64

//go:wasmimport nanoclaw_agent_1 call
func agentCall(src unsafe.Pointer, n uint32) uint64

//go:wasmimport nanoclaw_task_1 call
func taskCall(src unsafe.Pointer, n uint32) uint64

//go:wasmimport nanoclaw_message_1 call
func messageCall(src unsafe.Pointer, n uint32) uint64

// Input returns the first n bytes of the call's input.
func Input(n uint32) []byte {
	b := make([]byte, n)
	return b[:inputRead(unsafe.Pointer(unsafe.SliceData(b)), 0, n)]
}

// Output appends b to the call's answer.
func Output(b []byte) {
	outputWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	runtime.KeepAlive(b)
}

// Log writes one line to the host's log.
func Log(level uint32, text string) {
	logWrite(level, unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
	runtime.KeepAlive(text)
}

// HTTP calls nanoclaw_http_1.
func HTTP(req []byte) ([]byte, wire.Status) {
	r := httpCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// LLM calls nanoclaw_llm_1.
func LLM(req []byte) ([]byte, wire.Status) {
	r := llmCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// KV calls nanoclaw_kv_1.
func KV(req []byte) ([]byte, wire.Status) {
	r := kvCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// History calls nanoclaw_history_1.
func History(req []byte) ([]byte, wire.Status) {
	r := historyCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// Tool calls nanoclaw_tool_1.
func Tool(req []byte) ([]byte, wire.Status) {
	r := toolCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// Message calls nanoclaw_message_1.
func Message(req []byte) ([]byte, wire.Status) {
	r := messageCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// Agent calls nanoclaw_agent_1.
func Agent(req []byte) ([]byte, wire.Status) {
	r := agentCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// Task calls nanoclaw_task_1.
func Task(req []byte) ([]byte, wire.Status) {
	r := taskCall(unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	runtime.KeepAlive(req)
	return result(r)
}

// result fetches the body whose length is in the low half of r.
func result(r uint64) ([]byte, wire.Status) {
	n := uint32(r)
	b := make([]byte, n)
	if n > 0 {
		b = b[:resultRead(unsafe.Pointer(unsafe.SliceData(b)), 0, n)]
	}
	return b, wire.Status(r >> 32)
}

// Install is for tests outside wasm: inside, the runner answers.
func Install(Host) (remove func()) { panic("sdk: there is no test host inside wasm") }
