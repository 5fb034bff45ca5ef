package wire

// MessageRequest is the guest's nanoclaw_message_1 call.
type MessageRequest struct {
	Op      string `json:"op"` // send | send_file | chats | propose_route
	Channel string `json:"channel,omitempty"`
	Account string `json:"account,omitempty"`
	Chat    string `json:"chat,omitempty"`
	Text    string `json:"text,omitempty"`    // send: Markdown; send_file: its caption
	Path    string `json:"path,omitempty"`    // send_file: of the workspace or a mount, as the skill sees it
	Role    string `json:"role,omitempty"`    // propose_route; "" = the role that asks
	Trigger string `json:"trigger,omitempty"` // propose_route; "" = "@" and the assistant's name
}

// MessageResponse answers it.
type MessageResponse struct {
	ID    string `json:"id,omitempty"`    // send, send_file: of the message, which is queued
	Chats []Chat `json:"chats,omitempty"` // chats: the last one active first
}

// Chat is one that a message came from. What it is called is the choice of people in it: data.
type Chat struct {
	Channel string `json:"channel"`
	Account string `json:"account,omitempty"`
	Chat    string `json:"chat"`
	Name    string `json:"name"`
	Last    string `json:"last"`           // RFC 3339
	Role    string `json:"role,omitempty"` // that answers there
}
