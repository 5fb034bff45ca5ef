package host

import (
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// CallState says what is known of a capability call.
type CallState string

// States of a call. One that is Begun when its turn runs no more is as good as Unknown.
const (
	CallBegun   CallState = "begun"   // it may have happened since
	CallDone    CallState = "done"    // it happened, or was refused before it could
	CallUnknown CallState = "unknown" // it may have happened; it is never repeated by itself
)

// CallRow is one row of a turn's journal: a capability call and what came of it.
type CallRow struct {
	N          int64       `json:"-"` // order; 0 = not kept yet
	Turn       TurnID      `json:"-"`
	Attempt    int         `json:"attempt"` // of the turn, from 1
	Place      string      `json:"place"`   // in the turn: wire.HeaderCall
	Skill      SkillName   `json:"skill"`
	Capability Capability  `json:"capability"`
	Target     string      `json:"target"`  // as the audit log has it
	Print      string      `json:"-"`       // hash of skill, capability and request
	Outside    bool        `json:"outside"` // making it twice is not the same as once
	Acted      bool        `json:"acted"`   // it was allowed
	State      CallState   `json:"state"`
	Status     wire.Status `json:"-"` // of the answer
	TokensIn   int64       `json:"tokens_in,omitempty"`
	TokensOut  int64       `json:"tokens_out,omitempty"`
	Started    time.Time   `json:"started"`
	Ended      time.Time   `json:"ended"` // zero while Begun
	Answer     []byte      `json:"-"`     // what the guest was told, JSON; nil = not kept
}

// TurnRow is a turn as its owner sees it.
type TurnRow struct {
	ID       TurnID    `json:"id"`
	Parent   TurnID    `json:"parent,omitempty"` // that asked for it
	Agent    AgentID   `json:"agent"`
	Role     RoleName  `json:"role"`
	State    string    `json:"state"` // running, done, failed or stopped
	Attempts int       `json:"attempts"`
	Failures int       `json:"failures"` // that a later attempt followed, or was to
	Created  time.Time `json:"created"`
	Ended    time.Time `json:"ended"`
	Next     time.Time `json:"next"` // when it is tried again
	Error    string    `json:"error,omitempty"`
	Messages []Said    `json:"messages,omitempty"`
	Replies  []Said    `json:"replies,omitempty"`
	Calls    []CallRow `json:"calls,omitempty"`
	Tools    []ToolRow `json:"tools,omitempty"`    // of the last attempt, as its container said
	Children []TurnRow `json:"children,omitempty"` // that it gave to other roles
}

// ToolRow is a tool that was called.
type ToolRow struct {
	Name string    `json:"name"` // public
	At   time.Time `json:"at"`   // when it began
}

// Said is a message of a turn, in or out.
type Said struct {
	From  string    `json:"from"` // who; of a reply its kind
	Text  string    `json:"text"`
	State string    `json:"state,omitempty"` // of a reply: queued, sending, sent, failed or unknown
	Time  time.Time `json:"time"`
}

// TurnFilter says which turns. Zero values do not narrow.
type TurnFilter struct {
	ID     string // how it begins
	Failed bool
	Agent  string // how it begins
	Last   int    // at most so many; needed
}

// Decision is one audit entry: what was asked of the broker and what it said.
type Decision struct {
	Time       time.Time  `json:"time"`
	Agent      AgentID    `json:"agent"`
	Role       RoleName   `json:"role"`
	Turn       TurnID     `json:"turn,omitempty"`
	Call       string     `json:"call,omitempty"` // place in the turn
	Skill      SkillName  `json:"skill"`          // as the runner says
	Digest     Digest     `json:"digest,omitempty"`
	Capability Capability `json:"capability"`
	Target     string     `json:"target"`  // host, key or model name: no path, query or secret
	Verdict    string     `json:"verdict"` // allow, deny, ask, answer (the owner's), outcome (of an act), replay
	Reason     string     `json:"reason"`  // matched grant, or why not
	Bytes      int64      `json:"bytes,omitempty"`
}
