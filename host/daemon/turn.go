package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// maxTools is how many calls of tools a turn shows its owner.
const maxTools = 200

// turn is router.TurnFunc: it puts together everything a turn is made of and gives it to
// the agent's container. Nothing else reaches the container.
func (d *Daemon) turn(ctx context.Context, a host.Agent, t store.Turn, emit func(host.Event)) (string, error) {
	cfg := d.config()
	role := cfg.Roles[a.Role]
	if role == nil {
		return "", fmt.Errorf("%w: role %s is no longer in %s", host.ErrNotFound, a.Role, cfg.Path)
	}
	if t.Attempts == 1 {
		if err := d.store.Spend(ctx, role.Name, host.BudgetMessages, 1, role.Budget[host.BudgetMessages]); err != nil {
			return "", fmt.Errorf("%w: role %s has sent its messages for today; the day ends at 00:00 UTC", err, role.Name)
		}
	}
	if err := d.waitForPlugins(ctx, role, emit); err != nil {
		return "", err
	}
	scope, err := d.scope(a, role, t.ID)
	if err != nil {
		return "", err
	}
	scope.Emit, scope.Attempt = emit, t.Attempts
	defer d.forgetNotices(t.ID)
	messages, compact := withoutCompact(t.Messages)
	text := ""
	if len(messages) > 0 {
		if text, err = d.ask(ctx, cfg, scope, messages); err != nil {
			return "", err
		}
	}
	if compact {
		said, err := d.compact(ctx, scope)
		return strings.TrimSpace(text + "\n\n" + said), err
	}
	return text, nil
}

// ask has the agent answer messages.
func (d *Daemon) ask(
	ctx context.Context, cfg *config.Config, scope host.Scope, messages []host.Message,
) (string, error) {
	role, tools := scope.Role, publicTools(scope)
	history, hidden, err := d.window(ctx, scope.Agent, tools)
	if err != nil {
		return "", err
	}
	shared, err := d.shared(ctx, scope.Agent, role)
	if err != nil {
		return "", err
	}
	in := input(cfg, scope, role.Limits.TurnTimeout)
	in.History, in.Messages = history, chatMessages(messages)
	if err := d.showFiles(ctx, scope.Agent.ID, messages, &in); err != nil {
		return "", err
	}
	reply, err := d.run(ctx, agent.Job{Scope: scope, Shared: shared, Input: in, Files: attachedFiles(messages)})
	if hidden >= windowSpill && err == nil {
		d.spilled(scope)
	}
	return d.harmless(role.Name, reply.Text, d.lasting(ctx, scope, err))
}

// run runs a turn and keeps which tools it called, for its owner to see.
func (d *Daemon) run(ctx context.Context, j agent.Job) (agent.Reply, error) {
	var mu sync.Mutex // tools are called beside each other
	var tools []host.ToolRow
	emit := j.Scope.Emit
	j.Scope.Emit = func(e host.Event) {
		own := slices.ContainsFunc(j.Input.Tools, func(t wire.Tool) bool { return t.Name == e.Name })
		if mu.Lock(); own && e.Stage == host.StageTool && len(tools) < maxTools {
			tools = append(tools, host.ToolRow{Name: e.Name, At: time.Now()})
		}
		mu.Unlock()
		emit(e)
	}
	if err := d.program(ctx, &j); err != nil {
		return agent.Reply{}, err
	}
	reply, err := d.agents.Turn(ctx, j)
	mu.Lock()
	defer mu.Unlock()
	if len(tools) > 0 {
		if err := d.store.SetTools(context.WithoutCancel(ctx), j.Scope.Turn, tools); err != nil {
			d.log.Warn("tools of a turn not kept", "turn", j.Scope.Turn, "error", err)
		}
	}
	return reply, err
}

// program says which image and model the role's program has, where it has one.
func (d *Daemon) program(ctx context.Context, j *agent.Job) (err error) {
	e := j.Scope.Role.Exec
	if e == nil {
		return nil
	}
	m := d.config().Choices(j.Scope.Role)[0]
	if j.Model = m.Model; e.Preset == wire.PresetClaude && m.Provider == model.Offline {
		return host.Lasting(fmt.Errorf("%w: Claude Code needs a model of a provider, and the role's is offline; "+
			"see [providers] in %s", host.ErrUnavailable, d.config().Path))
	}
	if d.engine.Docker == nil {
		return host.Lasting(fmt.Errorf("%w: a program needs a container", host.ErrDenied))
	}
	j.Image, err = d.engine.Docker.Program(ctx, e.Image)
	return err
}

