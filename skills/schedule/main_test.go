package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func TestWhen(t *testing.T) {
	now := time.Date(2026, 11, 24, 14, 30, 5, 0, time.FixedZone("CET", 3600)) // a Tuesday
	for said, want := range map[string]string{
		"2026-12-01 09:00":          "2026-12-01 09:00",
		"2026-12-01 at 9pm":         "2026-12-01 21:00",
		"2026-12-01T09:00:00+02:00": "2026-12-01T09:00:00+02:00",
		"2026-12-01":                "2026-12-01",
		"9:00":                      "2026-11-25 09:00",
		"at 18:00":                  "2026-11-24 18:00",
		"3pm":                       "2026-11-24 15:00",
		"tomorrow at 9:00":          "2026-11-25 09:00",
		"Friday, 18:30":             "2026-11-27 18:30",
		"in 3 days at noon":         "2026-11-27 12:00",
		"in 10 minutes":             "2026-11-24T14:40:05+01:00",
		"an hour":                   "2026-11-24T15:30:05+01:00",
		"every 15m":                 "every 15m",
		"every 2 hours":             "every 2 hours",
		"every day at 8:00":         "0 8 * * *",
		"daily 8:30":                "30 8 * * *",
		"every friday at 17:00":     "0 17 * * 5",
		"every weekday at 9:00":     "0 9 * * 1-5",
		"weekdays at 9:00":          "0 9 * * 1-5",
		"every tomorrow at 9:00":    "every tomorrow at 9:00",
		"every":                     "every",
		"0 9 * * MON-FRI":           "0 9 * * MON-FRI",
		"@daily":                    "@daily",
		"someday":                   "someday", // the host says what there is
	} {
		if got, err := when(said, now); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", said, got, err, want)
		}
	}
	if _, err := when("friday", now); err == nil || !strings.Contains(err.Error(), "say at what time on Fri 2026-11-27") {
		t.Errorf("no time: %v", err)
	}
}

func TestTools(t *testing.T) {
	h := sdktest.New(t)
	var got []sdk.TaskRequest
	var have []sdk.Task
	h.Tasks = func(r sdk.TaskRequest) ([]sdk.Task, error) {
		if r.Op == "list" {
			return have, nil
		}
		got = append(got, r)
		if r.ID == 9 {
			return nil, &sdk.Error{Status: wire.StatusNotFound, Message: "this agent has no task 9"}
		}
		return []sdk.Task{{
			ID: 3, Prompt: r.Prompt, Schedule: r.Schedule, Timezone: "Europe/Berlin", State: "active", Next: "2026-12-01T09:00:00+01:00",
		}}, nil
	}
	for _, c := range []struct {
		tool, args, want string
		isError          bool
	}{
		{"list", `{}`, "Nothing is scheduled.", false},
		{"create", `{"prompt":"call Ann","schedule":"2026-12-01 9:00"}`, "Scheduled: [3] call Ann (2026-12-01 09:00 Europe/Berlin, next Tue 2026-12-01 09:00)", false},
		{"update", `{"id":3,"schedule":"every 2h","gate":"none"}`, "Changed: [3]  (every 2h Europe/Berlin, next Tue 2026-12-01 09:00)", false},
		{"update", `{"id":3,"gate":"feeds_digest","gate_arguments":{"n":1},"misfire":"skip"}`, "Changed: [3]", false},
		{"pause", `{"id":3}`, "Paused: [3]", false},
		{"cancel", `{"id":9}`, "this agent has no task 9", true},
	} {
		if r := h.Call(c.tool, json.RawMessage(c.args)); r.IsError != c.isError || !strings.HasPrefix(r.Text(), c.want) {
			t.Errorf("%s %s: %+v", c.tool, c.args, r)
		}
	}
	if want := []sdk.TaskRequest{
		{Op: "create", Prompt: "call Ann", Schedule: "2026-12-01 09:00"},
		{Op: "update", ID: 3, Schedule: "every 2h", Gate: &sdk.TaskGate{}},
		{Op: "update", ID: 3, Misfire: "skip", Gate: &sdk.TaskGate{Tool: "feeds_digest", Arguments: sdk.RawMessage(`{"n":1}`)}},
		{Op: "pause", ID: 3},
		{Op: "cancel", ID: 9},
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %+v, want %+v", got, want)
	}

	// A turn that is run again makes nothing twice; what is over is shown when asked for.
	have = []sdk.Task{
		{ID: 3, Prompt: "call Ann", Schedule: "2026-12-01 09:00", State: "active", Next: "2026-12-01T09:00:00+01:00"},
		{ID: 4, Prompt: "old", State: "done", Why: "cancelled by owner"},
	}
	got = nil
	if r := h.Call("create", json.RawMessage(`{"prompt":"call Ann","schedule":"2026-12-01 09:00"}`)); !strings.HasPrefix(r.Text(), "It is there already: [3]") || got != nil {
		t.Errorf("again: %+v %v", r, got)
	}
	if r := h.Call("list", json.RawMessage(`{}`)); strings.Contains(r.Text(), "old") {
		t.Errorf("list: %s", r.Text())
	}
	if r := h.Call("list", json.RawMessage(`{"all":true}`)); !strings.Contains(r.Text(), "[4] old ( , done: cancelled by owner)") {
		t.Errorf("list all: %s", r.Text())
	}
	h.Tasks = nil
	if r := h.Call("list", json.RawMessage(`{}`)); !r.IsError || r.Text() != "task is not granted" {
		t.Errorf("not granted: %+v", r)
	}
}
