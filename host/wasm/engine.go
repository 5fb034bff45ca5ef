package wasm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

const (
	workspaceDir = "/workspace"
	turnTool     = "turn" // what a skill agent is called with
	defaultCall  = 30 * time.Second
	defaultTurn  = 10 * time.Minute
	grace        = 2 * time.Second // for a guest to notice that its time is up
	defaultMem   = 512 << 20
	defaultCode  = 256 << 20
)

// Broker makes one capability call on the host: the calling skill, the call's place in
// the turn, the capability and the guest's JSON. An error means that there is no answer.
type Broker func(ctx context.Context, skill, path, capability string, body []byte) (wire.Status, []byte, error)

// Config of an Engine.
type Config struct {
	Broker Broker
	Log    hclog.Logger
	Memory int64 // bytes of linear memory of all instances together; 0 = 512 MiB
	Code   int64 // bytes that loaded skills may take besides, estimated; 0 = 256 MiB
}

// Engine runs the skills of one agent. It is safe for concurrent use.
type Engine struct {
	broker Broker
	log    hclog.Logger
	memory *allocator
	code   int64
	quota  *quota
	set    wire.Load
	tools  map[string]toolRef // by public name

	loading sync.Mutex // one skill at a time: compiling takes memory
	mu      sync.Mutex // what is below, and the bookkeeping of skills
	skills  map[string]*skill
	clock   uint64

	preparing sync.WaitGroup // instances in the background
	quiet     time.Duration  // see quiet; 0 in benchmarks, which measure the call alone
}

// toolRef is a tool and its skill.
type toolRef struct {
	skill *skill
	tool  string
}

// New makes an engine that knows no skill yet.
func New(c Config) *Engine {
	e := &Engine{broker: c.Broker, log: c.Log.Named("wasm"), code: c.Code, quota: &quota{}, quiet: quiet}
	if e.code <= 0 {
		e.code = defaultCode
	}
	e.memory = &allocator{max: c.Memory}
	if c.Memory <= 0 {
		e.memory.max = defaultMem
	}
	return e
}

// ErrLoaded says that Load was called twice: a container serves one agent.
var ErrLoaded = errors.New("skills are loaded already")

// Load takes the agent's skills and loads the brain and the warm ones.
func (e *Engine) Load(ctx context.Context, set wire.Load) (wire.Loaded, error) {
	e.mu.Lock()
	if e.skills != nil {
		e.mu.Unlock()
		return wire.Loaded{}, ErrLoaded
	}
	e.set, e.skills, e.tools = set, map[string]*skill{}, map[string]toolRef{}
	e.quota.limit = set.Quota
	for _, spec := range set.Skills {
		s := &skill{engine: e, spec: spec}
		e.skills[spec.Name] = s
		for _, t := range spec.Tools {
			if spec.Name == set.Brain && t.Name == turnTool {
				continue // a turn is no tool
			}
			name := wire.PublicName(spec.Name, t.Name)
			if _, taken := e.tools[name]; taken {
				e.log.Warn("two tools have one name, the first is used", "tool", name)
				continue
			}
			e.tools[name] = toolRef{s, t.Name}
		}
		for _, p := range spec.Preopens {
			if root, _ := mountOf(p); p.Guest == workspaceDir || root != p.Path {
				e.quota.workspace = root
			}
		}
	}
	e.mu.Unlock()
	out := wire.Loaded{Skills: len(set.Skills), Warm: []string{}}
	for _, name := range append([]string{set.Brain}, set.Warm...) {
		s := e.skills[name]
		if s == nil || slices.Contains(out.Warm, name) {
			continue
		}
		if _, err := s.use(ctx); err != nil {
			out.Refused = append(out.Refused, err.Error())
			continue
		}
		e.release(s)
		out.Warm = append(out.Warm, name)
	}
	debug.FreeOSMemory() // decoding left more garbage than an idle runner should hold
	return out, nil
}

// Skills is how many skills Load named.
func (e *Engine) Skills() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.skills)
}

// use returns the loaded skill, loading it first where needed. Call release after.
func (s *skill) use(ctx context.Context) (*loaded, error) {
	if l, err := s.engine.hold(s); l != nil || err != nil {
		return l, err
	}
	s.engine.loading.Lock()
	defer s.engine.loading.Unlock()
	s.engine.release(s)
	if l, err := s.engine.hold(s); l != nil || err != nil { // somebody else was first
		return l, err
	}
	l, err := s.load(context.WithoutCancel(ctx)) // for all calls, so not within the time of one
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if err != nil {
		s.users--
		err = fmt.Errorf("skill %s: %w", s.spec.Name, err)
		s.engine.log.Error("skill refused", "error", err)
		s.refused = err
		return nil, err
	}
	s.loaded = l
	s.engine.unload()
	return l, nil
}

