package agent

import (
	"context"
	"fmt"
	"sync"

	"github.com/nanoclaw/nanoclaw/host"
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
