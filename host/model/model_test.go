package model_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const modelID = "test-1"

// protocols are the kinds of endpoints, each with its fake server.
var protocols = map[string]func(testing.TB, ...modeltest.Answer) *modeltest.Server{
	model.Anthropic: modeltest.NewAnthropic, model.OpenAI: modeltest.NewOpenAI,
}

// each runs a test for every protocol.
func each(t *testing.T, test func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server)) {
	for kind, start := range protocols {
		t.Run(kind, func(t *testing.T) { test(t, kind, start) })
	}
}

func keyed(key string) func() (string, error) { return func() (string, error) { return key, nil } }

// config is that of models of these endpoints, in turn; each provider has the name of its place.
func config(log *bytes.Buffer, ends ...model.Endpoint) model.Config {
	cfg := model.Config{
		Endpoints: make(map[string]model.Endpoint),
		Log:       hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace}),
	}
	var choices []host.ModelChoice
	for i, end := range ends {
		name := []string{"first", "second", "third"}[i]
		cfg.Endpoints[name] = end
		choices = append(choices, host.ModelChoice{Provider: name, Model: modelID})
	}
	cfg.Choose = func(*host.Role) []host.ModelChoice { return choices }
	return cfg
}

func provider(t *testing.T, cfg model.Config) model.Provider {
	t.Helper()
	p, err := model.New(cfg).Model(&host.Role{Name: "r"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// one is the model of one endpoint, found as the daemon finds it.
func one(t *testing.T, kind, baseURL, key string) model.Provider {
	t.Helper()
	return provider(t, config(new(bytes.Buffer), model.Endpoint{Kind: kind, BaseURL: baseURL, Key: keyed(key)}))
}

func request(text string) wire.LLMRequest {
	return wire.LLMRequest{Messages: []wire.LLMMessage{
		{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockText, Text: text}}},
	}}
}

func sentence(err error) string {
	var plain interface{ Sentence() string }
	if errors.As(err, &plain) {
		return plain.Sentence()
	}
	return ""
}

func TestStreamsText(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "Hello, wörld!", Thought: "hm", InputTokens: 7, OutputTokens: 9})
		var pieces []string
		got, err := one(t, kind, s.URL, modeltest.Key).Complete(t.Context(), request("hi"), func(p string) { pieces = append(pieces, p) })
		want := &wire.LLMResponse{
			Content: []wire.Block{{Type: wire.BlockText, Text: "Hello, wörld!"}}, StopReason: wire.StopEndTurn, Model: modelID,
			Usage: wire.Usage{InputTokens: 7, OutputTokens: 9},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
		if len(pieces) < 3 || strings.Join(pieces, "") != "Hello, wörld!" {
			t.Errorf("streamed %q", pieces)
		}
	})
}

// conversation is a request with tools, and what follows the answer that calls both.
func conversation() (req wire.LLMRequest, results wire.LLMMessage) {
	req = request("what is 6*7, and when?")
	req.System, req.MaxTokens = "You are Andy.", 100
	req.Messages[0].Content = append(req.Messages[0].Content, wire.Block{Type: wire.BlockText, Text: " "},
		wire.Block{Type: wire.BlockImage, Data: "aGk=", MIMEType: "image/png"}, wire.Block{Type: wire.BlockImage, MIMEType: "image/tiff"})
	req.Messages = append(req.Messages, wire.LLMMessage{Role: wire.RoleAssistant})
	schema := `{"type":"object","properties":{"expression":{"type":"string"}},"required":["expression"],"additionalProperties":false}`
	req.Tools = []wire.Tool{
		{Name: "calc", Description: "calculates", InputSchema: []byte(schema), Examples: []string{"examples"}}, {Name: "time"},
	}
	return req, wire.LLMMessage{Role: wire.RoleUser, Content: []wire.Block{
		{Type: wire.BlockToolResult, ToolUseID: "use_1", Content: []wire.Content{
			{Type: "text", Text: "42"}, {Type: "image", Data: "aGk=", MIMEType: "image/png"}, {Type: "image", MIMEType: "image/x"},
		}},
		{Type: wire.BlockToolResult, ToolUseID: "use_2", Content: wire.TextResult("no clock").Content, IsError: true},
		{Type: wire.BlockText, Text: "Answer now."},
	}}
}

