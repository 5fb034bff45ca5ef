package module

import "fmt"

// Op is one instruction of an expression.
type Op struct {
	Start, End int    // its bytes are expr[Start:End]
	Code       byte   // first byte
	Sub        uint32 // second part of 0xfc and 0xfd instructions
	Index      uint32 // first index among its immediates: function, type, local, global, table, label, segment
	Depth      int    // blocks open before it
}

// Opcodes that callers name.
const (
	OpBlock        byte = 0x02
	OpLoop         byte = 0x03
	OpIf           byte = 0x04
	OpEnd          byte = 0x0b
	OpBr           byte = 0x0c
	OpReturn       byte = 0x0f
	OpCall         byte = 0x10
	OpCallIndirect byte = 0x11
	OpGlobalGet    byte = 0x23
	OpGlobalSet    byte = 0x24
	OpRefFunc      byte = 0xd2
	OpMisc         byte = 0xfc // Sub: memory 8 init, 10 copy, 11 fill; table 12 init, 14 copy, 15 grow, 17 fill
	OpVec          byte = 0xfd
)

// shapes says what follows each opcode, a letter for each of the 256: p nothing,
// b block type, x index, X two, t br_table, T types, m memory argument, z reserved
// zero, i I f F constants, r reference type, M and V second opcode. A dot is refused:
// exceptions, tail calls, threads, GC or nothing at all. This is WebAssembly 2.0,
// which is what the runner's wazero is set to.
const shapes = "" +
	"ppbbbp.....pxxtp" + // unreachable nop block loop if else … end br br_if br_table return
	"xX........ppT..." + // call call_indirect … drop select select_t
	"xxxxxxx.mmmmmmmm" + // local.get … table.set; loads
	"mmmmmmmmmmmmmmmz" + // loads, stores, memory.size
	"ziIfFppppppppppp" + // memory.grow, constants, arithmetic
	"pppppppppppppppp" +
	"pppppppppppppppp" +
	"pppppppppppppppp" +
	"pppppppppppppppp" +
	"pppppppppppppppp" +
	"pppppppppppppppp" +
	"pppppppppppppppp" +
	"ppppp..........." +
	"rpx............." +
	"................" +
	"............MV.."

// Body splits one entry of the code section (without its size) into the list of
// locals, to be copied as it is, and the expression for WalkCode.
func Body(entry []byte) (locals, expr []byte, err error) {
	r := &reader{b: entry}
	r.locals()
	return entry[:r.p], entry[r.p:], r.err
}

func (r *reader) locals() (sum uint64) {
	r.each("groups of locals", MaxLocals, func(uint32) {
		if sum += uint64(r.u32()); sum > MaxLocals {
			r.fail("%d locals, at most %d", sum, MaxLocals)
		}
		r.valtype()
	})
	return sum
}

// WalkCode calls f, which may be nil, for every instruction of expr, the last of
// which is the `end` that closes it. It enforces the bounds on nesting and br_table.
func WalkCode(expr []byte, f func(Op) error) error {
	r := &reader{b: expr}
	if r.walk(f); r.err == nil && r.p != len(r.b) {
		r.fail("%d bytes after the last end", len(r.b)-r.p)
	}
	return r.err
}

func (r *reader) walk(f func(Op) error) {
	for depth := 0; depth >= 0 && r.err == nil; {
		op := Op{Start: r.p, Depth: depth}
		op.Code = r.byte()
		shape := shapes[op.Code]
		switch {
		case r.err != nil:
			return
		case shape == 'b':
			if depth++; depth > MaxNesting {
				r.fail("blocks nested %d deep, at most %d", depth, MaxNesting)
			}
		case op.Code == OpEnd:
			depth--
		}
		r.immediates(shape, &op)
		op.End = r.p
		if f != nil && r.err == nil {
			r.err = f(op)
		}
	}
}

func (r *reader) immediates(shape byte, op *Op) {
	switch shape {
	case 'p':
	case 'b':
		if c, n := r.sleb(5); n == 1 && c&0x40 != 0 && c != 0x40 {
			r.p--
			r.valtype()
		} else if n > 1 && r.b[r.p-1]&0x40 != 0 {
			r.fail("unknown block type at byte %d", op.Start)
		}
	case 'x', 'X':
		op.Index = r.u32()
		if shape == 'X' {
			r.u32()
		}
	case 't':
		r.each("br_table targets", MaxBrTable, func(uint32) { r.u32() })
		r.u32()
	case 'm':
		r.memarg()
	case 'z':
		r.zero()
	case 'i':
		r.sleb(5)
	case 'I':
		r.sleb(10)
	case 'f':
		r.take(4)
	case 'F':
		r.take(8)
	case 'T':
		r.each("select types", 1, func(uint32) { r.valtype() })
	case 'r':
		r.reftype()
	case 'M':
		r.misc(op)
	case 'V':
		r.vector(op)
	default:
		r.fail("instruction %s at byte %d: exceptions, tail calls, threads and garbage collection are not supported",
			fmt.Sprintf("%#02x", op.Code), op.Start)
	}
}

func (r *reader) misc(op *Op) {
	op.Sub = uint32(r.byte()) // one byte: wazero and the meter must not disagree on longer spellings
	switch s := op.Sub; {
	case s <= 7: // saturating truncation
	case s == 8: // memory.init
		op.Index = r.u32()
		r.zero()
	case s == 10: // memory.copy
		r.zero()
		r.zero()
	case s == 11: // memory.fill
		r.zero()
	case s == 12 || s == 14: // table.init, table.copy
		op.Index = r.u32()
		r.u32()
	case s <= 17:
		op.Index = r.u32()
	default:
		r.fail("instruction 0xfc %#02x at byte %d is not supported", s, op.Start)
	}
}

func (r *reader) vector(op *Op) {
	op.Sub = uint32(r.byte())
	if op.Sub >= 0x80 && r.byte() != 1 {
		r.fail("vector instruction at byte %d is not supported", op.Start)
	}
	switch s := op.Sub; {
	case s <= 11 || s == 92 || s == 93:
		r.memarg()
	case s == 12 || s == 13:
		r.take(16)
	case s >= 21 && s <= 34:
		r.byte()
	case s >= 84 && s <= 91:
		r.memarg()
		r.byte()
	}
}

func (r *reader) memarg() {
	if r.u32() > 31 {
		r.fail("alignment at byte %d: multiple or 64-bit memories are not supported", r.p)
	}
	r.u32()
}

func (r *reader) zero() {
	if r.byte() != 0 {
		r.fail("memory index at byte %d is not 0: only one memory is supported", r.p-1)
	}
}

// valtype reads a value type: i32 i64 f32 f64 v128 funcref externref.
func (r *reader) valtype() {
	if c := r.byte(); (c < 0x7b || c > 0x7f) && c != 0x70 && c != 0x6f {
		r.fail("unknown value type %#02x at byte %d", c, r.p-1)
	}
}

func (r *reader) reftype() {
	if c := r.byte(); c != 0x70 && c != 0x6f {
		r.fail("unknown reference type %#02x at byte %d", c, r.p-1)
	}
}
