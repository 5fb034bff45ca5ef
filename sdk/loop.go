package sdk

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	defaultSteps = 16       // model calls of one turn
	maxResult    = 32 << 10 // bytes of one tool result that the model reads
)

// Loop is what a skill agent does in most cases: it asks the model, runs the tools that the
// model wants, shows it their results, and so on until it answers. It takes the capabilities
// llm and tool. The zero Loop is the general assistant.
type Loop struct {
	System string                       // system prompt; "" = System of the turn
	Tools  []wire.Tool                  // what the model may use; nil = all tools of the turn
	Steps  int                          // model calls at most; 0 = MaxSteps of the turn, else 16
	Ran    func(ToolCall, *ToolOutcome) // is told of every call that was made; may be nil
	// Agents lets the model give tasks to other agents: CallAgents, which takes the capability
	// agent. nil = it cannot.
	Agents func([]AgentCall) ([]AgentOutcome, error)

	texts     []wire.SkillText // what readSkill reads
	delegates bool             // delegateTool is offered
	views     bool             // viewFile is offered
}

// readSkill is a tool of the loop's own: skills come with more instructions than fit into every
// request, so the model sees one line of each and reads the rest when it is about that.
const readSkill = "read_skill"

// Run answers one turn. A tool that fails is a result the model reads, not an error.
func (l Loop) Run(t Turn) (Reply, error) {
	l.fill(t)
	req := LLMRequest{System: l.System, Messages: Conversation(t), Tools: l.Tools}
	if len(req.Messages) == 0 {
		return Reply{}, errors.New("the turn has no message")
	}
	ran := 0
	for step := 1; ; step++ {
		answer, err := LLM(req)
		if err != nil {
			return Reply{}, plain(err)
		}
		calls := wanted(answer)
		switch {
		case answer.StopReason == wire.StopMaxTokens:
			return ending(answer, "cut off: the model's answer reached its length limit"), nil
		case len(calls) == 0:
			return final(answer, ran), nil
		case step == l.Steps:
			return ending(answer, "stopped: "+strconv.Itoa(l.Steps)+" steps were not enough to finish this"), nil
		}
		results := l.call(calls)
		ran += len(calls)
		if step == l.Steps-1 {
			results = append(results, Block{
				Type: wire.BlockText, Text: "That was the last tool call of this turn. Answer now with what you have.",
			})
		}
		req.Messages = append(req.Messages,
			LLMMessage{Role: wire.RoleAssistant, Content: kept(answer.Content)},
			LLMMessage{Role: wire.RoleUser, Content: results})
	}
}

// fill gives what l does not say the turn's values.
func (l *Loop) fill(t Turn) {
	if l.System == "" {
		l.System = System(t)
	}
	if l.Tools == nil {
		l.Tools = t.Tools
		l.offerTexts(t.Skills)
		l.offerDelegates(t.Delegates)
		l.offerView(t.Attached)
	}
	if l.Steps <= 0 {
		l.Steps = t.MaxSteps
	}
	if l.Steps <= 0 {
		l.Steps = defaultSteps
	}
}

// plain is err in the words that are for the user, without its kind.
func plain(err error) error {
	if e, ok := err.(*Error); ok && e.Message != "" {
		return errors.New(e.Message)
	}
	return errors.New("the model did not answer: " + err.Error())
}

// offerTexts lets the model read what skills say about themselves.
func (l *Loop) offerTexts(texts []wire.SkillText) {
	if len(texts) == 0 || l.offers(readSkill) {
		return
	}
	l.texts = texts
	l.Tools = append(l.Tools[:len(l.Tools):len(l.Tools)], wire.Tool{
		Name: readSkill, Description: "Returns the instructions of a skill. Read them before you do what the skill is for.",
		InputSchema: RawMessage(`{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}`),
	})
	l.System += "\n\n# Skills\n\nEach comes with instructions, which " + readSkill + " returns:\n"
	for _, s := range texts {
		l.System += "- " + s.Name + ": " + s.Description + "\n"
	}
}

