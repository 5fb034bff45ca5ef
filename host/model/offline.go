package model

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// firstNote ends the first reply of a conversation.
const firstNote = "\n\n(This is the offline model, which only knows commands and example phrases; " +
	"`nanoclaw setup` connects a real one.)"

// offline is not a language model. It routes the last message to a tool, by /name or by the
// example phrases of the tools, and formats the result. The same request has the same answer.
type offline struct{}

func (offline) Complete(ctx context.Context, req wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error) {
	if len(req.Messages) == 0 || req.Messages[len(req.Messages)-1].Role != wire.RoleUser {
		return nil, fmt.Errorf("%w: the last message must be the user's", host.ErrInvalid)
	}
	last := req.Messages[len(req.Messages)-1]
	results := slices.ContainsFunc(last.Content, isResult)
	var text string
	if results {
		text = resultText(req.Messages)
	} else {
		words, task := ofTask(said(last))
		use, answer, err := route(ctx, words, req.Tools)
		if err != nil {
			return nil, err
		}
		if task && use == nil {
			answer = words // a reminder says itself
		}
		if use != nil {
			use.ID = "offline_" + strconv.Itoa(len(req.Messages))
			return &wire.LLMResponse{Content: []wire.Block{*use}, StopReason: wire.StopToolUse, Model: Offline}, nil
		}
		text = answer
	}
	if first(req.Messages) {
		text += firstNote
	}
	if onText != nil {
		onText(text)
	}
	return &wire.LLMResponse{
		Content: []wire.Block{{Type: wire.BlockText, Text: text}}, StopReason: wire.StopEndTurn, Model: Offline,
	}, nil
}

func isResult(b wire.Block) bool { return b.Type == wire.BlockToolResult }

// first reports whether no reply stands before the user's last own message.
func first(ms []wire.LLMMessage) bool {
	replied := false
	for _, m := range ms {
		if m.Role == wire.RoleUser && !slices.ContainsFunc(m.Content, isResult) {
			if replied {
				return false
			}
		}
		replied = replied || m.Role == wire.RoleAssistant
	}
	return true
}

// said is the last line of the conversation, without the names that stand before it in a group.
func said(m wire.LLMMessage) string {
	text := ""
	for _, b := range m.Content {
		if b.Type == wire.BlockText && strings.TrimSpace(b.Text) != "" {
			text = strings.TrimSpace(b.Text)
		}
	}
	if i := strings.Index(text, ": /"); i > 0 && i < 64 && !strings.ContainsAny(text[:i], "\n/") {
		text = text[i+2:]
	}
	if strings.HasPrefix(text, "@") { // the trigger
		if _, rest, ok := strings.Cut(text, " "); ok {
			text = strings.TrimSpace(rest)
		}
	}
	return text
}

// ofTask takes what the host writes around a task's prompt away.
func ofTask(text string) (prompt string, is bool) {
	_, rest, is := strings.Cut(text, "[SCHEDULED TASK")
	if !is {
		return text, false
	}
	_, prompt, _ = strings.Cut(rest, "\n\n")
	if _, after, ok := strings.Cut(prompt, "\n\nInstructions:\n"); ok {
		prompt = after
	}
	return prompt, true
}

// route finds the tool for a message; without one, what to say instead.
func route(ctx context.Context, text string, tools []wire.Tool) (*wire.Block, string, error) {
	if command, ok := strings.CutPrefix(text, "/"); ok {
		use, answer := byCommand(command, tools)
		return use, answer, nil
	}
	m, err := byPhrase(ctx, text, tools)
	if err != nil {
		return nil, "", err
	}
	if m == nil {
		return nil, help("I did not understand that.", tools), nil
	}
	return toolUse(m.tool.Name, m.args), "", nil
}

func toolUse(name string, args map[string]any) *wire.Block {
	input, err := json.Marshal(args)
	if err != nil { // a number that JSON does not have
		input = []byte("{}")
	}
	return &wire.Block{Type: wire.BlockToolUse, Name: name, Input: input}
}

