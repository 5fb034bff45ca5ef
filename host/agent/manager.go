package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

const (
	grace          = 3 * time.Second // after the deadline, for the runner to end the turn itself
	closeWait      = 2 * time.Second // for the end of a container whose turn failed
	spareDelay     = 250 * time.Millisecond
	afterReply     = 50 * time.Millisecond // the reply is on its way first, containers end and start then
	defaultTimeout = 10 * time.Minute
)

// Config is what a Manager is made of.
type Config struct {
	Engine       host.Engine
	Image        string                                   // for host.Spec
	Runner       string                                   // file that is put into images of programs
	Handler      func(host.Scope) http.Handler            // the broker's side of one turn
	Workspaces   string                                   // directory of the agents' workspaces
	Attached     func(host.Digest) (io.ReadCloser, error) // bytes of an attachment; nil = there are none
	MaxAgents    int                                      // turns at once
	MaxDelegates int                                      // delegated turns at once
	MaxSpares    int
	SpareIdle    time.Duration
	Timezone     string // IANA name
	Log          hclog.Logger
}

// Manager runs turns in containers. It is safe for concurrent use.
type Manager struct {
	cfg              Config
	log              hclog.Logger
	roots, delegates chan struct{}
	ctx              context.Context // of everything that outlives a turn
	stop             context.CancelCauseFunc
	wg               sync.WaitGroup

	mu      sync.Mutex
	running int
	spares  map[host.AgentID]*spare
	used    map[host.AgentID][]string // skills called in the last turn: a spare loads them ahead
	dropped atomic.Int64              // how often all spares were given up
}

// New makes a manager that has no containers yet.
func New(cfg Config) *Manager {
	m := &Manager{
		cfg: cfg, log: cfg.Log, roots: make(chan struct{}, max(cfg.MaxAgents, 1)),
		delegates: make(chan struct{}, max(cfg.MaxDelegates, 1)),
		spares:    make(map[host.AgentID]*spare), used: make(map[host.AgentID][]string),
	}
	m.ctx, m.stop = context.WithCancelCause(context.Background())
	return m
}

// Job is one turn, or one tool call, of one agent.
type Job struct {
	Scope    host.Scope
	Input    wire.Turn   // of Turn
	Shared   string      // what the turn reads besides the agent's own memory
	Files    []host.File // that came with its messages: they are put into the workspace
	Delegate bool        // a delegated turn: it has a pool of its own
	// Hold is what the turn that delegated this one does while its owner is asked; may be nil.
	Hold func() (resume func(context.Context) error)
	// Image is what a role with a program runs, by its ID, and Model what the program asks.
	Image, Model string

	// Workspace is used in place of the agent's own; the host never creates it.
	Workspace string
	// FS, when not nil, says exactly which directories each skill gets, in place of its
	// manifest: Guest is "/workspace" or below; Path is not read.
	FS map[host.SkillName][]wire.Preopen
}

// Reply is the end of a turn.
type Reply struct {
	Text    string
	LeftOut []host.SkillName // skills that need what the role does not grant
}

// Stats counts containers.
type Stats struct{ Running, Spares int }

// Stats says how many there are now.
func (m *Manager) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{Running: m.running, Spares: len(m.spares)}
}

// Turn runs one turn. Errors wrap host.ErrTimeout, ErrCrashed, ErrStopped, ErrUnavailable, …
func (m *Manager) Turn(ctx context.Context, j Job) (Reply, error) {
	p, err := m.plan(j, true)
	if err != nil {
		return Reply{}, err
	}
	if j.Input.Memory == "" && p.workspace != "" {
		j.Input.Memory = m.memory(p.workspace)
	}
	j.Input.Memory += j.Shared
	if p.workspace != "" {
		m.attach(p.workspace, j.Files)
	}
	timeout := time.Duration(j.Input.DeadlineMS) * time.Millisecond
	if timeout <= 0 {
		timeout = turnTimeout(j)
		j.Input.DeadlineMS = int(timeout / time.Millisecond)
	}
	var reply wire.Event
	err = m.run(ctx, j, p, timeout, func(ctx context.Context, b *box) (err error) {
		if !p.keep {
			next := time.AfterFunc(spareDelay, func() { m.prepare(p) })
			defer func() { next.Reset(afterReply) }()
		}
		reply, err = b.turn(ctx, j)
		if !p.once {
			m.remember(j.Scope, reply.Used)
		}
		return err
	})
	return Reply{Text: reply.Text, LeftOut: p.leftOut}, err
}

