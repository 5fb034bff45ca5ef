//go:build wasip1

package wire

// RawMessage is JSON kept as it is. Importing encoding/json for this one type
// would add 440 KB to every guest (and four times that to the memory of the
// runner that loads it), so a guest has a type of its own that encodes the same.
type RawMessage []byte

// MarshalJSON returns m, or null when it is nil.
func (m RawMessage) MarshalJSON() ([]byte, error) {
	if m == nil {
		return []byte("null"), nil
	}
	return m, nil
}

// UnmarshalJSON keeps a copy of b.
func (m *RawMessage) UnmarshalJSON(b []byte) error {
	*m = append((*m)[0:0], b...)
	return nil
}
