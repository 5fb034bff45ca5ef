//go:build nowhatsapp

package whatsapp

import (
	"context"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel"
)

var errOff = fmt.Errorf("%w: this nanoclaw was built without WhatsApp (tag nowhatsapp)", host.ErrUnavailable)

// WhatsApp is a channel that this program does not have.
type WhatsApp struct{}

var _ channel.Channel = (*WhatsApp)(nil)

// New returns it.
func New(Config) *WhatsApp { return &WhatsApp{} }

// Name implements channel.Channel.
func (*WhatsApp) Name() string { return Name }

// Run implements channel.Channel.
func (*WhatsApp) Run(ctx context.Context, _ channel.Deliver) error { <-ctx.Done(); return nil }

// Send implements channel.Channel.
func (*WhatsApp) Send(context.Context, host.Outgoing) error { return errOff }

// Ready implements channel.Channel.
func (*WhatsApp) Ready() <-chan struct{} { return nil }

// Show implements channel.Channel.
func (*WhatsApp) Show(host.ChatID, host.Event) {}

// Use does nothing.
func (*WhatsApp) Use(Settings) {}

// Look does nothing.
func (*WhatsApp) Look() {}

// State says why nothing works.
func (*WhatsApp) State() (text string, ok bool) { return "not in this program", false }

// OwnerChats are none.
func (*WhatsApp) OwnerChats() []host.ChatID { return nil }

// Unlink fails.
func (*WhatsApp) Unlink(context.Context) error { return errOff }

// Pair fails.
func Pair(context.Context, Config, string, func(Step)) (string, error) { return "", errOff }

// Renamed finds nothing.
func Renamed(context.Context, Config) (map[host.ChatID]host.ChatID, error) { return nil, nil }

// Linked finds nothing.
func Linked(context.Context, Config) (string, error) { return "", nil }

// Unlink fails.
func Unlink(context.Context, Config, bool) error { return errOff }