// Call runs one tool call in a container that no turn shares.
func (m *Manager) Call(ctx context.Context, j Job, c wire.ToolCall) (out wire.ToolOutcome, err error) {
	if len(c.Arguments) > wire.MaxToolArgs {
		return out, fmt.Errorf("%w: arguments of more than %d bytes", host.ErrLimit, wire.MaxToolArgs)
	}
	p, err := m.plan(j, false)
	if err != nil {
		return out, err
	}
	err = m.run(ctx, j, p, turnTimeout(j), func(ctx context.Context, b *box) error {
		return b.post(ctx, wire.PathTool, c, 2*wire.MaxToolArgs, 2*wire.MaxToolResult, &out)
	})
	return out, err
}

func turnTimeout(j Job) time.Duration {
	if t := j.Scope.Role.Limits.TurnTimeout; t > 0 {
		return t
	}
	return defaultTimeout
}

// run gives f a container that is bound to the job's scope, and ends it.
func (m *Manager) run(
	ctx context.Context, j Job, p *plan, timeout time.Duration, f func(context.Context, *box) error,
) error {
	pool := m.roots
	if j.Delegate {
		pool = m.delegates
	}
	pl, err := m.enter(ctx, pool)
	if err != nil {
		return err
	}
	defer m.leave(pl)
	late := fmt.Errorf("%w: the turn took longer than %v", host.ErrTimeout, timeout)
	ctx, cancel := pause.WithTimeout(ctx, timeout+grace, late)
	defer cancel()
	j.bindClock(ctx, pl)
	defer context.AfterFunc(m.ctx, cancel)()
	b, err := m.take(ctx, j, p)
	if err != nil {
		return stopped(ctx, err)
	}
	b.bind(m.cfg.Handler(j.Scope))
	began := m.dropped.Load()
	err = f(ctx, b)
	if err != nil {
		err = stopped(ctx, b.autopsy(ctx, err, p.spec.Limits.Memory))
	}
	b.unbind()
	if err == nil && p.keep && m.put(p, b, began) {
		return nil
	}
	closed := make(chan struct{})
	quiet := time.Duration(0)
	if err == nil {
		quiet = afterReply
	}
	m.wg.Go(func() {
		select {
		case <-time.After(quiet):
		case <-m.ctx.Done():
		}
		m.close(b)
		close(closed)
	})
	if err != nil {
		select {
		case <-closed:
		case <-time.After(closeWait):
		}
	}
	return err
}

// stopped puts the reason for which ctx ended in place of what that looked like.
func stopped(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, host.ErrTimeout):
		return cause
	case errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("%w: the caller's deadline passed", host.ErrTimeout)
	}
	return fmt.Errorf("%w before the turn was over", host.ErrStopped)
}

// close ends a container. That it cannot be removed is nobody's turn's fault.
func (m *Manager) close(b *box) {
	if err := b.close(); err != nil {
		m.log.Warn("container not removed", "container", b.c.ID(), "error", err)
	}
}

// Close stops every turn, ends every container and waits for that until ctx ends.
func (m *Manager) Close(ctx context.Context) {
	m.mu.Lock()
	m.stop(fmt.Errorf("%w: the host is stopping", host.ErrStopped))
	m.mu.Unlock()
	m.DropSpares()
	done := make(chan struct{})
	go func() { m.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
