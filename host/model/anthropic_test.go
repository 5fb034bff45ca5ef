package model_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const modelID = "claude-test-1"

func keyed(key string) func() (string, error) { return func() (string, error) { return key, nil } }

// provider is anthropic at a fake server, found as the daemon finds it.
func provider(t *testing.T, baseURL string, key func() (string, error)) model.Provider {
	t.Helper()
	s := model.New(model.Config{
		Choose:    func(*host.Role) host.ModelChoice { return host.ModelChoice{Provider: model.Anthropic, Model: modelID} },
		Endpoints: map[string]model.Endpoint{model.Anthropic: {BaseURL: baseURL, Key: key}},
	})
	p, err := s.Model(&host.Role{Name: "r"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func request(text string) wire.LLMRequest {
	return wire.LLMRequest{Messages: []wire.LLMMessage{
		{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockText, Text: text}}},
	}}
}

func TestStreamsText(t *testing.T) {
	s := modeltest.NewAnthropic(t, modeltest.Answer{Text: "Hello, wörld!", InputTokens: 7, OutputTokens: 9})
	var pieces []string
	got, err := provider(t, s.URL, keyed(modeltest.Key)).Complete(t.Context(), request("hi"), func(p string) { pieces = append(pieces, p) })
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
}

// TestToolUse is a whole tool-use conversation; the server checks the request as the real one does.
func TestToolUse(t *testing.T) {
	s := modeltest.NewAnthropic(t,
		modeltest.Answer{Text: "Let me see.", Uses: []modeltest.Use{
			{ID: "toolu_1", Name: "calc", Input: `{"expression":"6*7"}`}, {ID: "toolu_2", Name: "time"},
		}},
		modeltest.Answer{Text: "42"})
	p := provider(t, s.URL, keyed(modeltest.Key))
	req := request("what is 6*7, and when?")
	req.System = "You are Andy."
	req.MaxTokens = 100
	req.Messages[0].Content = append(req.Messages[0].Content, wire.Block{Type: wire.BlockText, Text: " "},
		wire.Block{Type: wire.BlockImage, Data: "aGk=", MIMEType: "image/png"})
	schema := `{"type":"object","properties":{"expression":{"type":"string"}},"required":["expression"],"additionalProperties":false}`
	req.Tools = []wire.Tool{{Name: "calc", Description: "calculates", InputSchema: []byte(schema), Examples: []string{"x"}}, {Name: "time"}}
	first, err := p.Complete(t.Context(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.StopReason != wire.StopToolUse || len(first.Content) != 3 || string(first.Content[1].Input) != `{"expression":"6*7"}` ||
		string(first.Content[2].Input) != "{}" || first.Content[1].ID != "toolu_1" || first.Content[2].Name != "time" {
		t.Fatalf("first answer %+v", first)
	}
	req.Messages = append(req.Messages, wire.LLMMessage{Role: wire.RoleAssistant, Content: first.Content},
		wire.LLMMessage{Role: wire.RoleUser, Content: []wire.Block{
			{Type: wire.BlockToolResult, ToolUseID: "toolu_1", Content: []wire.Content{
				{Type: "text", Text: "42"}, {Type: "image", Data: "aGk=", MIMEType: "image/png"}, {Type: "image", MIMEType: "image/x"},
			}},
			{Type: wire.BlockToolResult, ToolUseID: "toolu_2", Content: wire.TextResult("no clock").Content, IsError: true},
		}})
	second, err := p.Complete(t.Context(), req, nil)
	if err != nil || second.Content[0].Text != "42" {
		t.Fatalf("second answer %+v, %v", second, err)
	}
	asked := s.Requests()[1]
	if asked.Body["model"] != modelID || asked.Body["max_tokens"] != 100.0 {
		t.Errorf("asked %s", asked.Raw)
	}
	for _, part := range []string{
		schema, `"text":"You are Andy."`, `"description":"calculates"`, `"is_error":true`, `"tool_use_id":"toolu_2"`,
		`"input":{"expression":"6*7"}`, `"media_type":"image/png"`, `[image of type \"image/x\" left out]`,
	} {
		if !strings.Contains(string(asked.Raw), part) {
			t.Errorf("%s lacks %s", asked.Raw, part)
		}
	}
	if strings.Contains(string(asked.Raw), "examples") {
		t.Error("examples were sent")
	}
}

func TestStopReasons(t *testing.T) {
	call := []modeltest.Use{{ID: "1", Name: "calc", Input: `{"expression":"6*`}}
	for _, tc := range []struct {
		answer modeltest.Answer
		want   string
		blocks int
	}{
		{modeltest.Answer{Text: "a", Stop: "stop_sequence"}, wire.StopEndTurn, 1},
		{modeltest.Answer{Text: "a", Stop: "max_tokens"}, wire.StopMaxTokens, 1},
		{modeltest.Answer{Text: "a", Stop: "max_tokens", Uses: call}, wire.StopMaxTokens, 1}, // a call that is cut off is none
		{modeltest.Answer{Text: "a", Stop: "refusal"}, wire.StopEndTurn, 2},
	} {
		s := modeltest.NewAnthropic(t, tc.answer)
		got, err := provider(t, s.URL, keyed(modeltest.Key)).Complete(t.Context(), request("hi"), nil)
		if err != nil || got.StopReason != tc.want || len(got.Content) != tc.blocks {
			t.Errorf("%s: %+v, %v", tc.answer.Stop, got, err)
		}
	}
}

// TestFailures: one clear sentence, the right kind, no key; tries says how often the server is asked.
func TestFailures(t *testing.T) {
	secret := "sk-ant-hunter2"
	for name, tc := range map[string]struct {
		key    string
		answer modeltest.Answer
		kind   error
		want   string
		tries  int
	}{
		"wrong key": {secret, modeltest.Answer{}, host.ErrDenied, "the anthropic key was refused", 1},
		"forbidden": {"", modeltest.Answer{Status: 403}, host.ErrDenied, `may not use model "claude-test-1"`, 1},
		"unknown model": {
			"", modeltest.Answer{Status: 404, Message: "model: claude-test-1"}, host.ErrNotFound, `does not know model "claude-test-1"`, 1,
		},
		"bad request": {"", modeltest.Answer{Status: 400, Message: "too\nmany " + modeltest.Key}, host.ErrInvalid, "too many [key]", 1},
		"too large":   {"", modeltest.Answer{Status: 413}, host.ErrLimit, "larger than anthropic takes", 1},
		"rate limit, long": {
			"", modeltest.Answer{Status: 429, Header: http.Header{"Retry-After": {"3600"}}}, host.ErrLimit, "asked again after 3600 s", 1,
		},
		"rate limit, short": {
			"", modeltest.Answer{Status: 429, Header: http.Header{"Retry-After": {"0.01"}}}, host.ErrLimit, "rate limit", 5,
		},
		"overloaded": {
			"", modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"0.01"}}}, host.ErrBusy, "overloaded", 5,
		},
		"server error": {
			"", modeltest.Answer{Status: 500, Header: http.Header{"Retry-After": {"0.01"}}}, host.ErrUnavailable, "HTTP status 500", 5,
		},
		"overloaded midway": {"", modeltest.Answer{Text: "Hel", Event: "overloaded_error"}, host.ErrBusy, "overloaded", 1},
		"cut":               {"", modeltest.Answer{Text: "Hel", Cut: true}, host.ErrUnavailable, "cut off", 1},
		"garbage":           {"", modeltest.Answer{Text: "Hel", Garbage: true}, host.ErrUnavailable, "no event", 1},
		"a web page":        {"", modeltest.Answer{Raw: "<html>"}, host.ErrUnavailable, "this is not anthropic, see base_url: 127.0.0.1 answers", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := modeltest.NewAnthropic(t, tc.answer)
			if tc.key == "" {
				tc.key = modeltest.Key
			}
			_, err := provider(t, s.URL, keyed(tc.key)).Complete(t.Context(), request("hi"), nil)
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q, want %v with %q", err, tc.kind, tc.want)
			}
			if err != nil && (strings.Contains(err.Error(), tc.key) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("error %q holds the key, or more than a line", err)
			}
			if n := len(s.Requests()); n != tc.tries {
				t.Errorf("asked %d times, want %d", n, tc.tries)
			}
		})
	}
}

