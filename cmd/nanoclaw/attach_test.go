package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// aPNG is an image of which no other has the bytes.
func aPNG(t *testing.T, seed byte) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 8, 8))
	m.Set(1, 1, color.RGBA{seed, 7, 7, 255})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLinesThatSendFiles(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", "/home/me")
	for line, want := range map[string]console.Input{
		"hello":                        {Text: "hello"},
		"/files":                       {Text: "/files"},
		"/filer x":                     {Text: "/filer x"},
		"/file a.png":                  {Files: []string{filepath.Join(dir, "a.png")}},
		"/file a.png what is it?":      {Files: []string{filepath.Join(dir, "a.png")}, Text: "what is it?"},
		`/file 'my cat.png' who?`:      {Files: []string{filepath.Join(dir, "my cat.png")}, Text: "who?"},
		`/file "/t/it's.png"`:          {Files: []string{"/t/it's.png"}},
		`/file /t/my\ cat\(1\).png  x`: {Files: []string{"/t/my cat(1).png"}, Text: "x"},
		`/file '/t/'\''q'\''.png'`:     {Files: []string{"/t/'q'.png"}},
		"/file ~/a.png":                {Files: []string{"/home/me/a.png"}},
	} {
		if got, err := inputOf("", line); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", line, got, err, want)
		}
	}
	for _, bad := range []string{"/file", "/file  ", "/file 'a", `/file a\`} {
		if _, err := inputOf("", bad); err == nil || !strings.Contains(err.Error(), "/file PATH") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestAttachments: a file that the owner sends is kept by its digest, is in the workspace under a safe
// name, and is seen by the model, through both protocols and a container; later again when the model
// wants to; and one that the agent writes comes back.
func TestAttachments(t *testing.T) {
	for _, kind := range []string{"anthropic", "openai"} {
		t.Run(kind, func(t *testing.T) {
			s, fake := modelSite(t, kind)
			s.start()
			pic, dir := aPNG(t, 1), t.TempDir()
			fake.Script(modeltest.Answer{Text: "A cat."})
			missing := s.cmd("chat")
			missing.Stdin = strings.NewReader("/file " + filepath.Join(dir, "none.png") + "\n")
			if out, err := missing.CombinedOutput(); err == nil || !strings.Contains(string(out), "no such file") {
				t.Errorf("a file that is not there: %v, %s", err, out)
			}
			plain := filepath.Join(dir, "my cat\u202e;rm -rf.png")
			write(t, plain, string(pic))
			if got := s.chat(fmt.Sprintf("/file '%s' what is this?", plain)); got != "A cat.\n" {
				t.Fatalf("chat said %q", got)
			}
			shown := base64.StdEncoding.EncodeToString(pic)
			asked := fake.Requests()
			raw := string(asked[len(asked)-1].Raw)
			name := regexp.MustCompile(`attachments/my_cat_rm_-rf-[0-9a-f]{12}\.png`).FindString(raw)
			if name == "" || !strings.Contains(raw, shown) || strings.Contains(raw, "\u202e") {
				t.Fatalf("the model was asked %.3000s", raw)
			}
			kept, _ := filepath.Glob(filepath.Join(s.state, "files", "*"))
			copies, _ := filepath.Glob(filepath.Join(s.state, "workspaces", "*", name))
			for _, paths := range [][]string{kept, copies} {
				if len(paths) != 1 {
					t.Fatalf("kept %q, in workspaces %q", kept, copies)
				}
				if b, err := os.ReadFile(paths[0]); err != nil || !bytes.Equal(b, pic) {
					t.Errorf("%s: %v, other bytes", paths[0], err)
				}
				if st, _ := os.Stat(paths[0]); st.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has mode %v", paths[0], st.Mode())
				}
			}
			// The next turn is told of it, and shown it when it asks.
			input, _ := json.Marshal(map[string]string{"path": name})
			fake.Script(modeltest.Answer{Uses: []modeltest.Use{{ID: "u1", Name: "view_file", Input: string(input)}}},
				modeltest.Answer{Text: "Black."})
			before := len(fake.Requests())
			if got := s.chat("what colour was it?"); got != "Black.\n" {
				t.Fatalf("chat said %q", got)
			}
			asked = fake.Requests()[before:]
			if first := string(asked[0].Raw); strings.Contains(first, shown) || !strings.Contains(first, name) {
				t.Errorf("the next turn was asked %.3000s", first)
			}
			if second := string(asked[1].Raw); !strings.Contains(second, shown) {
				t.Errorf("after view_file: %.3000s", second)
			}
			s.agentSends(fake)
		})
	}
}

// agentSends has the agent write a file and send it, and checks what comes.
func (s site) agentSends(fake *modeltest.Server) {
	t := s.t
	t.Helper()
	fake.Script(
		modeltest.Answer{Uses: []modeltest.Use{{ID: "u1", Name: "files_write", Input: `{"path":"out/report.md","content":"All is well."}`}}},
		modeltest.Answer{Uses: []modeltest.Use{{ID: "u2", Name: "files_send", Input: `{"path":"out/report.md","caption":"Here."}`}}},
		modeltest.Answer{Text: "Sent it."})
	got := s.chat("send me a report")
	m := regexp.MustCompile(`^Here\.\n\[file: (/.*/received/report-[0-9a-f]{12}\.md)\]\nSent it\.\n$`).FindStringSubmatch(got)
	if m == nil {
		t.Fatalf("chat said %q", got)
	}
	if b, err := os.ReadFile(m[1]); err != nil || string(b) != "All is well." {
		t.Errorf("%s: %q, %v", m[1], b, err)
	}
	rows, err := s.cmd("audit", "show", "--json").Output()
	want := `own chat`
	if err != nil || !strings.Contains(string(rows), want) || !strings.Contains(string(rows), "sha256:") {
		t.Errorf("no audit row: %v, %.2000s", err, rows)
	}
	// The history names the file, so that the agent knows what it did.
	fake.Script(modeltest.Answer{Text: "Yes."})
	s.chat("did you send it?")
	asked := fake.Requests()
	if raw := string(asked[len(asked)-1].Raw); !strings.Contains(raw, "[sent the file report-") {
		t.Errorf("the history: %.3000s", raw)
	}
}

// TestAttachmentsStayWithTheirAgent: another agent, of the same role or not, gets no byte of a file and
// cannot even learn that it is there.
func TestAttachmentsStayWithTheirAgent(t *testing.T) {
	s, fake := modelSite(t, "anthropic")
	b, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg, string(b)+"\n[roles.other]\ndescription = \"x\"\nprompt = \"x\"\nskills = [\"files\", \"pdf\"]\n"+
		"[[routes]]\nchannel = \"console\"\nchat = \"other\"\nrole = \"other\"\n")
	s.start()
	word, c := newCanary()
	pic, path := append(aPNG(t, 2), word...), filepath.Join(t.TempDir(), "secret.png")
	write(t, path, string(pic))
	ask := func(chat, line string, answers ...modeltest.Answer) string {
		fake.Script(answers...)
		cmd := s.cmd("chat", "--chat", chat)
		cmd.Stdin = strings.NewReader(line + "\n")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", chat, err, out)
		}
		return string(out)
	}
	ask("a", "/file "+path, modeltest.Answer{Text: "Seen."})
	raw := fake.Requests()[0].Raw
	name := regexp.MustCompile(`attachments/secret-[0-9a-f]{12}\.png`).FindString(string(raw))
	if name == "" || !c.in(raw) {
		t.Fatalf("its own agent did not get it: %.2000s", raw)
	}
	own, _ := filepath.Glob(filepath.Join(s.state, "workspaces", "*"))
	for _, chat := range []string{"samerole", "other"} {
		// It was sent one of its own, so that it has view_file at all.
		mine := filepath.Join(t.TempDir(), "mine.png")
		write(t, mine, string(aPNG(t, 3)))
		before := len(fake.Requests())
		for _, at := range []string{name, "/workspace/" + name, "../" + filepath.Base(own[0]) + "/" + name} {
			view, _ := json.Marshal(map[string]string{"path": at})
			ask(chat, "/file "+mine, modeltest.Answer{Uses: []modeltest.Use{
				{ID: "u1", Name: "view_file", Input: string(view)},
				{ID: "u2", Name: "files_send", Input: string(view)},
				{ID: "u3", Name: "files_read", Input: string(view)},
			}}, modeltest.Answer{Text: "No."})
		}
		asked := fake.Requests()[before:]
		if len(asked) != 6 {
			t.Fatalf("%s: %d requests", chat, len(asked))
		}
		for i, r := range asked {
			if c.in(r.Raw) || i%2 == 1 && !bytes.Contains(r.Raw, []byte("cannot be shown")) {
				t.Errorf("%s got it, or no answer: %.3000s", chat, r.Raw)
			}
		}
	}
	_ = filepath.WalkDir(s.state, func(path string, d os.DirEntry, _ error) error {
		if b, err := os.ReadFile(path); err == nil && d.Type().IsRegular() && bytes.Contains(b, pic) &&
			!strings.HasPrefix(path, own[0]) && !strings.HasPrefix(path, filepath.Join(s.state, "files")) {
			t.Errorf("the file is also in %s", path)
		}
		return nil
	})
}
