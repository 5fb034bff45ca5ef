package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// program loads an agent whose turns sh answers, with the tools of the skill "tools".
func (h *host) program(spec wire.Exec, script string) (dir string) {
	h.t.Helper()
	spec.Dir, spec.Model = h.t.TempDir(), "model-1"
	spec.Command = []string{"sh", "-c", script, "sh"}
	set := wire.Load{Agent: "a", Timezone: "UTC", Exec: &spec, Skills: []wire.LoadSkill{{
		Name: "tools", Dir: brainDir, Tools: []wire.Tool{{Name: "echo"}, {Name: "spin"}}, Granted: []string{"llm", "kv", "tool"},
	}}}
	if status, body := h.post(wire.PathLoad, set); status != 200 {
		h.t.Fatal(status, body)
	}
	return spec.Dir
}

func say(text string) wire.Turn {
	return wire.Turn{
		Turn: "t1", System: "be brief", DeadlineMS: 60_000, Messages: []wire.ChatMessage{{Role: wire.RoleUser, Sender: "owner", Text: text}},
		Tools: []wire.Tool{{Name: "tools_echo", Description: "echoes", Examples: []string{"x"}}, {Name: "tools_spin"}},
	}
}

func TestPlainProgram(t *testing.T) {
	h := start(t)
	h.program(wire.Exec{}, `read first; cat; echo "[$first] $OPENAI_API_KEY $ANTHROPIC_API_KEY $OPENAI_MODEL"; env | cut -d= -f1 | sort | tr "\n" " "`)
	in := say("hello")
	in.History = []wire.ChatMessage{{Role: wire.RoleAssistant, Text: "earlier"}}
	events := h.turn(in)
	last := events[len(events)-1]
	want := "\nWhat was said before:\nassistant: earlier\n\nowner: hello\n[be brief] proxy-managed proxy-managed model-1\n" +
		"ANTHROPIC_API_KEY ANTHROPIC_BASE_URL ANTHROPIC_MODEL HOME LANG NANOCLAW_MCP OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL PATH PWD TERM TMPDIR"
	if last.Type != wire.EventReply || last.Text != strings.TrimSpace(want) {
		t.Fatalf("%+v", events)
	}
}

func TestProgramsThatFail(t *testing.T) {
	for name, tc := range map[string]struct {
		script, outcome, says string
		deadline              int
	}{
		"exit code":         {script: "echo one >&2; echo two >&2; exit 3", outcome: wire.OutcomeToolError, says: "the program failed: exit status 3: two"},
		"signal":            {script: "kill -9 $$", outcome: wire.OutcomeToolError, says: "the program failed"},
		"time":              {script: "sleep 100 & sleep 100", outcome: wire.OutcomeTimeout, says: "too long", deadline: 300},
		"stdin not read":    {script: "exec <&-; exit 1", outcome: wire.OutcomeToolError, says: "exit status 1"},
		"stderr is bounded": {script: "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", outcome: wire.OutcomeToolError, says: "exit status 1: xxx"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			h.program(wire.Exec{}, tc.script)
			in := say("x")
			if tc.deadline > 0 {
				in.DeadlineMS = tc.deadline
			}
			events := h.turn(in)
			last := events[len(events)-1]
			if last.Type != wire.EventError || last.Outcome != tc.outcome || !strings.Contains(last.Message, tc.says) || len(last.Message) > 500 {
				t.Errorf("%+v", last)
			}
		})
	}
	h := start(t)
	spec := wire.Exec{Command: []string{"no-such-program"}, Dir: t.TempDir()}
	h.post(wire.PathLoad, wire.Load{Exec: &spec})
	if events := h.turn(say("x")); !strings.Contains(events[len(events)-1].Message, `the role's image has no program "no-such-program"`) {
		t.Errorf("%+v", events)
	}
	h = start(t)
	h.program(wire.Exec{}, "yes | head -c 10000000")
	if events := h.turn(say("x")); len(events[len(events)-1].Text) > wire.MaxReply {
		t.Error("a reply without end")
	}
}

