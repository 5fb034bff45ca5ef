// Package sdktest runs a skill's tools under go test, in the place of the host.
//
// It owns the fakes of the capabilities: what a test does not give is refused
// with sdk.ErrDenied, as for a role without the grant. Arguments, results and
// capability calls go through their JSON as they do in a container, so a type
// that does not survive the wire fails the test. It must never be imported by
// code that is built into a skill, and a skill needs no change to be tested.
//
//	func TestForecast(t *testing.T) {
//		h := sdktest.New(t)
//		h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
//			return &sdk.Response{Status: 200, Body: []byte(`{"sky":"clear"}`)}, nil
//		}
//		if got := h.Call("forecast", map[string]any{"city": "Oslo"}).Text(); got != "clear in Oslo" {
//			t.Error(got)
//		}
//	}
package sdktest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/internal/abi"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Host stands for the host while a test runs. Its fields may be set at any time;
// a capability whose field is nil is denied.
type Host struct {
	HTTP  func(sdk.Request) (*sdk.Response, error)
	LLM   func(sdk.LLMRequest) (*sdk.LLMResponse, error)
	Tools map[string]func(args sdk.RawMessage) sdk.ToolOutcome // by public name
	KV    map[string]string
	// Agents stands for the agents of other roles.
	Agents func(sdk.AgentCall) sdk.AgentOutcome
	Tasks  func(sdk.TaskRequest) ([]sdk.Task, error)

	History func(sdk.HistoryRequest) ([]sdk.ChatMessage, error)
	// Chats are those that are known; Messages answers what else is asked of them.
	Chats    []sdk.Chat
	Messages func(sdk.MessageRequest) error

	Settings map[string]string // of the role, for the skill
	Mounted  []string          // directories that stand for those below /mnt

	Turn     string // of the calls; "t1" unless set
	Timezone string // "UTC" unless set
	Logs     []string

	t   testing.TB
	dir string
	mu  sync.Mutex
}

// New installs a Host until the test ends. Tests that use one cannot run in
// parallel, because a guest is alone in its instance and the sdk relies on it.
func New(t testing.TB) *Host {
	t.Helper()
	h := &Host{t: t, dir: t.TempDir(), Turn: "t1", Timezone: "UTC"}
	t.Cleanup(abi.Install(h))
	return h
}

// Call calls one tool with nothing granted but a workspace of its own.
func Call(t testing.TB, tool string, args any) sdk.ToolResult {
	t.Helper()
	h := &Host{t: t, dir: t.TempDir(), Turn: "t1", Timezone: "UTC"}
	defer abi.Install(h)()
	return h.Call(tool, args)
}

// Call calls one tool; args is encoded as JSON, a json.RawMessage as it stands.
func (h *Host) Call(tool string, args any) sdk.ToolResult {
	h.t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		h.t.Fatalf("%s: arguments: %v", tool, err)
	}
	in, err := json.Marshal(wire.GuestCall{
		Tool: tool, Arguments: raw,
		Call: wire.CallInfo{Turn: h.Turn, Agent: "test", Timezone: h.Timezone},
	})
	if err != nil {
		h.t.Fatalf("%s: %v", tool, err)
	}
	var r sdk.ToolResult
	if err := strict(sdk.Dispatch(in), &r); err != nil {
		h.t.Fatalf("%s: the answer is not a ToolResult: %v", tool, err)
	}
	return r
}

// Reply runs a turn of a skill agent and returns its reply, or the error it ended with.
func (h *Host) Reply(turn sdk.Turn) (string, error) {
	h.t.Helper()
	r := h.Call("turn", turn)
	if r.IsError {
		return "", errors.New(r.Text())
	}
	return r.Text(), nil
}

// Workspace is the directory that the skill sees as /workspace.
func (h *Host) Workspace() string { return h.dir }

// Setting implements the sdk's host side.
func (h *Host) Setting(name string) string { return h.Settings[name] }

// Mounts implements the sdk's host side.
func (h *Host) Mounts() []string { return h.Mounted }

// Log implements the sdk's host side.
func (h *Host) Log(level uint32, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Logs = append(h.Logs, text)
	h.t.Logf("log %d: %s", level, text)
}

