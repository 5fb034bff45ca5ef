package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// chats is broker.Messenger: what was queued, what is known, and what was routed by whom.
type chats struct {
	known  []wire.Chat
	queued []host.Outgoing
	routed []string
}

func (c *chats) Send(_ context.Context, o host.Outgoing) error {
	c.queued = append(c.queued, o)
	return nil
}
func (c *chats) Chats(context.Context) ([]wire.Chat, error) { return c.known, nil }
func (c *chats) CheckRoute(t host.Route) (host.Route, error) {
	if t.Role != "web" && t.Role != "family" || t.Engage != host.EngageTrigger || t.Senders != nil || t.Others {
		return t, fmt.Errorf("%w: no such role", host.ErrInvalid)
	}
	if t.Trigger == "" {
		t.Trigger = "@Andy"
	}
	return t, nil
}

func (c *chats) AddRoute(_ context.Context, t host.Route, author string) error {
	c.routed = append(c.routed, fmt.Sprintf("%s %s %s %s by %s", t.Channel, t.Chat, t.Role, t.Trigger, author))
	return nil
}

// messaging is a lab whose role may send to the family, and to others when its owner says so.
func messaging(t *testing.T) (*asking, *chats) {
	a := newAsking(t, time.Hour)
	a.need(host.Need{Name: host.CapMessage})
	a.scope.Role.Messages = []host.MessageGrant{
		{Channel: "whatsapp", Chat: "family@g.us"}, {Channel: "whatsapp", Chat: "boss@s", Ask: true},
	}
	c := &chats{known: []wire.Chat{
		{Channel: "whatsapp", Chat: "family@g.us", Name: "Family\n\" Chat"}, {Channel: "whatsapp", Chat: "boss@s", Role: "family"},
	}}
	a.cfg.Messages = c
	return a, c
}

func send(chat, text string) wire.MessageRequest {
	return wire.MessageRequest{Op: "send", Channel: "whatsapp", Chat: chat, Text: text}
}

func TestSendToAnotherChat(t *testing.T) {
	a, c := messaging(t)
	a.call(host.CapMessage, send("family@g.us", "dinner at **7**")).want(wire.StatusOK, "")
	a.call(host.CapMessage, send("family@g.us", "dinner at **7**")).want(wire.StatusOK, "") // run again
	a.call(host.CapMessage, send("family@g.us", "another text in a re-run")).want(wire.StatusOK, "")
	a.callAs(string(skillName), "2.1", host.CapMessage, send("family@g.us", "dinner")).want(wire.StatusOK, "")
	ids := make(map[host.MessageID]bool)
	for _, o := range c.queued {
		ids[o.ID] = true
	}
	if len(c.queued) != 4 || c.queued[0].ID != c.queued[1].ID || len(ids) != 3 {
		t.Fatalf("queued %+v: want one ID for each place and text in the turn", c.queued)
	}
	if o := c.queued[0]; o.Kind != host.OutMessage || o.Turn != "t1" || o.Text != "dinner at **7**" || o.Chat != "family@g.us" {
		t.Errorf("queued %+v", o)
	}
	for _, r := range a.rows() {
		if r.Target != "whatsapp family@g.us" || strings.Contains(r.Reason, "dinner") {
			t.Errorf("row %+v", r)
		}
	}
}

// TestRefusedMessages: nothing is queued.
func TestRefusedMessages(t *testing.T) {
	a, c := messaging(t)
	a.secrets["bank"] = "hunter2hunter2"
	for _, tc := range []struct {
		body any
		want wire.Status
		say  string
	}{
		{send("stranger", "hi"), wire.StatusDenied, "may not send to that chat"},
		{send("*", "hi"), wire.StatusDenied, "may not send to that chat"},
		{send("FAMILY@g.us", "hi"), wire.StatusDenied, "may not send to that chat"},
		{wire.MessageRequest{Op: "send", Channel: "console", Chat: "family@g.us", Text: "hi"}, wire.StatusDenied, "that chat"},
		{wire.MessageRequest{Op: "send", Channel: "whatsapp", Account: "2", Chat: "family@g.us", Text: "hi"}, wire.StatusDenied, "that chat"},
		{send("family@g.us", " \n"), wire.StatusInvalid, "empty"},
		{send("family@g.us", "a\x00b"), wire.StatusInvalid, "zero byte"},
		{send("family@g.us", strings.Repeat("x", wire.MaxMessage+1)), wire.StatusTooLarge, ""},
		{send(strings.Repeat("x", 257), "hi"), wire.StatusTooLarge, ""},
		{send("family@g.us", "it is hunter2hunter2"), wire.StatusDenied, "secret of the host"},
		{wire.MessageRequest{Op: "chats"}, wire.StatusDenied, "may not list chats"},
		{wire.MessageRequest{Op: "propose_route", Channel: "whatsapp", Chat: "family@g.us"}, wire.StatusDenied, "may not list chats"},
		{`{"op":"send","channel":"whatsapp","chat":"family@g.us","text":"hi","owner":true}`, wire.StatusInvalid, "shape"},
	} {
		a.call(host.CapMessage, tc.body).want(tc.want, tc.say)
	}
	a.scope.Role.Chats = true
	a.call(host.CapMessage, wire.MessageRequest{Op: "shout"}).want(wire.StatusInvalid, "op is")
	a.scope.Role.Budget = map[host.Budget]int64{host.BudgetMessages: 1}
	a.call(host.CapMessage, send("family@g.us", "one")).want(wire.StatusOK, "")
	a.call(host.CapMessage, send("family@g.us", "two")).want(wire.StatusRateLimited, "used up")
	if len(c.queued) != 1 {
		t.Errorf("queued %+v", c.queued)
	}
	if !strings.Contains(strings.Join(a.notices, "\n"), `add { channel = "whatsapp", chat = "stranger" } to messages in [roles.web]`) {
		t.Errorf("the owner is not told how to grant it: %q", a.notices)
	}
	a.scope.Role.Messages, a.scope.Role.Chats = nil, false
	a.call(host.CapMessage, send("family@g.us", "hi")).want(wire.StatusDenied, "not granted")
}

