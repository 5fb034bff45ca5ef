package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

const (
	maxDepth    = 4  // tools calling tools
	maxParallel = 16 // tool calls in one array
)

// callSpec says where in a turn a call stands.
type callSpec struct {
	turn  *turn
	path  string
	depth int // 0 = the brain
}

// jsonOf encodes without HTML escapes, which would make a text up to six times longer.
func jsonOf(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// bounded returns when f does, or shortly after its time is up: a guest that does not
// notice is left behind, and the host kills the container.
func bounded(ctx context.Context, f func() wire.ToolOutcome) wire.ToolOutcome {
	done := make(chan wire.ToolOutcome, 1)
	go func() { done <- f() }()
	select {
	case out := <-done:
		return out
	case <-ctx.Done():
	}
	select {
	case out := <-done:
		return out
	case <-time.After(grace):
		return failed(wire.OutcomeTimeout, "timed out")
	}
}

// tool finds and calls one tool of the role.
func (e *Engine) tool(ctx context.Context, c wire.ToolCall, at callSpec) wire.ToolOutcome {
	e.mu.Lock()
	ref, ok := e.tools[c.Name]
	e.mu.Unlock()
	switch {
	case !ok:
		return failed(wire.OutcomeNotFound, "there is no tool %.64q", c.Name)
	case at.depth > maxDepth:
		return failed(wire.OutcomeDenied, "tools may call tools %d levels deep", maxDepth)
	case len(c.Arguments) > wire.MaxToolArgs:
		return failed(wire.OutcomeInvalid, "the arguments of %s are larger than 1 MiB", c.Name)
	}
	limit := time.Duration(ref.skill.spec.TimeoutMS) * time.Millisecond
	if limit <= 0 {
		limit = defaultCall
	}
	if asked := time.Duration(c.TimeoutMS) * time.Millisecond; asked > 0 {
		limit = min(limit, asked)
	}
	ctx, cancel := pause.WithTimeout(ctx, limit, errTimeout)
	defer cancel()
	run := func() wire.ToolOutcome { return e.run(ctx, ref, c.Arguments, at) }
	if at.path == "" { // asked by the host; a turn has its own bound
		return bounded(ctx, run)
	}
	return run()
}

// run makes one call in a fresh instance. Whatever goes wrong is an outcome.
func (e *Engine) run(ctx context.Context, ref toolRef, args []byte, at callSpec) (out wire.ToolOutcome) {
	defer func() {
		if r := recover(); r != nil {
			e.log.Error("call failed in the runner", "skill", ref.skill.spec.Name, "panic", r, "stack", string(debug.Stack()))
			out = failed(wire.OutcomeCrashed, "skill %s crashed the call", ref.skill.spec.Name)
		}
	}()
	if len(args) == 0 {
		args = []byte("{}")
	}
	r, err := ref.request(args, wire.CallInfo{Turn: at.turn.id, Agent: e.set.Agent, Timezone: e.set.Timezone})
	if err != nil {
		return failed(wire.OutcomeInvalid, "%s", cut(err.Error(), 256))
	}
	if at.depth > 0 {
		at.turn.use(ref.skill.spec.Name)
	}
	l, err := ref.skill.use(ctx)
	if err != nil {
		return failed(wire.OutcomeDenied, "%s", cut(err.Error(), 512))
	}
	defer e.release(ref.skill)
	in, err := l.acquire(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return failed(wire.OutcomeTimeout, "skill %s timed out", ref.skill.spec.Name)
	case err != nil:
		return failed(wire.OutcomeCrashed, "%s", cut(err.Error(), 512))
	}
	defer l.done(in, at.depth > 0) // a turn is the last of its container
	return in.run(ctx, at, r)
}

// callTools is nanoclaw_tool_1: one ToolCall or an array of them, made at once.
func (in *instance) callTools(ctx context.Context, path string, body []byte) (wire.Status, []byte) {
	var calls []wire.ToolCall
	array := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("["))
	var err error
	if array {
		err = json.Unmarshal(body, &calls)
	} else {
		calls = make([]wire.ToolCall, 1)
		err = json.Unmarshal(body, &calls[0])
	}
	switch {
	case err != nil:
		return fail(wire.StatusInvalid, "the request is neither a tool call nor an array of them")
	case len(calls) > maxParallel:
		return fail(wire.StatusTooLarge, "more than 16 tool calls at once")
	}
	results := make([]wire.ToolOutcome, len(calls))
	var wg sync.WaitGroup
	for i, c := range calls {
		at := callSpec{turn: in.call.turn, path: join(path, i), depth: in.call.depth + 1}
		c.TimeoutMS = 0 // PathTool's alone
		in.progress("tool", c.Name)
		wg.Go(func() { results[i] = in.skill.engine.tool(ctx, c, at) })
	}
	wg.Wait()
	return toolAnswer(results)
}

// toolAnswer encodes outcomes. Those that no longer fit lose their result and say so.
func toolAnswer(results []wire.ToolOutcome) (wire.Status, []byte) {
	out := []byte(`{"results":[`)
	for i, r := range results {
		b, err := jsonOf(r)
		if err != nil || len(out)+len(b) > wire.MaxCapResponse-64<<10 {
			b, _ = jsonOf(failed(wire.OutcomeInvalid, "the results of these calls are larger than 8 MiB together"))
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, b...)
	}
	return wire.StatusOK, append(out, "]}"...)
}
