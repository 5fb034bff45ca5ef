package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// anthropicSite is a site whose model is the unmodified SDK's, pointed at a fake server.
func anthropicSite(t *testing.T, answers ...modeltest.Answer) (site, *modeltest.Anthropic) {
	t.Helper()
	fake := modeltest.NewAnthropic(t, answers...)
	cfg := strings.Replace(installed(t).config(""), "# [providers.anthropic]\n",
		"[providers.anthropic]\nbase_url = \""+fake.URL+"\"\napi_key = { env = \"NANOCLAW_TEST_KEY\" }\n", 1)
	s := newSite(t, cfg)
	s.env = []string{"NANOCLAW_TEST_KEY=" + modeltest.Key}
	return s, fake
}

// TestModelUsesATool: the streaming SDK, the broker, a container, a WASM tool and back.
func TestModelUsesATool(t *testing.T) {
	s, fake := anthropicSite(t,
		modeltest.Answer{Text: "Let me see.", Uses: []modeltest.Use{{ID: "u1", Name: "calc", Input: `{"expression":"6*7"}`}}},
		modeltest.Answer{Text: "It is forty-two."})
	if got := s.chat("what do you get if you multiply six by seven?"); got != "It is forty-two.\n" {
		t.Fatalf("chat said %q", got)
	}
	asked := fake.Requests()
	if len(asked) != 2 {
		t.Fatalf("%d requests, want 2", len(asked))
	}
	last, err := json.Marshal(asked[1].Body["messages"])
	if err != nil || !strings.Contains(string(last), `"42"`) || !strings.Contains(string(last), "tool_result") {
		t.Fatalf("the tool's result is not in the second request: %s", last)
	}
}

// TestKeyIsNowhereInTheState: after a turn with a real key, its value stands in no file that
// the host, the agent or the audit log wrote.
func TestKeyIsNowhereInTheState(t *testing.T) {
	s, _ := anthropicSite(t, modeltest.Answer{Text: "Hello."})
	s.chat("hi")
	found := 0
	err := filepath.WalkDir(s.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), modeltest.Key) {
			t.Errorf("the key stands in %s", path)
		}
		if strings.Contains(string(b), "Hello.") { // the search finds what is there
			found++
		}
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("%v; the reply was found in %d files, want some", err, found)
	}
}

func TestRefusedKeyIsOneSentence(t *testing.T) {
	s, _ := anthropicSite(t, modeltest.Answer{Text: "never said"})
	s.env = []string{"NANOCLAW_TEST_KEY=sk-ant-wrong-0000000000"}
	c := s.cmd("chat")
	c.Stdin = strings.NewReader("hi\n")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "key") || strings.Contains(string(out), "sk-ant-wrong") {
		t.Fatalf("%v: %q, want one sentence about the key and not the key", err, out)
	}
}

// hangingSite is a site whose model never ends its first answer. The func lets it answer from then on.
func hangingSite(t *testing.T) (site, func()) {
	t.Helper()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s, fake := anthropicSite(t, modeltest.Answer{Hang: hang})
	return s, func() { fake.Script(modeltest.Answer{Text: "Here I am again."}) }
}
