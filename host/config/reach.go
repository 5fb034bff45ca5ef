package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// Report says what every role can reach, alone and through the roles it works with.
type Report struct {
	Roles    []Reach  `json:"roles"`    // by name
	Problems []string `json:"problems"` // one sentence each; any of them makes the check fail
	Warnings []string `json:"warnings"`
}

// Reach is one role. Sentences are for people; Private, Untrusted and Outward are the three
// legs of the lethal trifecta, those of the roles it works with included.
type Reach struct {
	Role       host.RoleName    `json:"role"`
	About      string           `json:"description"`
	Agent      host.SkillName   `json:"agent"`
	Skills     []host.SkillName `json:"skills"`
	Model      string           `json:"model"`
	Network    []string         `json:"network"` // empty: none
	Files      []string         `json:"files"`
	Delegates  []host.RoleName  `json:"delegates"`
	Asked      []host.RoleName  `json:"delegated_by"`
	Chats      []string         `json:"chats"`
	Private    []Cause          `json:"private"`
	Untrusted  []Cause          `json:"untrusted"`
	Outward    []Cause          `json:"outward"`
	AcceptRisk string           `json:"accept_risk,omitempty"`
}

// Cause is why a role holds private data, reads untrusted content or sends outward.
type Cause struct {
	Role host.RoleName `json:"role"` // whose grant it is
	What string        `json:"what"`
}

func (c Cause) String() string { return fmt.Sprintf("%s (%s)", c.Role, c.What) }

// Examine walks the delegation graph. What one role holds or reads, the roles it works with
// may come to hold or read: a task carries data one way and its answer the other. So the
// three legs are those of everything connected, in both directions.
func (c *Config) Examine() Report {
	rep := Report{Roles: []Reach{}, Problems: []string{}, Warnings: []string{}}
	names := slices.Sorted(maps.Keys(c.Roles))
	reach := make(map[host.RoleName]*Reach)
	for _, n := range names {
		reach[n] = c.own(c.Roles[n])
	}
	for _, n := range names {
		for _, d := range c.Roles[n].Delegates {
			reach[d].Asked = append(reach[d].Asked, n)
		}
	}
	seen := make(map[host.RoleName]bool)
	for _, n := range names {
		if group := connected(reach, n); !seen[n] {
			for _, g := range group {
				seen[g] = true
			}
			rep.Problems = append(rep.Problems, c.carry(reach, group)...)
		}
	}
	for _, n := range names {
		rep.Roles = append(rep.Roles, *reach[n])
	}
	rep.Warnings = append(rep.Warnings, c.warnings()...)
	if len(names) == 0 {
		rep.Problems = append(rep.Problems, "there is no role, so nobody answers; add [roles.main]")
	}
	return rep
}

// connected lists n and every role that delegation leads to, either way.
func connected(reach map[host.RoleName]*Reach, n host.RoleName) []host.RoleName {
	group := []host.RoleName{n}
	for i := 0; i < len(group); i++ {
		for _, next := range append(slices.Clone(reach[group[i]].Delegates), reach[group[i]].Asked...) {
			if !slices.Contains(group, next) {
				group = append(group, next)
			}
		}
	}
	slices.Sort(group)
	return group
}

// carry gives every role of a group what the others bring, and applies the rule of the lethal
// trifecta. The risk is accepted by the roles whose private data it is: their owner's loss.
func (c *Config) carry(reach map[host.RoleName]*Reach, group []host.RoleName) []string {
	var private, untrusted, outward []Cause
	for _, n := range group {
		private = append(private, reach[n].Private...)
		untrusted = append(untrusted, reach[n].Untrusted...)
		outward = append(outward, reach[n].Outward...)
	}
	var refuse []string
	for _, n := range group {
		r := reach[n]
		if len(r.Private) > 0 && r.AcceptRisk == "" {
			refuse = append(refuse, string(n))
		}
		r.Private, r.Untrusted, r.Outward = private, untrusted, outward
	}
	if len(refuse) == 0 || len(untrusted) == 0 || len(outward) == 0 {
		return nil
	}
	who := "role " + string(group[0]) + " by itself"
	if len(group) > 1 {
		who = fmt.Sprintf("roles %s, which work together,", list(group))
	}
	return []string{fmt.Sprintf("%s can leak private data to whoever tricks the model: private data: %s; "+
		"untrusted content: %s; a way out: %s; keep them apart, or write accept_risk = \"why\" in %s",
		who, list(private), list(untrusted), list(outward), strings.Join(refuse, " and "))}
}

