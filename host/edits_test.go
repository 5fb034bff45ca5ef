package host_test

import (
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"skills", "skills", 0},
		{"skils", "skills", 1},
		{"rolse", "roles", 2},
		{"kitten", "sitting", 3},
		{strings.Repeat("x", 1<<20), "runtime", 64}, // bounded, whatever a file holds
	} {
		if got := host.Edits(c.a, c.b); got != c.want {
			t.Errorf("Edits(%.10q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestAgentIDs(t *testing.T) {
	a := host.NewAgentID("main", "whatsapp", "", "family@g.us")
	if a != host.NewAgentID("main", "whatsapp", "", "family@g.us") {
		t.Error("the ID of an agent moves")
	}
	for _, other := range []host.AgentID{
		host.NewAgentID("main", "whatsapp", "family@g.us", ""), host.NewAgentID("main", "console", "", "family@g.us"),
		host.NewAgentID("main-family", "whatsapp", "", "g.us"), host.NewAgentID("main", "whatsapp", "", "Family@g.us"),
	} {
		if a == other {
			t.Errorf("two agents are called %s", a)
		}
	}
	for _, chat := range []host.ChatID{"../../etc", "", "a/b\\c\x00d", host.ChatID(strings.Repeat("é", 500))} {
		id := string(host.NewAgentID("main", "x", "", chat))
		if len(id) > 64 || strings.ContainsAny(id, "/\\.\x00") || !strings.HasPrefix(id, "main") {
			t.Errorf("chat %.20q: ID %q is no name for a directory", chat, id)
		}
	}
}

func TestGrants(t *testing.T) {
	need := func(c host.Capability, optional bool) *host.Manifest {
		return &host.Manifest{Capabilities: []host.Need{{Name: c, Optional: optional}}}
	}
	empty := &host.Role{}
	for c, want := range map[host.Capability]bool{
		host.CapFS: true, host.CapKV: true, host.CapLLM: true, host.CapTool: true, host.CapHistory: true,
		host.CapHTTP: false, host.CapAgent: false, host.CapMessage: false, host.CapTask: false, "unheard-of": false,
	} {
		if got := host.Grants(empty, need(c, false)); got.Has(c) != want || (len(got.Missing) == 1) == want {
			t.Errorf("%s in a role that says nothing: %+v", c, got)
		}
		if got := host.Grants(empty, need(c, true)); got.Has(c) != want || (len(got.Stubbed) == 1) == want {
			t.Errorf("optional %s in a role that says nothing: %+v", c, got)
		}
	}
	if got := host.Grants(&host.Role{Withhold: []host.Capability{host.CapFS}}, need(host.CapFS, false)); got.Has(host.CapFS) {
		t.Error("fs was withheld and is given")
	}
	if got := host.Grants(&host.Role{HTTP: []host.HTTPGrant{{}}}, need(host.CapHTTP, false)); !got.Has(host.CapHTTP) {
		t.Error("http was granted and is not given")
	}
	for _, r := range []*host.Role{{Messages: []host.MessageGrant{{}}}, {Chats: true}} {
		if got := host.Grants(r, need(host.CapMessage, false)); !got.Has(host.CapMessage) {
			t.Errorf("message was granted and is not given: %+v", r)
		}
	}
}
