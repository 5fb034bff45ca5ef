package wasm

import (
	"cmp"
	"slices"

	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// maxGap is how many zero bytes are written out rather than beginning another segment. wazero
// keeps some 110 bytes for each, and Go's linker begins one wherever 16 zeros stand: 30,000 in
// an empty skill, which cost each loaded skill 3 MB and a third of its loading time.
const maxGap = 64

// segment is one active data segment.
type segment struct {
	offset uint32
	bytes  []byte
}

// mergeData joins segments of a data section that lie close to each other. What it does not
// understand, or where the order of writing matters, it returns as it is.
func mergeData(body []byte) []byte {
	c := &cursor{b: body}
	var all []segment
	for n := c.count(); n > 0; n-- {
		kind, op := c.byte(), c.byte()
		offset, ok := c.offset()
		if kind != 0 || op != 0x41 || !ok || c.byte() != byte(module.OpEnd) {
			return body // passive, or placed by a global
		}
		all = append(all, segment{offset, c.bytes()})
	}
	if c.err != nil {
		return body
	}
	slices.SortStableFunc(all, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	var out []byte
	count := uint64(0)
	for len(all) > 0 {
		first, data := all[0].offset, slices.Clip(all[0].bytes)
		for all = all[1:]; len(all) > 0; all = all[1:] {
			gap := int64(all[0].offset) - int64(first) - int64(len(data))
			if gap < 0 {
				return body // one overwrites another
			}
			if gap > maxGap {
				break
			}
			data = append(append(data, make([]byte, gap)...), all[0].bytes...)
		}
		out = append(sleb(append(out, 0, 0x41), int64(int32(first))), byte(module.OpEnd))
		out = append(module.Uleb(out, uint64(len(data))), data...)
		count++
	}
	return append(module.Uleb(nil, count), out...)
}

// offset reads the constant of an i32.const.
func (c *cursor) offset() (v uint32, ok bool) {
	for shift := 0; shift < 35; shift += 7 {
		b := c.byte()
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			if shift < 28 && b&0x40 != 0 {
				v |= ^uint32(0) << (shift + 7)
			}
			return v, c.err == nil
		}
	}
	return 0, false
}
