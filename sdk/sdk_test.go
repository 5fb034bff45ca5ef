package sdk_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

type pair struct {
	A int `json:"a"`
	B int `json:"b"`
}

type sum struct {
	Sum int `json:"sum"`
}

type spoken struct {
	Sum int `json:"sum"`
}

func (spoken) Text() string { return "three" }

func init() {
	sdk.Tool("add", func(_ sdk.Context, p pair) (sum, error) { return sum{p.A + p.B}, nil })
	sdk.Tool("say", func(_ sdk.Context, p pair) (spoken, error) { return spoken{p.A + p.B}, nil })
	sdk.Tool("list", func(sdk.Context, struct{}) ([]int, error) { return []int{1, 2}, nil })
	sdk.Tool("who", func(c sdk.Context, _ struct{}) (string, error) { return c.Tool + c.Turn + c.Agent + c.Timezone, nil })
	sdk.Tool("fail", func(sdk.Context, struct{}) (string, error) { return "", errors.New("out of milk") })
	sdk.Tool("bad", func(sdk.Context, struct{}) (sdk.ToolResult, error) {
		return sdk.ToolResult{StructuredContent: sdk.RawMessage("{")}, nil
	})
	sdk.Tool("chan", func(sdk.Context, struct{}) (chan int, error) { return nil, nil })
	sdk.Tool("run", func(sdk.Context, struct{}) (string, error) { return "ran", during() })
}

// during is what the tool "run" does: the test's own code, inside a call.
var during func() error

// inTool runs f inside a tool call of h.
func inTool(t *testing.T, h *sdktest.Host, f func() error) {
	t.Helper()
	during = f
	if r := h.Call("run", nil); r.IsError {
		t.Errorf("in the tool: %s", r.Text())
	}
}

