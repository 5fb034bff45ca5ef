package model

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// maxToolCalls bounds the calls of one answer.
const maxToolCalls = 128

// refused is added to an answer that a model, or a filter behind it, ended.
const refused = "(The model refused to go on.)"

// askOpenAI speaks the Chat Completions API. The service is made by itself: a whole client of
// the SDK would read keys and addresses from the environment.
func askOpenAI(ctx context.Context, r *remote, key string, req wire.LLMRequest, onText func(string)) (answer, error) {
	opts := []option.RequestOption{
		option.WithEnvironmentProduction(), option.WithHTTPClient(r.client), option.WithMaxRetries(r.retries),
	}
	if key != "" {
		opts = append(opts, option.WithAPIKey(key))
	}
	if r.end.BaseURL != "" {
		opts = append(opts, option.WithBaseURL(r.end.BaseURL))
	}
	chat := openai.NewChatCompletionService(opts...)
	stream := chat.NewStreaming(ctx, chatParams(r, req))
	defer stream.Close()
	c := completion{answer: answer{LLMResponse: wire.LLMResponse{Model: r.Model}}}
	for stream.Next() {
		if err := c.add(stream.Current(), onText); err != nil {
			return c.whole(), err
		}
	}
	if c.finish != "" { // what is missing after it is the usage at most
		return c.whole(), nil
	}
	return c.whole(), cmp.Or(stream.Err(), io.ErrUnexpectedEOF)
}

func chatParams(r *remote, req wire.LLMRequest) (p openai.ChatCompletionNewParams) {
	p.Model = r.Model
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	// Without a bound the server's own is best: one that is larger than a small model's context
	// is refused. OpenAI itself wants the new name of the field, others know the old one.
	if req.MaxTokens > 0 && r.end.BaseURL == "" {
		p.MaxCompletionTokens = openai.Int(int64(req.MaxTokens))
	} else if req.MaxTokens > 0 {
		p.MaxTokens = openai.Int(int64(req.MaxTokens))
	}
	if req.System != "" {
		p.Messages = append(p.Messages, openai.SystemMessage(req.System))
	}
	for _, m := range req.Messages {
		if m.Role == wire.RoleAssistant {
			p.Messages = append(p.Messages, chatAssistant(m.Content))
		} else {
			p.Messages = append(p.Messages, chatUser(m.Content)...)
		}
	}
	for _, t := range req.Tools {
		f := openai.FunctionDefinitionParam{Name: t.Name, Parameters: openai.FunctionParameters{"type": "object"}}
		if t.Description != "" {
			f.Description = openai.String(t.Description)
		}
		_ = json.Unmarshal(t.InputSchema, &f.Parameters) // an object or nothing
		p.Tools = append(p.Tools, openai.ChatCompletionFunctionTool(f))
	}
	return p
}

func chatAssistant(blocks []wire.Block) openai.ChatCompletionMessageParamUnion {
	var m openai.ChatCompletionAssistantMessageParam
	var texts []string
	for _, b := range blocks {
		switch b.Type {
		case wire.BlockText:
			texts = append(texts, b.Text)
		case wire.BlockToolUse:
			call := openai.ChatCompletionMessageFunctionToolCallParam{ID: b.ID}
			call.Function.Name, call.Function.Arguments = b.Name, string(b.Input)
			m.ToolCalls = append(m.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{OfFunction: &call})
		}
	}
	if len(texts) > 0 {
		m.Content.OfString = openai.String(strings.Join(texts, "\n\n"))
	}
	return openai.ChatCompletionMessageParamUnion{OfAssistant: &m}
}