// TestToolUse is a whole tool-use conversation; the servers check the requests as the real ones do.
func TestToolUse(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "Let me see.", Uses: []modeltest.Use{
			{ID: "use_1", Name: "calc", Input: `{"expression":"6*7"}`}, {ID: "use_2", Name: "time"},
		}}, modeltest.Answer{Text: "42"})
		p := one(t, kind, s.URL, modeltest.Key)
		req, results := conversation()
		first, err := p.Complete(t.Context(), req, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []wire.Block{
			{Type: wire.BlockText, Text: "Let me see."},
			{Type: wire.BlockToolUse, ID: "use_1", Name: "calc", Input: wire.RawMessage(`{"expression":"6*7"}`)},
			{Type: wire.BlockToolUse, ID: "use_2", Name: "time", Input: wire.RawMessage(`{}`)},
		}
		if first.StopReason != wire.StopToolUse || !reflect.DeepEqual(first.Content, want) {
			t.Fatalf("first answer %+v", first)
		}
		req.Messages = append(req.Messages, wire.LLMMessage{Role: wire.RoleAssistant, Content: first.Content}, results)
		second, err := p.Complete(t.Context(), req, nil)
		if err != nil || second.Content[0].Text != "42" {
			t.Fatalf("second answer %+v, %v", second, err)
		}
		asked := s.Requests()[1]
		if asked.Body["model"] != modelID || asked.Body["max_tokens"] != 100.0 {
			t.Errorf("asked %s", asked.Raw)
		}
		for _, part := range map[string][]string{
			model.Anthropic: {
				string(req.Tools[0].InputSchema), `"text":"You are Andy."`, `"description":"calculates"`, `"is_error":true`,
				`"tool_use_id":"use_2"`, `"input":{"expression":"6*7"}`, `"media_type":"image/png"`, `[image of type \"image/x\" left out]`,
				`[image of type \"image/tiff\" left out]`,
			},
			model.OpenAI: {
				`{"content":"You are Andy.","role":"system"}`, `"description":"calculates"`, `"additionalProperties":false`,
				`{"content":"42\n[image: see the next message of the user]\n[image of type \"image/x\" left out]","tool_call_id":"use_1","role":"tool"}`,
				`{"content":"The tool failed.\nno clock","tool_call_id":"use_2","role":"tool"}`,
				`{"content":[{"image_url":{"url":"data:image/png;base64,aGk="},"type":"image_url"},{"text":"Answer now.","type":"text"}],"role":"user"}`,
				`"arguments":"{\"expression\":\"6*7\"}"`, `"content":"Let me see."`, `[image of type \"image/tiff\" left out]`,
			},
		}[kind] {
			if !strings.Contains(string(asked.Raw), part) {
				t.Errorf("%s lacks %s", asked.Raw, part)
			}
		}
		if strings.Contains(string(asked.Raw), "examples") {
			t.Error("examples were sent")
		}
	})
}

// TestBlindModel: what a model does not see is left out with a note, and nothing fails.
func TestBlindModel(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "ok"})
		cfg := config(new(bytes.Buffer), model.Endpoint{Kind: kind, BaseURL: s.URL, Key: keyed(modeltest.Key)})
		cfg.Choose(nil)[0].Blind = true
		req, _ := conversation()
		if _, err := provider(t, cfg).Complete(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
		raw := string(s.Requests()[0].Raw)
		if !strings.Contains(raw, `[image of type \"image/png\" left out]`) || strings.Contains(raw, "aGk=") {
			t.Errorf("asked %s", raw)
		}
		if req.Messages[0].Content[2].Data != "aGk=" {
			t.Error("the caller's request was changed")
		}
	})
}

// TestDocuments: a PDF goes to the API that takes it, in a message or a tool's result, and is left out with
// a note elsewhere.
func TestDocuments(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "ok"})
		req := wire.LLMRequest{Messages: []wire.LLMMessage{
			{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockDocument, MIMEType: "application/pdf", Data: "aGk="}}},
			{Role: wire.RoleAssistant, Content: []wire.Block{{Type: wire.BlockToolUse, ID: "u1", Name: "view_file"}}},
			{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockToolResult, ToolUseID: "u1", Content: []wire.Content{
				{Type: wire.BlockDocument, MIMEType: "application/pdf", Data: "aG8="},
			}}}},
		}}
		if _, err := one(t, kind, s.URL, modeltest.Key).Complete(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
		want := []string{`"type":"document"`, `"data":"aGk="`, `"data":"aG8="`, `"media_type":"application/pdf"`}
		if kind == model.OpenAI {
			want = []string{`[document of type \"application/pdf\" left out]`}
		}
		for _, part := range want {
			if raw := string(s.Requests()[0].Raw); !strings.Contains(raw, part) {
				t.Errorf("%s lacks %s", raw, part)
			}
		}
	})
}

