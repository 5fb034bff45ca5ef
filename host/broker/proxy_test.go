package broker_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	apiKey      = "real-key-0123456789abcdef"
	modelName   = "claude-test"
	streamBegin = `data: {"type":"message_start","message":{"usage":{"input_tokens":20,"cache_read_input_tokens":10,"output_tokens":1}}}` + "\n\n"
	streamEnd   = `data: {"type":"message_delta","usage":{"output_tokens":12}}` + "\n\n" + `data: {"type":"message_stop"}` + "\n\n"
)

// api is a model's server behind the proxy, and what it was sent.
type api struct {
	*lab
	kind   string
	answer http.HandlerFunc

	mu    sync.Mutex
	asked []*http.Request
	body  []byte // of the last one
}

func newAPI(t testing.TB, kind string) *api {
	t.Helper()
	a := &api{lab: newLab(t).stored(), kind: kind, answer: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, streamBegin+streamEnd)
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.asked, a.body = append(a.asked, r), body
		a.mu.Unlock()
		a.answer(w, r)
	}))
	t.Cleanup(server.Close)
	a.secrets["model-key"] = apiKey
	a.scope.Role.Exec = &host.Exec{}
	a.cfg.Upstream = func(*host.Role) (broker.Upstream, error) {
		return broker.Upstream{
			Provider: "box", Kind: kind, BaseURL: server.URL + "/base", Models: []string{modelName, "second"},
			Transport: http.DefaultTransport, Authorize: func(h http.Header) error { h.Set("X-Api-Key", apiKey); return nil },
		}, nil
	}
	return a
}

func ask(method, path, body string) *http.Request {
	return httptest.NewRequest(method, wire.PathModel+path, strings.NewReader(body))
}

func messages(more string) *http.Request {
	return ask("POST", "/v1/messages?beta=true", `{"model":"claude-test","max_tokens":1000,"stream":true,"messages":[]`+more+`}`)
}

func (a *api) send(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, r)
	return w
}

func (a *api) last() audit.Row { rows := a.rows(); return rows[len(rows)-1] }

// TestProxyOverwrites: credentials, identities and cookies of the program do not pass (C13, C14), what
// belongs to the protocol passes verbatim, and nothing of whom the answer is for comes back.
func TestProxyOverwrites(t *testing.T) {
	a := newAPI(t, "anthropic")
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		for name, v := range map[string]string{
			"Content-Type": "text/event-stream", "Request-Id": "req_1", "Anthropic-Ratelimit-Tokens-Limit": "7",
			"Set-Cookie": "session=1", "Anthropic-Organization-Id": "org", "Location": "https://evil.example/",
		} {
			w.Header().Set(name, v)
		}
		io.WriteString(w, streamBegin+streamEnd)
	}
	r := messages("")
	for name, v := range map[string]string{
		"X-Api-Key": "forged", "Authorization": "Bearer forged", "Proxy-Authorization": "forged", "Cookie": "forged",
		"X-Session": "forged", "X-Forwarded-For": "forged", "Host": "forged", wire.HeaderSkill: "forged",
		"Anthropic-Beta": "a-2025-01-01,b-2026-02-02", "Anthropic-Version": "2023-06-01", "X-Stainless-Lang": "js", "User-Agent": "cli/1",
	} {
		r.Header.Set(name, v)
	}
	w := a.send(r)
	if w.Code != 200 || w.Body.String() != streamBegin+streamEnd {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	got := a.asked[0]
	if s := fmt.Sprint(got.Header, got.Host); strings.Contains(s, "forged") || got.Header.Get("X-Api-Key") != apiKey ||
		got.Header.Get("Anthropic-Beta") != "a-2025-01-01,b-2026-02-02" || got.Header.Get("Anthropic-Version") != "2023-06-01" ||
		got.Header.Get("X-Stainless-Lang") != "js" || got.UserAgent() != "cli/1" || got.RequestURI != "/base/v1/messages?beta=true" {
		t.Errorf("%s asked with %v", got.RequestURI, got.Header)
	}
	if h := w.Header(); h.Get("Request-Id") == "" || h.Get("Anthropic-Ratelimit-Tokens-Limit") == "" ||
		h.Get("Set-Cookie")+h.Get("Anthropic-Organization-Id")+h.Get("Location") != "" {
		t.Errorf("answered with %v", h)
	}
	rows := a.rows()
	first, last := rows[len(rows)-2], rows[len(rows)-1]
	if first.Verdict != "allow" || first.Target != modelName || first.Skill != host.ExecSkill || first.Bytes == 0 || first.Agent != "agent-1" ||
		last.Verdict != "outcome" || last.Reason != "30 tokens in, 12 out" {
		t.Errorf("rows %+v", rows)
	}
	if n, err := a.store.Spent(t.Context(), "web", host.BudgetTokens); n != 42 || err != nil {
		t.Errorf("%d tokens counted, %v", n, err)
	}
	if !slices.ContainsFunc(a.events, func(e host.Event) bool { return e.Stage == host.StageModel }) {
		t.Errorf("events %v", a.events)
	}
}

