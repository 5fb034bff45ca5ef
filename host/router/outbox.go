package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel"
	"github.com/nanoclaw/nanoclaw/host/channel/markup"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
	"github.com/nanoclaw/nanoclaw/host/store"
)

const (
	sendTimeout = 2 * time.Minute
	maxTries    = 5               // of one message, in one run of the host
	firstWait   = 5 * time.Second // after the first try; doubled after each
)

// parts are o in as many messages as its channel needs for it, each with an ID of its own that is
// made of o's.
func (r *Router) parts(o host.Outgoing) (out []host.Outgoing) {
	max := 0
	if l, ok := r.channels[o.Channel].(channel.Limited); ok && o.File == nil { // a caption is short
		max, _ = l.Limits()
	}
	for i, text := range markup.Split(o.Text, max) {
		part := o
		if part.Text = text; i > 0 {
			part.ID, part.ReplyTo = host.MessageID(fmt.Sprintf("%s-%d", o.ID, i+1)), ""
		}
		out = append(out, part)
	}
	return out
}

// flush lets the send loop look at the outbox. It never blocks.
func (r *Router) flush() {
	select {
	case r.outbox <- struct{}{}:
	default:
	}
}

// sendLoop sends what is sendable whenever something was queued, a send ended or a channel
// is ready again. Nothing polls.
func (r *Router) sendLoop() {
	h := &holds{chats: make(map[chatKey]bool), gen: make(map[string]int), tries: make(map[host.MessageID]int)}
	for _, c := range r.cfg.Channels {
		r.wg.Go(func() {
			for {
				select {
				case <-c.Ready():
					h.release(c.Name())
					r.unhold(c.Name())
					r.flush()
				case <-r.ctx.Done():
					return
				}
			}
		})
	}
	r.flush()
	for {
		select {
		case <-r.outbox:
			r.sendAll(h)
		case <-r.ctx.Done():
			return
		}
	}
}

// holds remembers the chats that cannot be sent to until their channel says Ready, or for a while.
type holds struct {
	mu    sync.Mutex
	chats map[chatKey]bool
	gen   map[string]int // of a channel: times it said Ready
	tries map[host.MessageID]int
}

type chatKey struct {
	channel, account string
	chat             host.ChatID
}

func keyOf(o host.Outgoing) chatKey { return chatKey{o.Channel, o.Account, o.Chat} }

func (h *holds) held(o host.Outgoing) (held bool, gen int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.chats[keyOf(o)], h.gen[o.Channel]
}

// hold holds the chat, unless its channel said Ready since gen was read.
func (h *holds) hold(o host.Outgoing, gen int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gen[o.Channel] != gen {
		return false
	}
	h.chats[keyOf(o)] = true
	return true
}

// retry counts a try that failed, and says whether and after how long there is another one.
func (h *holds) retry(o host.Outgoing, wait *time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	*wait = firstWait << h.tries[o.ID]
	h.tries[o.ID]++
	return h.tries[o.ID] < maxTries
}

// forget ends the count of tries of o.
func (h *holds) forget(o host.Outgoing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.tries, o.ID)
}

// free ends the hold of the chat of o.
func (h *holds) free(o host.Outgoing) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.chats, keyOf(o))
}

func (h *holds) release(channel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gen[channel]++
	for k := range h.chats {
		if k.channel == channel {
			delete(h.chats, k)
		}
	}
}

// sendAll starts one send for the head of every chat. A chat never waits for another.
func (r *Router) sendAll(h *holds) {
	out, err := r.cfg.Store.Sendable(r.ctx)
	if err != nil {
		if r.ctx.Err() == nil {
			r.cfg.Log.Error("outbox", "error", err)
		}
		return
	}
	for _, o := range out {
		held, gen := h.held(o)
		if held {
			continue
		}
		failpoint.Hit(failpoint.BeforeSending)
		if err := r.cfg.Store.Mark(r.ctx, o.ID, store.Sending, ""); err != nil {
			r.cfg.Log.Error("outbox", "error", err)
			time.AfterFunc(storeWait, r.flush)
			return
		}
		failpoint.Hit(failpoint.AfterSending)
		r.wg.Go(func() { r.send(o, h, gen) })
	}
}

// send hands one message to its channel. The row said "sending" before this began.
func (r *Router) send(o host.Outgoing, h *holds, gen int) {
	ctx, cancel := context.WithTimeout(r.ctx, sendTimeout)
	defer cancel()
	err := fmt.Errorf("no channel %q is configured", o.Channel)
	final := true
	if c := r.channels[o.Channel]; c != nil {
		err = c.Send(ctx, rendered(c, r.withFile(c, o)))
		final = errors.Is(err, host.ErrInvalid) || errors.Is(err, host.ErrDenied) || errors.Is(err, host.ErrNotFound)
	}
	state, reason, held := store.Sent, "", false
	var wait time.Duration
	if err != nil && !errors.Is(err, host.ErrUnavailable) && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", host.ErrUnknownOutcome, err) // cut off, perhaps after it was sent
	}
	switch {
	case errors.Is(err, host.ErrUnavailable):
		state = store.Queued
		held = h.hold(o, gen)
	case errors.Is(err, host.ErrUnknownOutcome):
		state, reason = store.Unknown, err.Error()
	case err != nil && !final && h.retry(o, &wait):
		state, reason = store.Queued, err.Error()
		held = h.hold(o, gen)
	case err != nil:
		state, reason = store.Undone, err.Error()
		r.cfg.Log.Warn("not sent", "channel", o.Channel, "message", o.ID, "error", err)
	}
	if state != store.Queued {
		h.forget(o)
	}
	failpoint.Hit(failpoint.BeforeSent)
	r.persist("outbox "+string(o.ID), func() error {
		return r.cfg.Store.Mark(context.WithoutCancel(r.ctx), o.ID, state, reason)
	})
	failpoint.Hit(failpoint.AfterSent)
	if wait > 0 && held {
		r.wg.Go(func() { r.later(o, h, wait) })
	}
	r.flush() // also for a chat that was held: its channel may have said Ready before the row said queued
}

// later lets the chat of o go on after its back-off. Other chats went on all the time.
func (r *Router) later(o host.Outgoing, h *holds, wait time.Duration) {
	select {
	case <-time.After(wait):
		h.free(o)
		r.flush()
	case <-r.ctx.Done():
	}
}

// rendered is o as its channel shows it. What the host says by itself is no Markdown.
func rendered(c channel.Channel, o host.Outgoing) host.Outgoing {
	l, ok := c.(channel.Limited)
	if !ok || o.Kind == host.OutError || o.Kind == host.OutNotice {
		return o
	}
	if _, render := l.Limits(); render != nil {
		if text := render(o.Text); strings.TrimSpace(text) != "" {
			o.Text = text
		}
	}
	return o
}