// input is what every turn of a scope begins with; what is said in it comes to that.
func input(cfg *config.Config, s host.Scope, timeout time.Duration) wire.Turn {
	return wire.Turn{
		Turn: string(s.Turn), System: system(cfg, s.Role), Tools: publicTools(s), Skills: skillTexts(s),
		Delegates: delegates(cfg, s), DeadlineMS: int(timeout / time.Millisecond),
	}
}

// lasting marks the failure of a turn whose skill agent gave up because of what a model was refused
// for: the journal knows that better than the sentence of the agent. No credit, no such model, a
// conversation that is too long and a budget that is used up do not pass within minutes.
func (d *Daemon) lasting(ctx context.Context, s host.Scope, err error) error {
	if !errors.Is(err, host.ErrUnavailable) {
		return err
	}
	calls, e := d.store.Calls(context.WithoutCancel(ctx), s.Turn)
	if e != nil || len(calls) == 0 {
		return err
	}
	lasts := []wire.Status{wire.StatusDenied, wire.StatusInvalid, wire.StatusNotFound, wire.StatusTooLarge}
	c := calls[len(calls)-1]
	budget := c.Status == wire.StatusRateLimited && !c.Acted // the role's own
	own := c.Capability == host.CapLLM && c.Attempt == s.Attempt && c.Skill == s.Brain
	if own && (budget || slices.Contains(lasts, c.Status)) {
		return host.Lasting(err)
	}
	return err
}

func (d *Daemon) forgetNotices(id host.TurnID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.notices, id)
}

