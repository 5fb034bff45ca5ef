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

// Deliver takes one inbound message. Files that came with it may be opened before it returns (see
// host.File). nil means committed (or known already): acknowledge it. host.ErrInvalid means it can
// never be taken; any other error means try again.
type Deliver func(ctx context.Context, m host.Message) error

// Channel carries messages of one service.
type Channel interface {
	// Name is what routes call it.
	Name() string
	// Run receives until ctx ends. It is called once.
	Run(ctx context.Context, deliver Deliver) error
	// Send hands o over. nil: the service has it. host.ErrUnavailable: nothing was
	// sent, Ready will say when to try again. host.ErrUnknownOutcome: it may have been
	// sent. host.ErrInvalid, host.ErrDenied and host.ErrNotFound: it was refused for good.
	// Any other error: nothing was sent, and a few more tries may do.
	Send(ctx context.Context, o host.Outgoing) error
	// Ready receives a value when sending may work again after host.ErrUnavailable, and when all
	// of a backlog is delivered (host.Message.More).
	Ready() <-chan struct{}
	// Show is for what happens during a turn: progress, partial text. It never blocks
	// and may be dropped.
	Show(chat host.ChatID, e host.Event)
}

// Limited is what a channel implements besides when its messages are not of any length, or not
// Markdown.
type Limited interface {
	// Limits says how many characters a message has at most (0 = any number), and how the
	// Markdown of agents becomes a text of the channel, which is no longer; nil = as it is.
	Limits() (max int, render func(markdown string) string)
}

// Filer is what a channel implements besides that can send files: then Send may be given an
// Outgoing with a File, whose Open works until Send returns. What other channels cannot send, and
// what is larger than MaxFile, becomes a sentence in the text.
type Filer interface {
	// MaxFile is the largest file in bytes that can be sent.
	MaxFile() int64
}
