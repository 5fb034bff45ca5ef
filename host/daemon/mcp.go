package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Tools that somebody outside calls, by `nanoclaw mcp`. A role has one agent for all of them: no chat,
// but a workspace and keys that last. A call is what a call in a turn is, with the same broker, grants,
// budgets, rows and owner to ask; what needs a chat or other agents is not there.

// Offer answers GET /v1/roles/{role}/tools.
type Offer struct {
	Tools     []wire.Tool `json:"tools"`
	LeftOut   []string    `json:"left_out"` // skills of the role, and why
	Workspace string      `json:"workspace"`
}

// outside is the scope of one call from outside, and what of the role is not in it.
func (d *Daemon) outside(ctx context.Context, name host.RoleName) (host.Scope, []string, error) {
	cfg := d.config()
	role := cfg.Roles[name]
	if role == nil {
		return host.Scope{}, nil, fmt.Errorf("%w: role %s is no longer in %s", host.ErrNotFound, name, cfg.Path)
	}
	if err := d.waitForPlugins(ctx, role, func(host.Event) {}); err != nil {
		return host.Scope{}, nil, err
	}
	bare := *role
	bare.Brain, bare.Exec, bare.Delegates, bare.Tasks, bare.Skills = "", nil, nil, false, nil
	var left []string
	for _, k := range role.Skills {
		_, err := d.usable(role, k)
		if err == nil {
			if _, err = d.usable(&bare, k); err != nil {
				err = errors.New("tasks and other agents are for chats alone")
			}
		}
		if err != nil {
			left = append(left, fmt.Sprintf("%s: %v", k, err))
			continue
		}
		bare.Skills = append(bare.Skills, k)
	}
	a := host.Agent{Role: name, Channel: "mcp", Chat: "mcp"}
	a.ID = host.NewAgentID(name, a.Channel, a.Account, a.Chat)
	s, err := d.scope(a, &bare, host.NewTurnID())
	s.Depth, s.Emit = 1, func(host.Event) {} // nobody's first turn: there is no chat to send to
	if err == nil && len(publicTools(s)) == 0 {
		err = fmt.Errorf("%w: role %s has no tools here (%s)", host.ErrDenied, name, strings.Join(left, "; "))
	}
	return s, left, err
}

// callTool makes one call. Calls of one agent come one after the other, as its turns would: they share
// its workspace.
func (d *Daemon) callTool(ctx context.Context, name host.RoleName, c wire.ToolCall) (out wire.ToolOutcome, err error) {
	s, _, err := d.outside(ctx, name)
	if err != nil {
		return out, err
	}
	d.mu.Lock()
	turns := d.outsiders[s.Agent.ID]
	if turns == nil {
		turns = make(chan struct{}, 1)
		d.outsiders[s.Agent.ID] = turns
	}
	d.mu.Unlock()
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return out, fmt.Errorf("%w before the call began", host.ErrStopped)
	}
	if err := d.store.EnsureAgent(ctx, s.Agent); err != nil {
		return out, err
	}
	defer d.forgetNotices(s.Turn)
	began := time.Now()
	c.Turn = string(s.Turn)
	out, err = d.agents.Call(ctx, agent.Job{Scope: s}, c)
	d.log.Info("tool called from outside", "role", name, "tool", c.Name, "turn", s.Turn, "outcome", out.Outcome,
		"took", time.Since(began).Round(time.Millisecond), "error", err)
	return out, err
}

func (d *Daemon) serveOffer(w http.ResponseWriter, r *http.Request) {
	s, left, err := d.outside(r.Context(), host.RoleName(r.PathValue("role")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, Offer{publicTools(s), left, filepath.Join(workspaces(d.config()), string(s.Agent.ID))})
}

func (d *Daemon) serveCall(w http.ResponseWriter, r *http.Request) {
	var c wire.ToolCall
	if err := wire.Decode(r.Body, wire.MaxToolArgs+64<<10, &c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out, err := d.callTool(r.Context(), host.RoleName(r.PathValue("role")), c)
	if err != nil {
		out = wire.ToolOutcome{Outcome: wire.OutcomeInvalid, Message: err.Error()}
	}
	// It goes to a model that is not the host's: whatever looks like a key is left out too.
	if found := redact(d.opt.Vault.Matcher(), true, &out); len(found) > 0 {
		d.log.Warn("left out of a tool's answer", "tool", c.Name, "secrets", found)
	}
	writeJSON(w, out)
}

// redact takes secrets out of what a tool says.
func redact(m *secret.Matcher, shapes bool, out *wire.ToolOutcome) (found []string) {
	out.Message, found = m.Redact(out.Message, shapes)
	for i := range out.Result.Content {
		c, more := &out.Result.Content[i], []string(nil)
		c.Text, more = m.Redact(c.Text, shapes)
		found = append(found, more...)
	}
	if _, more := m.Redact(string(out.Result.StructuredContent), shapes); len(more) > 0 {
		found, out.Result.StructuredContent = append(found, more...), nil // the text says the same
	}
	return found
}

// Offer asks which tools a role has for somebody outside.
func (c *Client) Offer(ctx context.Context, role host.RoleName) (o Offer, err error) {
	err = c.ask(ctx, http.MethodGet, "/v1/roles/"+url.PathEscape(string(role))+"/tools", nil, &o)
	return o, err
}

// Call calls one of them, until ctx ends.
func (c *Client) Call(ctx context.Context, role host.RoleName, call wire.ToolCall) (out wire.ToolOutcome, err error) {
	b, err := json.Marshal(call)
	if err != nil {
		return out, err
	}
	err = c.ask(ctx, http.MethodPost, "/v1/roles/"+url.PathEscape(string(role))+"/tools", b, &out)
	return out, err
}
