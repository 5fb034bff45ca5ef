package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// TestBundledCases runs the cases that stand beside the bundled skills, on the files that
// `make build` makes of them. None of them needs a network.
func TestBundledCases(t *testing.T) {
	found, err := filepath.Glob("../../skills/*/tests")
	if err != nil || len(found) < 4 {
		t.Fatal(found, err)
	}
	s := newSite(t, "")
	for _, tests := range found {
		dir := filepath.Dir(tests)
		file := filepath.Join(s.plugins, filepath.Base(dir)+".wasm")
		if out, err := s.cmd("skill", "test", dir, "--file", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
	if left := s.containers(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestAgentCaseIsRecorded: the turn of a skill agent, its model asked once and replayed after.
func TestAgentCaseIsRecorded(t *testing.T) {
	s, fake := modelSite(t, "anthropic", modeltest.Answer{Text: "It is forty-two."})
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tests"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "tests", "six.toml"), `tool = "turn"
input = { system = "Be brief.", messages = [{ role = "user", text = "What is six by seven?" }] }
grants = ["llm"]
expect = "It is forty-two."
`)
	test := func(args ...string) (passed int, failure string) {
		t.Helper()
		args = append([]string{"skill", "test", dir, "--json", "--file", filepath.Join(s.plugins, "assistant.wasm")}, args...)
		out, _ := s.cmd(args...).Output()
		var report struct {
			Passed int
			Cases  []struct{ Failure string }
		}
		if err := json.Unmarshal(out, &report); err != nil || len(report.Cases) != 1 {
			t.Fatalf("%v: %s", err, out)
		}
		return report.Passed, report.Cases[0].Failure
	}
	if passed, why := test(); passed != 0 || !strings.Contains(why, "What is six by seven?") || !strings.Contains(why, "--record") {
		t.Errorf("without a recording: %q", why)
	}
	if passed, why := test("--record"); passed != 1 {
		t.Fatalf("--record: %q", why)
	}
	s.env = nil // no key from now on
	if passed, why := test(); passed != 1 || len(fake.Requests()) != 1 {
		t.Errorf("replay: %q; the model was asked %d times", why, len(fake.Requests()))
	}
	b, err := os.ReadFile(filepath.Join(dir, "tests", "six.llm.json"))
	if err != nil || strings.Contains(string(b), modeltest.Key) || !strings.Contains(string(b), "It is forty-two.") {
		t.Errorf("recording: %s, %v", b, err)
	}
}

// TestInterruptedTestsLeaveNoContainer: a case that waits for its model is stopped by Ctrl-C.
func TestInterruptedTestsLeaveNoContainer(t *testing.T) {
	s, _ := hangingSite(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tests"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "tool = 'turn'\ninput = { messages = [{ role = 'user', text = 'hi' }] }\ngrants = ['llm']\nexpect = ''\n"
	for _, name := range []string{"a", "b", "c"} {
		write(t, filepath.Join(dir, "tests", name+".toml"), text)
	}
	c := s.cmd("skill", "test", dir, "--record", "--file", filepath.Join(s.plugins, "assistant.wasm"))
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "two cases run", func() bool {
		_, err := os.Stat(filepath.Join(s.state, "install-id"))
		return err == nil && s.running() == 2
	})
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != exitFailure ||
		!strings.Contains(stderr.String(), "stopped after 0 of 3 cases") || strings.Contains(stdout.String(), "FAIL") {
		t.Errorf("%v: %s%s", err, stdout.String(), stderr.String())
	}
	if left := s.containers(); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if made, err := filepath.Glob(filepath.Join(dir, "tests", "*.json")); err != nil || len(made) != 0 {
		t.Errorf("recorded %v, %v", made, err)
	}
}
