package sdk

import (
	"github.com/nanoclaw/nanoclaw/sdk/internal/abi"
	"github.com/nanoclaw/nanoclaw/sdk/internal/json"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Shapes of a turn and of a model conversation.
type (
	Turn        = wire.Turn        // one input to an agent: prompt, memory, history, messages, tools
	ChatMessage = wire.ChatMessage // one line of the history
	LLMRequest  = wire.LLMRequest  // a question to the model
	LLMResponse = wire.LLMResponse // its answer
	LLMMessage  = wire.LLMMessage  // one message of the conversation
	Block       = wire.Block       // one block of a message: text, tool_use, tool_result or image
)

// Reply is what an agent answers to a turn.
type Reply struct {
	Text string
}

// Agent registers f as the brain of roles that name this skill: skill.toml says
// kind = "agent". Call it in init.
func Agent(f func(Turn) (Reply, error)) {
	Tool("turn", func(_ Context, t Turn) (string, error) {
		r, err := f(t)
		return r.Text, err
	})
}

// LLM asks the model. It takes the capability llm.
func LLM(r LLMRequest) (*LLMResponse, error) {
	req, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	a := new(LLMResponse)
	body, status := abi.LLM(req)
	if err := decode(body, status, a); err != nil {
		return nil, err
	}
	return a, nil
}

// Text joins the text blocks of a model's message.
func Text(blocks []Block) string {
	s := ""
	for _, b := range blocks {
		if b.Type != wire.BlockText || b.Text == "" {
			continue
		}
		if s != "" {
			s += "\n"
		}
		s += b.Text
	}
	return s
}

// System is the system prompt of a turn, with the agent's memory below it.
func System(t Turn) string {
	if t.Memory == "" {
		return t.System
	}
	return t.System + "\n\n# Memory\n\n" + t.Memory
}

// Conversation makes the messages of a model request from the history and the new
// messages of a turn: roles alternate, the user begins, empty messages are left
// out. Senders are named when there is more than one.
func Conversation(t Turn) []LLMMessage {
	lines := append(append([]ChatMessage(nil), t.History...), t.Messages...)
	named := severalSenders(lines)
	var out []LLMMessage
	for _, m := range lines {
		text := m.Text
		if text == "" || len(out) == 0 && m.Role == wire.RoleAssistant {
			continue
		}
		if named && m.Role == wire.RoleUser && m.Sender != "" {
			text = m.Sender + ": " + text
		}
		if n := len(out); n == 0 || out[n-1].Role != m.Role {
			out = append(out, LLMMessage{Role: m.Role})
		}
		last := &out[len(out)-1]
		last.Content = append(last.Content, Block{Type: wire.BlockText, Text: text})
		for _, path := range m.Files {
			last.Content = append(last.Content, Block{Type: wire.BlockFile, Path: path})
		}
	}
	return out
}

func severalSenders(lines []ChatMessage) bool {
	first := ""
	for _, m := range lines {
		if m.Role != wire.RoleUser || m.Sender == "" {
			continue
		}
		if first == "" {
			first = m.Sender
		}
		if m.Sender != first {
			return true
		}
	}
	return false
}
