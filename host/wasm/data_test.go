package wasm

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// dataModule has a memory of two pages and these segments.
func dataModule(data []byte) []byte {
	return module.Encode([]module.Section{
		{ID: module.SecMemory, Body: []byte{1, 0, 2}},
		{ID: module.SecExport, Body: append([]byte{1, 6}, "memory\x02\x00"...)},
		{ID: module.SecData, Body: data},
	})
}

func dataSection(all []segment) []byte {
	out := module.Uleb(nil, uint64(len(all)))
	for _, s := range all {
		out = append(sleb(append(out, 0, 0x41), int64(int32(s.offset))), 0x0b)
		out = append(module.Uleb(out, uint64(len(s.bytes))), s.bytes...)
	}
	return out
}

// memoryOf is what a new instance finds in its memory; nil when there is none.
func memoryOf(t *testing.T, data []byte) []byte {
	t.Helper()
	rt := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer rt.Close(t.Context())
	m, err := rt.Instantiate(t.Context(), dataModule(data))
	if err != nil {
		return nil
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	return bytes.Clone(b)
}

// TestMergeData: whatever the segments are, a new instance finds the same in its memory.
func TestMergeData(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	merged := 0
	for range 300 {
		var all []segment
		at := uint32(0)
		for range r.IntN(20) {
			s := segment{offset: at + r.Uint32N(2*maxGap), bytes: make([]byte, r.IntN(50))}
			for i := range s.bytes {
				s.bytes[i] = byte(r.Uint32())
			}
			if at = s.offset + uint32(len(s.bytes)); r.IntN(40) == 0 { // over another, or out of bounds
				at = r.Uint32N(1 << 18)
			}
			all = append(all, s)
		}
		if r.IntN(2) == 0 {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
		before := dataSection(all)
		after := mergeData(before)
		if want, got := memoryOf(t, before), memoryOf(t, after); !bytes.Equal(want, got) {
			t.Fatalf("%v\nbecame %x", all, after)
		}
		if !bytes.Equal(before, after) {
			merged++
		}
	}
	if merged < 100 {
		t.Errorf("%d of 300 were merged", merged)
	}
}

func TestMergeDataLeavesAlone(t *testing.T) {
	for name, body := range map[string][]byte{
		"placed by a global": {2, 0, 0x23, 0, 0x0b, 1, 'a', 0, 0x23, 0, 0x0b, 1, 'b'},
		"passive":            {2, 1, 1, 'a', 1, 1, 'b'},
		"one over another":   dataSection([]segment{{0, []byte("ab")}, {1, []byte("c")}}),
		"cut short":          {2, 0, 0x41, 0, 0x0b, 1, 'a', 0, 0x41, 1, 0x0b, 9, 'b'},
		"empty":              {0},
	} {
		if got := mergeData(body); !bytes.Equal(got, body) {
			t.Errorf("%s: %x became %x", name, body, got)
		}
	}
	// High addresses are negative constants: sorted and joined as what they are.
	high := dataSection([]segment{{0xfffffff0, []byte("a")}, {1, []byte("b")}})
	if got := mergeData(high); len(got) != len(high) || memoryOf(t, got) != nil {
		t.Errorf("%x became %x", high, got)
	}
	if got := mergeData(dataSection([]segment{{16, []byte("a")}, {18, []byte("b")}})); !bytes.Equal(got, dataSection([]segment{{16, []byte("a\x00b")}})) {
		t.Errorf("%x", got)
	}
}
