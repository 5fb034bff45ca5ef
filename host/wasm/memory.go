package wasm

import (
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

const pageSize = 65536 // of WebAssembly

// allocator makes linear memories that are mappings of their own: address space for
// the maximum, accessible as far as grown, returned to the system when freed. What all
// of them have grown to stays below max.
type allocator struct {
	max  int64
	used atomic.Int64
}

// limited is the allocator for instances of at most limit bytes. wazero has no way to
// be told that there is no mapping: such a memory cannot grow from nothing.
func (a *allocator) limited(limit uint64) experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(_, maxBytes uint64) experimental.LinearMemory {
		m := &memory{from: a}
		maxBytes = max(min(maxBytes, limit), pageSize)
		b, err := unix.Mmap(-1, 0, int(maxBytes), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err == nil {
			m.reserved = b
		}
		return m
	})
}

// fits reports whether n more bytes would be granted now.
func (a *allocator) fits(n int64) bool { return a.used.Load()+n <= a.max }

func (a *allocator) take(n int64) bool {
	if a.used.Add(n) > a.max {
		a.used.Add(-n)
		return false
	}
	return true
}

// memory is one linear memory. wazero calls it from one goroutine at a time.
type memory struct {
	from     *allocator
	reserved []byte
	size     uint64 // accessible bytes, a multiple of a page
}

// Reallocate implements experimental.LinearMemory: nil when it cannot grow.
func (m *memory) Reallocate(size uint64) []byte {
	grown := (size + pageSize - 1) &^ (pageSize - 1)
	if size > uint64(len(m.reserved)) || grown > uint64(len(m.reserved)) {
		return nil
	}
	if grown > m.size {
		more := int64(grown - m.size)
		if !m.from.take(more) {
			return nil
		}
		if err := unix.Mprotect(m.reserved[m.size:grown], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			m.from.used.Add(-more)
			return nil
		}
		m.size = grown
	}
	return m.reserved[:size:grown]
}

// Free implements experimental.LinearMemory. It may be called twice.
func (m *memory) Free() {
	if m.reserved == nil {
		return
	}
	_ = unix.Munmap(m.reserved) // only a wrong address can fail, and there is nobody to tell
	m.from.used.Add(-int64(m.size))
	m.reserved, m.size = nil, 0
}
