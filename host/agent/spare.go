package agent

import (
	"context"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// maxUsed bounds for how many agents it is remembered what they used.
const maxUsed = 4096

// spare is a container that waits, loaded, for its agent's next turn.
type spare struct {
	key   string
	since time.Time
	stop  context.CancelFunc // ends its keeper, and its start when that is not over
	taken bool               // belongs to a turn; guarded by Manager.mu
	ready chan struct{}
	b     *box // after ready; nil when it did not start
}

// take is the agent's spare if it fits, else a new container.
func (m *Manager) take(ctx context.Context, j Job, p *plan) (*box, error) {
	m.mu.Lock()
	s := m.spares[p.agent]
	fits := s != nil && s.key == p.key
	if fits {
		s.taken = true
		delete(m.spares, p.agent)
	} else if s != nil && !p.once {
		m.discard(p.agent)
	}
	m.mu.Unlock()
	waits := func() { j.Scope.Emit(host.Event{Turn: j.Scope.Turn, Stage: host.StageContainer}) }
	if fits {
		if b := m.claim(ctx, s, waits); b != nil {
			return b, nil
		}
	} else {
		waits()
	}
	return m.start(ctx, p, j.Scope.Turn)
}

// claim is the container of a spare that was taken, nil when it is of no use.
func (m *Manager) claim(ctx context.Context, s *spare, waits func()) *box {
	defer s.stop()
	select {
	case <-s.ready:
	default:
		waits()
	}
	select {
	case <-s.ready:
		if s.b != nil && s.b.alive() {
			return s.b
		}
	case <-ctx.Done():
	}
	m.wg.Go(func() {
		if <-s.ready; s.b != nil {
			m.close(s.b)
		}
	})
	return nil
}

// prepare makes sure that the plan's agent has a spare, at the cost of the one whose agent
// has been idle longest.
func (m *Manager) prepare(p *plan) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.once {
		return
	}
	ctx, s := m.room(p)
	if s != nil {
		m.wg.Go(func() { m.keep(ctx, s, p, nil) })
	}
}

// put makes the container of a turn the agent's spare, unless spares were given up since it began.
func (m *Manager) put(p *plan, b *box, began int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dropped.Load() != began {
		return false
	}
	ctx, s := m.room(p)
	if s != nil {
		m.wg.Go(func() { m.keep(ctx, s, p, b) })
	}
	return s != nil
}

// room makes a place for a spare, nil when there is none, or nothing to do. m.mu is held.
func (m *Manager) room(p *plan) (context.Context, *spare) {
	if m.cfg.MaxSpares <= 0 || m.ctx.Err() != nil {
		return nil, nil
	}
	if s := m.spares[p.agent]; s != nil {
		if s.since = time.Now(); s.key == p.key {
			return nil, nil
		}
		m.discard(p.agent)
	}
	for len(m.spares) >= m.cfg.MaxSpares {
		var oldest host.AgentID
		for id, s := range m.spares {
			if oldest == "" || s.since.Before(m.spares[oldest].since) {
				oldest = id
			}
		}
		m.discard(oldest)
	}
	ctx, stop := context.WithCancel(m.ctx)
	s := &spare{key: p.key, since: time.Now(), stop: stop, ready: make(chan struct{})}
	m.spares[p.agent] = s
	return ctx, s
}

// keep starts a spare, unless b is one, and ends it when it was idle too long, died or is not wanted,
// unless a turn took it.
func (m *Manager) keep(ctx context.Context, s *spare, p *plan, b *box) {
	var err error
	if b == nil {
		b, err = m.start(ctx, p, "")
	}
	s.b = b
	close(s.ready)
	if err != nil && ctx.Err() == nil {
		m.log.Warn("spare not started", "agent", p.agent, "error", err)
	}
	if b != nil {
		idle := time.NewTimer(m.cfg.SpareIdle)
		select {
		case <-ctx.Done():
		case <-idle.C:
		case <-b.session.CloseChan():
		}
		idle.Stop()
	}
	m.mu.Lock()
	taken := s.taken
	if m.spares[p.agent] == s {
		delete(m.spares, p.agent)
	}
	m.mu.Unlock()
	s.stop()
	if b != nil && !taken {
		m.close(b)
	}
}

// discard gives up an agent's spare: its keeper ends it. m.mu is held.
func (m *Manager) discard(id host.AgentID) {
	m.spares[id].stop()
	delete(m.spares, id)
}

// DropSpares gives up every spare: what they were loaded with has changed.
func (m *Manager) DropSpares() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dropped.Add(1)
	for id := range m.spares {
		m.discard(id)
	}
}

// remember keeps what a turn used, as far as the role has it.
func (m *Manager) remember(s host.Scope, used []string) {
	var known []string
	for _, name := range used {
		if s.Skills[host.SkillName(name)] != nil && len(known) < len(s.Skills) {
			known = append(known, name)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.used) >= maxUsed {
		clear(m.used)
	}
	m.used[s.Agent.ID] = known
}

// start starts a container and loads what the plan says.
func (m *Manager) start(ctx context.Context, p *plan, turn host.TurnID) (*box, error) {
	spec, load := p.spec, p.load
	spec.Labels = map[string]string{"agent": string(p.agent), "turn": string(turn)}
	if !p.once {
		m.mu.Lock()
		load.Warm = m.used[p.agent]
		m.mu.Unlock()
	}
	c, err := m.cfg.Engine.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	b, err := open(c, m.log)
	if err != nil {
		return nil, err
	}
	var loaded wire.Loaded
	if err := b.post(ctx, wire.PathLoad, load, wire.MaxLoad, maxLoaded, &loaded); err != nil {
		err = b.autopsy(ctx, err, spec.Limits.Memory)
		m.close(b)
		return nil, err
	}
	for _, why := range loaded.Refused {
		m.log.Warn("skill refused by the runner", "agent", p.agent, "reason", printable(why))
	}
	return b, nil
}
