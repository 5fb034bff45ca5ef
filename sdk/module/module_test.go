package module

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// cat joins bytes and byte slices.
func cat(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			out = append(out, byte(p))
		case byte:
			out = append(out, p)
		case string:
			out = append(out, p...)
		case []byte:
			out = append(out, p...)
		}
	}
	return out
}

func u(n uint64) []byte { return Uleb(nil, n) }

func str(s string) []byte { return cat(u(uint64(len(s))), s) }

func sec(id byte, parts ...any) []byte { return Encode([]Section{{ID: id, Body: cat(parts...)}})[8:] }

func custom(name, body string) []byte {
	return Encode([]Section{{Name: name, Body: []byte(body)}})[8:]
}

func mod(sections ...[]byte) []byte { return append(bytes.Clone(header), bytes.Join(sections, nil)...) }

// fn is a module with one function of type () -> () and this code entry.
func fn(entry ...any) []byte {
	e := cat(entry...)
	return mod(sec(SecType, 1, 0x60, 0, 0), sec(SecFunction, 1, 0), sec(SecCode, 1, u(uint64(len(e))), e))
}

func repeat(n int, parts ...any) []byte { return bytes.Repeat(cat(parts...), n) }

func TestBombsAreRefusedByName(t *testing.T) {
	tables := func(n, elems int) []byte {
		return mod(sec(SecTable, u(uint64(n)), repeat(n, 0x70, 0, u(uint64(elems)))))
	}
	for name, c := range map[string]struct {
		wasm []byte
		want string
	}{
		"locals of 37 bytes": {fn(1, u(math.MaxUint32), 0x7e, 0x0b), "4294967295 locals, at most 50000"},
		"100M locals":        {fn(1, u(100_000_000), 0x7e, 0x0b), "100000000 locals, at most 50000"},
		"overflowing locals": {fn(3, repeat(2, u(math.MaxUint32), 0x7e), 2, 0x7e, 0x0b), "locals, at most 50000"},
		"locals of many functions": {
			mod(sec(SecType, 1, 0x60, 0, 0), sec(SecFunction, 100, repeat(100, 0)),
				sec(SecCode, 100, repeat(100, 6, 1, u(50_000), 0x7e, 0x0b))),
			"more than 1000000 locals",
		},
		"table 100M":        {tables(1, 100_000_000), "100000000 table elements, at most 65536"},
		"table maximum":     {mod(sec(SecTable, 1, 0x70, 1, 0, u(65_537))), "65537 table elements"},
		"ten full tables":   {tables(10, 65_536), "table elements, at most 65536"},
		"100 tables":        {tables(100, 1), "100 tables, at most 10"},
		"imported tables":   {mod(sec(SecImport, 11, repeat(11, str("m"), str("t"), 1, 0x70, 0, 1))), "more than 10 tables"},
		"table.grow":        {growing(0), "table.grow on a table without a maximum"},
		"nested 60k":        {fn(0, repeat(60_000, 2, 0x40), repeat(60_001, 0x0b)), "blocks nested 4097 deep, at most 4096"},
		"br_table 1M":       {fn(0, 0x0e, u(1_000_000), repeat(900_000, 0), 0, 0x0b), "1000000 br_table targets, at most 16384"},
		"huge function":     {fn(0, repeat(1<<20, 1), 0x0b), "bytes of one function, at most 1048576"},
		"start section":     {mod(sec(SecStart, 0)), "start section: refused: it would run code on loading"},
		"two memories":      {mod(sec(SecMemory, 2, 0, 1, 0, 1)), "2 memories, at most 1"},
		"imported and own":  {mod(sec(SecImport, 1, str("m"), str("m"), 2, 0, 1), sec(SecMemory, 1, 0, 1)), "2 memories"},
		"shared memory":     {mod(sec(SecMemory, 1, 3, 1, 2)), "shared (threads)"},
		"memory64":          {mod(sec(SecMemory, 1, 4, 1)), "64-bit"},
		"big memory":        {mod(sec(SecMemory, 1, 0, u(8_193))), "8193 pages of memory at start, at most 8192"},
		"component":         {[]byte("\x00asm\x0d\x00\x01\x00"), "is a WebAssembly component"},
		"wrong version":     {[]byte("\x00asm\x02\x00\x00\x00"), "version 02 00 00 00"},
		"not wasm":          {[]byte("#!/bin/sh\n"), "not a WebAssembly file"},
		"empty":             {nil, "not a WebAssembly file"},
		"over 16 MiB":       {make([]byte, MaxSize+1), "16777217 bytes, at most 16777216"},
		"many sections":     {mod(repeat(MaxSections+1, 0, 1, 0)), "more than 1000 sections"},
		"repeated section":  {mod(sec(SecType, 0), sec(SecType, 0)), "type section repeated or out of order"},
		"order":             {mod(sec(SecFunction, 0), sec(SecType, 0)), "type section repeated or out of order"},
		"tag section":       {mod(sec(13, 0)), "section ID 13"},
		"types":             {mod(sec(SecType, u(10_001))), "10001 types, at most 10000"},
		"parameters":        {mod(sec(SecType, 1, 0x60, u(600), repeat(600, 0x7f), u(401), repeat(401, 0x7f))), "results of a type"},
		"struct type":       {mod(sec(SecType, 1, 0x5f, 0)), "no function type"},
		"imports":           {mod(sec(SecImport, u(1_001))), "1001 imports, at most 1000"},
		"functions":         {mod(sec(SecFunction, u(100_001))), "100001 functions, at most 100000"},
		"globals":           {mod(sec(SecGlobal, u(10_001))), "10001 globals, at most 10000"},
		"exports":           {mod(sec(SecExport, u(10_001))), "10001 exports, at most 10000"},
		"element segments":  {mod(sec(SecElement, u(10_001))), "10001 element segments"},
		"elements":          {mod(sec(SecElement, 1, 1, 0, u(65_537))), "65537 elements of a segment"},
		"elements in all":   {mod(sec(SecElement, 2, repeat(2, 1, 0, u(40_000), repeat(40_000, 0)))), "more than 65536 elements"},
		"data segments":     {mod(sec(SecData, u(100_001))), "100001 data segments, at most 100000"},
		"data count":        {mod(sec(SecDataCount, 2), sec(SecData, 1, 1, 0)), "1 data segments but 2 counted"},
		"bodies missing":    {mod(sec(SecType, 1, 0x60, 0, 0), sec(SecFunction, 1, 0)), "1 functions but 0 bodies"},
		"duplicate export":  {mod(sec(SecExport, 2, repeat(2, str("a"), 0, 0))), `export "a" stands twice`},
		"name not UTF-8":    {mod(sec(SecExport, 1, str("\xff"), 0, 0)), "not valid UTF-8"},
		"custom not UTF-8":  {mod(custom("\xff", "")), "not valid UTF-8"},
		"long name":         {mod(custom(strings.Repeat("n", 4_097), "")), "4097 bytes of a name, at most 4096"},
		"two-step constant": {mod(sec(SecGlobal, 1, 0x7f, 0, 0x41, 1, 0x41, 1, 0x6a, 0x0b)), "not one constant"},
		"call in constant":  {mod(sec(SecGlobal, 1, 0x7f, 0, 0x10, 0, 0x0b)), "not one constant"},
		"bytes after end":   {fn(0, 0x0b, 1), "1 bytes after the last end"},
		"section too long":  {mod(sec(SecType, 0, 0)), "1 bytes too many"},
		"33-bit number":     {mod(sec(SecType, 0x80, 0x80, 0x80, 0x80, 0x10)), "over 32 bits"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Scan(c.wasm)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Scan: %v, want a refusal with %q", err, c.want)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Fatalf("took %v", d)
			}
		})
	}
}

