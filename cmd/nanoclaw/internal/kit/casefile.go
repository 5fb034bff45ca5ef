package kit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of one file of cases.
const (
	maxCaseFile = 256 << 10 // bytes
	maxBrackets = 4_000     // nested keys keep the TOML parser busy
)

// Case is one call of a skill and what must come of it. sdk/TESTING.md describes the file.
type Case struct {
	Name     string            `toml:"name"` // of a [[case]]
	Tool     string            `toml:"tool"`
	Input    any               `toml:"input"`
	Grants   []string          `toml:"grants"`
	Files    map[string]string `toml:"files"`
	Text     *string           `toml:"expect"`
	Contains []string          `toml:"expect_contains"`
	JSON     any               `toml:"expect_json"`
	Error    string            `toml:"expect_error"`
	Outcome  string            `toml:"expect_outcome"`
	Left     map[string]string `toml:"expect_files"`

	ID   string // FILE, or FILE.NAME: the name of its recordings too
	call daemon.Call
	want string // JSON, canonical
}

// LoadCases reads DIR/tests/*.toml and keeps the cases whose ID matches pattern. Everything
// that is wrong with the files is one error.
func LoadCases(dir, pattern string) (cases []Case, err error) {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%w: --run: %w", host.ErrInvalid, err)
	}
	names, err := fs.Glob(os.DirFS(dir), "tests/*.toml")
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: test cases in %s; write tests/first.toml, such as\n\n  %s\n  %s\n  %s", host.ErrNotFound, dir,
			`tool = "NAME"`, `input = { property = "value" }`, `expect = "the text that the tool answers"`)
	}
	for _, name := range names {
		found, bad := readCases(filepath.Join(dir, name))
		if cases = append(cases, found...); bad != nil {
			err = errors.Join(err, fmt.Errorf("%w: %s: %w", host.ErrInvalid, name, bad))
		}
	}
	cases = slices.DeleteFunc(cases, func(c Case) bool { return !wanted.MatchString(c.ID) })
	if err == nil && len(cases) == 0 {
		err = fmt.Errorf("%w: a case whose name matches %q", host.ErrNotFound, pattern)
	}
	return cases, err
}

// readBounded reads at most max bytes, and waits for no writer of a pipe.
func readBounded(path string, max int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return wire.ReadLimited(f, max)
}

var (
	caseName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	brackets = regexp.MustCompile(`[.{[]`)
)

// readCases reads one file: one case, or several under [[case]].
func readCases(path string) ([]Case, error) {
	text, err := readBounded(path, maxCaseFile)
	if err != nil {
		return nil, err
	}
	if n := len(brackets.FindAll(text, -1)); n > maxBrackets {
		return nil, fmt.Errorf("%d of '.', '{' and '[', at most %d", n, maxBrackets)
	}
	var f struct {
		Case
		Cases []Case `toml:"case"`
	}
	keys, err := toml.Decode(string(text), &f)
	if err == nil {
		err = onlyKnown(keys.Keys())
	}
	if err != nil {
		return nil, err
	}
	stem, alone := strings.TrimSuffix(filepath.Base(path), ".toml"), len(f.Cases) == 0
	if alone {
		f.Cases = []Case{f.Case}
	} else if !reflect.ValueOf(f.Case).IsZero() {
		return nil, errors.New("keys stand above the first [[case]]; each case has its own")
	}
	seen := map[string]bool{}
	for i := range f.Cases {
		c := &f.Cases[i]
		bad := c.check()
		if c.ID = stem + "." + c.Name; alone {
			c.ID = stem
		}
		named := caseName.MatchString(c.Name) && !seen[c.Name]
		if alone && c.Name != "" || !alone && !named || !caseName.MatchString(stem) {
			bad = errors.New("a [[case]] has a name of its own, a case alone in its file has its file's; " +
				"names are made of letters, digits, '-' and '_'")
		}
		c.call.Turn, seen[c.Name] = host.TurnID("test-"+c.ID), true
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("case %d: %w", i+1, bad))
		}
	}
	return f.Cases, err
}

// onlyKnown refuses keys that a case does not have. What is in a table is the case's own.
func onlyKnown(keys []toml.Key) error {
	var known []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Case]()) {
		if key := f.Tag.Get("toml"); key != "" {
			known = append(known, key)
		}
	}
	for _, k := range keys {
		if k[0] == "case" {
			k = k[1:]
		}
		if len(k) > 0 && !slices.Contains(known, k[0]) {
			near := slices.MinFunc(known, func(a, b string) int { return host.Edits(k[0], a) - host.Edits(k[0], b) })
			return fmt.Errorf("unknown key %.64q; the nearest known key is %q", k[0], near)
		}
	}
	return nil
}

var outcomes = []string{
	wire.OutcomeOK, wire.OutcomeToolError, wire.OutcomeDenied, wire.OutcomeTimeout, wire.OutcomeCrashed,
	wire.OutcomeInvalid,
}

// check makes the call, and finds what cannot be run or would prove nothing.
func (c *Case) check() (err error) {
	c.call.Tool = c.Tool
	if c.call.Grants, err = daemon.ParseGrants(c.Grants); err != nil {
		return err
	}
	if c.Input == nil {
		c.Input = "{}"
	}
	if c.call.Arguments, err = toJSON(c.Input); err != nil || c.call.Arguments[0] != '{' {
		return errors.Join(errors.New("input must be a table, or one JSON object in a string"), err)
	}
	if c.JSON != nil {
		b, err := toJSON(c.JSON)
		if err != nil {
			return fmt.Errorf("expect_json: %w", err)
		}
		c.want, _ = canonical(b) // it is JSON
	}
	fails := c.Error != "" || c.Outcome != "" && c.Outcome != wire.OutcomeOK
	answers := c.Text != nil || len(c.Contains) > 0 || c.JSON != nil
	switch {
	case c.Tool == "":
		return errors.New(`tool is missing: the tool to call, "turn" for a skill agent`)
	case c.Outcome != "" && !slices.Contains(outcomes, c.Outcome):
		return fmt.Errorf("expect_outcome is one of %s", strings.Join(outcomes, ", "))
	case !fails && !answers && c.Outcome == "" && len(c.Left) == 0:
		return errors.New("it expects nothing: write expect, expect_contains, expect_json, expect_error, " +
			"expect_outcome or expect_files")
	case fails && answers || c.Error != "" && c.Outcome == wire.OutcomeOK:
		return errors.New("it expects an answer and an error; only one of them can come")
	}
	return nil
}

// toJSON is a TOML value as JSON. A string holds JSON already.
func toJSON(v any) ([]byte, error) {
	if s, ok := v.(string); ok {
		v = json.RawMessage(s)
	}
	return json.Marshal(v)
}

// canonical is JSON in the form in which equal values are equal texts: 1 and 1.0 are.
func canonical(b []byte) (string, error) {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return "", err
	}
	out, err := json.MarshalIndent(v, "", "  ")
	return string(out), err
}
