package sdk_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func use(id, name, input string) sdk.Block {
	return sdk.Block{Type: wire.BlockToolUse, ID: id, Name: name, Input: sdk.RawMessage(input)}
}

// TestLoopDelegates: the model is offered the roles of the turn; tasks and tools of one answer are both
// done, and their results stand where they were asked for.
func TestLoopDelegates(t *testing.T) {
	h := sdktest.New(t)
	h.Tools = map[string]func(sdk.RawMessage) sdk.ToolOutcome{"calc": func(sdk.RawMessage) sdk.ToolOutcome {
		return sdk.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult("42")}
	}}
	var tasks []string
	h.Agents = func(c sdk.AgentCall) sdk.AgentOutcome {
		tasks = append(tasks, c.Role+": "+c.Task)
		if c.Task == "bad" {
			return sdk.AgentOutcome{Role: c.Role, Outcome: wire.OutcomeTimeout, Message: "too slow"}
		}
		return sdk.AgentOutcome{Role: c.Role, Outcome: wire.OutcomeOK, Text: "cold"}
	}
	var asked []sdk.LLMRequest
	h.LLM = func(r sdk.LLMRequest) (*sdk.LLMResponse, error) {
		asked = append(asked, r)
		if len(asked) > 1 {
			return &sdk.LLMResponse{Content: []sdk.Block{{Type: wire.BlockText, Text: "done"}}, StopReason: wire.StopEndTurn}, nil
		}
		return &sdk.LLMResponse{StopReason: wire.StopToolUse, Content: []sdk.Block{
			use("1", "delegate", `{"role":"web","task":"Oslo"}`), use("2", "calc", `{}`),
			use("3", "delegate", `{"role":"web","task":"bad"}`), use("4", "delegate", `"nonsense"`),
		}}, nil
	}
	turn := sdk.Turn{
		Messages: []sdk.ChatMessage{{Role: wire.RoleUser, Text: "hi"}}, Tools: []wire.Tool{{Name: "calc"}},
		Delegates: []wire.Delegate{{Role: "web", Description: "looks things up"}},
	}
	r, err := sdk.Loop{Agents: sdk.CallAgents}.Run(turn)
	if err != nil || r.Text != "done" || strings.Join(tasks, ", ") != "web: Oslo, web: bad" {
		t.Fatalf("%+v, %v, tasks %q", r, err, tasks)
	}
	if !strings.Contains(asked[0].System, "- web: looks things up") || len(asked[0].Tools) != 2 {
		t.Errorf("offered %+v by %q", asked[0].Tools, asked[0].System)
	}
	got, _ := json.Marshal(asked[1].Messages[2].Content)
	for _, want := range []string{
		`"tool_use_id":"1","content":[{"type":"text","text":"cold"}]`, `"tool_use_id":"2","content":[{"type":"text","text":"42"}]`,
		`timeout: too slow`, `invalid: `,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("results %s lack %s", got, want)
		}
	}

	asked = nil
	turn.Delegates = nil // whatever the model invents, nothing is delegated
	if _, err := (sdk.Loop{Agents: sdk.CallAgents}).Run(turn); err != nil || len(tasks) != 2 {
		t.Errorf("%v, tasks %q", err, tasks)
	}
}
