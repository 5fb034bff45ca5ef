package broker

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of what one call finds.
const (
	maxQuery   = 256  // bytes
	maxFound   = 50   // messages
	someFound  = 10   // unless the guest says
	maxSnippet = 2000 // bytes of each
	timeFormat = "2006-01-02T15:04:05.000Z07:00"
)

// History finds what was said; host/store does.
type History interface {
	Find(ctx context.Context, f host.Find) ([]host.Found, error)
}

// history serves what was said to and by one agent, which comes from the scope: no request names another.
func (b *Broker) history(ctx context.Context, c *call, raw []byte) (any, error) {
	var req wire.HistoryRequest
	if err := decode(raw, &req); err != nil {
		return nil, err
	}
	find := host.Find{
		Agent: c.row.Agent, Query: req.Query, Limit: min(cmp.Or(max(req.Limit, 0), someFound), maxFound),
	}
	if len(req.Query) > maxQuery {
		return nil, tooLarge("a query has at most %d bytes", maxQuery)
	}
	if req.Before != "" {
		at, err := time.Parse(time.RFC3339, req.Before)
		if err != nil {
			return nil, invalid("before is a time such as 2026-11-24T09:00:00Z")
		}
		find.Before = at
	}
	if err := b.allow(ctx, c, "-", "its own", int64(len(req.Query))); err != nil {
		return nil, err
	}
	found, err := b.cfg.History.Find(ctx, find)
	if err != nil {
		return nil, failed("the history", err)
	}
	out, hidden := wire.HistoryResponse{Messages: []wire.ChatMessage{}}, []string(nil)
	for _, m := range found {
		if names := b.cfg.Leaks().Find(true, m.Whole); len(names) > 0 {
			if hidden = append(hidden, names...); req.Query != "" {
				continue // or a secret could be found out, letter by letter
			}
			m.Text, _ = b.cfg.Leaks().Redact(m.Whole, true)
		}
		if len(m.Text) > maxSnippet {
			m.Text = strings.ToValidUTF8(m.Text[:maxSnippet], "") + "…"
		}
		c.row.Bytes += int64(len(m.Text))
		out.Messages = append(out.Messages, wire.ChatMessage{
			Role: m.Role, Sender: m.Sender, Text: m.Text, Time: m.Time.UTC().Format(timeFormat),
		})
	}
	c.row.Reason = "done" + redacted(hidden)
	return out, nil
}
