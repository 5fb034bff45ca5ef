package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/schedule"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// openTasks makes the book and the scheduler, which does nothing before it runs.
func (d *Daemon) openTasks() {
	d.tasks = schedule.New(schedule.Config{
		Store: d.store, Deliver: d.router.Task, Gate: d.gate, Log: d.log.Named("schedule"),
		Tell: func(ctx context.Context, t host.Task, text string) error { return d.tellOwner(ctx, t.Agent, text) },
	})
	d.book = &schedule.Book{Store: d.store, Zone: d.config().Assistant.Timezone, Poke: d.tasks.Poke}
}

// turnEnded tells the scheduler of turns in which a task's message was.
func (d *Daemon) turnEnded(t store.Turn) {
	if slices.ContainsFunc(t.Messages, func(m host.Message) bool { return m.Sender == host.TaskSender }) {
		d.tasks.Poke()
	}
}

// gate calls the tool that decides whether a task is worth a turn, in a container of the agent.
// No model is reached from there, whatever the role has: that is what a gate is for.
func (d *Daemon) gate(ctx context.Context, a host.Agent, g wire.TaskGate) (out wire.ToolOutcome, err error) {
	cfg := d.config()
	role := cfg.Roles[a.Role]
	if role == nil {
		return out, fmt.Errorf("%w: role %s is no longer in %s", host.ErrNotFound, a.Role, cfg.Path)
	}
	silent := func(host.Event) {}
	if err := d.waitForPlugins(ctx, role, silent); err != nil {
		return out, err
	}
	scope, err := d.scope(a, role, host.NewTurnID())
	if err != nil {
		return out, err
	}
	mute := *role
	mute.Withhold = append(slices.Clone(role.Withhold), host.CapLLM)
	scope.Role, scope.Emit = &mute, silent
	defer d.forgetNotices(scope.Turn)
	call := wire.ToolCall{Name: g.Tool, Arguments: g.Arguments, Turn: string(scope.Turn)}
	return d.agents.Call(ctx, agent.Job{Scope: scope}, call)
}

// Tasks lists the tasks of all agents, with or without a running host.
func Tasks(ctx context.Context, cfg *config.Config) (out []host.Task, err error) {
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s == nil {
			return nil
		}
		out, err = s.AllTasks(ctx)
		return err
	})
	return out, err
}

// Task finds task n of any agent, and its runs, the newest first.
func Task(ctx context.Context, cfg *config.Config, n int64) (t host.Task, runs []host.Run, err error) {
	all, err := Tasks(ctx, cfg)
	i := slices.IndexFunc(all, func(t host.Task) bool { return t.N == n })
	if err != nil || i < 0 {
		none := fmt.Errorf("%w: there is no task %d; 'nanoclaw task list' has them", host.ErrNotFound, n)
		return t, nil, cmp.Or(err, none)
	}
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		runs, err = s.Runs(ctx, n)
		return err
	})
	return all[i], runs, err
}

// ChangeTask does what r asks for the owner, with the tasks of agent a, which is made when there
// is none. A running host takes it up at once.
func ChangeTask(
	ctx context.Context, cfg *config.Config, a host.Agent, r wire.TaskRequest,
) (out []host.Task, err error) {
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s == nil {
			return fmt.Errorf("%w: nothing is kept in %s yet; start a host once", host.ErrNotFound, cfg.StateDir)
		}
		if err := s.EnsureAgent(ctx, a); err != nil {
			return err
		}
		out, err = (&schedule.Book{Store: s, Zone: cfg.Assistant.Timezone}).Do(ctx, a, "owner", r)
		return err
	})
	if err != nil {
		return nil, err
	}
	if c, dialErr := Dial(ctx, cfg.StateDir); dialErr == nil {
		err = c.Reload(ctx)
	}
	return out, err
}
