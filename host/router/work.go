package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/markup"
	"github.com/nanoclaw/nanoclaw/host/store"
)

const (
	maxBatch    = 200 // messages of a backlog that become one turn
	maxAttempts = 3   // times a turn is taken up after the host died in it
)

// worker runs the turns of one agent, one after the other, and goes when nothing waits.
type worker struct {
	agent  host.Agent
	again  bool                    // woken while running; guarded by Router.mu
	cancel context.CancelCauseFunc // of the running turn, nil between turns; guarded by Router.mu
	done   chan struct{}
}

// wake makes sure that a worker looks at the agent's messages after this call.
func (r *Router) wake(a host.Agent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if w := r.workers[a.ID]; w != nil {
		w.again = true
		return
	}
	w := &worker{agent: a, done: make(chan struct{})}
	r.workers[a.ID] = w
	r.wg.Go(func() { r.work(w) })
}

func (r *Router) work(w *worker) {
	defer close(w.done)
	for {
		more, err := r.turn(w)
		if err != nil {
			r.cfg.Log.Error("turn", "agent", w.agent.ID, "error", err)
		}
		r.mu.Lock()
		if r.closed || !more && !w.again {
			delete(r.workers, w.agent.ID)
			r.mu.Unlock()
			return
		}
		w.again = false
		r.mu.Unlock()
	}
}

// turn runs the agent's next turn and reports whether there was one.
func (r *Router) turn(w *worker) (bool, error) {
	t, err := r.cfg.Store.Begin(r.ctx, w.agent.ID, host.NewTurnID(), maxBatch)
	if errors.Is(err, host.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	r.mu.Lock()
	w.cancel = cancel
	r.mu.Unlock()
	reply, err := r.run(ctx, w.agent, t)
	r.mu.Lock()
	w.cancel = nil
	r.mu.Unlock()
	if errors.Is(context.Cause(ctx), errShutdown) && err != nil {
		return false, nil // the row says running: the next host takes it up
	}
	return true, r.finish(ctx, w.agent, t, reply, err)
}

func (r *Router) run(ctx context.Context, a host.Agent, t store.Turn) (string, error) {
	if t.Attempts > maxAttempts {
		return "", fmt.Errorf("%w: the host died %d times while answering this", host.ErrCrashed, t.Attempts-1)
	}
	var mu sync.Mutex
	var public markup.Stripper
	return r.cfg.Turn(ctx, a, t, func(e host.Event) {
		e.Turn = t.ID
		mu.Lock()
		defer mu.Unlock()
		if e.Stage == host.StageModel && e.Text == "" { // a new answer begins
			public = markup.Stripper{}
		} else if e.Text != "" {
			if e.Text = public.Next(e.Text); e.Text == "" {
				return
			}
		}
		r.show(a, e)
	})
}

// finish commits the end of a turn and what is said, together.
func (r *Router) finish(ctx context.Context, a host.Agent, t store.Turn, reply string, err error) error {
	o := host.Outgoing{
		ID: host.NewMessageID(), Turn: t.ID, Channel: a.Channel, Account: a.Account, Chat: a.Chat,
		Text: strings.TrimSpace(markup.Public(reply)), Kind: host.OutReply, ReplyTo: t.Messages[len(t.Messages)-1].ExternalID,
	}
	how, reason := store.Done, ""
	switch {
	case err == nil && strings.TrimSpace(reply) == "":
		o.Text = "(The agent had nothing to say.)"
	case errors.Is(context.Cause(ctx), host.ErrStopped):
		how, reason, o.Kind, o.Text = store.Stopped, "stopped by the owner", host.OutNotice, "Stopped."
	case err != nil:
		how, reason, o.Kind, o.Text = store.Failed, err.Error(), host.OutError, sentence(err)
		r.cfg.Log.Warn("turn failed", "agent", a.ID, "turn", t.ID, "error", err)
	}
	out := r.parts(o)
	if o.Text == "" { // all of it was internal
		out = nil
	}
	if errors.Is(err, host.ErrLimit) && !slices.ContainsFunc(t.Messages, func(m host.Message) bool { return m.Owner }) {
		out = nil // a role over its budget answers nobody else: two machines would talk for ever
	}
	if err := r.cfg.Store.Finish(context.WithoutCancel(ctx), t.ID, how, reason, out); err != nil {
		return err
	}
	if out == nil {
		r.show(a, host.Event{Turn: t.ID, Stage: host.StageDone, Name: o.ReplyTo})
	}
	r.flush()
	return nil
}

// sentence is what a user reads of an error: what happened and whether to try again. Which role
// it was and what kind of error is for the log.
func sentence(err error) string {
	msg := err.Error()
	for _, kind := range []error{host.ErrUnavailable, host.ErrDenied, host.ErrNotFound, host.ErrCrashed, host.ErrInvalid} {
		if _, rest, ok := strings.Cut(msg, kind.Error()+": "); ok && errors.Is(err, kind) {
			msg = rest
		}
	}
	if len(msg) > 500 {
		msg = strings.ToValidUTF8(msg[:500], "") + "…"
	}
	switch {
	case errors.Is(err, host.ErrTimeout):
		return "That took too long and was stopped: " + msg + "."
	case errors.Is(err, host.ErrUnavailable), errors.Is(err, host.ErrBusy):
		return "I can't answer right now: " + msg + ". Your message is kept in the history; please ask again."
	default:
		return "Something went wrong: " + msg + "."
	}
}

// StopTurn ends the agent's running turn, and says what it found.
func (r *Router) StopTurn(id host.AgentID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.workers[id]
	if w == nil || w.cancel == nil {
		return "Nothing is running."
	}
	w.cancel(host.ErrStopped)
	return "Stopping."
}

// Busy counts the agents at work.
func (r *Router) Busy() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.workers)
}
