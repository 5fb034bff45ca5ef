package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// refusal is every answer that is not StatusOK.
type refusal struct {
	status  wire.Status
	message string // for the guest and the audit row: safe
	grant   string // what would allow it: for the owner alone
	secrets string // the names of those found: for the log and the audit row
	cause   error  // for the log alone
	final   bool   // not to be tried again, whatever the status says
}

func (r *refusal) Error() string { return r.message }

// body is what the guest gets.
func (r *refusal) body() []byte {
	e := wire.NewError(r.status, r.message)
	e.Retryable = e.Retryable && !r.final
	b, _ := encode(e) // strings always encode
	return b
}

func deny(format string, args ...any) *refusal {
	return &refusal{status: wire.StatusDenied, message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &refusal{status: wire.StatusInvalid, message: fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &refusal{status: wire.StatusTooLarge, message: fmt.Sprintf(format, args...)}
}

// kinds is what a guest may learn of an error of another package.
var kinds = []struct {
	is     error
	status wire.Status
}{
	{host.ErrDenied, wire.StatusDenied},
	{host.ErrInvalid, wire.StatusInvalid},
	{host.ErrNotFound, wire.StatusNotFound},
	{host.ErrLimit, wire.StatusRateLimited},
	{host.ErrTimeout, wire.StatusTimeout},
	{context.DeadlineExceeded, wire.StatusTimeout},
	{host.ErrStopped, wire.StatusCancelled},
	{context.Canceled, wire.StatusCancelled},
	{host.ErrUnavailable, wire.StatusUnavailable},
	{host.ErrBusy, wire.StatusUnavailable},
}

// failed is the refusal for err, which what returned. Its words are for the log, unless it
// has a sentence that is for everybody.
func failed(what string, err error) *refusal {
	status := wire.StatusInternal
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			status = k.status
			break
		}
	}
	message := what + ": " + strings.ReplaceAll(status.String(), "_", " ")
	var plain interface{ Sentence() string }
	if errors.As(err, &plain) {
		message = plain.Sentence()
	}
	return &refusal{status: status, message: message, cause: err}
}

func refusalOf(err error) *refusal {
	var no *refusal
	if errors.As(err, &no) {
		return no
	}
	return failed("the call", err)
}