func TestRetriesUntilItAnswers(t *testing.T) {
	busy := modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"0.01"}}}
	s := modeltest.NewAnthropic(t, busy, busy, modeltest.Answer{Text: "here"})
	got, err := provider(t, s.URL, keyed(modeltest.Key)).Complete(t.Context(), request("hi"), nil)
	if err != nil || got.Content[0].Text != "here" || len(s.Requests()) != 3 {
		t.Errorf("%+v, %v after %d requests", got, err, len(s.Requests()))
	}
}

// TestUsageOfABrokenAnswer: what was spent is counted although nothing came of it.
func TestUsageOfABrokenAnswer(t *testing.T) {
	s := modeltest.NewAnthropic(t, modeltest.Answer{Text: "Hel", Cut: true, InputTokens: 70})
	got, err := provider(t, s.URL, keyed(modeltest.Key)).Complete(t.Context(), request("hi"), nil)
	if err == nil || got == nil || got.Usage.InputTokens != 70 || len(got.Content) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCancelAndDeadline(t *testing.T) {
	s := modeltest.NewAnthropic(t, modeltest.Answer{Text: "Hel", Hang: make(chan struct{})})
	p := provider(t, s.URL, keyed(modeltest.Key))
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
}

// TestKeyGoesNowhereElse: not along redirects, not to proxies of the environment, not to the
// addresses that the SDK would read there; and no other key comes from there.
func TestKeyGoesNowhereElse(t *testing.T) {
	reached := make(chan string, 100)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Header.Get("X-Api-Key") }))
	defer other.Close()
	s := modeltest.NewAnthropic(t, modeltest.Answer{Text: "ok"})
	redirect := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer redirect.Close()
	_, err := provider(t, redirect.URL, keyed(modeltest.Key)).Complete(t.Context(), request("hi"), nil)
	if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), "307") {
		t.Errorf("redirect: %v", err)
	}
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "ANTHROPIC_BASE_URL"} {
		t.Setenv(k, other.URL)
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("ANTHROPIC_API_KEY", "sk-ant-other")
	t.Setenv("ANTHROPIC_AUTH_TOKEN", "other")
	t.Setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Other: 1")
	if _, err := provider(t, s.URL, keyed(modeltest.Key)).Complete(t.Context(), request("hi"), nil); err != nil {
		t.Fatal(err)
	}
	h := s.Requests()[0].Header
	if h.Get("X-Api-Key") != modeltest.Key || h.Get("Authorization") != "" || h.Get("X-Other") != "" || h.Get("Traceparent") != "" {
		t.Errorf("headers %v", h)
	}
	select {
	case key := <-reached:
		t.Errorf("another server was asked, with key %q", key)
	default:
	}
}

