package host

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// NewAgentID is the identity of role at work for one chat: a readable slug and a hash of
// the four parts, so that two chats never collide and a workspace never moves.
func NewAgentID(role RoleName, channel, account string, chat ChatID) AgentID {
	parts, _ := json.Marshal([]string{string(role), channel, account, string(chat)}) // strings always encode
	sum := sha256.Sum256(parts)
	return AgentID(slug(string(role)+"-"+string(chat)) + "-" + hex.EncodeToString(sum[:6]))
}

// slug keeps at most 32 lower-case letters, digits and single hyphens.
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		if b.Len() == 32 {
			break
		}
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}

// NewTurnID and NewMessageID are 130 random bits.
func NewTurnID() TurnID       { return TurnID("t" + rand.Text()) }
func NewMessageID() MessageID { return MessageID("m" + rand.Text()) }
