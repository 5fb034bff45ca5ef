package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// CallGrants is what `skill call --grant` gives, and nothing besides.
type CallGrants struct {
	HTTP      []host.HTTPGrant
	PublicWeb bool
	LLM, KV   bool
	History   bool           // an empty one
	FS        []wire.Preopen // Guest below "/workspace"; Path unset
}

// ParseGrants reads --grant values: http=GET https://api.example.com/v1/, public_web,
// fs=ro:PATH, fs=rw:PATH (below the workspace), llm, kv, history.
func ParseGrants(values []string) (g CallGrants, err error) {
	for _, v := range values {
		kind, rest, has := strings.Cut(v, "=")
		var e error
		switch {
		case kind == "http" && has:
			var h host.HTTPGrant
			h, e = broker.ParseHTTPGrant(rest)
			g.HTTP = append(g.HTTP, h)
		case kind == "fs" && has:
			var p wire.Preopen
			p, e = parseFS(rest)
			g.FS = append(g.FS, p)
		case v == "public_web":
			g.PublicWeb = true
		case v == "llm":
			g.LLM = true
		case v == "kv":
			g.KV = true
		case v == "history":
			g.History = true
		default:
			e = errors.New("grants are http=…, public_web, fs=ro:PATH, fs=rw:PATH, llm, kv and history")
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%w: --grant %q: %w", host.ErrInvalid, v, e))
		}
	}
	return g, err
}

func parseFS(s string) (p wire.Preopen, err error) {
	mode, dir, ok := strings.Cut(s, ":")
	if !ok || mode != "ro" && mode != "rw" {
		return p, errors.New(`write fs=ro:PATH or fs=rw:PATH; "." is the whole workspace`)
	}
	if dir = strings.TrimSuffix(dir, "/"); dir == "" {
		dir = "."
	}
	if err := host.CheckWorkspacePath(dir); err != nil {
		return p, err
	}
	return wire.Preopen{Guest: path.Join("/workspace", dir), ReadOnly: mode == "ro"}, nil
}

// Call is one tool call, or one turn of a skill agent: then Tool is "turn" and Arguments are
// a wire.Turn.
type Call struct {
	Tool      string // the skill's own name for it, or the public one
	Arguments []byte
	Turn      host.TurnID // what the skill learns as its turn; "" = a new one
	Grants    CallGrants
	Workspace string       // "" = a new empty directory that is removed afterwards
	Notice    func(string) // told what was refused and how to grant it
	// Broker changes what the call's broker works with, to record and replay what it is answered; may be nil.
	Broker func(*broker.Config)
}

// Calls calls one admitted file on one engine. It needs no running host and shares nothing
// with one but compiled plugins. It is safe for concurrent use.
type Calls struct {
	cfg    *config.Config
	log    hclog.Logger
	vault  *secret.Vault
	engine *Engine
	skill  *host.Skill
}

// OpenCalls admits the file at path.
func OpenCalls(
	ctx context.Context, cfg *config.Config, log hclog.Logger, vault *secret.Vault, path string,
) (*Calls, error) {
	file, err := skill.Read(path)
	if err != nil {
		return nil, err
	}
	engine, err := OpenEngine(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	reg := skill.NewRegistry(skill.Config{
		Dir: cfg.SkillsDir, State: cfg.StateDir, Admit: engine.Admitter(log.Named("admit")), Log: log.Named("skill"),
	})
	k, err := reg.AdmitFile(ctx, file)
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return &Calls{cfg, log, vault, engine, k}, nil
}

// Close releases the engine. No call may be running.
func (s *Calls) Close() error { return s.engine.Close() }

// Call runs c in an agent container of its own under exactly its grants. Secrets of the host are
// taken out of what it says.
func (s *Calls) Call(ctx context.Context, c Call) (wire.ToolOutcome, error) {
	out, err := s.call(ctx, c)
	redact(s.vault.Matcher(), false, &out)
	return out, err
}

func (s *Calls) call(ctx context.Context, c Call) (out wire.ToolOutcome, err error) {
	tmp, err := os.MkdirTemp("", "nanoclaw-call-")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(tmp)
	m, done, err := s.manager(ctx, c, tmp)
	if err != nil {
		return out, err
	}
	defer done()
	job, err := callJob(c, s.skill, tmp)
	if err != nil {
		return out, err
	}
	if s.skill.Manifest.Kind == host.KindAgent && c.Tool == "turn" {
		if err := wire.Unmarshal(c.Arguments, &job.Input); err != nil {
			return out, fmt.Errorf("%w: the arguments are not a turn: %w", host.ErrInvalid, err)
		}
		job.Input.Turn = string(job.Scope.Turn)
		reply, err := m.Turn(ctx, job)
		return wire.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult(reply.Text)}, err
	}
	name, err := publicTool(s.skill, c.Tool)
	if err != nil {
		return out, err
	}
	return m.Call(ctx, job, wire.ToolCall{Name: name, Arguments: c.Arguments, Turn: string(job.Scope.Turn)})
}

