package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/nanoclaw/nanoclaw/host"
)

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// notSet are headers that belong to the connection: a grant must not set them.
var notSet = []string{
	"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Te", "Trailer", "Keep-Alive",
	"Proxy-Authorization",
}

func (b *builder) roles(c *Config, f *file) {
	c.Roles = make(map[host.RoleName]*host.Role)
	names := slices.Sorted(maps.Keys(f.Roles))
	for _, name := range names {
		b.named(roleName, "roles", name)
		c.Roles[host.RoleName(name)] = b.role(c, name, f.Roles[name])
	}
	b.apart(c, f)
	for _, name := range names {
		b.delegates(c, c.Roles[host.RoleName(name)])
		if from := c.Roles[host.RoleName(name)].MemoryFrom; from != "" && c.Roles[from] == nil || string(from) == name {
			b.fail("roles."+name+".memory_from", "%q is not another role", from)
		}
	}
	for _, cycle := range cycles(names, func(n string) []string { return f.Roles[n].Delegates }) {
		b.fail("roles."+cycle[0]+".delegates", "roles delegate in a circle: %s", strings.Join(cycle, " → "))
	}
}

func (b *builder) role(c *Config, name string, t roleTable) *host.Role {
	at := "roles." + name
	r := &host.Role{
		Name: host.RoleName(name), Description: t.Description, Prompt: b.prompt(at, t), Brain: "assistant",
		PublicWeb: t.PublicWeb.on, AskWeb: t.PublicWeb.ask, AskWait: defaultAskWait, Runtime: t.Runtime,
		Tasks: t.Tasks, MemoryFrom: host.RoleName(t.MemoryFrom), Sensitive: t.Sensitive,
		AcceptRisk: strings.TrimSpace(t.AcceptRisk),
		Model:      t.Model.Name, LocalOnly: t.Model.LocalOnly, Limits: b.limits(at, t.limitKeys, c.Engine.Limits),
	}
	if t.Agent != "" {
		r.Brain = host.SkillName(t.Agent)
		b.skill(at+".agent", t.Agent)
	}
	b.exec(c, at, r, t)
	for _, s := range t.Skills {
		b.skill(at+".skills", s)
		if host.SkillName(s) == r.Brain || slices.Contains(r.Skills, host.SkillName(s)) {
			b.fail(at+".skills", "%q is there twice, or is the role's agent already", s)
		}
		r.Skills = append(r.Skills, host.SkillName(s))
	}
	b.settings(at+".settings", r, t.Settings)
	for _, d := range t.Delegates {
		r.Delegates = append(r.Delegates, host.RoleName(d))
	}
	for i, h := range t.HTTP {
		r.HTTP = append(r.HTTP, b.http(c, fmt.Sprintf("%s.http[%d]", at, i), h))
	}
	r.Mounts = b.mounts(c, at, t.Mounts)
	r.Messages, r.Chats = b.messages(at, t.Messages), t.Chats
	b.roleModel(c, at, r)
	b.budget(at, r, t)
	if d := t.AskWait; d != nil {
		if r.AskWait = time.Duration(*d); r.AskWait < 10*time.Second || r.AskWait > 24*time.Hour {
			b.fail(at+".ask_wait", "must be from 10s to 24h")
		}
	}
	if rt := cmp.Or(r.Runtime, c.Engine.Runtime); onGVisor(rt) && r.Limits.PIDs < gVisorPIDs {
		b.fail(at+".pids", "%d processes are too few on gVisor (%s), whose own count too: write %d or more, here or in "+
			"[engine]", r.Limits.PIDs, rt, gVisorPIDs)
	}
	if r.Runtime == None || r.Runtime != "" && !runtimeName.MatchString(r.Runtime) {
		b.fail(at+".runtime", `must be the name of an OCI runtime such as "runsc"; "none" is for [engine] alone`)
	}
	return r
}

// gVisorPIDs is the least that gVisor's own processes leave room in: with fewer it does not start, or
// ends in the middle of a turn.
const gVisorPIDs = 128

func onGVisor(runtime string) bool {
	return strings.Contains(runtime, "runsc") || strings.Contains(strings.ToLower(runtime), "gvisor")
}

func (b *builder) budget(at string, r *host.Role, t roleTable) {
	r.Budget = map[host.Budget]int64{
		host.BudgetRequests: 60, host.BudgetBytesOut: 16 << 20, host.BudgetMessages: 1000,
	}
	for _, said := range []struct {
		key string
		of  host.Budget
		n   *int64
	}{
		{"llm.daily_tokens", host.BudgetTokens, t.LLM.DailyTokens},
		{"budget.requests_per_minute", host.BudgetRequests, t.Budget.RequestsPerMinute},
		{"budget.daily_bytes_out", host.BudgetBytesOut, (*int64)(t.Budget.DailyBytesOut)},
		{"budget.daily_messages", host.BudgetMessages, t.Budget.DailyMessages},
	} {
		if said.n == nil {
			continue
		}
		if r.Budget[said.of] = *said.n; *said.n <= 0 {
			b.fail(at+"."+said.key, "must be more than 0")
		}
	}
}

func (b *builder) skill(at, name string) {
	if !skillName.MatchString(name) || len(name) > 64 {
		b.fail(at, "%q is no name of a skill: lower-case letters, digits and single hyphens", name)
	}
}

