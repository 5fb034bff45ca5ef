package host

import (
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// TaskSender is the sender of messages that a task made.
const TaskSender = "task"

// TaskState says where a task stands.
type TaskState string

// States of a task.
const (
	TaskActive TaskState = "active"
	TaskPaused TaskState = "paused"
	TaskDone   TaskState = "done" // ran for the last time, or cancelled
)

// What happens to a time at which the host was not there.
const (
	MisfireSkip = "skip"     // it is recorded as missed
	MisfireOnce = "run-once" // one run makes up for all that were missed
)

// Task is something that an agent is asked by itself, at its time.
type Task struct {
	N        int64          `json:"id"` // what people and models call it by
	Agent    Agent          `json:"agent"`
	Prompt   string         `json:"prompt"`
	Schedule string         `json:"schedule"`
	Timezone string         `json:"timezone"`
	Next     time.Time      `json:"next,omitzero"` // zero: not due any more, or paused
	State    TaskState      `json:"state"`
	Why      string         `json:"why,omitempty"` // it is paused or done
	Misfire  string         `json:"misfire"`
	Gate     *wire.TaskGate `json:"gate,omitempty"`
	Failures int            `json:"failures"` // in a row
	Author   string         `json:"author"`   // "owner", or "skill NAME"
	Created  time.Time      `json:"created"`
}

// RunOutcome is how a run of a task ended; "" while it has not.
type RunOutcome string

// Outcomes of a run.
const (
	RunOK     RunOutcome = "ok"
	RunFailed RunOutcome = "failed"
	RunGated  RunOutcome = "gated"  // the gate said that there is nothing to do: no model was called
	RunMissed RunOutcome = "missed" // the host was not there, or the run before was not over
)

// Run is one time at which a task was due. Its row is there before anything of it happens.
type Run struct {
	N       int64      `json:"id"`
	Task    int64      `json:"task"`
	Due     time.Time  `json:"due"`
	Started time.Time  `json:"started,omitzero"`
	Ended   time.Time  `json:"ended,omitzero"`
	Outcome RunOutcome `json:"outcome,omitempty"`
	Error   string     `json:"error,omitempty"`
	Turn    TurnID     `json:"turn,omitempty"`
}

// Message is the external ID of the message by which r reaches the agent: the same whenever it is
// sent, so that it is there once.
func (r Run) Message() string { return fmt.Sprintf("task:%d:%d", r.Task, r.Due.Unix()) }

// OpenRun is a run that has not reached its agent yet, and its task.
type OpenRun struct {
	Run
	Of Task
}
