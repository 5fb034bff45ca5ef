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