// growing is a module that grows its table, which has flags of limits 0 (open) or 1 (0 to 9).
func growing(flags int) []byte {
	limits := cat(flags, 0)
	if flags == 1 {
		limits = cat(limits, 9)
	}
	e := cat(0, 0xd0, 0x70, 0x41, 1, 0xfc, 15, 0, 0x1a, 0x0b)
	return mod(sec(SecType, 1, 0x60, 0, 0), sec(SecFunction, 1, 0), sec(SecTable, 1, 0x70, limits),
		sec(SecCode, 1, len(e), e))
}

func TestUnsupportedInstructions(t *testing.T) {
	for name, code := range map[string][]byte{
		"atomics":                cat(0xfe, 3, 0),
		"tail call":              cat(0x12, 0),
		"call_ref":               cat(0x14, 0),
		"legacy try":             cat(0x06, 0x40),
		"throw":                  cat(0x08, 0),
		"try_table":              cat(0x1f, 0x40, 0),
		"gc":                     cat(0xfb, 0, 0),
		"ref.as_non_null":        cat(0xd4),
		"relaxed simd":           cat(0xfd, 0x80, 2),
		"long spelling of 0xfd":  cat(0xfd, 0x8b, 0, 0, 0),
		"long spelling of 0xfc":  cat(0xfc, 0x8b, 0, 0),
		"0xfc 18":                cat(0xfc, 18, 0),
		"second memory in load":  cat(0x28, 0x42, 1, 0),
		"second memory in grow":  cat(0x40, 1),
		"long zero of memory":    cat(0x3f, 0x80, 0),
		"block of exnref":        cat(0x02, 0x69),
		"block of typed ref":     cat(0x02, 0x63, 0),
		"long negative block":    cat(0x02, 0xff, 0x7f),
		"i64.const of 11 bytes":  cat(0x42, repeat(10, 0x80), 0),
		"local of a typed ref":   cat(),
		"select of several":      cat(0x1c, 2, 0x7f, 0x7f),
		"ref.null of any":        cat(0xd0, 0x6e),
		"memory.init, memory 1":  cat(0xfc, 8, 0, 1),
		"br_table cut short":     cat(0x0e, 5, 0),
		"no end at all":          cat(0x01),
		"constant cut short":     cat(0x44, 0, 0),
		"shuffle cut short":      cat(0xfd, 13, 0),
		"index of over 32 bits":  cat(0x10, 0xff, 0xff, 0xff, 0xff, 0x1f),
		"unassigned opcode":      cat(0x27),
		"unassigned opcode 0xff": cat(0xff),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "no end at all" || strings.HasSuffix(name, "short") {
				if err := WalkCode(code, nil); !errors.Is(err, ErrRefused) {
					t.Fatalf("WalkCode: %v", err)
				}
				return
			}
			wasm := fn(0, code, 0x0b)
			if len(code) == 0 {
				wasm = fn(1, 1, 0x64, 0, 0x0b)
			}
			if _, err := Scan(wasm); !errors.Is(err, ErrRefused) {
				t.Fatalf("Scan: %v, want a refusal", err)
			}
		})
	}
}

