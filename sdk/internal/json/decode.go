package json

import (
	"encoding/base64"
	"math"
	"reflect"
	"strconv"
)

// Unmarshal decodes the one JSON value in b into what v, a non-nil pointer,
// points to. Unknown fields are passed over.
func Unmarshal(b []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fail("can only decode into a pointer")
	}
	return run(b, p.Elem())
}

// Check reports what keeps b from being one JSON value.
func Check(b []byte) error { return run(b, reflect.Value{}) }

func run(b []byte, v reflect.Value) error {
	d := &decoder{b: b}
	if err := d.value(v); err != nil {
		return err
	}
	if d.peek() != 0 || d.i < len(b) {
		return d.syntax()
	}
	return nil
}

// decoder walks b. Every method that takes a reflect.Value reads one JSON value
// into it, or passes over one when it is the zero Value.
type decoder struct {
	b     []byte
	i     int
	depth int
}

func (d *decoder) syntax() error {
	if d.i >= len(d.b) {
		return fail("invalid JSON: it ends too early")
	}
	return fail("invalid JSON at byte " + strconv.Itoa(d.i))
}

// peek passes over white space and returns the next byte, 0 at the end.
func (d *decoder) peek() byte {
	for ; d.i < len(d.b); d.i++ {
		switch c := d.b[d.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) value(v reflect.Value) error {
	if d.depth++; d.depth > MaxDepth {
		return fail("nested too deep")
	}
	err := d.here(v)
	d.depth--
	return err
}

func (d *decoder) here(v reflect.Value) error {
	c := d.peek()
	if c == 0 {
		return d.syntax()
	}
	if v.IsValid() {
		switch {
		case v.Kind() == reflect.Pointer && c != 'n':
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			return d.value(v.Elem())
		case v.Kind() == reflect.Interface && c != 'n':
			return d.dynamic(v)
		case isNamed(v.Type()) && v.CanAddr():
			if u, ok := v.Addr().Interface().(unmarshaler); ok {
				start := d.i
				if err := d.value(reflect.Value{}); err != nil {
					return err
				}
				return u.UnmarshalJSON(d.b[start:d.i])
			}
		}
	}
	switch c {
	case '{':
		return d.object(v)
	case '[':
		return d.array(v)
	case '"':
		return d.text(v)
	case 't':
		return d.boolean(v, "true")
	case 'f':
		return d.boolean(v, "false")
	case 'n':
		return d.null(v)
	}
	return d.number(v)
}

// want says that got, a kind of JSON value, does not fit v.
func want(v reflect.Value, got string) error {
	kind := "another type"
	switch v.Kind() {
	case reflect.Bool:
		kind = "true or false"
	case reflect.String:
		kind = "a string"
	case reflect.Float32, reflect.Float64:
		kind = "a number"
	case reflect.Struct, reflect.Map:
		kind = "an object"
	case reflect.Slice, reflect.Array:
		kind = "a list"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		kind = "a whole number in range"
	}
	return fail("want " + kind + ", got " + got)
}

// dynamic decodes into an interface: map[string]any, []any, float64, string or bool.
func (d *decoder) dynamic(v reflect.Value) error {
	if v.NumMethod() != 0 {
		return fail("cannot decode into an interface with methods")
	}
	var (
		err error
		to  any
	)
	switch d.b[d.i] {
	case '{':
		m := map[string]any{}
		err, to = d.value(reflect.ValueOf(&m).Elem()), m
	case '[':
		l := []any{}
		err = d.value(reflect.ValueOf(&l).Elem())
		to = l
	case '"':
		var s string
		err = d.value(reflect.ValueOf(&s).Elem())
		to = s
	case 't', 'f':
		to = d.b[d.i] == 't'
		err = d.value(reflect.Value{})
	default:
		var f float64
		err = d.value(reflect.ValueOf(&f).Elem())
		to = f
	}
	if err == nil {
		v.Set(reflect.ValueOf(to))
	}
	return err
}

func (d *decoder) literal(s string) error {
	if len(d.b)-d.i < len(s) || string(d.b[d.i:d.i+len(s)]) != s {
		return d.syntax()
	}
	d.i += len(s)
	return nil
}

func (d *decoder) null(v reflect.Value) error {
	if err := d.literal("null"); err != nil || !v.IsValid() {
		return err
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		v.Set(reflect.Zero(v.Type()))
	}
	return nil
}

func (d *decoder) boolean(v reflect.Value, s string) error {
	if err := d.literal(s); err != nil || !v.IsValid() {
		return err
	}
	if v.Kind() != reflect.Bool {
		return want(v, s)
	}
	v.SetBool(s == "true")
	return nil
}

func (d *decoder) text(v reflect.Value) error {
	s, err := d.str()
	switch {
	case err != nil || !v.IsValid():
		return err
	case v.Kind() == reflect.String:
		v.SetString(s)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return fail("want base64")
		}
		v.SetBytes(b)
	default:
		return want(v, "a string")
	}
	return nil
}

func (d *decoder) number(v reflect.Value) error {
	start := d.i
	if !d.scanNumber() {
		return d.syntax()
	}
	if !v.IsValid() {
		return nil
	}
	s := string(d.b[start:d.i])
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil {
			return fail("number out of range")
		}
		v.SetFloat(f)
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			f, ok := integral(s)
			if n = int64(f); !ok {
				return want(v, s)
			}
		}
		if !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			f, ok := integral(s)
			if n = uint64(f); !ok || f < 0 {
				return want(v, s)
			}
		}
		if !v.OverflowUint(n) {
			v.SetUint(n)
			return nil
		}
	}
	return want(v, s)
}

