package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// tool makes one: "name: property type, property! type | example | example"; "!" is required.
func tool(s string) wire.Tool {
	parts := strings.Split(s, "|")
	name, props, _ := strings.Cut(parts[0], ":")
	schema := map[string]any{"type": "object"}
	properties, required := map[string]any{}, []string{}
	for p := range strings.SplitSeq(props, ",") {
		f := strings.Fields(p)
		if len(f) != 2 {
			continue
		}
		bare := strings.TrimSuffix(f[0], "!")
		if bare != f[0] {
			required = append(required, bare)
		}
		properties[bare] = map[string]any{"type": f[1]}
	}
	schema["properties"], schema["required"] = properties, required
	b, err := json.Marshal(schema)
	if err != nil {
		panic(err)
	}
	t := wire.Tool{Name: name, InputSchema: b}
	for _, e := range parts[1:] {
		t.Examples = append(t.Examples, strings.TrimSpace(e))
	}
	return t
}

// tools are those of the bundled skills, and more.
var tools = []wire.Tool{
	tool("calc: expression! string | what is {expression} | what's {expression} | calculate {expression} | how much is {expression}"),
	tool("time: place string | what time is it in {place} | what's the time in {place} | what is the time in {place} | " +
		"time in {place} | what time is it | what's the time | what day is it"),
	tool("fetch: url! string | fetch {url} | read {url} | summarize {url} | what does {url} say"),
	tool("notes_add: text! string | note {text} | note: {text} | note that {text} | remember that {text}"),
	tool("notes_list: limit integer | list my notes | list notes | show my notes"),
	tool("notes_search: query! string | search notes for {query} | find notes about {query}"),
	tool("weather: city! string, days integer | weather in {city} | weather in {city} for {days} days"),
	tool("greet: name! string | say hello to Ada"),
	tool("bus: stop! string | next bus at Main Street | when does the bus leave Main Street"),
	tool("timer: minutes! integer | set a timer of {minutes} minutes"),
	tool("lamp: on! boolean | turn the lamp {on}"),
	tool("uhrzeit: ort! string | {ort}は何時ですか | wie spät ist es in {ort}"),
	tool("send: to! string, text! string | tell {to} that {text} | send {text} to {to}"),
	tool("cap: country! string | {country}'s capital"),
	tool("frobnicate: | frobnicate the gizmo"),
	tool("plot: points! array"),
}

func user(text string) []wire.LLMMessage {
	return []wire.LLMMessage{{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockText, Text: text}}}}
}

func ask(t *testing.T, ms []wire.LLMMessage) *wire.LLMResponse {
	t.Helper()
	var streamed strings.Builder
	r, err := offline{}.Complete(t.Context(), wire.LLMRequest{Messages: ms, Tools: tools}, func(s string) { streamed.WriteString(s) })
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, b := range r.Content {
		text += b.Text
	}
	if text != streamed.String() {
		t.Errorf("streamed %q, answered %q", streamed.String(), text)
	}
	return r
}

