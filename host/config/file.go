package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// file is nanoclaw.toml as it is written: every table and every key that is known.
type file struct {
	StateDir  string                   `toml:"state_dir"`
	Assistant assistantTable           `toml:"assistant"`
	Model     modelTable               `toml:"model"`
	Models    map[string]modelTable    `toml:"models"`
	Providers map[string]providerTable `toml:"providers"`
	Secrets   map[string]source        `toml:"secrets"`
	Store     storeTable               `toml:"store"`
	Skills    skillsTable              `toml:"skills"`
	Engine    engineTable              `toml:"engine"`
	Network   networkTable             `toml:"network"`
	Mounts    mountsTable              `toml:"mounts"`
	Channels  channelsTable            `toml:"channels"`
	Roles     map[string]roleTable     `toml:"roles"`
	Routes    []routeTable             `toml:"routes"`
}

type assistantTable struct {
	Name       string   `toml:"name"`
	Timezone   string   `toml:"timezone"`
	StaleAfter duration `toml:"stale_after"`
}

type modelTable struct {
	Provider string   `toml:"provider"`
	Name     string   `toml:"name"`
	Fallback []string `toml:"fallback"`
	Images   *bool    `toml:"images"`
}

type providerTable struct {
	Kind    string  `toml:"kind"`
	APIKey  *source `toml:"api_key"`
	BaseURL string  `toml:"base_url"`
}

type skillsTable struct {
	Dir           string `toml:"dir"`
	RequireSigned bool   `toml:"require_signed"`
}

type storeTable struct {
	KeepMessages days `toml:"keep_messages"`
}

type networkTable struct {
	Proxy string `toml:"proxy"`
}

type channelsTable struct {
	WhatsApp struct {
		OwnNumber bool     `toml:"own_number"`
		Owners    []string `toml:"owners"`
	} `toml:"whatsapp"`
}

type mountsTable struct {
	Allow []string `toml:"allow"`
}

type engineTable struct {
	Runtime        string   `toml:"runtime"`
	RequireSandbox bool     `toml:"require_sandbox"`
	MaxAgents      int      `toml:"max_agents"`
	MaxDelegates   int      `toml:"max_delegates"`
	MaxSpares      int      `toml:"max_spares"`
	SpareIdle      duration `toml:"spare_idle"`
	limitKeys
}

// limitKeys may stand in [engine], for every role, and in a role.
type limitKeys struct {
	Memory         *size     `toml:"memory"`
	CPUs           *float64  `toml:"cpus"`
	PIDs           *int64    `toml:"pids"`
	TurnTimeout    *duration `toml:"turn_timeout"`
	Workspace      *size     `toml:"workspace"`
	WorkspaceFiles *int64    `toml:"workspace_files"`
}

type roleTable struct {
	Description string                   `toml:"description"`
	Prompt      string                   `toml:"prompt"`
	PromptFile  string                   `toml:"prompt_file"`
	Agent       string                   `toml:"agent"`
	Skills      []string                 `toml:"skills"`
	Settings    map[string]wire.Settings `toml:"settings"`
	Delegates   []string                 `toml:"delegates"`
	Tasks       bool                     `toml:"tasks"`
	PublicWeb   publicWeb                `toml:"public_web"`
	HTTP        []httpTable              `toml:"http"`
	Mounts      []mountTable             `toml:"mounts"`
	Messages    []messageTable           `toml:"messages"`
	Chats       bool                     `toml:"chats"`
	Model       roleModel                `toml:"model"`
	LLM         llmTable                 `toml:"llm"`
	Budget      budgetTable              `toml:"budget"`
	AskWait     *duration                `toml:"ask_wait"`
	MemoryFrom  string                   `toml:"memory_from"`
	Sensitive   bool                     `toml:"sensitive"`
	AcceptRisk  string                   `toml:"accept_risk"`
	Runtime     string                   `toml:"runtime"`
	execTable
	limitKeys
}

// execTable is what a role with a program says besides.
type execTable struct {
	Engine      string   `toml:"engine"`
	Image       string   `toml:"image"`
	Command     []string `toml:"command"`
	Preset      string   `toml:"preset"`
	Permissions string   `toml:"permissions"`
	Lifetime    string   `toml:"lifetime"`
}

