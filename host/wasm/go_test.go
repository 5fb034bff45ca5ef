package wasm

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// TestGoGuest runs one Go skill through everything that ends a call.
func TestGoGuest(t *testing.T) {
	s := spec("g", goGuest(t))
	e := newEngine(t, Config{}, wire.Load{Agent: "agent-1", Timezone: "Asia/Tokyo", Skills: []wire.LoadSkill{s}, Warm: []string{"g"}})
	if e.loaded.Refused != nil {
		t.Fatal(e.loaded.Refused)
	}
	for _, tc := range []struct{ name, args, outcome, text, log string }{
		{"call info", `{}`, wire.OutcomeOK, "t1 agent-1 Asia/Tokyo", ""},
		{"first call", `{"op":"calls"}`, wire.OutcomeOK, "1", ""},
		{"a second does not see the first's globals", `{"op":"calls"}`, wire.OutcomeOK, "1", ""},
		{"tool error", `{"op":"nonsense"}`, wire.OutcomeToolError, "unknown op", ""},
		{"panic", `{"op":"panic"}`, wire.OutcomeCrashed, "skill g crashed", "at the guest's"},
		{"exit", `{"op":"exit"}`, wire.OutcomeCrashed, "exited with code 3", ""},
		{"recursion", `{"op":"deep"}`, wire.OutcomeCrashed, "skill g crashed", ""},
		{"memory", `{"op":"grow"}`, wire.OutcomeCrashed, "skill g crashed", "out of memory"},
		{"no files without a grant", `{"op":"read","path":"/etc/passwd"}`, wire.OutcomeToolError, "open /etc/passwd", ""},
		{"log flood", `{"op":"flood","n":1500,"data":"line of the flood"}`, wire.OutcomeOK, "", "logs too much"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want(t, e.call(t, "g", tc.args), tc.outcome, tc.text)
			if !strings.Contains(e.log.String(), tc.log) {
				t.Errorf("log does not say %q", tc.log)
			}
		})
	}
	if n := strings.Count(e.log.String(), "line of the flood"); n != maxLines {
		t.Errorf("%d lines of the flood logged, want %d", n, maxLines)
	}
}

// TestSettings: a skill has its own settings in its environment, and nothing of the runner's.
func TestSettings(t *testing.T) {
	t.Setenv("NANOCLAW_OF_THE_RUNNER", "x")
	a, b := spec("a", goGuest(t)), spec("b", goGuest(t))
	a.Settings = map[string]string{"units": "metric", "place": "Den Haag = 's-Gravenhage"}
	e := newEngine(t, Config{}, wire.Load{Skills: []wire.LoadSkill{a, b}})
	for name, env := range map[string]string{"a": "place=Den Haag = 's-Gravenhage units=metric", "b": ""} {
		if out := e.call(t, name, `{"op":"environ"}`); out.Outcome != wire.OutcomeOK || out.Result.Text() != env {
			t.Errorf("%s: %+v, want %q", name, out, env)
		}
	}
}

// TestGoDeadline: loops and sleeps end soon after the deadline, and others go on.
func TestGoDeadline(t *testing.T) {
	e := one(t, spec("g", goGuest(t)))
	for _, args := range []string{`{"op":"loop"}`, `{"op":"sleep","n":3600000000000}`} {
		within(t, 30*time.Second, func() {
			out := e.Tool(context.Background(), wire.ToolCall{Name: "g", Arguments: json.RawMessage(args), TimeoutMS: 200})
			want(t, out, wire.OutcomeTimeout, "timed out")
		})
	}
	want(t, e.call(t, "g", `{}`), wire.OutcomeOK, "")
}
