package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host"
)

const console = "console" // the owner's own channel: nobody else reads there

var channels = []string{console, "whatsapp"}

func (b *builder) routes(c *Config, tables []routeTable) (out []host.Route) {
	first := make(map[[3]string]int)
	aliases := make(map[string]string)
	for i, t := range tables {
		path := fmt.Sprintf("routes[%d]", i)
		key := [3]string{t.Channel, t.Account, t.Chat}
		if j, twice := first[key]; twice {
			b.fail(path, "the same channel, account and chat as routes[%d]: a chat has one route", j)
		} else {
			first[key] = i
		}
		if role, ok := aliases[t.Agent]; ok && t.Agent != "" && role != t.Role {
			b.fail(path, "agent %q has role %q in another route: one agent has one role", t.Agent, role)
		}
		aliases[t.Agent] = t.Role
		if t.Others != "" && t.Others != "drop" && t.Others != "context" {
			b.fail(path+".others", `must be "drop" or "context"`)
		}
		out = append(out, b.route(c, path, host.Route{
			Channel: t.Channel, Account: t.Account, Chat: host.ChatID(t.Chat), Role: host.RoleName(t.Role),
			Engage: host.Engage(t.Engage), Trigger: t.Trigger, Senders: t.Senders, Others: t.Others == "context", Agent: t.Agent,
		}))
	}
	return out
}

// route checks t and says what it leaves to the defaults.
func (b *builder) route(c *Config, path string, t host.Route) host.Route {
	b.chat(path, t.Channel, string(t.Chat), `must be a chat, or "*" for every chat without a route of its own`)
	if c.Roles[t.Role] == nil {
		b.fail(path+".role", "%s", b.noRole(c, string(t.Role)))
	}
	trimmed := strings.TrimSpace(t.Trigger)
	if t.Trigger != trimmed || len(trimmed) > 64 || strings.ContainsFunc(trimmed, unicode.IsControl) {
		b.fail(path+".trigger", "must be a word or words of at most 64 bytes that do not begin or end with a space")
	}
	switch t.Engage {
	case "":
		t.Engage = host.EngageAlways
		if t.Trigger != "" {
			t.Engage = host.EngageTrigger
		}
	case host.EngageTrigger, host.EngageMention, host.EngageReply:
		t.Trigger = cmp.Or(t.Trigger, "@"+c.Assistant.Name)
	case host.EngageAlways:
	default:
		b.fail(path+".engage", `must be "trigger", "mention", "reply" or "always"`)
	}
	for _, s := range t.Senders {
		digits, isNumber := strings.CutPrefix(s, "+")
		switch {
		case s == "" || len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }):
			b.fail(path+".senders", "must not hold an empty sender, or one with a space in it: %q", s)
		case strings.Contains(s, "*") && len(t.Senders) > 1, strings.Contains(s, "*") && s != "*":
			b.fail(path+".senders", `%q: there are no patterns; ["*"] alone is anyone`, s)
		case isNumber && (digits == "" || strings.Trim(digits, "0123456789") != ""):
			b.fail(path+".senders", `%q: a number is "+" and digits, nothing else`, s)
		}
	}
	return t
}

func (b *builder) chat(path, channel, chat, rule string) {
	if !slices.Contains(channels, channel) {
		b.fail(path+".channel", "unknown channel %q; channels are %s", channel, strings.Join(channels, ", "))
	}
	if chat == "" || len(chat) > 256 || strings.ContainsFunc(chat, unicode.IsControl) {
		b.fail(path+".chat", "%s", rule)
	}
}

// CheckRoute completes a route that is to be a row. It refuses what [[routes]] would refuse, and more:
// a row is for one chat, which no [[routes]] has, and for its owner alone.
func (c *Config) CheckRoute(t host.Route) (host.Route, error) {
	b := &builder{decoder: &decoder{}}
	t = b.route(c, "route", t)
	if t.Chat == "*" || len(t.Senders) > 0 || t.Others {
		b.fail("route.chat", "is one chat, for its owner alone; wider routes are written in %s", c.Path)
	}
	if slices.ContainsFunc(c.Routes, func(r host.Route) bool { return sameChat(r, t) }) {
		b.fail("route.chat", "%s routes it already, and wins: change it there", c.Path)
	}
	if len(b.problems) > 0 {
		return t, fmt.Errorf("%w: %s", host.ErrInvalid, strings.Join(b.sentences(), "; "))
	}
	return t, nil
}

func sameChat(a, b host.Route) bool {
	return a.Channel == b.Channel && a.Account == b.Account && a.Chat == b.Chat
}

// messages checks to which other chats a role may send.
func (b *builder) messages(at string, tables []messageTable) (out []host.MessageGrant) {
	for i, t := range tables {
		at := fmt.Sprintf("%s.messages[%d]", at, i)
		g := host.MessageGrant{Channel: t.Channel, Account: t.Account, Chat: host.ChatID(t.Chat), Ask: t.Ask}
		b.chat(at, t.Channel, t.Chat, "must be a chat")
		if strings.Contains(t.Chat, "*") {
			b.fail(at+".chat", "must be one chat: there is no grant for all")
		}
		if slices.ContainsFunc(out, func(o host.MessageGrant) bool { o.Ask = g.Ask; return o == g }) {
			b.fail(at, "is there twice")
		}
		out = append(out, g)
	}
	return out
}
