package modeltest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// completions is the Chat Completions API.
type completions struct{}

func (completions) path() string { return "/v1/chat/completions" }

func (completions) key(r *http.Request) string {
	key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return key
}

func (completions) failure(status int, message string) any {
	kind := map[int][2]string{
		401: {"invalid_request_error", "invalid_api_key"}, 404: {"invalid_request_error", "model_not_found"},
		429: {"requests", "rate_limit_exceeded"}, 500: {"server_error", ""}, 529: {"overloaded_error", ""},
	}[status]
	e := map[string]any{"message": message, "type": cmp.Or(kind[0], "invalid_request_error"), "param": nil, "code": nil}
	if kind[1] != "" {
		e["code"] = kind[1]
	}
	return map[string]any{"error": e}
}

// complaint checks what clients get wrong most easily.
func (completions) complaint(_ *http.Request, body map[string]any) string {
	list, _ := body["messages"].([]any)
	if body["model"] == "" || len(list) == 0 || body["stream"] != true {
		return "model, messages and stream are required"
	}
	for _, t := range slice(body["tools"]) {
		f, _ := t["function"].(map[string]any)
		schema, _ := f["parameters"].(map[string]any)
		if t["type"] != "function" || f["name"] == "" || schema["type"] != "object" {
			return "tools: a function has a name and an object of parameters"
		}
	}
	open := make(map[any]bool) // tool calls without a result
	for i, m := range slice(body["messages"]) {
		if m["role"] != "tool" && len(open) > 0 {
			return "an assistant message with 'tool_calls' must be followed by tool messages"
		}
		calls := slice(m["tool_calls"])
		if problem := badContent(m, len(calls) > 0); problem != "" {
			return fmt.Sprintf("messages.%d: %s", i, problem)
		}
		for _, c := range calls {
			f, _ := c["function"].(map[string]any)
			if args, _ := f["arguments"].(string); c["type"] != "function" || !json.Valid([]byte(args)) {
				return fmt.Sprintf("messages.%d: arguments must be a string of JSON", i)
			}
			open[c["id"]] = true
		}
		if m["role"] == "tool" && !open[m["tool_call_id"]] {
			return fmt.Sprintf("messages.%d: unexpected tool_call_id", i)
		}
		delete(open, m["tool_call_id"])
	}
	if len(open) > 0 {
		return "tool calls without a tool message"
	}
	return ""
}

func slice(v any) (out []map[string]any) {
	list, _ := v.([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		out = append(out, m)
	}
	return out
}

// badContent says what is wrong with the content of one message.
func badContent(m map[string]any, calls bool) string {
	if text, ok := m["content"].(string); ok {
		if text == "" {
			return "empty content"
		}
		return ""
	}
	parts := slice(m["content"])
	if len(parts) == 0 && !calls {
		return "content is required"
	}
	for _, p := range parts {
		image, _ := p["image_url"].(map[string]any)
		url, _ := image["url"].(string)
		switch {
		case p["type"] == "text" && p["text"] != "":
		case p["type"] == "image_url" && m["role"] == "user" && strings.HasPrefix(url, "data:image/"):
		default:
			return fmt.Sprintf("a part %v of role %v", p["type"], m["role"])
		}
	}
	return ""
}

// chunk sends one event of a completion.
func chunk(send sender, model, choices, usage string) {
	send("", fmt.Sprintf(`{"id":"chatcmpl-test","object":"chat.completion.chunk","created":1,"model":%q,`+
		`"choices":[%s],"usage":%s}`, model, choices, usage))
}

func delta(send sender, model, delta string) {
	chunk(send, model, `{"index":0,"delta":`+delta+`,"finish_reason":null}`, "null")
}

func (completions) begin(a Answer, model string, send sender) {
	delta(send, model, `{"role":"assistant","content":""}`)
	for _, p := range pieces(a.Thought) {
		delta(send, model, `{"content":null,"reasoning_content":`+quote(p)+`}`)
	}
	for _, p := range pieces(a.Text) {
		delta(send, model, `{"content":`+quote(p)+`}`)
	}
	for i, u := range a.Uses {
		delta(send, model, fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":%s,"type":"function",`+
			`"function":{"name":%s,"arguments":""}}]}`, i, quote(u.ID), quote(u.Name)))
		for _, p := range pieces(u.Input) {
			delta(send, model, fmt.Sprintf(`{"tool_calls":[{"index":%d,"function":{"arguments":%s}}]}`, i, quote(p)))
		}
	}
}

func (completions) broken(kind, message string) (event, data string) {
	return "", fmt.Sprintf(`{"error":{"type":%q,"message":%q,"code":null}}`, kind, message)
}

func (completions) end(a Answer, body map[string]any, send sender) {
	stop, model := cmp.Or(a.Stop, "stop"), fmt.Sprint(body["model"])
	if a.Stop == "" && len(a.Uses) > 0 {
		stop = "tool_calls"
	}
	chunk(send, model, fmt.Sprintf(`{"index":0,"delta":{},"finish_reason":%q}`, stop), "null")
	if options, _ := body["stream_options"].(map[string]any); options["include_usage"] == true && !a.Uncounted {
		chunk(send, model, "", fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`,
			a.InputTokens, a.OutputTokens, a.InputTokens+a.OutputTokens))
	}
	send("", "[DONE]")
}
