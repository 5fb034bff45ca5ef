package host

import (
	"regexp"
	"strings"
	"testing"
)

// TestAgentIDs: what people and roles are called never decides where files are. The names are those of the
// original's table of folders (behaviour.md section 5), safe and not; each makes a name that its rule accepts
// and that no other has.
func TestAgentIDs(t *testing.T) {
	safe := regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	seen := make(map[AgentID]string)
	for _, name := range []string{
		"main", "family-chat", "Team_42", "Team-42", "team-42", "../../etc", "/tmp", "global", "", "-a", "_a", "a", "a.b", "a b", " a", "a/b",
		`a\b`, "..", "é", "小明", "foo; rm -rf /", "foo$(whoami)", "foo`id`", "-x", "a\x00b", "a\nb", "con", "1555@s.whatsapp.net",
		strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("é", 5000), "\u202egpj",
	} {
		id := NewAgentID("main", "whatsapp", "", ChatID(name))
		if !safe.MatchString(string(id)) || strings.EqualFold(string(id), "global") {
			t.Errorf("%q makes %q", name, id)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q are one agent, %s", name, other, id)
		}
		if seen[id] = name; id != NewAgentID("main", "whatsapp", "", ChatID(name)) {
			t.Errorf("%q: another name the second time", name)
		}
	}
	if NewAgentID("a", "b", "c", "d") == NewAgentID("a-b", "", "c", "d") {
		t.Error("the parts run into each other")
	}
}
