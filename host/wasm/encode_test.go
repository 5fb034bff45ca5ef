package wasm

import "github.com/nanoclaw/nanoclaw/sdk/module"

// builder writes small modules by hand, so that no test needs a compiler.
type builder struct {
	types, imports, funcs, tables, memory, globals, exports, elems, code, data list
	nImports                                                                   int
	table                                                                      map[string]int
}

type list struct {
	n int
	b []byte
}

func (l *list) add(b ...byte) int {
	l.n++
	l.b = append(l.b, b...)
	return l.n - 1
}

func newBuilder() *builder {
	b := &builder{table: map[string]int{}}
	b.memoryPages(1, -1)
	return b
}

func (b *builder) memoryPages(lo, hi int) *builder {
	b.memory = list{}
	if hi < 0 {
		b.memory.add(module.Uleb([]byte{0}, uint64(lo))...)
	} else {
		b.memory.add(module.Uleb(module.Uleb([]byte{1}, uint64(lo)), uint64(hi))...)
	}
	return b
}

func str(s string) []byte { return append(module.Uleb(nil, uint64(len(s))), s...) }

// typ is the index of a function type; letters as in valueTypes.
func (b *builder) typ(params, results string) int {
	key := params + "/" + results
	if i, ok := b.table[key]; ok {
		return i
	}
	enc := []byte{0x60}
	for _, s := range []string{params, results} {
		enc = module.Uleb(enc, uint64(len(s)))
		for _, c := range s {
			enc = append(enc, map[rune]byte{'i': 0x7f, 'I': 0x7e, 'f': 0x7d, 'F': 0x7c}[c])
		}
	}
	b.table[key] = b.types.add(enc...)
	return b.table[key]
}

func (b *builder) imp(mod, name, params, results string) int {
	t := b.typ(params, results)
	b.nImports++
	return b.imports.add(append(append(append(str(mod), str(name)...), 0), module.Uleb(nil, uint64(t))...)...)
}

// fn adds a function with n extra i32 locals. Imports come first.
func (b *builder) fn(params, results string, locals int, code ...[]byte) int {
	i := b.funcs.add(module.Uleb(nil, uint64(b.typ(params, results)))...)
	body := []byte{0}
	if locals > 0 {
		body = append(module.Uleb([]byte{1}, uint64(locals)), 0x7f)
	}
	for _, c := range code {
		body = append(body, c...)
	}
	body = append(body, 0x0b)
	b.code.add(append(module.Uleb(nil, uint64(len(body))), body...)...)
	return b.nImports + i
}

func (b *builder) export(name string, kind byte, i int) *builder {
	b.exports.add(module.Uleb(append(str(name), kind), uint64(i))...)
	return b
}

// global adds a mutable i32.
func (b *builder) global(v int64) int {
	return b.globals.add(append(sleb([]byte{0x7f, 1, 0x41}, v), 0x0b)...)
}

func (b *builder) bytesAt(off int, s string) *builder {
	b.data.add(append(append(sleb([]byte{0, 0x41}, int64(off)), 0x0b), str(s)...)...)
	return b
}

func (b *builder) build() []byte {
	var out []module.Section
	for _, s := range []struct {
		id byte
		l  list
	}{
		{module.SecType, b.types},
		{module.SecImport, b.imports},
		{module.SecFunction, b.funcs},
		{module.SecTable, b.tables},
		{module.SecMemory, b.memory},
		{module.SecGlobal, b.globals},
		{module.SecExport, b.exports},
		{module.SecElement, b.elems},
		{module.SecCode, b.code},
		{module.SecData, b.data},
	} {
		if s.l.n > 0 {
			out = append(out, module.Section{ID: s.id, Body: append(module.Uleb(nil, uint64(s.l.n)), s.l.b...)})
		}
	}
	return module.Encode(out)
}

// skill exports memory and f as nanoclaw_call.
func (b *builder) skill(f int) []byte {
	return b.export("memory", 2, 0).export(entryCall, 0, f).build()
}

// Instructions.
func i32(v int64) []byte  { return sleb([]byte{0x41}, int64(int32(v))) }
func call(i int) []byte   { return module.Uleb([]byte{0x10}, uint64(i)) }
func get(i int) []byte    { return module.Uleb([]byte{0x20}, uint64(i)) }
func set(i int) []byte    { return module.Uleb([]byte{0x21}, uint64(i)) }
func gget(i int) []byte   { return module.Uleb([]byte{0x23}, uint64(i)) }
func gset(i int) []byte   { return module.Uleb([]byte{0x24}, uint64(i)) }
func op(b ...byte) []byte { return b }
func loop(c ...[]byte) []byte {
	out := []byte{0x03, 0x40}
	for _, b := range c {
		out = append(out, b...)
	}
	return append(out, 0x0b)
}

var (
	drop    = op(0x1a)
	add     = op(0x6a)
	br0     = op(0x0c, 0)
	ret     = op(0x0f)
	wrap    = op(0xa7)           // i32.wrap_i64
	shr32   = op(0x42, 32, 0x88) // i64.const 32, i64.shr_u
	trap    = op(0x00)
	memFill = op(0xfc, 11, 0)
	memGrow = op(0x40, 0)
	store   = op(0x36, 2, 0) // i32.store
	load    = op(0x28, 2, 0) // i32.load
)
