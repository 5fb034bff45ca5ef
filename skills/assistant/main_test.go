package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// script is a model that answers with its lines, one after the other, and keeps
// what it was asked.
type script struct {
	lines []sdk.LLMResponse
	asked []sdk.LLMRequest
}

func (s *script) complete(r sdk.LLMRequest) (*sdk.LLMResponse, error) {
	s.asked = append(s.asked, r)
	if len(s.asked) > len(s.lines) {
		return nil, &sdk.Error{Status: wire.StatusUnavailable, Message: "no more lines"}
	}
	return &s.lines[len(s.asked)-1], nil
}

func say(text string) sdk.LLMResponse {
	return sdk.LLMResponse{StopReason: wire.StopEndTurn, Content: []sdk.Block{{Type: wire.BlockText, Text: text}}}
}

func use(text string, names ...string) sdk.LLMResponse {
	r := sdk.LLMResponse{StopReason: wire.StopToolUse, Content: []sdk.Block{{Type: wire.BlockText, Text: text}}}
	for i, n := range names {
		r.Content = append(r.Content, sdk.Block{
			Type: wire.BlockToolUse, ID: n + string('1'+rune(i)), Name: n, Input: sdk.RawMessage(`{"n":` + string('1'+rune(i)) + `}`),
		})
	}
	return r
}

var hello = sdk.Turn{
	Turn: "t", System: "You are Andy.", Memory: "Likes tea.", MaxSteps: 4,
	Messages: []sdk.ChatMessage{{Role: wire.RoleUser, Text: "hello"}},
	Tools: []wire.Tool{
		{Name: "echo", InputSchema: sdk.RawMessage(`{"type":"object"}`)},
		{Name: "fail"},
		{Name: "crash"},
		{Name: "long"},
		{Name: "mute"},
		{Name: "gone"},
	},
}

func play(t *testing.T, turn sdk.Turn, lines ...sdk.LLMResponse) (string, *script) {
	t.Helper()
	h, s := sdktest.New(t), &script{lines: lines}
	h.LLM = s.complete
	h.Tools = map[string]func(sdk.RawMessage) sdk.ToolOutcome{
		"echo": func(args sdk.RawMessage) sdk.ToolOutcome {
			return sdk.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult("echo " + string(args))}
		},
		"fail": func(sdk.RawMessage) sdk.ToolOutcome {
			r := wire.TextResult("out of milk")
			r.IsError = true
			return sdk.ToolOutcome{Outcome: wire.OutcomeToolError, Message: "tool error", Result: r}
		},
		"crash": func(sdk.RawMessage) sdk.ToolOutcome {
			return sdk.ToolOutcome{Outcome: wire.OutcomeCrashed, Message: "skill crashed", Result: wire.ToolResult{Content: []wire.Content{}}}
		},
		"long": func(sdk.RawMessage) sdk.ToolOutcome {
			return sdk.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult(strings.Repeat("é", 32<<10))}
		},
		"mute": func(sdk.RawMessage) sdk.ToolOutcome {
			return sdk.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.ToolResult{Content: []wire.Content{}}}
		},
	}
	reply, err := h.Reply(turn)
	if err != nil {
		reply = "error: " + err.Error()
	}
	return reply, s
}

func TestPlainAnswer(t *testing.T) {
	reply, s := play(t, hello, say("  hi \n"))
	if reply != "hi" {
		t.Errorf("got %q", reply)
	}
	r := s.asked[0]
	if r.System != "You are Andy.\n\n# Memory\n\nLikes tea." || len(r.Tools) != 6 || r.Tools[0].Name != "echo" ||
		len(r.Messages) != 1 || sdk.Text(r.Messages[0].Content) != "hello" {
		t.Errorf("asked %+v", r)
	}
}

