package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	maxChat = 256 // bytes of a chat's ID, and of what goes with it
	maxText = 300 // characters of a message that the owner is shown
)

// Messenger is what messages act on; host/daemon has one.
type Messenger interface {
	// Send queues o, once for each ID.
	Send(ctx context.Context, o host.Outgoing) error
	// Chats lists the chats that are known, a bounded number of them.
	Chats(ctx context.Context) ([]wire.Chat, error)
	// CheckRoute completes a route that may become a row, or refuses it.
	CheckRoute(t host.Route) (host.Route, error)
	// AddRoute makes a row of it, in force at once.
	AddRoute(ctx context.Context, t host.Route, author string) error
}

// message sends to chats that the role names, and lets a role that knows all chats propose routes.
func (b *Broker) message(ctx context.Context, c *call, raw []byte) (any, error) {
	var req wire.MessageRequest
	if err := decode(raw, &req); err != nil {
		return nil, err
	}
	for _, s := range []string{req.Channel, req.Account, req.Chat, req.Role, req.Trigger} {
		if len(s) > maxChat {
			return nil, tooLarge("the parts of a request have at most %d bytes", maxChat)
		}
	}
	if c.row.Target = cmp.Or(strings.TrimSpace(req.Channel+" "+req.Chat), "-"); b.cfg.Messages == nil {
		return nil, failed("message here", host.ErrUnavailable)
	}
	switch {
	case req.Op == "send_file":
		return b.sendFile(ctx, c, req)
	case c.need.Mode == host.ModeOwn:
		return nil, deny("the skill's manifest asks for files to the agent's own chat alone")
	case req.Op == "send":
		return b.sendMessage(ctx, c, req)
	}
	if !c.scope.Role.Chats {
		no := deny("the role may not list chats, nor propose routes")
		no.grant = fmt.Sprintf("write chats = true in [roles.%s]", c.row.Role)
		return nil, no
	}
	switch req.Op {
	case "chats":
		if err := b.allow(ctx, c, "-", "chats of role "+string(c.row.Role), 0); err != nil {
			return nil, err
		}
		chats, err := b.cfg.Messages.Chats(ctx)
		if err != nil {
			return nil, failed("the chats", err)
		}
		c.row.Reason = fmt.Sprintf("%d chats", len(chats))
		return wire.MessageResponse{Chats: chats}, nil
	case "propose_route":
		return b.proposeRoute(ctx, c, req)
	}
	return nil, invalid("op is send, send_file, chats or propose_route")
}

func (b *Broker) sendMessage(ctx context.Context, c *call, req wire.MessageRequest) (any, error) {
	i := slices.IndexFunc(c.scope.Role.Messages, func(g host.MessageGrant) bool {
		return g.Channel == req.Channel && g.Account == req.Account && string(g.Chat) == req.Chat
	})
	switch {
	case i < 0:
		no := deny("the role may not send to that chat")
		no.grant = fmt.Sprintf("add { channel = %q, chat = %q } to messages in [roles.%s]", req.Channel, req.Chat, c.row.Role)
		return nil, no
	case strings.TrimSpace(req.Text) == "" || strings.Contains(req.Text, "\x00"):
		return nil, invalid("the message is empty or holds a zero byte")
	case len(req.Text) > wire.MaxMessage:
		return nil, tooLarge("a message has at most %d bytes", wire.MaxMessage)
	}
	if err := b.guard("the message", true, req.Text); err != nil {
		return nil, err
	}
	if err := b.spend(ctx, c.scope.Role, host.BudgetMessages, 1); err != nil {
		return nil, err
	}
	print := printOf("send", req.Channel, req.Account, req.Chat, req.Text)
	reason := fmt.Sprintf("messages[%d] of role %s", i, c.row.Role)
	if c.scope.Role.Messages[i].Ask {
		how, err := b.ask(ctx, c, question{
			what: fmt.Sprintf("send \"%s\" to chat %s of %s (%d bytes)", plainWords(req.Text, maxText),
				plainWords(req.Chat, maxShown), req.Channel, len(req.Text)),
			rule:  strings.TrimSuffix(fmt.Sprintf("send %s %q %q", req.Channel, req.Chat, req.Account), ` ""`),
			print: print,
		})
		if err != nil {
			return nil, err
		}
		reason += ", " + how
	}
	if err := b.allow(ctx, c, c.row.Target, reason, int64(len(req.Text))); err != nil {
		return nil, err
	}
	o := host.Outgoing{
		ID: c.messageID(print), Turn: c.row.Turn, Channel: req.Channel,
		Account: req.Account, Chat: host.ChatID(req.Chat), Text: req.Text, Kind: host.OutMessage,
	}
	if err := b.cfg.Messages.Send(ctx, o); err != nil {
		return nil, failed("the message", err)
	}
	c.row.Reason = "queued as " + string(o.ID)
	return wire.MessageResponse{ID: string(o.ID)}, nil
}

// proposeRoute makes a route when the owner says so, each time. It is for one chat that is known, a
// role of nanoclaw.toml, and messages of the owner that begin with the trigger: a model widens nothing.
func (b *Broker) proposeRoute(ctx context.Context, c *call, req wire.MessageRequest) (any, error) {
	t, err := b.cfg.Messages.CheckRoute(host.Route{
		Channel: req.Channel, Account: req.Account, Chat: host.ChatID(req.Chat), Engage: host.EngageTrigger,
		Role: cmp.Or(host.RoleName(req.Role), c.row.Role), Trigger: req.Trigger,
	})
	if errors.Is(err, host.ErrInvalid) {
		return nil, invalid("there is no such role or channel, or the configuration routes that chat already")
	}
	var chats []wire.Chat
	if err == nil {
		chats, err = b.cfg.Messages.Chats(ctx)
	}
	if err != nil {
		return nil, failed("the route", err)
	}
	i := slices.IndexFunc(chats, func(k wire.Chat) bool {
		return k.Channel == t.Channel && k.Account == t.Account && k.Chat == string(t.Chat)
	})
	if i < 0 {
		return nil, &refusal{status: wire.StatusNotFound, message: "no message came from such a chat"}
	}
	what := fmt.Sprintf("let role %s answer your messages that begin with \"%s\" in chat \"%s\" (%s) of %s", t.Role,
		plainWords(t.Trigger, maxShown), plainWords(chats[i].Name, maxShown), plainWords(string(t.Chat), maxShown), t.Channel)
	if was := chats[i].Role; was != "" {
		what += ", in the place of role " + was
	}
	how, err := b.ask(ctx, c, question{
		what: what, print: printOf("route", t.Channel, t.Account, string(t.Chat), string(t.Role), t.Trigger),
	})
	if err != nil {
		return nil, err
	}
	if err := b.allow(ctx, c, c.row.Target, how, 0); err != nil {
		return nil, err
	}
	if err := b.cfg.Messages.AddRoute(ctx, t, how); err != nil {
		return nil, failed("the route", err)
	}
	c.row.Reason = "routed to role " + string(t.Role)
	return wire.MessageResponse{}, nil
}
