package broker_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// said makes a turn of an agent in the lab's store that ended.
func (l *lab) said(a host.Agent, n int, text, answer string) {
	l.t.Helper()
	ctx, turn := l.t.Context(), host.TurnID(fmt.Sprint(a.ID, n))
	m := host.Message{
		Channel: "console", Chat: a.Chat, Sender: "o", SenderName: "Ada", ExternalID: string(turn), Text: text,
		Time: time.UnixMilli(int64(n) * 1000),
	}
	if err := l.store.EnsureAgent(ctx, a); err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.store.AddMessage(ctx, m, a.ID, true); err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.store.Begin(ctx, a.ID, turn, 9); err != nil {
		l.t.Fatal(err)
	}
	if err := l.store.Finish(ctx, turn, store.Done, "", []host.Outgoing{{
		ID: host.MessageID(turn), Turn: turn, Channel: "console", Chat: a.Chat, Text: answer, Kind: host.OutReply,
	}}); err != nil {
		l.t.Fatal(err)
	}
}

func (r reply) texts(t *testing.T) (out []string) {
	t.Helper()
	r.want(wire.StatusOK, "")
	var a wire.HistoryResponse
	if err := json.Unmarshal(r.body, &a); err != nil {
		t.Fatal(err)
	}
	for _, m := range a.Messages {
		out = append(out, m.Text)
	}
	return out
}

// TestHistoryIsOnesOwn: an agent finds what was said to it and by it, whatever the request says.
func TestHistoryIsOnesOwn(t *testing.T) {
	l := newLab(t).stored()
	l.said(l.scope.Agent, 1, "my teapot is blue", "Noted.")
	l.said(l.scope.Agent, 2, strings.Repeat("long ", 1000), "Yes.")
	l.said(host.Agent{ID: "agent-2", Role: "web"}, 3, "the teapot of somebody else", "Oh.")
	ask := func(r wire.HistoryRequest) reply { return l.call(host.CapHistory, r) }
	if got := ask(wire.HistoryRequest{Query: "teap"}).texts(t); len(got) != 1 || got[0] != "my teapot is blue" {
		t.Errorf("found %q", got)
	}
	if got := ask(wire.HistoryRequest{}).texts(t); len(got) != 4 || len(got[2]) > 2010 || !strings.HasSuffix(got[2], "…") {
		t.Errorf("the latest: %q", got)
	}
	if got := ask(wire.HistoryRequest{Before: "1970-01-01T00:00:01.500Z", Limit: -3}).texts(t); len(got) != 1 {
		t.Errorf("before: %q", got)
	}
	for i := range 60 {
		l.said(l.scope.Agent, 10+i, "many", "Ok.")
	}
	if got := ask(wire.HistoryRequest{Limit: 1 << 30}).texts(t); len(got) != 50 {
		t.Errorf("%d messages in one answer", len(got))
	}
	ask(wire.HistoryRequest{Query: strings.Repeat("x", 257)}).want(wire.StatusTooLarge, "256 bytes")
	ask(wire.HistoryRequest{Before: "yesterday"}).want(wire.StatusInvalid, "a time such as")
	l.call(host.CapHistory, map[string]string{"agent": "agent-2"}).want(wire.StatusInvalid, "shape")
	for _, r := range l.rows() {
		if strings.Contains(r.Target+r.Reason, "teap") {
			t.Errorf("the row %+v tells what was looked for", r)
		}
	}
}

// TestHistoryHidesSecrets: a key that was pasted into the chat comes back as its name, and a search
// does not tell what it begins with.
func TestHistoryHidesSecrets(t *testing.T) {
	l := newLab(t).stored()
	l.secrets["bank"] = "correcthorsebattery"
	l.said(l.scope.Agent, 1, "my password is correcthorsebattery", "Do not tell me.")
	if got := l.call(host.CapHistory, wire.HistoryRequest{}).texts(t); len(got) != 2 || strings.Contains(got[1], "horse") {
		t.Errorf("the latest: %q", got)
	}
	for _, q := range []string{"correcth", "correcthorsebattery", "password"} {
		if got := l.call(host.CapHistory, wire.HistoryRequest{Query: q}).texts(t); len(got) != 0 {
			t.Errorf("%s: found %q", q, got)
		}
	}
}
