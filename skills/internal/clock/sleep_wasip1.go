//go:build wasip1

package clock

import "unsafe"

//go:wasmimport wasi_snapshot_preview1 poll_oneoff
func pollOneoff(subscriptions, events unsafe.Pointer, n uint32, ready unsafe.Pointer) uint32

// Sleep waits for so many milliseconds. The instance has one thread, and it is this one.
func Sleep(ms int) {
	var (
		// User data, kind (0 = clock), which clock (1 = monotonic), nanoseconds from now, precision, flags.
		subscription = [6]uint64{2: 1, 3: uint64(ms) * 1e6}
		event        [4]uint64
		ready        uint32
	)
	pollOneoff(unsafe.Pointer(&subscription), unsafe.Pointer(&event), 1, unsafe.Pointer(&ready))
}
