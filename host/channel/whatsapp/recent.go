//go:build !nowhatsapp

package whatsapp

import (
	"sync"

	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/nanoclaw/nanoclaw/host"
)

const maxRecent = 1000 // messages, of all chats

// seen is a message as quotes, reactions and read receipts need it.
type seen struct {
	chat   host.ChatID
	id     string
	jid    types.JID // of the chat
	sender types.JID
	text   string
	unread bool
}

// recent remembers the last messages. It is lost with the session: what is answered behind a restart
// is answered without a quote.
type recent struct {
	mu    sync.Mutex
	ring  []*seen
	next  int
	byID  map[string]*seen
	names map[host.ChatID]map[string]types.JID // who may be mentioned
}

func newRecent() *recent {
	return &recent{byID: make(map[string]*seen), names: make(map[host.ChatID]map[string]types.JID)}
}

// add remembers a message that was taken.
func (r *recent) add(m host.Message, e *events.Message) {
	if name := oneLine(m.SenderName, maxName); name != "" && !e.Info.IsFromMe && e.Info.IsGroup {
		r.meet(m.Chat, name, e.Info.Sender)
	}
	v := &seen{
		chat: m.Chat, id: m.ExternalID, jid: e.Info.Chat, sender: e.Info.Sender.ToNonAD(), text: m.Text,
		unread: !e.Info.IsFromMe,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, v)
	} else {
		old := r.ring[r.next]
		if r.byID[key(old.chat, old.id)] == old {
			delete(r.byID, key(old.chat, old.id))
		}
		r.ring[r.next], r.next = v, (r.next+1)%maxRecent
	}
	r.byID[key(v.chat, v.id)] = v
}

func key(chat host.ChatID, id string) string { return string(chat) + "\x00" + id }

// get finds a message by its ID.
func (r *recent) get(chat host.ChatID, id string) (seen, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.byID[key(chat, id)]; v != nil {
		return *v, true
	}
	return seen{}, false
}

// unread takes the messages of a chat that nobody was told are read, by sender.
func (r *recent) unread(chat host.ChatID) map[types.JID][]seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[types.JID][]seen)
	for _, v := range r.ring {
		if v.chat == chat && v.unread {
			v.unread = false
			out[v.sender] = append(out[v.sender], *v)
		}
	}
	return out
}

// meet remembers who is called what in a chat.
func (r *recent) meet(chat host.ChatID, name string, jid types.JID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.names) > maxRecent || len(r.names[chat]) > maxRecent {
		clear(r.names)
	}
	if r.names[chat] == nil {
		r.names[chat] = make(map[string]types.JID)
	}
	r.names[chat][name] = jid.ToNonAD()
}

// people are those who may be mentioned in a chat, by name.
func (r *recent) people(chat host.ChatID) map[string]types.JID {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]types.JID, len(r.names[chat]))
	for name, jid := range r.names[chat] {
		out[name] = jid
	}
	return out
}
