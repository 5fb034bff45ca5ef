// Package channel is the contract between the router and whatever carries messages:
// the console here, WhatsApp and others beside it.
//
// A channel turns what it receives into host.Message and what it is given into its own
// protocol. It must never decide who may talk to an agent, and never acknowledge a
// message before deliver returned nil: only then is it on disk.
package channel

import (
	"context"

	"github.com/nanoclaw/nanoclaw/host"
)

// Deliver takes one inbound message. nil means committed (or known already): acknowledge
// it. host.ErrInvalid means it can never be taken; any other error means try again.
type Deliver func(ctx context.Context, m host.Message) error

// Channel carries messages of one service.
type Channel interface {
	// Name is what routes call it.
	Name() string
	// Run receives until ctx ends. It is called once.
	Run(ctx context.Context, deliver Deliver) error
	// Send hands o over. nil: the service has it. host.ErrUnavailable: nothing was
	// sent, Ready will say when to try again. host.ErrUnknownOutcome: it may have been
	// sent. Any other error: it was refused for good.
	Send(ctx context.Context, o host.Outgoing) error
	// Ready receives a value when sending may work again after host.ErrUnavailable.
	Ready() <-chan struct{}
	// Show is for what happens during a turn: progress, partial text. It never blocks
	// and may be dropped.
	Show(chat host.ChatID, e host.Event)
}
