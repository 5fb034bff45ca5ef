//go:build !nowhatsapp

package whatsapp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	maxQuote = 1000 // characters of what a message answers
	maxName  = 64
	nameWait = 5 * time.Second
)

// skip says of what is no message of a chat, or our own coming back.
func (s *session) skip(e *events.Message) bool {
	switch e.Info.Chat.Server {
	case types.DefaultUserServer, types.HiddenUserServer, types.GroupServer:
	default: // status, channels, broadcasts, bots of WhatsApp's own
		return true
	}
	p := e.Message.GetProtocolMessage()
	return e.Info.Category == "peer" || e.Info.IsFromMe && s.ours(e.Info.ID) || e.IsEdit && p == nil ||
		p != nil && !isChange(p)
}

// isChange reports whether p edits a message or takes one back.
func isChange(p *waE2E.ProtocolMessage) bool {
	return p != nil && p.Type != nil && p.GetKey().GetID() != "" &&
		(p.GetType() == waE2E.ProtocolMessage_MESSAGE_EDIT || p.GetType() == waE2E.ProtocolMessage_REVOKE)
}

// changeOf reads one. What is said so is never an order to the host: it does not begin with one.
func changeOf(p *waE2E.ProtocolMessage) content {
	c := content{text: "[takes a message back]", of: p.GetKey().GetID(), change: true}
	if p.GetType() == waE2E.ProtocolMessage_MESSAGE_EDIT {
		now := contentOf(p.GetEditedMessage())
		c.text = "[changes a message to:] " + now.text
	}
	return c
}

// parse turns an event into a message. One without text is nothing that concerns us.
func (s *session) parse(e *events.Message) (host.Message, error) {
	info := e.Info
	chatAlt := info.SenderAlt
	if info.IsFromMe {
		chatAlt = info.RecipientAlt
	}
	chat, err := s.person(info.Chat, chatAlt)
	if err != nil {
		return host.Message{}, err
	}
	sender, err := s.person(info.Sender, info.SenderAlt)
	if err != nil {
		return host.Message{}, err
	}
	s.w.mu.Lock()
	set := s.w.settings
	s.w.mu.Unlock()
	c := contentOf(e.Message)
	m := host.Message{
		Channel: Name, Chat: host.ChatID(chat.id), Sender: sender.id, SenderAlso: sender.also, SenderName: info.PushName,
		ExternalID: info.ID, Text: c.text, Below: c.about, Time: info.Timestamp,
		Owner: info.IsFromMe ||
			slices.ContainsFunc(sender.also, func(n string) bool { return slices.Contains(set.Owners, n) }),
		Quiet: c.of != "",
	}
	if c.file != nil {
		m.Text, m.Below, m.Files = c.caption, "", []host.File{s.fileOf(c)}
	}
	for _, n := range chat.also {
		m.ChatAlso = append(m.ChatAlso, host.ChatID(n))
	}
	if m.SenderName == "" {
		m.SenderName = s.nameOf(info.Sender, info.SenderAlt)
	}
	if info.IsGroup {
		m.ChatName = s.groupName(info.Chat)
	} else {
		m.ChatName = s.nameOf(info.Chat, chatAlt)
	}
	s.mu.Lock()
	m.More = s.backlog
	s.mu.Unlock()
	s.answered(&m, c, set)
	s.mentions(&m, c.context, set)
	return m, nil
}

// answered adds what m answers.
func (s *session) answered(m *host.Message, c content, set Settings) {
	id, text, by := c.context.GetStanzaID(), contentOf(c.context.GetQuotedMessage()).text, types.JID{}
	if c.of != "" {
		id, text = c.of, ""
		if was, ok := s.recent.get(m.Chat, id); ok {
			text = was.text
		}
	}
	if id == "" {
		return
	}
	m.ReplyToMe = s.ours(id)
	if p := c.context.GetParticipant(); p != "" {
		by, _ = types.ParseJID(p)
		m.ReplyToMe = m.ReplyToMe || set.OwnNumber && s.own(by)
	}
	who := "a message"
	switch {
	case m.ReplyToMe:
		who = set.Assistant
	case s.own(by):
		who = "the owner"
	case !by.IsEmpty():
		who = cmp.Or(s.nameOf(by), by.User)
	}
	if r := []rune(text); len(r) > maxQuote {
		text = string(r[:maxQuote]) + "…"
	}
	quote := "[in answer to " + who
	if c.change {
		quote = "[which was"
	}
	if text != "" {
		quote += ":]\n> " + strings.ReplaceAll(text, "\n", "\n> ")
	} else if quote += "]"; c.change {
		return
	}
	m.Below = strings.TrimPrefix(m.Below+"\n"+quote, "\n")
}

