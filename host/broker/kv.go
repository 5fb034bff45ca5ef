package broker

import (
	"context"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of what one skill keeps in one agent.
const (
	maxKey   = 256      // bytes
	maxValue = 64 << 10 // bytes
	maxKeys  = 1000
)

// kv serves the keys of one skill in one agent: both come from the scope, so no key names another's.
func (b *Broker) kv(ctx context.Context, c *call, raw []byte) (any, error) {
	var req wire.KVRequest
	if err := decode(raw, &req); err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains([]string{"get", "put", "delete", "list"}, req.Op):
		return nil, invalid("op is get, put, delete or list")
	case req.Key == "" && req.Op != "list" || strings.Contains(req.Key, "\x00"):
		return nil, invalid("the key is empty or holds a zero byte")
	case len(req.Key) > maxKey || len(req.Value) > maxValue:
		return nil, tooLarge("a key has at most %d bytes and a value %d", maxKey, maxValue)
	}
	if req.Op == "put" {
		if err := b.guard("what is to be kept", false, req.Key, req.Value); err != nil {
			return nil, err
		}
	}
	if err := b.allow(ctx, c, req.Key, req.Op, int64(len(req.Value))); err != nil {
		return nil, err
	}
	store, agent, out := b.cfg.KV, c.row.Agent, wire.KVResponse{}
	var err error
	switch req.Op {
	case "get":
		out.Value, err = store.KVGet(ctx, agent, c.row.Skill, req.Key)
	case "delete":
		err = store.KVDelete(ctx, agent, c.row.Skill, req.Key)
	case "list":
		if req.Limit <= 0 || req.Limit > maxKeys {
			req.Limit = maxKeys
		}
		out.Keys, err = store.KVList(ctx, agent, c.row.Skill, req.Key, req.Limit)
	case "put":
		var keys []string
		if keys, err = store.KVList(ctx, agent, c.row.Skill, "", maxKeys); err != nil {
			break
		}
		if len(keys) >= maxKeys && !slices.Contains(keys, req.Key) {
			return nil, tooLarge("a skill keeps at most %d keys", maxKeys)
		}
		err = store.KVPut(ctx, agent, c.row.Skill, req.Key, req.Value)
	}
	if err != nil {
		return nil, failed("the key", err)
	}
	c.row.Reason, c.row.Bytes = "done", int64(len(out.Value))
	return out, nil
}