// TestProxyEndpoints: what is in no table is not found, has a row, and leaves nothing.
func TestProxyEndpoints(t *testing.T) {
	body := `{"model":"claude-test","input":[]}`
	for _, tc := range []struct {
		kind, method, path string
		want               int
		sent               string
	}{
		{"anthropic", "POST", "/v1/messages", 200, "/base/v1/messages"},
		{"anthropic", "POST", "/v1/messages?beta=true", 200, "/base/v1/messages?beta=true"},
		{"anthropic", "POST", "/v1/messages/count_tokens?beta=true", 200, "/base/v1/messages/count_tokens?beta=true"},
		{"openai", "POST", "/v1/chat/completions", 200, "/base/chat/completions"},
		{"openai", "POST", "/v1/responses", 200, "/base/responses"},
		{"anthropic", "HEAD", "/", 200, ""},
		{"anthropic", "HEAD", "/api/hello", 200, ""},
		{"anthropic", "GET", "/v1/messages", 404, ""},
		{"anthropic", "CONNECT", "/v1/messages", 404, ""},
		{"anthropic", "POST", "/v1/messages?beta=true&x=1", 404, ""},
		{"anthropic", "POST", "/v1/messages?x=secret", 404, ""},
		{"anthropic", "POST", "/v1/messages/", 404, ""},
		{"anthropic", "POST", "/v1/messages/batches", 404, ""},
		{"anthropic", "POST", "/v1//messages", 404, ""},
		{"anthropic", "POST", "/v1/x/../messages", 404, ""},
		{"anthropic", "POST", "/v1/%6dessages", 404, ""},
		{"anthropic", "POST", "/V1/messages", 404, ""},
		{"anthropic", "POST", "/api/event_logging/batch", 404, ""},
		{"anthropic", "POST", "/api/oauth/claude_cli/create_api_key", 404, ""},
		{"anthropic", "GET", "/v1/files", 404, ""},
		{"anthropic", "POST", "/v1/chat/completions", 404, ""},
		{"openai", "POST", "/v1/messages", 404, ""},
		{"openai", "GET", "/v1/models", 404, ""},
		{"other", "POST", "/v1/messages", 404, ""},
	} {
		t.Run(tc.kind+" "+tc.method+" "+strings.ReplaceAll(tc.path, "%", "_"), func(t *testing.T) {
			a := newAPI(t, tc.kind)
			if w := a.send(ask(tc.method, tc.path, body)); w.Code != tc.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			sent := ""
			if len(a.asked) > 0 {
				sent = a.asked[0].RequestURI
			}
			row := a.last()
			if sent != tc.sent || (row.Verdict == "deny") != (tc.want == 404) || row.Capability != host.CapLLM ||
				strings.Contains(fmt.Sprint(row), "secret") {
				t.Errorf("sent %q, row %+v", sent, row)
			}
		})
	}
	t.Run("no program, no proxy", func(t *testing.T) {
		a := newAPI(t, "anthropic")
		a.scope.Role.Exec = nil
		if w := a.send(messages("")); w.Code != 404 || len(a.asked) > 0 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("capabilities beside it", func(t *testing.T) {
		a := newAPI(t, "anthropic")
		a.call(host.CapKV, wire.KVRequest{Op: "list"}).want(wire.StatusOK, "")
	})
}

// TestProxyBodies: a body names the role's model, once, and nothing that the model's server would reach out by.
func TestProxyBodies(t *testing.T) {
	source := `"messages":[{"role":"user","content":[{"type":"image","source":{"type":%s}}]}]`
	for _, tc := range []struct {
		name, kind, body string
		want             int
	}{
		{"fallback", "anthropic", `{"model":"second"}`, 200},
		{"unknown fields", "anthropic", `{"model":"claude-test","context_management":{"edits":[]}}`, 200},
		{"another model", "anthropic", `{"model":"claude-dear"}`, 403},
		{"no model", "anthropic", `{}`, 400},
		{"model is no text", "anthropic", `{"model":["claude-test"]}`, 400},
		{"no JSON", "anthropic", `{"model":"claude-test"`, 400},
		{"two values", "anthropic", `{"model":"claude-test"} {"model":"claude-dear"}`, 400},
		{"null", "anthropic", `null`, 400},
		{"max_tokens", "anthropic", `{"model":"claude-test","max_tokens":"many"}`, 400},
		{"own tools", "anthropic", `{"model":"claude-test","tools":[{"name":"a","input_schema":{"url":"https://x"}},{"type":"custom"},{"type":"bash_20250124"}]}`, 200},
		{"web search", "anthropic", `{"model":"claude-test","tools":[{"type":"web_search_20250305","name":"web_search"}]}`, 403},
		{"web fetch", "anthropic", `{"model":"claude-test","tools":[{"type":"web_fetch_20250910"}]}`, 403},
		{"code at the server", "anthropic", `{"model":"claude-test","tools":[{"type":"code_execution_20250825"}]}`, 403},
		{"MCP of the server", "anthropic", `{"model":"claude-test","mcp_servers":[{"type":"url","url":"https://evil.example/"}]}`, 403},
		{"container", "anthropic", `{"model":"claude-test","container":"c"}`, 403},
		{"image", "anthropic", `{"model":"claude-test",` + fmt.Sprintf(source, `"base64","data":"aGk="`) + `}`, 200},
		{"image by link", "anthropic", `{"model":"claude-test",` + fmt.Sprintf(source, `"url","url":"https://evil.example/?q=1"`) + `}`, 403},
		{"link in a tool result", "anthropic", `{"model":"claude-test","messages":[{"content":[{"type":"tool_result","content":[{"type":"document","source":{"type":"url","url":"https://evil.example/"}}]}]}]}`, 403},
		{"link that a tool is called with", "anthropic", `{"model":"claude-test","messages":[{"content":[{"type":"tool_use","input":{"url":"https://x.example/"}}]}]}`, 200},
		{"openai image", "openai", `{"model":"claude-test","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]}]}`, 200},
		{"openai image by link", "openai", `{"model":"claude-test","messages":[{"content":[{"type":"image_url","image_url":{"url":"https://evil.example/"}}]}]}`, 403},
		{"openai search", "openai", `{"model":"claude-test","web_search_options":{}}`, 403},
		{"openai function", "openai", `{"model":"claude-test","tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"url":{"type":"string"}}}}}]}`, 200},
		{"responses MCP", "openai", `{"model":"claude-test","tools":[{"type":"mcp","server_url":"https://evil.example/"}]}`, 403},
		{"responses image by link", "openai", `{"model":"claude-test","input":[{"content":[{"type":"input_image","image_url":"https://evil.example/"}]}]}`, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAPI(t, tc.kind)
			path := map[string]string{"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}[tc.kind]
			w := a.send(ask("POST", path, tc.body))
			if w.Code != tc.want || (len(a.asked) > 0) != (tc.want == 200) {
				t.Errorf("%d %s, %d requests", w.Code, w.Body, len(a.asked))
			}
			if tc.want != 200 && (w.Header().Get("X-Should-Retry") != "false" || a.last().Verdict != "deny" ||
				strings.Contains(w.Body.String()+fmt.Sprint(a.last()), "evil")) {
				t.Errorf("%v %s %+v", w.Header(), w.Body, a.last())
			}
		})
	}
	a := newAPI(t, "anthropic")
	if w := a.send(ask("POST", "/v1/messages", `{"model":"`+strings.Repeat("x", wire.MaxModelRequest)+`"}`)); w.Code != 413 {
		t.Error(w.Code)
	}
	a.send(ask("POST", "/v1/messages", `{"model":"claude-dear","MODEL":"claude-dear","model":"claude-test"}`))
	if s := string(a.body); strings.Count(s, `"model":`) != 1 || !strings.Contains(s, `"model":"claude-test"`) {
		t.Errorf("sent %s", s)
	}
}

// TestProxyBudgets: what an answer may cost is reserved and narrowed, and what nobody counts is guessed.
func TestProxyBudgets(t *testing.T) {
	a := newAPI(t, "anthropic")
	a.scope.Role.Budget = map[host.Budget]int64{host.BudgetTokens: 900}
	a.send(messages(""))
	var sent struct {
		Max int `json:"max_tokens"`
	}
	if json.Unmarshal(a.body, &sent); sent.Max < 800 || sent.Max >= 900 {
		t.Errorf("asked for %d tokens of 900", sent.Max)
	}
	a.scope.Role.Budget[host.BudgetTokens] = 250
	w := a.send(messages(""))
	if w.Code != 429 || w.Header().Get("X-Should-Retry") != "false" || !strings.Contains(w.Body.String(), "used up") || len(a.asked) != 1 {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if row := a.last(); row.Verdict != "deny" || len(a.notices) != 1 {
		t.Errorf("%+v %q", row, a.notices)
	}

	a = newAPI(t, "anthropic")
	a.scope.Role.Budget = map[host.Budget]int64{host.BudgetRequests: 1}
	a.send(messages(""))
	if w := a.send(messages("")); w.Code != 429 || w.Header().Get("X-Should-Retry") != "" || len(a.asked) != 1 {
		t.Errorf("%d %v", w.Code, w.Header())
	}

	for name, tc := range map[string]struct {
		kind   string
		answer string
		status int
		least  int64
		most   int64
	}{
		"whole answer":       {"anthropic", `{"usage":{"input_tokens":5,"output_tokens":7}}`, 200, 12, 12},
		"chat completions":   {"openai", "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n", 200, 12, 12},
		"uncounted":          {"openai", strings.Repeat("data: {\"choices\":[]}\n\n", 100), 200, 80, 400},
		"cut off":            {"anthropic", streamBegin + strings.Repeat("data: {}\n\n", 100), 200, 60, 400},
		"refused by the API": {"anthropic", `{"error":{}}`, 400, 0, 0},
		"overloaded":         {"anthropic", `{"error":{}}`, 529, 0, 0},
	} {
		a := newAPI(t, tc.kind)
		a.scope.Role.Budget = map[host.Budget]int64{host.BudgetTokens: 100_000}
		a.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status); io.WriteString(w, tc.answer) }
		path := map[string]string{"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}[tc.kind]
		w := a.send(ask("POST", path, `{"model":"claude-test","stream":true,"messages":["`+strings.Repeat("x", 90)+`"]}`))
		n, err := a.store.Spent(t.Context(), "web", host.BudgetTokens)
		if w.Code != tc.status || n < tc.least || n > tc.most || err != nil {
			t.Errorf("%s: status %d, %d tokens counted, %v", name, w.Code, n, err)
		}
		if tc.kind == "openai" && !bytes.Contains(a.body, []byte(`"include_usage":true`)) {
			t.Errorf("%s: %s", name, a.body)
		}
	}
}

// TestProxyBudgetIsHard asks at once for more than there is.
func TestProxyBudgetIsHard(t *testing.T) {
	a := newAPI(t, "anthropic")
	a.scope.Role.Budget = map[host.Budget]int64{host.BudgetTokens: 3000}
	go_ := make(chan struct{})
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		<-go_
		io.WriteString(w, `{"usage":{"input_tokens":0,"output_tokens":1000}}`)
	}
	a.cfg.Notice = func(host.Scope, string) {} // the lab keeps them for one caller alone
	a.use = broker.New(a.cfg).Handler(a.scope)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { a.send(messages("")) })
	}
	close(go_)
	wg.Wait()
	if n, _ := a.store.Spent(t.Context(), "web", host.BudgetTokens); n > 3000 {
		t.Errorf("%d tokens of 3000", n)
	}
}

