package host

import "time"

// Route says which role answers a chat and who may wake it.
type Route struct {
	Channel string
	Account string
	Chat    ChatID // "*" = every chat of the channel without a route of its own
	Role    RoleName
	Engage  Engage   // "" = EngageTrigger when there is a trigger, else EngageAlways
	Trigger string   // the word that calls the agent
	Senders []string // allowed senders; empty = the owner alone
	Others  bool     // messages of everybody else ride along as context; false: they are not stored
	Agent   string   // alias: routes with the same value share one agent
}

// Engage says which messages of those who may ask wake the agent. Each takes in those before it.
type Engage string

// Ways to wake an agent.
const (
	EngageTrigger Engage = "trigger" // begins with the trigger
	EngageMention Engage = "mention" // holds the trigger, or mentions the assistant's account
	EngageReply   Engage = "reply"   // answers the assistant
	EngageAlways  Engage = "always"
)

// RouteRow is a route that is not in nanoclaw.toml, which wins for the same chat. Nobody but the
// owner may ask there.
type RouteRow struct {
	Channel string    `json:"channel"`
	Account string    `json:"account,omitempty"`
	Chat    ChatID    `json:"chat"`
	Role    RoleName  `json:"role"`
	Engage  Engage    `json:"engage"`
	Trigger string    `json:"trigger"`
	Author  string    `json:"author"` // who allowed it, and where
	Created time.Time `json:"created"`
}

// Route is what the row says to the router.
func (r RouteRow) Route() Route {
	return Route{Channel: r.Channel, Account: r.Account, Chat: r.Chat, Role: r.Role, Engage: r.Engage, Trigger: r.Trigger}
}

// Chat is one that a message came from.
type Chat struct {
	Channel string
	Account string
	Chat    ChatID
	Name    string // what people call it; its ID when that is not known
	Last    time.Time
}
