// Skill assistant is the general skill agent: the loop between model and tools.
//
// It holds no state and no policy. Which tools there are, what they may do and
// what a model costs is decided by the host; this only carries messages.
package main

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	defaultSteps = 16       // model calls of one turn
	maxResult    = 32 << 10 // bytes of one tool result that the model reads
)

func init() { sdk.Agent(turn) }

func main() {}

// turn asks the model until it answers without wanting a tool.
func turn(t sdk.Turn) (sdk.Reply, error) {
	steps := t.MaxSteps
	if steps <= 0 {
		steps = defaultSteps
	}
	req := sdk.LLMRequest{System: sdk.System(t), Messages: sdk.Conversation(t), Tools: t.Tools}
	if len(req.Messages) == 0 {
		return sdk.Reply{}, errors.New("the turn has no message")
	}
	ran := 0
	for step := 1; ; step++ {
		answer, err := sdk.LLM(req)
		if err != nil {
			return sdk.Reply{}, plain(err)
		}
		calls := wanted(answer)
		switch {
		case answer.StopReason == wire.StopMaxTokens:
			return ending(answer, "cut off: the model's answer reached its length limit"), nil
		case len(calls) == 0:
			return final(answer, ran), nil
		case step == steps:
			return ending(answer, "stopped: "+strconv.Itoa(steps)+" steps were not enough to finish this"), nil
		}
		results := run(calls)
		ran += len(calls)
		if step == steps-1 {
			results = append(results, sdk.Block{
				Type: wire.BlockText, Text: "That was the last tool call of this turn. Answer now with what you have.",
			})
		}
		req.Messages = append(req.Messages,
			sdk.LLMMessage{Role: wire.RoleAssistant, Content: kept(answer.Content)},
			sdk.LLMMessage{Role: wire.RoleUser, Content: results})
	}
}

// plain is err in the words that are for the user, without its kind.
func plain(err error) error {
	if e, ok := err.(*sdk.Error); ok && e.Message != "" {
		return errors.New(e.Message)
	}
	return errors.New("the model did not answer: " + err.Error())
}

// wanted returns the tool calls of a model's answer.
func wanted(answer *sdk.LLMResponse) (calls []sdk.Block) {
	for _, b := range answer.Content {
		if b.Type == wire.BlockToolUse {
			calls = append(calls, b)
		}
	}
	return calls
}

// kept leaves out empty text blocks, which models send and do not take back, and
// gives every call the arguments object that they ask for.
func kept(blocks []sdk.Block) []sdk.Block {
	out := make([]sdk.Block, 0, len(blocks))
	for _, b := range blocks {
		if b.Type == wire.BlockText && strings.TrimSpace(b.Text) == "" {
			continue
		}
		if b.Type == wire.BlockToolUse && len(b.Input) == 0 {
			b.Input = sdk.RawMessage("{}")
		}
		out = append(out, b)
	}
	return out
}

// run makes the calls at once and returns their results in the same order.
func run(blocks []sdk.Block) []sdk.Block {
	calls := make([]sdk.ToolCall, len(blocks))
	for i, b := range blocks {
		calls[i] = sdk.ToolCall{Name: b.Name, Arguments: b.Input}
	}
	outcomes, err := sdk.CallTools(calls)
	results := make([]sdk.Block, len(blocks))
	for i, b := range blocks {
		r := sdk.Block{Type: wire.BlockToolResult, ToolUseID: b.ID}
		if err != nil {
			r.IsError, r.Content = true, wire.TextResult("the tool could not be called: "+err.Error()).Content
		} else {
			r.IsError = outcomes[i].Outcome != wire.OutcomeOK || outcomes[i].Result.IsError
			r.Content = content(outcomes[i])
		}
		results[i] = r
	}
	return results
}

// content is what the model reads of an outcome.
func content(o sdk.ToolOutcome) []sdk.Content {
	var out []sdk.Content
	for _, c := range o.Result.Content {
		if c.Type == "text" {
			c.Text = cut(c.Text)
		}
		if c.Type != "text" || c.Text != "" {
			out = append(out, c)
		}
	}
	switch {
	case len(out) > 0:
		return out
	case o.Message != "":
		return wire.TextResult(cut(o.Outcome + ": " + o.Message)).Content
	case len(o.Result.StructuredContent) > 0:
		return wire.TextResult(cut(string(o.Result.StructuredContent))).Content
	}
	return wire.TextResult("(" + o.Outcome + ", no output)").Content
}

func cut(s string) string {
	if len(s) <= maxResult {
		return s
	}
	end := maxResult
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "\n[cut: " + strconv.Itoa(len(s)-end) + " bytes more]"
}

// final is the reply when the model wants no tool any more.
func final(answer *sdk.LLMResponse, ran int) sdk.Reply {
	text := strings.TrimSpace(sdk.Text(answer.Content))
	switch {
	case text != "":
		return sdk.Reply{Text: text}
	case ran > 0:
		return sdk.Reply{Text: "Done."}
	}
	return sdk.Reply{Text: "(The model gave an empty answer.)"}
}

// ending is the reply of a turn that did not come to its end.
func ending(answer *sdk.LLMResponse, why string) sdk.Reply {
	return sdk.Reply{Text: strings.TrimSpace(sdk.Text(answer.Content) + "\n\n(" + why + ")")}
}