// own is what a role has without the others.
func (c *Config) own(r *host.Role) *Reach {
	out := &Reach{
		Role: r.Name, About: r.Description, Agent: r.Brain, Skills: some(r.Skills), Delegates: some(r.Delegates),
		Model: c.modelOf(r), AcceptRisk: r.AcceptRisk, Asked: []host.RoleName{}, Network: []string{}, Chats: []string{},
		Private: []Cause{}, Untrusted: []Cause{}, Outward: []Cause{},
		Files: []string{fmt.Sprintf("its own workspace, at most %d MiB", r.Limits.Workspace.Bytes>>20)},
	}
	if r.PublicWeb {
		web := "GET and HEAD of any public address, without credentials"
		if r.AskWeb {
			web += ", asking you each time"
		}
		out.Network = append(out.Network, web)
		out.Untrusted = append(out.Untrusted, Cause{r.Name, "public_web"})
		out.Outward = append(out.Outward, Cause{r.Name, "public_web"})
	}
	for _, g := range r.HTTP {
		out.Network = append(out.Network, grant(g))
		what := "http " + strings.Join(g.Hosts, " ")
		out.Untrusted = append(out.Untrusted, Cause{r.Name, "answers of " + what})
		out.Outward = append(out.Outward, Cause{r.Name, what})
	}
	for _, m := range r.Mounts {
		mode := "read only"
		if m.Write {
			mode = "read and write"
		}
		out.Files = append(out.Files, fmt.Sprintf("%s as /mnt/%s, %s", m.Path, m.Name, mode))
		out.Private = append(out.Private, Cause{r.Name, "mount " + m.Path})
	}
	if r.MemoryFrom != "" {
		out.Files = append(out.Files, "the memory of role "+string(r.MemoryFrom)+", read only")
		out.Private = append(out.Private, Cause{r.Name, "memory of role " + string(r.MemoryFrom)})
	}
	if r.Sensitive {
		out.Private = append(out.Private, Cause{r.Name, "sensitive"})
	}
	for _, t := range c.Routes {
		if t.Role != r.Name {
			continue
		}
		out.Chats = append(out.Chats, chat(t))
		if len(t.Senders) > 0 {
			out.Untrusted = append(out.Untrusted, Cause{r.Name, "messages of " + strings.Join(t.Senders, " ")})
		}
	}
	return out
}

func (c *Config) warnings() (out []string) {
	if r := c.Roles["main"]; r != nil && (r.PublicWeb || len(r.HTTP) > 0 || len(r.Mounts) > 0) {
		out = append(out, "role main orchestrates and sees every answer: give its http, public_web and mounts to other roles")
	}
	return out
}

func grant(g host.HTTPGrant) string {
	verbs, where := "GET and HEAD", " any path"
	if len(g.Methods) > 0 {
		verbs = strings.Join(g.Methods, " ")
	}
	if len(g.Paths) > 0 {
		where = " paths " + strings.Join(g.Paths, " ")
	}
	s := fmt.Sprintf("%s of %s://%s", verbs, g.Scheme, strings.Join(g.Hosts, " "))
	if g.Port != 0 {
		s += fmt.Sprintf(" port %d", g.Port)
	}
	s += "," + where
	for _, name := range slices.Sorted(maps.Keys(g.Headers)) {
		s += fmt.Sprintf(", with secret %s as %s", g.Headers[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(g.Query)) {
		s += fmt.Sprintf(", with secret %s as parameter %s", g.Query[name], name)
	}
	if g.Bearer+g.Basic.Secret != "" {
		s += fmt.Sprintf(", with secret %s as Authorization", g.Bearer+g.Basic.Secret)
	}
	for _, name := range host.Placeholders(where) {
		s += fmt.Sprintf(", with secret %s in the path", name)
	}
	if g.Private {
		s += ", private addresses too"
	}
	if g.Ask {
		s += ", asking you each time"
	}
	return s
}

func chat(t host.Route) string {
	s := t.Channel + " " + string(t.Chat)
	if t.Trigger != "" {
		s += ", when a message begins with " + t.Trigger
	}
	if len(t.Senders) > 0 {
		s += ", from the owner and " + strings.Join(t.Senders, " ")
	}
	return s
}

// some is s, never nil, for JSON.
func some[T any](s []T) []T { return append([]T{}, s...) }

// list joins with commas.
func list[T any](items []T) string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = fmt.Sprint(it)
	}
	return strings.Join(out, ", ")
}
