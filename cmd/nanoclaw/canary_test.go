package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// canary is a word and the forms in which it could come to light.
type canary [][]byte

func newCanary() (word string, c canary) {
	word = "canary" + rand.Text()
	c = canary{[]byte(word), []byte(hex.EncodeToString([]byte(word)))}
	for pad := range 3 { // base64 of it, wherever it stands in a longer text
		b := base64.RawStdEncoding.EncodeToString(append(make([]byte, pad), word...))
		c = append(c, []byte(b[(pad*8+5)/6:len(b)-2]))
	}
	return word, c
}

func (c canary) in(b []byte) bool {
	for _, form := range c {
		if bytes.Contains(b, form) {
			return true
		}
	}
	return false
}

// TestCanary: what one agent was told, and what it was told by one that it gave a task to, is in nothing
// that another can read or is given. Not yet built, and to be added here: attachments, messages.
func TestCanary(t *testing.T) {
	word, c := newCanary()
	var web sync.Map // what the outside was asked
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		web.Store(fmt.Sprint(r.URL, r.Header, string(body)), true)
	}))
	t.Cleanup(server.Close)
	s, fake := modelSite(t, "anthropic")
	plugins := filepath.Join(t.TempDir(), "plugins")
	if err := os.CopyFS(plugins, os.DirFS(s.plugins)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keeper", "spy"} {
		out, err := s.cmd("skill", "build", "testdata/canary/"+name, "-o", filepath.Join(plugins, name+".wasm")).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	b, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), s.plugins, plugins, 1)
	grant := fmt.Sprintf(`http = [ { scheme = "http", hosts = ["127.0.0.1"], port = %s, private = true } ]`, server.URL[strings.LastIndex(server.URL, ":")+1:])
	text += "\n[roles.helper]\ndescription = \"a test\"\nprompt = \"x\"\nskills = [\"keeper\", \"spy\"]\n"
	for _, role := range []string{"alpha", "beta"} {
		text += fmt.Sprintf("\n[roles.%s]\ndescription = \"a test\"\nprompt = \"x\"\naccept_risk = \"a test\"\n%s\n", role, grant)
		text += "delegates = [\"helper\"]\n"
		text += map[string]string{"alpha": `skills = ["keeper", "spy"]`, "beta": `skills = ["spy"]`}[role] + "\n"
	}
	for chat, role := range map[string]string{"a": "alpha", "alias": "alpha", "samerole": "alpha", "other": "beta"} {
		text += fmt.Sprintf("[[routes]]\nchannel = \"console\"\nchat = %q\nrole = %q\n", chat, role)
		if chat == "a" || chat == "alias" {
			text += "agent = \"shared\"\n"
		}
	}
	write(t, s.cfg, text)
	s.start()
	use := func(tool, input string) modeltest.Answer {
		return modeltest.Answer{Uses: []modeltest.Use{{ID: "u1", Name: tool, Input: input}}}
	}
	ask := func(chat, line string, answers ...modeltest.Answer) string {
		t.Helper()
		fake.Script(answers...)
		cmd := s.cmd("chat", "--chat", chat)
		cmd.Stdin = strings.NewReader(line + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", chat, err, out)
		}
		return string(out)
	}
	ask("a", "keep "+word, use("keeper_put", fmt.Sprintf(`{"text":%q}`, word)), modeltest.Answer{Text: "I keep " + word})
	dirs, err := os.ReadDir(filepath.Join(s.state, "workspaces"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("workspaces %v, %v", dirs, err)
	}
	a := dirs[0].Name()
	// The agent of role helper that works for this chat keeps the word too, and answers with it.
	ask("a", "give it away", modeltest.Answer{Uses: []modeltest.Use{task("helper", "keep "+word)}},
		use("keeper_put", fmt.Sprintf(`{"text":%q}`, word)), modeltest.Answer{Text: word}, modeltest.Answer{Text: "Done."})
	if dirs, err = os.ReadDir(filepath.Join(s.state, "workspaces")); err != nil || len(dirs) != 2 {
		t.Fatalf("workspaces %v, %v", dirs, err)
	}
	helper := dirs[0].Name()
	if helper == a {
		helper = dirs[1].Name()
	}
	others := func(path string) bool { return !strings.Contains(path, a) && !strings.Contains(path, helper) }
	for _, chat := range []string{"samerole", "other"} { // and the one that works for another chat does not have it
		before := len(fake.Requests())
		input, _ := json.Marshal(map[string]string{"agent": helper, "url": server.URL})
		reply := ask(chat, "let it be looked for", modeltest.Answer{Uses: []modeltest.Use{task("helper", "look")}},
			use("spy", string(input)), modeltest.Answer{Text: "No."}, modeltest.Answer{Text: "Done."})
		asked := fake.Requests()[before:]
		if body, _ := json.Marshal(asked[len(asked)-2].Body); len(asked) != 4 || c.in(body) || c.in([]byte(reply)) {
			t.Errorf("%s: the delegate's spy found it in %d requests: %.2000s", chat, len(asked), body)
		}
	}
	// spy lets chat spy, holds its turn with all that it has read, and says where the word is found.
	spy := func(chat string) (found []string) {
		before := len(fake.Requests())
		hold := make(chan struct{})
		input, _ := json.Marshal(map[string]string{"agent": a, "url": server.URL})
		said := make(chan string, 1)
		go func() {
			said <- ask(chat, "spy", use("spy", string(input)), modeltest.Answer{Text: "No."}, modeltest.Answer{Mute: hold, Text: "Done."})
		}()
		eventually(t, 2*time.Minute, "the spy of "+chat+" has told what it read", func() bool { return len(fake.Requests()) >= before+3 })
		for _, id := range s.containers() {
			if inspect, err := exec.Command("docker", "inspect", id).Output(); err == nil && !strings.Contains(string(inspect), a) || chat == "alias" {
				if c.in(inspect) || c.in(processMemory(t, inspect)) {
					found = append(found, "container")
				}
			}
		}
		close(hold)
		if reply := <-said; c.in([]byte(reply)) {
			found = append(found, "reply")
		} else if !strings.Contains(reply, "Done.") {
			t.Errorf("%s said %q", chat, reply)
		}
		for _, r := range fake.Requests()[before:] {
			body, _ := json.Marshal(r.Body)
			if c.in(body) {
				found = append(found, "model")
			}
			if !strings.Contains(string(body), "spy") && !strings.Contains(string(body), a) {
				t.Errorf("%s: a request that is none of the spy's: %.300s", chat, body)
			}
		}
		_ = filepath.WalkDir(filepath.Join(s.state, "workspaces"), func(path string, d os.DirEntry, err error) error {
			if b, err := os.ReadFile(path); err == nil && (others(path) || chat == "alias") && c.in(b) {
				found = append(found, path)
			}
			return nil
		})
		web.Range(func(asked, _ any) bool {
			if c.in([]byte(asked.(string))) {
				found = append(found, "web")
			}
			return true
		})
		return found
	}
	for _, chat := range []string{"samerole", "other"} {
		if found := spy(chat); len(found) > 0 {
			t.Errorf("%s has it: %q", chat, found)
		}
	}
	// The negative control: another chat of the same agent is given all of it.
	found := fmt.Sprint(spy("alias"))
	for _, where := range []string{"model", "report.txt", "container"} {
		if !strings.Contains(found, where) && (where != "container" || os.Getuid() == 0) {
			t.Errorf("the search does not find the word where it is: not in %s, but %s", where, found)
		}
	}
	asked := 0
	web.Range(func(any, any) bool { asked++; return true })
	if asked == 0 {
		t.Error("the spy did not reach the web: nothing was tried")
	}
}

// processMemory is all memory of a container's first process, as root can read it, and its environment.
func processMemory(t *testing.T, inspect []byte) []byte {
	var c []struct{ State struct{ Pid int } }
	if err := json.Unmarshal(inspect, &c); err != nil || len(c) != 1 || c[0].State.Pid == 0 {
		return nil
	}
	proc := fmt.Sprintf("/proc/%d/", c[0].State.Pid)
	all, _ := os.ReadFile(proc + "environ")
	maps, _ := os.ReadFile(proc + "maps")
	mem, err := os.Open(proc + "mem")
	if err != nil {
		return all
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[:2] != "rw" || to-from > 1<<30 {
			continue
		}
		part := make([]byte, to-from)
		n, _ := mem.ReadAt(part, from)
		all = append(all, bytes.Trim(part[:n], "\x00")...)
	}
	return all
}
