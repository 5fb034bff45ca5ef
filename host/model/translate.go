package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/param"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// images are the kinds that the API takes.
var images = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}

// params makes the SDK's request. Empty texts and messages are left out: the API refuses them.
func (a *anthropicModel) params(req wire.LLMRequest) (p anthropic.MessageNewParams, err error) {
	p.Model = a.model
	p.MaxTokens = defaultMaxTokens
	if req.MaxTokens > 0 {
		p.MaxTokens = int64(min(req.MaxTokens, maxMaxTokens))
	}
	if strings.TrimSpace(req.System) != "" {
		p.System = []anthropic.TextBlockParam{{Text: req.System, CacheControl: anthropic.NewCacheControlEphemeralParam()}}
	}
	for _, m := range req.Messages {
		blocks, err := blocksOf(m)
		if err != nil {
			return p, err
		}
		switch {
		case len(blocks) == 0:
		case m.Role == wire.RoleUser:
			p.Messages = append(p.Messages, anthropic.NewUserMessage(blocks...))
		case m.Role == wire.RoleAssistant:
			p.Messages = append(p.Messages, anthropic.NewAssistantMessage(blocks...))
		default:
			return p, fmt.Errorf("%w: messages are the user's or the assistant's, not %q", host.ErrInvalid, m.Role)
		}
	}
	if len(p.Messages) == 0 {
		return p, fmt.Errorf("%w: there is no message to answer", host.ErrInvalid)
	}
	for _, t := range req.Tools {
		tool := anthropic.ToolParam{Name: t.Name, InputSchema: inputSchema(t)}
		if t.Description != "" {
			tool.Description = anthropic.String(t.Description)
		}
		p.Tools = append(p.Tools, anthropic.ToolUnionParam{OfTool: &tool})
	}
	return p, nil
}

// inputSchema goes through as it stands in the manifest.
func inputSchema(t wire.Tool) anthropic.ToolInputSchemaParam {
	if len(t.InputSchema) == 0 {
		return anthropic.ToolInputSchemaParam{}
	}
	return param.Override[anthropic.ToolInputSchemaParam](t.InputSchema)
}

func blocksOf(m wire.LLMMessage) (out []anthropic.ContentBlockParamUnion, err error) {
	for _, b := range m.Content {
		switch b.Type {
		case wire.BlockText:
			if strings.TrimSpace(b.Text) != "" {
				out = append(out, anthropic.NewTextBlock(b.Text))
			}
		case wire.BlockToolUse:
			if len(b.Input) == 0 {
				b.Input = json.RawMessage("{}")
			}
			out = append(out, anthropic.NewToolUseBlock(b.ID, b.Input, b.Name))
		case wire.BlockToolResult:
			out = append(out, toolResult(b))
		case wire.BlockImage:
			if !slices.Contains(images, b.MIMEType) {
				return nil, fmt.Errorf("%w: anthropic takes no image of type %q", host.ErrInvalid, b.MIMEType)
			}
			out = append(out, anthropic.NewImageBlockBase64(b.MIMEType, b.Data))
		default:
			return nil, fmt.Errorf("%w: unknown kind of block %q", host.ErrInvalid, b.Type)
		}
	}
	return out, nil
}

func toolResult(b wire.Block) anthropic.ContentBlockParamUnion {
	r := anthropic.ToolResultBlockParam{ToolUseID: b.ToolUseID}
	if b.IsError {
		r.IsError = anthropic.Bool(true)
	}
	for _, c := range b.Content {
		var part anthropic.ToolResultBlockParamContentUnion
		switch {
		case c.Type == "text" && c.Text != "":
			part.OfText = &anthropic.TextBlockParam{Text: c.Text}
		case c.Type == "image" && slices.Contains(images, c.MIMEType):
			part.OfImage = anthropic.NewImageBlockBase64(c.MIMEType, c.Data).OfImage
		case c.Type != "text":
			part.OfText = &anthropic.TextBlockParam{Text: fmt.Sprintf("[%s of type %q left out]", c.Type, c.MIMEType)}
		default:
			continue
		}
		r.Content = append(r.Content, part)
	}
	return anthropic.ContentBlockParamUnion{OfToolResult: &r}
}

// spent is the tokens of m, nil when nothing came.
func spent(m *anthropic.Message) *wire.LLMResponse {
	u := m.Usage
	if u.InputTokens+u.OutputTokens == 0 {
		return nil
	}
	return &wire.LLMResponse{Usage: wire.Usage{
		InputTokens:  u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens,
		OutputTokens: u.OutputTokens,
	}}
}

// response keeps texts and tool calls; a model that thinks aloud does so for itself.
func response(m *anthropic.Message) *wire.LLMResponse {
	out := spent(m)
	if out == nil {
		out = &wire.LLMResponse{}
	}
	out.Model, out.Content = string(m.Model), []wire.Block{}
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			out.Content = append(out.Content, wire.Block{Type: wire.BlockText, Text: b.Text})
		case "tool_use":
			out.Content = append(out.Content, wire.Block{Type: wire.BlockToolUse, ID: b.ID, Name: b.Name, Input: b.Input})
		}
	}
	switch m.StopReason {
	case anthropic.StopReasonToolUse:
		out.StopReason = wire.StopToolUse
	case anthropic.StopReasonMaxTokens, "model_context_window_exceeded":
		out.StopReason = wire.StopMaxTokens
		if n := len(out.Content); n > 0 && out.Content[n-1].Type == wire.BlockToolUse { // its arguments are cut off
			out.Content = out.Content[:n-1]
		}
	case anthropic.StopReasonRefusal:
		out.StopReason = wire.StopEndTurn
		out.Content = append(out.Content, wire.Block{Type: wire.BlockText, Text: "(The model refused to go on.)"})
	default:
		out.StopReason = wire.StopEndTurn
	}
	return out
}
