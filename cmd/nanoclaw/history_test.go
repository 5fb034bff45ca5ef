package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// asked is what a fake model was asked, system and messages, as text.
func asked(t *testing.T, r modeltest.Request) string {
	t.Helper()
	b, err := json.Marshal([]any{r.Body["system"], r.Body["messages"]})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestConversationIsSummarised: what no longer fits is announced, summed up in the background by a turn
// like any other, and found again; /new and /compact do what they say.
func TestConversationIsSummarised(t *testing.T) {
	const said = "<summary>Ada's teapot is <b>blue</b>.</summary>"
	s, fake := modelSite(t, "anthropic", modeltest.Answer{Text: said})
	s.start()
	var lines []string
	for i := range 26 {
		lines = append(lines, fmt.Sprintf("question-%d!", i+1))
	}
	s.chat(lines...)
	summary := func() (found string) {
		for _, r := range fake.Requests() {
			if text := asked(t, r); strings.Contains(text, "You write the memory") {
				found = text
				if r.Body["tools"] != nil {
					t.Errorf("the summary may use %v", r.Body["tools"])
				}
			}
		}
		return found
	}
	eventually(t, time.Minute, "a summary is asked for", func() bool { return summary() != "" })
	last := asked(t, fake.Requests()[25])
	if !strings.Contains(last, "[5 earlier questions and their answers are not shown; the tool history_search finds them.]") ||
		strings.Contains(last, "question-5!") || !strings.Contains(last, "question-6!") {
		t.Errorf("the window of turn 26: %s", last)
	}
	if text := summary(); !strings.Contains(text, "question-1!") || strings.Contains(text, "question-26!") || !strings.Contains(text, `\u0026lt;summary\u0026gt;`) {
		t.Errorf("the summary is made of %s", text)
	}
	eventually(t, time.Minute, "the summary is kept", func() bool {
		s.chat("and now?")
		all := fake.Requests()
		text := asked(t, all[len(all)-1])
		return strings.Contains(text, `[Summary of the conversation before`) && strings.Contains(text, `Ada's teapot is \u003cb\u003eblue`) &&
			!strings.Contains(text, "question-1!") && strings.Contains(text, "question-26!") && !strings.Contains(text, "not shown;")
	})
	if got := s.chat("/compact"); !strings.HasPrefix(got, "Summarised ") || !strings.Contains(got, "The last 6 questions") {
		t.Errorf("/compact: %q", got)
	}
	if text := summary(); !strings.Contains(text, `earlier_summary\u003e\nAda's teapot is \u0026lt;b`) {
		t.Errorf("the second summary is made of %s", text)
	}
	s.chat("/new")
	s.chat("who am I?")
	all := fake.Requests()
	if text := asked(t, all[len(all)-1]); strings.Contains(text, "teapot") || strings.Contains(text, "question-") {
		t.Errorf("after /new the model is shown %s", text)
	}
	out := ran(t, s.cmd("history", "--json", "question-1!"))
	var found []host.Found
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) == 0 || found[0].Text != "question-1!" {
		t.Errorf("history: %v %s", err, out)
	}
	rows := ran(t, s.cmd("audit", "show", "--json", "--capability", "llm", "--verdict", "allow", "-n", "0"))
	if n := strings.Count(rows, `"skill":"assistant"`); n != len(all) {
		t.Errorf("%d audit rows for %d requests, summaries included", n, len(all))
	}
	for command, want := range map[string]string{
		"/skills": "Role main uses assistant, notes, ", "/roles": "web: Searches and reads", "/help": "/compact sums up",
	} {
		if got := s.chat(command); !strings.Contains(got, want) {
			t.Errorf("%s: %q", command, got)
		}
	}
}

// TestOfflineDropsNothing: without a language model there is no summary, and it says so.
func TestOfflineDropsNothing(t *testing.T) {
	s := newSite(t, "")
	got := s.chat("keep in mind that the teapot is blue", "/compact", "show your memory", "search our conversation for teapot")
	if !strings.Contains(got, "The offline model writes no summaries.") || !strings.Contains(got, ": the teapot is blue\n") ||
		!strings.Contains(got, "keep in mind that the teapot is blue") {
		t.Errorf("chat said %q", got)
	}
	if out := ran(t, s.cmd("history", "teap")); strings.Count(out, "keep in mind") < 2 || !strings.Contains(out, "console default") {
		t.Errorf("history: %s", out)
	}
}

// TestMemoryIsShared: a role with memory_from reads what main remembers, and that alone.
func TestMemoryIsShared(t *testing.T) {
	s, fake := modelSite(t, "anthropic", modeltest.Answer{Uses: []modeltest.Use{
		{ID: "u1", Name: "memory_remember", Input: `{"fact":"Ada likes green tea"}`},
	}}, modeltest.Answer{Text: "Done."})
	cfg, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg, string(cfg)+`
[[routes]]
channel = "console"
chat = "side"
role = "helper"
[[routes]]
channel = "console"
chat = "apart"
role = "web"
[roles.helper]
memory_from = "main"
`)
	s.start()
	s.chat("remember my tea")
	for chat, want := range map[string]bool{"side": true, "apart": false} {
		c := s.cmd("chat", "--chat", chat)
		c.Stdin = strings.NewReader("hello\n")
		ran(t, c)
		all := fake.Requests()
		text := asked(t, all[len(all)-1])
		if got := strings.Contains(text, "# Memory of the agent main") && strings.Contains(text, "Ada likes green tea"); got != want {
			t.Errorf("chat %s: main's memory is there: %v, want %v: %s", chat, got, want, text)
		}
	}
	if out, err := s.cmd("check").CombinedOutput(); !strings.Contains(string(out), "the memory of role main, read only") {
		t.Errorf("check: %v %s", err, out)
	}
}

// TestLogs: the host writes its log to a private file too, without secrets, and `logs` shows it.
func TestLogs(t *testing.T) {
	s := newSite(t, "")
	s.start()
	if out := ran(t, s.cmd("logs", "-n", "0")); !strings.Contains(out, "[INFO]  nanoclaw: ready") {
		t.Errorf("logs: %s", out)
	}
	name := filepath.Join(s.state, logFile)
	if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	out := ran(t, s.cmd("status"))
	for _, want := range []string{"all traffic through the broker", "channels  console", "budget    main: 0 tokens today, no bound; "} {
		if !strings.Contains(out, want) {
			t.Errorf("status has no %q:\n%s", want, out)
		}
	}
	f := s.cmd("logs", "-f", "-n", "1")
	pipe, err := f.StdoutPipe()
	if err == nil {
		err = f.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	go func() {
		defer close(got)
		b := make([]byte, 4096)
		for {
			n, err := pipe.Read(b)
			if err != nil {
				return
			}
			got <- string(b[:n])
		}
	}()
	all := <-got
	if err := os.Rename(name, filepath.Join(s.state, "nanoclaw-2020-01-01T00-00-00.000.log")); err != nil { // as when it is full
		t.Fatal(err)
	}
	write(t, name, "a new file \x1b[31m\n")
	for text := range got {
		if all += text; strings.Contains(all, "a new file") {
			break
		}
	}
	if strings.Contains(all, "\x1b") || !strings.Contains(all, `a new file \u001b[31m`) {
		t.Errorf("followed: %q", all)
	}
	_, _ = f.Process.Signal(syscall.SIGINT), f.Wait()
}