// integral reads numbers such as 2.0 and 1e3 that a float64 holds exactly.
func integral(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53
}

// scanNumber moves past a number in JSON's own grammar.
func (d *decoder) scanNumber() bool {
	d.accept('-')
	if !d.accept('0') && !d.digits() {
		return false
	}
	if d.accept('.') && !d.digits() {
		return false
	}
	if d.accept('e') || d.accept('E') {
		if !d.accept('+') {
			d.accept('-')
		}
		return d.digits()
	}
	return true
}

func (d *decoder) accept(c byte) bool {
	if d.i < len(d.b) && d.b[d.i] == c {
		d.i++
		return true
	}
	return false
}

func (d *decoder) digits() bool {
	start := d.i
	for d.i < len(d.b) && d.b[d.i] >= '0' && d.b[d.i] <= '9' {
		d.i++
	}
	return d.i > start
}

func (d *decoder) array(v reflect.Value) error {
	isList := v.IsValid() && (v.Kind() == reflect.Slice || v.Kind() == reflect.Array)
	if v.IsValid() && !isList {
		return want(v, "a list")
	}
	grows := isList && v.Kind() == reflect.Slice
	if grows {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	} else if isList {
		v.Set(reflect.Zero(v.Type()))
	}
	d.i++
	for n := 0; ; n++ {
		if c := d.peek(); c == ']' && n == 0 {
			d.i++
			return nil
		}
		var to reflect.Value
		if grows {
			to = reflect.New(v.Type().Elem()).Elem()
		} else if isList && n < v.Len() {
			to = v.Index(n)
		}
		if err := d.value(to); err != nil {
			return under("["+strconv.Itoa(n)+"]", err)
		}
		if grows {
			v.Set(reflect.Append(v, to))
		}
		if more, err := d.more(']'); !more {
			return err
		}
	}
}

// more passes over a comma, or over the end of a list or object.
func (d *decoder) more(end byte) (bool, error) {
	switch d.peek() {
	case ',':
		d.i++
		return true, nil
	case end:
		d.i++
		return false, nil
	}
	return false, d.syntax()
}

func (d *decoder) object(v reflect.Value) error {
	isMap := v.IsValid() && v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String
	isStruct := v.IsValid() && v.Kind() == reflect.Struct
	if v.IsValid() && !isMap && !isStruct {
		return want(v, "an object")
	}
	if isMap && v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.i++
	for n := 0; ; n++ {
		c := d.peek()
		if c == '}' && n == 0 {
			d.i++
			return nil
		}
		if c != '"' {
			return d.syntax()
		}
		key, err := d.str()
		if err != nil {
			return err
		}
		if d.peek() != ':' {
			return d.syntax()
		}
		d.i++
		var to reflect.Value
		if isMap {
			to = reflect.New(v.Type().Elem()).Elem()
		} else if isStruct {
			to = field(v, key)
		}
		if err := d.value(to); err != nil {
			return under(key, err)
		}
		if isMap {
			k := reflect.New(v.Type().Key()).Elem()
			k.SetString(key)
			v.SetMapIndex(k, to)
		}
		if more, err := d.more('}'); !more {
			return err
		}
	}
}