func TestStopReasons(t *testing.T) {
	cut := []modeltest.Use{{ID: "1", Name: "calc", Input: `{"expression":"6*`}}
	null := []modeltest.Use{{ID: "1", Name: "calc", Input: `null`}}
	for _, tc := range []struct {
		kind   string
		answer modeltest.Answer
		want   string
		blocks int
	}{
		{model.Anthropic, modeltest.Answer{Text: "a", Stop: "stop_sequence"}, wire.StopEndTurn, 1},
		{model.Anthropic, modeltest.Answer{Text: "a", Stop: "max_tokens"}, wire.StopMaxTokens, 1},
		{model.Anthropic, modeltest.Answer{Text: "a", Stop: "max_tokens", Uses: cut}, wire.StopMaxTokens, 1}, // a call that is cut off is none
		{model.Anthropic, modeltest.Answer{Text: "a", Stop: "refusal"}, wire.StopEndTurn, 2},
		{model.OpenAI, modeltest.Answer{Text: "a", Stop: "length"}, wire.StopMaxTokens, 1},
		{model.OpenAI, modeltest.Answer{Text: "a", Stop: "length", Uses: cut}, wire.StopMaxTokens, 1},
		{model.OpenAI, modeltest.Answer{Text: "a", Stop: "content_filter"}, wire.StopEndTurn, 2},
		{model.OpenAI, modeltest.Answer{Stop: "stop", Uses: null}, wire.StopToolUse, 1}, // some servers say stop
	} {
		s := protocols[tc.kind](t, tc.answer)
		got, err := one(t, tc.kind, s.URL, modeltest.Key).Complete(t.Context(), request("hi"), nil)
		if err != nil || got.StopReason != tc.want || len(got.Content) != tc.blocks {
			t.Errorf("%s %s: %+v, %v", tc.kind, tc.answer.Stop, got, err)
		}
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t)
		p := one(t, kind, s.URL, modeltest.Key)
		for _, raw := range []string{
			`{"messages":[]}`,
			`{"messages":[{"role":"user","content":[{"type":"text","text":" "}]}]}`,
			`{"messages":[{"role":"system","content":[{"type":"text","text":"x"}]}]}`,
			`{"messages":[{"role":"user","content":[{"type":"video"}]}]}`,
			`{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}],"tools":[{"name":"x","inputSchema":[]}]}`,
		} {
			var req wire.LLMRequest
			if err := json.Unmarshal([]byte(raw), &req); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Complete(t.Context(), req, nil); !errors.Is(err, host.ErrInvalid) {
				t.Errorf("%s: %v", raw, err)
			}
		}
		if n := len(s.Requests()); n > 0 {
			t.Errorf("%d of them were sent", n)
		}
	})
}

// TestKeyGoesNowhereElse: not along redirects, not to proxies of the environment, not to the
// addresses that the SDKs would read there; and no other key or header comes from there.
func TestKeyGoesNowhereElse(t *testing.T) {
	reached := make(chan http.Header, 100)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Header }))
	defer other.Close()
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL"} {
		t.Setenv(k, other.URL)
	}
	for _, k := range []string{
		"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID",
	} {
		t.Setenv(k, "hunter2")
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Other: hunter2")
	t.Setenv("OPENAI_CUSTOM_HEADERS", "X-Other: hunter2")
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "ok", Open: true})
		redirect := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
		defer redirect.Close()
		_, err := one(t, kind, redirect.URL, modeltest.Key).Complete(t.Context(), request("hi"), nil)
		if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), "307") {
			t.Errorf("redirect: %v", err)
		}
		if _, err := one(t, kind, s.URL, modeltest.Key).Complete(t.Context(), request("hi"), nil); err != nil {
			t.Fatal(err)
		}
		free := config(new(bytes.Buffer), model.Endpoint{Kind: kind, BaseURL: s.URL})
		if _, err := provider(t, free).Complete(t.Context(), request("hi"), nil); err != nil {
			t.Errorf("without a key: %v", err)
		}
		for i, r := range s.Requests() {
			sent := fmt.Sprint(r.Header)
			if strings.Contains(sent, "hunter2") || strings.Contains(sent, "Traceparent") || strings.Contains(sent, modeltest.Key) != (i == 0) {
				t.Errorf("request %d: headers %s", i, sent)
			}
		}
	})
	select {
	case h := <-reached:
		t.Errorf("another server was asked, with %v", h)
	default:
	}
}

