package wasm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	maxTail = 2 << 10 // bytes kept of a command's stderr
	maxLast = 10      // lines of them that its error shows
)

// request is one call as its module wants it.
type request struct {
	tool  string
	input []byte   // nanoclaw_call's, a command's stdin, a plugin's input
	argv  []string // a command's
}

// request says how the tool is called. Who wrote the module decides what it gets:
//   - for this ABI: the call as JSON;
//   - command: {"args": […], "stdin": "…"} as arguments and stdin. Its first argument is
//     the tool's name when the skill has several tools, as with git's subcommands;
//   - extism: the arguments as JSON or, when the schema of the tool has the one property
//     "input", that string as it is, since most plugins read plain text.
func (ref toolRef) request(args []byte, info wire.CallInfo) (request, error) {
	spec, r := ref.skill.spec, request{tool: ref.tool}
	errJSON := errors.New("the arguments are not JSON")
	switch {
	case spec.Adapter == wire.AdapterCommand:
		var a struct {
			Args  []string `json:"args"`
			Stdin string   `json:"stdin"`
		}
		if err := wire.Unmarshal(args, &a); err != nil {
			return r, fmt.Errorf(`the arguments must be {"args": [strings], "stdin": string}: %w`, err)
		}
		r.argv, r.input = []string{spec.Name}, []byte(a.Stdin)
		if len(spec.Tools) > 1 {
			r.argv = append(r.argv, ref.tool)
		}
		r.argv = append(r.argv, a.Args...)
		for _, s := range r.argv {
			if strings.Contains(s, "\x00") {
				return r, errors.New("an argument of a command cannot hold a zero byte")
			}
		}
	case spec.Adapter == wire.AdapterExtism && ref.takesText():
		var a struct {
			Input string `json:"input"`
		}
		if err := wire.Unmarshal(args, &a); err != nil {
			return r, fmt.Errorf(`the arguments must be {"input": string}: %w`, err)
		}
		r.input = []byte(a.Input)
	case spec.Adapter == wire.AdapterExtism:
		if r.input = args; !json.Valid(args) {
			return r, errJSON
		}
	default:
		var err error
		if r.input, err = jsonOf(wire.GuestCall{Tool: ref.tool, Arguments: args, Call: info}); err != nil {
			return r, errJSON
		}
	}
	return r, nil
}

// takesText reports whether the tool's schema has the one property "input".
func (ref toolRef) takesText() bool {
	for _, t := range ref.skill.spec.Tools {
		var schema struct {
			Properties map[string]json.RawMessage `json:"properties"`
		}
		if t.Name == ref.tool && json.Unmarshal(t.InputSchema, &schema) == nil {
			return len(schema.Properties) == 1 && schema.Properties["input"] != nil
		}
	}
	return false
}

// checkAdapter looks at the exports of a module that has an adapter.
func (l *loaded) checkAdapter() error {
	functions := l.compiled.ExportedFunctions()
	l.command = l.skill.spec.Adapter == wire.AdapterCommand
	if l.command {
		if f := functions[entryCommand]; f == nil || signature(f) != "/" {
			return fmt.Errorf("is no WASI command: it exports no %s without parameters and results", entryCommand)
		}
		l.entry = entryCommand
		return nil
	}
	for _, t := range l.skill.spec.Tools {
		f := functions[t.Name]
		if f == nil || signature(f) != "/i" && signature(f) != "/" {
			return fmt.Errorf("exports no function %.64q that an Extism host can call: () -> i32", t.Name)
		}
	}
	return nil
}

// initializers are called when an instance is made ready, with zeros for what they take.
func (l *loaded) initializers() []string {
	switch {
	case l.command:
		return nil
	case l.skill.spec.Adapter != wire.AdapterExtism:
		return []string{entryInit, entryWarm}
	case l.compiled.ExportedFunctions()[entryInit] == nil:
		return []string{"__wasm_call_ctors", "hs_init"}
	}
	return []string{entryInit, "hs_init"} // Haskell's runtime
}

// tailWriter is stderr of a command: its last lines say why it failed.
type tailWriter struct{ in *instance }

func (w tailWriter) Write(b []byte) (int, error) {
	in := w.in
	in.tail = append(in.tail, b[max(0, len(b)-maxTail):]...)
	in.tail = in.tail[max(0, len(in.tail)-maxTail):]
	return lineWriter(w).Write(b)
}

// commandAnswer is what a plain command said, by its exit code.
func (in *instance) commandAnswer(code uint32, out string) wire.ToolOutcome {
	if code == 0 {
		return wire.ToolOutcome{Outcome: wire.OutcomeOK, Result: wire.TextResult(out)}
	}
	said := bytes.TrimSpace(in.tail)
	if len(said) == 0 {
		said = bytes.TrimSpace([]byte(out[max(0, len(out)-maxTail):]))
	}
	lines := strings.Split(strings.ToValidUTF8(string(said), "\uFFFD"), "\n")
	lines = lines[max(0, len(lines)-maxLast):]
	return toolError(fmt.Sprintf("exit code %d: %s", code, lines[len(lines)-1]),
		fmt.Sprintf("exit code %d\n%s", code, strings.Join(lines, "\n")))
}

// toolError is what a tool says of its own failure, in short and as its caller reads it.
func toolError(message, text string) wire.ToolOutcome {
	r := wire.TextResult(text)
	r.IsError = true
	return wire.ToolOutcome{Outcome: wire.OutcomeToolError, Message: sentence(message), Result: r}
}
