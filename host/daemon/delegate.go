package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// spareTime is what the turn that asked keeps for itself when its time runs out.
const spareTime = 5 * time.Second

// delegate is broker.Delegator: a turn of another role, in a container of its own, under that role's
// grants. It sees the task and nothing of the conversation, and its answer is data to whoever asked.
func (d *Daemon) delegate(
	ctx context.Context, from host.Scope, name host.RoleName, place, task string, hold broker.Hold,
) (string, error) {
	role := d.config().Roles[name]
	if role == nil {
		return "", fmt.Errorf("%w: there is no role %s", host.ErrNotFound, name)
	}
	a, release := d.delegateOf(from.Agent, name)
	defer release()
	id := delegatedID(from.Turn, place)
	if err := d.store.EnsureAgent(ctx, a); err != nil {
		return "", err
	}
	attempt, err := d.store.BeginDelegated(ctx, id, a.ID, from.Turn, task)
	if err != nil {
		return "", err
	}
	scope, err := d.scope(a, role, id)
	if err != nil {
		return "", errors.Join(err, d.store.EndDelegated(ctx, id, store.Failed, err.Error(), ""))
	}
	scope.Attempt, scope.Depth = attempt, from.Depth+1
	text, err := d.delegated(ctx, from, scope, task, hold)
	how, reason := store.Done, ""
	switch {
	case errors.Is(err, host.ErrStopped):
		how, reason = store.Stopped, err.Error()
	case err != nil:
		how, reason = store.Failed, err.Error()
	}
	return text, errors.Join(err, d.store.EndDelegated(context.WithoutCancel(ctx), id, how, reason, text))
}

func (d *Daemon) delegated(
	ctx context.Context, from, scope host.Scope, task string, hold broker.Hold,
) (string, error) {
	role := scope.Role
	defer d.forgetNotices(scope.Turn)
	busy := host.Event{Turn: from.Turn, Stage: host.StageTool, Name: string(role.Name)}
	from.Emit(busy)
	scope.Emit = func(e host.Event) { // what it writes is not the reply; that it works is news
		if e.Text == "" {
			from.Emit(busy)
		}
	}
	timeout := role.Limits.TurnTimeout
	if from.Left != nil {
		if timeout = min(timeout, from.Left()-spareTime); timeout <= 0 {
			return "", fmt.Errorf("%w: the turn that asked has no time left for it", host.ErrTimeout)
		}
	}
	said := wire.ChatMessage{
		Role: wire.RoleUser, Sender: string(from.Role.Name), Text: task, Time: time.Now().UTC().Format(time.RFC3339),
	}
	in := input(d.config(), scope, timeout)
	in.Messages = []wire.ChatMessage{said}
	reply, err := d.run(ctx, agent.Job{Scope: scope, Delegate: true, Hold: hold, Input: in})
	return reply.Text, err
}

// delegateOf is the agent of a role for the chat of from, and for tasks that are given while it is at
// work further ones, each with a workspace of its own: no two turns write one at once.
func (d *Daemon) delegateOf(from host.Agent, role host.RoleName) (a host.Agent, release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a = host.Agent{Role: role, Channel: from.Channel, Account: from.Account, Chat: from.Chat}
	for n := 1; ; n++ {
		chat := from.Chat
		if n > 1 {
			chat += host.ChatID(fmt.Sprintf("\x00%d", n)) // no channel has such a chat
		}
		if a.ID = host.NewAgentID(role, "delegate "+a.Channel, a.Account, chat); !d.working[a.ID] {
			break
		}
	}
	d.working[a.ID] = true
	return a, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.working, a.ID)
	}
}

// delegatedID is the same each time the turn above is run.
func delegatedID(parent host.TurnID, place string) host.TurnID {
	sum := sha256.Sum256([]byte(string(parent) + "\x00" + place))
	return host.TurnID(fmt.Sprintf("%s-%s", parent, hex.EncodeToString(sum[:4])))
}

// delegates are the roles that the brain of s may give tasks to.
func delegates(cfg *config.Config, s host.Scope) (out []wire.Delegate) {
	if s.Role.Exec != nil || !host.Grants(s.Role, &s.Skills[s.Brain].Manifest).Has(host.CapAgent) {
		return nil
	}
	for _, name := range s.Role.Delegates {
		if r := cfg.Roles[name]; r != nil {
			out = append(out, wire.Delegate{Role: string(name), Description: r.Description})
		}
	}
	return out
}