type httpTable struct {
	Scheme  string            `toml:"scheme"`
	Hosts   []string          `toml:"hosts"`
	Port    *int              `toml:"port"`
	Methods []string          `toml:"methods"`
	Paths   []string          `toml:"paths"`
	Headers map[string]header `toml:"headers"`
	Query   map[string]header `toml:"query"`
	Bearer  string            `toml:"bearer"`
	Basic   basicTable        `toml:"basic"`
	Private bool              `toml:"private"`
	Ask     bool              `toml:"ask"`
}

type basicTable struct {
	User   string `toml:"user"`
	Secret string `toml:"secret"`
}

type mountTable struct {
	Path string `toml:"path"`
	Name string `toml:"name"`
	Mode string `toml:"mode"`
}

type messageTable struct {
	Channel string `toml:"channel"`
	Account string `toml:"account"`
	Chat    string `toml:"chat"`
	Ask     bool   `toml:"ask"`
}

type llmTable struct {
	DailyTokens *int64 `toml:"daily_tokens"`
}

type budgetTable struct {
	RequestsPerMinute *int64 `toml:"requests_per_minute"`
	DailyBytesOut     *size  `toml:"daily_bytes_out"`
	DailyMessages     *int64 `toml:"daily_messages"`
}

// publicWeb is true, false or "ask".
type publicWeb struct{ on, ask bool }

func (p *publicWeb) short(v any) error {
	p.ask = v == "ask"
	on, ok := v.(bool)
	if p.on = on || p.ask; !ok && !p.ask {
		return errors.New(`must be true, false or "ask"`)
	}
	return nil
}

type routeTable struct {
	Channel string   `toml:"channel"`
	Account string   `toml:"account"`
	Chat    string   `toml:"chat"`
	Role    string   `toml:"role"`
	Engage  string   `toml:"engage"`
	Trigger string   `toml:"trigger"`
	Senders []string `toml:"senders"`
	Others  string   `toml:"others"`
	Agent   string   `toml:"agent"`
}

// source says where a secret is. Never the secret itself.
type source struct {
	Env     string   `toml:"env"`
	File    string   `toml:"file"`
	Command []string `toml:"command"`
	Secret  string   `toml:"secret"` // of an api_key alone
	managed bool
}

const managed = "proxy-managed"

// short takes the one string that is no secret. What was written is not repeated: it may be a key.
func (s *source) short(v any) error {
	if s.managed = v == managed; s.managed {
		return nil
	}
	return errors.New(`a key itself is never written here: say where it is, { env = "NAME" }, { file = "PATH" }, ` +
		`{ command = ["PROGRAM", "ARGUMENT"] } or, for an api_key, { secret = "NAME" }`)
}

func (s *source) host() host.SecretSource {
	return host.SecretSource{Env: s.Env, File: s.File, Command: s.Command, Managed: s.managed}
}

// header is the value of a request header or parameter: always a secret, which the broker puts in.
type header struct {
	Secret string `toml:"secret"`
}

func (h *header) short(any) error {
	return errors.New(`the value is never written here: { secret = "NAME" } names a [secrets.NAME], or what ` +
		`"nanoclaw secret set NAME" stored`)
}

// roleModel is "NAME" of a [models.NAME], or a table.
type roleModel struct {
	Name      string `toml:"name"`
	LocalOnly bool   `toml:"local_only"`
}

func (m *roleModel) short(v any) error {
	s, ok := v.(string)
	if !ok {
		return errors.New("must be the NAME of a [models.NAME], or a table with name and local_only")
	}
	m.Name = s
	return nil
}

// size is a number of bytes, written "256MiB".
type size int64

func (z *size) short(v any) error {
	bad := fmt.Errorf(`must be a size such as "256MiB", with B, KiB, MiB or GiB`)
	s, ok := v.(string)
	if !ok {
		return bad
	}
	digits := strings.TrimRight(s, "KMGiB")
	shift, ok := map[string]uint{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[s[len(digits):]]
	n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32)
	if err != nil || !ok {
		return bad
	}
	*z = size(n << shift)
	return nil
}

// duration is written "10m".
type duration time.Duration

func (d *duration) short(v any) error {
	s, ok := v.(string)
	if n, err := time.ParseDuration(s); ok && err == nil {
		*d = duration(n)
		return nil
	}
	return errors.New(`must be a duration such as "90s", "10m" or "1h30m"`)
}

// days is written "365d", or "" for ever.
type days int64

func (d *days) short(v any) error {
	s, _ := v.(string)
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "d"), 10, 16)
	if *d = days(n); v == "" || err == nil && n >= 7 && strings.HasSuffix(s, "d") {
		return nil
	}
	return errors.New(`must be a number of days such as "365d", at least "7d", or "" for all messages`)
}
