package sdk

import (
	"github.com/nanoclaw/nanoclaw/sdk/internal/json"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Error is the answer of a capability call that was not made or did not succeed.
type Error struct {
	Status    wire.Status
	Message   string // one sentence, safe to show
	Retryable bool   // the same call may succeed later
}

// Kinds of Error, for errors.Is.
var (
	ErrDenied      = kind(wire.StatusDenied)
	ErrInvalid     = kind(wire.StatusInvalid)
	ErrNotFound    = kind(wire.StatusNotFound)
	ErrTimeout     = kind(wire.StatusTimeout)
	ErrCancelled   = kind(wire.StatusCancelled)
	ErrTooLarge    = kind(wire.StatusTooLarge)
	ErrRateLimited = kind(wire.StatusRateLimited)
	ErrUnavailable = kind(wire.StatusUnavailable)
	ErrInternal    = kind(wire.StatusInternal)
)

func kind(s wire.Status) error { return &Error{Status: s} }

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Status.String()
	}
	return e.Status.String() + ": " + e.Message
}

// Is reports whether target is the kind of e: one of the variables above.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Status == e.Status
}

// refusal is the Error in the body of an answer whose status is not OK.
func refusal(body []byte, status wire.Status) error {
	var w wire.Error
	if json.Unmarshal(body, &w) != nil {
		w.Message = ""
	}
	return &Error{Status: status, Message: w.Message, Retryable: w.Retryable}
}
