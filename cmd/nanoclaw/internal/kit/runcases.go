package kit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/rogpeppe/go-internal/diff"
	"golang.org/x/sync/errgroup"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	casesAtOnce = 2       // each is one busy container
	maxLeftFile = 1 << 20 // bytes of a file that is compared
	maxShown    = 30      // lines of a difference; a line has at most 300 characters
)

// Tests runs the cases of one skill.
type Tests struct {
	Dir    string // recordings are in Dir/tests
	Record bool
	Call   func(context.Context, daemon.Call) (wire.ToolOutcome, error)
}

// CaseResult is what became of one case.
type CaseResult struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Outcome string  `json:"outcome"`           // of the call; "" when there was none
	Failure string  `json:"failure,omitempty"` // what was expected and what came
}

// Run runs the cases, each in a container of its own, and calls done with each result in
// the order of cases. What was not over when ctx ended is left out.
func (t *Tests) Run(ctx context.Context, cases []Case, done func(CaseResult)) {
	results := make([]chan CaseResult, len(cases))
	var g errgroup.Group
	g.SetLimit(casesAtOnce + 1) // with the one that starts them
	for i := range results {
		results[i] = make(chan CaseResult, 1)
	}
	g.Go(func() error {
		for i, c := range cases {
			g.Go(func() error {
				defer close(results[i])
				if ctx.Err() != nil {
					return nil
				}
				if r := t.run(ctx, c); ctx.Err() == nil {
					results[i] <- r
				}
				return nil
			})
		}
		return nil
	})
	for _, r := range results {
		if result, ran := <-r; ran {
			done(result)
		}
	}
}

// run makes the call of a case and judges what came of it.
func (t *Tests) run(ctx context.Context, c Case) CaseResult {
	start := time.Now()
	out, err := t.call(ctx, &c)
	r := CaseResult{Name: c.ID, Outcome: printable(out.Outcome), Seconds: time.Since(start).Seconds(), OK: err == nil}
	if err != nil {
		r.Failure = printable(err.Error())
	}
	return r
}

func (t *Tests) call(ctx context.Context, c *Case) (out wire.ToolOutcome, err error) {
	base := filepath.Join(t.Dir, "tests", c.ID)
	http, noHTTP := openTape(base+".http.json", t.Record)
	llm, noLLM := openTape(base+".llm.json", t.Record)
	tmp, err := os.MkdirTemp("", "nanoclaw-test-")
	if err = errors.Join(noHTTP, noLLM, err); err != nil {
		return out, err
	}
	defer os.RemoveAll(tmp)
	call := c.call
	call.Workspace = filepath.Join(tmp, "workspace")
	call.Broker, call.Notice = recorder{http, llm}.into, func(string) {}
	if err := fill(call.Workspace, c.Files); err != nil {
		return out, fmt.Errorf("files: %w", err)
	}
	if out, err = t.Call(ctx, call); err != nil {
		out = wire.ToolOutcome{Message: err.Error()}
		for outcome, kind := range map[string]error{
			wire.OutcomeDenied: host.ErrDenied, wire.OutcomeTimeout: host.ErrTimeout, wire.OutcomeCrashed: host.ErrCrashed,
		} {
			if errors.Is(err, kind) {
				out.Outcome = outcome
			}
		}
	}
	if out.Outcome == wire.OutcomeToolError && len(out.Denied) > 0 {
		out.Outcome = wire.OutcomeDenied // as the exit code of `skill call` has it
	}
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err := errors.Join(http.end(), llm.end()); err != nil {
		return out, err
	}
	if err := c.judge(out); err != nil {
		return out, err
	}
	return out, c.judgeFiles(call.Workspace)
}

// fill makes a workspace. Agents may have another user ID; the directory above keeps others out.
func fill(dir string, files map[string]string) error {
	if err := os.Mkdir(dir, 0o700); err != nil || len(files) == 0 {
		return err // an empty one is given to the agent
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, text := range files {
		if err := errors.Join(root.MkdirAll(path.Dir(name), 0o700), root.WriteFile(name, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, root.Chmod(name, 0o777))
	})
}

// judge says what is wrong with an outcome.
func (c *Case) judge(out wire.ToolOutcome) error {
	text := out.Result.Text()
	said := strings.Trim(strings.Join(append([]string{out.Message, text}, out.Denied...), "\n"), "\n")
	wanted := c.Outcome
	if wanted == "" && c.Error == "" {
		wanted = wire.OutcomeOK
	}
	switch {
	case out.Outcome == "":
		return fmt.Errorf("the call failed: %.2000s", said)
	case wanted != "" && out.Outcome != wanted:
		return fmt.Errorf("expected the outcome %s, came %s: %.2000s", wanted, out.Outcome, said)
	case c.Error != "" && out.Outcome == wire.OutcomeOK || !strings.Contains(said, c.Error):
		return fmt.Errorf("expected an error with %.300q, came %s: %.2000s", c.Error, out.Outcome, said)
	case c.Text != nil && text != *c.Text:
		return mismatch("", *c.Text, text)
	}
	for _, part := range c.Contains {
		if !strings.Contains(text, part) {
			return fmt.Errorf("expected a text with %.300q, came: %.2000s", part, text)
		}
	}
	if c.JSON == nil {
		return nil
	}
	if len(out.Result.StructuredContent) > 0 {
		text = string(out.Result.StructuredContent)
	}
	got, err := canonical([]byte(text))
	if err != nil {
		return fmt.Errorf("expected JSON, came: %.2000s", text)
	}
	return mismatch("", c.want, got)
}

// judgeFiles compares what the call left in its workspace. A name may be a pattern that one
// file has.
func (c *Case) judgeFiles(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, want := range c.Left {
		found, err := fs.Glob(root.FS(), name)
		if err != nil || len(found) != 1 {
			return fmt.Errorf("expected one file %q in the workspace, there are %d", name, len(found))
		}
		got, err := agent.OpenWorkspaceFile(dir, found[0], maxLeftFile)
		if err == nil {
			err = mismatch("in file "+name+": ", want, string(got))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mismatch is nil for equal texts.
func mismatch(where, want, got string) error {
	if want == got {
		return nil
	}
	if !strings.Contains(want+got, "\n") {
		return fmt.Errorf("%sexpected %.300q, came %.300q", where, want, got)
	}
	// With a line's end more, a missing end of the last line is seen as a line less.
	lines := strings.Split(string(diff.Diff("expected", []byte(want+"\n"), "came", []byte(got+"\n"))), "\n")
	for i, l := range lines {
		lines[i] = fmt.Sprintf("%.300s", l)
	}
	return fmt.Errorf("%sexpected - and came +\n%s", where, strings.Join(lines[3:min(len(lines)-1, 3+maxShown)], "\n"))
}

// printable keeps a skill's text from commanding the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\t' || r == '\n' {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
