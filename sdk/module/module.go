// Package module reads and writes the sections of a core WebAssembly module, and
// scans a module for everything that could hurt whoever compiles it, without compiling it.
//
// It owns the binary format as far as admission and metering need it: sections
// (Parse, Encode: raw bytes are copied, never re-encoded, since Go pads its lengths),
// the bounds of DESIGN section 7 (Scan), and one walk over instructions (WalkCode)
// that the meter shares, so that both read the same bytes the same way. Where the
// format allows several spellings of an opcode, only the one that wazero reads is accepted.
//
// It must never execute, compile or allocate by a count that a module states before
// the bytes behind that count are known to be there. It does not validate types:
// wazero does, in a container.
package module

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrRefused is wrapped by every error about a module.
var ErrRefused = errors.New("refused")

// Bounds of a module. Real Go modules reach tables of 11,600, a nesting of 1,400 and br_tables of 1,900.
const (
	MaxSize          = 16 << 20 // bytes of a file
	MaxSections      = 1_000
	MaxName          = 4_096 // bytes of any name
	MaxTypes         = 10_000
	MaxParams        = 1_000 // parameters plus results of one type
	MaxImports       = 1_000
	MaxFunctions     = 100_000 // imported ones included
	MaxTables        = 10
	MaxTableElements = 65_536 // all tables; all element segments
	MaxMemoryPages   = 8_192  // initial; 512 MiB
	MaxGlobals       = 10_000
	MaxExports       = 10_000
	MaxElements      = 10_000    // segments
	MaxData          = 100_000   // segments
	MaxBody          = 1 << 20   // bytes of one function
	MaxLocals        = 50_000    // one function
	MaxTotalLocals   = 1_000_000 // all functions; a Go module of 13 MB has 32,000
	MaxNesting       = 4_096     // blocks in blocks
	MaxBrTable       = 16_384    // targets of one br_table
)

// IDs of sections.
const (
	SecCustom byte = iota
	SecType
	SecImport
	SecFunction
	SecTable
	SecMemory
	SecGlobal
	SecExport
	SecStart
	SecElement
	SecCode
	SecData
	SecDataCount
)

var header = []byte("\x00asm\x01\x00\x00\x00")

// Section is one section of a module.
type Section struct {
	ID   byte
	Name string // custom sections only
	Body []byte // payload; a custom section's without its name
	Raw  []byte // the whole section as it stood, ID and length included
}

// Uleb appends v as unsigned LEB128.
func Uleb(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// ReadUleb reads an unsigned LEB128 number of at most 64 bits and says how many bytes it took.
func ReadUleb(b []byte) (v uint64, n int, err error) {
	for shift := uint(0); n < len(b) && shift < 64; shift += 7 {
		c := b[n]
		n++
		if shift == 63 && c > 1 {
			break
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, n, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: number cut short or over 64 bits", ErrRefused)
}

// Parse splits a module into sections, which share its bytes. It checks the header,
// lengths, number of sections and the names of custom ones, and not their order.
func Parse(wasm []byte) ([]Section, error) {
	switch {
	case len(wasm) < len(header) || !bytes.Equal(wasm[:4], header[:4]):
		return nil, fmt.Errorf("%w: not a WebAssembly file", ErrRefused)
	case bytes.Equal(wasm[4:8], []byte{0x0d, 0, 1, 0}):
		return nil, fmt.Errorf("%w: this is a WebAssembly component; build a core module (for wasip1) instead", ErrRefused)
	case !bytes.Equal(wasm[4:8], header[4:]):
		return nil, fmt.Errorf("%w: WebAssembly version % x, only 01 00 00 00 is read", ErrRefused, wasm[4:8])
	}
	var out []Section
	r := &reader{b: wasm, p: len(header)}
	for r.more() {
		start := r.p
		s := Section{ID: r.byte()}
		s.Body = r.take(r.u32())
		if s.ID == SecCustom && r.err == nil {
			in := &reader{b: s.Body}
			s.Name = in.name()
			s.Body, r.err = in.b[in.p:], in.err
		}
		s.Raw = wasm[start:r.p]
		if out = append(out, s); len(out) > MaxSections {
			r.fail("more than %d sections", MaxSections)
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("section %d: %w", len(out), r.err)
	}
	return out, nil
}

// Encode joins sections to a module: Raw as it is where set, else ID, Name and Body.
func Encode(sections []Section) []byte {
	out := bytes.Clone(header)
	for _, s := range sections {
		if s.Raw != nil {
			out = append(out, s.Raw...)
			continue
		}
		body := s.Body
		if s.ID == SecCustom {
			body = append(append(Uleb(nil, uint64(len(s.Name))), s.Name...), s.Body...)
		}
		out = append(Uleb(append(out, s.ID), uint64(len(body))), body...)
	}
	return out
}

// reader reads b and keeps its first error; after one it returns zero values.
type reader struct {
	b   []byte
	p   int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
	}
}

func (r *reader) more() bool { return r.err == nil && r.p < len(r.b) }

func (r *reader) byte() byte {
	if !r.more() {
		r.fail("cut short at byte %d", r.p)
		return 0
	}
	r.p++
	return r.b[r.p-1]
}

func (r *reader) take(n uint32) []byte {
	if r.err != nil || uint64(n) > uint64(len(r.b)-r.p) {
		r.fail("cut short: %d bytes stated, %d there", n, len(r.b)-r.p)
		return nil
	}
	r.p += int(n)
	return r.b[r.p-int(n) : r.p]
}

// u32 reads a number as wazero does: at most 5 bytes and 32 bits.
func (r *reader) u32() (v uint32) {
	for i := 0; i < 5; i++ {
		c := r.byte()
		if i == 4 && c > 0x0f {
			break
		}
		v |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v
		}
	}
	r.fail("number over 32 bits at byte %d", r.p)
	return 0
}

// sleb skips a signed number of at most n bytes.
func (r *reader) sleb(n int) (first byte, length int) {
	first = r.byte()
	for c := first; c >= 0x80; c = r.byte() {
		if length++; length >= n {
			r.fail("number of more than %d bytes at byte %d", n, r.p)
		}
	}
	return first, length + 1
}

func (r *reader) name() string {
	b := r.take(r.count("bytes of a name", MaxName))
	if !utf8.Valid(b) {
		r.fail("a name is not valid UTF-8")
	}
	return string(b)
}

// count reads how many things follow; 0 after any error, so that loops end.
func (r *reader) count(what string, limit uint32) uint32 {
	n := r.u32()
	if n > limit {
		r.fail("%d %s, at most %d", n, what, limit)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// each reads a counted list.
func (r *reader) each(what string, limit uint32, f func(i uint32)) uint32 {
	n := r.count(what, limit)
	for i := uint32(0); i < n && r.err == nil; i++ {
		f(i)
	}
	return n
}
