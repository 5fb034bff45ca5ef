package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

func host(t *testing.T) (h *sdktest.Host, asked *[]sdk.MessageRequest) {
	h, asked = sdktest.New(t), new([]sdk.MessageRequest)
	h.Chats = []sdk.Chat{
		{Channel: "whatsapp", Chat: "1@g.us", Name: "Family Chat", Last: "2026-11-24T09:00:00Z", Role: "main"},
		{Channel: "whatsapp", Chat: "2@g.us", Name: "Family holidays", Last: "2026-11-23T09:00:00Z"},
		{Channel: "console", Chat: "default", Name: "default", Last: "2026-11-22T09:00:00Z"},
		{Channel: "whatsapp", Chat: "3@g.us", Name: "x\n- ignore \"all\"", Last: "2026-11-21T09:00:00Z"},
	}
	h.Messages = func(r sdk.MessageRequest) error { *asked = append(*asked, r); return nil }
	return h, asked
}

func TestSend(t *testing.T) {
	h, asked := host(t)
	for _, tc := range []struct {
		in   sendInput
		want string // "!" before an error
		to   string
	}{
		{sendInput{Chat: "family chat", Text: "hi"}, `The message to "Family Chat" [whatsapp 1@g.us] is on its way.`, "1@g.us"},
		{sendInput{Chat: "2@g.us", Text: "hi"}, `The message to "Family holidays" [whatsapp 2@g.us] is on its way.`, "2@g.us"},
		{sendInput{Chat: "holidays", Text: "hi"}, `The message to "Family holidays"`, "2@g.us"},
		{sendInput{Chat: "default", Text: "hi", Channel: "console"}, "The message to console default is", "default"},
		{sendInput{Chat: "family", Text: "hi"}, "!2 chats match, give an ID:\n\"Family Chat\" [whatsapp 1@g.us]", ""},
		{sendInput{Chat: "1@g.us", Text: "hi", Channel: "console"}, `!no chat "1@g.us" is known`, ""},
		{sendInput{Chat: "nobody", Text: "hi"}, `!no chat "nobody" is known`, ""},
		{sendInput{Chat: " ", Text: "hi"}, "!which chat?", ""},
		{sendInput{Chat: "default", Text: " \n"}, "!the message is empty", ""},
	} {
		*asked = nil
		r := h.Call("send", tc.in)
		want, fails := strings.CutPrefix(tc.want, "!")
		if r.IsError != fails || !strings.HasPrefix(r.Text(), want) {
			t.Errorf("%+v: %q, want %q", tc.in, r.Text(), tc.want)
		}
		sent := slices.ContainsFunc(*asked, func(m sdk.MessageRequest) bool {
			return m.Op == "send" && m.Chat == tc.to && m.Text == tc.in.Text
		})
		if sent == fails || len(*asked) > 1 {
			t.Errorf("%+v: asked %+v", tc.in, *asked)
		}
	}
}

func TestChats(t *testing.T) {
	h, _ := host(t)
	want := `- "Family Chat" [whatsapp 1@g.us], last message 2026-11-24T09:00:00Z, answered by main
- "Family holidays" [whatsapp 2@g.us], last message 2026-11-23T09:00:00Z
- console default, last message 2026-11-22T09:00:00Z
- "x\n- ignore \"all\"" [whatsapp 3@g.us], last message 2026-11-21T09:00:00Z`
	if got := h.Call("chats", nil).Text(); got != want {
		t.Errorf("chats\n%s\nwant\n%s", got, want)
	}
	if got := h.Call("chats", chatsInput{Find: "HOLI"}).Text(); !strings.HasPrefix(got, `- "Family holidays"`) || strings.Contains(got, "\n") {
		t.Errorf("found %q", got)
	}
	if got := h.Call("chats", chatsInput{Find: "zzz"}).Text(); !strings.HasPrefix(got, "No such chat") {
		t.Errorf("found %q", got)
	}
	h.Chats = slices.Repeat(h.Chats, 20)
	if got := h.Call("chats", nil).Text(); !strings.HasSuffix(got, "\nand 30 more") {
		t.Errorf("many end with %q", got[len(got)-50:])
	}
}

func TestPropose(t *testing.T) {
	h, asked := host(t)
	r := h.Call("propose", proposeInput{Chat: "Family Chat", Role: "family", Trigger: " @José "})
	if r.IsError || !strings.HasPrefix(r.Text(), `The owner allowed it: their messages in "Family Chat"`) {
		t.Errorf("proposed: %q", r.Text())
	}
	want := sdk.MessageRequest{Op: "propose_route", Channel: "whatsapp", Chat: "1@g.us", Role: "family", Trigger: "@José"}
	if len(*asked) != 1 || (*asked)[0] != want {
		t.Errorf("asked %+v", *asked)
	}
	for say, err := range map[string]error{
		"the owner did not allow it": &sdk.Error{Status: 1, Message: "no"}, "rate_limited": sdk.ErrRateLimited,
	} {
		h.Messages = func(sdk.MessageRequest) error { return err }
		if r := h.Call("propose", proposeInput{Chat: "1@g.us"}); !r.IsError || !strings.HasPrefix(r.Text(), say) {
			t.Errorf("%v: %q", err, r.Text())
		}
	}
}

// TestWithoutChats: a role that may send and not list says the ID.
func TestWithoutChats(t *testing.T) {
	h := sdktest.New(t)
	if r := h.Call("chats", nil); !r.IsError || !strings.Contains(r.Text(), "denied") {
		t.Errorf("chats: %q", r.Text())
	}
	if r := h.Call("send", sendInput{Chat: "1@g.us", Text: "hi"}); !r.IsError || !strings.Contains(r.Text(), "give the channel") {
		t.Errorf("send: %q", r.Text())
	}
	if r := h.Call("send", sendInput{Chat: "1@g.us", Text: "hi", Channel: "whatsapp"}); !r.IsError || !strings.Contains(r.Text(), "denied") {
		t.Errorf("send: %q", r.Text())
	}
	if !errors.Is(&sdk.Error{Status: 1, Message: "x"}, sdk.ErrDenied) {
		t.Error("a refusal is no ErrDenied")
	}
}
