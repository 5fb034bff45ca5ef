// Package wire holds every type that crosses the container's only wire: the
// stdin and stdout of nanoclaw-runner, carrying yamux, carrying HTTP/1.1 both ways.
//
// It owns the shapes and their size limits and depends on the standard library
// alone, so that host, runner and skills share one definition. It must never do
// I/O of its own, hold a secret, or decide who may do what.
//
// Host to runner:
//
//	GET  /v1/healthz          -> Health
//	POST /v1/load   Load      -> Loaded            once, before the first turn or tool
//	POST /v1/turn   Turn      -> NDJSON of Event, the last one is "reply" or "error"
//	POST /v1/tool   ToolCall  -> ToolOutcome
//
// Runner to host (the broker), one request per capability call:
//
//	POST /v1/cap/{http|llm|kv|history|message|task|agent}
//
// with the guest's JSON as body, HeaderSkill naming the calling skill and
// HeaderCall its place in the turn. The answer is always HTTP 200 when the broker
// understood the request: HeaderStatus carries the Status and the body the
// guest's answer (an Error when the status is not StatusOK). Who is calling is
// decided by the connection, never by these headers: the skill name is checked
// against the agent's own list and can only narrow.
//
// Where a program answers turns (Exec), its requests to the model's API go to the host too:
//
//	POST /v1/model/v1/messages, …
package wire

// Paths of the two HTTP services.
const (
	PathHealth = "/v1/healthz"
	PathLoad   = "/v1/load"
	PathTurn   = "/v1/turn"
	PathTool   = "/v1/tool"
	PathCap    = "/v1/cap/"  // + capability name
	PathModel  = "/v1/model" // + path of the model's API
)

// Headers of a capability call.
const (
	HeaderSkill  = "Nanoclaw-Skill"  // request: name of the calling skill, as the runner says
	HeaderCall   = "Nanoclaw-Call"   // request: path of the call in its turn, "2" or "2.0.1", stable across re-runs
	HeaderStatus = "Nanoclaw-Status" // response: decimal Status
)

// CodeWaiting is the interim HTTP answer to a capability call that waits for the owner: until
// the answer proper no clock runs for it, nor for what waits with it.
const CodeWaiting = 102

// Size limits in bytes. Everything is refused beyond them before it is decoded.
const (
	MaxCapRequest   = 4 << 20   // one capability call, guest to host
	MaxModelRequest = 16 << 20  // one request of a program to the model's API
	MaxCapResponse  = 8 << 20   // its answer
	MaxLoad         = 4 << 20   // a Load body
	MaxTurn         = 8 << 20   // a Turn body
	MaxEvent        = 1 << 20   // one NDJSON line from the runner
	MaxEvents       = 20_000    // lines of one turn
	MaxReply        = 256 << 10 // text of a reply
	MaxToolArgs     = 1 << 20   // arguments of one tool call
	MaxToolResult   = 1 << 20   // its result
	MaxAgentCalls   = 8         // tasks in one call of nanoclaw_agent_1
	MaxTask         = 64 << 10  // bytes of one of them
	MaxMessage      = 64 << 10  // bytes of a message to another chat
	MaxCaption      = 1000      // bytes of the caption of a file
	MaxPath         = 1024      // bytes of a path
	MaxStreams      = 64        // yamux streams open at once in one session
)

// Status is the high half of a capability call's result.
type Status uint32

// The ten answers a capability call can have.
const (
	StatusOK Status = iota
	StatusDenied
	StatusInvalid
	StatusNotFound
	StatusTimeout
	StatusCancelled
	StatusTooLarge
	StatusRateLimited
	StatusUnavailable
	StatusInternal
)

var statusNames = [...]string{
	"ok", "denied", "invalid", "not_found", "timeout", "cancelled",
	"too_large", "rate_limited", "unavailable", "internal",
}

// String is the code used in Error.Code.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "internal"
}

