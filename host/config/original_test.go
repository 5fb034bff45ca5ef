package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestOriginalNames is the original's table of names (behaviour.md section 5). Where we differ, doc.go says why.
func TestOriginalNames(t *testing.T) {
	clean(t)
	for name, want := range map[string]bool{
		"main": true, "family-chat": true, "a": true, "7": true, "global": true, strings.Repeat("x", 32): true,
		"Team_42": false, "../../etc": false, "/tmp": false, "": false, "-a": false, "a-": false, "_a": false, "a.b": false, "a b": false,
		" a": false, "a/b": false, `a\b`: false, "..": false, "é": false, strings.Repeat("x", 65): false,
		"foo; rm -rf /": false, "foo$(whoami)": false, "foo`id`": false, "-x": false,
	} {
		_, err := parse(fmt.Sprintf("[roles.%q]\n", name), "nanoclaw.toml", Overrides{})
		if got := err == nil; got != want {
			t.Errorf("role %q: %v, want valid %v", name, err, want)
		}
	}
}