func (b *builder) prompt(at string, t roleTable) string {
	if t.PromptFile == "" {
		return t.Prompt
	}
	if t.Prompt != "" {
		b.fail(at+".prompt_file", "there is a prompt already; write one of the two")
	}
	text, err := readFile(b.path(t.PromptFile))
	if err != nil {
		b.fail(at+".prompt_file", "%s: %v", b.path(t.PromptFile), reason(err))
	}
	return text
}

func (b *builder) delegates(c *Config, r *host.Role) {
	at := "roles." + string(r.Name) + ".delegates"
	for i, d := range r.Delegates {
		if c.Roles[d] == nil {
			b.fail(at, "%s", b.noRole(c, string(d)))
		}
		if slices.Contains(r.Delegates[:i], d) {
			b.fail(at, "%q is there twice", d)
		}
	}
}

// cycles finds the circles of a graph, each once, by depth-first search.
func cycles(names []string, next func(string) []string) (out [][]string) {
	const open, done = 1, 2
	state := make(map[string]int)
	var trail []string
	var walk func(string)
	walk = func(n string) {
		if state[n] == done {
			return
		}
		if state[n] == open {
			out = append(out, append(slices.Clone(trail[slices.Index(trail, n):]), n))
			return
		}
		state[n], trail = open, append(trail, n)
		for _, d := range next(n) {
			walk(d)
		}
		state[n], trail = done, trail[:len(trail)-1]
	}
	for _, n := range names {
		walk(n)
	}
	return out
}

func (b *builder) http(c *Config, at string, t httpTable) host.HTTPGrant {
	g := host.HTTPGrant{
		Scheme: "https", Hosts: t.Hosts, Methods: t.Methods, Paths: t.Paths, Private: t.Private, Ask: t.Ask,
		Headers: make(map[string]string),
	}
	if t.Scheme != "" {
		g.Scheme = t.Scheme
	}
	if g.Scheme != "https" && g.Scheme != "http" {
		b.fail(at+".scheme", `must be "https" or "http"`)
	}
	if len(t.Hosts) == 0 {
		b.fail(at, "must list its hosts; only public_web reaches any")
	}
	for _, h := range t.Hosts {
		if err := checkHost(h); err != nil {
			b.fail(at+".hosts", "%v", err)
		}
	}
	if t.Port != nil {
		if g.Port = *t.Port; g.Port < 1 || g.Port > 65535 {
			b.fail(at+".port", "must be from 1 to 65535")
		}
	}
	for _, m := range t.Methods {
		if !slices.Contains(methods, m) {
			b.fail(at+".methods", "%q is none of %s", m, strings.Join(methods, ", "))
		}
	}
	for _, p := range t.Paths {
		clean := path.Clean(p)
		if !path.IsAbs(p) || p != clean && p != clean+"/" || strings.ContainsAny(p, "\\%?#*; \x00") ||
			strings.ContainsAny(host.EscapePlaceholders(p), "{}") {
			b.fail(at+".paths", `%q must be a plain path that begins with "/", such as "/v1/", or "/bot{SECRET}/"`, p)
		}
	}
	b.credentials(c, at, t, &g)
	return g
}

func checkHost(h string) error {
	inner, isLiteral := strings.CutPrefix(h, "[")
	if !isLiteral {
		return host.CheckHostPattern(h)
	}
	inner, closed := strings.CutSuffix(inner, "]")
	ip, err := netip.ParseAddr(inner)
	if err != nil || !closed || !ip.Is6() || ip.Zone() != "" || ip.String() != inner {
		return fmt.Errorf("host %q: an IPv6 address is written [2001:db8::1], in its shortest form", h)
	}
	return nil
}

func (b *builder) header(at, name, secret string, g host.HTTPGrant) {
	key := http.CanonicalHeaderKey(name)
	switch {
	case !httpguts.ValidHeaderFieldName(name) || slices.Contains(notSet, key):
		b.fail(at, "is no header that can be set")
	case secret == "":
		b.fail(at, `must name a secret: { secret = "NAME" }`)
	case g.Headers[key] != "":
		b.fail(at, "is there twice")
	}
	g.Headers[key] = secret
}

// credentials checks what the broker puts into requests of g.
func (b *builder) credentials(c *Config, at string, t httpTable, g *host.HTTPGrant) {
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		b.header(at+".headers."+name, name, t.Headers[name].Secret, *g)
	}
	if len(t.Query) > 0 {
		g.Query = make(map[string]string)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Query)) {
		if g.Query[name] = t.Query[name].Secret; name == "" || g.Query[name] == "" {
			b.fail(at+".query."+name, `must name a secret: NAME_OF_PARAMETER = { secret = "NAME" }`)
		}
	}
	g.Bearer, g.Basic = t.Bearer, host.BasicAuth(t.Basic)
	if (g.Basic.User == "") != (g.Basic.Secret == "") || strings.ContainsRune(g.Basic.User, ':') {
		b.fail(at+".basic", `must say user, without a colon, and secret: { user = "me", secret = "NAME" }`)
	}
	if g.Headers["Authorization"] != "" && g.Bearer+g.Basic.Secret != "" || g.Bearer != "" && g.Basic.Secret != "" {
		b.fail(at, "sets Authorization twice: by headers, bearer or basic")
	}
	far := slices.ContainsFunc(g.Hosts, func(h string) bool { return !loopback(strings.Trim(h, "[]")) })
	for _, name := range g.Secrets() {
		if b.secret(c, at, name); g.Scheme == "http" && far {
			b.fail(at, "would send the secret %s in the clear; use https", name)
		}
	}
}