// manager builds a broker and an agent manager on a store that lives in tmp.
func (s *Calls) manager(ctx context.Context, c Call, tmp string) (*agent.Manager, func(), error) {
	st, err := store.Open(ctx, filepath.Join(tmp, "call.db"))
	if err != nil {
		return nil, nil, err
	}
	rows, err := audit.Open(AuditDir(s.cfg.StateDir, true), nil)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	b := newBroker(s.cfg, s.vault, broker.Config{
		Audit: rows, KV: st, History: st, Budgets: st, Log: s.log.Named("broker"),
		Notice: func(_ host.Scope, what string) { c.Notice(what) },
	}, c.Broker)
	m := agent.New(agent.Config{
		Engine: s.engine.Engine, Image: s.engine.Image, Handler: b.Handler, Workspaces: filepath.Join(tmp, "workspaces"),
		MaxAgents: 1, MaxDelegates: 1, Timezone: s.cfg.Assistant.Timezone, Log: s.log.Named("agent"),
	})
	return m, func() {
		m.Close(context.WithoutCancel(ctx))
		if err := errors.Join(st.Close(), rows.Close()); err != nil {
			s.log.Warn("skill call", "error", err)
		}
	}, nil
}

// callJob is a role made of the command line alone.
func callJob(c Call, k *host.Skill, tmp string) (agent.Job, error) {
	name := k.Manifest.Name
	role := &host.Role{
		Name: "skill-call", Skills: []host.SkillName{name}, HTTP: c.Grants.HTTP, PublicWeb: c.Grants.PublicWeb,
		Limits: config.DefaultLimits(),
	}
	brain := host.SkillName("")
	if k.Manifest.Kind == host.KindAgent { // its tools are the other skills of its role: none
		brain, role.Skills = name, nil
	}
	for cap, given := range map[host.Capability]bool{
		host.CapTool: brain != "",
		host.CapFS:   len(c.Grants.FS) > 0, host.CapLLM: c.Grants.LLM, host.CapKV: c.Grants.KV,
		host.CapHistory: c.Grants.History,
	} {
		if !given {
			role.Withhold = append(role.Withhold, cap)
		}
	}
	if missing := host.Grants(role, &k.Manifest).Missing; len(missing) > 0 {
		return agent.Job{}, fmt.Errorf("%w: skill %s needs %v; grant it with --grant", host.ErrDenied, name, missing)
	}
	ws := c.Workspace
	if ws == "" {
		ws = filepath.Join(tmp, "workspace")
		if err := os.Mkdir(ws, 0o700); err != nil {
			return agent.Job{}, err
		}
	}
	ws, err := filepath.Abs(ws)
	if err != nil {
		return agent.Job{}, err
	}
	if st, err := os.Stat(ws); err != nil || !st.IsDir() {
		return agent.Job{}, fmt.Errorf("%w: --workspace %s is not a directory", host.ErrInvalid, c.Workspace)
	}
	return agent.Job{
		Scope: host.Scope{
			Turn: cmp.Or(c.Turn, host.NewTurnID()), Role: role, Brain: brain, Skills: map[host.SkillName]*host.Skill{name: k},
			Agent: host.Agent{ID: host.NewAgentID(role.Name, "cli", "", host.ChatID(name)), Role: role.Name},
			Emit:  func(host.Event) {},
		},
		Workspace: ws,
		FS:        map[host.SkillName][]wire.Preopen{name: narrow(c.Grants.FS, &k.Manifest)},
	}, nil
}

// narrow is grants ∩ what the manifest asks for: the deeper directory, the stricter mode.
func narrow(grants []wire.Preopen, m *host.Manifest) []wire.Preopen {
	need, ok := m.Need(host.CapFS)
	if !ok {
		return nil
	}
	want := path.Join("/workspace", need.Path)
	var out []wire.Preopen
	for _, g := range grants {
		switch {
		case within(g.Guest, want):
		case within(want, g.Guest):
			g.Guest = want
		default:
			continue
		}
		g.ReadOnly = g.ReadOnly || need.Mode == "ro"
		out = append(out, g)
	}
	return out
}

// within reports whether p is dir or below it. Both are clean.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// publicTool finds the tool that the user means.
func publicTool(k *host.Skill, tool string) (string, error) {
	name := string(k.Manifest.Name)
	var have []string
	for _, t := range k.Manifest.Tools {
		public := wire.PublicName(name, t.Name)
		if tool == t.Name || tool == public {
			return public, nil
		}
		have = append(have, t.Name)
	}
	slices.Sort(have)
	return "", fmt.Errorf("%w: skill %s has no tool %q; it has %s", host.ErrNotFound, name, tool, strings.Join(have, ", "))
}