// waitForPlugins waits until the role's skills were read once: compiling a new file takes seconds.
func (d *Daemon) waitForPlugins(ctx context.Context, role *host.Role, emit func(host.Event)) error {
	names := skillsOf(role)
	for told := false; ; told = true {
		settled, changed := d.skills.Settled(names)
		if settled {
			return nil
		}
		if !told {
			emit(host.Event{Stage: host.StageQueued, Name: "until new plugins are compiled"})
		}
		select {
		case <-changed:
		case <-d.ready: // plugins/ cannot be read
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// scope is what the agent may use in this turn: the role's skills that are admitted now and
// whose required capabilities the role grants.
func (d *Daemon) scope(a host.Agent, role *host.Role, turn host.TurnID) (host.Scope, error) {
	s := host.Scope{Turn: turn, Agent: a, Role: role, Brain: role.Brain, Skills: make(map[host.SkillName]*host.Skill)}
	for _, name := range skillsOf(role) {
		k, err := d.usable(role, name)
		if err == nil {
			s.Skills[name] = k
			continue
		}
		if name == role.Brain {
			return s, fmt.Errorf("skill %s of role %s: %w", name, role.Name, err)
		}
		d.log.Warn("skill left out of a turn", "role", role.Name, "skill", name, "reason", err)
	}
	if b := s.Skills[role.Brain]; role.Brain != "" && b.Manifest.Kind != host.KindAgent {
		return s, fmt.Errorf("%w: skill %s of role %s is not a skill agent", host.ErrInvalid, role.Brain, role.Name)
	}
	return s, nil
}

// usable is a skill that was admitted and gets from role what it cannot do without.
func (d *Daemon) usable(role *host.Role, name host.SkillName) (*host.Skill, error) {
	k, err := d.skills.Get(name)
	if err == nil {
		if miss := host.Grants(role, &k.Manifest).Missing; len(miss) > 0 {
			err = fmt.Errorf("%w: it needs %v, which role %s does not grant", host.ErrDenied, miss, role.Name)
		}
	}
	return k, err
}

// skillsOf are a role's skills and its brain, if a skill is that.
func skillsOf(role *host.Role) []host.SkillName {
	if role.Brain == "" {
		return role.Skills
	}
	return append([]host.SkillName{role.Brain}, role.Skills...)
}

// publicTools lists the tools of a scope under the names models and users know, in the
// order of the role's list.
func publicTools(s host.Scope) []wire.Tool {
	var out []wire.Tool
	for _, name := range s.Role.Skills {
		k := s.Skills[name]
		if k == nil {
			continue
		}
		for _, t := range k.Manifest.Tools {
			t.Name = wire.PublicName(string(name), t.Name)
			t.OutputSchema = nil // models have no use for it
			out = append(out, t)
		}
	}
	return out
}

// skillTexts are the instructions that come with the role's skills.
func skillTexts(s host.Scope) (out []wire.SkillText) {
	for _, name := range s.Role.Skills {
		if k := s.Skills[name]; k != nil && k.Text != "" {
			out = append(out, wire.SkillText{Name: string(name), Description: k.Manifest.Description, Text: k.Text})
		}
	}
	return out
}

func chatMessages(ms []host.Message) []wire.ChatMessage {
	out := make([]wire.ChatMessage, len(ms))
	for i, m := range ms {
		out[i] = wire.ChatMessage{
			Role: wire.RoleUser, Sender: m.SenderName, Text: m.Text, Time: m.Time.UTC().Format(time.RFC3339),
		}
	}
	return out
}

func system(cfg *config.Config, role *host.Role) string {
	return fmt.Sprintf("You are %s, the %s agent of a personal assistant. The owner's time zone is %s.\n\n%s",
		cfg.Assistant.Name, role.Name, cfg.Assistant.Timezone, strings.TrimSpace(role.Prompt))
}

// help answers /help.
func (d *Daemon) help(name host.RoleName) string {
	var b strings.Builder
	b.WriteString("/help shows this, /stop ends the answer that is being worked on, /usage what your roles used.\n" +
		"/new begins a new conversation, /compact sums up the older part of this one.\n" +
		"/skills shows the plugins, /roles the roles.\n" +
		"/allow, /always and /deny with a number answer what an agent asks you.\n" +
		"/TOOL and what it takes, as plain text or as {JSON}, uses one tool.\n")
	role := d.config().Roles[name]
	select {
	case <-d.ready:
	default:
		role = nil
	}
	if role == nil {
		return b.String() + "The plugins are still being read."
	}
	s, err := d.scope(host.Agent{Role: name}, role, "")
	if err != nil {
		return b.String() + err.Error() + "."
	}
	fmt.Fprintf(&b, "Role %s can use:", name)
	for _, t := range publicTools(s) {
		fmt.Fprintf(&b, "\n  /%s  %s", t.Name, t.Description)
		if len(t.Examples) > 0 {
			fmt.Fprintf(&b, " (%q)", t.Examples[0])
		}
	}
	return b.String()
}

func (d *Daemon) serveStatus(w http.ResponseWriter, r *http.Request) {
	c, err := d.store.Counts(r.Context())
	budgets, err1 := d.budgets(r.Context())
	pending, err2 := d.store.Pending(r.Context())
	if err := errors.Join(err, err1, err2); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	st := d.agents.Stats()
	s := Status{
		Version: d.opt.Version, PID: os.Getpid(), Config: d.config().Path, State: d.config().StateDir, Started: d.started,
		Runtime: d.config().Engine.Runtime, Isolated: d.engine.Isolated(), Engine: d.engineState(r.Context()),
		Agents: c.Agents, Working: d.router.Busy(), Containers: st.Running + st.Spares, Spares: st.Spares,
		Messages: c.Messages, Waiting: c.Waiting, Turns: c.Turns, Failed: c.Failed, Outbox: c.Queued, Unknown: c.Unknown,
		Channels: d.channels(), Budgets: budgets, Pending: pending,
	}
	for name, r := range d.config().Roles {
		if r.Exec != nil && r.Exec.Keep {
			s.Kept = append(s.Kept, string(name))
		}
	}
	slices.Sort(s.Kept)
	for _, k := range d.skills.List() {
		s.Skills = append(s.Skills, SkillRow{File: k.File, Name: string(k.Name), State: string(k.State), Why: k.Why})
	}
	writeJSON(w, s)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked is gone, or not
}

// engineState says "ok" or why agents cannot start now.
func (d *Daemon) engineState(ctx context.Context) string {
	if d.engine.Docker == nil {
		return "ok (no containers)"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := d.engine.Docker.Ping(ctx); err != nil {
		return err.Error()
	}
	return "ok"
}
