package model

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"regexp"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/packages/param"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// askAnthropic speaks the Messages API.
func askAnthropic(
	ctx context.Context, r *remote, key string, req wire.LLMRequest, onText func(string),
) (answer, error) {
	opts := []option.RequestOption{
		option.WithoutEnvironmentDefaults(), option.WithEnvironmentProduction(), option.WithoutOpenTelemetry(),
		option.WithHTTPClient(r.client), option.WithMaxRetries(r.retries),
		option.WithMiddleware(func(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			authorize(req.Header, Anthropic, key)
			return next(req)
		}),
	}
	if r.end.BaseURL != "" {
		opts = append(opts, option.WithBaseURL(r.end.BaseURL))
	}
	client := anthropic.NewClient(opts...)
	stream := client.Messages.NewStreaming(ctx, messagesParams(r.Model, req))
	defer stream.Close()
	var m anthropic.Message
	for stream.Next() {
		event := stream.Current()
		switch event.Type {
		case "message_stop":
			return messagesAnswer(&m), nil
		case "content_block_stop": // here the SDK would make {} of arguments that are no JSON
			continue
		}
		if err := m.Accumulate(event); err != nil {
			return messagesAnswer(&m), garbled(err.Error())
		}
		if event.Type == "content_block_delta" && event.Delta.Type == "text_delta" {
			onText(event.Delta.Text)
		}
	}
	return messagesAnswer(&m), cmp.Or(stream.Err(), io.ErrUnexpectedEOF)
}

func messagesParams(model string, req wire.LLMRequest) (p anthropic.MessageNewParams) {
	p.Model, p.MaxTokens = model, int64(cmp.Or(req.MaxTokens, defaultMaxTokens))
	if req.System != "" {
		p.System = []anthropic.TextBlockParam{{Text: req.System, CacheControl: anthropic.NewCacheControlEphemeralParam()}}
	}
	for _, m := range req.Messages {
		say := anthropic.NewUserMessage
		if m.Role == wire.RoleAssistant {
			say = anthropic.NewAssistantMessage
		}
		var blocks []anthropic.ContentBlockParamUnion
		for _, b := range m.Content {
			blocks = append(blocks, messagesBlock(b))
		}
		p.Messages = append(p.Messages, say(blocks...))
	}
	for _, t := range req.Tools {
		tool := anthropic.ToolParam{Name: t.Name}
		if len(t.InputSchema) > 0 { // as it stands in the manifest
			tool.InputSchema = param.Override[anthropic.ToolInputSchemaParam](t.InputSchema)
		}
		if t.Description != "" {
			tool.Description = anthropic.String(t.Description)
		}
		p.Tools = append(p.Tools, anthropic.ToolUnionParam{OfTool: &tool})
	}
	return p
}

// notID is what the API takes in no ID; other models' calls may stand in a conversation.
var notID = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

func messagesBlock(b wire.Block) anthropic.ContentBlockParamUnion {
	switch b.Type {
	case wire.BlockToolUse:
		return anthropic.NewToolUseBlock(notID.ReplaceAllString(b.ID, "_"), b.Input, b.Name)
	case wire.BlockImage:
		return anthropic.NewImageBlockBase64(b.MIMEType, b.Data)
	case wire.BlockDocument:
		return anthropic.NewDocumentBlock(anthropic.Base64PDFSourceParam{Data: b.Data})
	case wire.BlockText:
		return anthropic.NewTextBlock(b.Text)
	}
	r := anthropic.ToolResultBlockParam{ToolUseID: notID.ReplaceAllString(b.ToolUseID, "_")}
	if b.IsError {
		r.IsError = anthropic.Bool(true)
	}
	for _, c := range b.Content {
		var part anthropic.ToolResultBlockParamContentUnion
		switch c.Type {
		case wire.BlockImage:
			part.OfImage = anthropic.NewImageBlockBase64(c.MIMEType, c.Data).OfImage
		case wire.BlockDocument:
			part.OfDocument = anthropic.NewDocumentBlock(anthropic.Base64PDFSourceParam{Data: c.Data}).OfDocument
		default:
			part.OfText = &anthropic.TextBlockParam{Text: c.Text}
		}
		r.Content = append(r.Content, part)
	}
	return anthropic.ContentBlockParamUnion{OfToolResult: &r}
}

// messagesAnswer keeps texts and tool calls; a model that thinks aloud does so for itself.
func messagesAnswer(m *anthropic.Message) (out answer) {
	u := m.Usage
	out.Usage = wire.Usage{
		InputTokens: u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens, OutputTokens: u.OutputTokens,
	}
	out.Model, out.Content, out.StopReason = string(m.Model), []wire.Block{}, wire.StopEndTurn
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			out.Content = append(out.Content, wire.Block{Type: wire.BlockText, Text: b.Text})
		case "tool_use":
			out.Content = append(out.Content, wire.Block{Type: wire.BlockToolUse, ID: b.ID, Name: b.Name, Input: b.Input})
		case "thinking":
			out.hidden += len(b.Thinking)
		}
	}
	switch m.StopReason {
	case anthropic.StopReasonToolUse:
		out.StopReason = wire.StopToolUse
	case anthropic.StopReasonMaxTokens, "model_context_window_exceeded":
		out.StopReason = wire.StopMaxTokens
	case anthropic.StopReasonRefusal:
		out.Content = append(out.Content, wire.Block{Type: wire.BlockText, Text: refused})
	}
	return out
}
