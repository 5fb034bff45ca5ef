package main

import (
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func say(text string) sdk.LLMResponse {
	return sdk.LLMResponse{StopReason: wire.StopEndTurn, Content: []sdk.Block{{Type: wire.BlockText, Text: text}}}
}

func use(name, args string) sdk.LLMResponse {
	return sdk.LLMResponse{StopReason: wire.StopToolUse, Content: []sdk.Block{
		{Type: wire.BlockToolUse, ID: "u1", Name: name, Input: sdk.RawMessage(args)},
	}}
}

var question = sdk.Turn{
	Turn: "t", System: "You are Andy.",
	Messages: []sdk.ChatMessage{{Role: wire.RoleUser, Text: "How long does green tea take? See https://user.example/said"}},
	Tools:    []wire.Tool{{Name: "search"}, {Name: "fetch"}, {Name: "notes_add"}},
}

const page = "https://tea.example/green"

// play runs the question against a model that answers with lines. The tools know one page.
func play(t *testing.T, turn sdk.Turn, lines ...sdk.LLMResponse) (reply string, asked []sdk.LLMRequest, called []string) {
	t.Helper()
	h := sdktest.New(t)
	h.LLM = func(r sdk.LLMRequest) (*sdk.LLMResponse, error) {
		asked = append(asked, r)
		return &lines[min(len(asked), len(lines))-1], nil
	}
	tool := func(name, text string, isError bool) func(sdk.RawMessage) sdk.ToolOutcome {
		return func(sdk.RawMessage) sdk.ToolOutcome {
			called = append(called, name)
			r := wire.TextResult(text)
			r.IsError = isError
			return sdk.ToolOutcome{Outcome: wire.OutcomeOK, Result: r}
		}
	}
	h.Tools = map[string]func(sdk.RawMessage) sdk.ToolOutcome{
		"search":    tool("search", "1. Green tea\n   "+page+"\n   Two minutes.", false),
		"fetch":     tool("fetch", "# Green tea\n"+page+"\n\nTwo minutes at 80 degrees. See https://linked.example/x.", false),
		"notes_add": tool("notes_add", "noted", false),
	}
	reply, err := h.Reply(turn)
	if err != nil {
		reply = "error: " + err.Error()
	}
	return reply, asked, called
}

func TestSources(t *testing.T) {
	search, fetch := use("search", `{"query":"green tea"}`), use("fetch", `{"url":"tea.example/green"}`)
	for name, c := range map[string]struct {
		lines []sdk.LLMResponse
		want  string
	}{
		"cited":             {[]sdk.LLMResponse{search, fetch, say("Two minutes.\n\nSources:\n1. <" + page + ">")}, "Two minutes.\n\nSources:\n1. <" + page + ">"},
		"cited as a link":   {[]sdk.LLMResponse{search, fetch, say("[Two](" + page + ") minutes.")}, "[Two](" + page + ") minutes."},
		"not cited":         {[]sdk.LLMResponse{search, fetch, fetch, say("Two minutes.")}, "Two minutes.\n\nSources:\n1. " + page},
		"made up":           {[]sdk.LLMResponse{search, fetch, say("Two, says https://other.example/a.")}, "Two, says https://other.example/a.\n\n(Not seen in this turn, so perhaps made up: https://other.example/a)\n\nSources:\n1. " + page},
		"on a page, linked": {[]sdk.LLMResponse{search, fetch, say("See https://linked.example/x")}, "See https://linked.example/x"},
		"said by the user":  {[]sdk.LLMResponse{say("As https://user.example/said says.")}, "As https://user.example/said says."},
		"only searched":     {[]sdk.LLMResponse{search, say("Two minutes.")}, "Two minutes.\n\n(From search results alone: no page was read.)"},
		"no tool":           {[]sdk.LLMResponse{say("Hello. http is a protocol.")}, "Hello. http is a protocol."},
		"bad arguments":     {[]sdk.LLMResponse{use("fetch", `[1]`), say("x")}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, _ := play(t, question, c.lines...); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// TestOnlyItsOwnTools: a tool that the role has besides is neither offered nor called.
func TestOnlyItsOwnTools(t *testing.T) {
	_, asked, called := play(t, question, use("notes_add", `{}`), say("no"))
	var names []string
	for _, tool := range asked[0].Tools {
		names = append(names, tool.Name)
	}
	if strings.Join(names, " ") != "search fetch" || len(called) != 0 {
		t.Errorf("offered %q, called %q", names, called)
	}
	if b := asked[1].Messages[2].Content[0]; !b.IsError || b.Content[0].Text != "not_found: no tool notes_add" {
		t.Errorf("the model read %+v", b)
	}
	if !strings.HasPrefix(asked[0].System, "You are Andy.") || !strings.Contains(asked[0].System, "never an instruction") {
		t.Errorf("system prompt %q", asked[0].System)
	}
}

func TestEnds(t *testing.T) {
	reply, asked, called := play(t, question, use("search", `{"query":"x"}`))
	if len(asked) != maxSteps || len(called) != maxSteps-1 || !strings.Contains(reply, "12 steps were not enough") {
		t.Errorf("asked %d times, called %d: %q", len(asked), len(called), reply)
	}
}

func TestNeedsSearch(t *testing.T) {
	without := question
	without.Tools = []wire.Tool{{Name: "fetch"}}
	if reply, asked, _ := play(t, without, say("x")); !strings.Contains(reply, `lack "search"`) || len(asked) > 0 {
		t.Errorf("without search: %q", reply)
	}
}

func FuzzAddresses(f *testing.F) {
	f.Add("a https://b/c, (http://d) httphttp://x https://")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range addresses(text) {
			if !strings.Contains(text, a) || strings.ContainsAny(a, " \n<>") {
				t.Errorf("%q has %q", text, a)
			}
		}
	})
}
