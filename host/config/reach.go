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
	Program    string           `json:"program,omitempty"` // that answers in the place of an agent
	Kept       bool             `json:"kept,omitempty"`    // its container serves more than one turn
	Skills     []host.SkillName `json:"skills"`
	Model      string           `json:"model"`
	SentTo     []string         `json:"sent_to"` // providers on other machines, which get what it reads
	LocalOnly  bool             `json:"local_only"`
	Network    []string         `json:"network"` // empty: none
	Files      []string         `json:"files"`
	Delegates  []host.RoleName  `json:"delegates"`
	Asked      []host.RoleName  `json:"delegated_by"`
	Tasks      bool             `json:"tasks"`
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

// Examine carries the three legs along everything on which data goes from one role to another,
// and applies the rule of the lethal trifecta to what each role comes to hold.
func (c *Config) Examine() Report {
	rep := Report{Roles: []Reach{}, Problems: []string{}, Warnings: []string{}}
	g := c.graph()
	for _, n := range g.names {
		r := *g.own[n]
		r.Private, r.Untrusted, r.Outward = []Cause{}, []Cause{}, []Cause{}
		for _, m := range g.names {
			if _, ok := g.from[m].before[n]; ok {
				r.Private = append(r.Private, g.own[m].Private...)
				r.Untrusted = append(r.Untrusted, g.own[m].Untrusted...)
			}
			if _, ok := g.from[n].before[m]; ok {
				r.Outward = append(r.Outward, g.own[m].Outward...)
			}
			if slices.Contains(c.Roles[m].Delegates, n) {
				r.Asked = append(r.Asked, m)
			}
		}
		rep.Roles = append(rep.Roles, r)
		if leak := g.leak(n); leak != "" && r.AcceptRisk == "" {
			rep.Problems = append(rep.Problems, leak)
		}
		rep.Warnings = append(rep.Warnings, c.warnings(g, n)...)
	}
	if len(g.names) == 0 {
		rep.Problems = append(rep.Problems, "there is no role, so nobody answers; add [roles.main]")
	}
	return rep
}

// own is what a role has without the others.
func (c *Config) own(r *host.Role) *Reach {
	out := &Reach{
		Role: r.Name, About: r.Description, Agent: r.Brain, Skills: some(r.Skills), Delegates: some(r.Delegates),
		Model: c.modelOf(r), SentTo: c.away(r), LocalOnly: r.LocalOnly, Tasks: r.Tasks,
		AcceptRisk: r.AcceptRisk, Asked: []host.RoleName{}, Network: []string{}, Chats: []string{},
		Private: []Cause{}, Untrusted: []Cause{}, Outward: []Cause{},
		Files: []string{fmt.Sprintf("its own workspace, at most %d MiB", r.Limits.Workspace.Bytes>>20)},
	}
	if e := r.Exec; e != nil {
		out.Program = fmt.Sprintf("%s, of image %s", strings.Join(e.Command, " "), e.Image)
		if e.Bypass {
			out.Program += ", which may do anything in its container"
		}
		if out.Kept = e.Keep; e.Keep {
			out.Program += "; lifetime = \"conversation\" keeps its container from turn to turn"
		}
		out.Files[0] = "its own workspace, whose size is not bounded for a program"
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
		if t.Others { // they write into its turns, and read its answers
			out.Untrusted = append(out.Untrusted, Cause{r.Name, "messages of others in " + string(t.Chat)})
			out.Outward = append(out.Outward, Cause{r.Name, "answers in " + string(t.Chat)})
		}
		if len(t.Senders) > 0 { // messages of anybody else never reach an agent
			who := strings.ReplaceAll(strings.Join(t.Senders, " "), "*", "anyone")
			out.Untrusted = append(out.Untrusted, Cause{r.Name, "messages of " + who})
			out.Outward = append(out.Outward, Cause{r.Name, "answers to " + who})
		}
	}
	for _, g := range r.Messages {
		to, how := g.Channel+" "+string(g.Chat), ""
		if g.Ask {
			how = ", asking you each time"
		}
		out.Chats = append(out.Chats, "sends to "+to+how)
		if g.Channel != console {
			out.Outward = append(out.Outward, Cause{r.Name, "messages to " + to})
		}
	}
	if r.Chats { // whoever writes to a chat can give it a name
		out.Chats = append(out.Chats, "knows the names of all chats, and may propose you routes")
		out.Untrusted = append(out.Untrusted, Cause{r.Name, "names of chats"})
	}
	return out
}

// warnings are about role n.
func (c *Config) warnings(g *graph, n host.RoleName) (out []string) {
	r := c.Roles[n]
	if n == "main" && (r.PublicWeb || len(r.HTTP) > 0 || len(r.Mounts) > 0) {
		out = append(out, "role main orchestrates and sees every answer: give its http, public_web and mounts to other roles")
	}
	if private := g.nearest(n, func(r Reach) []Cause { return r.Private }); private != "" && len(g.own[n].SentTo) > 0 {
		out = append(out, fmt.Sprintf("private data is sent to the model of role %s, at %s: %s; model.local_only = true in "+
			"[roles.%[1]s] keeps it on this machine", n, strings.Join(g.own[n].SentTo, " and "), private))
	}
	holds := len(g.own[n].Private) > 0
	if i := slices.IndexFunc(r.HTTP, func(g host.HTTPGrant) bool { return g.Private }); i >= 0 && !holds {
		out = append(out, fmt.Sprintf("role %s reaches private addresses (%s): if what answers there is private, write "+
			"sensitive = true in [roles.%[1]s]", n, strings.Join(r.HTTP[i].Hosts, " ")))
	}
	if r.AcceptRisk != "" && !holds {
		out = append(out, fmt.Sprintf("accept_risk in [roles.%s] says nothing: it is for roles with private data", n))
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
	s += map[host.Engage]string{
		host.EngageTrigger: ", when a message begins with " + t.Trigger,
		host.EngageMention: ", when a message mentions " + t.Trigger,
		host.EngageReply:   ", when a message mentions " + t.Trigger + " or answers it",
	}[t.Engage]
	if len(t.Senders) > 0 {
		s += ", from the owner and " + strings.Join(t.Senders, " ")
	}
	if t.Others {
		s += ", with what others say as context"
	}
	return s
}

// some is s, never nil, for JSON.
func some[T any](s []T) []T { return append([]T{}, s...) }