func TestProxyIsUsedWhenGiven(t *testing.T) {
	s := modeltest.NewAnthropic(t, modeltest.Answer{Text: "ok"})
	via := false
	cfg := model.Config{
		Choose: func(*host.Role) host.ModelChoice { return host.ModelChoice{Provider: model.Anthropic, Model: modelID} },
		Endpoints: map[string]model.Endpoint{
			model.Anthropic: {BaseURL: "http://anthropic.invalid", Key: keyed(modeltest.Key)},
		},
		Proxy: func(*http.Request) (*url.URL, error) { via = true; return url.Parse(s.URL) },
	}
	p, err := model.New(cfg).Model(&host.Role{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Complete(t.Context(), request("hi"), nil); err != nil || !via {
		t.Errorf("via the proxy: %t, %v", via, err)
	}
}

func TestKeyIsAskedForEachTime(t *testing.T) {
	s := modeltest.NewAnthropic(t, modeltest.Answer{Text: "ok"})
	key, fail := "old", host.ErrNotFound
	p := provider(t, s.URL, func() (string, error) { return key, fail })
	if _, err := p.Complete(t.Context(), request("hi"), nil); !errors.Is(err, host.ErrNotFound) || len(s.Requests()) > 0 {
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

func TestRequestsThatAreNone(t *testing.T) {
	s := modeltest.NewAnthropic(t)
	p := provider(t, s.URL, keyed(modeltest.Key))
	for _, raw := range []string{
		`{"messages":[]}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":" "}]}]}`,
		`{"messages":[{"role":"system","content":[{"type":"text","text":"x"}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"video"}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"image","mime_type":"image/tiff"}]}]}`,
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
}

func TestUnreachable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := provider(t, s.URL, keyed(modeltest.Key)).Complete(ctx, request("hi"), nil)
	if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("error %v", err)
	}
}

func TestWhichModel(t *testing.T) {
	key := keyed(modeltest.Key)
	for name, tc := range map[string]struct {
		choice host.ModelChoice
		asked  string
		ends   map[string]model.Endpoint
		want   error
	}{
		"offline":       {host.ModelChoice{Provider: "offline"}, "", nil, nil},
		"anthropic":     {host.ModelChoice{Provider: "anthropic"}, "", map[string]model.Endpoint{"anthropic": {Key: key}}, nil},
		"without key":   {host.ModelChoice{Provider: "anthropic"}, "", map[string]model.Endpoint{"anthropic": {}}, host.ErrUnavailable},
		"later version": {host.ModelChoice{Provider: "openai"}, "", map[string]model.Endpoint{"openai": {Key: key}}, host.ErrUnavailable},
		"its own name":  {host.ModelChoice{Provider: "offline", Name: "small", Model: "m-1"}, "small", nil, nil},
		"its own model": {host.ModelChoice{Provider: "offline", Name: "small", Model: "m-1"}, "m-1", nil, nil},
		"another":       {host.ModelChoice{Provider: "offline", Name: "small", Model: "m-1"}, "big", nil, host.ErrDenied},
	} {
		s := model.New(model.Config{Choose: func(*host.Role) host.ModelChoice { return tc.choice }, Endpoints: tc.ends})
		p, err := s.Model(&host.Role{Name: "r"}, tc.asked)
		if !errors.Is(err, tc.want) || (p == nil) != (tc.want != nil) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}
