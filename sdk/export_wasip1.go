//go:build wasip1

package sdk

import "github.com/nanoclaw/nanoclaw/sdk/internal/abi"

// nanoclawCall is the module's entry: n is the length of the input. It answers 0
// always; an answer that is an error says so itself.
//
//lint:ignore U1000 the host calls it
//go:wasmexport nanoclaw_call
func nanoclawCall(n uint32) uint32 {
	abi.Output(Dispatch(abi.Input(n)))
	return 0
}

// nanoclawWarm is called once while an instance is made ready ahead, without capabilities:
// a call of no tool touches the code and memory that the first real call would fault in.
// It halves the time of that call.
//
//lint:ignore U1000 the host calls it
//go:wasmexport nanoclaw_warm
func nanoclawWarm() {
	abi.Output(Dispatch([]byte(`{"tool":"","arguments":{"a":"b"},"call":{"turn":"t","agent":"a","timezone":"UTC"}}`)))
}
