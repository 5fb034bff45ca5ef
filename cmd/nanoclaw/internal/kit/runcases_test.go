package kit

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// verdict runs one case whose call ends like this.
func verdict(t *testing.T, toml string, call func(context.Context, daemon.Call) (wire.ToolOutcome, error)) CaseResult {
	t.Helper()
	dir := folder(t, t.TempDir(), map[string]string{"tests/x.toml": "tool = 'x'\n" + toml})
	cases, err := LoadCases(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	var out []CaseResult
	run := Tests{Dir: dir, Call: call}
	run.Run(t.Context(), cases, func(r CaseResult) { out = append(out, r) })
	if len(out) != 1 || out[0].Name != "x" || out[0].OK != (out[0].Failure == "") {
		t.Fatalf("%+v", out)
	}
	return out[0]
}

func TestVerdicts(t *testing.T) {
	ok := wire.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult("It is 42.")}
	object := ok
	object.Result.StructuredContent = []byte(`{"b": [1.0, 2], "a": "x"}`)
	failed := wire.ToolOutcome{Outcome: wire.OutcomeToolError, Message: "division by zero"}
	refused := wire.ToolOutcome{Outcome: wire.OutcomeToolError, Denied: []string{"http: a.example: host not granted"}}
	for name, c := range map[string]struct {
		toml string
		out  wire.ToolOutcome
		err  error
		want string // "" = passes
	}{
		"text":           {`expect = "It is 42."`, ok, nil, ""},
		"other text":     {`expect = "It is 43."`, ok, nil, `expected "It is 43.", came "It is 42."`},
		"contains":       {`expect_contains = ["42", "It"]`, ok, nil, ""},
		"lacks":          {`expect_contains = ["42", "17"]`, ok, nil, `expected a text with "17", came: It is 42.`},
		"json":           {`expect_json = { a = "x", b = [1, 2.0] }`, object, nil, ""},
		"json differs":   {`expect_json = { a = "x", b = [1] }`, object, nil, "+    2"},
		"json of text":   {`expect_json = "[1]"`, wire.ToolOutcome{Outcome: "ok", Result: wire.TextResult(" [1.0]")}, nil, ""},
		"no json":        {`expect_json = "[1]"`, ok, nil, "expected JSON, came: It is 42."},
		"error":          {`expect_error = "by zero"`, failed, nil, ""},
		"other error":    {`expect_error = "overflow"`, failed, nil, `expected an error with "overflow", came tool_error: division by zero`},
		"no error":       {`expect_error = "42"`, ok, nil, `expected an error with "42", came ok: It is 42.`},
		"unexpected":     {`expect = ""`, failed, nil, "expected the outcome ok, came tool_error: division by zero"},
		"outcome":        {`expect_outcome = "tool_error"`, failed, nil, ""},
		"refused":        {"expect_outcome = 'denied'\nexpect_error = 'host not granted'", refused, nil, ""},
		"denied before":  {`expect_outcome = "denied"`, wire.ToolOutcome{}, fmt.Errorf("%w: needs fs", host.ErrDenied), ""},
		"timeout":        {`expect_outcome = "timeout"`, wire.ToolOutcome{}, host.ErrTimeout, ""},
		"crash":          {`expect_outcome = "crashed"`, wire.ToolOutcome{}, host.ErrCrashed, ""},
		"not its doing":  {`expect_error = "docker"`, wire.ToolOutcome{}, fmt.Errorf("%w: docker", host.ErrUnavailable), "the call failed: unavailable: docker"},
		"terminal":       {`expect = ""`, wire.ToolOutcome{Outcome: "tool_error\x1b[2J", Message: "\x1b]0;x\a"}, nil, "\uFFFD]0;x"},
		"file is not in": {`expect_files = { "a" = "" }`, ok, nil, `expected one file "a" in the workspace, there are 0`},
	} {
		t.Run(name, func(t *testing.T) {
			got := verdict(t, c.toml, func(context.Context, daemon.Call) (wire.ToolOutcome, error) { return c.out, c.err })
			if got.OK != (c.want == "") || !strings.Contains(got.Failure, c.want) || strings.Contains(got.Outcome+got.Failure, "\x1b") {
				t.Errorf("%+v, want %q", got, c.want)
			}
		})
	}
}

func TestDifferenceIsBounded(t *testing.T) {
	long := strings.Repeat("line\n", 1000) + strings.Repeat("x", 100_000)
	err := mismatch("", "short\n", long)
	if err == nil || len(err.Error()) > 20_000 || strings.Count(err.Error(), "\n") > maxShown {
		t.Errorf("%d bytes", len(fmt.Sprint(err)))
	}
	if err := mismatch("", "a\nb\n", "a\nc\n"); !strings.Contains(fmt.Sprint(err), "\n-b\n+c") || strings.Contains(err.Error(), "---") {
		t.Error(err)
	}
	if err := mismatch("", "a\n", "a"); err == nil {
		t.Error("the end of a line makes no difference")
	}
}

