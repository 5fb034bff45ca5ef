package module

import (
	"fmt"
	"slices"
)

// Kinds of imports and exports.
const (
	KindFunc byte = iota
	KindTable
	KindMemory
	KindGlobal
)

// Import is one import of a module.
type Import struct {
	Module, Name string
	Kind         byte
}

// Export is one export of a module.
type Export struct {
	Name string
	Kind byte
}

// Info is what Scan learns of a module.
type Info struct {
	Sections    []Section
	Imports     []Import
	Exports     []Export
	MemoryPages uint32 // initial pages of 64 KiB
}

// order of the sections that are no custom ones; data count (12) stands before the code.
var order = []byte{
	SecType, SecImport, SecFunction, SecTable, SecMemory, SecGlobal, SecExport, SecStart,
	SecElement, SecDataCount, SecCode, SecData,
}

var sectionNames = []string{
	"custom", "type", "import", "function", "table", "memory", "global", "export", "start",
	"element", "code", "data", "data count",
}

// scan counts across sections.
type scan struct {
	*reader // the section being read
	Info
	funcs, defined, bodies    uint32
	tables, globals, memories uint32
	tableElems, segmentElems  uint64
	locals                    uint64
	data, dataCount           uint32
	dataCounted               bool
	openTable, growsTable     bool // a table without maximum; a table.grow
}

// Scan checks every bound of DESIGN section 7 without compiling. Its errors wrap
// ErrRefused and name the thing and the bound.
func Scan(wasm []byte) (*Info, error) {
	if len(wasm) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrRefused, len(wasm), MaxSize)
	}
	sections, err := Parse(wasm)
	if err != nil {
		return nil, err
	}
	s := &scan{reader: &reader{}, Info: Info{Sections: sections}}
	last := -1
	for _, sec := range sections {
		if sec.ID == SecCustom {
			continue
		}
		at := slices.Index(order, sec.ID)
		switch {
		case at < 0:
			return nil, fmt.Errorf("%w: section ID %d: exceptions and other extensions are not supported", ErrRefused, sec.ID)
		case at <= last:
			return nil, fmt.Errorf("%w: %s section repeated or out of order", ErrRefused, sectionNames[sec.ID])
		}
		last = at
		if err := s.section(sec); err != nil {
			return nil, fmt.Errorf("%s section: %w", sectionNames[sec.ID], err)
		}
	}
	if err := s.totals(); err != nil {
		return nil, err
	}
	return &s.Info, nil
}

func (s *scan) totals() error {
	switch {
	case s.defined != s.bodies:
		s.fail("%d functions but %d bodies", s.defined, s.bodies)
	case s.dataCounted && s.data != s.dataCount:
		s.fail("%d data segments but %d counted", s.data, s.dataCount)
	case s.growsTable && s.openTable:
		s.fail("table.grow on a table without a maximum")
	default:
		return nil
	}
	return s.err
}

func (s *scan) section(sec Section) error {
	s.reader = &reader{b: sec.Body}
	switch sec.ID {
	case SecType:
		s.each("types", MaxTypes, func(uint32) { s.functype() })
	case SecImport:
		s.each("imports", MaxImports, func(uint32) { s.imported() })
	case SecFunction:
		s.defined = s.each("functions", MaxFunctions-s.funcs, func(uint32) { s.u32() })
		s.funcs += s.defined
	case SecTable:
		s.each("tables", MaxTables, func(uint32) { s.table() })
	case SecMemory:
		s.each("memories", 1, func(uint32) { s.memory() })
	case SecGlobal:
		s.each("globals", MaxGlobals, func(uint32) {
			s.global()
			s.constant()
		})
	case SecExport:
		s.exports()
	case SecStart:
		s.fail("it would run code on loading; remove it")
	case SecElement:
		s.each("element segments", MaxElements, func(uint32) { s.element() })
	case SecDataCount:
		s.dataCount, s.dataCounted = s.count("data segments", MaxData), true
	case SecCode:
		s.bodies = s.each("function bodies", MaxFunctions, s.body)
	case SecData:
		s.data = s.each("data segments", MaxData, func(uint32) { s.segment() })
	}
	if s.err == nil && s.p != len(s.b) {
		s.fail("%d bytes too many", len(s.b)-s.p)
	}
	return s.err
}

func (s *scan) functype() {
	if s.byte() != 0x60 {
		s.fail("a type that is no function type")
	}
	n := s.each("parameters of a type", MaxParams, func(uint32) { s.valtype() })
	s.each("parameters and results of a type", MaxParams-n, func(uint32) { s.valtype() })
}

