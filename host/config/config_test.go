package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// clean gives a test an environment in which nothing is configured, and its home.
func clean(t *testing.T) (home string) {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{
		"NANOCLAW_CONFIG", "NANOCLAW_STATE", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "ANTHROPIC_API_KEY", "OPENAI_API_KEY",
		"SANDBOX_NAME", "SANDBOX_ID", "SANDBOX_VM_ID", "PROXY_CA_CERT_B64",
	} {
		t.Setenv(k, "")
	}
	t.Setenv("HOME", home)
	return home
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Load(write(t, filepath.Join(t.TempDir(), fileName), text), Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFind(t *testing.T) {
	home := clean(t)
	cwd := filepath.Join(home, "work")
	inXDG := filepath.Join(home, ".config", "nanoclaw", fileName)
	if err := os.Mkdir(cwd, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(cwd)

	_, err := Find("")
	if !errors.Is(err, host.ErrNotFound) {
		t.Fatalf("nothing there: %v", err)
	}
	for _, want := range []string{filepath.Join(cwd, fileName), inXDG, "--config FILE", "$NANOCLAW_CONFIG"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}

	// From the last place to the first: each wins over those before it.
	find := func(flag, want string) {
		t.Helper()
		if got, err := Find(flag); got != want || err != nil {
			t.Errorf("found %s, %v; want %s", got, err, want)
		}
	}
	find("", write(t, inXDG, ""))
	other := filepath.Join(home, "xdg")
	t.Setenv("XDG_CONFIG_HOME", other)
	find("", write(t, filepath.Join(other, "nanoclaw", fileName), ""))
	t.Setenv("XDG_CONFIG_HOME", "relative/is/ignored")
	find("", inXDG)
	find("", write(t, filepath.Join(cwd, fileName), ""))
	t.Setenv("NANOCLAW_CONFIG", write(t, filepath.Join(home, "env.toml"), ""))
	find("", filepath.Join(home, "env.toml"))
	find("../flag.toml", write(t, filepath.Join(home, "flag.toml"), ""))

	if _, err := Find("nowhere.toml"); !errors.Is(err, host.ErrNotFound) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("a flag that names nothing: %v", err)
	}
	t.Setenv("NANOCLAW_CONFIG", "nowhere.toml")
	if _, err := Find(""); !errors.Is(err, host.ErrNotFound) || !strings.Contains(err.Error(), "$NANOCLAW_CONFIG") {
		t.Errorf("a variable that names nothing: %v", err)
	}
}

func TestStateDir(t *testing.T) {
	home := clean(t)
	path := write(t, filepath.Join(home, "etc", fileName), "")
	is := func(o Overrides, want string) {
		t.Helper()
		c, err := Load(path, o)
		if err != nil || c.StateDir != want {
			t.Errorf("state %+v, %v; want %s", c, err, want)
		}
	}
	is(Overrides{}, filepath.Join(home, ".local", "state", "nanoclaw"))
	t.Setenv("XDG_STATE_HOME", "/xdg")
	is(Overrides{}, "/xdg/nanoclaw")
	t.Setenv("NANOCLAW_STATE", "/env")
	is(Overrides{}, "/env")
	write(t, path, `state_dir = "here"`)
	is(Overrides{}, filepath.Join(home, "etc", "here"))
	write(t, path, `state_dir = "~/there"`)
	is(Overrides{}, filepath.Join(home, "there"))
	is(Overrides{StateDir: "/flag"}, "/flag")
}

func TestDefaults(t *testing.T) {
	home := clean(t)
	t.Setenv("TZ", "Asia/Tokyo")
	c := load(t, "")
	if c.Assistant != (Assistant{"Andy", "Asia/Tokyo", 24 * time.Hour}) {
		t.Errorf("assistant %+v", c.Assistant)
	}
	want := Engine{
		Runtime: "runc", MaxAgents: 8, MaxDelegates: 8, MaxSpares: 4, SpareIdle: 15 * time.Minute, Limits: DefaultLimits(),
	}
	if c.Engine != want {
		t.Errorf("engine %+v", c.Engine)
	}
	if !reflect.DeepEqual(c.Model, host.ModelChoice{Provider: "auto", Model: "claude-sonnet-5-5"}) || c.Network.ProxyFunc() != nil {
		t.Errorf("model %+v, network %+v", c.Model, c.Network)
	}
	if c.SkillsDir != filepath.Join(filepath.Dir(c.Path), "plugins") || strings.HasPrefix(c.SkillsDir, home+"/plugins") {
		t.Errorf("skills in %s, config in %s", c.SkillsDir, c.Path)
	}
}

func TestExec(t *testing.T) {
	clean(t)
	c := load(t, `
[roles.a]
engine = "exec"
preset = "claude-code"
permissions = "bypass"
skills = ["calc"]
[roles.b]
engine = "exec"
image = "box@sha256:ab"
command = ["cat", "-"]
lifetime = "turn"
[roles.c]
engine = "wasm"
[roles.d]
engine = "exec"
image = "box"
command = ["x"]
lifetime = "conversation"
`)
	for name, want := range map[host.RoleName]*host.Exec{
		"a": {Image: ClaudeImage, Command: []string{"claude"}, Preset: "claude-code", Bypass: true},
		"b": {Image: "box@sha256:ab", Command: []string{"cat", "-"}},
		"d": {Image: "box", Command: []string{"x"}, Keep: true},
		"c": nil,
	} {
		if r := c.Roles[name]; !reflect.DeepEqual(r.Exec, want) || (r.Brain == "") != (want != nil) {
			t.Errorf("%s: %+v, brain %q", name, r.Exec, r.Brain)
		}
	}
	reach := c.Examine().Roles
	if reach[0].Program != "claude, of image nanoclaw-claude-code, which may do anything in its container" ||
		!strings.Contains(reach[1].Files[0], "not bounded") || reach[2].Program != "" ||
		reach[1].Kept || !reach[3].Kept || !strings.Contains(reach[3].Program, "keeps its container from turn to turn") {
		t.Errorf("%+v", reach)
	}
	for text, want := range map[string]string{
		"engine = 'exec'": "must say its image",
		"engine = 'exec'\nimage = 'a b'\ncommand = ['x']":                       "must say its image",
		"engine = 'exec'\nimage = 'x'":                                          "must say its command",
		"engine = 'exec'\nimage = 'x'\ncommand = [' ']":                         "must say its command",
		"engine = 'docker'":                                                     `"docker" is none of "wasm", "exec"`,
		"engine = 'exec'\npreset = 'codex'":                                     `"codex" is none of "claude-code"`,
		"engine = 'exec'\npreset = 'claude-code'\npermissions = 'all'":          `"all" is none of "edits", "bypass"`,
		"engine = 'exec'\npreset = 'claude-code'\nlifetime = 'session'":         `"session" is none of "turn", "conversation"`,
		"lifetime = 'conversation'":                                             `is for engine = "exec" alone`,
		"engine = 'exec'\npreset = 'claude-code'\nagent = 'x'":                  "a program answers for this role",
		"engine = 'exec'\npreset = 'claude-code'\ndelegates = ['o']\n[roles.o]": "cannot give tasks",
		"command = ['x']":              `is for engine = "exec" alone`,
		"image = 'x'\nengine = 'wasm'": `is for engine = "exec" alone`,
	} {
		_, err := parse("[roles.r]\n"+text, "/x.toml", Overrides{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := parse("[roles.r]\nengine='exec'\npreset='claude-code'", "/x.toml", Overrides{Runtime: None}); err == nil || !strings.Contains(err.Error(), "needs a container") {
		t.Error(err)
	}
}

// TestSandbox: a Docker Sandbox has the key, and what asks is told so; what the file says wins.
func TestSandbox(t *testing.T) {
	clean(t)
	role := &host.Role{}
	t.Setenv("SANDBOX_NAME", "box")
	c := load(t, "")
	if p := c.Providers["anthropic"]; c.Choices(role)[0].Provider != "anthropic" || p.APIKey == nil || !p.APIKey.Managed {
		t.Errorf("%+v", p)
	}
	c = load(t, "[providers.ollama]\nkind = 'openai'\nbase_url = 'http://127.0.0.1:1/v1'\n[model]\nname = 'm'")
	if got := c.Choices(role)[0].Provider; got != "ollama" {
		t.Error(got)
	}
	t.Setenv("ANTHROPIC_API_KEY", "k")
	c = load(t, "[providers.anthropic]\napi_key = { env = 'ANTHROPIC_API_KEY' }")
	if p := c.Providers["anthropic"]; p.APIKey.Managed {
		t.Errorf("%+v", p)
	}
}

func TestRole(t *testing.T) {
	home := clean(t)
	books := filepath.Join(home, "books")
	if err := os.Mkdir(books, 0o755); err != nil {
		t.Fatal(err)
	}
	c := load(t, `
[engine]
memory = "512MiB"
pids = 160
[models.small]
provider = "offline"
[secrets.brave]
env = "BRAVE"
[store]
keep_messages = "30d"
[roles.web]
memory_from = "quiet"
description = "looks"
prompt = "p"
agent = "websearch"
skills = ["fetch", "search"]
delegates = ["quiet"]
tasks = true
public_web = "ask"
http = [ { hosts = ["api.search.brave.com", "*.example.com", "[2001:db8::1]"], port = 8443, methods = ["GET", "POST"], paths = ["/res/v1/"], headers = { "x-token" = { secret = "brave" } }, private = true, ask = true } ]
mounts = [ { path = "~/books", mode = "rw" }, { path = "~/books", name = "again" } ]
model.name = "small"
model.local_only = true
llm = { daily_tokens = 5 }
budget = { requests_per_minute = 6, daily_bytes_out = "7KiB", daily_messages = 8 }
ask_wait = "2m"
sensitive = true
accept_risk = " because "
runtime = "runsc"
memory = "1GiB"
turn_timeout = "90s"
workspace = "1MiB"
[roles.quiet]
model = "small"
[[routes]]
channel = "console"
chat = "*"
role = "web"
engage = "reply"
senders = ["+1"]
others = "context"
agent = "one"
`)
	if c.KeepMessages != 30*24*time.Hour {
		t.Errorf("messages are kept for %v", c.KeepMessages)
	}
	limits := c.Engine.Limits
	if limits.Memory != 512<<20 || limits.PIDs != 160 || limits.CPUs != 1 {
		t.Errorf("engine limits %+v", limits)
	}
	if got := c.Roles["quiet"]; got.Limits != limits || got.Brain != "assistant" || got.Model != "small" {
		t.Errorf("quiet %+v", got)
	}
	limits.Memory, limits.TurnTimeout, limits.Workspace.Bytes = 1<<30, 90*time.Second, 1<<20
	want := &host.Role{
		Name: "web", Description: "looks", Prompt: "p", Brain: "websearch", Skills: []host.SkillName{"fetch", "search"},
		Delegates: []host.RoleName{"quiet"}, Tasks: true, PublicWeb: true, AskWeb: true, AskWait: 2 * time.Minute,
		HTTP: []host.HTTPGrant{{
			Scheme: "https", Hosts: []string{"api.search.brave.com", "*.example.com", "[2001:db8::1]"}, Port: 8443,
			Methods: []string{"GET", "POST"}, Paths: []string{"/res/v1/"}, Headers: map[string]string{"X-Token": "brave"}, Private: true, Ask: true,
		}},
		Mounts: []host.Mount{{Name: "books", Path: books, Write: true}, {Name: "again", Path: books}},
		Budget: map[host.Budget]int64{"tokens": 5, "requests": 6, "bytes": 7 << 10, "messages": 8}, Model: "small", LocalOnly: true, Sensitive: true, MemoryFrom: "quiet", AcceptRisk: "because",
		Runtime: "runsc", Limits: limits,
	}
	if got := c.Roles["web"]; !reflect.DeepEqual(got, want) {
		t.Errorf("web\n got %+v\nwant %+v", got, want)
	}
	route := host.Route{
		Channel: "console", Chat: "*", Role: "web", Engage: "reply", Trigger: "@Andy", Senders: []string{"+1"},
		Others: true, Agent: "one",
	}
	if !reflect.DeepEqual(c.Routes, []host.Route{route}) {
		t.Errorf("routes %+v", c.Routes)
	}
}

// TestRefused gives each rule a file that breaks it. want is part of the only problem.
func TestRefused(t *testing.T) {
	home := clean(t)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(home, "in", "deep"), 0o755))
	must(os.Symlink("in", filepath.Join(home, "alias")))
	write(t, filepath.Join(home, "file"), "")
	t.Setenv("NANOCLAW_STATE", filepath.Join(home, "in", "state"))

	role := func(s string) string { return "[roles.r]\n" + s }
	grant := func(s string) string { return role("http = [ { " + s + " } ]") }
	many := "s0 = ''"
	for i := range 16 {
		many += fmt.Sprintf(", s%d = ''", i+1)
	}
	for name, tc := range map[string]struct{ text, want string }{
		"not TOML":           {"a = [", "line 1"},
		"unknown table":      {"\n[rolls.x]\n", `line 2: rolls: unknown key "rolls"; the nearest known key here is "roles"`},
		"unknown key":        {role("a = 1\n"), `line 2: roles.r.a: unknown key "a"`},
		"nearest key":        {role("skils = []\n"), `line 2: roles.r.skils: unknown key "skils"; the nearest known key here is "skills"`},
		"case matters":       {"[Engine]\n", `line 1: Engine: unknown key "Engine"; the nearest known key here is "engine"`},
		"inside an array":    {"\n[[routes]]\nchannel='console'\nchat='*'\nrole='r'\ntriger='x'\n" + role(""), `line 6: routes[0].triger`},
		"inside a value":     {role("\n\nhttp = [\n { host = 'x' } ]"), `line 4: roles.r.http[0].host: unknown key "host"; the nearest known key here is "hosts"`},
		"after long strings": {role("prompt = \"\"\"\n[x]\ny = 1\n\"\"\"\nskils = []"), `line 6: roles.r.skils`},
		"wrong type":         {role("skills = 'x'"), "line 2: roles.r.skills: must be a list"},
		"wrong element":      {role("skills = ['x', 1]"), "roles.r.skills[1]: must be a string"},
		"table for string":   {"[assistant.name]", "must be a string"},
		"date":               {"[assistant]\nname = 2020-01-01", "must be a string"},
		"value for table":    {"engine = 1", "must be a table"},
		"number for bool":    {"[engine]\nrequire_sandbox = 1", "must be true or false"},
		"name":               {"[assistant]\nname = ' '", "assistant.name"},
		"time zone":          {"[assistant]\ntimezone = 'Mars/Base'", `"Mars/Base" is no time zone`},
		"empty time zone":    {"[assistant]\ntimezone = ''", "is no time zone"},
		"size":               {"[engine]\nmemory = '256MB'", `such as "256MiB"`},
		"size as number":     {"[engine]\nmemory = 256", `such as "256MiB"`},
		"size overflows":     {"[engine]\nmemory = '9999999999GiB'", `such as "256MiB"`},
		"little memory":      {"[engine]\nmemory = '1MiB'", "from 16MiB"},
		"days":               {"[store]\nkeep_messages = '24h'", `such as "365d"`},
		"few days":           {"[store]\nkeep_messages = '6d'", `at least "7d"`},
		"days as a number":   {"[store]\nkeep_messages = 365", `such as "365d"`},
		"memory of nobody":   {role("memory_from = 'x'"), `roles.r.memory_from: "x" is not another role`},
		"its own memory":     {role("memory_from = 'r'"), `roles.r.memory_from: "r" is not another role`},
		"no cpus":            {"[engine]\ncpus = 0", "engine.cpus: must be from 0.01"},
		"nan cpus":           {"[engine]\ncpus = nan", "engine.cpus: must be from 0.01"},
		"few pids":           {"[engine]\npids = 1", "engine.pids: must be from 16"},
		"role limit":         {role("pids = 1"), "roles.r.pids: must be from 16"},
		"pids on gVisor":     {role("runtime = 'runsc'\npids = 64"), "line 3: roles.r.pids: 64 processes are too few on gVisor (runsc)"},
		"engine's pids there": {
			"[engine]\nruntime = 'runsc-kvm'\npids = 127\n" + role(""), "roles.r.pids: 127 processes are too few on gVisor (runsc-kvm)",
		},
		"no duration":        {"[engine]\nspare_idle = '15'", `such as "90s"`},
		"negative idle":      {"[engine]\nspare_idle = '-1s'", "spare_idle"},
		"no turn":            {"[engine]\nturn_timeout = '0s'", "turn_timeout"},
		"no agents":          {"[engine]\nmax_agents = 0", "at most 1000"},
		"runtime":            {"[engine]\nruntime = '../x'", "is no runtime"},
		"role without layer": {role("runtime = 'none'"), `"none" is for [engine] alone`},
		"skills dir":         {"[skills]\ndir = ''", "skills.dir"},
		"proxy":              {"[network]\nproxy = 'ftp://x'", "network.proxy"},
		"proxy password":     {"[network]\nproxy = 'http://u:hunter2@x'", "without a password"},
		"proxy env":          {"[network]\nproxy = 'env'", "Docker Sandbox"},
		"role name":          {"[roles.'A b']", "is no name"},
		"skill name":         {role("skills = ['a--b']"), "no name of a skill"},
		"agent name":         {role("agent = 'A'"), "no name of a skill"},
		"skill twice":        {role("skills = ['a', 'a']"), "twice"},
		"brain as skill":     {role("skills = ['assistant']"), "role's agent already"},
		"both prompts":       {role("prompt = 'a'\nprompt_file = '" + filepath.Join(home, "file") + "'"), "there is a prompt already"},
		"no prompt file":     {role("prompt_file = 'nowhere'"), "no such file"},
		"no delegate":        {role("delegates = ['rr']"), `there is no role "rr"; the nearest one is "r"`},
		"asks itself":        {role("delegates = ['r']"), "in a circle: r → r"},
		"circle":             {"[roles.a]\ndelegates=['b']\n[roles.b]\ndelegates=['c']\n[roles.c]\ndelegates=['b']", "line 4: roles.b.delegates: roles delegate in a circle: b → c → b"},
		"no model":           {role("model = 'x'"), "there is no [models.x]"},
		"model type":         {role("model = 1"), "NAME of a [models.NAME]"},
		"not local":          {"[providers.anthropic]\napi_key = {env='K'}\n[model]\nprovider='anthropic'\n" + role("model.local_only = true"), "not on this machine"},
		"no tokens":          {role("llm = { daily_tokens = 0 }"), "more than 0"},
		"provider":           {"[model]\nprovider = 'antropic'", `unknown provider "antropic"; the nearest known one is "anthropic"`},
		"model name":         {"[model]\nname = ''", "must say its name"},
		"model provider":     {"[models.x]\nname = 'a'", "must say its provider"},
		"no key":             {"[model]\nprovider = 'anthropic'", "anthropic needs a key"},
		"no key for openai":  {"[model]\nprovider = 'openai'", "openai needs a key"},
		"no such provider":   {"[providers.ollama]\nkind='openai'\nbase_url='http://localhost:1'\n[model]\nprovider='olama'", `unknown provider "olama"; the nearest known one is "ollama"`},
		"no kind":            {"[providers.ollama]\nbase_url='http://localhost:1'", "line 1: providers.ollama: must say its kind"},
		"unknown kind":       {"[providers.ollama]\nbase_url='http://localhost:1'\nkind='opena'", `unknown kind "opena"; the nearest known one is "openai"`},
		"no base url":        {"[providers.router]\nkind='openai'\napi_key={env='K'}", "must say its base_url"},
		"provider name":      {"[providers.'a b']\nkind='openai'\nbase_url='http://localhost:1'", "is no name for this"},
		"provider auto":      {"[providers.auto]\nkind='openai'\nbase_url='http://localhost:1'", `"auto" is no name for a provider`},
		"no fallback":        {"[model]\nfallback = ['x']", "line 2: model.fallback: there is no [models.x]"},
		"fallback twice":     {"[model]\nfallback = ['x', 'x']\n[models.x]\nprovider='offline'", `"x" is there twice`},
		"fallback of itself": {"[models.x]\nprovider='offline'\nfallback=['x']", "line 3: models.x.fallback: fallbacks go in a circle: x → x"},
		"fallback circle":    {"[models.x]\nprovider='offline'\nfallback=['y']\n[models.y]\nprovider='offline'\nfallback=['x']", "in a circle: x → y → x"},
		"fallback not local": {"[providers.anthropic]\napi_key={env='K'}\n[models.x]\nprovider='offline'\nfallback=['y']\n[models.y]\nprovider='anthropic'\nname='n'\n" + role("model = { name = 'x', local_only = true }"), "provider anthropic is not on this machine"},
		"auto without name":  {"[providers.openai]\nbase_url='http://localhost:1'\n" + role(""), "model: must say its name: a model of provider openai, which answers for role r"},
		"base url":           {"[providers.openai]\nbase_url = 'ftp://x'", "https or http URL"},
		"base url password":  {"[providers.openai]\nbase_url = 'https://u:hunter2@x'", "without password"},
		"key in the clear":   {"[providers.openai]\nbase_url = 'http://x'\napi_key = { env = 'K' }", "in the clear"},
		"two sources":        {"[secrets.x]\nenv = 'A'\nfile = 'b'", "exactly one"},
		"no source":          {"[secrets.x]", "exactly one"},
		"variable":           {"[secrets.x]\nenv = 'A=b'", "name of a variable"},
		"no program":         {"[secrets.x]\ncommand = ['']", "begin with a program"},
		"command as string":  {"[secrets.x]\ncommand = 'pass show x'", "must be a list"},
		"no channel":         {"[[routes]]\nchannel='consol'\nchat='*'\nrole='r'\n" + role(""), `unknown channel "consol"; channels are console, whatsapp`},
		"no chat":            {"[[routes]]\nchannel='console'\nrole='r'\n" + role(""), "must be a chat"},
		"no route role":      {"[[routes]]\nchannel='console'\nchat='*'\nrole='q'\n" + role(""), `there is no role "q"; the nearest one is "r"`},
		"route twice":        {strings.Repeat("[[routes]]\nchannel='console'\nchat='*'\nrole='r'\n", 2) + role(""), "line 5: routes[1]: the same channel"},
		"agent of two roles": {"[[routes]]\nchannel='console'\nchat='a'\nrole='r'\nagent='x'\n[[routes]]\nchannel='console'\nchat='b'\nrole='s'\nagent='x'\n[roles.s]\n" + role(""), "one agent has one role"},
		"trigger":            {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\ntrigger=' @a'\n" + role(""), "space"},
		"sender":             {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nsenders=['']\n" + role(""), "empty sender"},
		"sender pattern":     {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nsenders=['+1*']\n" + role(""), "no patterns"},
		"anyone and one":     {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nsenders=['*', '+1']\n" + role(""), "no patterns"},
		"sender's space":     {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nsenders=['+1 555']\n" + role(""), "a space in it"},
		"sender no number":   {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nsenders=['+1-555']\n" + role(""), "and digits, nothing else"},
		"senders no list":    {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nsenders='*'\n" + role(""), "must be a list"},
		"engage":             {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nengage='never'\n" + role(""), `"trigger", "mention", "reply" or "always"`},
		"others":             {"[[routes]]\nchannel='console'\nchat='*'\nrole='r'\nothers='answer'\n" + role(""), `"drop" or "context"`},
		"messages to all":    {role("messages = [ { channel = 'whatsapp', chat = '*' } ]"), "there is no grant for all"},
		"messages to none":   {role("messages = [ { channel = 'whatsapp' } ]"), "roles.r.messages[0].chat: must be a chat"},
		"messages by what":   {role("messages = [ { channel = 'fax', chat = 'a' } ]"), `unknown channel "fax"`},
		"messages twice":     {role("messages = [ { channel = 'whatsapp', chat = 'a' }, { channel = 'whatsapp', chat = 'a', ask = true } ]"), "messages[1]: is there twice"},
		"stale_after":        {"[assistant]\nstale_after = '1s'", "from 1m to 8760h"},
		"no hosts":           {grant("methods = ['GET']"), "must list its hosts"},
		"scheme":             {grant("hosts=['a.b'], scheme='ftp'"), `"https" or "http"`},
		"port":               {grant("hosts=['a.b'], port=0"), "from 1 to 65535"},
		"method":             {grant("hosts=['a.b'], methods=['get']"), `"get" is none of`},
		"connect":            {grant("hosts=['a.b'], methods=['CONNECT']"), `"CONNECT" is none of`},
		"relative path":      {grant("hosts=['a.b'], paths=['v1/']"), "begins with"},
		"path climbs":        {grant("hosts=['a.b'], paths=['/v1/../']"), "plain path"},
		"path escapes":       {grant("hosts=['a.b'], paths=['/v1/%2e']"), "plain path"},
		"no secret's name":   {grant("hosts=['a.b'], headers={X={secret='../s'}}"), "is no name of a secret"},
		"vault path":         {grant("hosts=['a.b'], bearer='/../etc/passwd'"), "is no name of a secret"},
		"two Authorization":  {grant("hosts=['a.b'], bearer='s', basic={user='u',secret='s'}"), "Authorization twice"},
		"header and bearer":  {grant("hosts=['a.b'], bearer='s', headers={authorization={secret='s'}}"), "Authorization twice"},
		"basic without user": {grant("hosts=['a.b'], basic={secret='s'}"), "must say user"},
		"colon in user":      {grant("hosts=['a.b'], basic={user='a:b',secret='s'}"), "without a colon"},
		"query literal":      {grant("hosts=['a.b'], query={key='sk-ant-hunter2'}"), "never written here"},
		"query nameless":     {grant("hosts=['a.b'], query={key={secret=''}}"), "must name a secret"},
		"open placeholder":   {grant("hosts=['a.b'], paths=['/bot{x/']"), "must be a plain path"},
		"bad placeholder":    {grant("hosts=['a.b'], paths=['/bot{../x}/']"), "must be a plain path"},
		"path in clear":      {grant("hosts=['a.b'], scheme='http', paths=['/bot{x}/']"), "in the clear"},
		"one in clear":       {grant("hosts=['127.0.0.1','a.b'], scheme='http', bearer='x'"), "in the clear"},
		"secret of a secret": {"[secrets.x]\nsecret = 'y'", "exactly one"},
		"bad key name":       {"[providers.anthropic]\napi_key = { secret = 'a/b' }", "is no name of a secret"},
		"key of two":         {"[providers.anthropic]\napi_key = { secret = 'a', env = 'B' }", "exactly one"},
		"header literal":     {grant("hosts=['a.b'], headers={X='hunter2'}"), "the value is never written here"},
		"header Host":        {"[secrets.s]\nenv='S'\n" + grant("hosts=['a.b'], headers={host={secret='s'}}"), "no header that can be set"},
		"header injection":   {"[secrets.s]\nenv='S'\n" + grant(`hosts=['a.b'], headers={"X\r\nY"={secret='s'}}`), "no header that can be set"},
		"secret in clear":    {"[secrets.s]\nenv='S'\n" + grant("hosts=['a.b'], scheme='http', headers={X={secret='s'}}"), "in the clear"},
		"mount mode":         {role("mounts = [ { path = '~/in/deep', mode = 'w' } ]"), `must be "ro" or "rw"`},
		"mount twice":        {role("mounts = [ { path = '~/in/deep' }, { path = '~/alias/deep' } ]"), "called \"deep\" already"},
		"settings of none":   {role("settings = { b = { x = '1' } }"), `line 2: roles.r.settings.b: "b" is not among the role's skills`},
		"setting no string":  {setting("n = 1"), "roles.r.settings.a.n: must be a string"},
		"setting no table":   {role("skills = ['a']\nsettings = { a = 'x' }"), "roles.r.settings.a: must be a table"},
		"setting name":       {setting("PATH = '/'"), "is no name of a setting"},
		"setting of lines":   {setting(`x = "a\nb"`), "one line of at most 1024 bytes"},
		"long setting":       {setting("x = '" + strings.Repeat("y", 1025) + "'"), "one line of at most 1024 bytes"},
		"many settings":      {setting(many), "more than 16 settings"},
		"mount name":         {role("mounts = [ { path = '~/in/deep', name = 'a/b' } ]"), "/mnt/NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.text, "/etc/nanoclaw.toml", Overrides{})
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, host.ErrInvalid) {
				t.Fatalf("error %v, want an invalid file", err)
			}
			if len(e.Problems) != 1 || !strings.Contains(e.Problems[0], tc.want) {
				t.Errorf("problems %q, want one with %q", e.Problems, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q repeats a secret", err)
			}
		})
	}
}

// TestHostPatterns are the rows P01 to P10 of the adversarial table, which name every bad entry.
func TestHostPatterns(t *testing.T) {
	clean(t)
	bad := []string{
		"*", "", " ", "*.com", "*.*.example.com", "api*.example.com", "*example.com", "*.", "https://example.com",
		"example.com/path", "user@example.com", "example.com?q=1", "example.com#f", "EXAMPLE.com", "example.com.", "exa mple.com",
		"a..b", ".a.b", strings.Repeat("a.", 130) + "b", "[::1", "[::1%eth0]", "[0:0::1]", "[127.0.0.1]", "[x]",
	}
	quoted := []string{`"ok.example.com"`}
	for _, h := range bad {
		quoted = append(quoted, fmt.Sprintf("%q", h))
	}
	_, err := parse("[roles.r]\nhttp = [ { hosts = ["+strings.Join(quoted, ", ")+"] } ]", "/x.toml", Overrides{})
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != len(bad) {
		t.Fatalf("%d patterns refused, want %d: %v", len(e.Problems), len(bad), err)
	}
	for i, h := range bad {
		if !strings.Contains(e.Problems[i], fmt.Sprintf("host %q", h)) {
			t.Errorf("%q does not name %q", e.Problems[i], h)
		}
	}
}

// setting is a role with a skill a that is told something.
func setting(pair string) string {
	return "[roles.r]\nskills = ['a']\nsettings = { a = { " + pair + " } }"
}

func TestSettings(t *testing.T) {
	clean(t)
	c := load(t, "[roles.r]\nskills = ['a', 'b']\nsettings = { a = { units = 'metric', where = 'São Paulo' }, assistant = { x_1 = '' } }\n")
	want := map[host.SkillName]wire.Settings{"a": {"units": "metric", "where": "São Paulo"}, "assistant": {"x_1": ""}}
	if got := c.Roles["r"].Settings; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLiteralKeysAreRefusedAndNotRepeated(t *testing.T) {
	clean(t)
	for _, text := range []string{
		"[providers.anthropic]\napi_key = 'sk-ant-hunter2'",
		"[providers.anthropic]\napi_key = { value = 'sk-ant-hunter2' }",
		"[providers.anthropic]\napi_key = sk-ant-hunter2",
		"[providers.anthropic]\napi_key = 'sk-ant-hunter2",
		"[secrets]\nx = 'sk-ant-hunter2'",
		"[secrets.x]\nvalue = 'sk-ant-hunter2'",
		setting("brave_key = 'hunter2'"), setting("api_token = 'hunter2'"), setting("x = 'sk-ant-hunter2'"),
		setting("url = 'https://me:hunter2@searx.example'"),
	} {
		_, err := parse(text, "/x.toml", Overrides{})
		if !errors.Is(err, host.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if c, err := parse("[providers.anthropic]\napi_key = 'proxy-managed'", "/x.toml", Overrides{}); err != nil ||
		!c.Providers["anthropic"].APIKey.Managed {
		t.Errorf("proxy-managed: %v", err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	clean(t)
	_, err := parse("[engine]\npids = 1\n[roles.a]\ndelegates = ['x']\nhttp = [ { hosts = ['*'] } ]\nskils = []\n[secrets]\ns = 'x'\n", "/x.toml", Overrides{})
	got := strings.Split(fmt.Sprint(err), "\n")
	for i, want := range []string{
		"/x.toml has 5 problems:", "  line 2: engine.pids: must be from 16", `  line 4: roles.a.delegates: there is no role "x"`,
		`  line 5: roles.a.http[0].hosts: host "*": `, `  line 6: roles.a.skils: unknown key`, "  line 8: secrets.s: a key itself",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("got  %v\nwant %s…", err, want)
		}
	}
}

func TestFilesThatAreNone(t *testing.T) {
	home := clean(t)
	big := write(t, filepath.Join(home, "big.toml"), strings.Repeat("# x\n", maxFile/4+1))
	for path, want := range map[string]string{big: "larger than", home: "regular file", filepath.Join(home, "no"): "no such file"} {
		if _, err := Load(path, Overrides{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestBombs: nothing that fits the size cap takes long or much stack.
func TestBombs(t *testing.T) {
	clean(t)
	deep := maxFile/2 - 16
	for name, text := range map[string]string{
		"arrays":       "a = " + strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"array lines":  "a = [\n" + strings.Repeat("[\n", deep/2) + strings.Repeat("]\n", deep/2) + "]",
		"tables":       "a = " + strings.Repeat("{a=", 40_000) + "1" + strings.Repeat("}", 40_000),
		"dotted key":   strings.Repeat("a.", deep) + "a = 1",
		"dotted table": "[" + strings.Repeat("a.", deep) + "a]",
		"spaced key":   strings.Repeat("a . ", deep/2) + "a = 1",
		"long key":     strings.Repeat("a", maxFile-8) + " = 1",
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, err := parse(text, "/x.toml", Overrides{}); !errors.Is(err, host.ErrInvalid) {
				t.Errorf("accepted: %v", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

func shipped(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../nanoclaw.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestShippedFile(t *testing.T) {
	clean(t)
	c, err := Load("../../nanoclaw.toml", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Examine(); len(r.Problems)+len(r.Warnings) > 0 {
		t.Errorf("%q %q", r.Problems, r.Warnings)
	}
	if !c.Roles["web"].PublicWeb || !slices.Equal(c.Roles["main"].Skills, []host.SkillName{"notes", "time", "calc", "files", "todo", "calendar", "pdf", "schedule", "memory", "history"}) || !c.Roles["main"].Tasks {
		t.Errorf("roles %+v %+v", c.Roles["main"], c.Roles["web"])
	}
	if len(c.Routes) != 1 || c.Routes[0].Role != "main" || c.Routes[0].Channel != "console" {
		t.Errorf("routes %+v", c.Routes)
	}
}

// TestShippedFileIsComplete: every setting stands in it, commented out or not.
func TestShippedFileIsComplete(t *testing.T) {
	text := shipped(t)
	for _, key := range settings(reflect.TypeFor[file]()) {
		if !regexp.MustCompile(`(?m)^(# )?(.*[{ ])?` + key + ` = `).MatchString(text) {
			t.Errorf("%s is not in the shipped nanoclaw.toml", key)
		}
	}
}

// settings are the last parts of all keys that hold no table.
func settings(typ reflect.Type) (out []string) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Map || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return nil
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		below := settings(f.Type)
		if key := f.Tag.Get("toml"); key != "" && len(below) == 0 {
			below = []string{key}
		}
		out = append(out, below...)
	}
	return out
}

// TestShippedDefaultsAreTrue: the commented settings of the tables that are there change nothing.
func TestShippedDefaultsAreTrue(t *testing.T) {
	clean(t)
	var on strings.Builder
	seen := 0
	for _, part := range regexp.MustCompile(`(?m)^\[`).Split(shipped(t), -1) {
		name, _, _ := strings.Cut(part, "]")
		if !slices.Contains([]string{"assistant", "model", "store", "skills", "engine", "network"}, name) {
			continue
		}
		on.WriteString("[" + name + "]\n")
		for _, m := range regexp.MustCompile(`(?m)^(?:# )?([a-z_]+ = .*)$`).FindAllStringSubmatch(part, -1) {
			if strings.HasPrefix(m[1], "provider = \"anthropic\"") { // the example of [models.small] follows
				break
			}
			on.WriteString(m[1] + "\n")
			seen++
		}
	}
	got, err := parse(on.String(), "/x.toml", Overrides{})
	if err != nil {
		t.Fatalf("%v in\n%s", err, on.String())
	}
	want, err := parse("", "/x.toml", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 15 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d settings\n got %+v\nwant %+v", seen, got, want)
	}
}

// FuzzParse: whatever the file, an answer or an *Error, and no secret in it.
func FuzzParse(f *testing.F) {
	f.Add("[roles.main]\nprompt = \"\"\"\na\n\"\"\"\nskills = ['a']\nllm = { daily_tokens = 1 }\n[models.x]\nprovider = 'auto'")
	f.Add("[roles.a]\nhttp=[{hosts=['*.a.b'],headers={X={secret='s'}}}]\nmodel.local_only=true\n[[routes]]\nchannel='x'")
	f.Add("[engine]\nmemory='1KiB'\nspare_idle='1h'\ncpus=inf\n[secrets.x]\ncommand=['a']")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxFile {
			return
		}
		c, err := parse(text, "/nowhere/x.toml", Overrides{})
		var e *Error
		switch {
		case err != nil && (!errors.As(err, &e) || len(e.Problems) == 0):
			t.Errorf("error %v", err)
		case err == nil:
			c.Examine()
		}
	})
}

// TestReadmesOfSkills: what they say to copy into nanoclaw.toml is valid as it stands.
func TestReadmesOfSkills(t *testing.T) {
	home := clean(t)
	files, err := filepath.Glob("../../skills/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(m[1], "abi = ") {
				continue
			}
			for _, p := range regexp.MustCompile(`path = "~/([a-z/]+)"`).FindAllStringSubmatch(m[1], -1) {
				if err := os.MkdirAll(filepath.Join(home, p[1]), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			seen++
			if _, err := parse(m[1], f, Overrides{}); err != nil {
				t.Error(err)
			}
		}
	}
	if seen < 4 {
		t.Errorf("%d examples, want that of each skill that takes a grant", seen)
	}
}