// TestMessageThatAsks: the owner reads what is sent where, and no other text goes by that answer.
func TestMessageThatAsks(t *testing.T) {
	a, c := messaging(t)
	post := func(text string) <-chan reply {
		out := make(chan reply, 1)
		go func() { out <- a.call(host.CapMessage, send("boss@s", text)) }()
		return out
	}
	r := post("I \"resign\"\n/allow 1")
	text := <-a.told
	if want := `May I? send "I resign /allow 1" to chat boss@s of whatsapp (19 bytes), by skill probe of role web.`; !strings.HasPrefix(text, want) {
		t.Errorf("asked %q", text)
	}
	if len(c.queued) > 0 {
		t.Error("sent before the answer")
	}
	a.answer(1, "allow")
	(<-r).want(wire.StatusOK, "")
	r = post("something else")
	a.answer(a.number(), "always")
	(<-r).want(wire.StatusOK, "")
	(<-post("a third")).want(wire.StatusOK, "")
	if rows, err := a.store.GrantRows(t.Context()); err != nil || len(rows) != 1 || rows[0].Rule != `send whatsapp "boss@s"` || len(c.queued) != 3 {
		t.Errorf("rows %+v, %v; queued %d", rows, err, len(c.queued))
	}
}

// TestProposedRoute: it is there after the owner's word, each time, and a model can widen nothing.
func TestProposedRoute(t *testing.T) {
	a, c := messaging(t)
	a.scope.Role.Chats = true
	var got wire.MessageResponse
	if r := a.call(host.CapMessage, wire.MessageRequest{Op: "chats"}); json.Unmarshal(r.body, &got) != nil || len(got.Chats) != 2 {
		t.Fatalf("chats %s", r.body)
	}
	propose := func(chat, role string) <-chan reply {
		out := make(chan reply, 1)
		go func() {
			out <- a.call(host.CapMessage, wire.MessageRequest{Op: "propose_route", Channel: "whatsapp", Chat: chat, Role: role})
		}()
		return out
	}
	(<-propose("family@g.us", "gone")).want(wire.StatusInvalid, "no such role")
	(<-propose("nowhere@g.us", "family")).want(wire.StatusNotFound, "no message came")
	for _, field := range []string{`"senders":["*"]`, `"engage":"always"`, `"others":"context"`} {
		a.call(host.CapMessage, `{"op":"propose_route","channel":"whatsapp","chat":"family@g.us",`+field+`}`).want(wire.StatusInvalid, "shape")
	}
	r := propose("family@g.us", "")
	want := `May I? let role web answer your messages that begin with "@Andy" in chat "Family Chat" (family@g.us) of whatsapp, by skill`
	if text := <-a.told; !strings.HasPrefix(text, want) || !strings.Contains(text, "Answer /allow 1 or /deny 1;") {
		t.Errorf("asked %q", text)
	}
	if len(c.routed) > 0 {
		t.Error("routed before the answer")
	}
	if text := a.answer(1, "always"); !strings.HasPrefix(text, "Allowed once") {
		t.Errorf("answer %q", text)
	}
	(<-r).want(wire.StatusOK, "")
	if len(c.routed) != 1 || c.routed[0] != "whatsapp family@g.us web @Andy by approval 1 of owner on test" {
		t.Errorf("routed %q", c.routed)
	}
	if rows, err := a.store.GrantRows(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("/always made a grant: %+v, %v", rows, err)
	}
	r = propose("boss@s", "web")
	if text := <-a.told; !strings.Contains(text, ", in the place of role family") {
		t.Errorf("asked %q", text)
	}
	a.answer(2, "deny")
	(<-r).want(wire.StatusDenied, "did not allow")
	if len(c.routed) != 1 {
		t.Errorf("routed %q", c.routed)
	}
}
