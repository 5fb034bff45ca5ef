package wasm

import "github.com/nanoclaw/nanoclaw/sdk/module"

// Opcodes that the meter inserts.
const (
	opLocalGet = 0x20
	opLocalTee = 0x22
	opI32Const = 0x41
	opI32LtS   = 0x48
	opI32Add   = 0x6a
	opI32Sub   = 0x6b
	opI32Or    = 0x72
	opI32ShrU  = 0x76
	typeI32    = 0x7f
	blockEmpty = 0x40
)

func (m *meter) code(c *cursor) []byte {
	n := c.count()
	if int(n) != len(m.funcs) {
		c.fail("%d functions but %d bodies", len(m.funcs), n)
		return nil
	}
	out := module.Uleb(make([]byte, 0, len(c.b)*3/2), uint64(n))
	for _, t := range m.funcs {
		f := &function{meter: m, typ: m.types[t]}
		body := f.rewrite(c, c.bytes())
		out = append(module.Uleb(out, uint64(len(body))), body...)
	}
	return out
}

// function is one body being rewritten.
type function struct {
	*meter
	typ     functype
	size    int
	locals  uint32   // parameters and locals
	scratch uint64   // index of the local that the meter adds
	costs   []uint32 // of each loop, in order
	calls   bool
}

// rewrite returns the new body: locals and one more; an entry charge; the code, inside
// a block so that there is one way out, and there the depth is given back.
//
//	fuel -= cost; depth -= frame; if (fuel | depth) < 0 { tick(fuel, depth); fuel = 1M }
//	block (results) … end
//	depth += frame
func (f *function) rewrite(c *cursor, entry []byte) []byte {
	locals, expr, err := module.Body(entry)
	if err != nil {
		c.fail("%v", err)
	}
	f.measure(c, locals, expr)
	return f.emit(c, locals, expr)
}

// measure learns what has to be known before the first byte is written.
func (f *function) measure(c *cursor, locals, expr []byte) {
	if c.err != nil {
		return
	}
	f.size = len(expr)
	f.locals = uint32(len(f.typ.params))
	l := &cursor{b: locals}
	for n := l.count(); n > 0; n-- {
		f.locals += l.u32()
		l.skip(1)
	}
	f.scratch = uint64(f.locals)
	type open struct{ loop, start int } // loop -1: another block
	var stack []open
	err := module.WalkCode(expr, func(op module.Op) error {
		switch op.Code {
		case module.OpLoop:
			stack = append(stack, open{len(f.costs), op.Start})
			f.costs = append(f.costs, 0)
		case module.OpBlock, module.OpIf:
			stack = append(stack, open{-1, 0})
		case module.OpCall, module.OpCallIndirect:
			f.calls = true
		case module.OpGlobalGet, module.OpGlobalSet:
			f.ownGlobal(c, op.Index)
		case module.OpEnd:
			if len(stack) == 0 {
				break
			}
			if top := stack[len(stack)-1]; top.loop >= 0 {
				f.costs[top.loop] = 1 + uint32(op.End-top.start)/bytesPerUse
			}
			stack = stack[:len(stack)-1]
		}
		return nil
	})
	if err == nil {
		err = l.err
	}
	if err != nil {
		c.fail("%v", err)
	}
}

func (f *function) emit(c *cursor, locals, expr []byte) []byte {
	if c.err != nil {
		return nil
	}
	b := grow(locals, 1, []byte{1, typeI32})
	if f.calls {
		b = f.depth(b, opI32Sub)
	}
	if f.calls || f.size >= leafBytes {
		b = f.charge(b, 1+uint32(f.size)/bytesPerUse)
	}
	if f.calls {
		b = f.blockType(append(b, module.OpBlock))
	}
	from, loop := 0, 0
	err := module.WalkCode(expr, func(op module.Op) error {
		index, before, own := int64(-1), []byte(nil), expr[op.Start:op.End]
		switch shift := bulkShift(op.Sub); {
		case op.Code == module.OpCall || op.Code == module.OpRefFunc:
			index, own = int64(f.shift(op.Index)), own[:1]
		case op.Code == module.OpReturn && f.calls:
			index, own = int64(op.Depth), []byte{module.OpBr}
		case op.Code == module.OpLoop: // charged below
		case op.Code == module.OpMisc && shift != 0:
			before = f.chargeLength(nil, shift)
		default:
			return nil
		}
		b = append(append(append(b, expr[from:op.Start]...), before...), own...)
		from = op.End
		if index >= 0 {
			b = module.Uleb(b, uint64(index))
		}
		if op.Code == module.OpLoop {
			b = f.charge(b, f.costs[loop])
			loop++
		}
		return nil
	})
	if err != nil {
		c.fail("%v", err)
	}
	b = append(b, expr[from:]...)
	if f.calls { // the last end closed the block
		b = append(f.depth(b, opI32Add), module.OpEnd)
	}
	return b
}