func TestToolCallsOfOneAnswerRunTogether(t *testing.T) {
	reply, s := play(t, hello, use("", "echo", "fail", "crash", "nosuch", "mute", "gone", "long"), say("fine"))
	if reply != "fine" || len(s.asked) != 2 {
		t.Fatalf("got %q after %d questions", reply, len(s.asked))
	}
	m := s.asked[1].Messages
	if len(m) != 3 || m[1].Role != wire.RoleAssistant || m[2].Role != wire.RoleUser {
		t.Fatalf("messages %+v", m)
	}
	if m[1].Content[0].Type != wire.BlockToolUse {
		t.Error("the empty text block went back to the model")
	}
	type row struct {
		ID, Text string
		IsError  bool
	}
	var got []row
	for _, b := range m[2].Content {
		text := wire.ToolResult{Content: b.Content}.Text()
		if len(text) > 100 {
			text = text[len(text)-25:]
		}
		got = append(got, row{b.ToolUseID, text, b.IsError})
	}
	want := []row{
		{"echo1", `echo {"n":1}`, false},
		{"fail2", "out of milk", true},
		{"crash3", "crashed: skill crashed", true},
		{"nosuch4", "not_found: no tool nosuch", true}, // not offered: nobody is asked for it
		{"mute5", "(ok, no output)", false},
		{"gone6", "not_found: no tool gone", true}, // offered, and not there
		{"long7", "\n[cut: 32768 bytes more]", false},
	}
	want[6].Text = got[6].Text
	if !strings.HasSuffix(got[6].Text, "[cut: 32768 bytes more]") || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEndings(t *testing.T) {
	cutOff := say("half a sen")
	cutOff.StopReason = wire.StopMaxTokens
	cutCall := use("", "echo")
	cutCall.StopReason = wire.StopMaxTokens
	none := sdk.LLMResponse{StopReason: wire.StopEndTurn, Content: []sdk.Block{}}
	e := use("thinking", "echo")
	for name, c := range map[string]struct {
		lines []sdk.LLMResponse
		want  string
	}{
		"steps run out":       {[]sdk.LLMResponse{e, e, e, e, e}, "thinking\n\n(stopped: 4 steps were not enough to finish this)"},
		"answers in time":     {[]sdk.LLMResponse{e, e, e, say("ok")}, "ok"},
		"empty":               {[]sdk.LLMResponse{none}, "(The model gave an empty answer.)"},
		"empty after tools":   {[]sdk.LLMResponse{e, say(" ")}, "Done."},
		"cut off":             {[]sdk.LLMResponse{cutOff}, "half a sen\n\n(cut off: the model's answer reached its length limit)"},
		"cut off in a call":   {[]sdk.LLMResponse{cutCall}, "(cut off: the model's answer reached its length limit)"},
		"model fails midways": {[]sdk.LLMResponse{e}, "error: no more lines"},
	} {
		t.Run(name, func(t *testing.T) {
			got, s := play(t, hello, c.lines...)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if len(s.asked) > 4 {
				t.Errorf("the model was asked %d times", len(s.asked))
			}
			if len(s.asked) == 4 && !strings.Contains(sdk.Text(s.asked[3].Messages[6].Content), "last tool call") {
				t.Error("the model was not told that its steps are used up")
			}
		})
	}
}

func TestNoMessage(t *testing.T) {
	if got, _ := play(t, sdk.Turn{Turn: "t"}); got != "error: the turn has no message" {
		t.Errorf("got %q", got)
	}
}

// Without the capability tool the model learns that its calls are refused.
func TestToolsDenied(t *testing.T) {
	h, s := sdktest.New(t), &script{lines: []sdk.LLMResponse{use("", "echo"), say("sorry")}}
	h.LLM = s.complete
	if got, err := h.Reply(hello); got != "sorry" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if b := s.asked[1].Messages[2].Content[0]; !b.IsError || !strings.Contains(b.Content[0].Text, "denied") {
		t.Errorf("result %+v", b)
	}
}

// A skill's instructions are one line in the prompt until the model wants to read them.
func TestInstructionsAreReadWhenWanted(t *testing.T) {
	turn := hello
	turn.Skills = []wire.SkillText{{Name: "brand-voice", Description: "How we write", Text: "Short sentences."}}
	read := func(name string) sdk.LLMResponse {
		r := use("", "read_skill")
		r.Content[1].Input = sdk.RawMessage(`{"name":"` + name + `"}`)
		return r
	}
	got, s := play(t, turn, read("brand-voice"), read("brand"), say("Done so."))
	if got != "Done so." {
		t.Fatal(got)
	}
	first := s.asked[0]
	if !strings.Contains(first.System, "brand-voice: How we write") || strings.Contains(first.System, "Short sentences") ||
		first.Tools[len(first.Tools)-1].Name != "read_skill" || len(first.Tools) != len(hello.Tools)+1 {
		t.Errorf("%+v", first)
	}
	for i, want := range []string{"Short sentences.", "not_found"} {
		last := s.asked[i+1].Messages[len(s.asked[i+1].Messages)-1].Content[0]
		if last.Content[0].Text != want && !strings.HasPrefix(last.Content[0].Text, want) || last.IsError != (i == 1) {
			t.Errorf("%+v, want %q", last, want)
		}
	}
}

func TestNoInstructionsNoTool(t *testing.T) {
	_, s := play(t, hello, say("x"))
	if strings.Contains(s.asked[0].System, "# Skills") || len(s.asked[0].Tools) != len(hello.Tools) {
		t.Errorf("%+v", s.asked[0])
	}
}

// What comes with a message is shown to the model by reference; an earlier file when it asks.
func TestFilesAreShown(t *testing.T) {
	turn := hello
	turn.Attached = true
	turn.Messages = []sdk.ChatMessage{{Role: wire.RoleUser, Text: "see", Files: []string{"attachments/a.png"}}}
	look := use("", "view_file", "view_file")
	look.Content[1].Input = sdk.RawMessage(`{"path":"attachments/b.png"}`)
	look.Content[2].Input = sdk.RawMessage(`{"path":1}`)
	got, s := play(t, turn, look, say("Both."))
	if got != "Both." {
		t.Fatal(got)
	}
	if c := s.asked[0].Messages[0].Content; len(c) != 2 || c[1].Type != wire.BlockFile || c[1].Path != "attachments/a.png" {
		t.Errorf("%+v", c)
	}
	c := s.asked[1].Messages[2].Content
	if in := c[0].Content[0]; c[0].IsError || in.Type != wire.BlockFile || in.Path != "attachments/b.png" || !c[1].IsError {
		t.Errorf("%+v", c)
	}
}
