package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

func ok(t *testing.T, h *sdktest.Host, tool string, args any) string {
	t.Helper()
	r := h.Call(tool, args)
	if r.IsError {
		t.Fatalf("%s: %s", tool, r.Text())
	}
	return r.Text()
}

func path(h *sdktest.Host) string { return filepath.Join(h.Workspace(), "MEMORY.md") }

func read(t *testing.T, h *sdktest.Host) string {
	t.Helper()
	b, err := os.ReadFile(path(h))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, h *sdktest.Host, text string) {
	t.Helper()
	if err := os.WriteFile(path(h), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRememberRecallForget(t *testing.T) {
	h := sdktest.New(t)
	if got := ok(t, h, "recall", nil); got != "There is nothing in memory yet." {
		t.Errorf("empty: %q", got)
	}
	if got := ok(t, h, "remember", factInput{" Ada likes\n green  tea "}); got != "Remembered: Ada likes green tea" {
		t.Errorf("remember: %q", got)
	}
	ok(t, h, "remember", factInput{"Ada's cat is called Mia"})
	if got := read(t, h); !regexp.MustCompile(`^- \d{4}-\d\d-\d\d: Ada likes green tea\n- \d{4}-\d\d-\d\d: Ada's cat is called Mia\n$`).MatchString(got) {
		t.Errorf("file: %q", got)
	}
	if got := ok(t, h, "recall", recallInput{"TEA ada"}); !strings.HasSuffix(got, ": Ada likes green tea") || strings.Contains(got, "\n") {
		t.Errorf("recall: %q", got)
	}
	if got := ok(t, h, "recall", recallInput{"dog"}); got != `Nothing in memory contains "dog".` {
		t.Errorf("recall: %q", got)
	}
	if r := h.Call("forget", factInput{"ada"}); !r.IsError || !strings.HasPrefix(r.Text(), "2 lines match, give one of them in whole:\n- ") {
		t.Errorf("forget: %+v", r)
	}
	if got := ok(t, h, "forget", factInput{"mia"}); got != "Forgotten: Ada's cat is called Mia" || strings.Contains(read(t, h), "Mia") {
		t.Errorf("forget: %q", got)
	}
}

func TestTurnRunAgainChangesNothing(t *testing.T) {
	h := sdktest.New(t)
	ok(t, h, "remember", factInput{"one"})
	ok(t, h, "remember", factInput{"One"}) // the same, in this turn or another
	before := read(t, h)
	if strings.Count(before, "\n") != 1 {
		t.Errorf("file: %q", before)
	}
	ok(t, h, "remember", factInput{"one more"})
	ok(t, h, "forget", factInput{"one"}) // the line itself, though two contain it
	if got := ok(t, h, "forget", factInput{"one more x"}); got != `Nothing in memory contains "one more x".` {
		t.Errorf("forget: %q", got)
	}
	if got := read(t, h); !strings.HasSuffix(got, ": one more\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("file: %q", got)
	}
}

// TestOwnersTextStays: what the owner wrote is kept byte for byte, and can be forgotten line by line.
func TestOwnersTextStays(t *testing.T) {
	h := sdktest.New(t)
	const text = "# About me\r\n\n  Berlin, since 2019\n\n* vegetarian\n* vegetarian\nno newline at the end"
	put(t, h, text)
	ok(t, h, "remember", factInput{"x"})
	if got := read(t, h); !strings.HasPrefix(got, text+"\n- ") {
		t.Errorf("file: %q", got)
	}
	ok(t, h, "forget", factInput{"* vegetarian"})
	ok(t, h, "forget", factInput{"berlin"})
	if got := read(t, h); !strings.HasPrefix(got, "# About me\r\n\n\n* vegetarian\nno newline at the end\n- ") {
		t.Errorf("file: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	h := sdktest.New(t)
	for _, c := range []struct {
		tool string
		args any
		want string
	}{
		{"remember", factInput{" \n"}, "the fact is empty"},
		{"remember", factInput{strings.Repeat("x", maxFact+1)}, "longer than 1000 bytes"},
		{"forget", factInput{" "}, "no word to look for"},
	} {
		if r := h.Call(c.tool, c.args); !r.IsError || !strings.Contains(r.Text(), c.want) {
			t.Errorf("%s %.30v: %+v", c.tool, c.args, r)
		}
	}
	put(t, h, strings.Repeat("full\n", maxFile/5))
	if r := h.Call("remember", factInput{"one more"}); !r.IsError || !strings.Contains(r.Text(), "MEMORY.md is full: it holds 32768 bytes") {
		t.Errorf("full: %+v", r)
	}
	put(t, h, strings.Repeat("x", maxFile+1))
	for tool, args := range map[string]any{"recall": nil, "remember": factInput{"x"}, "forget": factInput{"x"}} {
		if r := h.Call(tool, args); !r.IsError || strings.Contains(r.Text(), sdk.Workspace()) {
			t.Errorf("%s of a file that is too large: %+v", tool, r)
		}
	}
}