// bulkShift is how far the length of a bulk instruction is shifted to units; 0 = none.
func bulkShift(sub uint32) byte {
	switch sub {
	case 8, 10, 11: // memory.init, copy, fill: 64 bytes
		return 6
	case 12, 14, 15, 17: // table.init, copy, grow, fill: 8 elements
		return 3
	}
	return 0
}

// charge takes cost from the fuel and ticks when it or the depth is below zero.
func (f *function) charge(b []byte, cost uint32) []byte {
	b = f.global(b, module.OpGlobalGet, 0)
	b = append(sleb(append(b, opI32Const), int64(cost)), opI32Sub)
	return f.settle(b)
}

// chargeLength does so for the length on top of the stack, which stays there.
func (f *function) chargeLength(b []byte, shift byte) []byte {
	b = module.Uleb(append(b, opLocalTee), f.scratch)
	b = f.global(b, module.OpGlobalGet, 0)
	b = module.Uleb(append(b, opLocalGet), f.scratch)
	b = append(b, opI32Const, shift, opI32ShrU, opI32Sub)
	b = f.settle(b)
	return b
}

// settle stores the fuel on top of the stack and ticks when it is spent. Bulk charges
// keep the length in the scratch local only while it is on the stack, so it is free here.
func (f *function) settle(b []byte) []byte {
	b = module.Uleb(append(b, opLocalTee), f.scratch)
	b = f.global(b, module.OpGlobalSet, 0)
	b = module.Uleb(append(b, opLocalGet), f.scratch)
	if f.calls {
		b = append(f.global(b, module.OpGlobalGet, 1), opI32Or)
	}
	b = append(b, opI32Const, 0, opI32LtS, module.OpIf, blockEmpty)
	b = module.Uleb(append(b, opLocalGet), f.scratch)
	b = f.global(b, module.OpGlobalGet, 1)
	b = module.Uleb(append(b, module.OpCall), uint64(f.imported))
	b = sleb(append(b, opI32Const), fuelPerTick)
	b = f.global(b, module.OpGlobalSet, 0)
	return append(b, module.OpEnd)
}

// depth adds or takes this function's frame.
func (f *function) depth(b []byte, op byte) []byte {
	b = f.global(b, module.OpGlobalGet, 1)
	b = append(sleb(append(b, opI32Const), f.frameSize()), op)
	return f.global(b, module.OpGlobalSet, 1)
}

// frameSize estimates what a call takes from the stack: return address, saved registers,
// 8 bytes a local, and what the body keeps for a while, by its length.
func (f *function) frameSize() int64 {
	return 64 + 8*int64(f.locals) + 2*int64(f.size)
}

func (f *function) global(b []byte, op byte, counter uint32) []byte {
	return module.Uleb(append(b, op), uint64(f.globals+counter))
}

// blockType appends the type of a block that yields the function's results.
func (f *function) blockType(b []byte) []byte {
	switch r := f.typ.results; len(r) {
	case 0:
		return append(b, blockEmpty)
	case 1:
		return append(b, r[0])
	default:
		i, ok := f.blocks[string(r)]
		if !ok {
			i = f.addType(append(module.Uleb([]byte{0x60, 0}, uint64(len(r))), r...))
			f.blocks[string(r)] = i
		}
		return sleb(b, int64(i))
	}
}
