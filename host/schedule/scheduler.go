package schedule

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	maxFailures = 5               // in a row, then a task is paused
	late        = 2 * time.Minute // behind its time, a run is one that was missed
	batch       = 100
)

// Config is what a Scheduler works with. All but Now and Look are required.
type Config struct {
	Store Store
	Now   func() time.Time // nil = time.Now
	Look  time.Duration    // the loop sleeps no longer than this: the wall clock may jump; 0 = a minute
	// Deliver puts m into the agent's queue. The same message twice is there once.
	Deliver func(ctx context.Context, a host.Agent, m host.Message) error
	// Gate calls a tool of the agent, by its public name.
	Gate func(ctx context.Context, a host.Agent, g wire.TaskGate) (wire.ToolOutcome, error)
	// Tell says something about t to its owner.
	Tell func(ctx context.Context, t host.Task, text string) error
	Log  hclog.Logger
}

// Scheduler starts tasks at their times.
type Scheduler struct {
	cfg  Config
	poke chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex
	taken map[int64]bool // runs that are being started
}

// New returns a scheduler that does nothing until Run.
func New(cfg Config) *Scheduler {
	cfg.Look = cmp.Or(cfg.Look, time.Minute)
	return &Scheduler{cfg: cfg, poke: make(chan struct{}, 1), taken: make(map[int64]bool)}
}

// Poke makes the scheduler look at the tasks now. It never blocks.
func (s *Scheduler) Poke() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run starts what is due until ctx ends, and returns when no gate runs any more.
func (s *Scheduler) Run(ctx context.Context) {
	defer s.wg.Wait()
	for ctx.Err() == nil {
		wait, err := s.pass(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Error("tasks", "error", err)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.poke:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// pass writes a run for every task that is due, starts what is written, and says how long
// nothing is due.
func (s *Scheduler) pass(ctx context.Context) (time.Duration, error) {
	wait := s.cfg.Look
	for due := batch; due == batch; {
		tasks, err := s.cfg.Store.Soonest(ctx, batch)
		if err != nil {
			return s.cfg.Look, err
		}
		due = 0
		for _, t := range tasks {
			now := clock(s.cfg.Now)
			if t.Next.After(now) {
				wait = min(wait, t.Next.Sub(now))
				break
			}
			if err := s.advance(ctx, t); err != nil {
				return s.cfg.Look, err
			}
			due++
		}
	}
	paused, err := s.cfg.Store.PauseFailing(ctx, maxFailures, fmt.Sprintf("it failed %d times in a row", maxFailures))
	for _, t := range paused {
		s.tell(ctx, t, fmt.Sprintf("failed %d times in a row and is paused. 'nanoclaw task log %d' shows why, "+
			"'nanoclaw task resume %d' starts it again.", maxFailures, t.N, t.N))
	}
	if err != nil {
		return s.cfg.Look, err
	}
	s.mu.Lock() // while reading too: a run that ends meanwhile is open and taken, or neither
	defer s.mu.Unlock()
	open, err := s.cfg.Store.OpenRuns(ctx)
	for _, r := range open {
		if !s.taken[r.N] {
			s.taken[r.N] = true
			s.wg.Go(func() { s.start(ctx, r) })
		}
	}
	return wait, err
}

// advance moves a due task on and writes its run, in one transaction: before anything runs.
func (s *Scheduler) advance(ctx context.Context, t host.Task) error {
	broken := ""
	_, err := s.cfg.Store.ChangeTask(ctx, t.Agent.ID, t.N, func(t *host.Task, busy bool) (*host.Run, error) {
		now := clock(s.cfg.Now)
		if t.State != host.TaskActive || t.Next.After(now) { // somebody was quicker
			return nil, nil
		}
		w, err := Parse(t.Schedule, t.Timezone)
		if err != nil {
			broken = err.Error()
			t.State, t.Next, t.Why = host.TaskPaused, time.Time{}, broken
			return nil, nil
		}
		run := &host.Run{Due: t.Next}
		switch {
		case busy:
			run.Outcome, run.Ended, run.Error = host.RunMissed, now, "the run before it was not over"
		case t.Misfire == host.MisfireSkip && now.Sub(t.Next) > late:
			run.Outcome, run.Ended, run.Error = host.RunMissed, now, "the host was not there"
		}
		next, ok := w.Next(t.Next, now)
		if t.Next = next; !ok {
			t.State, t.Next, t.Why = host.TaskDone, time.Time{}, "its time has come"
		}
		return run, nil
	})
	if broken != "" {
		s.tell(ctx, t, "is paused: "+broken)
	}
	return err
}

// start takes one written run to its agent.
func (s *Scheduler) start(ctx context.Context, r host.OpenRun) {
	err := s.begin(ctx, r)
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("task not started, it is tried again in a minute", "task", r.Task, "error", err)
	}
	s.mu.Lock()
	delete(s.taken, r.N)
	s.mu.Unlock()
}

func (s *Scheduler) begin(ctx context.Context, r host.OpenRun) error {
	t := r.Of
	if t.Misfire == host.MisfireSkip && clock(s.cfg.Now).Sub(r.Due) > late {
		return s.cfg.Store.EndRun(ctx, r.N, host.RunMissed, "the host was not there")
	}
	if err := s.cfg.Store.StartRun(ctx, r.N); err != nil {
		return err
	}
	text := message(t.Prompt, nil)
	if t.Gate != nil {
		out, err := s.cfg.Gate(ctx, t.Agent, *t.Gate)
		if ctx.Err() != nil {
			return nil // the host stops: the row is open, and the next host asks again
		}
		wake, data, bad := verdict(out)
		if err == nil {
			err = bad
		}
		if err != nil {
			defer s.Poke() // it may have been once too often
			return s.cfg.Store.EndRun(ctx, r.N, host.RunFailed, fmt.Sprintf("gate %s: %v", t.Gate.Tool, err))
		}
		if !wake {
			return s.cfg.Store.EndRun(ctx, r.N, host.RunGated, "")
		}
		text = message(t.Prompt, data)
	}
	return s.cfg.Deliver(ctx, t.Agent, host.Message{
		Channel: t.Agent.Channel, Account: t.Agent.Account, Chat: t.Agent.Chat, Sender: host.TaskSender,
		SenderName: fmt.Sprintf("task %d", t.N), ExternalID: r.Message(), Text: text, Time: clock(s.cfg.Now),
	})
}

// tell says to the owner what became of t.
func (s *Scheduler) tell(ctx context.Context, t host.Task, what string) {
	prompt := []rune(t.Prompt)
	text := fmt.Sprintf("Task %d (%q) %s", t.N, string(prompt[:min(len(prompt), 60)]), what)
	if err := s.cfg.Tell(ctx, t, text); err != nil {
		s.cfg.Log.Error("owner not told", "text", text, "error", err)
	}
}
