package sdk

import (
	"github.com/nanoclaw/nanoclaw/sdk/internal/abi"
	"github.com/nanoclaw/nanoclaw/sdk/internal/json"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Context says for whom a tool is called.
type Context struct {
	Tool     string // the tool's name in skill.toml
	Turn     string // identity of the turn: the same when the turn is run again
	Agent    string // identity of the agent
	Timezone string // of the user, an IANA name such as "Europe/Berlin"
}

// Shapes of the wire that skills meet.
type (
	RawMessage = wire.RawMessage // JSON kept as it is
	ToolResult = wire.ToolResult // what a tool answers: an MCP CallToolResult
	Content    = wire.Content    // one block of it
)

// handler answers one call of a tool.
type handler func(Context, RawMessage) ToolResult

// tools is filled by init functions and read by Dispatch.
var tools = map[string]handler{}

func register(name string, h handler) {
	if tools[name] != nil {
		panic("sdk: tool " + name + " is registered twice")
	}
	tools[name] = h
}

// Tool registers f as the tool that skill.toml calls name. Call it in init.
//
// The arguments are decoded into In, a struct with json tags in most cases;
// arguments that do not fit are answered for f, with an error that names the
// place. Out becomes the answer:
//
//   - a string is the text of the answer;
//   - a ToolResult is the answer as it stands;
//   - anything else is encoded as JSON, which is the text, and structured content
//     too when it is an object. If it has a method Text() string, that is the text.
//
// An error is an answer as well: its sentence is what the model reads.
func Tool[In, Out any](name string, f func(Context, In) (Out, error)) {
	register(name, func(c Context, args RawMessage) ToolResult {
		var in In
		if len(args) > 0 {
			if err := json.Unmarshal(args, &in); err != nil {
				return failure("invalid arguments: " + err.Error())
			}
		}
		out, err := f(c, in)
		if err != nil {
			return failure(err.Error())
		}
		return answer(out)
	})
}

func failure(text string) ToolResult {
	r := wire.TextResult(text)
	r.IsError = true
	return r
}

func answer(out any) ToolResult {
	switch v := out.(type) {
	case string:
		return wire.TextResult(v)
	case ToolResult:
		return v
	}
	b, err := json.Marshal(out)
	if err != nil {
		return failure("the answer cannot be encoded: " + err.Error())
	}
	r := wire.TextResult(string(b))
	if t, ok := out.(interface{ Text() string }); ok {
		r = wire.TextResult(t.Text())
	}
	if b[0] == '{' {
		r.StructuredContent = b
	}
	return r
}

// Dispatch answers one call: input is a wire.GuestCall, the answer a ToolResult,
// both as JSON. It is what the module's export nanoclaw_call runs; a skill has
// no need of it.
func Dispatch(input []byte) []byte {
	var call wire.GuestCall
	r := failure("the host's call cannot be read")
	if err := json.Unmarshal(input, &call); err == nil {
		if h := tools[call.Tool]; h != nil {
			r = h(Context{
				Tool: call.Tool, Turn: call.Call.Turn, Agent: call.Call.Agent, Timezone: call.Call.Timezone,
			}, call.Arguments)
		} else {
			r = failure("this skill has no tool " + call.Tool)
		}
	}
	if r.Content == nil {
		r.Content = []Content{}
	}
	b, err := json.Marshal(r)
	if err != nil { // only a structured content of the skill's own making
		b, _ = json.Marshal(failure("the answer cannot be encoded: " + err.Error()))
	}
	return b
}

// Marshal encodes v as encoding/json does, in less code. It differs in
// small things: no HTML escapes, no TextMarshaler, at most 512 levels.
func Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal decodes one JSON value into what v points to, as encoding/json does;
// its errors name the place: "days[2].name: want a string, got 3".
func Unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

// Workspace is the directory of the agent's files: "/workspace", or under go test
// that of the sdktest.Host. Reading and writing below it takes the capability fs;
// with a path in skill.toml only that directory below it is there.
func Workspace() string { return abi.Workspace() }

// Mounts are the directories of the user's machine that the role mounts, "/mnt/NAME" each.
// It takes the capability fs, as they do.
func Mounts() []string { return abi.Mounts() }

// Setting is what the role says to this skill under name: settings = { SKILL = { name = "…" } }
// in nanoclaw.toml. It is "" when the role says nothing.
func Setting(name string) string { return abi.Setting(name) }

// Level says how much a line of the log matters.
type Level uint32

// Levels of Log.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

// Log writes one line to the host's log, for the owner and never for a model.
func Log(level Level, text string) { abi.Log(uint32(level), text) }
