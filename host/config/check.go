package config

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a time zone is checked the same on every machine

	"github.com/nanoclaw/nanoclaw/host"
)

// None is engine.runtime without containers.
const None = "none"

var (
	roleName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	skillName   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	entryName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	runtimeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// builder makes a Config of a decoded file.
type builder struct {
	*decoder
	dir     string // of the file
	flags   Overrides
	guarded []string        // files that decide what NanoClaw does
	allowed []string        // directories that mounts must be in
	silent  map[string]bool // paths with a problem already: what is missing there was written wrongly
}

func (b *builder) fail(path, format string, args ...any) {
	if !b.silent[path] {
		b.decoder.fail(path, format, args...)
	}
}

func (b *builder) build(c *Config, f *file) {
	b.places(c, f)
	c.Assistant = b.assistant(f.Assistant)
	c.KeepMessages = time.Duration(f.Store.KeepMessages) * 24 * time.Hour
	c.Engine = b.engine(f.Engine)
	c.Network = Network{Proxy: b.proxy(f.Network.Proxy), CA: b.authority()}
	c.WhatsApp = WhatsApp(f.Channels.WhatsApp)
	for _, n := range c.WhatsApp.Owners {
		if digits, ok := strings.CutPrefix(n, "+"); !ok || len(digits) < 7 || strings.Trim(digits, "0123456789") != "" {
			b.fail("channels.whatsapp.owners", `%q: write a number as "+", country code and digits, nothing else`, n)
		}
	}
	c.Secrets = make(map[string]host.SecretSource)
	for _, name := range slices.Sorted(maps.Keys(f.Secrets)) {
		b.named(entryName, "secrets", name)
		c.Secrets[name] = b.source(c, "secrets."+name, f.Secrets[name])
	}
	b.models(c, f)
	b.mountRules(c, f)
	b.roles(c, f)
	c.Routes = b.routes(c, f.Routes)
}

// named checks the NAME of a [table.NAME].
func (b *builder) named(rule *regexp.Regexp, table, name string) {
	if !rule.MatchString(name) || len(name) > 64 {
		b.fail(table+"."+name, "%q is no name for this: letters, digits and hyphens, at most 64", name)
	}
}

func (b *builder) places(c *Config, f *file) {
	written := f.StateDir
	if written == "" && b.sandboxed() && (b.flags.Sandboxed || os.Getenv("NANOCLAW_STATE") == "") {
		written = "state" // in the workspace
	}
	if written != "" {
		written = b.path(written)
	}
	var err error
	if c.StateDir, err = stateDir(b.flags.StateDir, written); err != nil {
		b.fail("state_dir", "%v", err)
	}
	if strings.TrimSpace(f.Skills.Dir) == "" {
		b.fail("skills.dir", "must be a directory")
	}
	c.SkillsDir = b.path(f.Skills.Dir)
}

// path makes a written path absolute: "~" is home, relative is beside the file.
func (b *builder) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~"); ok && (rest == "" || rest[0] == '/') {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(b.dir, p)
}

func (b *builder) assistant(t assistantTable) Assistant {
	if strings.TrimSpace(t.Name) == "" || len(t.Name) > 64 {
		b.fail("assistant.name", "must be a name of at most 64 bytes")
	}
	if t.Timezone == "Local" {
		t.Timezone = localZone()
	}
	if _, err := time.LoadLocation(t.Timezone); err != nil || t.Timezone == "" || t.Timezone == "Local" {
		b.fail("assistant.timezone", `%q is no time zone; write "Local", or a name such as "Europe/Berlin"`, t.Timezone)
	}
	if d := time.Duration(t.StaleAfter); d != 0 && (d < time.Minute || d > 8760*time.Hour) {
		b.fail("assistant.stale_after", "must be from 1m to 8760h, or 0s for messages of any age")
	}
	return Assistant{Name: t.Name, Timezone: t.Timezone, StaleAfter: time.Duration(t.StaleAfter)}
}

// localZone is the IANA name of this machine's time zone, which agents cannot find out for
// themselves. "UTC" when it has none.
func localZone() string {
	names := []string{strings.TrimPrefix(os.Getenv("TZ"), ":")}
	if link, err := filepath.EvalSymlinks("/etc/localtime"); err == nil {
		_, name, _ := strings.Cut(link, "/zoneinfo/")
		names = append(names, name)
	}
	if text, err := readFile("/etc/timezone"); err == nil {
		names = append(names, strings.TrimSpace(text))
	}
	for _, name := range names {
		if _, err := time.LoadLocation(name); err == nil && name != "" && name != "Local" {
			return name
		}
	}
	return "UTC"
}

func (b *builder) engine(t engineTable) Engine {
	if b.flags.Runtime != "" {
		t.Runtime = b.flags.Runtime
	}
	if !runtimeName.MatchString(t.Runtime) {
		b.fail("engine.runtime", `%q is no runtime; write "runc", "runsc" or another OCI runtime, or "none"`, t.Runtime)
	}
	for key, n := range map[string]int{
		"max_agents": t.MaxAgents, "max_delegates": t.MaxDelegates, "max_spares": t.MaxSpares + 1,
	} {
		if n < 1 || n > 1000 {
			b.fail("engine."+key, "must be at least 1 (max_spares: 0) and at most 1000")
		}
	}
	if t.SpareIdle < 0 || time.Duration(t.SpareIdle) > 24*time.Hour {
		b.fail("engine.spare_idle", "must be from 0s to 24h")
	}
	return Engine{
		Runtime: t.Runtime, RequireSandbox: t.RequireSandbox,
		MaxAgents: t.MaxAgents, MaxDelegates: t.MaxDelegates, MaxSpares: t.MaxSpares,
		SpareIdle: time.Duration(t.SpareIdle), Limits: b.limits("engine", t.limitKeys, DefaultLimits()),
	}
}

