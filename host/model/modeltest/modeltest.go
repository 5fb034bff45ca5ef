// Package modeltest has a fake Messages server that the unmodified Anthropic SDK talks to:
// real HTTP, real server-sent events, scripted answers, and the ways in which the real one
// fails. It is for tests, and must never be linked into a program.
package modeltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Key is the only one the server takes.
const Key = "sk-ant-test-0123456789"

// Answer is what the server says to one request. The zero Answer is an empty text.
type Answer struct {
	Text string // streamed in pieces of a few bytes
	Uses []Use  // tool calls, after the text
	Stop string // stop reason; "" = tool_use with Uses, else end_turn

	InputTokens, OutputTokens int64 // 0 = 10 and 5

	// Failures. The first that is set is what happens.
	Status  int           // this HTTP status, with the API's error body; Header beside it
	Header  http.Header   //
	Message string        // of the error body
	Raw     string        // this body with status 200 and no event stream
	Garbage bool          // an event that is no JSON, after the beginning of an answer
	Cut     bool          // the connection breaks in the middle of the answer
	Event   string        // an error event of this type in the middle of the answer
	Hang    chan struct{} // waits in the middle of the answer until it is closed, or the client goes
}

// Use is a call of a tool; its arguments are streamed as partial JSON.
type Use struct {
	ID, Name string
	Input    string // JSON; "" = no arguments at all
}

// Request is what the server was asked.
type Request struct {
	Header http.Header
	Body   map[string]any
	Raw    []byte
}

// Anthropic is a fake Messages server.
type Anthropic struct {
	URL string // base_url

	mu       sync.Mutex
	answers  []Answer
	requests []Request
}

// NewAnthropic starts a server that gives the answers in turn, and the last one again and
// again. It stops with the test.
func NewAnthropic(t testing.TB, answers ...Answer) *Anthropic {
	t.Helper()
	a := &Anthropic{answers: answers}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	a.URL = s.URL
	return a
}

// Script replaces the answers still to come.
func (a *Anthropic) Script(answers ...Answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = answers
}

// Requests are those so far, refused ones included.
func (a *Anthropic) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.requests...)
}

// next records a request and takes its answer.
func (a *Anthropic) next(r Request) Answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, r)
	if len(a.answers) == 0 {
		return Answer{}
	}
	out := a.answers[0]
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	return out
}

// ServeHTTP is the Messages API.
func (a *Anthropic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	req := Request{Header: r.Header.Clone(), Raw: raw}
	if err == nil {
		err = json.Unmarshal(raw, &req.Body)
	}
	answer := a.next(req)
	switch problem := complaint(r, req.Body, err); {
	case r.Method != http.MethodPost || r.URL.Path != "/v1/messages":
		fail(w, http.StatusNotFound, "not_found_error", "no such path")
	case r.Header.Get("X-Api-Key") != Key:
		fail(w, http.StatusUnauthorized, "authentication_error", "invalid x-api-key "+r.Header.Get("X-Api-Key"))
	case problem != "":
		fail(w, http.StatusBadRequest, "invalid_request_error", problem)
	case answer.Status != 0:
		for k, v := range answer.Header {
			w.Header()[k] = v
		}
		fail(w, answer.Status, kinds[answer.Status], answer.Message)
	case answer.Raw != "":
		_, _ = io.WriteString(w, answer.Raw)
	default:
		answer.stream(w, r, fmt.Sprint(req.Body["model"]))
	}
}

var kinds = map[int]string{
	400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
	413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
}

func fail(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "error", "error": map[string]string{"type": kind, "message": message}, "request_id": "req_test",
	})
}

// complaint checks what the real API checks and a client gets wrong most easily.
func complaint(r *http.Request, body map[string]any, err error) string {
	if err != nil {
		return "the body is not JSON"
	}
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

// stream sends the answer as events.
func (a Answer) stream(w http.ResponseWriter, r *http.Request, model string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	send := func(kind, data string) {
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
		w.(http.Flusher).Flush()
	}
	in, out := a.InputTokens, a.OutputTokens
	if in == 0 {
		in = 10
	}
	if out == 0 {
		out = 5
	}
	send("message_start", fmt.Sprintf(`{"type":"message_start","message":{"id":"msg_test","type":"message",`+
		`"role":"assistant","model":%q,"content":[],"stop_reason":null,"stop_sequence":null,`+
		`"usage":{"input_tokens":%d,"output_tokens":1}}}`, model, in))
	send("ping", `{"type":"ping"}`)
	a.blocks(send)
	switch {
	case a.Garbage:
		send("content_block_delta", `{"type":`)
		return
	case a.Cut:
		panic(http.ErrAbortHandler)
	case a.Event != "":
		send("error", fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%q}}`, a.Event, a.Message))
		return
	case a.Hang != nil:
		select {
		case <-a.Hang:
		case <-r.Context().Done():
			return
		}
	}
	stop := a.Stop
	if stop == "" {
		stop = "end_turn"
		if len(a.Uses) > 0 {
			stop = "tool_use"
		}
	}
	send("message_delta", fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":%q,"stop_sequence":null},`+
		`"usage":{"output_tokens":%d}}`, stop, out))
	send("message_stop", `{"type":"message_stop"}`)
}

func (a Answer) blocks(send func(kind, data string)) {
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
	if a.Text != "" || len(a.Uses) == 0 {
		block(`{"type":"text","text":""}`, "text_delta", "text", pieces(a.Text))
	}
	for _, u := range a.Uses {
		start := fmt.Sprintf(`{"type":"tool_use","id":%s,"name":%s,"input":{}}`, quote(u.ID), quote(u.Name))
		block(start, "input_json_delta", "partial_json", append([]string{""}, pieces(u.Input)...))
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

// pieces cuts s into runs of a few runes.
func pieces(s string) (out []string) {
	r := []rune(s)
	for len(r) > 0 {
		n := min(3, len(r))
		out, r = append(out, string(r[:n])), r[n:]
	}
	return out
}
