package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Tasks makes and changes the tasks of one agent; host/schedule does. It bounds their number and
// size, and its errors are sentences for whoever asks. author is who that is.
type Tasks interface {
	Call(ctx context.Context, a host.Agent, author string, r wire.TaskRequest) (wire.TaskResponse, error)
}

var taskOps = []string{"create", "list", "update", "pause", "resume", "cancel", "run"}

// task serves the tasks of the agent at the other end of the connection: a request has no field
// that could name another.
func (b *Broker) task(ctx context.Context, c *call, raw []byte) (any, error) {
	var req wire.TaskRequest
	if err := decode(raw, &req); err != nil {
		return nil, err
	}
	switch {
	case b.cfg.Tasks == nil:
		return nil, failed("tasks here", host.ErrUnavailable)
	case !slices.Contains(taskOps, req.Op):
		return nil, invalid("op is one of %s", strings.Join(taskOps, ", "))
	case strings.Contains(req.Prompt+req.Schedule+req.Timezone, "\x00"):
		return nil, invalid("the task holds a zero byte")
	case req.Gate != nil && req.Gate.Tool != "" && !c.hasTool(req.Gate.Tool):
		return nil, invalid("the gate must be a tool of this agent, by the name you know it by")
	}
	target := "new"
	if req.ID != 0 {
		target = fmt.Sprint("task ", req.ID)
	} else if req.Op == "list" {
		target = "all"
	}
	if err := b.allow(ctx, c, target, req.Op, int64(len(req.Prompt))); err != nil {
		return nil, err
	}
	out, err := b.cfg.Tasks.Call(ctx, c.scope.Agent, "skill "+string(c.row.Skill), req)
	if err != nil {
		no := failed("the task", err)
		for _, kind := range []error{host.ErrInvalid, host.ErrNotFound, host.ErrLimit, host.ErrBusy} {
			if rest, ok := strings.CutPrefix(err.Error(), kind.Error()+": "); ok && errors.Is(err, kind) {
				no.message = rest
			}
		}
		return nil, no
	}
	if c.row.Reason = "done"; req.Op == "create" {
		c.row.Reason = fmt.Sprint("task ", out.Tasks[0].ID)
	}
	return out, nil
}

// hasTool reports whether a skill of the role has a tool of that public name.
func (c *call) hasTool(public string) bool {
	for _, name := range c.scope.Role.Skills {
		if k := c.scope.Skills[name]; k != nil {
			for _, t := range k.Manifest.Tools {
				if wire.PublicName(string(name), t.Name) == public {
					return true
				}
			}
		}
	}
	return false
}
