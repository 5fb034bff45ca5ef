// Package json is the guests' JSON: Marshal and Unmarshal with the shapes of
// encoding/json in 40 % of its code: encoding/json makes an empty Go guest
// 1.4 MB larger, this package makes it 0.55 MB larger, and a loaded guest costs its
// runner four times its size.
//
// It owns the encoding of tool arguments, tool results and capability calls on
// the guest side. It must never be used by the host, where encoding/json is.
//
// It differs from encoding/json on purpose in these points:
//   - values nest at most MaxDepth deep, in both directions;
//   - an integer field also takes a number such as 2.0, as JSON Schema does;
//   - slices are replaced, never written over element by element;
//   - <, > and & are not escaped, and TextMarshaler is not looked at;
//   - of embedded structs only values count, and an outer field hides an inner one;
//   - an error names the place ("days[2].name: want a string, got a number") and
//     decoding stops there.
package json

import (
	"reflect"
	"strings"
)

// MaxDepth bounds the nesting of values; a pointer or an interface counts as a level.
const MaxDepth = 512

// Error says what does not fit and where.
type Error struct {
	Path   string // "days[2].name"; "" at the top
	Reason string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

func fail(reason string) error { return &Error{Reason: reason} }

// under puts step, a field name or "[3]", before the path of err.
func under(step string, err error) error {
	e, ok := err.(*Error)
	if !ok {
		return &Error{Path: step, Reason: err.Error()}
	}
	switch {
	case e.Path == "":
		e.Path = step
	case e.Path[0] == '[':
		e.Path = step + e.Path
	default:
		e.Path = step + "." + e.Path
	}
	return e
}

type marshaler interface{ MarshalJSON() ([]byte, error) }

type unmarshaler interface{ UnmarshalJSON([]byte) error }

// isNamed is a cheap first test for types that may have methods of their own.
func isNamed(t reflect.Type) bool { return t.PkgPath() != "" }

// tag returns the JSON name of a struct field, and whether it is left out when
// empty. A name of "" means that the field takes no part.
func tag(f *reflect.StructField) (name string, omitEmpty bool) {
	if !f.IsExported() {
		return "", false
	}
	t := jsonTag(f)
	if t == "-" {
		return "", false
	}
	name, opts, _ := strings.Cut(t, ",")
	if name == "" {
		name = f.Name
	}
	return name, opts == "omitempty"
}

// jsonTag is f.Tag.Get("json") without the general grammar of tags, whose
// unquoting would bring 30 KB.
func jsonTag(f *reflect.StructField) string {
	_, t, _ := strings.Cut(string(f.Tag), `json:"`)
	t, _, _ = strings.Cut(t, `"`)
	return t
}

// isInlined reports whether the fields of f count as fields of the struct around it.
func isInlined(f *reflect.StructField) bool {
	return f.Anonymous && f.Type.Kind() == reflect.Struct && jsonTag(f) == ""
}

// field finds the field of struct v called name: exactly, or else by folding case.
func field(v reflect.Value, name string) reflect.Value {
	if f := lookup(v, func(s string) bool { return s == name }); f.IsValid() {
		return f
	}
	return lookup(v, func(s string) bool { return strings.EqualFold(s, name) })
}

func lookup(v reflect.Value, match func(string) bool) reflect.Value {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if name, _ := tag(&f); name != "" && !isInlined(&f) && match(name) {
			return v.Field(i)
		}
	}
	for i := range t.NumField() {
		if f := t.Field(i); isInlined(&f) {
			if in := lookup(v.Field(i), match); in.IsValid() {
				return in
			}
		}
	}
	return reflect.Value{}
}
