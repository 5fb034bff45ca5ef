package modeltest

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// messages is the Messages API.
type messages struct{}

func (messages) path() string { return "/v1/messages" }

func (messages) key(r *http.Request) string { return r.Header.Get("X-Api-Key") }

func (messages) failure(status int, message string) any {
	kind := map[int]string{
		400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
		413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
	}[status]
	return map[string]any{
		"type": "error", "error": map[string]string{"type": kind, "message": message}, "request_id": "req_test",
	}
}

var toolID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// complaint checks what clients get wrong most easily.
func (messages) complaint(r *http.Request, body map[string]any) string {
	if r.Header.Get("Anthropic-Version") == "" {
		return "anthropic-version: header is required"
	}
	messages, _ := body["messages"].([]any)
	if n, _ := body["max_tokens"].(float64); n < 1 || body["model"] == "" || len(messages) == 0 || body["stream"] != true {
		return "model, max_tokens, messages and stream are required"
	}
	open := make(map[any]bool) // tool calls without a result
	for i, m := range messages {
		content, _ := m.(map[string]any)["content"].([]any)
		if s, isText := m.(map[string]any)["content"].(string); isText && s != "" {
			continue
		}
		if len(content) == 0 {
			return fmt.Sprintf("messages.%d: content must not be empty", i)
		}
		for _, b := range content {
			block := b.(map[string]any)
			switch block["type"] {
			case "text":
				if s, _ := block["text"].(string); strings.TrimSpace(s) == "" {
					return fmt.Sprintf("messages.%d: text content blocks must be non-empty", i)
				}
			case "tool_use":
				if _, ok := block["input"].(map[string]any); !ok {
					return fmt.Sprintf("messages.%d: tool_use.input must be an object", i)
				}
				if !toolID.MatchString(fmt.Sprint(block["id"])) {
					return fmt.Sprintf("messages.%d: tool_use.id does not match", i)
				}
				open[block["id"]] = true
			case "tool_result":
				if !open[block["tool_use_id"]] {
					return fmt.Sprintf("messages.%d: unexpected tool_use_id", i)
				}
				delete(open, block["tool_use_id"])
			}
		}
	}
	if len(open) > 0 {
		return "tool_use ids were found without tool_result blocks"
	}
	return ""
}

func (messages) begin(a Answer, model string, send sender) {
	send("message_start", fmt.Sprintf(`{"type":"message_start","message":{"id":"msg_%d","type":"message",`+
		`"role":"assistant","model":%q,"content":[],"stop_reason":null,"stop_sequence":null,`+
		`"usage":{"input_tokens":%d,"output_tokens":1}}}`, time.Now().UnixNano(), model, a.InputTokens))
	send("ping", `{"type":"ping"}`)
	a.blocks(send)
}

func (messages) broken(kind, message string) (event, data string) {
	return "error", fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q}}`, kind, message)
}

func (messages) end(a Answer, _ map[string]any, send sender) {
	stop := cmp.Or(a.Stop, "end_turn")
	if a.Stop == "" && len(a.Uses) > 0 {
		stop = "tool_use"
	}
	send("message_delta", fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":%q,"stop_sequence":null},`+
		`"usage":{"output_tokens":%d}}`, stop, a.OutputTokens))
	send("message_stop", `{"type":"message_stop"}`)
}

func (a Answer) blocks(send sender) {
	index := 0
	block := func(start, delta, field string, pieces []string) {
		send("content_block_start", fmt.Sprintf(`{"type":"content_block_start","index":%d,"content_block":%s}`, index, start))
		for _, p := range pieces {
			send("content_block_delta", fmt.Sprintf(`{"type":"content_block_delta","index":%d,"delta":{"type":%q,%q:%s}}`,
				index, delta, field, quote(p)))
		}
		send("content_block_stop", `{"type":"content_block_stop","index":`+strconv.Itoa(index)+`}`)
		index++
	}
	if a.Thought != "" {
		block(`{"type":"thinking","thinking":"","signature":""}`, "thinking_delta", "thinking", pieces(a.Thought))
	}
	if a.Text != "" || len(a.Uses) == 0 {
		block(`{"type":"text","text":""}`, "text_delta", "text", pieces(a.Text))
	}
	for _, u := range a.Uses {
		start := fmt.Sprintf(`{"type":"tool_use","id":%s,"name":%s,"input":{}}`, quote(u.ID), quote(u.Name))
		block(start, "input_json_delta", "partial_json", append([]string{""}, pieces(u.Input)...))
	}
}
