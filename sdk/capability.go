package sdk

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk/internal/abi"
	"github.com/nanoclaw/nanoclaw/sdk/internal/json"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Request is an HTTP request. The host refuses what the role does not grant, and
// adds credentials by itself: a skill never holds one.
type Request struct {
	Method string // "" = GET
	URL    string
	Header map[string]string
	Body   []byte
}

// Response is its answer, whatever its status.
type Response struct {
	Status int
	URL    string // after redirects
	Header map[string]string
	Body   []byte
}

// Get returns the header called name, in any case, or "".
func (r *Response) Get(name string) string {
	for k, v := range r.Header {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// HTTP sends one request. It takes the capability http. An answer such as 404 is
// a Response, not an error.
func HTTP(r Request) (*Response, error) {
	w := wire.HTTPRequest{Method: r.Method, URL: r.URL, Headers: r.Header}
	if w.Method == "" {
		w.Method = "GET"
	}
	if utf8.Valid(r.Body) {
		w.Body = string(r.Body)
	} else {
		w.BodyBase64 = base64.StdEncoding.EncodeToString(r.Body)
	}
	req, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	var a wire.HTTPResponse
	body, status := abi.HTTP(req)
	if err := decode(body, status, &a); err != nil {
		return nil, err
	}
	out := &Response{Status: a.Status, URL: a.URL, Header: a.Headers, Body: []byte(a.Body)}
	if a.BodyBase64 != "" {
		if out.Body, err = base64.StdEncoding.DecodeString(a.BodyBase64); err != nil {
			return nil, &Error{Status: wire.StatusInternal, Message: "the host's answer cannot be read"}
		}
	}
	return out, nil
}

// KVGet returns the value of key, or ErrNotFound. The keys are the agent's own
// for this skill and outlive turns. All KV functions take the capability kv.
func KVGet(key string) (string, error) {
	r, err := kv(wire.KVRequest{Op: "get", Key: key})
	return r.Value, err
}

// KVPut sets key to value.
func KVPut(key, value string) error {
	_, err := kv(wire.KVRequest{Op: "put", Key: key, Value: value})
	return err
}

// KVDelete removes key; that it was not there is no error.
func KVDelete(key string) error {
	_, err := kv(wire.KVRequest{Op: "delete", Key: key})
	return err
}

// KVList returns at most limit keys that begin with prefix, in order; a limit of
// 0 leaves it to the host.
func KVList(prefix string, limit int) ([]string, error) {
	r, err := kv(wire.KVRequest{Op: "list", Key: prefix, Limit: limit})
	return r.Keys, err
}

func kv(r wire.KVRequest) (a wire.KVResponse, err error) {
	req, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	body, status := abi.KV(req)
	return a, decode(body, status, &a)
}

// Shapes of calls about tasks.
type (
	TaskRequest = wire.TaskRequest // what is to be done: Op and its arguments
	TaskGate    = wire.TaskGate    // the tool that is asked first
	Task        = wire.Task        // a task as it is now
)

// Tasks makes, lists and changes the tasks of the agent: turns that begin at their times. It
// takes the capability task. The answer is the tasks listed, or the one that the call was about.
func Tasks(r TaskRequest) ([]Task, error) {
	req, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var a wire.TaskResponse
	body, status := abi.Task(req)
	if err := decode(body, status, &a); err != nil {
		return nil, err
	}
	if r.Op != "list" && len(a.Tasks) != 1 {
		return nil, &Error{Status: wire.StatusInternal, Message: "the host answered another number of tasks"}
	}
	return a.Tasks, nil
}

// HistoryRequest says what History looks for.
type HistoryRequest = wire.HistoryRequest

// History returns what was said to and by the agent in the turns before this one, newest first. It
// takes the capability history.
func History(r HistoryRequest) ([]ChatMessage, error) {
	req, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var a wire.HistoryResponse
	body, status := abi.History(req)
	return a.Messages, decode(body, status, &a)
}

// Shapes of calls to other tools.
type (
	ToolCall    = wire.ToolCall    // a call by the tool's public name
	ToolOutcome = wire.ToolOutcome // what came of it
)

// MaxToolCalls is how many calls CallTools makes at once.
const MaxToolCalls = 16

// CallTools calls other tools of the agent at once and answers in their order.
// It takes the capability tool. A call that failed is an outcome, not an error.
// More than MaxToolCalls calls are made in several rounds.
func CallTools(calls []ToolCall) ([]ToolOutcome, error) {
	var out []ToolOutcome
	for len(calls) > 0 {
		n := min(len(calls), MaxToolCalls)
		req, err := json.Marshal(calls[:n])
		if err != nil {
			return nil, err
		}
		var a struct {
			Results []ToolOutcome `json:"results"`
		}
		body, status := abi.Tool(req)
		if err := decode(body, status, &a); err != nil {
			return nil, err
		}
		if len(a.Results) != n {
			return nil, &Error{Status: wire.StatusInternal, Message: "the host answered another number of calls"}
		}
		out, calls = append(out, a.Results...), calls[n:]
	}
	return out, nil
}

// CallTool calls the tool with the public name and args, encoded as JSON, as arguments.
func CallTool(name string, args any) (ToolOutcome, error) {
	b, err := json.Marshal(args)
	if err != nil {
		return ToolOutcome{}, err
	}
	out, err := CallTools([]ToolCall{{Name: name, Arguments: b}})
	if err != nil {
		return ToolOutcome{}, err
	}
	return out[0], nil
}

// decode reads the answer of a capability call into v.
func decode(body []byte, status wire.Status, v any) error {
	if status != wire.StatusOK {
		return refusal(body, status)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return &Error{Status: wire.StatusInternal, Message: "the host's answer cannot be read"}
	}
	return nil
}
