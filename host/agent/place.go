package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

// place is a turn's place in its pool. It can be given to others while the turn's owner is
// asked something, and is given back once, whatever ends first.
type place struct {
	m    *Manager
	pool chan struct{}

	mu   sync.Mutex
	held bool
	over bool // the turn has ended
}

// enter waits for a place.
func (m *Manager) enter(ctx context.Context, pool chan struct{}) (*place, error) {
	p := &place{m: m, pool: pool}
	if err := p.take(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		p.give()
		return nil, context.Cause(m.ctx)
	}
	m.running++
	m.wg.Add(1)
	return p, nil
}

func (m *Manager) leave(p *place) {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.give()
	m.mu.Lock()
	m.running--
	m.mu.Unlock()
	m.wg.Done()
}

func (p *place) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.held = false
		<-p.pool
	}
}

// take waits for a place in the pool, until ctx or the manager ends.
func (p *place) take(ctx context.Context) error {
	select {
	case p.pool <- struct{}{}:
	case <-ctx.Done():
		return stopped(ctx, ctx.Err())
	case <-p.m.ctx.Done():
		return context.Cause(p.m.ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		<-p.pool
		return fmt.Errorf("%w before the turn was over", host.ErrStopped)
	}
	p.held = true
	return nil
}

// bindClock lets the scope stop the turn's clock and lend its place. While a delegated turn's owner
// is asked, the turns above it stand still too.
func (j *Job) bindClock(ctx context.Context, pl *place) {
	above := j.Hold
	j.Scope.Pause = func() func(context.Context) error {
		run, resume := pause.Hold(ctx), func(context.Context) error { return nil }
		if above != nil {
			resume = above()
		}
		pl.give()
		return func(ctx context.Context) error {
			defer run()
			return errors.Join(resume(ctx), pl.take(ctx))
		}
	}
	j.Scope.Left = func() time.Duration { return pause.Left(ctx) }
	if j.Delegate {
		j.Scope.Lend = func() func(context.Context) error {
			pl.give()
			return pl.take
		}
	}
}
