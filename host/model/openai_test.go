package model_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// TestStreamsOfOtherServers are what servers send that only speak like OpenAI's.
func TestStreamsOfOtherServers(t *testing.T) {
	const end = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	text := []wire.Block{{Type: wire.BlockText, Text: "hi"}}
	use := func(id, name, input string) wire.Block {
		return wire.Block{Type: wire.BlockToolUse, ID: id, Name: name, Input: wire.RawMessage(input)}
	}
	calls := func(pieces ...string) string {
		return `{"choices":[{"index":0,"delta":{"tool_calls":[` + strings.Join(pieces, ",") + `]}}]}`
	}
	var many []string
	for i := range 129 {
		many = append(many, fmt.Sprintf(`{"index":%d,"id":"c%[1]d","function":{"name":"a","arguments":"{}"}}`, i))
	}
	for name, tc := range map[string]struct {
		events []string
		want   []wire.Block
		fails  string
	}{
		"IDs that change":     {[]string{`{"id":"1","choices":[{"delta":{"content":"h"}}]}`, `{"id":"2","choices":[{"delta":{"content":"i"}}]}`, end, "[DONE]"}, text, ""},
		"no DONE":             {[]string{`{"choices":[{"delta":{"content":"hi"}}]}`, end}, text, ""},
		"error after the end": {[]string{`{"choices":[{"delta":{"content":"hi"}}]}`, end, `{"error":{"message":"late"}}`}, text, ""},
		"no end":              {[]string{`{"choices":[{"delta":{"content":"hi"}}]}`}, nil, "cut off"},
		"nothing":             {nil, nil, "cut off"},
		"no choices":          {[]string{`{"choices":[],"prompt_filter_results":[]}`, `{"choices":[{"delta":{"content":"hi"}}]}`, end}, text, ""},
		"another choice":      {[]string{`{"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"hi"}}]}`, end}, text, ""},
		"a refusal":           {[]string{`{"choices":[{"delta":{"refusal":"hi"}}]}`, end}, text, ""},
		"an error":            {[]string{`{"error":{"message":"m","code":502}}`}, nil, "HTTP status 502"},
		"one index, by IDs":   {[]string{calls(`{"index":0,"id":"a","function":{"name":"x","arguments":"{}"}}`, `{"index":0,"id":"b","function":{"name":"y","arguments":"{\"k\":"}}`), calls(`{"index":0,"function":{"arguments":"1}"}}`), end}, []wire.Block{use("a", "x", "{}"), use("b", "y", `{"k":1}`)}, ""},
		"ID in each piece":    {[]string{calls(`{"index":0,"id":"a","function":{"name":"x","arguments":"{"}}`), calls(`{"index":0,"id":"a","function":{"name":"x","arguments":"}"}}`), end}, []wire.Block{use("a", "x", "{}")}, ""},
		"no ID":               {[]string{calls(`{"index":0,"function":{"name":"x"}}`, `{"index":1,"function":{"name":"y"}}`), end}, []wire.Block{use("call_0", "x", "{}"), use("call_1", "y", "{}")}, ""},
		"mixed pieces":        {[]string{calls(`{"index":0,"id":"a","function":{"name":"x"}}`, `{"index":1,"id":"b","function":{"name":"y"}}`), calls(`{"index":1,"function":{"arguments":"{}"}}`, `{"index":0,"function":{"arguments":"{\"k\":1}"}}`), end}, []wire.Block{use("a", "x", `{"k":1}`), use("b", "y", "{}")}, ""},
		"no name":             {[]string{calls(`{"index":0,"id":"a","function":{"arguments":"{}"}}`), end}, nil, "makes no sense"},
		"too many calls":      {[]string{calls(many...), end}, nil, "makes no sense"},
		"wrong types":         {[]string{`{"choices":"none"}`, `[]`, `"x"`, `null`}, nil, "first"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, ": a comment\n\n")
				for _, e := range tc.events {
					fmt.Fprintf(w, "data: %s\n\n", e)
				}
			}))
			defer s.Close()
			got, err := one(t, model.OpenAI, s.URL, "").Complete(t.Context(), request("hi"), nil)
			if tc.fails != "" {
				if !strings.Contains(sentence(err), tc.fails) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got.Content, tc.want) || got.Usage.InputTokens == 0 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestCallsOfAnotherModel: after a fallback a conversation has calls that another model made.
func TestCallsOfAnotherModel(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "ok"})
		req := request("hi")
		req.Messages = append(req.Messages,
			wire.LLMMessage{Role: wire.RoleAssistant, Content: []wire.Block{{Type: wire.BlockToolUse, ID: "functions.calc:0", Name: "calc"}}},
			wire.LLMMessage{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockToolResult, ToolUseID: "functions.calc:0"}}})
		if _, err := one(t, kind, s.URL, modeltest.Key).Complete(t.Context(), req, nil); err != nil {
			t.Error(err)
		}
	})
}