// waits is a turn of a program that says where it can reach the runner, and ends when it is told.
func (h *host) waits(spec wire.Exec) (base string, end func() wire.Event) {
	h.t.Helper()
	dir := h.program(spec, `echo "$ANTHROPIC_BASE_URL" > base.new; mv base.new base; until [ -e end ]; do sleep 0.02; done; echo bye`)
	done := make(chan []wire.Event, 1)
	go func() { done <- h.turn(say("x")) }()
	for until := time.Now().Add(30 * time.Second); base == "" && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(filepath.Join(dir, "base"))
		base = strings.TrimSpace(string(b))
	}
	return base, func() wire.Event {
		if err := os.WriteFile(filepath.Join(dir, "end"), nil, 0o600); err != nil {
			h.t.Fatal(err)
		}
		events := <-done
		return events[len(events)-1]
	}
}

func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

// TestMCP: the requests that clients of tools make, and what is none of them.
func TestMCP(t *testing.T) {
	h := start(t)
	base, end := h.waits(wire.Exec{})
	for _, tc := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"POST", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`, 200, `"protocolVersion":"2025-03-26"`},
		{"POST", `{"jsonrpc":"2.0","id":"a","method":"initialize"}`, 200, `"id":"a"`},
		{"POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, 202, ""},
		{"POST", `{"jsonrpc":"2.0","id":2,"method":"ping"}`, 200, `"result":{}`},
		{"POST", `{"jsonrpc":"2.0","id":3,"method":"tools/list"}`, 200, `{"tools":[{"name":"tools_echo","description":"echoes","inputSchema":{"type":"object"}},{"name":"tools_spin","inputSchema":{"type":"object"}}]}`},
		{"POST", `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"tools_echo","arguments":{"text":"<hi>"}}}`, 200, `{"content":[{"type":"text","text":"echo <hi>"}]}`},
		{"POST", `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"tools_echo","arguments":{"text":"again"}}}`, 200, `echo again`},
		{"POST", `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"gone"}}`, 200, `"isError":true`},
		{"POST", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":[1]}`, 200, `"code":-32602`},
		{"POST", `{"jsonrpc":"2.0","id":8,"method":"resources/list"}`, 200, `"code":-32601`},
		{"POST", `[{"jsonrpc":"2.0","id":9,"method":"ping"}]`, 400, ""},
		{"POST", `{"id":9,"method":"ping"}`, 400, ""},
		{"POST", `{`, 400, ""},
		{"GET", ``, 405, ""},
		{"DELETE", ``, 405, ""},
	} {
		status, body := ask(t, tc.method, base+"/mcp", tc.body)
		if status != tc.status || !strings.Contains(body, tc.want) || status == 200 && !json.Valid([]byte(body)) {
			t.Errorf("%s %s: %d %s, want %s", tc.method, tc.body, status, body, tc.want)
		}
	}
	if last := end(); last.Text != "bye" || !slices.Equal(last.Used, []string{"tools"}) {
		t.Errorf("%+v", last)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if want := []string{"kv tools 1.0.0", "kv tools 2.0.0"}; !slices.Equal(h.calls, want) {
		t.Errorf("the broker was asked %q, want %q", h.calls, want)
	}
}

// TestModelIsTheHosts: whatever a program asks for goes to the host as a request to the model's API, and
// never as a capability call.
func TestModelIsTheHosts(t *testing.T) {
	h := start(t)
	base, end := h.waits(wire.Exec{})
	for sent, want := range map[string]string{
		"/v1/messages?beta=true": "/v1/model/v1/messages",
		"/v1/cap/kv":             "/v1/model/v1/cap/kv",
		"/v1/%6dessages":         "/v1/model/v1/messages",
		"/%2e%2e/cap/kv":         "/v1/model/../cap/kv",
		"//v1//x":                "/v1/model//v1//x",
	} {
		h.mu.Lock()
		h.calls = nil
		h.mu.Unlock()
		if status, _ := ask(t, "POST", base+sent, "{}"); status != 404 { // the fake host has none
			t.Errorf("%s: %d", sent, status)
		}
		h.mu.Lock()
		if got := strings.TrimSpace(h.calls[0]); got != want {
			t.Errorf("%s went to %s, want %s", sent, got, want)
		}
		h.mu.Unlock()
	}
	end()
}

