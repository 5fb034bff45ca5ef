package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	defaultMaxTokens = 8192
	maxMaxTokens     = 64_000
)

// remote is a model behind an Endpoint: what all protocols share.
type remote struct {
	host.ModelChoice
	end               Endpoint
	ask               asker
	client            *http.Client
	retries           int
	patience, silence time.Duration
}

// asker speaks one protocol by its official SDK. It gives what came, whole or not, and why no
// more did.
type asker func(ctx context.Context, r *remote, key string, req wire.LLMRequest, onText func(string)) (answer, error)

// answer is a response, and the bytes of what a model thought and did not say.
type answer struct {
	wire.LLMResponse
	hidden int
}

// key is that of provider, "" when none is sent.
func (e Endpoint) key(provider string) (string, error) {
	if e.Key == nil {
		return "", nil
	}
	key, err := e.Key()
	if err != nil {
		text := fmt.Sprintf("the %s key is not there; see api_key in [providers.%[1]s]", provider)
		return "", &failure{kind: host.ErrDenied, sentence: text, detail: err.Error()}
	}
	return key, nil
}

// Complete is one attempt, but for what the SDK tries again before an answer begins.
func (r *remote) Complete(ctx context.Context, req wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error) {
	req, err := r.tidy(req)
	if err != nil {
		return nil, err
	}
	key, err := r.end.key(r.Provider)
	if err != nil {
		return nil, err
	}
	inner, x, done := listen(ctx, r.silence, r.patience)
	defer done()
	got, err := r.ask(inner, r, key, req, onText)
	if err == nil {
		err = got.settle()
	}
	if x.began {
		got.count(req, err != nil)
	}
	switch {
	case err == nil:
		return &got.LLMResponse, nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = &failure{kind: host.ErrTimeout, sentence: r.Provider + " took longer than the turn may"}
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case context.Cause(inner) == errSilent:
		err = &failure{kind: host.ErrUnavailable, sentence: fmt.Sprintf("%s said nothing for %s", r.Provider, r.silence)}
	default:
		err = r.explain(err, x, key)
	}
	return &wire.LLMResponse{Usage: got.Usage}, err
}

// settle checks the calls of a whole answer. Arguments that are no JSON object make it none: to
// call the tool without them would do what nobody asked for.
func (a *answer) settle() error {
	if n := len(a.Content) - 1; a.StopReason == wire.StopMaxTokens && n >= 0 && a.Content[n].Type == wire.BlockToolUse {
		a.Content = a.Content[:n] // its arguments are cut off
	}
	for i, b := range a.Content {
		var args map[string]json.RawMessage
		switch {
		case b.Type != wire.BlockToolUse:
		case b.Name == "" || json.Unmarshal(b.Input, &args) != nil:
			return garbled(fmt.Sprintf("it calls tool %q with %d bytes that are no JSON object", b.Name, len(b.Input)))
		case args == nil: // null: some servers' word for no arguments
			a.Content[i].Input = wire.RawMessage("{}")
		}
	}
	return nil
}

// count fills in what the server did not count, so that budgets bite.
func (a *answer) count(req wire.LLMRequest, broken bool) {
	out := estimate(a.Content) + tokens(a.hidden)
	if a.Usage.OutputTokens == 0 || broken { // servers count an answer at its end
		a.Usage.OutputTokens = max(a.Usage.OutputTokens, out)
	}
	if a.Usage.InputTokens > 0 {
		return
	}
	a.Usage.InputTokens = tokens(len(req.System))
	for _, m := range req.Messages {
		a.Usage.InputTokens += estimate(m.Content)
	}
	for _, t := range req.Tools {
		a.Usage.InputTokens += tokens(len(t.Name) + len(t.Description) + len(t.InputSchema))
	}
}

// estimate guesses the tokens of blocks. An image, or a page of a document, costs up to 1,600.
func estimate(blocks []wire.Block) (n int64) {
	for _, b := range blocks {
		n += tokens(len(b.Text) + len(b.Name) + len(b.Input))
		if b.Data != "" {
			n += 1600
		}
		for _, c := range b.Content {
			if n += tokens(len(c.Text)); c.Data != "" {
				n += 1600
			}
		}
	}
	return n
}

// tokens is a high guess: English takes four bytes a token, code and most other scripts three.
func tokens(bytes int) int64 { return int64(bytes+2) / 3 }

// tidy makes of req what every protocol can say: no empty texts and messages, which APIs
// refuse, no images but those the model sees, an object as the arguments of each call.
func (r *remote) tidy(req wire.LLMRequest) (wire.LLMRequest, error) {
	messages := req.Messages
	req.Messages, req.MaxTokens = nil, min(max(req.MaxTokens, 0), maxMaxTokens)
	if strings.TrimSpace(req.System) == "" {
		req.System = ""
	}
	for _, m := range messages {
		if m.Role != wire.RoleUser && m.Role != wire.RoleAssistant {
			return req, invalid("messages are the user's or the assistant's")
		}
		blocks := make([]wire.Block, 0, len(m.Content))
		for _, b := range m.Content {
			switch b.Type {
			case wire.BlockText:
			case wire.BlockToolUse:
				if len(b.Input) == 0 {
					b.Input = wire.RawMessage("{}")
				}
			case wire.BlockToolResult:
				b.Content = r.seen(b.Content)
			case wire.BlockImage, wire.BlockDocument:
				if !r.sees(b.MIMEType) {
					b = wire.Block{Type: wire.BlockText, Text: leftOut(b.Type, b.MIMEType)}
				}
			default:
				return req, invalid("a message has a block of unknown type")
			}
			if b.Type != wire.BlockText || strings.TrimSpace(b.Text) != "" {
				blocks = append(blocks, b)
			}
		}
		if len(blocks) > 0 {
			req.Messages = append(req.Messages, wire.LLMMessage{Role: m.Role, Content: blocks})
		}
	}
	if len(req.Messages) == 0 {
		return req, invalid("there is no message to answer")
	}
	for _, t := range req.Tools {
		var schema map[string]any
		if len(t.InputSchema) > 0 && json.Unmarshal(t.InputSchema, &schema) != nil {
			return req, invalid("the inputSchema of a tool is no object")
		}
	}
	return req, nil
}

// seen is a tool's result with a note for each part that the model cannot read.
func (r *remote) seen(in []wire.Content) (out []wire.Content) {
	for _, c := range in {
		if c.Type != "text" && (c.Type != wire.BlockImage && c.Type != wire.BlockDocument || !r.sees(c.MIMEType)) {
			c = wire.Content{Type: "text", Text: leftOut(c.Type, c.MIMEType)}
		}
		if c.Type != "text" || c.Text != "" {
			out = append(out, c)
		}
	}
	return out
}

// sees reports whether the model takes images of this type: of what the APIs take, all or none. PDFs are
// taken by the Messages API; of Chat Completions only OpenAI's own servers take them, and others fail.
func (r *remote) sees(mimeType string) bool {
	if mimeType == "application/pdf" {
		return !r.Blind && r.end.Kind == Anthropic
	}
	return !r.Blind && slices.Contains([]string{"image/jpeg", "image/png", "image/gif", "image/webp"}, mimeType)
}

func leftOut(kind, mimeType string) string {
	return fmt.Sprintf("[%s of type %q left out]", kind, mimeType)
}

// invalid is for a request that no model can answer. It quotes nothing: a skill wrote it.
func invalid(sentence string) error { return &failure{kind: host.ErrInvalid, sentence: sentence} }
