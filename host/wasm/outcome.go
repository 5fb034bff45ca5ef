package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/sys"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// run makes the one call of an instance.
func (in *instance) run(ctx context.Context, c callSpec, r request) wire.ToolOutcome {
	in.call, in.input, in.running, in.lines, in.ticks = c, r.input, true, 0, 0
	in.output, in.outputFault, in.result = in.output[:0], "", nil // nothing of the preparation
	ctx = in.enter(ctx)
	var results []uint64
	var err error
	switch {
	case in.kernel != nil:
		results, err = in.plugin(ctx, r)
	case in.command:
		if r.argv != nil {
			in.argv = r.argv
		}
		in.stdin.Reset(r.input)
		_, err = in.entry.Call(ctx)
	default:
		results, err = in.entry.Call(ctx, uint64(len(r.input)))
	}
	in.running = false
	var exit *sys.ExitError
	if errors.As(err, &exit) && (in.command || in.kernel != nil) {
		results, err = []uint64{uint64(exit.ExitCode())}, nil
	}
	var out wire.ToolOutcome
	var fault guestFault
	switch code := append(results, 0)[0]; {
	case errors.As(err, &fault) && fault.outcome == wire.OutcomeToolError:
		out = toolError(fault.message, fault.message)
	case err != nil:
		in.logFailure(err)
		out = wire.ToolOutcome{Outcome: in.kind(err), Message: in.describe(err)}
	default:
		out = in.answer(uint32(code))
	}
	out.Denied = in.denied
	if out.Outcome == wire.OutcomeToolError && len(in.denied) > 0 {
		out.Outcome, out.Message = wire.OutcomeDenied, in.denied[len(in.denied)-1]
	}
	return out
}

// answer makes an outcome of what the guest wrote.
func (in *instance) answer(code uint32) wire.ToolOutcome {
	name := in.skill.spec.Name
	switch text := cut(string(in.output), len(in.output)); {
	case in.kernel != nil:
		return in.pluginAnswer(code)
	case in.outputFault != "":
		return failed(wire.OutcomeInvalid, "skill %s: %s", name, in.outputFault)
	case in.skill.spec.Adapter == wire.AdapterCommand:
		return in.commandAnswer(code, text)
	case code != 0:
		return toolError(text, text)
	}
	var r wire.ToolResult
	if err := json.Unmarshal(in.output, &r); err != nil {
		return failed(wire.OutcomeInvalid, "skill %s: its answer is not a tool result", name)
	}
	if r.IsError {
		return wire.ToolOutcome{Outcome: wire.OutcomeToolError, Message: sentence(r.Text()), Result: r}
	}
	return wire.ToolOutcome{Outcome: wire.OutcomeOK, Result: r}
}

// sentence is the first line of a tool's error.
func sentence(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line == "" {
		return "the tool failed without saying why"
	}
	return cut(line, 512)
}

func failed(outcome, format string, args ...any) wire.ToolOutcome {
	return wire.ToolOutcome{Outcome: outcome, Message: fmt.Sprintf(format, args...)}
}

// kind is the outcome for an error of wazero's.
func (in *instance) kind(err error) string {
	if errors.Is(err, errTimeout) {
		return wire.OutcomeTimeout
	}
	return wire.OutcomeCrashed
}

// describe is one sentence without a stack: that goes to the log alone.
func (in *instance) describe(err error) string {
	name := in.skill.spec.Name
	var exit *sys.ExitError
	var fault guestFault
	switch {
	case errors.As(err, &fault):
		return fmt.Sprintf("skill %s crashed: %s", name, fault.message)
	case errors.Is(err, errTimeout):
		return fmt.Sprintf("skill %s timed out", name)
	case errors.Is(err, errStack):
		return fmt.Sprintf("skill %s crashed: call stack exhausted", name)
	case errors.As(err, &exit):
		return fmt.Sprintf("skill %s crashed: it exited with code %d", name, exit.ExitCode())
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	line = strings.TrimPrefix(line, "wasm error: ")
	return fmt.Sprintf("skill %s crashed: %s", name, cut(strings.TrimSuffix(line, " (recovered by wazero)"), 256))
}

func (in *instance) logFailure(err error) {
	in.flush()
	in.log().Error("guest failed", "error", cut(err.Error(), 8<<10))
}