// text answers readSkill.
func (l *Loop) text(b Block) Block {
	r := Block{Type: wire.BlockToolResult, ToolUseID: b.ID, IsError: true}
	var in struct {
		Name string `json:"name"`
	}
	if err := Unmarshal(b.Input, &in); err != nil {
		r.Content = wire.TextResult("invalid: " + err.Error()).Content
		return r
	}
	for _, s := range l.texts {
		if s.Name == in.Name {
			r.IsError, r.Content = false, wire.TextResult(cut(s.Text)).Content
			return r
		}
	}
	r.Content = wire.TextResult("not_found: no skill of that name has instructions").Content
	return r
}

// wanted returns the tool calls of a model's answer.
func wanted(answer *LLMResponse) (calls []Block) {
	for _, b := range answer.Content {
		if b.Type == wire.BlockToolUse {
			calls = append(calls, b)
		}
	}
	return calls
}

// kept leaves out empty text blocks, which models send and do not take back, and
// gives every call the arguments object that they ask for.
func kept(blocks []Block) []Block {
	out := make([]Block, 0, len(blocks))
	for _, b := range blocks {
		if b.Type == wire.BlockText && strings.TrimSpace(b.Text) == "" {
			continue
		}
		if b.Type == wire.BlockToolUse && len(b.Input) == 0 {
			b.Input = RawMessage("{}")
		}
		out = append(out, b)
	}
	return out
}

// call makes the calls at once and returns their results in the same order. A tool that
// the model was not offered is not called.
func (l *Loop) call(blocks []Block) []Block {
	results := make([]Block, len(blocks))
	var calls []ToolCall
	var at []int // where the result of each call goes
	for i, b := range blocks {
		results[i] = Block{Type: wire.BlockToolResult, ToolUseID: b.ID}
		if b.Name == readSkill && l.texts != nil {
			results[i] = l.text(b)
		} else if b.Name == viewFile && l.views {
			results[i] = view(b)
		} else if b.Name == delegateTool && l.delegates {
			continue
		} else if l.offers(b.Name) {
			calls, at = append(calls, ToolCall{Name: b.Name, Arguments: b.Input}), append(at, i)
		} else {
			results[i].IsError, results[i].Content = true, wire.TextResult("not_found: no tool "+b.Name).Content
		}
	}
	l.delegate(blocks, results)
	outcomes, err := CallTools(calls)
	for n, i := range at {
		r := &results[i]
		if err != nil {
			r.IsError, r.Content = true, wire.TextResult("the tool could not be called: "+err.Error()).Content
			continue
		}
		o := &outcomes[n]
		if l.Ran != nil {
			l.Ran(calls[n], o)
		}
		r.IsError = o.Outcome != wire.OutcomeOK || o.Result.IsError
		r.Content = content(o)
	}
	return results
}

func (l *Loop) offers(name string) bool {
	for i := range l.Tools {
		if l.Tools[i].Name == name {
			return true
		}
	}
	return false
}

// content is what the model reads of an outcome.
func content(o *ToolOutcome) []Content {
	var out []Content
	for _, c := range o.Result.Content {
		if c.Type == "text" {
			c.Text = cut(c.Text)
		}
		if c.Type != "text" || c.Text != "" {
			out = append(out, c)
		}
	}
	switch {
	case len(out) > 0:
		return out
	case o.Message != "":
		return wire.TextResult(cut(o.Outcome + ": " + o.Message)).Content
	case len(o.Result.StructuredContent) > 0:
		return wire.TextResult(cut(string(o.Result.StructuredContent))).Content
	}
	return wire.TextResult("(" + o.Outcome + ", no output)").Content
}

func cut(s string) string {
	if len(s) <= maxResult {
		return s
	}
	end := maxResult
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "\n[cut: " + strconv.Itoa(len(s)-end) + " bytes more]"
}

// final is the reply when the model wants no tool any more.
func final(answer *LLMResponse, ran int) Reply {
	text := strings.TrimSpace(Text(answer.Content))
	switch {
	case text != "":
		return Reply{Text: text}
	case ran > 0:
		return Reply{Text: "Done."}
	}
	return Reply{Text: "(The model gave an empty answer.)"}
}

// ending is the reply of a turn that did not come to its end.
func ending(answer *LLMResponse, why string) Reply {
	return Reply{Text: strings.TrimSpace(Text(answer.Content) + "\n\n(" + why + ")")}
}
