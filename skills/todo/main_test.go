package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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

func content(t *testing.T, h *sdktest.Host) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.Workspace(), file))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func put(t *testing.T, h *sdktest.Host, text string) {
	t.Helper()
	path := filepath.Join(h.Workspace(), file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

var comment = regexp.MustCompile(` <!-- [0-9a-f]{8} -->`)

func TestLifeOfATask(t *testing.T) {
	h := sdktest.New(t)
	if got := ok(t, h, "list", nil); got != "There is nothing to do." {
		t.Errorf("empty: %q", got)
	}
	said := ok(t, h, "add", addInput{Text: "Buy\n milk"})
	id := regexp.MustCompile(`^Added: Buy milk \[([0-9a-f]{8})\]$`).FindStringSubmatch(said)
	if id == nil {
		t.Fatalf("added: %q", said)
	}
	ok(t, h, "add", addInput{Text: "Pay rent", Due: "2020-01-02"})
	ok(t, h, "add", addInput{Text: "Eggs", List: "Shopping"})
	ok(t, h, "add", addInput{Text: "Flour", List: "shopping"})
	tomorrow := time.Now().UTC().AddDate(0, 0, 1).Format("Mon 2006-01-02")
	ok(t, h, "add", addInput{Text: "Call Ann", Due: "tomorrow"})
	want := "- [ ] Buy milk\n- [ ] Pay rent (due Thu 2020-01-02, overdue)\n- [ ] Call Ann (due " + tomorrow + ")\n\n## Shopping\n- [ ] Eggs\n- [ ] Flour"
	if got := regexp.MustCompile(` \[[0-9a-f]{8}\]`).ReplaceAllString(ok(t, h, "list", nil), ""); got != want {
		t.Errorf("list: %q, want %q", got, want)
	}
	if got := comment.ReplaceAllString(content(t, h), ""); got != "# To do\n\n- [ ] Buy milk\n- [ ] Pay rent (due 2020-01-02)\n- [ ] Call Ann (due "+
		tomorrow[4:]+")\n\n## Shopping\n\n- [ ] Eggs\n- [ ] Flour\n" {
		t.Errorf("file: %q", got)
	}
	ok(t, h, "done", taskInput{id[1]})
	ok(t, h, "done", taskInput{"eggs"})
	ok(t, h, "edit", editInput{Task: "rent", Text: "Pay the rent", Due: "none", List: "Money"})
	ok(t, h, "edit", editInput{Task: "ann", Due: "2026-05-03"})
	ok(t, h, "remove", taskInput{"Flour"})
	if got := comment.ReplaceAllString(content(t, h), ""); got !=
		"# To do\n\n- [x] Buy milk\n- [ ] Call Ann (due 2026-05-03)\n\n## Shopping\n\n- [x] Eggs\n\n## Money\n\n- [ ] Pay the rent\n" {
		t.Errorf("file: %q", got)
	}
	if got := ok(t, h, "list", listInput{Due: "2026-05-03"}); !strings.HasPrefix(got, "- [ ] Call Ann (due Sun 2026-05-03") || strings.Contains(got, "\n") {
		t.Errorf("due: %q", got)
	}
	if got := ok(t, h, "list", listInput{List: "shopping"}); got != "There is nothing to do in shopping." {
		t.Errorf("done list: %q", got)
	}
	if got := ok(t, h, "list", listInput{List: "shopping", Done: true}); !strings.HasPrefix(got, "## Shopping\n- [x] Eggs") {
		t.Errorf("done list: %q", got)
	}
}

// Every tool, run again in the same turn with the same arguments, leaves the file as the
// first run did.
func TestTurnRunAgainChangesNothing(t *testing.T) {
	h := sdktest.New(t)
	put(t, h, "- [ ] milk\n- [ ] oat milk\n- [ ] bread\n")
	bread := regexp.MustCompile(`bread \[(\w{8})\]`).FindStringSubmatch(ok(t, h, "list", nil))[1]
	for _, c := range []struct {
		tool string
		args any
	}{
		{"add", addInput{Text: "eggs", Due: "tomorrow", List: "x"}},
		{"done", taskInput{"milk"}},
		{"edit", editInput{Task: "oat", Text: "oat drink", List: "y"}},
		{"edit", editInput{Task: bread, Text: "rye"}},
		{"remove", taskInput{bread}},
	} {
		first := ok(t, h, c.tool, c.args)
		after := content(t, h)
		again := ok(t, h, c.tool, c.args)
		if c.tool != "remove" && first != again || content(t, h) != after {
			t.Errorf("%s: %q, then %q; file %q, then %q", c.tool, first, again, after, content(t, h))
		}
	}
	h.Turn = "t2"
	ok(t, h, "add", addInput{Text: "eggs", List: "x"})
	if got := strings.Count(content(t, h), "eggs"); got != 2 {
		t.Errorf("eggs stand there %d times", got)
	}
}

const byHand = "\ufeffMy things\r\n=========\r\n* [ ] star\r\n  more of star\r\n\t- [X] child (due soon)\r\n1. [ ] one (due 2026-01-01) later\r\n- [] no\r\n" +
	"-[ ] no\r\n- [ ]no\r\n```\r\n- [ ] code\r\n# not a heading\r\n```\r\n#tag\r\n\xff\xfe bytes \x00\r\n## Work ##\r\n\r\ntext\r\n- [ ] last"

// What is no task stays as it is, whatever is done.
func TestHandEdits(t *testing.T) {
	h := sdktest.New(t)
	put(t, h, byHand)
	list := ok(t, h, "list", listInput{Done: true})
	if got := regexp.MustCompile(` \[[0-9a-f]{8}\]`).ReplaceAllString(list, ""); got !=
		"- [ ] star\n- [x] child (due soon)\n- [ ] one later (due Thu 2026-01-01, overdue)\n\n## Work\n- [ ] last" {
		t.Errorf("list: %q", got)
	}
	ok(t, h, "done", taskInput{"star"})
	want := strings.Replace(byHand, "* [ ] star", "* [x] star", 1)
	if got := content(t, h); got != want {
		t.Errorf("done: %q", got)
	}
	ok(t, h, "add", addInput{Text: "new", List: "work"})
	if got := comment.ReplaceAllString(content(t, h), ""); got != want+"\r\n- [ ] new\r\n" {
		t.Errorf("add: %q", got)
	}
	ok(t, h, "remove", taskInput{"new"})
	ok(t, h, "edit", editInput{Task: "one", Text: "two"})
	want = strings.Replace(want, "one (due 2026-01-01) later", "two (due 2026-01-01)", 1)
	if got := comment.ReplaceAllString(content(t, h), ""); got != want+"\r\n" {
		t.Errorf("edit: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	h := sdktest.New(t)
	ok(t, h, "add", addInput{Text: "same one"})
	ok(t, h, "add", addInput{Text: "same two"})
	before := content(t, h)
	for _, c := range []struct {
		tool string
		args any
		want string
	}{
		{"add", addInput{Text: " \n"}, "the task is empty"},
		{"add", addInput{Text: strings.Repeat("x", maxText+1)}, "longer than 500 bytes"},
		{"add", addInput{Text: "x", List: strings.Repeat("x", 99)}, "the name of the list is longer"},
		{"add", addInput{Text: "x", Due: "someday"}, `cannot read the day "someday"`},
		{"done", taskInput{"same"}, "2 tasks match \"same\", give an ID:\nsame one ["},
		{"done", taskInput{" "}, "which task?"},
		{"remove", taskInput{"other"}, `there is no task "other"`},
		{"edit", editInput{Task: "same one"}, "nothing to change"},
		{"edit", editInput{Task: "deadbeef", Text: "x"}, "there is no task"},
	} {
		if r := h.Call(c.tool, c.args); !r.IsError || !strings.Contains(r.Text(), c.want) {
			t.Errorf("%s %.60v: %+v", c.tool, c.args, r)
		}
	}
	if content(t, h) != before {
		t.Error("a refusal changed the file")
	}
	put(t, h, strings.Repeat("x", maxFile+1))
	if r := h.Call("add", addInput{Text: "x"}); !r.IsError || !strings.Contains(r.Text(), "todo/todo.md has more than") {
		t.Errorf("a huge file: %+v", r)
	}
}

// FuzzDocument: lines joined again are the file, and a task that is added is found.
func FuzzDocument(f *testing.F) {
	f.Add(byHand, "task", "list")
	f.Add("- [ ] a <!-- 12345678 -->\n", "# [ ] x (due 2026-01-01)", "##")
	f.Add("", "a <!-- 12345678 -->", "")
	f.Fuzz(func(t *testing.T, s, text, list string) {
		d := parse(s)
		if strings.Join(d.lines, "") != s {
			t.Fatal("the lines are not the file")
		}
		text, err := cleaned("task", text, maxText)
		list, err2 := cleaned("list", strings.TrimLeft(list, "# "), maxName)
		if err != nil || err2 != nil || text == "" || strings.HasSuffix(list, "#") {
			return
		}
		added := task{id: "0a0b0c0d", text: text, list: list, lead: "- [ ] "}
		d.insert(added)
		for _, line := range d.lines {
			if got, ok := parseTask(line); ok && got.id == added.id {
				return
			}
		}
		t.Fatalf("%q is not found in %q", text, d.lines)
	})
}
