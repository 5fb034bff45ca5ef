package wasm

import (
	"errors"
	"fmt"

	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// The import that metered modules call when their fuel is spent or their stack is full.
const (
	meterModule = "nanoclaw_meter"
	meterTick   = "tick" // tick(fuel i32, depth i32): fuel ≤ 0 or depth < 0, what is left of them
)

const (
	fuelPerTick = 1_000_000 // units; about 1.5 ms of a tight loop
	bytesPerUse = 32        // bytes of straight code that cost one unit
	leafBytes   = 64        // a shorter function without calls and loops is not charged at entry
	// stackBudget bounds the frames of nested calls, as estimated by frameSize. The real
	// stack is mostly a third of the estimate, and wazero doubles it when it grows.
	stackBudget = 48 << 20
)

// Meter rewrites a valid module so that it counts what it does against fuel and calls
// an import each time a million units are spent. A unit is one round of a loop, one
// call, 32 bytes of straight code, 64 bytes moved by a bulk instruction or 8 table
// elements. Nested calls are counted as well, by the size of their frames.
//
// The two counters are globals behind the last of the guest's own, not exported, and a
// module that names a global it does not have is refused, so that a guest cannot reach
// them. The caller validates with wazero before and after; Meter itself never panics
// on any bytes. Custom sections are left out: they are of no use to a runner.
func Meter(wasm []byte) ([]byte, error) {
	info, err := module.Scan(wasm)
	if err != nil {
		return nil, err
	}
	m := &meter{}
	for _, i := range info.Imports {
		switch {
		case i.Module == meterModule:
			return nil, fmt.Errorf("%w: imports %s, which is the meter's own", module.ErrRefused, meterModule)
		case i.Kind == module.KindFunc:
			m.imported++
		case i.Kind == module.KindGlobal:
			m.globals++
		}
	}
	m.known = make(map[byte][]byte, len(info.Sections))
	for _, s := range info.Sections {
		if s.ID != module.SecCustom {
			m.known[s.ID] = s.Body
		}
	}
	if err := m.read(); err != nil {
		return nil, err
	}
	return m.write()
}

// meter is one rewriting.
type meter struct {
	known    map[byte][]byte // sections by ID
	imported uint32          // functions
	globals  uint32          // all of the guest's; the counters are this and the next
	types    []functype
	funcs    []uint32          // type of each defined function
	extra    []byte            // types added behind the guest's
	added    uint32            // how many
	blocks   map[string]uint32 // block type by results, for more than one result
}

// functype is one function type as it stands in the module.
type functype struct{ params, results []byte }

// read learns the types, the functions and the number of globals.
func (m *meter) read() error {
	c := &cursor{b: m.known[module.SecType]}
	for n := c.count(); n > 0; n-- {
		c.skip(1)
		t := functype{params: c.bytes()}
		t.results = c.bytes()
		m.types = append(m.types, t)
	}
	f := &cursor{b: m.known[module.SecFunction]}
	for n := f.count(); n > 0; n-- {
		t := f.u32()
		if int(t) >= len(m.types) {
			return fmt.Errorf("%w: function of unknown type %d", module.ErrRefused, t)
		}
		m.funcs = append(m.funcs, t)
	}
	g := &cursor{b: m.known[module.SecGlobal]}
	m.globals += g.count()
	m.blocks = map[string]uint32{}
	return errors.Join(c.err, f.err, g.err)
}

// write builds the new module. Code comes first, since it may add types.
func (m *meter) write() ([]byte, error) {
	tick := m.addType(append(module.Uleb([]byte{0x60}, 2), 0x7f, 0x7f, 0))
	imp := module.Uleb(nil, uint64(len(meterModule)))
	imp = module.Uleb(append(imp, meterModule...), uint64(len(meterTick)))
	imp = module.Uleb(append(append(imp, meterTick...), module.KindFunc), uint64(tick))
	counters := sleb([]byte{0x7f, 1, 0x41}, fuelPerTick)
	counters = sleb(append(counters, 0x0b, 0x7f, 1, 0x41), stackBudget)

	out := map[byte][]byte{}
	for id, body := range m.known {
		c := &cursor{b: body}
		switch id {
		case module.SecExport:
			body = m.exports(c)
		case module.SecElement:
			body = m.elements(c)
		case module.SecGlobal:
			body = m.constants(c)
		case module.SecCode:
			body = m.code(c)
		case module.SecData:
			if m.known[module.SecDataCount] == nil { // else its segments may be named by instructions
				body = mergeData(body)
			}
		}
		if c.err != nil {
			return nil, c.err
		}
		out[id] = body
	}
	out[module.SecType] = grow(out[module.SecType], m.added, m.extra)
	out[module.SecImport] = grow(out[module.SecImport], 1, imp)
	out[module.SecGlobal] = grow(out[module.SecGlobal], 2, append(counters, 0x0b))
	var sections []module.Section
	for _, id := range sectionOrder {
		if body := out[id]; body != nil {
			sections = append(sections, module.Section{ID: id, Body: body})
		}
	}
	return module.Encode(sections), nil
}

var sectionOrder = []byte{
	module.SecType, module.SecImport, module.SecFunction, module.SecTable, module.SecMemory, module.SecGlobal,
	module.SecExport, module.SecElement, module.SecDataCount, module.SecCode, module.SecData,
}

// grow appends n items to a counted list.
func grow(list []byte, n uint32, items []byte) []byte {
	c := &cursor{b: list}
	old := c.count()
	out := module.Uleb(nil, uint64(old)+uint64(n))
	return append(append(out, list[c.p:]...), items...)
}

func (m *meter) addType(t []byte) uint32 {
	m.extra = append(m.extra, t...)
	m.added++
	return uint32(len(m.types)) + m.added - 1
}

// shift is the new index of a function: the tick stands behind the imported ones.
func (m *meter) shift(f uint32) uint64 {
	if f >= m.imported {
		return uint64(f) + 1
	}
	return uint64(f)
}

func (m *meter) exports(c *cursor) []byte {
	n := c.count()
	out := module.Uleb(nil, uint64(n))
	for ; n > 0; n-- {
		start := c.p
		c.bytes()
		kind := c.byte()
		out = append(out, c.since(start)...)
		if i := c.u32(); kind == module.KindFunc {
			out = module.Uleb(out, m.shift(i))
		} else {
			out = module.Uleb(out, uint64(i))
		}
	}
	return out
}

// constants rewrites the initial values of globals, which may name functions.
func (m *meter) constants(c *cursor) []byte {
	n := c.count()
	out := module.Uleb(nil, uint64(n))
	for ; n > 0; n-- {
		out = m.constant(c, append(out, c.take(2)...))
	}
	return out
}

// constant copies one constant expression: an instruction and its end.
func (m *meter) constant(c *cursor, out []byte) []byte {
	switch op := c.byte(); op {
	case module.OpRefFunc:
		out = module.Uleb(append(out, op), m.shift(c.u32()))
	case module.OpGlobalGet:
		i := c.u32()
		m.ownGlobal(c, i)
		out = module.Uleb(append(out, op), uint64(i))
	default:
		start := c.p
		switch op {
		case 0x41, 0x42: // i32.const, i64.const
			for c.byte() >= 0x80 {
			}
		case 0x43: // f32.const
			c.skip(4)
		case 0x44: // f64.const
			c.skip(8)
		case 0xd0: // ref.null
			c.skip(1)
		case module.OpVec: // v128.const
			c.skip(17)
		default:
			c.fail("constant expression begins with %#02x", op)
		}
		out = append(append(out, op), c.since(start)...)
	}
	return append(out, c.take(1)...)
}

// ownGlobal refuses a global that the guest does not have: it would be a counter.
func (m *meter) ownGlobal(c *cursor, i uint32) {
	if i >= m.globals {
		c.fail("global %d of %d", i, m.globals)
	}
}

// elements rewrites element segments; see scan.go of sdk/module for their kinds.
func (m *meter) elements(c *cursor) []byte {
	n := c.count()
	out := module.Uleb(nil, uint64(n))
	for ; n > 0; n-- {
		start := c.p
		kind := c.u32()
		if kind&3 == 2 {
			c.u32()
		}
		out = append(out, c.since(start)...)
		if kind&1 == 0 {
			out = m.constant(c, out)
		}
		if kind&3 != 0 {
			out = append(out, c.take(1)...)
		}
		items := c.count()
		out = module.Uleb(out, uint64(items))
		for ; items > 0; items-- {
			if kind&4 != 0 {
				out = m.constant(c, out)
			} else {
				out = module.Uleb(out, m.shift(c.u32()))
			}
		}
	}
	return out
}

// cursor reads b and keeps its first error; after one it returns zero values, and counts are 0.
type cursor struct {
	b   []byte
	p   int
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{module.ErrRefused}, args...)...)
	}
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) take(n int) []byte {
	if c.err != nil || n < 0 || n > len(c.b)-c.p {
		c.fail("cut short")
		return nil
	}
	c.p += n
	return c.b[c.p-n : c.p : c.p]
}

func (c *cursor) skip(n int)             { c.take(n) }
func (c *cursor) since(start int) []byte { return c.b[start:c.p] }
func (c *cursor) bytes() []byte          { return c.take(int(c.u32())) }

func (c *cursor) u32() uint32 {
	v, n, err := module.ReadUleb(c.b[c.p:])
	if c.err != nil || err != nil || v > 1<<32-1 {
		c.fail("bad number")
		return 0
	}
	c.p += n
	return uint32(v)
}

// count is the length of a list, 0 when the section is missing. Items take a byte or more.
func (c *cursor) count() uint32 {
	if len(c.b) == 0 {
		return 0
	}
	n := c.u32()
	if int64(n) > int64(len(c.b)-c.p) {
		c.fail("%d items in %d bytes", n, len(c.b)-c.p)
		return 0
	}
	return n
}

// sleb appends v as signed LEB128.
func sleb(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