// hold counts a user of s, so that it stays loaded; nil when it is not loaded.
func (e *Engine) hold(s *skill) (*loaded, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.refused != nil {
		return nil, s.refused
	}
	e.clock++
	s.used = e.clock
	s.users++
	return s.loaded, nil
}

func (e *Engine) release(s *skill) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.users--
}

// unload closes the skills used least recently until the code fits. Call it locked. The
// brain and what is in use stay.
func (e *Engine) unload() {
	for e.loadedCode() > e.code {
		var oldest *skill
		for _, s := range e.skills {
			if s.loaded != nil && s.users == 0 && s.spec.Name != e.set.Brain && (oldest == nil || s.used < oldest.used) {
				oldest = s
			}
		}
		if oldest == nil {
			return
		}
		e.log.Debug("unloading", "skill", oldest.spec.Name)
		oldest.loaded.close()
		oldest.loaded = nil
		go debug.FreeOSMemory() // native code is unmapped by a finalizer
	}
}

func (e *Engine) loadedCode() (sum int64) {
	for _, s := range e.skills {
		if s.loaded != nil {
			sum += s.loaded.cost
		}
	}
	return sum
}

// room makes room for n bytes of memory, if need be by closing instances made ready.
func (e *Engine) room(n int64) bool {
	if e.memory.fits(n) {
		return true
	}
	e.mu.Lock()
	var idle []*loaded
	for _, s := range e.skills {
		if s.loaded != nil {
			idle = append(idle, s.loaded)
		}
	}
	e.mu.Unlock()
	for _, l := range idle {
		l.drop()
	}
	return e.memory.fits(n)
}

// turn is what is shared by everything that happens in one turn.
type turn struct {
	id   string
	emit func(wire.Event)
	mu   sync.Mutex
	used map[string]bool // skills called
}

func (t *turn) use(skill string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used[skill] = true
}

// Turn runs one turn with the brain and returns its last event, a reply or an error.
// emit gets progress events, one at a time.
func (e *Engine) Turn(ctx context.Context, in wire.Turn, emit func(wire.Event)) wire.Event {
	t := &turn{id: in.Turn, emit: emit, used: map[string]bool{}}
	limit := time.Duration(in.DeadlineMS) * time.Millisecond
	if limit <= 0 {
		limit = defaultTurn
	}
	ctx, cancel := pause.WithTimeout(ctx, limit, errTimeout)
	defer cancel()
	e.mu.Lock()
	brain := e.skills[e.set.Brain]
	e.mu.Unlock()
	if brain == nil {
		return errorEvent(failed(wire.OutcomeNotFound, "this agent has no brain: it can only be asked for tools"))
	}
	args, err := jsonOf(in)
	if err != nil {
		return errorEvent(failed(wire.OutcomeInvalid, "the turn cannot be encoded"))
	}
	e.quota.recount()
	out := bounded(ctx, func() wire.ToolOutcome {
		return e.run(ctx, toolRef{brain, turnTool}, args, callSpec{turn: t})
	})
	if out.Outcome != wire.OutcomeOK {
		return errorEvent(out)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return wire.Event{
		Type: wire.EventReply, Text: cut(out.Result.Text(), wire.MaxReply), Used: slices.Sorted(maps.Keys(t.used)),
	}
}

func errorEvent(out wire.ToolOutcome) wire.Event {
	return wire.Event{Type: wire.EventError, Outcome: out.Outcome, Message: out.Message}
}

// Tool makes one tool call from outside of a turn.
func (e *Engine) Tool(ctx context.Context, c wire.ToolCall) wire.ToolOutcome {
	return e.outer(c.Turn).Tool(ctx, "", c)
}

// Outer is a turn that no brain answers, but something that calls tools from outside.
type Outer struct {
	e *Engine
	t *turn
}

// Begin begins one.
func (e *Engine) Begin(id string) *Outer {
	e.quota.recount()
	return e.outer(id)
}

func (e *Engine) outer(id string) *Outer {
	return &Outer{e, &turn{id: id, emit: func(wire.Event) {}, used: map[string]bool{}}}
}

// Tool makes a call at a place of the turn.
func (o *Outer) Tool(ctx context.Context, place string, c wire.ToolCall) wire.ToolOutcome {
	return o.e.tool(ctx, c, callSpec{turn: o.t, path: place, depth: 1})
}

// Used are the skills that were called so far.
func (o *Outer) Used() []string {
	o.t.mu.Lock()
	defer o.t.mu.Unlock()
	return slices.Sorted(maps.Keys(o.t.used))
}

// Close unloads everything but what a stuck guest holds.
func (e *Engine) Close() {
	e.preparing.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.skills {
		if s.loaded != nil && s.users == 0 {
			s.loaded.close()
			s.loaded = nil
		}
	}
}
