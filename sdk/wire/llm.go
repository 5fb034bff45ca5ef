package wire

// Block types of a model message.
const (
	BlockText       = "text"
	BlockToolUse    = "tool_use"
	BlockToolResult = "tool_result"
	BlockImage      = "image"
	BlockDocument   = "document" // a PDF
	// BlockFile is an attachment of the agent, by its path: the host puts what the model can see
	// of it in its place, so that no image goes through a skill.
	BlockFile = "file"
)

// Block is one content block in the Messages shape.
type Block struct {
	Type      string     `json:"type"`
	Text      string     `json:"text,omitempty"`
	ID        string     `json:"id,omitempty"`          // tool_use
	Name      string     `json:"name,omitempty"`        // tool_use
	Input     RawMessage `json:"input,omitempty"`       // tool_use
	ToolUseID string     `json:"tool_use_id,omitempty"` // tool_result
	Content   []Content  `json:"content,omitempty"`     // tool_result
	IsError   bool       `json:"is_error,omitempty"`    // tool_result
	Data      string     `json:"data,omitempty"`        // image and document, base64
	MIMEType  string     `json:"mime_type,omitempty"`   // image and document
	Path      string     `json:"path,omitempty"`        // file: such as attachments/NAME
}

// LLMMessage is one message of a model conversation.
type LLMMessage struct {
	Role    string  `json:"role"` // RoleUser | RoleAssistant
	Content []Block `json:"content"`
}

// LLMRequest is the guest's nanoclaw_llm_1 call.
type LLMRequest struct {
	Model     string       `json:"model,omitempty"` // a model the role may use; "" = its default
	System    string       `json:"system,omitempty"`
	Messages  []LLMMessage `json:"messages"`
	Tools     []Tool       `json:"tools,omitempty"`
	MaxTokens int          `json:"max_tokens,omitempty"`
}

// Stop reasons of an LLMResponse.
const (
	StopEndTurn   = "end_turn"
	StopToolUse   = "tool_use"
	StopMaxTokens = "max_tokens"
)

// LLMResponse answers it.
type LLMResponse struct {
	Content    []Block `json:"content"`
	StopReason string  `json:"stop_reason"`
	Usage      Usage   `json:"usage"`
	Model      string  `json:"model,omitempty"`
}

// Usage counts tokens.
type Usage struct {
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
}