// chatUser is one message for each tool result, and one for the rest. A tool's message holds
// text alone, so what it shows is the user's to show.
func chatUser(blocks []wire.Block) (out []openai.ChatCompletionMessageParamUnion) {
	var rest []wire.Block
	for _, b := range blocks {
		if b.Type != wire.BlockToolResult {
			rest = append(rest, b)
			continue
		}
		var texts []string
		if b.IsError {
			texts = append(texts, "The tool failed.")
		}
		for _, c := range b.Content {
			if c.Type == wire.BlockImage {
				c.Text = "[image: see the next message of the user]"
				rest = append(rest, wire.Block{Type: c.Type, Data: c.Data, MIMEType: c.MIMEType})
			}
			texts = append(texts, c.Text)
		}
		if len(texts) == 0 {
			texts = append(texts, "(no output)")
		}
		out = append(out, openai.ToolMessage(strings.Join(texts, "\n"), b.ToolUseID))
	}
	var texts []string
	var parts []openai.ChatCompletionContentPartUnionParam
	for _, b := range rest {
		if b.Type == wire.BlockText {
			texts = append(texts, b.Text)
			parts = append(parts, openai.TextContentPart(b.Text))
			continue
		}
		url := openai.ChatCompletionContentPartImageImageURLParam{URL: "data:" + b.MIMEType + ";base64," + b.Data}
		parts = append(parts, openai.ImageContentPart(url))
	}
	switch {
	case len(parts) == len(texts) && len(texts) > 0: // some servers take no list where a string will do
		out = append(out, openai.UserMessage(strings.Join(texts, "\n\n")))
	case len(parts) > 0:
		out = append(out, openai.UserMessage(parts))
	}
	return out
}

// completion puts the pieces of an answer together. The SDK's accumulator would refuse streams
// that other servers send: IDs that change, calls that share an index.
type completion struct {
	answer
	text   strings.Builder
	calls  []*toolCall
	finish string
}

type toolCall struct {
	index    int64
	id, name string
	input    strings.Builder
}

func (c *completion) add(chunk openai.ChatCompletionChunk, onText func(string)) error {
	if chunk.Model != "" {
		c.Model = chunk.Model
	}
	if u := chunk.Usage; u.PromptTokens+u.CompletionTokens > 0 {
		c.Usage = wire.Usage{InputTokens: u.PromptTokens, OutputTokens: u.CompletionTokens}
	}
	for _, choice := range chunk.Choices {
		if choice.Index != 0 {
			continue
		}
		d := choice.Delta
		for _, thought := range d.JSON.ExtraFields { // reasoning_content, reasoning: the model's own
			c.hidden += len(thought.Raw())
		}
		if s := d.Content + d.Refusal; s != "" {
			c.text.WriteString(s)
			onText(s)
		}
		for _, piece := range d.ToolCalls {
			if err := c.call(piece); err != nil {
				return err
			}
		}
		if choice.FinishReason != "" {
			c.finish = choice.FinishReason
		}
	}
	return nil
}

// call adds a piece of a tool call. It belongs to the last call with its index, unless it
// brings an ID of its own: some servers give every call the same index.
func (c *completion) call(piece openai.ChatCompletionChunkChoiceDeltaToolCall) error {
	var at *toolCall
	for i := len(c.calls) - 1; i >= 0 && at == nil; i-- {
		if have := c.calls[i]; have.index == piece.Index && (piece.ID == "" || piece.ID == have.id) {
			at = have
		}
	}
	if at == nil {
		if len(c.calls) == maxToolCalls {
			return garbled(fmt.Sprintf("it calls more than %d tools at once", maxToolCalls))
		}
		at = &toolCall{index: piece.Index, id: cmp.Or(piece.ID, fmt.Sprintf("call_%d", len(c.calls)))}
		c.calls = append(c.calls, at)
	}
	at.name = cmp.Or(at.name, piece.Function.Name)
	at.input.WriteString(piece.Function.Arguments)
	return nil
}

func (c *completion) whole() answer {
	c.Content, c.StopReason = []wire.Block{}, wire.StopEndTurn
	if c.text.Len() > 0 {
		c.Content = append(c.Content, wire.Block{Type: wire.BlockText, Text: c.text.String()})
	}
	for _, t := range c.calls {
		input := wire.RawMessage(cmp.Or(t.input.String(), "{}"))
		c.Content = append(c.Content, wire.Block{Type: wire.BlockToolUse, ID: t.id, Name: t.name, Input: input})
		c.StopReason = wire.StopToolUse // whatever the reason that is given
	}
	switch c.finish {
	case "length":
		c.StopReason = wire.StopMaxTokens
	case "content_filter":
		c.Content = append(c.Content, wire.Block{Type: wire.BlockText, Text: refused})
	}
	return c.answer
}