// limits is base with what t says.
func (b *builder) limits(path string, t limitKeys, base host.Limits) host.Limits {
	within := func(key string, ok bool, rule string) bool {
		if !ok {
			b.fail(path+"."+key, "must be %s", rule)
		}
		return ok
	}
	if m := t.Memory; m != nil && within("memory", *m >= 16<<20 && *m <= 1<<40, "from 16MiB to 1024GiB") {
		base.Memory = int64(*m)
	}
	if n := t.CPUs; n != nil && within("cpus", *n >= 0.01 && *n <= 1024 && !math.IsNaN(*n), "from 0.01 to 1024") {
		base.CPUs = *n
	}
	if n := t.PIDs; n != nil && within("pids", *n >= 16 && *n <= 1<<20, "from 16 to 1048576") {
		base.PIDs = *n
	}
	if d := t.TurnTimeout; d != nil &&
		within("turn_timeout", *d >= duration(time.Second) && *d <= duration(24*time.Hour), "from 1s to 24h") {
		base.TurnTimeout = time.Duration(*d)
	}
	if z := t.Workspace; z != nil && within("workspace", *z >= 0 && *z <= 1<<50, "at most 1048576GiB") {
		base.Workspace.Bytes = int64(*z)
	}
	if n := t.WorkspaceFiles; n != nil && within("workspace_files", *n >= 0, "0 or more") {
		base.Workspace.Files = *n
	}
	return base
}

// sandboxed reports whether a Docker Sandbox is around the host. In it the workspace, which alone is shared
// with the machine outside, is the directory of the configuration.
func (b *builder) sandboxed() bool { return b.flags.Sandboxed || host.InSandbox() }

// authority is that of the proxy around a Docker Sandbox.
func (b *builder) authority() string {
	text := os.Getenv("PROXY_CA_CERT_B64")
	if !host.InSandbox() || text == "" {
		return ""
	}
	pem, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		b.fail("network", "$PROXY_CA_CERT_B64 is no certificate in base64, as this sandbox should set it: create it again")
	}
	return string(pem)
}

func (b *builder) proxy(p string) string {
	if b.sandboxed() && b.lines["network.proxy"] == 0 {
		return "env" // there is no other way out of a sandbox
	}
	switch p {
	case "none":
		return p
	case "env":
		if !b.sandboxed() {
			b.fail("network.proxy", `"env" is for a Docker Sandbox, and this is none; write the proxy's URL instead`)
		}
		return p
	}
	u, err := url.Parse(p)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) || u.User != nil {
		b.fail("network.proxy", `must be "none", "env", or an http, https or socks5 URL without a password`)
	}
	return p
}

// source checks where a secret is; not whether it is there, which the first use tells.
func (b *builder) source(c *Config, path string, s source) host.SecretSource {
	if s.Secret != "" && strings.HasSuffix(path, ".api_key") && s.Env+s.File == "" && s.Command == nil {
		return c.Secrets[b.secret(c, path+".secret", s.Secret)]
	}
	said := 0
	for _, is := range []bool{s.Env != "", s.File != "", len(s.Command) > 0, s.managed} {
		if is {
			said++
		}
	}
	if said != 1 || s.Secret != "" {
		b.fail(path, "must have exactly one of env, file and command")
	}
	if strings.ContainsAny(s.Env, "= \x00") {
		b.fail(path, "env must be the name of a variable")
	}
	if s.File != "" {
		s.File = b.path(s.File)
		b.guarded = append(b.guarded, s.File)
	}
	if len(s.Command) > 0 {
		if strings.TrimSpace(s.Command[0]) == "" {
			b.fail(path, "command must begin with a program")
		}
		program, _ := exec.LookPath(s.Command[0]) // not there: nothing to guard yet
		b.guarded = append(b.guarded, program)
	}
	return s.host()
}

// secret checks the name of a secret where it is used. One without a [secrets.NAME] is a credential
// of systemd, or stored: it may be stored later.
func (b *builder) secret(c *Config, path, name string) string {
	if err := host.CheckSecretName(name); err != nil {
		b.fail(path, "%v", err)
	}
	if _, ok := c.Secrets[name]; !ok {
		c.Secrets[name] = host.SecretSource{File: host.SecretFile(c.StateDir, name)}
		given := filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), name)
		if _, err := os.Stat(given); err == nil && filepath.IsAbs(given) {
			c.Secrets[name] = host.SecretSource{File: given}
		}
	}
	return name
}

// noRole says that there is no such role, and which come near.
func (b *builder) noRole(c *Config, name string) string {
	var known []string
	for n := range c.Roles {
		known = append(known, string(n))
	}
	slices.Sort(known)
	if len(known) == 0 {
		return fmt.Sprintf("there is no role %q, nor any other", name)
	}
	return fmt.Sprintf("there is no role %q; the nearest one is %q", name, nearest(name, known))
}
