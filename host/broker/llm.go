package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// llm asks a model of the role. The text streams to the channel only when the role's brain
// asks: what other skills ask the model is not the reply.
func (b *Broker) llm(ctx context.Context, c *call, raw []byte) (any, error) {
	var req wire.LLMRequest
	raw, hidden, err := b.redactJSON(raw)
	if err != nil {
		return nil, err
	}
	if err := decode(raw, &req); err != nil {
		return nil, err
	}
	role := c.scope.Role
	model, err := b.cfg.Models(role, req.Model)
	if err != nil {
		return nil, failed("the model", err)
	}
	name := req.Model // known to Models, so not the guest's invention
	if name == "" {
		name = "default"
	}
	if err := b.spend(ctx, role, host.BudgetRequests, 1); err != nil {
		return nil, err
	}
	files, bytes, err := b.show(ctx, c, &req)
	if err != nil {
		return nil, err
	}
	settle, err := b.reserve(ctx, role, &req, len(raw)+files*fileTokens*bytesPerToken)
	if err != nil {
		return nil, err
	}
	used := int64(0)
	defer func() { settle(used) }()
	if err := b.allow(ctx, c, name, "llm of role "+string(role.Name)+hidden, int64(len(raw))+bytes); err != nil {
		return nil, err
	}
	event := host.Event{Turn: c.row.Turn, Stage: host.StageModel}
	c.scope.Emit(event)
	partial := b.cfg.Leaks().Stream(func(text string) {
		if c.row.Skill == c.scope.Brain {
			event.Text = text
			c.scope.Emit(event)
		}
	})
	resp, err := model.Complete(ctx, req, partial.Write)
	partial.Close()
	if resp == nil {
		if err == nil {
			err = errors.New("neither an answer nor an error")
		}
		return nil, failed("the model", err)
	}
	in, out := resp.Usage.InputTokens, resp.Usage.OutputTokens
	c.entry.TokensIn, c.entry.TokensOut = in, out
	c.row.Reason = fmt.Sprintf("%d tokens in, %d out", in, out)
	used = in + out
	if err != nil {
		return nil, failed("the model", err)
	}
	answer, err := encode(resp) // what a model says of a secret reaches neither the skill nor the journal
	if err != nil {
		return nil, err
	}
	answer, hidden, err = b.redactJSON(answer)
	c.row.Reason += hidden
	return json.RawMessage(answer), err
}