// Capability implements the sdk's host side.
func (h *Host) Capability(name string, req []byte) ([]byte, wire.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(req) > wire.MaxCapRequest {
		return refuse(&sdk.Error{Status: wire.StatusTooLarge, Message: "request over the limit"})
	}
	v, err := h.answer(name, req)
	if err != nil {
		return refuse(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		h.t.Errorf("%s: the fake's answer: %v", name, err)
	}
	return b, wire.StatusOK
}

func (h *Host) answer(name string, req []byte) (any, error) {
	switch {
	case name == "http" && h.HTTP != nil:
		return h.http(req)
	case name == "llm" && h.LLM != nil:
		var r sdk.LLMRequest
		if err := h.read(name, req, &r); err != nil {
			return nil, err
		}
		return h.LLM(r)
	case name == "kv" && h.KV != nil:
		return h.kv(req)
	case name == "history" && h.History != nil:
		var r sdk.HistoryRequest
		if err := h.read(name, req, &r); err != nil {
			return nil, err
		}
		found, err := h.History(r)
		return wire.HistoryResponse{Messages: found}, err
	case name == "tool" && h.Tools != nil:
		return h.tools(req)
	case name == "message" && h.Messages != nil:
		return h.message(req)
	case name == "agent" && h.Agents != nil:
		var calls []sdk.AgentCall
		if err := h.read(name, req, &calls); err != nil {
			return nil, err
		}
		var a wire.AgentResponse
		for _, c := range calls {
			a.Results = append(a.Results, h.Agents(c))
		}
		return a, nil
	case name == "task" && h.Tasks != nil:
		var r sdk.TaskRequest
		if err := h.read(name, req, &r); err != nil {
			return nil, err
		}
		tasks, err := h.Tasks(r)
		return wire.TaskResponse{Tasks: tasks}, err
	}
	return nil, &sdk.Error{Status: wire.StatusDenied, Message: name + " is not granted"}
}

// strict decodes as the broker does: unknown fields are errors.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// read is as strict as the broker: an unknown field fails the test.
func (h *Host) read(name string, req []byte, v any) error {
	if err := strict(req, v); err != nil {
		h.t.Errorf("%s: request %s: %v", name, req, err)
		return sdk.ErrInvalid
	}
	return nil
}

func refuse(err error) ([]byte, wire.Status) {
	var e *sdk.Error
	if !errors.As(err, &e) {
		e = &sdk.Error{Status: wire.StatusInternal, Message: err.Error()}
	}
	w := wire.NewError(e.Status, e.Message)
	b, _ := json.Marshal(w) // two strings and a bool always encode
	return b, e.Status
}

func (h *Host) http(req []byte) (any, error) {
	var w wire.HTTPRequest
	if err := h.read("http", req, &w); err != nil {
		return nil, err
	}
	body := []byte(w.Body)
	if w.BodyBase64 != "" {
		b, err := base64.StdEncoding.DecodeString(w.BodyBase64)
		if err != nil {
			return nil, sdk.ErrInvalid
		}
		body = b
	}
	r, err := h.HTTP(sdk.Request{Method: w.Method, URL: w.URL, Header: w.Headers, Body: body})
	if err != nil {
		return nil, err
	}
	a := wire.HTTPResponse{Status: r.Status, URL: r.URL, Headers: r.Header}
	if a.URL == "" {
		a.URL = w.URL
	}
	if utf8.Valid(r.Body) {
		a.Body = string(r.Body)
	} else {
		a.BodyBase64 = base64.StdEncoding.EncodeToString(r.Body)
	}
	return a, nil
}

func (h *Host) kv(req []byte) (any, error) {
	var r wire.KVRequest
	if err := h.read("kv", req, &r); err != nil {
		return nil, err
	}
	var a wire.KVResponse
	switch r.Op {
	case "get":
		v, ok := h.KV[r.Key]
		if !ok {
			return nil, &sdk.Error{Status: wire.StatusNotFound, Message: "no such key"}
		}
		a.Value = v
	case "put":
		h.KV[r.Key] = r.Value
	case "delete":
		delete(h.KV, r.Key)
	case "list":
		for k := range h.KV {
			if strings.HasPrefix(k, r.Key) {
				a.Keys = append(a.Keys, k)
			}
		}
		slices.Sort(a.Keys)
		if r.Limit > 0 && len(a.Keys) > r.Limit {
			a.Keys = a.Keys[:r.Limit]
		}
	default:
		return nil, sdk.ErrInvalid
	}
	return a, nil
}

func (h *Host) message(req []byte) (any, error) {
	var r sdk.MessageRequest
	if err := h.read("message", req, &r); err != nil {
		return nil, err
	}
	switch r.Op {
	case "chats":
		return wire.MessageResponse{Chats: h.Chats}, nil
	case "send", "send_file":
		return wire.MessageResponse{ID: "m1"}, h.Messages(r)
	case "propose_route":
		return wire.MessageResponse{}, h.Messages(r)
	}
	return nil, sdk.ErrInvalid
}

func (h *Host) tools(req []byte) (any, error) {
	var calls []wire.ToolCall
	if err := h.read("tool", req, &calls); err != nil {
		return nil, err
	}
	if len(calls) > sdk.MaxToolCalls {
		return nil, &sdk.Error{Status: wire.StatusTooLarge, Message: "more than 16 calls"}
	}
	a := struct {
		Results []wire.ToolOutcome `json:"results"`
	}{}
	for _, c := range calls {
		f := h.Tools[c.Name]
		if f == nil {
			a.Results = append(a.Results, wire.ToolOutcome{
				Outcome: wire.OutcomeNotFound, Message: "no tool " + c.Name, Result: wire.ToolResult{Content: []wire.Content{}},
			})
			continue
		}
		a.Results = append(a.Results, f(c.Arguments))
	}
	return a, nil
}