func (s *scan) imported() {
	i := Import{Module: s.name(), Name: s.name(), Kind: s.byte()}
	switch i.Kind {
	case KindFunc:
		s.u32()
		s.funcs++
	case KindTable:
		s.table()
	case KindMemory:
		s.memory()
	case KindGlobal:
		s.global()
	default:
		s.fail("import %q %q of unknown kind %d", i.Module, i.Name, i.Kind)
	}
	s.Imports = append(s.Imports, i)
}

// limits reads minimum and maximum; shared and 64-bit ones are refused.
func (s *scan) limits(what string) (lo, hi uint32, bounded bool) {
	flags := s.byte()
	if flags > 1 {
		s.fail("%s with limits of kind %#02x: shared (threads) and 64-bit ones are not supported", what, flags)
	}
	lo = s.u32()
	if bounded = flags == 1; bounded {
		hi = s.u32()
	}
	return lo, hi, bounded
}

func (s *scan) table() {
	s.reftype()
	lo, hi, bounded := s.limits("table")
	s.openTable = s.openTable || !bounded
	s.tableElems += uint64(max(lo, hi))
	if s.tableElems > MaxTableElements {
		s.fail("%d table elements, at most %d in all", s.tableElems, MaxTableElements)
	}
	if s.tables++; s.tables > MaxTables {
		s.fail("more than %d tables", MaxTables)
	}
}

func (s *scan) memory() {
	s.MemoryPages, _, _ = s.limits("memory")
	if s.MemoryPages > MaxMemoryPages {
		s.fail("%d pages of memory at start, at most %d", s.MemoryPages, MaxMemoryPages)
	}
	if s.memories++; s.memories > 1 {
		s.fail("%d memories, at most 1", s.memories)
	}
}

func (s *scan) global() {
	s.valtype()
	if s.byte() > 1 {
		s.fail("unknown mutability of a global")
	}
	if s.globals++; s.globals > MaxGlobals {
		s.fail("more than %d globals", MaxGlobals)
	}
}

// constant reads one constant expression: a single constant, reference or global.get.
func (s *scan) constant() {
	n := 0
	s.walk(func(op Op) error {
		n++
		switch c := op.Code; {
		case c >= 0x41 && c <= 0x44, c == OpGlobalGet, c == 0xd0, c == OpRefFunc, c == OpVec && op.Sub == 12:
			if n == 1 {
				return nil
			}
		case c == OpEnd && n == 2:
			return nil
		}
		return fmt.Errorf("%w: a constant expression that is not one constant", ErrRefused)
	})
}

func (s *scan) exports() {
	seen := map[string]bool{}
	s.each("exports", MaxExports, func(uint32) {
		e := Export{Name: s.name(), Kind: s.byte()}
		s.u32()
		if e.Kind > KindGlobal {
			s.fail("export %q of unknown kind %d", e.Name, e.Kind)
		}
		if seen[e.Name] {
			s.fail("export %q stands twice", e.Name)
		}
		seen[e.Name] = true
		s.Exports = append(s.Exports, e)
	})
}

// element reads one segment. Bits of its kind: 1 passive or declarative, 2 with
// table index (or declarative), 4 expressions in place of function indices.
func (s *scan) element() {
	kind := s.u32()
	if kind > 7 {
		s.fail("element segment of unknown kind %d", kind)
	}
	if kind&3 == 2 {
		s.u32()
	}
	if kind&1 == 0 {
		s.constant()
	}
	switch {
	case kind&3 == 0:
	case kind&4 != 0:
		s.reftype()
	case s.byte() != 0:
		s.fail("element segment of unknown type")
	}
	n := s.each("elements of a segment", MaxTableElements, func(uint32) {
		if kind&4 != 0 {
			s.constant()
		} else {
			s.u32()
		}
	})
	if s.segmentElems += uint64(n); s.segmentElems > MaxTableElements {
		s.fail("more than %d elements in all segments", MaxTableElements)
	}
}

func (s *scan) body(i uint32) {
	entry := &reader{b: s.take(s.count("bytes of one function", MaxBody)), err: s.err}
	s.locals += entry.locals()
	if s.locals > MaxTotalLocals {
		entry.fail("more than %d locals in all functions", MaxTotalLocals)
	}
	entry.walk(func(op Op) error {
		s.growsTable = s.growsTable || op.Code == OpMisc && op.Sub == 15
		return nil
	})
	if entry.err == nil && entry.p != len(entry.b) {
		entry.fail("%d bytes after the last end", len(entry.b)-entry.p)
	}
	if entry.err != nil && s.err == nil {
		s.err = fmt.Errorf("function %d: %w", i, entry.err)
	}
}

func (s *scan) segment() {
	kind := s.u32()
	if kind > 2 {
		s.fail("data segment of unknown kind %d", kind)
	}
	if kind == 2 {
		s.zero()
	}
	if kind != 1 {
		s.constant()
	}
	s.take(s.u32())
}