// Error is the body of every capability answer that is not StatusOK.
type Error struct {
	Code      string `json:"code"`    // Status.String()
	Message   string `json:"message"` // one safe sentence: no path, query, header or secret
	Retryable bool   `json:"retryable,omitempty"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf-free constructor, so that guests need no fmt.
func NewError(s Status, message string) *Error {
	return &Error{Code: s.String(), Message: message, Retryable: s == StatusRateLimited || s == StatusUnavailable}
}

// Health says that a runner serves and which one it is.
type Health struct {
	Runner string `json:"runner"` // version of the runner
	ABI    int    `json:"abi"`
	Skills int    `json:"skills"` // skills known since Load
	RSS    int64  `json:"rss"`    // bytes
}

// Load tells a runner what this agent may use. Paths are as the runner sees them.
type Load struct {
	Agent    string      `json:"agent"`          // agent ID, for logs and guests
	Brain    string      `json:"brain"`          // skill whose `turn` answers turns; "" when only tools are called
	Skills   []LoadSkill `json:"skills"`         // everything the role lists
	Warm     []string    `json:"warm,omitempty"` // skills to load now, besides the brain; others load at first use
	Quota    Quota       `json:"quota"`          // of the agent's workspace
	Exec     *Exec       `json:"exec,omitempty"` // answers turns in the place of a brain
	Timezone string      `json:"timezone"`       // IANA name
	TempDir  string      `json:"temp_dir,omitempty"`
}

// Presets: how a program is talked to.
const (
	PresetPlain  = ""            // the prompt on stdin, the reply on stdout
	PresetClaude = "claude-code" // stream-json both ways; a session for each agent
)

// Exec is a program of the container's image that answers turns. It runs beside the runner, finds
// the role's tools as an MCP server and its model's API on the loopback, and holds no key.
type Exec struct {
	Preset  string   `json:"preset,omitempty"`
	Command []string `json:"command"`
	Model   string   `json:"model"`            // the provider's ID
	Bypass  bool     `json:"bypass,omitempty"` // PresetClaude: it asks for no permission
	Dir     string   `json:"dir"`              // the workspace
}

// Quota bounds what skills may write below the workspace.
type Quota struct {
	Bytes int64 `json:"bytes"` // 0: nothing may be written
	Files int64 `json:"files"` // files and directories together
}

// Adapters: how modules are called that were not written for this ABI.
const (
	AdapterCommand = "command" // a plain WASI command: arguments and stdin in, stdout and exit code out
	AdapterExtism  = "extism"  // an Extism plugin: each tool is an exported function
)

// LoadSkill is one admitted skill and what it gets in this role.
type LoadSkill struct {
	Name      string    `json:"name"`
	Digest    string    `json:"digest"` // sha256:… of the file as dropped
	Dir       string    `json:"dir"`    // holds skill.wasm (metered) and cache/, read-only
	Adapter   string    `json:"adapter,omitempty"`
	Tools     []Tool    `json:"tools"`
	Granted   []string  `json:"granted"`           // capabilities to link
	Stubbed   []string  `json:"stubbed,omitempty"` // declared optional, not granted: linked to a stub that answers denied
	Preopens  []Preopen `json:"preopens,omitempty"`
	Settings  Settings  `json:"settings,omitempty"`
	MemoryMiB int       `json:"memory_mib"` // of linear memory per instance
	TimeoutMS int       `json:"timeout_ms"` // of one tool call; the brain's turn has the turn's deadline instead
	Fuel      int64     `json:"fuel"`       // ticks of a million units one call may burn; 0 = by deadline only
}

// Preopen is a directory a skill sees.
type Preopen struct {
	Guest    string `json:"guest"` // "/workspace" or below, "/mnt/NAME"
	Path     string `json:"path"`  // as the runner sees it
	ReadOnly bool   `json:"read_only"`
}

// Settings are what a role says to one of its skills, by name: all that there is in the
// skill's environment. They hold no secrets.
type Settings map[string]string

// Loaded answers Load.
type Loaded struct {
	Skills  int      `json:"skills"`
	Warm    []string `json:"warm"`              // loaded now
	Refused []string `json:"refused,omitempty"` // "name: why": will answer every call with that sentence
}

// Tool is an MCP Tool object with NanoClaw's examples.
type Tool struct {
	Name         string     `json:"name"` // in a manifest: the skill's own name for it; to models: the public name
	Title        string     `json:"title,omitempty"`
	Description  string     `json:"description,omitempty"`
	InputSchema  RawMessage `json:"inputSchema,omitempty"`
	OutputSchema RawMessage `json:"outputSchema,omitempty"`
	Annotations  RawMessage `json:"annotations,omitempty"`
	Examples     []string   `json:"examples,omitempty"` // phrases; {property} stands for an argument
}

// PublicName is the name models and users know a tool by: skill_tool, or skill when both are the same.
func PublicName(skill, tool string) string {
	if skill == tool {
		return skill
	}
	return skill + "_" + tool
}

// Content is one block of a tool result, as in MCP.
type Content struct {
	Type     string `json:"type"` // "text" | "image" | "file", as BlockFile
	Text     string `json:"text,omitempty"`
	Data     string `json:"data,omitempty"` // base64
	MIMEType string `json:"mimeType,omitempty"`
	Path     string `json:"path,omitempty"` // file
}

// ToolResult is what nanoclaw_call writes with output_write: an MCP CallToolResult.
type ToolResult struct {
	Content           []Content  `json:"content"`
	StructuredContent RawMessage `json:"structuredContent,omitempty"`
	IsError           bool       `json:"isError,omitempty"`
}

// Text joins the text blocks of a result.
func (r ToolResult) Text() string {
	s := ""
	for _, c := range r.Content {
		if c.Type != "text" {
			continue
		}
		if s != "" {
			s += "\n"
		}
		s += c.Text
	}
	return s
}

// TextResult is a result of one text block.
func TextResult(s string) ToolResult { return ToolResult{Content: []Content{{Type: "text", Text: s}}} }

// GuestCall is what input_read gives a guest inside nanoclaw_call.
type GuestCall struct {
	Tool      string     `json:"tool"` // the skill's own name for it; "turn" for a skill agent
	Arguments RawMessage `json:"arguments"`
	Call      CallInfo   `json:"call"`
}

// CallInfo is what a guest may know about where it runs.
type CallInfo struct {
	Turn     string `json:"turn"` // for idempotency: the same in a re-run
	Agent    string `json:"agent"`
	Timezone string `json:"timezone"`
}

// ToolCall is the body of PathTool and one element of a nanoclaw_tool_1 call.
type ToolCall struct {
	Name      string     `json:"name"` // public name
	Arguments RawMessage `json:"arguments,omitempty"`
	Turn      string     `json:"turn,omitempty"`       // PathTool only
	TimeoutMS int        `json:"timeout_ms,omitempty"` // PathTool only
}

// Outcome kinds of a tool call or turn that did not answer.
const (
	OutcomeOK        = "ok"
	OutcomeToolError = "tool_error" // the skill said so: nanoclaw_call returned non-zero or isError
	OutcomeDenied    = "denied"     // the skill was refused a capability and gave up, or may not be loaded
	OutcomeTimeout   = "timeout"    // fuel or deadline
	OutcomeCrashed   = "crashed"    // trap
	OutcomeNotFound  = "not_found"  // no such tool
	OutcomeInvalid   = "invalid"    // arguments do not fit, result is not a ToolResult
)

// ToolOutcome answers PathTool.
type ToolOutcome struct {
	Outcome string     `json:"outcome"`           // Outcome…
	Message string     `json:"message,omitempty"` // one sentence when not ok
	Result  ToolResult `json:"result"`            // ok and tool_error
	Denied  []string   `json:"denied,omitempty"`  // capabilities refused during the call, "http: host not in grant"
}

// Chat roles of a ChatMessage.
const (
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// ChatMessage is one line of a conversation.
type ChatMessage struct {
	Role   string `json:"role"` // RoleUser | RoleAssistant
	Sender string `json:"sender,omitempty"`
	Text   string `json:"text"`
	Time   string `json:"time,omitempty"` // RFC 3339
	// Files came with it: paths in the workspace. Text names them too. Of earlier turns it is empty.
	Files []string `json:"files,omitempty"`
}

// Delegate is a role that an agent may give tasks to.
type Delegate struct {
	Role        string `json:"role"`
	Description string `json:"description"`
}

// Turn is the body of PathTurn and, as it is, the arguments of a skill agent's `turn` tool.
type Turn struct {
	Turn       string        `json:"turn"`
	System     string        `json:"system"`
	Memory     string        `json:"memory,omitempty"`
	History    []ChatMessage `json:"history,omitempty"`
	Messages   []ChatMessage `json:"messages"`
	Tools      []Tool        `json:"tools,omitempty"`  // public names
	Skills     []SkillText   `json:"skills,omitempty"` // instructions that come with the role's skills
	Delegates  []Delegate    `json:"delegates,omitempty"`
	Attached   bool          `json:"attached,omitempty"` // files came to the agent, now or before
	MaxSteps   int           `json:"max_steps,omitempty"`
	DeadlineMS int           `json:"deadline_ms"` // from now
}

// SkillText is what a skill's SKILL.md says, for the model to read when it is about that.
type SkillText struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Text        string `json:"text"`
}

// Event kinds.
const (
	EventProgress = "progress"
	EventReply    = "reply"
	EventError    = "error"
)

// Event is one NDJSON line of a turn. Everything in it is hostile to the host.
type Event struct {
	Type    string   `json:"type"`
	Stage   string   `json:"stage,omitempty"`   // progress: "tool" | "model"
	Name    string   `json:"name,omitempty"`    // progress: public tool name
	Text    string   `json:"text,omitempty"`    // reply
	Outcome string   `json:"outcome,omitempty"` // error: Outcome…
	Message string   `json:"message,omitempty"` // error: one sentence
	Used    []string `json:"used,omitempty"`    // reply: skills that were called, for the next spare
}

// AdmitResult is the one line that `nanoclaw-runner admit IN OUT` prints.
type AdmitResult struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"` // one sentence naming what is wrong with the module
	Size  int64  `json:"size,omitempty"`  // bytes of the metered module
}
