//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"

	"github.com/nanoclaw/nanoclaw/host"
)

// answerIn is how long WhatsApp may take to say that it has a message. It is less than the router waits.
const answerIn = time.Minute

// Send implements channel.Channel.
func (w *WhatsApp) Send(ctx context.Context, o host.Outgoing) error {
	s, set, err := w.live()
	if err != nil {
		return err
	}
	to, err := chatJID(o.Chat)
	if err != nil {
		return err
	}
	r := w.limit.Reserve()
	if wait := r.Delay(); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			r.Cancel()
			time.AfterFunc(wait, w.signal)
			return fmt.Errorf("%w: too many messages at once", host.ErrUnavailable)
		}
	}
	_, err = s.cli.SendMessage(
		ctx,
		to,
		s.compose(o, to, set),
		whatsmeow.SendRequestExtra{ID: s.id(o.ID), Timeout: answerIn},
	)
	w.tell(show{chat: o.Chat, over: true})
	return outcome(err)
}

// outcome sorts what SendMessage answers by what is known of the message.
func outcome(err error) error {
	var cut *whatsmeow.DisconnectedError
	code := 0
	switch {
	case err == nil:
		return nil
	case errors.Is(err, whatsmeow.ErrNotConnected), errors.Is(err, whatsmeow.ErrNotLoggedIn),
		errors.As(err, &cut) && strings.HasPrefix(cut.Action, "info query"):
		return fmt.Errorf("%w: %w", host.ErrUnavailable, err) // it never left
	case errors.Is(err, whatsmeow.ErrNotInGroup):
		return fmt.Errorf("%w: %w", host.ErrDenied, err)
	case errors.Is(err, whatsmeow.ErrGroupNotFound), strings.Contains(err.Error(), "no LID found for"):
		return fmt.Errorf("%w: %w", host.ErrNotFound, err)
	case errors.Is(err, whatsmeow.ErrServerReturnedError):
		text := err.Error()
		if _, e := fmt.Sscanf(text[strings.LastIndex(text, " ")+1:], "%d", &code); e == nil && code >= 400 && code < 500 {
			return fmt.Errorf("%w: WhatsApp refused the message: %w", host.ErrDenied, err)
		}
		return err
	case errors.As(err, &cut), errors.Is(err, whatsmeow.ErrMessageTimedOut),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		strings.Contains(err.Error(), "failed to send message node"):
		return fmt.Errorf("%w: %w", host.ErrUnknownOutcome, err)
	}
	return err
}

// compose makes the message of o.
func (s *session) compose(o host.Outgoing, to types.JID, set Settings) *waE2E.Message {
	answered, known := s.recent.get(o.Chat, o.ReplyTo)
	if known && o.Kind == host.OutReply && isEmoji(o.Text) {
		return s.cli.BuildReaction(to, answered.sender, answered.id, o.Text)
	}
	text := o.Text
	if !set.OwnNumber && set.Assistant != "" {
		text = set.Assistant + ": " + text
	}
	if to.Server != types.GroupServer {
		return &waE2E.Message{Conversation: proto.String(text)}
	}
	c := &waE2E.ContextInfo{}
	text, c.MentionedJID = mention(text, s.recent.people(o.Chat))
	if known {
		c.StanzaID, c.Participant = proto.String(answered.id), proto.String(answered.sender.String())
		c.QuotedMessage = &waE2E.Message{Conversation: proto.String(answered.text)}
	}
	return &waE2E.Message{ExtendedTextMessage: &waE2E.ExtendedTextMessage{Text: proto.String(text), ContextInfo: c}}
}

// mention makes "@Name" of people of the chat what WhatsApp understands. Longer names go first.
func mention(text string, people map[string]types.JID) (out string, jids []string) {
	names := slices.SortedFunc(maps.Keys(people), func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		from := 0
		for {
			i := strings.Index(text[from:], "@"+name)
			if i < 0 {
				break
			}
			i += from
			end := i + 1 + len(name)
			next, _ := utf8.DecodeRuneInString(text[end:])
			before, _ := utf8.DecodeLastRuneInString(text[:i])
			if from = end; end < len(text) && isWord(next) || i > 0 && isWord(before) {
				continue
			}
			jid := people[name]
			text = text[:i] + "@" + jid.User + text[end:]
			from = i + 1 + len(jid.User)
			if !slices.Contains(jids, jid.String()) {
				jids = append(jids, jid.String())
			}
		}
	}
	return text, jids
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// isEmoji reports whether text is one emoji: one symbol, or several joined into one.
func isEmoji(text string) bool {
	symbols := 0
	for _, r := range text {
		switch {
		case r == '\u200d': // joins
			symbols--
		case r == '\ufe0f', r >= 0x1f3fb && r <= 0x1f3ff: // how the one before looks
		case unicode.Is(unicode.So, r) && r >= 0x2190:
			symbols++
		default:
			return false
		}
	}
	return symbols == 1
}

// idPrefix begins the IDs of what linked devices send.
const idPrefix = whatsmeow.WebMessageIDPrefix

const idBytes, macBytes = 6, 3

func idKey(d *store.Device) []byte { return mac(d.NoiseKey.Priv[:], []byte("nanoclaw message IDs")) }

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// id is what WhatsApp calls a message of ours, each time the same.
func (s *session) id(id host.MessageID) string {
	sum := sha256.Sum256([]byte(id))
	return idPrefix + strings.ToUpper(
		hex.EncodeToString(append(sum[:idBytes:idBytes], mac(s.idKey, sum[:idBytes])[:macBytes]...)),
	)
}

// ours reports whether id was made by id.
func (s *session) ours(id string) bool {
	text, ok := strings.CutPrefix(id, idPrefix)
	raw, err := hex.DecodeString(text)
	return ok && err == nil && len(raw) == idBytes+macBytes &&
		hmac.Equal(raw[idBytes:], mac(s.idKey, raw[:idBytes])[:macBytes])
}

// cutNumber reads "+" and digits.
func cutNumber(s string) (digits string, ok bool) {
	digits, ok = strings.CutPrefix(s, "+")
	return digits, ok && len(digits) >= 7 && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""
}