// stand is a stand-in for Claude Code: it keeps what it was called with, and answers as its file says.
const stand = `echo "$@" | tr "\n" " " >> calls; echo >> calls
while [ $# -gt 0 ]; do [ "$1" = --append-system-prompt-file ] && cat "$2" > system; shift; done
read line; echo "$line" >> said
echo "no JSON"; echo '{"type":"system","subtype":"init","session_id":"00000000-0000-4000-8000-000000000000"}'
answer=$(head -n 1 answers); echo "$answer"; tail -n +2 answers > rest; mv rest answers
[ "$answer" = "{}" ] || cat > /dev/null`

func TestClaudeSessions(t *testing.T) {
	h := start(t)
	dir := h.program(wire.Exec{Preset: wire.PresetClaude, Bypass: true}, stand)
	const first, second = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	result := func(session, more string) string {
		return `{"type":"result","subtype":"success","is_error":false,"result":"hi","session_id":"` + session + `"` + more + "}\n"
	}
	lost := `{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation found with session ID"]}` + "\n"
	turn := func(answers string) (wire.Event, string, string) {
		t.Helper()
		os.Remove(filepath.Join(dir, "calls"))
		os.Remove(filepath.Join(dir, "said"))
		if err := os.WriteFile(filepath.Join(dir, "answers"), []byte(answers), 0o600); err != nil {
			t.Fatal(err)
		}
		in := say("hello")
		in.History, in.Memory = []wire.ChatMessage{{Role: wire.RoleAssistant, Text: "earlier"}}, "likes tea"
		events := h.turn(in)
		calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
		said, _ := os.ReadFile(filepath.Join(dir, "said"))
		return events[len(events)-1], string(calls), string(said)
	}
	session := func() string {
		b, _ := os.ReadFile(filepath.Join(dir, ".nanoclaw", "session"))
		return string(b)
	}

	last, calls, said := turn(result(first, ""))
	if last.Text != "hi" || strings.Contains(calls, "--resume") || !strings.Contains(said, `assistant: earlier`) || session() != first {
		t.Fatalf("%+v, called %s, said %s, session %s", last, calls, said, session())
	}
	for _, want := range []string{"--permission-mode bypassPermissions", "--strict-mcp-config", "--model model-1", "/mcp", "stream-json"} {
		if !strings.Contains(calls, want) {
			t.Errorf("%q is not in %s", want, calls)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "system")); !strings.Contains(string(b), "be brief") || !strings.Contains(string(b), "likes tea") {
		t.Errorf("system prompt %s", b)
	}

	old := filepath.Join(dir, ".nanoclaw", "claude", "projects", "x", first+".jsonl")
	if err := os.MkdirAll(filepath.Dir(old), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	last, calls, said = turn(`{"type":"result","subtype":"success","is_error":true,"result":"API Error: 429","session_id":"` + second + "\"}\n")
	if last.Type != wire.EventError || !strings.Contains(last.Message, "API Error: 429") || session() != first {
		t.Errorf("a failed turn: %+v, session %s", last, session())
	}
	if !strings.Contains(calls, "--resume "+first+" --fork-session") || strings.Contains(said, "earlier") {
		t.Errorf("called %s, said %s", calls, said)
	}
	last, _, _ = turn(result(second, ""))
	if _, err := os.Stat(old); last.Text != "hi" || session() != second || err == nil {
		t.Errorf("%+v, session %s, the old one: %v", last, session(), err)
	}
	last, calls, said = turn(lost + result(first, ""))
	if last.Text != "hi" || strings.Count(calls, "--resume") != 1 || strings.Count(said, "earlier") != 1 || session() != first {
		t.Errorf("a lost session: %+v, called %s, said %s", last, calls, said)
	}
	if last, _, _ = turn("{}\n"); last.Type != wire.EventError || !strings.Contains(last.Message, "without a result") {
		t.Errorf("no result: %+v", last)
	}
	if err := os.WriteFile(filepath.Join(dir, ".nanoclaw", "session"), []byte("--dangerous"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, calls, _ = turn(result(first, "")); strings.Contains(calls, "dangerous") {
		t.Errorf("a session of another shape: %s", calls)
	}
}
