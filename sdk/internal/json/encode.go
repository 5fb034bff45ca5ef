package json

import (
	"encoding/base64"
	"math"
	"reflect"
	"strconv"
	"unicode/utf8"
)

// Marshal encodes v.
func Marshal(v any) ([]byte, error) {
	return encode(nil, reflect.ValueOf(v), 0)
}

func encode(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if !v.IsValid() {
		return append(b, "null"...), nil
	}
	if depth > MaxDepth {
		return nil, fail("nested too deep")
	}
	if isNamed(v.Type()) && (v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface || !v.IsNil()) {
		if m, ok := v.Interface().(marshaler); ok {
			return encodeMarshaler(b, m)
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case reflect.Float32:
		return encodeFloat(b, v.Float(), 32)
	case reflect.Float64:
		return encodeFloat(b, v.Float(), 64)
	case reflect.String:
		return AppendString(b, v.String()), nil
	case reflect.Pointer, reflect.Interface:
		return encode(b, v.Elem(), depth+1)
	case reflect.Struct:
		b, _, err := encodeFields(append(b, '{'), v, true, nil, depth)
		return append(b, '}'), err
	case reflect.Map:
		return encodeMap(b, v, depth)
	case reflect.Slice, reflect.Array:
		return encodeList(b, v, depth)
	}
	return nil, fail("cannot encode a " + v.Kind().String())
}

func encodeMarshaler(b []byte, m marshaler) ([]byte, error) {
	raw, err := m.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if err := Check(raw); err != nil {
		return nil, err
	}
	return append(b, raw...), nil
}

func encodeFloat(b []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fail("cannot encode a number that is not finite")
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, bits), nil
}

// encodeFields appends the fields of v and then those of its embedded structs;
// hiders are the structs around v, whose names win over those of v.
func encodeFields(b []byte, v reflect.Value, first bool, hiders []reflect.Value, depth int) ([]byte, bool, error) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, omitEmpty := tag(&f)
		if name == "" || isInlined(&f) || omitEmpty && isEmpty(v.Field(i)) || isHidden(name, hiders) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		var err error
		b = append(AppendString(b, name), ':')
		if b, err = encode(b, v.Field(i), depth+1); err != nil {
			return nil, first, under(name, err)
		}
	}
	for i := range t.NumField() {
		if f := t.Field(i); isInlined(&f) {
			var err error
			if b, first, err = encodeFields(b, v.Field(i), first, append(hiders, v), depth+1); err != nil {
				return nil, first, err
			}
		}
	}
	return b, first, nil
}

func isHidden(name string, hiders []reflect.Value) bool {
	for _, h := range hiders {
		t := h.Type()
		for i := range t.NumField() {
			f := t.Field(i)
			if n, _ := tag(&f); n == name && !isInlined(&f) {
				return true
			}
		}
	}
	return false
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Bool:
		return !v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int() == 0
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return v.Uint() == 0
	case reflect.Float32, reflect.Float64:
		return v.Float() == 0
	case reflect.Pointer, reflect.Interface:
		return v.IsNil()
	}
	return false
}

func encodeMap(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fail("cannot encode a map whose keys are not strings")
	}
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	keys := v.MapKeys()
	sortKeys(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		b = append(AppendString(b, k.String()), ':')
		if b, err = encode(b, v.MapIndex(k), depth+1); err != nil {
			return nil, under(k.String(), err)
		}
	}
	return append(b, '}'), nil
}

// sortKeys is a heap sort: package slices would be 20 KB of code for this type.
func sortKeys(keys []reflect.Value) {
	sift := func(i, n int) {
		for c := 2*i + 1; c < n; c = 2*i + 1 {
			if c+1 < n && keys[c].String() < keys[c+1].String() {
				c++
			}
			if keys[i].String() >= keys[c].String() {
				return
			}
			keys[i], keys[c] = keys[c], keys[i]
			i = c
		}
	}
	for i := len(keys) / 2; i >= 0; i-- {
		sift(i, len(keys))
	}
	for n := len(keys) - 1; n > 0; n-- {
		keys[0], keys[n] = keys[n], keys[0]
		sift(0, n)
	}
}

func encodeList(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.Kind() == reflect.Slice {
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b = append(b, '"')
			b = base64.StdEncoding.AppendEncode(b, v.Bytes())
			return append(b, '"'), nil
		}
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = encode(b, v.Index(i), depth+1); err != nil {
			return nil, under("["+strconv.Itoa(i)+"]", err)
		}
	}
	return append(b, ']'), nil
}

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if c >= utf8.RuneSelf && !(r == utf8.RuneError && n == 1) {
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch {
		case c >= utf8.RuneSelf:
			b = append(b, `\ufffd`...)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i += n
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