// TestProxySecrets: a secret of the host neither leaves by a request nor comes back by an answer (C10, L10).
func TestProxySecrets(t *testing.T) {
	stored := strings.Repeat("s3cr3t", 6) + "-stored"
	a := newAPI(t, "anthropic")
	a.secrets["stored"] = stored
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Request-Id", r.Header.Get("X-Api-Key"))
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"error":{"message":"invalid x-api-key %s"}}`, r.Header.Get("X-Api-Key"))
	}
	w := a.send(messages(`,"system":"it is ` + stored + `"`))
	if strings.Contains(string(a.body), stored) || !bytes.Contains(a.body, []byte("[secret stored]")) {
		t.Errorf("sent %s", a.body)
	}
	if got := w.Body.String() + fmt.Sprint(w.Header()); w.Code != 401 || strings.Contains(got, apiKey) {
		t.Errorf("%d %s", w.Code, got)
	}
	r := messages("")
	r.Header.Set("User-Agent", stored)
	if w := a.send(r); w.Code != 403 || len(a.asked) != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if s := fmt.Sprint(a.rows()) + a.logs.String(); strings.Contains(s, stored) || strings.Contains(s, apiKey) {
		t.Errorf("%s", s)
	}
}

// TestProxyFailures: no row, no act; a redirect is none; a missing key and a server that is down are said.
func TestProxyFailures(t *testing.T) {
	a := newAPI(t, "anthropic")
	a.cfg.Audit = &failAt{n: 1}
	if w := a.send(messages("")); w.Code != 500 || len(a.asked) > 0 {
		t.Errorf("without a row: %d, %d requests", w.Code, len(a.asked))
	}
	a = newAPI(t, "anthropic")
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://evil.example/", http.StatusTemporaryRedirect)
	}
	if w := a.send(messages("")); w.Code != 502 || w.Header().Get("Location") != "" || len(a.asked) != 1 {
		t.Errorf("redirect: %d %v", w.Code, w.Header())
	}
	for name, tc := range map[string]struct {
		change func(*broker.Upstream) error
		want   int
	}{
		"no provider": {func(*broker.Upstream) error { return host.ErrUnavailable }, 502},
		"no key": {func(u *broker.Upstream) error {
			u.Authorize = func(http.Header) error { return overloaded{host.ErrDenied} }
			return nil
		}, 403},
		"down": {func(u *broker.Upstream) error { u.BaseURL = "http://127.0.0.1:1"; return nil }, 502},
	} {
		a, up := newAPI(t, "anthropic"), broker.Upstream{}
		next := a.cfg.Upstream
		a.cfg.Upstream = func(r *host.Role) (broker.Upstream, error) {
			up, _ = next(r)
			err := tc.change(&up)
			return up, err
		}
		w := a.send(messages(""))
		var e struct {
			Error struct{ Type, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || w.Code != tc.want || e.Error.Message == "" || len(a.asked) > 0 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestProxyStreams: an event is there before the next one is made, and a program that goes ends the request.
func TestProxyStreams(t *testing.T) {
	a := newAPI(t, "anthropic")
	more, gone := make(chan struct{}), make(chan struct{})
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, streamBegin)
		http.NewResponseController(w).Flush()
		<-more
		<-r.Context().Done()
		close(gone)
	}
	server := httptest.NewServer(a.handler())
	defer server.Close()
	r := messages("")
	req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+r.URL.Path, r.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || !strings.Contains(line, "message_start") {
		t.Fatal(line, err)
	}
	close(more)
	resp.Body.Close()
	<-gone
}

// FuzzProxyBody: whatever a program sends, what leaves names one model, the role's, and bounds its answer.
func FuzzProxyBody(f *testing.F) {
	for _, s := range []string{
		`{"model":"claude-test"}`, `{"model":"claude-test","Model":"x","model":"y"}`, `{"model":"claude-test","max_tokens":1e99}`,
		`{"model":"claude-test","max_tokens":-1}`, `{"mod\u0065l":"claude-test","model":"claude-dear"}`, `[]`, `{"model":"claude-test","mcp_servers":[]}`,
		"{\"model\":\"claude-test\",\"\xff\":1}", `{"model":"claude-test","stream":true,"tools":{"type":"web_search"}}`,
	} {
		f.Add(s)
	}
	a := newAPI(f, "anthropic")
	a.cfg.Budgets, a.cfg.Audit = noBudgets{}, &failAt{}
	a.scope.Role.Budget = map[host.Budget]int64{host.BudgetTokens: 5000}
	a.scope.Emit = func(host.Event) {}
	f.Fuzz(func(t *testing.T, body string) {
		a.asked, a.body = nil, nil
		a.send(ask("POST", "/v1/messages", body))
		if len(a.asked) == 0 {
			return
		}
		d := json.NewDecoder(bytes.NewReader(a.body))
		seen, model, most := map[string]int{}, "", 0.0
		d.Token()
		for d.More() {
			key, _ := d.Token()
			var v any
			if err := d.Decode(&v); err != nil {
				t.Fatalf("sent %q: %v", a.body, err)
			}
			name := key.(string)
			if seen[name]++; name == "model" {
				model, _ = v.(string)
			}
			if name == "max_tokens" {
				most, _ = v.(float64)
			}
		}
		if _, err := d.Token(); err != nil || d.Decode(new(any)) == nil {
			t.Fatalf("sent %q", a.body)
		}
		if !slices.Contains([]string{modelName, "second"}, model) || seen["model"] != 1 || most < 1 || most > 5000 || seen["mcp_servers"] > 0 {
			t.Fatalf("%q became %q", body, a.body)
		}
	})
}
