package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/kit"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

func (a *app) skillTestCmd() *cobra.Command {
	var pattern, file string
	var record, asJSON bool
	c := &cobra.Command{
		Use: "test [DIR]", Short: "Run a skill's test cases in containers", Args: usageArgs(cobra.MaximumNArgs(1)),
		Long: `Build the skill in DIR and run the cases in DIR/tests/*.toml, each in a container of its own.
A case is one tool call, its grants and what must come of it; sdk/TESTING.md describes it.
What a skill asks of the web or a model is answered by tests/CASE.http.json and
tests/CASE.llm.json. With --record it is really asked, and these files are written.

Exit code: 0 all passed, 1 some failed, 2 usage, 3 the skill is refused.`,
		Example: "  nanoclaw skill test skills/notes --run add",
		RunE: func(cmd *cobra.Command, args []string) error {
			t := &kit.Tests{Dir: append(args, ".")[0], Record: record}
			cases, err := kit.LoadCases(t.Dir, pattern)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			calls, err := a.openTests(cmd.Context(), t.Dir, file)
			if err != nil {
				return &exitError{exitCode(err), err}
			}
			defer calls.Close()
			t.Call = calls.Call
			return a.runTests(cmd.Context(), t, cases, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&pattern, "run", "", "only cases whose name matches this regular expression")
	f.BoolVar(&record, "record", false, "ask the real web and model, and record what they answer")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.StringVar(&file, "file", "", "test this .wasm file instead of building DIR")
	return c
}

// openTests builds the folder, if there is no file, and admits the result once for all cases.
func (a *app) openTests(ctx context.Context, dir, file string) (*daemon.Calls, error) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	cfg.Assistant.Timezone = "UTC" // the same on every machine
	if !a.verbose {
		a.log.SetLevel(hclog.Error) // that a call was refused is for its case to judge
	}
	if file != "" {
		return daemon.OpenCalls(ctx, cfg, a.log, a.vault, file)
	}
	tmp, err := os.MkdirTemp("", "nanoclaw-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	b := kit.Build{Dir: dir, Out: filepath.Join(tmp, "skill.wasm"), Stage: a.testStage} // admission compiles it
	if _, err := b.Run(ctx); err != nil {
		return nil, err
	}
	return daemon.OpenCalls(ctx, cfg, a.log, a.vault, b.Out)
}

func (a *app) runTests(ctx context.Context, t *kit.Tests, cases []kit.Case, asJSON bool) error {
	start := time.Now()
	results, failed := []kit.CaseResult{}, 0
	t.Run(ctx, cases, func(r kit.CaseResult) {
		results = append(results, r)
		line := fmt.Sprintf("ok    %s  %.2f s", r.Name, r.Seconds)
		if !r.OK {
			failed++
			line = fmt.Sprintf("FAIL  %s  %.2f s: %s", r.Name, r.Seconds, strings.ReplaceAll(r.Failure, "\n", "\n      "))
		}
		a.testStage(r.Name, time.Duration(r.Seconds*float64(time.Second)))
		if !asJSON {
			fmt.Fprintln(a.stdout, line)
		}
	})
	passed, took := len(results)-failed, time.Since(start).Seconds()
	if !asJSON {
		fmt.Fprintf(a.stdout, "%d passed, %d failed in %.1f s\n", passed, failed, took)
	} else if err := a.printJSON(map[string]any{
		"passed": passed, "failed": failed, "seconds": took, "cases": results,
	}); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w after %d of %d cases", host.ErrStopped, len(results), len(cases))
	}
	if failed > 0 {
		return &exitError{code: exitFailure}
	}
	return nil
}

// testStage is progress, for those who wait for it.
func (a *app) testStage(name string, took time.Duration) {
	if a.verbose || isTerminal(a.stderr) {
		fmt.Fprintf(a.stderr, "%6.1f s  %s\n", took.Seconds(), name)
	}
}
