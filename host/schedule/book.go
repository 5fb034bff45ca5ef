package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of tasks, whoever makes them.
const (
	maxTasks  = 50      // of one agent, without those that are over
	maxPrompt = 8 << 10 // bytes
	maxArgs   = 4 << 10 // bytes of a gate's arguments
)

// Store keeps tasks and runs; host/store does. What takes an agent finds no other's task.
type Store interface {
	AddTask(ctx context.Context, t host.Task, max int) (host.Task, error)
	Tasks(ctx context.Context, agent host.AgentID) ([]host.Task, error)
	ChangeTask(ctx context.Context, agent host.AgentID, n int64,
		change func(t *host.Task, busy bool) (*host.Run, error)) (host.Task, error)
	Soonest(ctx context.Context, max int) ([]host.Task, error)
	OpenRuns(ctx context.Context) ([]host.OpenRun, error)
	StartRun(ctx context.Context, run int64) error
	EndRun(ctx context.Context, run int64, how host.RunOutcome, reason string) error
	PauseFailing(ctx context.Context, failures int, why string) ([]host.Task, error)
}

// Book makes and changes tasks.
type Book struct {
	Store Store
	Zone  string           // of tasks that name none
	Now   func() time.Time // nil = time.Now
	Poke  func()           // told of every change by a skill; may be nil
}

// Do does what r asks with the tasks of agent a, and returns them as they are then. author is
// who asks.
func (b *Book) Do(ctx context.Context, a host.Agent, author string, r wire.TaskRequest) ([]host.Task, error) {
	now := clock(b.Now).Truncate(time.Second)
	var t host.Task
	var err error
	switch r.Op {
	case "list":
		return b.list(ctx, a, r.ID)
	case "create":
		t = host.Task{Agent: a, State: host.TaskActive, Timezone: b.Zone, Misfire: host.MisfireOnce, Author: author}
		if strings.TrimSpace(r.Prompt) == "" || r.Schedule == "" {
			return nil, fmt.Errorf("%w: a task needs a prompt and a schedule; %s", host.ErrInvalid, forms)
		}
		if err = set(&t, r, now); err == nil {
			t, err = b.Store.AddTask(ctx, t, maxTasks)
		}
	case "update", "pause", "resume", "cancel", "run":
		t, err = b.Store.ChangeTask(ctx, a.ID, r.ID, func(t *host.Task, busy bool) (*host.Run, error) {
			return change(t, r, author, busy, now)
		})
	default:
		return nil, fmt.Errorf("%w: op is create, list, update, pause, resume, cancel or run", host.ErrInvalid)
	}
	switch {
	case errors.Is(err, host.ErrNotFound):
		err = fmt.Errorf("%w: this agent has no task %d", host.ErrNotFound, r.ID)
	case errors.Is(err, host.ErrLimit):
		err = fmt.Errorf("%w: an agent has at most %d tasks; cancel one", host.ErrLimit, maxTasks)
	}
	return []host.Task{t}, err
}

// Call is Do for a skill.
func (b *Book) Call(ctx context.Context, a host.Agent, author string, r wire.TaskRequest) (wire.TaskResponse, error) {
	tasks, err := b.Do(ctx, a, author, r)
	if err == nil && r.Op != "list" && b.Poke != nil {
		b.Poke()
	}
	return onWire(tasks), err
}

func (b *Book) list(ctx context.Context, a host.Agent, n int64) ([]host.Task, error) {
	all, err := b.Store.Tasks(ctx, a.ID)
	if err != nil || n == 0 {
		return all, err
	}
	for _, t := range all {
		if t.N == n {
			return []host.Task{t}, nil
		}
	}
	return nil, fmt.Errorf("%w: this agent has no task %d", host.ErrNotFound, n)
}

func change(t *host.Task, r wire.TaskRequest, author string, busy bool, now time.Time) (*host.Run, error) {
	if t.State == host.TaskDone {
		return nil, fmt.Errorf("%w: task %d is over (%s); make a new one", host.ErrInvalid, t.N, t.Why)
	}
	switch r.Op {
	case "pause":
		t.State, t.Next, t.Why = host.TaskPaused, time.Time{}, "paused by "+author
	case "cancel":
		t.State, t.Next, t.Why = host.TaskDone, time.Time{}, "cancelled by "+author
	case "resume":
		t.State, t.Why, t.Failures = host.TaskActive, "", 0
		return nil, plan(t, now)
	case "update":
		return nil, set(t, r, now)
	case "run":
		if busy {
			return nil, fmt.Errorf("%w: task %d is running already", host.ErrBusy, t.N)
		}
		return &host.Run{Due: now}, nil
	}
	return nil, nil
}

// set puts what r says into t.
func set(t *host.Task, r wire.TaskRequest, now time.Time) error {
	if p := strings.TrimSpace(r.Prompt); p != "" {
		t.Prompt = p
	}
	if t.Misfire = or(r.Misfire, t.Misfire); t.Misfire != host.MisfireSkip && t.Misfire != host.MisfireOnce {
		return fmt.Errorf(`%w: misfire is "skip" or "run-once"`, host.ErrInvalid)
	}
	if len(t.Prompt) > maxPrompt {
		return fmt.Errorf("%w: the prompt has %d bytes, at most %d are kept", host.ErrInvalid, len(t.Prompt), maxPrompt)
	}
	if g := r.Gate; g != nil {
		args := bytes.TrimSpace(g.Arguments)
		if len(args) > maxArgs || len(args) > 0 && (args[0] != '{' || !json.Valid(args)) {
			return fmt.Errorf("%w: the gate's arguments are a JSON object of at most %d bytes", host.ErrInvalid, maxArgs)
		}
		if t.Gate = g; g.Tool == "" {
			t.Gate = nil
		}
	}
	if r.Schedule == "" && r.Timezone == "" {
		return nil
	}
	t.Schedule, t.Timezone = or(strings.TrimSpace(r.Schedule), t.Schedule), or(r.Timezone, t.Timezone)
	return plan(t, now)
}

// plan works out the next time of a task whose schedule is new or begins anew.
func plan(t *host.Task, now time.Time) error {
	w, err := Parse(t.Schedule, t.Timezone)
	if err != nil {
		return err
	}
	next, ok := w.Next(now, now)
	if !ok {
		return fmt.Errorf("%w: %s in %s is past; it is %s there now", host.ErrInvalid, t.Schedule, t.Timezone,
			now.In(w.zone).Format("2006-01-02 15:04"))
	}
	if t.State == host.TaskActive {
		t.Next = next
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// clock is the wall clock's time. A monotonic one stands still while the machine sleeps.
func clock(now func() time.Time) time.Time {
	if now == nil {
		now = time.Now
	}
	return now().Round(0)
}

// onWire is how a skill sees tasks.
func onWire(tasks []host.Task) wire.TaskResponse {
	out := wire.TaskResponse{Tasks: []wire.Task{}}
	for _, t := range tasks {
		v := wire.Task{
			ID: t.N, Prompt: t.Prompt, Schedule: t.Schedule, Timezone: t.Timezone, State: string(t.State), Why: t.Why,
			Misfire: t.Misfire, Gate: t.Gate, Failures: t.Failures,
		}
		if zone, err := time.LoadLocation(t.Timezone); err == nil && !t.Next.IsZero() {
			v.Next = t.Next.In(zone).Format(time.RFC3339)
		}
		out.Tasks = append(out.Tasks, v)
	}
	return out
}