// full is a module with every section and every shape of instruction.
func full() []byte {
	code := cat(
		2, 1, 0x7f, 1, 0x7b, // two groups of locals
		2, 0x40, 3, 0, 4, 0x7f, 5, 0x0b, 0x0c, 0, 0x0d, 1, 0x0e, 1, 0, 1, 0x0f, 0x0b, 0x0b,
		0x10, 0, 0x11, 0, 0, 0x1a, 0x1b, 0x1c, 1, 0x7f, 0x20, 0, 0x23, 0, 0x25, 0, 0x28, 2, 0x80, 1,
		0x3f, 0, 0x40, 0, 0x41, 0xff, 0, 0x42, repeat(9, 0xff), 0, 0x43, 0, 0, 0, 0, 0x44, repeat(8, 0), 0x6a, 0xc4,
		0xd0, 0x70, 0xd1, 0xd2, 0, 0xfc, 0, 0xfc, 8, 0, 0, 0xfc, 9, 0, 0xfc, 10, 0, 0, 0xfc, 11, 0,
		0xfc, 12, 0, 0, 0xfc, 14, 0, 0, 0xfc, 15, 0, 0xfc, 17, 0,
		0xfd, 0, 0, 0, 0xfd, 12, repeat(16, 7), 0xfd, 21, 1, 0xfd, 84, 0, 0, 1, 0xfd, 92, 0, 0, 0xfd, 0xd6, 1, 0x0b,
	)
	return mod(
		custom("first", "1"),
		sec(SecType, 1, 0x60, 2, 0x7f, 0x7b, 1, 0x70),
		sec(SecImport, 2, str("m"), str("f"), 0, 0, str("m"), str("g"), 3, 0x7f, 0),
		sec(SecFunction, 1, 0),
		sec(SecTable, 1, 0x70, 1, 1, 2),
		sec(SecMemory, 1, 1, 2, 4),
		sec(SecGlobal, 2, 0x7f, 1, 0x41, 5, 0x0b, 0x7b, 0, 0xfd, 12, repeat(16, 1), 0x0b),
		sec(SecExport, 2, str("memory"), 2, 0, str("run"), 0, 1),
		sec(SecElement, 8,
			0, 0x41, 0, 0x0b, 1, 0,
			1, 0, 1, 0,
			2, 0, 0x41, 0, 0x0b, 0, 1, 0,
			3, 0, 1, 0,
			4, 0x41, 0, 0x0b, 1, 0xd2, 0, 0x0b,
			5, 0x70, 1, 0xd0, 0x70, 0x0b,
			6, 0, 0x23, 0, 0x0b, 0x70, 0,
			7, 0x6f, 0),
		sec(SecDataCount, 3),
		sec(SecCode, 1, u(uint64(len(code))), code),
		sec(SecData, 3, 0, 0x41, 0, 0x0b, str("ab"), 1, str("c"), 2, 0, 0x41, 8, 0x0b, str("")),
		custom("last", "2"),
	)
}

