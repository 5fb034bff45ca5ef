//go:build !nowhatsapp

package whatsapp

import (
	"time"

	"go.mau.fi/whatsmeow/types"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	typingEvery = 10 * time.Second // phones show it a little longer than that
	maxTyping   = 15 * time.Minute // for a turn of which no end is heard
)

// show is something that happens in a chat.
type show struct {
	chat  host.ChatID
	woken bool // by messages, which are read now
	over  bool // nothing is worked on there any more
}

// Show implements channel.Channel: the messages that woke an agent are marked as read, and the account
// types while the agent works.
func (w *WhatsApp) Show(chat host.ChatID, e host.Event) {
	w.tell(show{chat: chat, woken: e.Stage == host.StageQueued, over: e.Stage == host.StageDone})
}

func (w *WhatsApp) tell(s show) {
	select {
	case w.shows <- s:
	default:
	}
}

// presence does what Show asks for until the session ends. The account is only said to be online while
// it types: phones ring less when another device of the account is.
func (s *session) presence() {
	typing := make(map[host.ChatID]time.Time) // until when
	tick := time.NewTicker(typingEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case v := <-s.w.shows:
			if v.woken {
				s.read(v.chat)
			}
			_, was := typing[v.chat]
			switch {
			case v.over && was:
				delete(typing, v.chat)
				s.chatState(v.chat, types.ChatPresencePaused, len(typing) == 0)
			case !v.over && !was:
				s.chatState(v.chat, types.ChatPresenceComposing, len(typing) == 0)
				typing[v.chat] = time.Now().Add(maxTyping)
			}
		case now := <-tick.C:
			for chat, until := range typing {
				if now.After(until) {
					delete(typing, chat)
				} else {
					s.chatState(chat, types.ChatPresenceComposing, false)
				}
			}
		}
	}
}

// read says that the messages of a chat were read.
func (s *session) read(chat host.ChatID) {
	for sender, messages := range s.recent.unread(chat) {
		ids := make([]string, len(messages))
		for i, m := range messages {
			ids[i] = m.id
		}
		if err := s.cli.MarkRead(s.ctx, ids, time.Now(), messages[0].jid, sender); err != nil {
			s.w.cfg.Log.Debug("read receipt", "error", err)
		}
	}
}

// chatState says whether somebody types in a chat. edge: nobody else did before, or does any more.
func (s *session) chatState(chat host.ChatID, what types.ChatPresence, edge bool) {
	jid, err := chatJID(chat)
	if err != nil {
		return
	}
	online := types.PresenceAvailable
	if what == types.ChatPresencePaused {
		online = types.PresenceUnavailable
	}
	if edge && online == types.PresenceAvailable {
		err = s.cli.SendPresence(s.ctx, online)
	}
	if e := s.cli.SendChatPresence(s.ctx, jid, what, types.ChatPresenceMediaText); err == nil {
		err = e
	}
	if edge && online == types.PresenceUnavailable {
		err = s.cli.SendPresence(s.ctx, online)
	}
	if err != nil {
		s.w.cfg.Log.Debug("typing", "error", err)
	}
}