// mentions puts names in the place of the numbers that WhatsApp writes for them.
func (s *session) mentions(m *host.Message, c *waE2E.ContextInfo, set Settings) {
	for _, text := range c.GetMentionedJID() {
		jid, err := types.ParseJID(text)
		if err != nil || jid.User == "" {
			continue
		}
		name := s.nameOf(jid)
		if s.own(jid) {
			m.Mentioned, name = true, set.Assistant
		} else if strings.EqualFold(name, set.Assistant) {
			continue // nobody calls the assistant by calling himself like it
		}
		if name != "" {
			s.recent.meet(m.Chat, name, jid)
			m.Text = strings.ReplaceAll(m.Text, "@"+jid.User, "@"+name)
		}
	}
}

// own reports whether jid is the linked account.
func (s *session) own(jid types.JID) bool {
	return jid.User != "" && (jid.User == s.cli.Store.GetJID().User || jid.User == s.cli.Store.GetLID().User)
}

// nameOf is what somebody is called in the address book, or calls himself; "" = not known.
func (s *session) nameOf(jids ...types.JID) string {
	for _, jid := range jids {
		if jid.IsEmpty() {
			continue
		}
		c, err := s.cli.Store.Contacts.GetContact(s.ctx, jid.ToNonAD())
		if name := oneLine(cmp.Or(c.FullName, c.PushName, c.BusinessName), maxName); err == nil && name != "" {
			return name
		}
	}
	return ""
}

// groupName asks WhatsApp once for a group.
func (s *session) groupName(jid types.JID) string {
	s.mu.Lock()
	name, known := s.groups[jid]
	s.mu.Unlock()
	if known {
		return name
	}
	ctx, cancel := context.WithTimeout(s.ctx, nameWait)
	defer cancel()
	if info, err := s.cli.GetGroupInfo(ctx, jid); err == nil {
		name = info.Name
	}
	s.mu.Lock()
	s.groups[jid] = name
	s.mu.Unlock()
	return name
}

// content is what the kinds of messages have in common.
type content struct {
	text    string
	about   string // what cannot be said in text
	of      string // ID of the message that this is a reaction to, or a change of: it wakes nobody
	change  bool   // an edit, or a message taken back
	context *waE2E.ContextInfo
	file    attached // nil = none that can be fetched
	name    string   // of file
	caption string   // of file
}

// contentOf reads a message.
func contentOf(m *waE2E.Message) content {
	switch {
	case isChange(m.GetProtocolMessage()):
		return changeOf(m.GetProtocolMessage())
	case m.GetConversation() != "":
		return content{text: m.GetConversation()}
	case m.GetExtendedTextMessage() != nil:
		x := m.GetExtendedTextMessage()
		return content{text: x.GetText(), context: x.GetContextInfo()}
	case m.GetReactionMessage() != nil:
		x := m.GetReactionMessage()
		c := content{text: "[reacts with " + oneLine(x.GetText(), 16) + "]", of: x.GetKey().GetID()}
		if x.GetText() == "" {
			c.text = "[takes a reaction back]"
		}
		return c
	case m.GetImageMessage() != nil:
		return file(m.GetImageMessage(), m.GetImageMessage().GetCaption(), "image", "")
	case m.GetVideoMessage() != nil:
		return file(m.GetVideoMessage(), m.GetVideoMessage().GetCaption(), "video", "")
	case m.GetDocumentMessage() != nil:
		x := m.GetDocumentMessage()
		return file(x, x.GetCaption(), "document", x.GetFileName())
	case m.GetAudioMessage() != nil:
		x, kind := m.GetAudioMessage(), "audio"
		if x.GetPTT() {
			kind = "voice message"
		}
		return file(x, "", kind, "")
	case m.GetStickerMessage() != nil:
		return file(m.GetStickerMessage(), "", "sticker", "")
	}
	return place(m)
}

// place reads messages of which there is only data.
func place(m *waE2E.Message) content {
	if x := m.GetLocationMessage(); x != nil {
		text := fmt.Sprintf(
			"[location %.6f, %.6f %s]",
			x.GetDegreesLatitude(),
			x.GetDegreesLongitude(),
			oneLine(x.GetName(), maxName),
		)
		return content{text: text, context: x.GetContextInfo()}
	}
	if x := m.GetContactMessage(); x != nil {
		return content{
			text:    "[contact " + oneLine(x.GetDisplayName(), maxName) + "]\n" + x.GetVcard(),
			context: x.GetContextInfo(),
		}
	}
	for _, x := range []*waE2E.PollCreationMessage{
		m.GetPollCreationMessage(), m.GetPollCreationMessageV2(), m.GetPollCreationMessageV3(),
	} {
		if x != nil {
			text := "[poll] " + x.GetName()
			for _, o := range x.GetOptions() {
				text += "\n- " + o.GetOptionName()
			}
			return content{text: text, context: x.GetContextInfo()}
		}
	}
	return content{}
}

// oneLine is what somebody chose to be called, fit for a line of ours.
func oneLine(s string, max int) string {
	r := []rune(
		strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " "),
	)
	return string(r[:min(len(r), max)])
}