func TestProxyIsUsedWhenGiven(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "ok"})
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		via := false
		cfg := config(new(bytes.Buffer), model.Endpoint{Kind: kind, BaseURL: "http://model.invalid" + u.Path, Key: keyed(modeltest.Key)})
		cfg.Transport = &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { via = true; return u, nil }}
		if _, err := provider(t, cfg).Complete(t.Context(), request("hi"), nil); err != nil || !via {
			t.Errorf("via the proxy: %t, %v", via, err)
		}
	})
}

func TestKeyIsAskedForEachTime(t *testing.T) {
	s := modeltest.NewAnthropic(t, modeltest.Answer{Text: "ok"})
	key, fail := "old", errors.New("no such file")
	end := model.Endpoint{Kind: model.Anthropic, BaseURL: s.URL, Key: func() (string, error) { return key, fail }}
	p := provider(t, config(new(bytes.Buffer), end))
	_, err := p.Complete(t.Context(), request("hi"), nil)
	if !errors.Is(err, host.ErrDenied) || !strings.Contains(err.Error(), "no such file") || len(s.Requests()) > 0 {
		t.Errorf("without a key: %v, %d requests", err, len(s.Requests()))
	}
	fail = nil
	if _, err := p.Complete(t.Context(), request("hi"), nil); !errors.Is(err, host.ErrDenied) {
		t.Errorf("old key: %v", err)
	}
	key = modeltest.Key
	if _, err := p.Complete(t.Context(), request("hi"), nil); err != nil {
		t.Errorf("new key: %v", err)
	}
}

func TestWhichModel(t *testing.T) {
	anthropic := map[string]model.Endpoint{"mine": {Kind: model.Anthropic}}
	small := host.ModelChoice{Provider: "offline", Name: "small", Model: "m-1"}
	for name, tc := range map[string]struct {
		choice host.ModelChoice
		asked  string
		ends   map[string]model.Endpoint
		want   error
	}{
		"offline":       {host.ModelChoice{Provider: "offline"}, "", nil, nil},
		"by its name":   {host.ModelChoice{Provider: "mine"}, "", anthropic, nil},
		"not there":     {host.ModelChoice{Provider: "yours"}, "", anthropic, host.ErrUnavailable},
		"its own name":  {small, "small", nil, nil},
		"its own model": {small, "m-1", nil, nil},
		"another":       {small, "big", nil, host.ErrDenied},
	} {
		s := model.New(model.Config{
			Choose: func(*host.Role) []host.ModelChoice { return []host.ModelChoice{tc.choice} }, Endpoints: tc.ends,
		})
		p, err := s.Model(&host.Role{Name: "r"}, tc.asked)
		if !errors.Is(err, tc.want) || (p == nil) != (tc.want != nil) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestCancelAndDeadline(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		s := start(t, modeltest.Answer{Text: "Hel", Hang: make(chan struct{})})
		p := one(t, kind, s.URL, modeltest.Key)
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan error, 1)
		go func() {
			_, err := p.Complete(ctx, request("hi"), func(string) { cancel(host.ErrStopped) })
			got <- err
		}()
		select {
		case err := <-got:
			if !errors.Is(err, host.ErrStopped) {
				t.Errorf("stopped: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a stopped turn still waits for the model")
		}
		ctx, done := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer done()
		if _, err := p.Complete(ctx, request("hi"), nil); !errors.Is(err, host.ErrTimeout) {
			t.Errorf("deadline: %v", err)
		}
		// Waiting to try again ends with the turn, too.
		s.Script(modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"50"}}})
		ctx, done = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer done()
		if _, err := p.Complete(ctx, request("hi"), nil); !errors.Is(err, host.ErrTimeout) {
			t.Errorf("deadline while waiting: %v", err)
		}
	})
}
