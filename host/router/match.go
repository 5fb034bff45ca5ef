package router

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
)

// route finds the route of m: the chat's own, else the channel's first "*".
func (r *Router) route(m host.Message) (host.Route, bool) {
	r.mu.Lock()
	routes := r.routes
	r.mu.Unlock()
	var wild *host.Route
	for i, t := range routes {
		if t.Channel != m.Channel || t.Account != "" && t.Account != m.Account {
			continue
		}
		if t.Chat == m.Chat {
			return t, true
		}
		if t.Chat == "*" && wild == nil {
			wild = &routes[i]
		}
	}
	if wild != nil {
		return *wild, true
	}
	return host.Route{}, false
}

// agentOf names the agent of a route in m's chat. An alias takes the place of the chat.
func agentOf(t host.Route, m host.Message) host.Agent {
	a := host.Agent{Role: t.Role, Channel: m.Channel, Account: m.Account, Chat: m.Chat}
	if t.Agent != "" {
		a.ID = host.NewAgentID(t.Role, "", "", host.ChatID(t.Agent))
	} else {
		a.ID = host.NewAgentID(t.Role, m.Channel, m.Account, m.Chat)
	}
	return a
}

// mayWake applies the sender rule, which fails closed: the owner, and who is listed.
func mayWake(t host.Route, m host.Message) bool {
	return m.Owner || slices.Contains(t.Senders, m.Sender) || slices.Contains(t.Senders, "*")
}

// triggered reports whether text begins with trigger as a word of its own: what follows
// is the end, or anything but a letter, digit, mark or underscore, in any script. An
// apostrophe ends a word ("@Andy's turn"); case does not matter.
func triggered(trigger, text string) bool {
	text, trigger = strings.TrimSpace(text), strings.TrimSpace(trigger)
	if trigger == "" {
		return true
	}
	n := 0
	for range trigger { // compare rune by rune: folded forms may differ in length
		_, w := utf8.DecodeRuneInString(text[n:])
		n += w
	}
	if !strings.EqualFold(text[:n], trigger) {
		return false
	}
	next, w := utf8.DecodeRuneInString(text[n:])
	last, _ := utf8.DecodeLastRuneInString(trigger)
	return w == 0 || !word(last) || !word(next)
}

func word(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

// withoutTrigger removes the trigger from the front of text, so that "@Andy /calc 1" is a command.
func withoutTrigger(trigger, text string) string {
	text = strings.TrimSpace(text)
	if trigger = strings.TrimSpace(trigger); trigger == "" || !triggered(trigger, text) {
		return text
	}
	n := 0
	for range trigger {
		_, w := utf8.DecodeRuneInString(text[n:])
		n += w
	}
	return strings.TrimSpace(text[n:])
}
