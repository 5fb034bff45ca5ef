package broker

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	maxDepth    = 4  // delegates of delegates
	maxTurnAsks = 64 // tasks that one turn may give
)

// Delegator runs a task as a turn of an agent of role, under that role's own grants, and returns
// its answer. place is the task's place in the turn of from: the same in a re-run. hold is what
// from does while the task's owner is asked something.
type Delegator func(
	ctx context.Context, from host.Scope, role host.RoleName, place, task string, hold Hold,
) (string, error)

// Hold stops a turn's clock and gives its place away until resume.
type Hold func() (resume func(context.Context) error)

// agent gives tasks to agents of the roles that the scope's role lists. The turn that asks lends
// its place meanwhile, so that no depth of delegation can run out of them.
func (b *Broker) agent(ctx context.Context, c *call, raw []byte) (any, error) {
	calls, err := agentCalls(raw)
	if err != nil {
		return nil, err
	}
	names, size := make([]string, len(calls)), 0
	for i, a := range calls {
		names[i], size = a.Role, size+len(a.Task)
		if !slices.Contains(c.scope.Role.Delegates, host.RoleName(a.Role)) {
			no := deny("the role may not give tasks to that role")
			no.grant = fmt.Sprintf("add the role to delegates in [roles.%s]", c.row.Role)
			return nil, no
		}
	}
	switch {
	case b.cfg.Delegate == nil:
		return nil, failed("agent here", host.ErrUnavailable)
	case c.scope.Depth >= maxDepth:
		return nil, deny("tasks are given %d roles deep and no deeper", maxDepth)
	case c.turn.tasks.Add(int64(len(calls))) > maxTurnAsks:
		return nil, &refusal{status: wire.StatusRateLimited, message: "the turn has given too many tasks"}
	}
	if err := b.allow(ctx, c, strings.Join(names, " "), "delegates of role "+string(c.row.Role), int64(size)); err != nil {
		return nil, err
	}
	hold := c.holdOnce()
	if c.scope.Lend != nil {
		back := c.scope.Lend()
		defer func() { _ = back(ctx) }() // without its place a turn is only slower to count
	}
	out, done := wire.AgentResponse{Results: make([]wire.AgentOutcome, len(calls))}, 0
	var wg sync.WaitGroup
	for i, a := range calls {
		place := c.row.Call + "." + fmt.Sprint(i)
		wg.Go(func() {
			text, err := b.cfg.Delegate(ctx, c.scope, host.RoleName(a.Role), place, a.Task, hold)
			out.Results[i] = agentOutcome(a.Role, text, err)
		})
	}
	wg.Wait()
	for _, r := range out.Results {
		if r.Outcome == wire.OutcomeOK {
			done++
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, failed("the task", context.Cause(ctx))
	}
	c.row.Reason = fmt.Sprintf("%d of %d tasks done", done, len(calls))
	return out, nil
}

// agentCalls reads one task or an array of them.
func agentCalls(raw []byte) (calls []wire.AgentCall, err error) {
	if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("[")) {
		err = decode(raw, &calls)
	} else {
		calls = make([]wire.AgentCall, 1)
		err = decode(raw, &calls[0])
	}
	if err == nil && (len(calls) == 0 || len(calls) > wire.MaxAgentCalls) {
		err = invalid("give from 1 to %d tasks at once", wire.MaxAgentCalls)
	}
	for _, a := range calls {
		if err == nil && (strings.TrimSpace(a.Task) == "" || len(a.Task) > wire.MaxTask) {
			err = invalid("a task has from 1 to %d bytes", wire.MaxTask)
		}
	}
	return calls, err
}

func agentOutcome(role, text string, err error) wire.AgentOutcome {
	out := wire.AgentOutcome{Role: role, Outcome: wire.OutcomeOK, Text: text}
	if err == nil {
		return out
	}
	no := failed("role "+role, err)
	out.Outcome, out.Text, out.Message = wire.OutcomeToolError, "", no.message
	switch no.status {
	case wire.StatusTimeout:
		out.Outcome = wire.OutcomeTimeout
	case wire.StatusDenied:
		out.Outcome = wire.OutcomeDenied
	}
	return out
}

// holdOnce is the turn's Hold for any number of tasks at once: the first one in stops it, the last one
// out lets it go on.
func (c *call) holdOnce() Hold {
	var mu sync.Mutex
	var resume func(context.Context) error
	n := 0
	return func() func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if n++; n == 1 && c.scope.Pause != nil {
			c.waits()
			resume = c.scope.Pause()
		}
		return func(ctx context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if n--; n > 0 || resume == nil {
				return nil
			}
			return resume(ctx)
		}
	}
}