func TestScanFull(t *testing.T) {
	info, err := Scan(full())
	if err != nil {
		t.Fatal(err)
	}
	if info.MemoryPages != 2 || !slices.Equal(info.Exports, []Export{{"memory", KindMemory}, {"run", KindFunc}}) ||
		!slices.Equal(info.Imports, []Import{{"m", "f", KindFunc}, {"m", "g", KindGlobal}}) {
		t.Fatalf("%+v", info)
	}
	if _, err := Scan(growing(1)); err != nil {
		t.Fatal(err)
	}
}

func TestAtTheBounds(t *testing.T) {
	for name, wasm := range map[string][]byte{
		"locals":   fn(1, u(MaxLocals), 0x7e, 0x0b),
		"nesting":  fn(0, repeat(MaxNesting, 2, 0x40), repeat(MaxNesting+1, 0x0b)),
		"br_table": fn(0, 0x0e, u(MaxBrTable), repeat(MaxBrTable+1, 0), 0x0b),
		"tables":   mod(sec(SecTable, 10, repeat(9, 0x70, 0, 1), 0x70, 0, u(MaxTableElements-9))),
		"body":     fn(0, repeat(MaxBody-2, 1), 0x0b),
		"sections": mod(repeat(MaxSections, 0, 1, 0)),
		"padding":  mod(cat(SecType, 0x85, 0x80, 0x80, 0x80, 0), cat(0x81, 0, 0x60, 0, 0)), // as Go pads lengths
	} {
		if _, err := Scan(wasm); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A module cut anywhere but between sections is refused, and never panics.
func TestTruncatedEverywhere(t *testing.T) {
	wasm := full()
	ends := map[int]bool{8: true}
	at := 8
	sections, err := Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sections {
		at += len(s.Raw)
		ends[at] = true
	}
	for n := range wasm {
		if _, err := Scan(wasm[:n]); err == nil && !ends[n] {
			t.Errorf("cut at %d of %d: accepted", n, len(wasm))
		}
	}
}

func TestEncodeCopiesRaw(t *testing.T) {
	padded := mod(custom("a", "x"), cat(SecType, 0x82, 0x80, 0x80, 0x80, 0), cat(0x80, 0))
	sections, err := Parse(padded)
	if err != nil {
		t.Fatal(err)
	}
	if got := Encode(sections); !bytes.Equal(got, padded) {
		t.Fatalf("% x, want % x", got, padded)
	}
	for i := range sections {
		sections[i].Raw = nil
	}
	again, err := Parse(Encode(sections))
	if err != nil || again[0].Name != "a" || string(again[0].Body) != "x" {
		t.Fatalf("%+v %v", again, err)
	}
}

func TestUleb(t *testing.T) {
	for _, v := range []uint64{0, 1, 127, 128, math.MaxUint32, math.MaxUint64} {
		got, n, err := ReadUleb(append(Uleb(nil, v), 0xff))
		if err != nil || got != v || n != len(Uleb(nil, v)) {
			t.Errorf("%d: %d %d %v", v, got, n, err)
		}
	}
	for _, b := range [][]byte{nil, {0x80}, repeat(11, 0x80), cat(repeat(9, 0xff), 2)} {
		if _, _, err := ReadUleb(b); !errors.Is(err, ErrRefused) {
			t.Errorf("% x: %v", b, err)
		}
	}
}

func TestWalkCode(t *testing.T) {
	var got []Op
	// loop { call 300 } memory.copy end
	err := WalkCode(cat(3, 0x40, 0x10, u(300), 0x0b, 0xfc, 10, 0, 0, 0x0b), func(op Op) error {
		got = append(got, op)
		return nil
	})
	want := []Op{
		{Start: 0, End: 2, Code: OpLoop},
		{Start: 2, End: 5, Code: OpCall, Index: 300, Depth: 1},
		{Start: 5, End: 6, Code: OpEnd, Depth: 1},
		{Start: 6, End: 10, Code: OpMisc, Sub: 10},
		{Start: 10, End: 11, Code: OpEnd},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%+v %v", got, err)
	}
	stop := errors.New("stop")
	if err := WalkCode(cat(1, 0x0b), func(Op) error { return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	locals, expr, err := Body(cat(1, 5, 0x7f, 1, 0x0b))
	if err != nil || len(locals) != 3 || len(expr) != 2 {
		t.Fatal(locals, expr, err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(full())
	f.Add(growing(0))
	f.Add(fn(1, u(math.MaxUint32), 0x7e, 0x0b))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		info, err := Scan(wasm)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("%v does not wrap ErrRefused", err)
			}
			return
		}
		if !bytes.Equal(Encode(info.Sections), wasm) {
			t.Fatal("an accepted module does not survive Parse and Encode")
		}
		for _, s := range info.Sections {
			s.Raw = nil
			if p, err := Parse(Encode([]Section{s})); err != nil || p[0].Name != s.Name || !bytes.Equal(p[0].Body, s.Body) {
				t.Fatalf("section %d %q is lost by encoding: %v", s.ID, s.Name, err)
			}
		}
	})
}

func FuzzWalkCode(f *testing.F) {
	f.Add(cat(3, 0x40, 0x10, 0, 0x0b, 0xfc, 10, 0, 0, 0x0b))
	f.Fuzz(func(t *testing.T, expr []byte) {
		at := 0
		err := WalkCode(expr, func(op Op) error {
			if op.Start != at || op.End <= op.Start || op.Depth < 0 {
				t.Fatalf("%+v after byte %d", op, at)
			}
			at = op.End
			return nil
		})
		if err == nil && at != len(expr) {
			t.Fatalf("walked %d of %d bytes", at, len(expr))
		}
	})
}
