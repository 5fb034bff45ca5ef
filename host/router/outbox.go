package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
	"github.com/nanoclaw/nanoclaw/host/store"
)

const sendTimeout = 2 * time.Minute

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
	h := &holds{chats: make(map[chatKey]bool), gen: make(map[string]int)}
	for _, c := range r.cfg.Channels {
		r.wg.Go(func() {
			for {
				select {
				case <-c.Ready():
					h.release(c.Name())
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

// holds remembers the chats that cannot be sent to until their channel says Ready.
type holds struct {
	mu    sync.Mutex
	chats map[chatKey]bool
	gen   map[string]int // of a channel: times it said Ready
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
	if c := r.channels[o.Channel]; c != nil {
		err = c.Send(ctx, o)
	}
	state, reason, held := store.Sent, "", false
	switch {
	case errors.Is(err, host.ErrUnavailable):
		state = store.Queued
		held = h.hold(o, gen)
	case errors.Is(err, host.ErrUnknownOutcome):
		state, reason = store.Unknown, err.Error()
	case err != nil:
		state, reason = store.Undone, err.Error()
		r.cfg.Log.Warn("not sent", "channel", o.Channel, "message", o.ID, "error", err)
	}
	failpoint.Hit(failpoint.BeforeSent)
	r.persist("outbox "+string(o.ID), func() error {
		return r.cfg.Store.Mark(context.WithoutCancel(r.ctx), o.ID, state, reason)
	})
	failpoint.Hit(failpoint.AfterSent)
	if !held {
		r.flush()
	}
}
