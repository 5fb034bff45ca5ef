//go:build !wasip1

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrTooLarge says that a body passed its limit before it was decoded.
var ErrTooLarge = errors.New("too large")

// ReadLimited reads at most max bytes and fails with ErrTooLarge when there are more.
func ReadLimited(r io.Reader, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > max {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, max)
	}
	return b, nil
}

// Decode reads one JSON value of at most max bytes into v. Unknown fields and
// anything after the value are errors.
func Decode(r io.Reader, max int64, v any) error {
	b, err := ReadLimited(r, max)
	if err != nil {
		return err
	}
	return Unmarshal(b, v)
}

// Unmarshal is Decode for bytes that are already bounded.
func Unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
