package host

import "time"

// Find says what is looked for in the conversations. The zero Find is everything.
type Find struct {
	Agent  AgentID   // what was said to and by it in turns that ended; "" = all that any channel carried
	Chat   ChatID    // "" = any
	Query  string    // words, each the beginning of one in the text; "" = any text
	Since  time.Time // zero = from the first on
	Before time.Time // zero = up to now
	Limit  int       // messages, the newest
}

// Found is one message that was found.
type Found struct {
	Time    time.Time `json:"time"`
	Channel string    `json:"channel"`
	Chat    ChatID    `json:"chat"`
	Agent   AgentID   `json:"agent,omitempty"` // "" = no turn took it
	Role    string    `json:"role"`            // wire.RoleUser, or wire.RoleAssistant for what the host sent
	Sender  string    `json:"sender,omitempty"`
	Text    string    `json:"text"` // what stands around the words, or its beginning
	Whole   string    `json:"-"`    // all of it
}
