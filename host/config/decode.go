package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// shorthand is a setting that has a form besides, or instead of, a table.
type shorthand interface{ short(v any) error }

// decoder fills a file from plain TOML tables and collects what is wrong with them.
type decoder struct {
	lines    map[string]int // of keys, by their path
	problems []problem
}

type problem struct {
	path string
	line int // 0 = not known
	text string
}

// fail adds a problem with what stands at path. The line is that of the nearest key known.
func (d *decoder) fail(path, format string, args ...any) {
	p := problem{path: path, text: path + ": " + fmt.Sprintf(format, args...)}
	for at := path; at != "" && p.line == 0; at = parent(at) {
		p.line = d.lines[at]
	}
	d.problems = append(d.problems, p)
}

// sentences are the problems in the order of the file.
func (d *decoder) sentences() (out []string) {
	slices.SortStableFunc(d.problems, func(a, b problem) int { return a.line - b.line })
	for _, p := range d.problems {
		if p.line > 0 {
			p.text = fmt.Sprintf("line %d: %s", p.line, p.text)
		}
		out = append(out, p.text)
	}
	return out
}

func (d *decoder) value(path string, v any, to reflect.Value) {
	table, isTable := v.(map[string]any)
	if s, ok := to.Addr().Interface().(shorthand); ok && !(isTable && to.Kind() == reflect.Struct) {
		if err := s.short(v); err != nil {
			d.fail(path, "%v", err)
		}
		return
	}
	switch kind := to.Kind(); {
	case kind == reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		d.value(path, v, to.Elem())
	case kind == reflect.Slice:
		d.list(path, v, to)
	case kind == reflect.Struct && isTable:
		d.table(path, table, to)
	case kind == reflect.Map && isTable:
		to.Set(reflect.MakeMap(to.Type()))
		for _, k := range slices.Sorted(maps.Keys(table)) {
			e := reflect.New(to.Type().Elem()).Elem()
			d.value(join(path, k), table[k], e)
			to.SetMapIndex(reflect.ValueOf(k), e)
		}
	default:
		d.scalar(path, v, to)
	}
}

func (d *decoder) list(path string, v any, to reflect.Value) {
	from := reflect.ValueOf(v)
	if from.Kind() != reflect.Slice {
		d.fail(path, "must be a list")
		return
	}
	to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
	for i := range from.Len() {
		d.value(fmt.Sprintf("%s[%d]", path, i), from.Index(i).Interface(), to.Index(i))
	}
}

func (d *decoder) table(path string, v map[string]any, to reflect.Value) {
	known := fields(to)
	for _, k := range slices.Sorted(maps.Keys(v)) {
		if f, ok := known[k]; ok {
			d.value(join(path, k), v[k], f)
			continue
		}
		near := nearest(k, slices.Sorted(maps.Keys(known)))
		d.fail(join(path, k), "unknown key %q; the nearest known key here is %q", k, near)
	}
}

// fields are the keys of a table and where their values go.
func fields(to reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value)
	for i := range to.NumField() {
		if f := to.Type().Field(i); f.Anonymous {
			maps.Copy(out, fields(to.Field(i)))
		} else if key := f.Tag.Get("toml"); key != "" {
			out[key] = to.Field(i)
		}
	}
	return out
}

func (d *decoder) scalar(path string, v any, to reflect.Value) {
	if n, ok := v.(int64); ok && to.Kind() == reflect.Float64 {
		v = float64(n)
	}
	from := reflect.ValueOf(v)
	if !from.IsValid() || from.Kind() != widest(to.Kind()) || to.CanInt() && to.OverflowInt(from.Int()) {
		d.fail(path, "must be %s", wanted(to.Kind()))
		return
	}
	to.Set(from.Convert(to.Type()))
}

func widest(k reflect.Kind) reflect.Kind {
	if k == reflect.Int {
		return reflect.Int64
	}
	return k
}

func wanted(k reflect.Kind) string {
	switch widest(k) {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "a table"
}

func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest is the known key that takes the fewest edits.
func nearest(key string, known []string) (best string) {
	least := 1 << 30
	for _, k := range known {
		if n := host.Edits(key, k); n < least {
			best, least = k, n
		}
	}
	return best
}

// lineNumbers finds the lines of keys and table headers. It reads a valid file and knows
// only enough of TOML for that: keys inside a value over several lines have its line.
func lineNumbers(text string) map[string]int {
	lines, count := make(map[string]int), make(map[string]int)
	note := func(path string, line int) { // of the table that it opens first, too
		for ; path != "" && lines[path] == 0; path = parent(path) {
			lines[path] = line
		}
	}
	prefix, open := "", ""
	for i, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); open != "" {
			if strings.Contains(line, open) {
				open = ""
			}
			continue
		}
		key, value, isPair := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "[["):
			key, _, _ = strings.Cut(line[2:], "]")
			prefix = plain(key)
			prefix += fmt.Sprintf("[%d]", count[prefix])
			count[plain(key)]++
			note(prefix, i+1)
		case strings.HasPrefix(line, "["):
			key, _, _ = strings.Cut(line[1:], "]")
			prefix = plain(key)
			note(prefix, i+1)
		case isPair && !strings.HasPrefix(line, "#"):
			note(join(prefix, plain(key)), i+1)
			for _, q := range []string{`"""`, `'''`} {
				if strings.Count(value, q) == 1 {
					open = q
				}
			}
		}
	}
	return lines
}

// plain is a dotted key without quotes and spaces.
func plain(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		p = strings.TrimSpace(p)
		if s, err := strconv.Unquote(p); err == nil {
			p = s
		}
		parts[i] = p
	}
	return strings.Join(parts, ".")
}