// byCommand answers "/name arguments".
func byCommand(command string, tools []wire.Tool) (*wire.Block, string) {
	name, rest := command, ""
	if i := strings.IndexAny(command, " \t\n"); i >= 0 {
		name, rest = command[:i], strings.TrimSpace(command[i:])
	}
	i := slices.IndexFunc(tools, func(t wire.Tool) bool { return strings.EqualFold(t.Name, name) })
	if i < 0 {
		return nil, help(fmt.Sprintf("There is no tool /%s here.", name), tools)
	}
	t := tools[i]
	s := schemaOf(t)
	if strings.HasPrefix(rest, "{") {
		var object map[string]any
		if err := json.Unmarshal([]byte(rest), &object); err != nil {
			return nil, fmt.Sprintf("What follows /%s is not a JSON object: %v.", t.Name, err)
		}
		return &wire.Block{Type: wire.BlockToolUse, Name: t.Name, Input: []byte(rest)}, ""
	}
	if rest == "" && len(s.Required) == 0 {
		return toolUse(t.Name, map[string]any{}), ""
	}
	prop := s.single()
	if prop == "" || rest == "" {
		return nil, "Say it like this: " + usage(t, s)
	}
	v, err := s.convert(prop, rest)
	if err != nil {
		return nil, fmt.Sprintf("/%s: %s %v.", t.Name, prop, err)
	}
	return toolUse(t.Name, map[string]any{prop: v}), ""
}

// usage shows how a tool is called.
func usage(t wire.Tool, s schema) string {
	if prop := s.single(); prop != "" {
		return fmt.Sprintf("/%s <%s>", t.Name, prop)
	}
	if len(s.Properties) == 0 {
		return "/" + t.Name
	}
	names := s.Required
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(s.Properties))
	}
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%q: …", n)
	}
	return fmt.Sprintf("/%s {%s}", t.Name, strings.Join(parts, ", "))
}

// maxHelp is how many tools help lists.
const maxHelp = 30

func help(why string, tools []wire.Tool) string {
	if len(tools) == 0 {
		return why + " I am the offline model, and this role has no tools that I could use."
	}
	var b strings.Builder
	b.WriteString(why + " I am the offline model: I know commands and example phrases. Try:")
	for i, t := range tools {
		if i == maxHelp {
			fmt.Fprintf(&b, "\n… and %d more", len(tools)-i)
			break
		}
		b.WriteString("\n  " + usage(t, schemaOf(t)))
		if len(t.Examples) > 0 {
			fmt.Fprintf(&b, "   or: %s", strings.NewReplacer("{", "<", "}", ">").Replace(t.Examples[0]))
		}
	}
	return b.String()
}

// resultText formats what the tools answered.
func resultText(ms []wire.LLMMessage) string {
	names := make(map[string]string)
	for _, m := range ms {
		for _, b := range m.Content {
			if b.Type == wire.BlockToolUse {
				names[b.ID] = b.Name
			}
		}
	}
	var parts []string
	for _, b := range ms[len(ms)-1].Content {
		if b.Type != wire.BlockToolResult {
			continue
		}
		var lines []string
		for _, c := range b.Content {
			if c.Type == "text" {
				lines = append(lines, pretty(c.Text))
			} else {
				lines = append(lines, fmt.Sprintf("[%s %s]", c.Type, c.MIMEType))
			}
		}
		text := strings.TrimSpace(strings.Join(lines, "\n"))
		if text == "" {
			text = "done"
		}
		if b.IsError {
			text = fmt.Sprintf("That did not work: %s: %s", names[b.ToolUseID], text)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\n\n")
}

// pretty shows a flat JSON object as lines, and leaves everything else as it is.
func pretty(text string) string {
	var object map[string]any
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &object) != nil {
		return text
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(object)) {
		switch v := object[k].(type) {
		case map[string]any, []any:
			return text
		case float64:
			lines = append(lines, k+": "+strconv.FormatFloat(v, 'f', -1, 64))
		default:
			lines = append(lines, fmt.Sprintf("%s: %v", k, v))
		}
	}
	return strings.Join(lines, "\n")
}