// TestRoute: what a message becomes. want is `tool {json}` or part of a text.
func TestRoute(t *testing.T) {
	for _, tc := range []struct{ say, want string }{
		// Commands.
		{"/calc 6*7", `calc {"expression":"6*7"}`},
		{"/CALC  6 * 7 ", `calc {"expression":"6 * 7"}`},
		{`/calc {"expression":"1+1"}`, `calc {"expression":"1+1"}`},
		{`/calc {"expression":`, "is not a JSON object"},
		{"/calc", "/calc <expression>"},
		{"/time", `time {}`},
		{"/time Tokyo", `time {"place":"Tokyo"}`},
		{"/notes_list 5", `notes_list {"limit":5}`},
		{"/notes_list five", "limit must be a whole number"},
		{"/notes_list", `notes_list {}`},
		{"/notes_add one\ntwo", `notes_add {"text":"one\ntwo"}`},
		{"/lamp off", `lamp {"on":false}`},
		{"/lamp maybe", "on must be yes or no"},
		{"/plot [1,2]", `plot {"points":[1,2]}`},
		{"/send Bob hi", `/send {"to": …, "text": …}`},
		{"/weather Oslo", `weather {"city":"Oslo"}`},
		{"/nothing 1", "There is no tool /nothing here"},
		{"/", "There is no tool"},
		{"@Andy /calc 2+2", `calc {"expression":"2+2"}`},
		{"Bob: /calc 2+2", `calc {"expression":"2+2"}`},

		// Phrases, as they are and as people write.
		{"what is 6*7", `calc {"expression":"6*7"}`},
		{"What is 6*7?", `calc {"expression":"6*7"}`},
		{"what's (3 + 4) * 2", `calc {"expression":"(3 + 4) * 2"}`},
		{"what’s -5 + 3?", `calc {"expression":"-5 + 3"}`},
		{"What is 5!", `calc {"expression":"5!"}`},
		{"what is √16?", `calc {"expression":"√16"}`},
		{"hey Andy, how much is 15% of 80?", `calc {"expression":"15% of 80"}`},
		{"what time is it in Tokyo", `time {"place":"Tokyo"}`},
		{"What time is it in Tokyo?", `time {"place":"Tokyo"}`},
		{"what time is it in New York?!", `time {"place":"New York"}`},
		{"What's the time in São Paulo?", `time {"place":"São Paulo"}`},
		{"WHAT TIME IS IT", `time {}`},
		{"what time is it now?", `time {}`},
		{"please tell me what time it is in Tokyo", `time {"place":"Tokyo"}`},
		{"what is the time in Tokyo?", `time {"place":"Tokyo"}`},
		{"@Andy what time is it in Oslo", `time {"place":"Oslo"}`},
		{"fetch https://example.com/a?b=c", `fetch {"url":"https://example.com/a?b=c"}`},
		{"Summarize https://example.com/.", `fetch {"url":"https://example.com/"}`},
		{"what does https://example.com/ say?", `fetch {"url":"https://example.com/"}`},
		{"note: buy milk", `notes_add {"text":"buy milk"}`},
		{"note:buy milk", `notes_add {"text":"buy milk"}`},
		{"Remember that Bob's birthday is on 3 May", `notes_add {"text":"Bob's birthday is on 3 May"}`},
		{`note "quoted words"`, `notes_add {"text":"quoted words"}`},
		{"show my notes", `notes_list {}`},
		{"search notes for milk", `notes_search {"query":"milk"}`},
		{"weather in Paris for 3 days", `weather {"city":"Paris","days":3}`},
		{"weather in Paris for three days", `weather {"city":"Paris for three days"}`},
		{"Say hello to Grace Hopper!", `greet {"name":"Grace Hopper"}`},
		{"say hello to Ada", `greet {"name":"Ada"}`},
		{"next bus at Central Station", `bus {"stop":"Central Station"}`},
		{"when does the bus leave Central Station", `bus {"stop":"Central Station"}`},
		{"set a timer of 5 minutes", `timer {"minutes":5}`},
		{"turn the lamp on", `lamp {"on":true}`},
		{"東京は何時ですか？", `uhrzeit {"ort":"東京"}`},
		{"Wie spät ist es in Köln?", `uhrzeit {"ort":"Köln"}`},
		{"tell Bob that lunch is ready", `send {"text":"lunch is ready","to":"Bob"}`},
		{"send good morning to Eve", `send {"text":"good morning","to":"Eve"}`},
		{"France's capital?", `cap {"country":"France"}`},
		{"please frobnicate the gizmo", `frobnicate {}`},

		// What is none of these.
		{"hello", "I did not understand that"},
		{"set a timer of many minutes", "I did not understand that"},
		{"the weather was fine and so was the food, thank you", "I did not understand that"},
		{"", "I did not understand that"},
		{"???", "I did not understand that"},
		{"\xff\xfe", "I did not understand that"},
	} {
		t.Run(tc.say, func(t *testing.T) {
			r := ask(t, user(tc.say))
			b := r.Content[0]
			got := b.Text
			if b.Type == wire.BlockToolUse {
				got = b.Name + " " + string(b.Input)
			}
			if (b.Type == wire.BlockToolUse) != (r.StopReason == wire.StopToolUse) {
				t.Errorf("%s stops for %s", b.Type, r.StopReason)
			}
			call := strings.HasSuffix(tc.want, "}") && !strings.HasPrefix(tc.want, "/")
			if call && got != tc.want || !call && (b.Type != wire.BlockText || !strings.Contains(got, tc.want)) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLongTextIsKeptWhole(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("milk and bread ", 20_000))
	start := time.Now()
	r := ask(t, user("note that "+long))
	if got := string(r.Content[0].Input); got != fmt.Sprintf(`{"text":%q}`, long) {
		t.Errorf("%d bytes noted of %d", len(got), len(long))
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %s", d)
	}
}

func TestHelpListsTools(t *testing.T) {
	text := ask(t, user("hello")).Content[0].Text
	for _, want := range []string{"/calc <expression>", "what is <expression>", "/frobnicate\n", "frobnicate the gizmo"} {
		if !strings.Contains(text+"\n", want) && want != "/frobnicate\n" {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	r, err := offline{}.Complete(t.Context(), wire.LLMRequest{Messages: user("hello")}, nil)
	if err != nil || !strings.Contains(r.Content[0].Text, "no tools") {
		t.Errorf("%+v %v", r, err)
	}
}

// TestFirstReplyNamesSetup: once in a conversation, in the text and not in a tool call.
func TestFirstReplyNamesSetup(t *testing.T) {
	has := func(ms []wire.LLMMessage) bool { return strings.Contains(ask(t, ms).Content[0].Text, "nanoclaw setup") }
	reply := wire.LLMMessage{Role: wire.RoleAssistant, Content: []wire.Block{{Type: wire.BlockText, Text: "hi"}}}
	call := ask(t, user("/calc 6*7")).Content[0]
	use := wire.LLMMessage{Role: wire.RoleAssistant, Content: []wire.Block{call}}
	result := wire.LLMMessage{Role: wire.RoleUser, Content: []wire.Block{{
		Type: wire.BlockToolResult, ToolUseID: call.ID, Content: wire.TextResult("42").Content,
	}}}
	if !has(user("hello")) || !has(append(user("/calc 6*7"), use, result)) {
		t.Error("the first reply does not name it")
	}
	later := append(user("hello"), reply)
	if has(append(later, user("hello")...)) || has(append(append(later, user("/calc 6*7")...), use, result)) {
		t.Error("a later reply names it")
	}
}

func TestResults(t *testing.T) {
	for _, tc := range []struct {
		content []wire.Content
		isError bool
		want    string
	}{
		{wire.TextResult("42").Content, false, "42"},
		{wire.TextResult("division by zero").Content, true, "That did not work: calc: division by zero"},
		{nil, false, "done"},
		{wire.TextResult(`{"place":"Tokyo","hour":15,"big":12345678901,"ok":true}`).Content, false, "big: 12345678901\nhour: 15\nok: true\nplace: Tokyo"},
		{wire.TextResult(`{"a":[1]}`).Content, false, `{"a":[1]}`},
		{wire.TextResult(`{not json`).Content, false, `{not json`},
		{[]wire.Content{{Type: "text", Text: "a"}, {Type: "image", MIMEType: "image/png"}}, false, "a\n[image image/png]"},
	} {
		ms := append(user("/calc 1"), wire.LLMMessage{Role: wire.RoleAssistant, Content: []wire.Block{{Type: wire.BlockToolUse, ID: "1", Name: "calc"}}},
			wire.LLMMessage{Role: wire.RoleUser, Content: []wire.Block{
				{Type: wire.BlockToolResult, ToolUseID: "1", Content: tc.content, IsError: tc.isError},
				{Type: wire.BlockText, Text: "/calc 2"}, // what a skill agent adds is no message of the user's
			}})
		if got, _, _ := strings.Cut(ask(t, ms).Content[0].Text, "\n\n("); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

func TestOfflineRefusesWhatItCannotAnswer(t *testing.T) {
	for _, ms := range [][]wire.LLMMessage{nil, {{Role: wire.RoleAssistant}}} {
		if _, err := (offline{}).Complete(t.Context(), wire.LLMRequest{Messages: ms}, nil); !errors.Is(err, host.ErrInvalid) {
			t.Errorf("%v: %v", ms, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (offline{}).Complete(ctx, wire.LLMRequest{Messages: user("what is 1"), Tools: tools}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestHostileTools: examples come from skills, and requests from skill agents.
func TestHostileTools(t *testing.T) {
	start := time.Now()
	bad := wire.Tool{Name: "x", InputSchema: []byte(`{"required":["a"],"properties":{"a":{"type":"string"}}}`)}
	for i := range 20_000 {
		bad.Examples = append(bad.Examples, fmt.Sprintf("%s %d", strings.Repeat("a ", 100), i))
	}
	many := []wire.Tool{bad, {Name: "y", InputSchema: []byte(`[]`), Examples: []string{"{", "}", "{}", "{a}{b}", ""}}}
	_, err := offline{}.Complete(t.Context(), wire.LLMRequest{Messages: user(strings.Repeat("a b ", 1000)), Tools: many}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("took %s", d)
	}
}

// FuzzOffline: every message has an answer, and arguments are always an object.
func FuzzOffline(f *testing.F) {
	f.Add("what time is it in Tokyo?", "time in {place}", `{"properties":{"place":{"type":"string"}}}`)
	f.Add("/x {\"a\":1}", "say hello to Ada", `{"required":["a"],"properties":{"a":{"type":["integer","null"]}}}`)
	f.Add("東京は何時ですか", "{ort}は何時ですか", `{"required":["ort"],"properties":{"ort":{}}}`)
	f.Fuzz(func(t *testing.T, say, example, schema string) {
		x := wire.Tool{Name: "x", InputSchema: []byte(schema), Examples: []string{example}}
		r, err := offline{}.Complete(t.Context(), wire.LLMRequest{Messages: user(say), Tools: []wire.Tool{x}}, nil)
		if err != nil || len(r.Content) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		var args map[string]any
		if b := r.Content[0]; b.Type == wire.BlockToolUse && json.Unmarshal(b.Input, &args) != nil {
			t.Errorf("arguments %q", b.Input)
		}
	})
}

// TestBundledSkillsUnderstandTheirExamples: with every bundled skill listed at once, each
// example phrase reaches its own tool with the argument that was put in.
func TestBundledSkillsUnderstandTheirExamples(t *testing.T) {
	var all []wire.Tool
	files, err := filepath.Glob("../../skills/*/skill.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bundled skills: %v", err)
	}
	for _, f := range files {
		var m struct {
			Name  string
			Kind  string
			Tools []struct {
				Name        string
				Examples    []string
				InputSchema map[string]any
			}
		}
		if _, err := toml.DecodeFile(f, &m); err != nil {
			t.Fatal(err)
		}
		for _, x := range m.Tools {
			schema, err := json.Marshal(x.InputSchema)
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind != host.KindAgent {
				all = append(all, wire.Tool{Name: wire.PublicName(m.Name, x.Name), InputSchema: schema, Examples: x.Examples})
			}
		}
	}
	for _, x := range all {
		for _, ex := range x.Examples {
			values := map[string]string{}
			say := placeholder.ReplaceAllStringFunc(ex, func(p string) string {
				name := p[1 : len(p)-1]
				if schemaOf(x).is(name, "integer") {
					values[name] = "3"
				} else {
					values[name] = "the Quick brown-fox"
				}
				return values[name]
			})
			r, err := offline{}.Complete(t.Context(), wire.LLMRequest{Messages: user(say + "?"), Tools: all}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b := r.Content[0]
			var args map[string]any
			if b.Name != x.Name || json.Unmarshal(b.Input, &args) != nil || len(args) != len(values) {
				t.Errorf("%q: %s %s %s, want tool %s", say, b.Name, b.Input, b.Text, x.Name)
			}
			for k, v := range values {
				if fmt.Sprint(args[k]) != v {
					t.Errorf("%q: %s, want %s = %s", say, b.Input, k, v)
				}
			}
		}
	}
}
