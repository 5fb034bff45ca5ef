package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestCheckRoute: a row is for one chat and its owner alone, and nanoclaw.toml wins.
func TestCheckRoute(t *testing.T) {
	clean(t)
	c := load(t, "[assistant]\nname = 'José'\nstale_after = '0s'\n[roles.main]\n[[routes]]\nchannel = 'whatsapp'\nchat = 'taken'\nrole = 'main'\n")
	if c.Assistant.StaleAfter != 0 || load(t, "").Assistant.StaleAfter != 24*time.Hour {
		t.Error("stale_after")
	}
	row := func(chat, role string, change func(*host.Route)) host.Route {
		r := host.Route{Channel: "whatsapp", Chat: host.ChatID(chat), Role: host.RoleName(role)}
		if change != nil {
			change(&r)
		}
		return r
	}
	for want, r := range map[string]host.Route{
		"":                              row("free", "main", nil),
		"there is no role \"gone\"":     row("free", "gone", nil),
		"routes it already":             row("taken", "main", nil),
		"one chat, for its owner alone": row("*", "main", nil),
		"wider routes are written":      row("free", "main", func(r *host.Route) { r.Senders = []string{"*"} }),
		"alone; wider":                  row("free", "main", func(r *host.Route) { r.Others = true }),
		"unknown channel":               row("free", "main", func(r *host.Route) { r.Channel = "fax" }),
		"must be a chat":                row("", "main", nil),
		"must be \"trigger\"":           row("free", "main", func(r *host.Route) { r.Engage = "never" }),
		"do not begin or end":           row("free", "main", func(r *host.Route) { r.Trigger = " x" }),
	} {
		got, err := c.CheckRoute(r)
		if want == "" && (err != nil || got.Engage != host.EngageAlways) ||
			want != "" && (!errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%+v: %+v, %v; want %q", r, got, err, want)
		}
	}
	got, err := c.CheckRoute(row("free", "main", func(r *host.Route) { r.Engage = host.EngageMention }))
	if err != nil || got.Trigger != "@José" {
		t.Errorf("%+v, %v: want the assistant's name", got, err)
	}
}

// TestReachOfGroups: what a route lets in and out, and a message to another chat.
func TestReachOfGroups(t *testing.T) {
	clean(t)
	const group = "[[routes]]\nchannel = 'whatsapp'\nchat = 'family'\nrole = 'a'\n"
	for _, tc := range []struct{ text, untrusted, outward, chats string }{
		{"[roles.a]\n" + group, "", "", "whatsapp family"},
		{
			"[roles.a]\n" + group + "others = 'context'\nengage = 'reply'\n", "a (messages of others in family)", "a (answers in family)",
			"whatsapp family, when a message mentions @Andy or answers it, with what others say as context",
		},
		{
			"[roles.a]\nmessages = [ { channel = 'whatsapp', chat = 'x', ask = true } ]", "", "a (messages to whatsapp x)",
			"sends to whatsapp x, asking you each time",
		},
		{"[roles.a]\nmessages = [ { channel = 'console', chat = 'default' } ]", "", "", "sends to console default"},
		{"[roles.a]\nchats = true", "a (names of chats)", "", "knows the names of all chats, and may propose you routes"},
	} {
		r := load(t, tc.text).Examine().Roles[0]
		text := func(cs []Cause) (out []string) {
			for _, c := range cs {
				out = append(out, c.String())
			}
			return out
		}
		got := []string{strings.Join(text(r.Untrusted), " "), strings.Join(text(r.Outward), " "), strings.Join(r.Chats, " ")}
		if want := []string{tc.untrusted, tc.outward, tc.chats}; !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", tc.text, got, want)
		}
	}
	problems := load(t, "[roles.a]\nsensitive = true\nmessages = [ { channel = 'whatsapp', chat = 'x' } ]\nchats = true").Examine().Problems
	if len(problems) != 1 || !strings.Contains(problems[0], "a (sensitive, messages to whatsapp x); untrusted content comes in by a (names of chats)") {
		t.Errorf("problems %q", problems)
	}
}
