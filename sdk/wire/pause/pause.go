// Package pause owns deadlines that can stand still: while a call waits for a person, the
// time of what waits with it does not run. Both ends of the wire use it, each for its own
// clocks.
//
// It must never decide how long a person is waited for: whoever holds a clock bounds that.
//
// Rationale: a context of the standard library cannot be given more time. A paused one has
// no Deadline of its own, so that whoever makes a shorter one of it is not misled.
package pause

import (
	"context"
	"sync"
	"time"
)

type key struct{}

// clock is the time of one context. Those above it, which it is part of, stand still with it.
type clock struct {
	above  *clock
	cancel context.CancelCauseFunc
	cause  error

	mu    sync.Mutex
	holds int
	left  time.Duration // while held
	end   time.Time     // while running
	timer *time.Timer
}

// WithTimeout is context.WithTimeoutCause, but for Hold. The cause is what context.Cause says
// afterwards; Err is always context.Canceled.
func WithTimeout(ctx context.Context, d time.Duration, cause error) (context.Context, context.CancelFunc) {
	c := &clock{end: time.Now().Add(d), cause: cause}
	c.above, _ = ctx.Value(key{}).(*clock)
	ctx, c.cancel = context.WithCancelCause(ctx)
	c.timer = time.AfterFunc(d, func() { c.cancel(cause) })
	return context.WithValue(ctx, key{}, c), func() {
		c.timer.Stop()
		c.cancel(context.Canceled)
	}
}

// Hold stops the clock of ctx and all above it until release is called. Holds add up.
func Hold(ctx context.Context) (release func()) {
	c, _ := ctx.Value(key{}).(*clock)
	for a := c; a != nil; a = a.above {
		a.hold()
	}
	return sync.OnceFunc(func() {
		for a := c; a != nil; a = a.above {
			a.release()
		}
	})
}

// Late reports whether the time of ctx is over, by the clock and not only by its timer.
func Late(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true
	}
	if end, ok := ctx.Deadline(); ok && time.Now().After(end) {
		return true
	}
	c, _ := ctx.Value(key{}).(*clock)
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds == 0 && time.Now().After(c.end)
}

// Left is how much of ctx's own time is left; 0 without a clock.
func Left(ctx context.Context) time.Duration {
	c, _ := ctx.Value(key{}).(*clock)
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds > 0 {
		return c.left
	}
	return time.Until(c.end)
}

func (c *clock) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds++; c.holds == 1 {
		c.timer.Stop()
		c.left = time.Until(c.end)
	}
}

func (c *clock) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds--; c.holds == 0 {
		c.end = time.Now().Add(c.left)
		c.timer.Reset(c.left)
	}
}
