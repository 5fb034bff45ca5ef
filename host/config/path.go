package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// graph is every role with its own legs, and where data of each may come to.
type graph struct {
	names []host.RoleName
	own   map[host.RoleName]*Reach
	from  map[host.RoleName]tree
}

// graph walks everything on which data goes between roles.
func (c *Config) graph() *graph {
	g := &graph{slices.Sorted(maps.Keys(c.Roles)), make(map[host.RoleName]*Reach), make(map[host.RoleName]tree)}
	next := make(map[host.RoleName][]step)
	for _, n := range g.names {
		g.own[n], next[n] = c.own(c.Roles[n]), c.flows(g.names, n)
	}
	for _, n := range g.names {
		g.from[n] = grow(n, next)
	}
	return g
}

// step is a way on which data goes to a role: through a directory, or, without one, by delegation.
type step struct {
	role host.RoleName
	dir  string
}

// tree is the shortest ways from one role to all that its data may come to.
type tree struct {
	order  []host.RoleName        // nearest first
	before map[host.RoleName]step // of each role in order, the step back; of the first, to itself
}

// flows are the roles that data of n goes to at once. A task carries data to the role that is
// asked, and its answer carries data back. What a role writes into a directory goes to every
// role that mounts it, a part of it, or what it is a part of; never back to one that only writes.
func (c *Config) flows(names []host.RoleName, n host.RoleName) (out []step) {
	r := c.Roles[n]
	for _, m := range names {
		o := c.Roles[m]
		if slices.Contains(r.Delegates, m) || slices.Contains(o.Delegates, n) {
			out = append(out, step{role: m})
		}
		for _, w := range r.Mounts {
			if m != n && w.Write && slices.ContainsFunc(o.Mounts, func(x host.Mount) bool {
				return Within(w.Path, x.Path) || Within(x.Path, w.Path)
			}) {
				out = append(out, step{m, w.Path})
			}
		}
	}
	return out
}

// grow searches breadth first.
func grow(n host.RoleName, next map[host.RoleName][]step) tree {
	t := tree{[]host.RoleName{n}, map[host.RoleName]step{n: {role: n}}}
	for i := 0; i < len(t.order); i++ {
		for _, s := range next[t.order[i]] {
			if _, seen := t.before[s.role]; !seen {
				t.order = append(t.order, s.role)
				t.before[s.role] = step{t.order[i], s.dir}
			}
		}
	}
	return t
}

// way is the shortest way to role n, nil when there is none: roles, and directories between them.
func (t tree) way(n host.RoleName) (out []string) {
	s, ok := t.before[n]
	for ; ok && n != s.role; n, s = s.role, t.before[s.role] {
		if out = append(out, string(n)); s.dir != "" {
			out = append(out, s.dir)
		}
	}
	if ok {
		out = append(out, string(n))
	}
	slices.Reverse(out)
	return out
}

// leak says how private data of role n can get to whoever tricks the model: the shortest way
// to a role that can send outward and that untrusted content comes to. "" when there is none.
func (g *graph) leak(n host.RoleName) string {
	if len(g.own[n].Private) == 0 {
		return ""
	}
	for _, out := range g.from[n].order {
		in := g.nearest(out, func(r Reach) []Cause { return r.Untrusted })
		if len(g.own[out].Outward) > 0 && in != "" {
			return fmt.Sprintf("private data of role %s can leak to whoever tricks the model: %s; untrusted content comes in "+
				"by %s; keep them apart, or write accept_risk = \"why\" in [roles.%[1]s]",
				n, tell(g.from[n].way(out), g.own[n].Private, g.own[out].Outward), in)
		}
	}
	return ""
}

// nearest tells the shortest way to role n from one that has a leg of its own; "" without any.
func (g *graph) nearest(n host.RoleName, leg func(Reach) []Cause) string {
	var best []string
	var causes []Cause
	for _, m := range g.names {
		way, has := g.from[m].way(n), leg(*g.own[m])
		if len(has) > 0 && way != nil && (best == nil || len(way) < len(best)) {
			best, causes = way, has
		}
	}
	if best == nil {
		return ""
	}
	return tell(best, causes, nil)
}

// tell writes a way, with why it begins and why it ends.
func tell(way []string, first, last []Cause) string {
	if len(way) == 1 {
		first, last = slices.Concat(first, last), nil
	}
	for i, causes := range [][]Cause{first, last} {
		var what []string
		for _, c := range causes {
			what = append(what, c.What)
		}
		if what != nil {
			way[i*(len(way)-1)] += " (" + strings.Join(what, ", ") + ")"
		}
	}
	return strings.Join(way, " → ")
}
