package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// shown is `task show N --json`.
type shown struct {
	host.Task
	Runs []host.Run `json:"runs"`
}

func (s site) task(n int) (t shown) {
	s.t.Helper()
	out, err := s.cmd("task", "show", fmt.Sprint(n), "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &t)
	}
	if err != nil {
		s.t.Fatalf("task show: %v: %s", err, out)
	}
	return t
}

func (s site) run(args ...string) string {
	s.t.Helper()
	out, err := s.cmd(args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%q: %v: %s", args, err, out)
	}
	return string(out)
}

// ended waits until the last run of task n is over, and returns all of them.
func (s site) ended(n int) []host.Run {
	s.t.Helper()
	var t shown
	eventually(s.t, time.Minute, "the run is over", func() bool {
		t = s.task(n)
		return len(t.Runs) > 0 && t.Runs[0].Outcome != ""
	})
	return t.Runs
}

// TestKilledAroundATask kills the host before a task is due, when it is, and while its turn runs:
// the host after it has one run of it, and the chat one answer.
func TestKilledAroundATask(t *testing.T) {
	s := newSite(t, "")
	c := s.start()
	s.chat("/calc 1+1") // a spare is there: the turn begins at once
	for i, after := range []time.Duration{-300 * time.Millisecond, 20 * time.Millisecond, 150 * time.Millisecond} {
		due := time.Now().Add(3 * time.Second).Truncate(time.Second)
		word := fmt.Sprintf("stretch-%d", i)
		s.run("task", "add", word, "--schedule", due.UTC().Format(time.RFC3339))
		time.Sleep(time.Until(due.Add(after)))
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		before := s.task(i + 1)
		time.Sleep(time.Until(due))
		c = s.start()
		runs := s.ended(i + 1)
		if len(runs) != 1 || runs[0].Outcome != host.RunOK || !runs[0].Due.Equal(due) {
			t.Errorf("killed %v after it was due, with %+v: runs %+v", after, before, runs)
		}
		t.Logf("killed %v after it was due: %d rows then, state %s", after, len(before.Runs), before.State)
	}
	s.chat("/calc 2+2") // everything that waits is sent in order, and before this
	out := s.run("task", "list", "--json")
	if n := strings.Count(out, `"state": "done"`); n != 3 {
		t.Errorf("%d tasks are done: %s", n, out)
	}
	l := s.listen("default")
	s.run("task", "add", "water the plants", "--schedule", time.Now().UTC().Add(2*time.Second).Format(time.RFC3339))
	eventually(t, time.Minute, "the last reminder", func() bool { return l.heard("message: water the plants") })
	for i := range 3 { // sent to the chat above, not again
		if l.heard("message: ", fmt.Sprintf("stretch-%d", i)) {
			t.Errorf("the answer of task %d came twice", i+1)
		}
	}
}

// TestGateCallsNoModel: a tool in the agent's container decides, and only when it says so the
// model is asked, with what the tool found.
func TestGateCallsNoModel(t *testing.T) {
	s, fake := modelSite(t, "openai", modeltest.Answer{Text: "Hello."}, modeltest.Answer{Text: "Three letters have come."})
	s.start()
	s.chat("hi") // makes the workspace
	dirs, err := filepath.Glob(filepath.Join(s.state, "workspaces", "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v %v", dirs, err)
	}
	gate := filepath.Join(dirs[0], "gate.txt")
	write(t, gate, `{"wake": false}`)
	l := s.listen("default")
	s.run("task", "add", "say how many", "--schedule", "@yearly", "--gate", "files_read", "--gate-args", `{"path":"gate.txt"}`)
	s.run("task", "run", "1")
	if runs := s.ended(1); len(runs) != 1 || runs[0].Outcome != host.RunGated || len(fake.Requests()) != 1 {
		t.Fatalf("runs %+v, the model was asked %d times", runs, len(fake.Requests()))
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	write(t, gate, `{"wake": true, "data": {"letters": 3}}`)
	eventually(t, time.Minute, "run", func() bool { return s.cmd("task", "run", "1").Run() == nil && len(s.task(1).Runs) == 2 })
	if runs := s.ended(1); runs[0].Outcome != host.RunOK || runs[0].Turn == "" {
		t.Fatalf("runs %+v", runs)
	}
	asked := fake.Requests()
	last, err := json.Marshal(asked[len(asked)-1].Body["messages"])
	if err != nil || len(asked) != 2 || !strings.Contains(string(last), `Script output:\n{\n  \"letters\": 3\n}\n\nInstructions:\nsay how many`) {
		t.Fatalf("%d requests, the last %s", len(asked), last)
	}
	eventually(t, time.Minute, "the answer", func() bool { return l.heard("message: Three letters have come.") })
	// What a tool of the role cannot be is told in the run.
	s.run("task", "update", "1", "--gate", "no_such")
	eventually(t, time.Minute, "run", func() bool { return s.cmd("task", "run", "1").Run() == nil && len(s.task(1).Runs) == 3 })
	if runs := s.ended(1); runs[0].Outcome != host.RunFailed || !strings.Contains(runs[0].Error, "gate no_such") {
		t.Fatalf("runs %+v", runs)
	}
}
