// Package host holds the nouns of NanoClaw and its sentinel errors, in one place
// and without any I/O: what a role, an agent, a skill, a grant, a message and a
// turn are. Working packages below it implement them and do not import each other.
//
// It must never open a file, a socket or a process, and never import anything but
// the standard library and sdk/wire.
package host

import (
	"context"
	"errors"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Sentinel kinds. Every error that reaches a user, a skill or an exit code wraps one of them.
var (
	ErrDenied      = errors.New("denied")
	ErrInvalid     = errors.New("invalid")
	ErrNotFound    = errors.New("not found")
	ErrTimeout     = errors.New("timed out")
	ErrLimit       = errors.New("over limit")
	ErrUnavailable = errors.New("unavailable")
	ErrCrashed     = errors.New("crashed")
	ErrBusy        = errors.New("busy")
	ErrStopped     = errors.New("stopped")
	// ErrUnknownOutcome says that an act may or may not have happened: it is never repeated by itself.
	ErrUnknownOutcome = errors.New("outcome unknown")
)

type lasting struct{ error }

func (l lasting) Unwrap() error { return l.error }

// Lasting is err, marked as one that trying again does not mend.
func Lasting(err error) error { return lasting{err} }

// Lasts reports whether err is marked so.
func Lasts(err error) bool {
	var l lasting
	return errors.As(err, &l)
}

// Named strings: none of them is interchangeable with another.
type (
	AgentID   string // slug + hash of (role, channel, account, chat)
	RoleName  string
	SkillName string
	ChatID    string
	TurnID    string
	MessageID string // host's own; outgoing messages carry one before they are sent
	Digest    string // "sha256:" + 64 hex digits
)

// Message is one inbound message, before and after it is stored.
type Message struct {
	Seq        int64     // local sequence, set by the store; order within a chat
	Channel    string    // "console", "whatsapp"
	Account    string    // which account of that channel; "" when there is only one
	Chat       ChatID    //
	Sender     string    // channel's identity of the sender
	SenderName string    // what to show
	ExternalID string    // the channel's message ID: unique with the four above
	Text       string    //
	Time       time.Time // when it was sent, as the channel says
	Owner      bool      // sent by the owner of this installation
	ChatName   string    // what people call the chat; it and the next seven are not stored
	ChatAlso   []ChatID  // other names of the chat, which routes may use
	SenderAlso []string  // other names of the sender, which rules may use
	Mentioned  bool      // it mentions the assistant's own account
	ReplyToMe  bool      // it answers a message of the assistant's
	Quiet      bool      // it wakes nobody: a reaction
	More       bool      // it is of a backlog: no turn begins before the channel's Ready
	Below      string    // kept below the text, and calling nobody: what it answers, what came with it
	// Files came with it. From a channel: with Open; text may be empty then. From the store: those kept.
	Files []File
}

// Outgoing is one outbox row.
type Outgoing struct {
	ID      MessageID // pre-generated, so that a crash cannot send twice
	Seq     int64     // order within a chat
	Turn    TurnID    // "" when no turn made it
	Channel string
	Account string
	Chat    ChatID
	Text    string
	ReplyTo string // external ID of the message answered
	Kind    OutKind
	File    *File // what is sent, with Text as its caption, which may be empty; nil = Text alone
}

// OutKind tells a channel how to show an outgoing message.
type OutKind string

// Kinds of outgoing messages.
const (
	OutReply  OutKind = "reply"
	OutError  OutKind = "error"
	OutNotice OutKind = "notice"
	// OutMessage is what an agent sends to another chat than its own.
	OutMessage OutKind = "message"
)

// Agent is a role at work for one chat.
type Agent struct {
	ID      AgentID  `json:"id"`
	Role    RoleName `json:"role"`
	Channel string   `json:"channel"`
	Account string   `json:"account,omitempty"`
	Chat    ChatID   `json:"chat"`
}

// Stage is what a turn is busy with, for progress lines.
type Stage string

// Stages.
const (
	StageQueued    Stage = "queued"
	StageContainer Stage = "container"
	StageModel     Stage = "model"
	StageTool      Stage = "tool"
	StageDone      Stage = "done" // nothing is said: Name is the ID of the message that was answered so
)

// Event is something a channel may show while a turn runs. It is never stored.
type Event struct {
	Turn  TurnID
	Stage Stage  // set on progress
	Name  string // tool name when Stage is StageTool
	Text  string // partial reply text when Stage is StageModel and text streams
}

// Limits bound one agent container.
type Limits struct {
	Memory      int64 // bytes; swap is the same, so none
	CPUs        float64
	PIDs        int64
	TurnTimeout time.Duration
	Workspace   wire.Quota
}

// ExecSkill stands for a role's program where rows name the skill.
const ExecSkill SkillName = "exec"

// Exec is a program that answers a role's turns in the place of a skill agent.
type Exec struct {
	Image   string   // as the Docker daemon knows it
	Command []string // the program and its arguments
	Preset  string   // wire.Preset…
	Bypass  bool     // wire.Exec.Bypass
	Keep    bool     // its container serves turn after turn, until it was idle too long
}

// Role is a named entry of nanoclaw.toml, resolved and frozen.
type Role struct {
	Name        RoleName
	Description string
	Prompt      string
	Brain       SkillName   // skill agent that answers turns; "" with Exec
	Exec        *Exec       // program that does so instead; nil = none
	Skills      []SkillName // brain not included
	Delegates   []RoleName
	PublicWeb   bool          // GET and HEAD of public addresses, no credentials
	AskWeb      bool          // each of them only when the owner says so
	AskWait     time.Duration // for the owner\'s answer, which is no after that
	HTTP        []HTTPGrant   //
	Mounts      []Mount       //
	Messages    []MessageGrant
	Chats       bool // it may list all chats, and propose routes to the owner
	Tasks       bool // its skills may schedule tasks for the agent
	Budget      map[Budget]int64
	Model       string       // name of a [models.NAME] entry; "" = [model]
	LocalOnly   bool         // only loopback providers
	Withhold    []Capability // of fs, kv, llm, tool, history: not given although listed, for skill call
	MemoryFrom  RoleName     // whose memory it reads too; "" = nobody's
	Sensitive   bool
	AcceptRisk  string
	Runtime     string // "" = engine.runtime
	Limits      Limits
	Settings    map[SkillName]wire.Settings // of its skills, brain included
}

// HTTPGrant allows requests that match every part of it.
type HTTPGrant struct {
	Scheme  string   // "https" unless said
	Hosts   []string // canonical ASCII; exact, or "*.example.com" for any depth below and never the apex
	Port    int      // 0 = the scheme's own
	Methods []string // upper case; empty = GET and HEAD
	Paths   []string // prefixes that end on a segment; empty = any
	Ask     bool     // each request only when the owner says so
	Private bool     // private and loopback addresses too; metadata addresses never
	// Credentials, put in by the broker: names of secrets. Paths hold some too, as {NAME}.
	Headers map[string]string // by header
	Query   map[string]string // by parameter
	Bearer  string            // Authorization: Bearer …; "" = none
	Basic   BasicAuth         // Authorization: Basic …
}

// BasicAuth is a user and the secret that is the password; both empty = none.
type BasicAuth struct{ User, Secret string }

// MessageGrant allows messages to one chat that is not the agent's own.
type MessageGrant struct {
	Channel string
	Account string
	Chat    ChatID
	Ask     bool // each only when the owner says so
}

// Mount is a host directory a role sees at /mnt/Name.
type Mount struct {
	Name  string
	Path  string // absolute, symlinks resolved
	Write bool
}

// Budget is something of which a role has so much a day or minute. Not set or zero = no bound.
type Budget string

// Budgets. Days and minutes are UTC's.
const (
	BudgetTokens   Budget = "tokens"   // a day, in and out of models
	BudgetRequests Budget = "requests" // a minute, to models and by http, each redirect included
	BudgetBytesOut Budget = "bytes"    // a day, sent by http: method, URL, headers and body
	BudgetMessages Budget = "messages" // a day, replies included
)

// Budgets in the order they are shown.
var Budgets = []Budget{BudgetTokens, BudgetRequests, BudgetBytesOut, BudgetMessages}

// ApprovalState says where a question to the owner stands.
type ApprovalState string

// States of an approval. Allowed is good for one act, after which it is used.
const (
	ApprovalPending ApprovalState = "pending"
	ApprovalAllowed ApprovalState = "allowed"
	ApprovalDenied  ApprovalState = "denied"
	ApprovalExpired ApprovalState = "expired"
	ApprovalUsed    ApprovalState = "used"
)

// Approval is one question to the owner: may this one request be made?
type Approval struct {
	N          int64         `json:"n"` // what the owner calls it by
	Agent      AgentID       `json:"agent"`
	Turn       TurnID        `json:"turn"`
	Role       RoleName      `json:"role"`
	Skill      SkillName     `json:"skill"`
	Capability Capability    `json:"capability"`
	Rule       string        `json:"rule"`  // what /always would allow: exact, no pattern
	Print      string        `json:"print"` // hash of everything that would be sent
	What       string        `json:"what"`  // for the owner to read
	State      ApprovalState `json:"state"`
	Author     string        `json:"author,omitempty"` // who answered
	Created    time.Time     `json:"created"`
	Expires    time.Time     `json:"expires"` // a denial from then on
}

// GrantRow is an answer that the owner gave for all times. It lifts the question of a grant that
// nanoclaw.toml has; by itself it grants nothing.
type GrantRow struct {
	N          int64      `json:"n"`
	Role       RoleName   `json:"role"`
	Skill      SkillName  `json:"skill"`
	Capability Capability `json:"capability"`
	Rule       string     `json:"rule"`
	Author     string     `json:"author"`
	Created    time.Time  `json:"created"`
}

// Capability is a thing a skill may need.
type Capability string

// Capabilities. Each is one import module of the ABI, but fs, which is WASI preopens.
const (
	CapFS      Capability = "fs"
	CapHTTP    Capability = "http"
	CapLLM     Capability = "llm"
	CapKV      Capability = "kv"
	CapTool    Capability = "tool"
	CapMessage Capability = "message"
	CapTask    Capability = "task"
	CapAgent   Capability = "agent"
	CapHistory Capability = "history"
)

// Capabilities in the order they are shown.
var Capabilities = []Capability{CapFS, CapHTTP, CapLLM, CapKV, CapTool, CapMessage, CapTask, CapAgent, CapHistory}

// Kinds of skills.
const (
	KindSkill = "skill"
	KindAgent = "agent"
	KindText  = "text" // instructions without code: a folder with SKILL.md
)

// Manifest is what a skill says of itself: section nanoclaw.manifest.v1, JSON.
type Manifest struct {
	ABI          int         `json:"abi"`
	Name         SkillName   `json:"name"`
	Version      string      `json:"version"`
	Kind         string      `json:"kind,omitempty"`    // Kind…; KindSkill when not said
	Adapter      string      `json:"adapter,omitempty"` // wire.Adapter…; "" = written for this ABI
	Description  string      `json:"description"`
	License      string      `json:"license,omitempty"`
	Limits       SkillLimits `json:"limits"`
	Capabilities []Need      `json:"capabilities,omitempty"`
	Tools        []wire.Tool `json:"tools,omitempty"`
}

// SkillLimits narrows what one call of the skill may use.
type SkillLimits struct {
	MemoryMiB int `json:"memory_mib,omitempty"` // linear memory; default 64, at most 512
	TimeoutMS int `json:"timeout_ms,omitempty"` // one tool call; default 30,000, at most 300,000
}

// Need is one capability a skill asks for. In the lock it stands without its reason.
type Need struct {
	Name      Capability `json:"name" toml:"name"`
	Reason    string     `json:"reason" toml:"-"`
	Optional  bool       `json:"optional,omitempty" toml:"optional,omitempty"`
	Mode      string     `json:"mode,omitempty" toml:"mode,omitempty"`             // fs: "ro" or "rw"; message: "own"
	Path      string     `json:"path,omitempty" toml:"path,omitempty"`             // fs: below the workspace
	Hosts     []string   `json:"hosts,omitempty" toml:"hosts,omitempty"`           // http: patterns; empty: any granted
	Methods   []string   `json:"methods,omitempty" toml:"methods,omitempty"`       // http; empty: any granted
	PublicWeb bool       `json:"public_web,omitempty" toml:"public_web,omitempty"` // http: wants the public web
}

// ModeOwn narrows the need of message to files that go to the agent's own chat, where its replies go:
// every role gives that.
const ModeOwn = "own"

// Need returns the need called name.
func (m *Manifest) Need(name Capability) (Need, bool) {
	for _, n := range m.Capabilities {
		if n.Name == name {
			return n, true
		}
	}
	return Need{}, false
}

// Skill is an admitted skill: its bytes were scanned, compiled in a container and stored by digest.
type Skill struct {
	Manifest Manifest
	Digest   Digest
	Dir      string // admitted form on the host: skill.wasm (metered) and cache/; "" of a KindText
	Text     string // SKILL.md text, may be empty
}

// Scope is what one turn may do: who it is for and what is linked. The broker
// is given it with the connection and believes nothing else.
type Scope struct {
	Turn    TurnID
	Attempt int // of the turn, from 1; 0 = there is never another one, and no journal
	Agent   Agent
	Role    *Role
	Skills  map[SkillName]*Skill // brain included
	Brain   SkillName            //
	Emit    func(Event)          // never nil; must not block
	// Pause stops the turn's clock and gives its place to others while its owner is asked; resume
	// takes both back. One at a time. nil where nobody can be asked.
	Pause func() (resume func(context.Context) error)
	// Lend gives a delegated turn's place to others while it waits for its own delegates; back
	// takes it again. nil for a turn that nobody delegated, which has a pool of its own.
	Lend  func() (back func(context.Context) error)
	Left  func() time.Duration // of the turn's time; nil = all of it
	Depth int                  // how many turns delegated this one; 1 for a call that no turn makes
}

// SecretSource says where a secret's value comes from. Exactly one field is set.
type SecretSource struct {
	Env     string   // environment variable of the host
	File    string   // file of mode 0600 or stricter
	Command []string // its trimmed stdout
	Managed bool     // the sentinel "proxy-managed" of a Docker Sandbox
}

// ModelChoice is one configured model.
type ModelChoice struct {
	Name     string   // "" for [model], else the NAME of [models.NAME]
	Provider string   // the NAME of a [providers.NAME], "offline" or "auto"
	Model    string   // the provider's model ID
	Blind    bool     // takes no images
	Fallback []string // NAMEs, asked in turn when this one does not answer
}