func TestToolAnswers(t *testing.T) {
	for _, c := range []struct {
		name, tool, args string
		text, structured string
		isError          bool
	}{
		{"struct", "add", `{"a":1,"b":2}`, `{"sum":3}`, `{"sum":3}`, false},
		{"struct with text", "say", `{"a":1,"b":2}`, `three`, `{"sum":3}`, false},
		{"no object, no structured content", "list", `{}`, `[1,2]`, "", false},
		{"context", "who", `{}`, "whot1testUTC", "", false},
		{"no arguments", "who", `null`, "whot1testUTC", "", false},
		{"error", "fail", `{}`, "out of milk", "", true},
		{"misfit", "add", `{"a":"x"}`, "invalid arguments: a: want a whole number in range, got a string", "", true},
		{"no such tool", "nosuch", `{}`, "this skill has no tool nosuch", "", true},
		{"result that is no JSON", "bad", `{}`, "the answer cannot be encoded: structuredContent: ", "", true},
		{"result that cannot be encoded", "chan", `{}`, "the answer cannot be encoded: cannot encode a chan", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sdktest.Call(t, c.tool, sdk.RawMessage(c.args))
			if !strings.HasPrefix(r.Text(), c.text) || c.text == "" || string(r.StructuredContent) != c.structured || r.IsError != c.isError {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestDispatchOfGarbage(t *testing.T) {
	for _, in := range []string{"", "{", `"x"`, `{"tool":7}`} {
		var r sdk.ToolResult
		if err := json.Unmarshal(sdk.Dispatch([]byte(in)), &r); err != nil || !r.IsError {
			t.Errorf("%q: %+v, %v", in, r, err)
		}
	}
}

func TestWhatIsNotGivenIsDenied(t *testing.T) {
	calls := map[string]func() error{
		"http":    func() error { _, err := sdk.HTTP(sdk.Request{URL: "https://x"}); return err },
		"llm":     func() error { _, err := sdk.LLM(sdk.LLMRequest{}); return err },
		"kv":      func() error { _, err := sdk.KVGet("k"); return err },
		"history": func() error { _, err := sdk.History(sdk.HistoryRequest{}); return err },
		"tool":    func() error { _, err := sdk.CallTool("t", nil); return err },
	}
	for name, call := range calls {
		during = call
		r := sdktest.Call(t, "run", nil)
		if !r.IsError || r.Text() != "denied: "+name+" is not granted" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestErrorsCarryTheirKind(t *testing.T) {
	h := sdktest.New(t)
	for status, kind := range map[wire.Status]error{
		wire.StatusDenied: sdk.ErrDenied, wire.StatusInvalid: sdk.ErrInvalid, wire.StatusNotFound: sdk.ErrNotFound,
		wire.StatusTimeout: sdk.ErrTimeout, wire.StatusCancelled: sdk.ErrCancelled, wire.StatusTooLarge: sdk.ErrTooLarge,
		wire.StatusRateLimited: sdk.ErrRateLimited, wire.StatusUnavailable: sdk.ErrUnavailable,
		wire.StatusInternal: sdk.ErrInternal,
	} {
		h.HTTP = func(sdk.Request) (*sdk.Response, error) { return nil, &sdk.Error{Status: status, Message: "why"} }
		_, err := sdk.HTTP(sdk.Request{URL: "https://x"})
		var e *sdk.Error
		if !errors.Is(err, kind) || !errors.As(err, &e) || e.Message != "why" {
			t.Errorf("%v: got %v", status, err)
		}
		if wantRetry := status == wire.StatusRateLimited || status == wire.StatusUnavailable; e.Retryable != wantRetry {
			t.Errorf("%v: retryable %v", status, e.Retryable)
		}
		if errors.Is(err, sdk.ErrDenied) != (status == wire.StatusDenied) {
			t.Errorf("%v: is denied", status)
		}
	}
}

func TestHTTPBodies(t *testing.T) {
	h := sdktest.New(t)
	h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
		return &sdk.Response{Status: 201, Header: map[string]string{"X-Method": r.Method + r.Header["A"]}, Body: r.Body}, nil
	}
	for _, body := range []string{"", "text é", "\xff\x00binary"} {
		r, err := sdk.HTTP(sdk.Request{URL: "https://x/", Header: map[string]string{"A": "b"}, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Body) != body || r.Status != 201 || r.Get("x-method") != "GETb" || r.URL != "https://x/" {
			t.Errorf("%q: got %+v", body, r)
		}
	}
}

func TestKV(t *testing.T) {
	h := sdktest.New(t)
	h.KV = map[string]string{}
	inTool(t, h, func() error { return errors.Join(sdk.KVPut("a/1", "x"), sdk.KVPut("a/2", "y"), sdk.KVPut("b", "z")) })
	if v, err := sdk.KVGet("a/2"); v != "y" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if keys, err := sdk.KVList("a/", 0); !reflect.DeepEqual(keys, []string{"a/1", "a/2"}) || err != nil {
		t.Errorf("got %q, %v", keys, err)
	}
	if err := sdk.KVDelete("a/1"); err != nil {
		t.Error(err)
	}
	if _, err := sdk.KVGet("a/1"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestCallToolsInRounds(t *testing.T) {
	h := sdktest.New(t)
	h.Tools = map[string]func(sdk.RawMessage) sdk.ToolOutcome{
		"echo": func(args sdk.RawMessage) sdk.ToolOutcome {
			return sdk.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult(string(args))}
		},
	}
	var calls []sdk.ToolCall
	for i := range 20 {
		calls = append(calls, sdk.ToolCall{Name: "echo", Arguments: sdk.RawMessage([]byte{'0' + byte(i%10)})})
	}
	calls[3].Name = "nosuch"
	out, err := sdk.CallTools(calls)
	if err != nil || len(out) != 20 {
		t.Fatal(len(out), err)
	}
	for i, o := range out {
		if i == 3 && o.Outcome != wire.OutcomeNotFound || i != 3 && o.Result.Text() != string('0'+rune(i%10)) {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if o, err := sdk.CallTool("echo", pair{1, 2}); err != nil || o.Result.Text() != `{"a":1,"b":2}` {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestWorkspaceAndLog(t *testing.T) {
	h := sdktest.New(t)
	inTool(t, h, func() error {
		sdk.Log(sdk.LevelInfo, "here")
		return os.WriteFile(filepath.Join(sdk.Workspace(), "f"), []byte("x"), 0o600)
	})
	if _, err := os.Stat(filepath.Join(h.Workspace(), "f")); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(h.Logs, []string{"here"}) {
		t.Errorf("got %q", h.Logs)
	}
}

func TestConversation(t *testing.T) {
	const u, a = wire.RoleUser, wire.RoleAssistant
	got := sdk.Conversation(sdk.Turn{
		History: []sdk.ChatMessage{
			{Role: a, Text: "cut off"},
			{Role: u, Sender: "Ann", Text: "one"},
			{Role: u, Sender: "Ben", Text: "two"},
			{Role: a, Text: "three"},
			{Role: u, Sender: "Ann", Text: ""},
		},
		Messages: []sdk.ChatMessage{{Role: u, Sender: "Ann", Text: "four"}},
	})
	want := [][]string{{u, "Ann: one", "Ben: two"}, {a, "three"}, {u, "Ann: four"}}
	var flat [][]string
	for _, m := range got {
		row := []string{m.Role}
		for _, b := range m.Content {
			row = append(row, b.Text)
		}
		flat = append(flat, row)
	}
	if !reflect.DeepEqual(flat, want) {
		t.Errorf("got %q, want %q", flat, want)
	}
	alone := sdk.Conversation(sdk.Turn{Messages: []sdk.ChatMessage{{Role: u, Sender: "Ann", Text: "hi"}}})
	if alone[0].Content[0].Text != "hi" {
		t.Errorf("the only sender is named: %+v", alone)
	}
}

func TestMarshalAndUnmarshal(t *testing.T) {
	b, err := sdk.Marshal(pair{1, 2})
	if err != nil || string(b) != `{"a":1,"b":2}` {
		t.Fatalf("got %s, %v", b, err)
	}
	var p pair
	if err := sdk.Unmarshal(b, &p); err != nil || p != (pair{1, 2}) {
		t.Errorf("got %+v, %v", p, err)
	}
}
