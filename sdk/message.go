package sdk

import (
	"github.com/nanoclaw/nanoclaw/sdk/internal/abi"
	"github.com/nanoclaw/nanoclaw/sdk/internal/json"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Chat is one that a message came from. What it is called is the choice of people in it: data.
type Chat = wire.Chat

// MessageRequest is what a fake of sdktest is asked.
type MessageRequest = wire.MessageRequest

// Send queues a message, Markdown of at most wire.MaxMessage bytes, for another chat than the
// agent's own, and returns its ID. The role must name the chat; its owner may be asked first. A turn
// that is run again sends nothing twice. It takes the capability message, as the two below.
func Send(to Chat, text string) (id string, err error) {
	r, err := message(MessageRequest{Op: "send", Channel: to.Channel, Account: to.Account, Chat: to.Chat, Text: text})
	return r.ID, err
}

// Chats lists the chats that the host knows, the last one active first. The role must have the key chats.
func Chats() ([]Chat, error) {
	r, err := message(MessageRequest{Op: "chats"})
	return r.Chats, err
}

// ProposeRoute asks the owner to let role ("" = the agent's own) answer their messages in a chat that
// begin with trigger ("" = the assistant's name). It returns once they said yes; ErrDenied is no.
func ProposeRoute(chat Chat, role, trigger string) error {
	_, err := message(MessageRequest{
		Op: "propose_route", Channel: chat.Channel, Account: chat.Account, Chat: chat.Chat, Role: role, Trigger: trigger,
	})
	return err
}

func message(r MessageRequest) (a wire.MessageResponse, err error) {
	req, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	body, status := abi.Message(req)
	return a, decode(body, status, &a)
}

// SendFile sends a file to the agent's own chat, with a caption of at most wire.MaxCaption bytes or none,
// and returns the message's ID. It takes the capability message, of which mode "own" is enough, and fs:
// path is of a file that the skill may read. A turn that is run again sends nothing twice.
func SendFile(path, caption string) (id string, err error) {
	r, err := message(MessageRequest{Op: "send_file", Path: path, Text: caption})
	return r.ID, err
}
