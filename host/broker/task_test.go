package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/schedule"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// taskLab is a lab whose skill may schedule tasks, in a real store with a second agent's task 1.
func taskLab(t *testing.T) *lab {
	l := newLab(t).stored().need(host.Need{Name: host.CapTask})
	l.scope.Role.Tasks = true
	l.scope.Skills[skillName].Manifest.Tools = []wire.Tool{{Name: "check"}}
	l.scope.Role.Skills = []host.SkillName{skillName}
	book := &schedule.Book{Store: l.store, Zone: "Europe/Berlin"}
	l.cfg.Tasks = book
	other := host.Agent{ID: "other", Role: "other", Channel: "console", Chat: "c"}
	for _, a := range []host.Agent{l.scope.Agent, other} {
		if err := l.store.EnsureAgent(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := book.Do(t.Context(), other, "owner", wire.TaskRequest{Op: "create", Prompt: "theirs", Schedule: "@daily"}); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTasks(t *testing.T) {
	l := taskLab(t)
	for _, tc := range []struct {
		body string
		want wire.Status
		says string
	}{
		{`{"op":"list"}`, wire.StatusOK, `{"tasks":[]}`}, // nothing of the other agent's
		{`{"op":"create","prompt":"look","schedule":"0 9 * * 1-5","gate":{"tool":"probe_check","arguments":{"n":1}}}`, wire.StatusOK, `"id":2,`},
		{`{"op":"list","id":2}`, wire.StatusOK, `"timezone":"Europe/Berlin"`},
		{`{"op":"update","id":2,"schedule":"every 2h","gate":{"tool":""}}`, wire.StatusOK, `"misfire":"run-once"}]`},
		{`{"op":"pause","id":2}`, wire.StatusOK, `"why":"paused by skill probe"`},
		{`{"op":"resume","id":2}`, wire.StatusOK, `"state":"active"`},
		{`{"op":"run","id":2}`, wire.StatusOK, `"id":2`},
		{`{"op":"run","id":2}`, wire.StatusUnavailable, "task 2 is running already"},
		{`{"op":"cancel","id":2}`, wire.StatusOK, `"state":"done"`},
		{`{"op":"resume","id":2}`, wire.StatusInvalid, "task 2 is over"},

		{`{"op":"create","prompt":"x","schedule":"* * * *"}`, wire.StatusInvalid, "it has 4 fields; write cron's five fields"},
		{`{"op":"create","prompt":"x","schedule":"every 10s"}`, wire.StatusInvalid, "at least 1 minute"},
		{`{"op":"create","prompt":"x","schedule":"@daily","timezone":"Mars/Base"}`, wire.StatusInvalid, "is no time zone"},
		{`{"op":"create","prompt":"` + strings.Repeat("x", 8193) + `","schedule":"@daily"}`, wire.StatusInvalid, "at most 8192"},
		{`{"op":"create","prompt":"a\u0000b","schedule":"@daily"}`, wire.StatusInvalid, "zero byte"},
		{`{"op":"create","prompt":"x","schedule":"@daily","gate":{"tool":"probe_other"}}`, wire.StatusInvalid, "must be a tool of this agent"},
		{`{"op":"create","prompt":"x","schedule":"@daily","agent":"other"}`, wire.StatusInvalid, "does not have the shape"},
		{`{"op":"drop"}`, wire.StatusInvalid, "op is one of create, list"},
		{`{"op":"list","id":1}`, wire.StatusNotFound, "this agent has no task 1"},
		{`{"op":"update","id":1,"prompt":"mine"}`, wire.StatusNotFound, "this agent has no task 1"},
		{`{"op":"cancel","id":1}`, wire.StatusNotFound, "this agent has no task 1"},
		{`{"op":"run","id":1}`, wire.StatusNotFound, "this agent has no task 1"},
	} {
		r := l.call(host.CapTask, tc.body)
		r.want(tc.want, "")
		if !strings.Contains(string(r.body), tc.says) {
			t.Errorf("%.80s: %s, want %q", tc.body, r.body, tc.says)
		}
	}
	// The prompt stands in no row; who did what with which task does.
	all := fmt.Sprintf("%+v", l.rows())
	for _, want := range []string{"Target:new Verdict:allow Reason:create Bytes:4", "Target:new Verdict:outcome Reason:task 2", "Target:task 1 Verdict:allow Reason:run"} {
		if !strings.Contains(all, want) {
			t.Errorf("no row %q", want)
		}
	}
	if strings.Contains(all, "look") {
		t.Error("a prompt is in the audit log")
	}
}

// TestTaskLimit: an agent has at most 50 tasks, and its neighbour is not in the way.
func TestTaskLimit(t *testing.T) {
	l := taskLab(t)
	for range 50 {
		l.call(host.CapTask, `{"op":"create","prompt":"x","schedule":"@yearly"}`).want(wire.StatusOK, "")
	}
	l.call(host.CapTask, `{"op":"create","prompt":"x","schedule":"@yearly"}`).want(wire.StatusRateLimited, "at most 50 tasks; cancel one")
	l.cfg.Tasks = nil
	l.call(host.CapTask, `{"op":"list"}`).want(wire.StatusUnavailable, "tasks here")
}
