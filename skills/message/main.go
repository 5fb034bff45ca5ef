// Skill message sends to other chats than the agent's own, lists the chats that the host knows and
// proposes that a role answers one of them. It has the capability message and decides nothing: the
// role's grants say where it may send, and only the owner's word makes a route.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

const maxShow = 50 // chats of an answer

type (
	sendInput struct {
		Chat    string `json:"chat"`
		Text    string `json:"text"`
		Channel string `json:"channel"`
	}
	chatsInput struct {
		Find string `json:"find"`
	}
	proposeInput struct {
		Chat    string `json:"chat"`
		Channel string `json:"channel"`
		Role    string `json:"role"`
		Trigger string `json:"trigger"`
	}
)

func init() {
	sdk.Tool("send", send)
	sdk.Tool("chats", chats)
	sdk.Tool("propose", propose)
}

func main() {}

func send(_ sdk.Context, in sendInput) (string, error) {
	if strings.TrimSpace(in.Text) == "" {
		return "", errors.New("the message is empty")
	}
	to, err := find(in.Chat, in.Channel)
	if errors.Is(err, sdk.ErrDenied) { // a role that may not list chats knows the ID
		to, err = sdk.Chat{Channel: strings.TrimSpace(in.Channel), Chat: strings.TrimSpace(in.Chat)}, nil
		if to.Channel == "" {
			return "", errors.New("give the channel and the ID of the chat: this role may not look them up")
		}
	}
	if err != nil {
		return "", err
	}
	if _, err := sdk.Send(to, in.Text); err != nil {
		return "", err
	}
	return "The message to " + label(to) + " is on its way.", nil
}

func chats(_ sdk.Context, in chatsInput) (string, error) {
	all, err := sdk.Chats()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	shown, left := 0, 0
	for _, c := range all {
		if !strings.Contains(fold(c.Name+" "+c.Chat), fold(in.Find)) {
			continue
		}
		if shown == maxShow {
			left++
			continue
		}
		shown++
		out.WriteString("- " + label(c) + ", last message " + c.Last)
		if c.Role != "" {
			out.WriteString(", answered by " + c.Role)
		}
		out.WriteString("\n")
	}
	if shown == 0 {
		return "No such chat is known. One is, once a message came from it.", nil
	}
	if left > 0 {
		out.WriteString("and " + strconv.Itoa(left) + " more\n")
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

func propose(_ sdk.Context, in proposeInput) (string, error) {
	chat, err := find(in.Chat, in.Channel)
	if err != nil {
		return "", err
	}
	err = sdk.ProposeRoute(chat, strings.TrimSpace(in.Role), strings.TrimSpace(in.Trigger))
	if errors.Is(err, sdk.ErrDenied) {
		return "", errors.New("the owner did not allow it")
	}
	if err != nil {
		return "", err
	}
	return "The owner allowed it: their messages in " + label(chat) + " that begin with the trigger are answered now.", nil
}

// find returns the chat that ref means: its ID, its whole name, or words that only its name has.
func find(ref, channel string) (sdk.Chat, error) {
	all, err := sdk.Chats()
	if err != nil {
		return sdk.Chat{}, err
	}
	want := fold(ref)
	if want == "" {
		return sdk.Chat{}, errors.New("which chat? Give its name or ID")
	}
	var whole, part []sdk.Chat
	for _, c := range all {
		switch {
		case channel != "" && c.Channel != strings.TrimSpace(channel):
		case c.Chat == strings.TrimSpace(ref):
			return c, nil
		case fold(c.Name) == want:
			whole = append(whole, c)
		case strings.Contains(fold(c.Name), want):
			part = append(part, c)
		}
	}
	if len(whole) == 0 {
		whole = part
	}
	switch len(whole) {
	case 0:
		return sdk.Chat{}, errors.New("no chat " + strconv.Quote(cut(ref)) + " is known; one is, once a message came from it")
	case 1:
		return whole[0], nil
	}
	s := strconv.Itoa(len(whole)) + " chats match, give an ID:"
	for _, c := range whole[:min(len(whole), 5)] {
		s += "\n" + label(c)
	}
	return sdk.Chat{}, errors.New(s)
}

// label names a chat. Its name is some stranger's choice: quoted, on one line.
func label(c sdk.Chat) string {
	s := c.Channel + " " + c.Chat
	if c.Account != "" {
		s += " (account " + c.Account + ")"
	}
	if c.Name != "" && c.Name != c.Chat {
		s = strconv.Quote(cut(c.Name)) + " [" + s + "]"
	}
	return s
}

func fold(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "") }
