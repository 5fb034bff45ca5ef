package kit

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

func TestLoadCases(t *testing.T) {
	dir := folder(t, t.TempDir(), map[string]string{
		"tests/one.toml": `tool = "add"
input = { text = "milk", n = 3, deep = { list = [1.5, true] }, whatever = 1 }
grants = ["kv", "http=GET https://api.example.com/v1/", "fs=rw:."]
files = { "notes/a.md" = "text" }
expect = ""
`,
		"tests/two.toml":        "[[case]]\nname = \"a\"\ntool = \"x\"\ninput = '{\"b\": [1]}'\nexpect_json = '[1.0]'\n[[case]]\nname = \"b\"\ntool = \"y\"\nexpect_error = \"no\"\n",
		"tests/one.http.json":   "not read before the case runs",
		"tests/sub/three.toml":  "not a case",
		"tests/README.md":       "not a case",
		"elsewhere/tests.toml":  "not a case",
		"tests/four.toml.saved": "not a case",
	})
	cases, err := LoadCases(dir, "")
	if err != nil || len(cases) != 3 {
		t.Fatal(len(cases), err)
	}
	one := cases[0]
	if one.ID != "one" || one.call.Turn != "test-one" || len(one.call.Grants.HTTP) != 1 || !one.call.Grants.KV ||
		string(one.call.Arguments) != `{"deep":{"list":[1.5,true]},"n":3,"text":"milk","whatever":1}` || *one.Text != "" {
		t.Errorf("%+v %s", one, one.call.Arguments)
	}
	if cases[1].ID != "two.a" || string(cases[1].call.Arguments) != `{"b":[1]}` || cases[1].want != "[\n  1\n]" ||
		cases[2].ID != "two.b" || string(cases[2].call.Arguments) != "{}" {
		t.Errorf("%+v", cases[1:])
	}
	if cases, err := LoadCases(dir, `^two\.`); err != nil || len(cases) != 2 {
		t.Error(cases, err)
	}
	if _, err := LoadCases(dir, "three"); !errors.Is(err, host.ErrNotFound) || !strings.Contains(err.Error(), `"three"`) {
		t.Error(err)
	}
	if _, err := LoadCases(dir, "("); !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), "--run") {
		t.Error(err)
	}
	if _, err := LoadCases(t.TempDir(), ""); !errors.Is(err, host.ErrNotFound) || !strings.Contains(err.Error(), "write tests/first.toml") {
		t.Error(err)
	}
}

func TestBadCaseFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"typo":            {"tool = 'x'\nexpekt = 'y'", `unknown key "expekt"; the nearest known key is "expect"`},
		"typo in a case":  {"[[case]]\nname = 'a'\ntol = 'x'\nexpect = ''", `unknown key "tol"; the nearest known key is "tool"`},
		"capitals":        {"Tool = 'x'\nexpect = 'y'", `unknown key "Tool"`},
		"not TOML":        {"tool x", "line 1: expected"},
		"wrong type":      {"tool = 1\nexpect = ''", `line 1 (last key "tool")`},
		"no tool":         {"expect = ''", "tool is missing"},
		"expects nothing": {"tool = 'x'", "it expects nothing"},
		"both":            {"tool = 'x'\nexpect = ''\nexpect_error = 'y'", "an answer and an error"},
		"ok and error":    {"tool = 'x'\nexpect_outcome = 'ok'\nexpect_error = 'y'", "an answer and an error"},
		"outcome":         {"tool = 'x'\nexpect_outcome = 'fine'", "expect_outcome is one of ok, tool_error"},
		"input is a list": {"tool = 'x'\nexpect = ''\ninput = [1]", "input must be a table"},
		"input is text":   {"tool = 'x'\nexpect = ''\ninput = 'hello'", "input must be a table"},
		"input is nan":    {"tool = 'x'\nexpect = ''\ninput = { a = nan }", "input must be a table"},
		"bad JSON":        {"tool = 'x'\nexpect_json = '{'", "expect_json: "},
		"grant":           {"tool = 'x'\nexpect = ''\ngrants = ['root']", `--grant "root": grants are http=`},
		"keys above":      {"tool = 'x'\n[[case]]\nname = 'a'\ntool = 'x'\nexpect = ''", "above the first [[case]]"},
		"no name":         {"[[case]]\ntool = 'x'\nexpect = ''", "case 1: a [[case]] has a name of its own"},
		"way out":         {"[[case]]\nname = '../../x'\ntool = 'x'\nexpect = ''", "case 1: a [[case]] has a name"},
		"twins":           {strings.Repeat("[[case]]\nname = 'a'\ntool = 'x'\nexpect = ''\n", 2), "case 2: a [[case]] has a name of its own"},
		"name alone":      {"name = 'a'\ntool = 'x'\nexpect = ''", "has its file's"},
		"deep":            {"tool = 'x'\ninput." + strings.Repeat("a.", 5000) + "a = 1", "at most 4000"},
		"large":           {"tool = '" + strings.Repeat("x", maxCaseFile) + "'", "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, t.TempDir(), map[string]string{"tests/x.toml": c.text})
			_, err := LoadCases(dir, "")
			if !errors.Is(err, host.ErrInvalid) || !strings.Contains(fmt.Sprint(err), c.want) || !strings.Contains(err.Error(), "tests/x.toml") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestAllProblemsAtOnce: one look mends every file.
func TestAllProblemsAtOnce(t *testing.T) {
	dir := folder(t, t.TempDir(), map[string]string{
		"tests/a.toml": "tool = 1", "tests/b.toml": "[[case]]\nname = 'a'\n[[case]]\nname = 'b'\ntool = 'x'\n", "tests/c d.toml": "tool = 'x'\nexpect = ''",
	})
	_, err := LoadCases(dir, "")
	for _, want := range []string{"a.toml: ", "case 1: tool is missing", "case 2: it expects nothing", "c d.toml: case 1: "} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestCasePipeIsNotWaitedFor(t *testing.T) {
	dir := folder(t, t.TempDir(), map[string]string{"tests/README.md": ""})
	if err := syscall.Mkfifo(dir+"/tests/x.toml", 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCases(dir, ""); err == nil {
		t.Error("a pipe is a case")
	}
}

func FuzzReadCases(f *testing.F) {
	f.Add("tool = 'x'\ninput = { a = [1, 2.5, 1979-05-27] }\nexpect = ''\n")
	f.Add("[[case]]\nname = 'a'\ntool = 'x'\nexpect_json = { a = inf }\n")
	f.Fuzz(func(t *testing.T, text string) {
		cases, err := readCases(folder(t, t.TempDir(), map[string]string{"x.toml": text}) + "/x.toml")
		for _, c := range cases {
			if err == nil && (c.Tool == "" || c.call.Arguments[0] != '{' || !strings.HasPrefix(c.ID, "x")) {
				t.Errorf("%+v", c)
			}
		}
	})
}
