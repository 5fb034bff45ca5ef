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

// ok calls a tool and returns its text; an error ends the test.
func ok(t *testing.T, h *sdktest.Host, tool string, args any) string {
	t.Helper()
	r := h.Call(tool, args)
	if r.IsError {
		t.Fatalf("%s: %s", tool, r.Text())
	}
	return r.Text()
}

func files(t *testing.T, h *sdktest.Host) []string {
	t.Helper()
	got, err := filepath.Glob(filepath.Join(h.Workspace(), "notes", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func put(t *testing.T, h *sdktest.Host, name, text string) {
	t.Helper()
	dir := filepath.Join(h.Workspace(), "notes")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAddListSearchRead(t *testing.T) {
	h := sdktest.New(t)
	if got := ok(t, h, "list", nil); got != "There are no notes yet." {
		t.Errorf("empty list: %q", got)
	}
	added := ok(t, h, "add", addInput{"# Buy milk\n\nOat, two litres."})
	id := regexp.MustCompile(`^Noted: Buy milk \(([0-9a-f]{8})\)$`).FindStringSubmatch(added)
	if id == nil {
		t.Fatalf("added: %q", added)
	}
	ok(t, h, "add", addInput{"Ann's birthday is on 3 May"})
	if got := ok(t, h, "list", nil); !regexp.MustCompile(`(?m)^`+id[1]+`  \d{4}-\d\d-\d\d  Buy milk$`).MatchString(got) ||
		strings.Count(got, "\n") != 1 {
		t.Errorf("list: %q", got)
	}
	if got := ok(t, h, "list", listInput{1}); !strings.HasSuffix(got, "\nand 1 older ones") {
		t.Errorf("short list: %q", got)
	}
	if got := ok(t, h, "search", searchInput{"LITRES oat"}); !strings.HasSuffix(got, "Buy milk: Oat, two litres.") {
		t.Errorf("search: %q", got)
	}
	if got := ok(t, h, "search", searchInput{"oat birthday"}); got != `No note contains "oat birthday".` {
		t.Errorf("search: %q", got)
	}
	for _, by := range []string{id[1], "milk"} {
		if got := ok(t, h, "read", readInput{by}); got != "# Buy milk\n\nOat, two litres." {
			t.Errorf("read %s: %q", by, got)
		}
	}
}

func TestTurnRunAgainAddsNothing(t *testing.T) {
	h := sdktest.New(t)
	first := ok(t, h, "add", addInput{"one"})
	if again := ok(t, h, "add", addInput{" one\n"}); again != first {
		t.Errorf("got %q, then %q", first, again)
	}
	if n := len(files(t, h)); n != 1 {
		t.Errorf("%d files", n)
	}
	ok(t, h, "add", addInput{"two"})
	h.Turn = "t2"
	ok(t, h, "add", addInput{"one"})
	if n := len(files(t, h)); n != 3 {
		t.Errorf("%d files", n)
	}
}

func TestFileNamesAreSafe(t *testing.T) {
	h := sdktest.New(t)
	for _, text := range []string{"../../etc/passwd", "日本語", "a\x00b", "\xff\xfe", "CON", strings.Repeat("long ", 100), "."} {
		ok(t, h, "add", addInput{text})
	}
	name := regexp.MustCompile(`^\d{8}-\d{6}-[a-z0-9-]{1,40}-[0-9a-f]{8}\.md$`)
	got := files(t, h)
	if len(got) != 7 {
		t.Errorf("%d files", len(got))
	}
	for _, f := range got {
		if !name.MatchString(filepath.Base(f)) {
			t.Errorf("file %q", f)
		}
	}
}

func TestFilesOfOthers(t *testing.T) {
	h := sdktest.New(t)
	put(t, h, "shopping.md", "Eggs and flour\n")
	put(t, h, ".hidden.md", "secret")
	put(t, h, "picture.png", "not a note")
	put(t, h, "huge.md", strings.Repeat("x", maxRead+100))
	if err := os.Mkdir(filepath.Join(h.Workspace(), "notes", "dir.md"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(h.Workspace(), "notes", "link.md")); err != nil {
		t.Fatal(err)
	}
	got := ok(t, h, "list", nil)
	if !strings.HasPrefix(got, "shopping  Eggs and flour\nhuge  xxx") || strings.Count(got, "\n") != 1 {
		t.Errorf("list: %.200q", got)
	}
	if got := ok(t, h, "read", readInput{"shopping.md"}); got != "Eggs and flour" {
		t.Errorf("read: %q", got)
	}
	if got := ok(t, h, "read", readInput{"huge"}); len(got) != maxRead {
		t.Errorf("read %d bytes", len(got))
	}
}

func TestRefusals(t *testing.T) {
	h := sdktest.New(t)
	ok(t, h, "add", addInput{"same one"})
	ok(t, h, "add", addInput{"same two"})
	for _, c := range []struct {
		tool string
		args any
		want string
	}{
		{"add", addInput{" \n"}, "the note is empty"},
		{"add", addInput{strings.Repeat("x", maxText+1)}, "longer than 65536 bytes"},
		{"add", map[string]int{"text": 7}, "invalid arguments: text: want a string, got 7"},
		{"search", searchInput{" "}, "there is no word"},
		{"read", readInput{"../secret"}, `there is no note "../secret"`},
		{"read", readInput{"same"}, "2 notes match"},
	} {
		if r := h.Call(c.tool, c.args); !r.IsError || !strings.Contains(r.Text(), c.want) {
			t.Errorf("%s %.30v: %+v", c.tool, c.args, r)
		}
	}
}

func TestErrorsNameNoPath(t *testing.T) {
	h := sdktest.New(t)
	if err := os.WriteFile(filepath.Join(h.Workspace(), "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for tool, args := range map[string]any{"add": addInput{"x"}, "list": nil, "read": readInput{"x"}} {
		r := h.Call(tool, args)
		if !r.IsError || strings.Contains(r.Text(), sdk.Workspace()) || !strings.Contains(r.Text(), " cannot be used: ") {
			t.Errorf("%s: %+v", tool, r)
		}
	}
}

func TestStamp(t *testing.T) {
	for now, want := range map[int64]string{0: "19700101-000000", 1795516266: "20261124-103106", 1709251199: "20240229-235959"} {
		if got := stamp(now); got != want {
			t.Errorf("%d: got %s, want %s", now, got, want)
		}
	}
}
