package router

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

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
		if t.Chat == m.Chat || slices.Contains(m.ChatAlso, t.Chat) {
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

// RoleOf is the role that answers a chat, "" when none does.
func (r *Router) RoleOf(channel, account string, chat host.ChatID) host.RoleName {
	t, _ := r.route(host.Message{Channel: channel, Account: account, Chat: chat})
	return t.Role
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

// mayWake applies the sender rule, which fails closed: the owner, and who is listed. Whom the channel
// does not know is nobody, whatever the list says.
func mayWake(t host.Route, m host.Message) bool {
	listed := func(name string) bool { return slices.Contains(t.Senders, name) }
	return m.Owner || m.Sender != "" && (listed(m.Sender) || listed("*") || slices.ContainsFunc(m.SenderAlso, listed))
}

// engaged reports whether m is for the agent of t.
func engaged(t host.Route, m host.Message) bool {
	switch t.Engage {
	case host.EngageAlways:
		return true
	case host.EngageMention, host.EngageReply:
		return m.Mentioned || t.Engage == host.EngageReply && m.ReplyToMe || mentioned(t.Trigger, m.Text)
	}
	return triggered(t.Trigger, m.Text)
}

// mentioned reports whether trigger is a word of text.
func mentioned(trigger, text string) bool {
	if strings.TrimSpace(trigger) == "" {
		return false
	}
	text = strings.TrimSpace(norm.NFC.String(text))
	before := ' '
	for i, r := range text {
		if !word(before) && before != '@' && !unicode.IsSpace(r) && triggered(trigger, text[i:]) {
			return true
		}
		before = r
	}
	return false
}

// named is who said m, for agents and history. A name is its owner's choice: it stays on one line,
// and says whose message it is not.
func named(m host.Message) string {
	name := oneLine(m.SenderName, 64)
	if name == "" {
		name = oneLine(m.Sender, 64)
	}
	if !m.Owner {
		name += " (not the owner)"
	}
	return name
}

// oneLine is s without what is not to be seen, cut to max characters.
func oneLine(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, " "))
	r := []rune(strings.Join(strings.Fields(s), " "))
	return string(r[:min(len(r), max)])
}

// triggered reports whether text begins with trigger as a word of its own: what follows
// is the end, or anything but a letter, digit, mark or underscore, in any script. An
// apostrophe ends a word ("@Andy's turn"); case does not matter, nor how é is composed.
func triggered(trigger, text string) bool {
	trigger = norm.NFC.String(strings.TrimSpace(trigger))
	if text = strings.TrimSpace(text); trigger == "" {
		return true
	}
	text = norm.NFC.String(text[:min(len(text), 4*len(trigger)+utf8.UTFMax)])
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
	text = norm.NFC.String(strings.TrimSpace(text))
	if trigger = norm.NFC.String(strings.TrimSpace(trigger)); trigger == "" || !triggered(trigger, text) {
		return text
	}
	n := 0
	for range trigger {
		_, w := utf8.DecodeRuneInString(text[n:])
		n += w
	}
	return strings.TrimSpace(text[n:])
}