// TestWorkspace: what a case puts there an agent of any user ID can change, and what the agent
// leaves there is read as a hostile file is.
func TestWorkspace(t *testing.T) {
	files := "files = { \"notes/a.md\" = \"eggs\", b = \"\" }\nexpect_files = { \"notes/*.md\" = \"milk\" }"
	leave := func(f func(dir string) error) func(context.Context, daemon.Call) (wire.ToolOutcome, error) {
		return func(_ context.Context, c daemon.Call) (wire.ToolOutcome, error) {
			for _, name := range []string{".", "notes", "notes/a.md"} {
				if st, err := os.Stat(filepath.Join(c.Workspace, name)); err != nil || st.Mode().Perm() != 0o777 {
					t.Error(name, st, err)
				}
			}
			if st, err := os.Stat(filepath.Dir(c.Workspace)); err != nil || st.Mode().Perm() != 0o700 {
				t.Error("others can reach the workspace", st, err)
			}
			return wire.ToolOutcome{Outcome: wire.OutcomeOK}, f(filepath.Join(c.Workspace, "notes/a.md"))
		}
	}
	secret := folder(t, t.TempDir(), map[string]string{"secret": "milk"})
	for name, c := range map[string]struct {
		leave func(string) error
		want  string
	}{
		"changed":   {func(a string) error { return os.WriteFile(a, []byte("milk"), 0o600) }, ""},
		"unchanged": {func(string) error { return nil }, `in file notes/*.md: expected "milk", came "eggs"`},
		"two":       {func(a string) error { return os.WriteFile(a+".md", nil, 0o600) }, "there are 2"},
		"link": {func(a string) error {
			return cmp.Or(os.Remove(a), os.Symlink(filepath.Join(secret, "secret"), a))
		}, "not a regular file"},
		"pipe": {func(a string) error { return cmp.Or(os.Remove(a), syscall.Mkfifo(a, 0o666)) }, "not a regular file"},
		"huge": {func(a string) error { return os.Truncate(a, maxLeftFile+1) }, "more than 1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := verdict(t, files, leave(c.leave)); got.OK != (c.want == "") || !strings.Contains(got.Failure, c.want) {
				t.Errorf("%+v, want %q", got, c.want)
			}
		})
	}
	dir := folder(t, t.TempDir(), map[string]string{"tests/x.toml": "tool = 'x'\nexpect = ''\nfiles = { '../x' = '' }"})
	cases, err := LoadCases(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	run := Tests{Dir: dir, Call: func(context.Context, daemon.Call) (wire.ToolOutcome, error) {
		t.Error("called")
		return wire.ToolOutcome{}, nil
	}}
	run.Run(t.Context(), cases, func(r CaseResult) {
		if r.OK || !strings.Contains(r.Failure, "files: ") {
			t.Errorf("%+v", r)
		}
	})
}

// TestOrderAndBound: results come in the order of the cases, two run at once, and a context
// that ended starts no more.
func TestOrderAndBound(t *testing.T) {
	const n = 7
	dir := t.TempDir()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[[case]]\nname = 'c%d'\ntool = 'x'\nexpect = ''\n", i)
	}
	cases, err := LoadCases(folder(t, dir, map[string]string{"tests/x.toml": text.String()}), "")
	if err != nil {
		t.Fatal(err)
	}
	pair := make(chan struct{}) // the first waits for the second
	running := make(chan struct{}, casesAtOnce)
	ctx, cancel := context.WithCancel(t.Context())
	run := Tests{Dir: dir, Call: func(_ context.Context, c daemon.Call) (wire.ToolOutcome, error) {
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
		default:
			t.Error("more than two at once")
		}
		switch c.Turn {
		case "test-x.c0":
			<-pair
		case "test-x.c1":
			pair <- struct{}{}
		}
		return wire.ToolOutcome{Outcome: wire.OutcomeOK}, nil
	}}
	var got []string
	run.Run(ctx, cases, func(r CaseResult) {
		if got = append(got, r.Name); !r.OK {
			t.Errorf("%+v", r)
		}
	})
	if want := "x.c0 x.c1 x.c2 x.c3 x.c4 x.c5 x.c6"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %v", got, want)
	}
	cancel()
	run.Run(ctx, cases, func(r CaseResult) { t.Errorf("ran %s", r.Name) })
}
