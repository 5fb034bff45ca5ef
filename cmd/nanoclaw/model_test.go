package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// modelSite is a site whose model is asked by an unmodified SDK, pointed at a fake server of a
// kind. The whole file is the shipped one but for these settings.
func modelSite(t *testing.T, kind string, answers ...modeltest.Answer) (site, *modeltest.Server) {
	t.Helper()
	start := map[string]func(testing.TB, ...modeltest.Answer) *modeltest.Server{
		"anthropic": modeltest.NewAnthropic, "openai": modeltest.NewOpenAI,
	}[kind]
	fake := start(t, answers...)
	cfg := strings.Replace(installed(t).config(""), "# [providers.anthropic]\n", fmt.Sprintf(
		"[providers.mine]\nkind = %q\nbase_url = %q\napi_key = { env = \"NANOCLAW_TEST_KEY\" }\n", kind, fake.URL), 1)
	cfg = strings.Replace(cfg, "# name = \"claude", "name = \"claude", 1)
	s := newSite(t, cfg)
	s.env = []string{"NANOCLAW_TEST_KEY=" + modeltest.Key}
	return s, fake
}

// TestModelUsesATool: the streaming SDKs, the broker, a container, a WASM tool and back.
func TestModelUsesATool(t *testing.T) {
	for _, kind := range []string{"anthropic", "openai"} {
		t.Run(kind, func(t *testing.T) {
			s, fake := modelSite(t, kind, modeltest.Answer{Text: "Let me see.", Uses: []modeltest.Use{
				{ID: "u1", Name: "calc", Input: `{"expression":"6*7"}`}, {ID: "u2", Name: "calc", Input: `{"expression":"7*7"}`},
			}}, modeltest.Answer{Text: "They are forty-two and forty-nine."})
			if got := s.chat("multiply six by seven, and seven by seven"); got != "They are forty-two and forty-nine.\n" {
				t.Fatalf("chat said %q", got)
			}
			asked := fake.Requests()
			if len(asked) != 2 {
				t.Fatalf("%d requests, want 2", len(asked))
			}
			last, err := json.Marshal(asked[1].Body["messages"])
			if err != nil || !strings.Contains(string(last), `"42"`) || !strings.Contains(string(last), `"49"`) {
				t.Fatalf("the tools' results are not in the second request: %s", last)
			}
		})
	}
}

// TestKeyIsNowhereInTheState: after a turn with a real key, its value stands in no file that
// the host, the agent or the audit log wrote.
func TestKeyIsNowhereInTheState(t *testing.T) {
	s, _ := modelSite(t, "anthropic", modeltest.Answer{Text: "Hello."})
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

// said is what `nanoclaw chat` prints of a turn that fails, and its log.
func (s site) said(t *testing.T) string {
	t.Helper()
	c := s.cmd("chat")
	c.Stdin = strings.NewReader("hi\n")
	out, err := c.CombinedOutput()
	if err == nil {
		t.Errorf("chat says that all went well: %q", out)
	}
	return string(out)
}

// TestFailedModelIsOneSentence: what the user reads of each way to fail, and no key; what the
// server says is in the log.
func TestFailedModelIsOneSentence(t *testing.T) {
	soon := http.Header{"Retry-After": {"0.01"}}
	const again = ". Your message is kept in the history; please ask again.\n"
	for _, kind := range []string{"anthropic", "openai"} {
		if testing.Short() && kind == "openai" {
			break // host/model's tests have its errors
		}
		s, fake := modelSite(t, kind)
		for want, answer := range map[string]modeltest.Answer{
			"Something went wrong: llm: the mine key was refused; see api_key in [providers.mine].\n": {
				Status: 401, Message: "no " + modeltest.Key,
			},
			`I can't answer right now: mine does not know model "claude-sonnet-5-5"` + again: {Status: 404, Message: "its own words"},
			"I can't answer right now: mine is overloaded" + again:                           {Status: 529, Header: soon, Message: "its own words"},
			"I can't answer right now: the answer of mine was cut off" + again:               {Text: "I th", Cut: true},
		} {
			fake.Script(answer)
			got := s.said(t)
			if !strings.Contains(got, "\n"+want) || strings.Contains(got, modeltest.Key) || !strings.Contains(got, answer.Message) && answer.Status != 401 {
				t.Errorf("%s: %q, want %q, %q in the log and not the key", kind, got, want, answer.Message)
			}
		}
	}
}

// TestFallbackAnswers: the first model is overloaded, another one answers, and check says so.
func TestFallbackAnswers(t *testing.T) {
	s, first := modelSite(t, "anthropic", modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"0.01"}}})
	second := modeltest.NewOpenAI(t, modeltest.Answer{Text: "I stand in.", Open: true})
	b, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg := strings.Replace(string(b), "# fallback = []", "fallback = [\"spare\"]", 1) + fmt.Sprintf(
		"[models.spare]\nprovider = \"box\"\nname = \"m\"\n[providers.box]\nkind = \"openai\"\nbase_url = %q\n", second.URL)
	write(t, s.cfg, cfg)
	if got := s.chat("hi"); got != "I stand in.\n" || len(first.Requests()) == 0 {
		t.Errorf("chat said %q; the first was asked %d times", got, len(first.Requests()))
	}
	out, err := s.cmd("role", "show", "main").CombinedOutput()
	want := "if that fails, box, model m, at " + second.URL + ": everything this role reads is sent there"
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("role show: %v: %s", err, out)
	}
}

// hangingSite is a site whose model never ends its first answer. The func lets it answer from then on.
func hangingSite(t *testing.T) (site, func()) {
	t.Helper()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s, fake := modelSite(t, "anthropic", modeltest.Answer{Hang: hang})
	return s, func() { fake.Script(modeltest.Answer{Text: "Here I am again."}) }
}

// TestInstructionsReachTheModel: a folder with SKILL.md is a line in the prompt, and read when the
// model wants it: through the folder watcher, the host, a container and the assistant.
func TestInstructionsReachTheModel(t *testing.T) {
	s, fake := modelSite(t, "anthropic",
		modeltest.Answer{Uses: []modeltest.Use{{ID: "u1", Name: "read_skill", Input: `{"name":"brand-voice"}`}}},
		modeltest.Answer{Text: "Dear all. Tea is ready."})
	plugins := filepath.Join(t.TempDir(), "plugins")
	voice := filepath.Join(plugins, "voice")
	if err := errors.Join(os.CopyFS(plugins, os.DirFS(s.plugins)), os.Mkdir(voice, 0o755)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(voice, "SKILL.md"),
		"---\nname: brand-voice\ndescription: How letters of this house are written\n---\nBegin with Dear all.\n")
	cfg, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(cfg), s.plugins, plugins, 1)
	write(t, s.cfg, strings.Replace(text, "skills = [", `skills = ["brand-voice", `, 1))
	if got := s.chat("write that tea is ready"); got != "Dear all. Tea is ready.\n" {
		t.Fatalf("chat said %q", got)
	}
	asked := fake.Requests()
	if len(asked) != 2 {
		t.Fatalf("%d requests, want 2", len(asked))
	}
	first, _ := json.Marshal(asked[0].Body)
	second, _ := json.Marshal(asked[1].Body["messages"])
	if !strings.Contains(string(first), "How letters of this house") || strings.Contains(string(first), "Begin with Dear all") ||
		!strings.Contains(string(second), "Begin with Dear all") {
		t.Errorf("first request: %.3000s\nsecond: %.3000s", first, second)
	}
}
