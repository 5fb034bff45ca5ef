package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/markup"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
	"github.com/nanoclaw/nanoclaw/host/store"
)

const (
	maxBatch    = 200 // messages of a backlog that become one turn
	maxAttempts = 3   // times that the host may die in a turn
	storeWait   = 5 * time.Second
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
		more := false
		r.persist("turn of "+string(w.agent.ID), func() (err error) {
			more, err = r.turn(w)
			return err
		})
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

// turn runs the agent's next turn, or one more attempt of it, and reports whether there was one.
func (r *Router) turn(w *worker) (bool, error) {
	t, err := r.cfg.Store.Begin(r.ctx, w.agent.ID, host.NewTurnID(), maxBatch)
	if errors.Is(err, host.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	failpoint.Hit(failpoint.TurnBegun)
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	r.mu.Lock()
	w.cancel = cancel
	r.mu.Unlock()
	var reply string
	waited := !t.Next.IsZero()
	if waited {
		err = r.wait(ctx, w.agent, t)
	} else {
		reply, err = r.run(ctx, w.agent, t)
	}
	r.mu.Lock()
	w.cancel = nil
	r.mu.Unlock()
	store, after := r.cfg.Store, context.WithoutCancel(ctx)
	switch {
	case errors.Is(err, errShutdown), errors.Is(context.Cause(ctx), errShutdown) && err != nil:
		if waited {
			return false, nil // the row says until when
		}
		return false, store.PutBack(after, t.ID, t.Failures, time.Time{}, "") // the next host takes it up
	case waited && err == nil:
		return true, store.PutBack(after, t.ID, t.Failures, time.Time{}, "")
	case ctx.Err() == nil && passes(err) && t.Failures < len(r.cfg.Retry):
		r.cfg.Log.Warn("turn failed, to be tried again", "agent", w.agent.ID, "turn", t.ID, "error", err,
			"after", r.cfg.Retry[t.Failures])
		return true, store.PutBack(after, t.ID, t.Failures+1, time.Now().Add(r.cfg.Retry[t.Failures]), plain(err))
	}
	r.persist("end of turn "+string(t.ID), func() error { return r.finish(ctx, w.agent, t, reply, err) })
	return true, nil
}

// persist does what writes to the store until it succeeds: a disk that is full is not for ever, and
// until then nothing of it is lost. A host that stops meanwhile leaves it to the next.
func (r *Router) persist(what string, write func() error) {
	for {
		err := write()
		if err == nil || errors.Is(err, host.ErrNotFound) {
			return
		}
		r.cfg.Log.Error("not stored, to be tried again", "what", what, "after", storeWait, "error", err)
		select {
		case <-time.After(storeWait):
		case <-r.closing:
			return
		}
	}
}

// wait waits until t is to be tried again, and tells the user why. A clock that was set back
// does not make that longer than the schedule says.
func (r *Router) wait(ctx context.Context, a host.Agent, t store.Turn) error {
	left := time.Until(t.Next)
	if n := min(t.Failures, len(r.cfg.Retry)); n > 0 {
		left = min(left, r.cfg.Retry[n-1])
	}
	r.show(a, host.Event{
		Turn: t.ID, Stage: host.StageQueued,
		Name: fmt.Sprintf("for another try in %s: %s", max(left, 0).Round(time.Second), t.Reason),
	})
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.closing:
		return errShutdown
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passes reports whether another attempt may do better. What was denied, is invalid, is not there,
// is over a budget or took all the time that a turn has fails again.
func passes(err error) bool {
	if host.Lasts(err) {
		return false
	}
	for _, kind := range []error{host.ErrUnavailable, host.ErrBusy, host.ErrCrashed} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func (r *Router) run(ctx context.Context, a host.Agent, t store.Turn) (string, error) {
	if t.Deaths >= maxAttempts {
		err := fmt.Errorf("%w: the host died %d times while answering this", host.ErrCrashed, t.Deaths)
		return "", host.Lasting(err)
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
		Text: strings.TrimSpace(markup.Public(reply)), Kind: host.OutReply,
	}
	for _, m := range t.Messages {
		if m.Sender != host.TaskSender { // whose messages no channel knows
			o.ReplyTo = m.ExternalID
		}
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
	failpoint.Hit(failpoint.BeforeFinish)
	if err := r.cfg.Store.Finish(context.WithoutCancel(ctx), t.ID, how, reason, out); err != nil {
		return err
	}
	failpoint.Hit(failpoint.AfterFinish)
	if out == nil {
		r.show(a, host.Event{Turn: t.ID, Stage: host.StageDone, Name: o.ReplyTo})
	}
	r.flush()
	if r.cfg.Ended != nil {
		r.cfg.Ended(t)
	}
	return nil
}

// sentence is what a user reads of an error: what happened and whether to try again. Which role
// it was and what kind of error is for the log.
func sentence(err error) string {
	msg := plain(err)
	switch {
	case errors.Is(err, host.ErrTimeout):
		return "That took too long and was stopped: " + msg + "."
	case errors.Is(err, host.ErrUnavailable), errors.Is(err, host.ErrBusy):
		return "I can't answer right now: " + msg + ". Your message is kept in the history; please ask again."
	default:
		return "Something went wrong: " + msg + "."
	}
}

// plain is what happened, short and without its kind.
func plain(err error) string {
	msg := err.Error()
	for _, kind := range []error{host.ErrUnavailable, host.ErrDenied, host.ErrNotFound, host.ErrCrashed, host.ErrInvalid} {
		if _, rest, ok := strings.Cut(msg, kind.Error()+": "); ok && errors.Is(err, kind) {
			msg = rest
		}
	}
	if len(msg) > 500 {
		msg = strings.ToValidUTF8(msg[:500], "") + "…"
	}
	return msg
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

// Retry runs a failed turn again, before what waits for its agent.
func (r *Router) Retry(ctx context.Context, turn host.TurnID) error {
	a, err := r.cfg.Store.Retry(ctx, turn)
	if err != nil {
		return err
	}
	r.wake(a)
	return nil
}

// Busy counts the agents at work.
func (r *Router) Busy() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.workers)
}
