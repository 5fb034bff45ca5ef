package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

// call is one call; an error has "error: " before it.
func call(t *testing.T, h *sdktest.Host, tool string, args any) string {
	t.Helper()
	r := h.Call(tool, args)
	if r.IsError {
		return "error: " + r.Text()
	}
	return r.Text()
}

// is calls a tool and compares what it says.
func is(t *testing.T, h *sdktest.Host, want, tool string, args any) {
	t.Helper()
	if got := call(t, h, tool, args); got != want {
		t.Errorf("%s %.60v:\n got %.300q\nwant %.300q", tool, args, got, want)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// world is a workspace with some files, and a mount /mnt/docs.
func world(t *testing.T) (h *sdktest.Host, ws, docs string) {
	t.Helper()
	h = sdktest.New(t)
	docs = filepath.Join(t.TempDir(), "docs")
	h.Mounted = []string{docs}
	ws = h.Workspace()
	put(t, filepath.Join(ws, "a.txt"), "one\nTwo tea\nthree\n")
	put(t, filepath.Join(ws, "reports/june.md"), "# June\n\nTea was sold.\n")
	put(t, filepath.Join(ws, "photo.jpg"), "\xff\xd8\xff\xe0\x00\x10JFIF tea")
	put(t, filepath.Join(docs, "old/tea-list.txt"), "green\nblack\n")
	return h, ws, docs
}

func TestList(t *testing.T) {
	h, ws, _ := world(t)
	if err := os.Symlink("/etc", filepath.Join(ws, "link")); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(ws, "big"), strings.Repeat("x", 20<<10))
	is(t, h, "a.txt  18 bytes\nbig  20 KB\nlink  (no file)\nphoto.jpg  14 bytes\nreports/\n/mnt/docs/", "list", nil)
	is(t, h, "june.md  22 bytes", "list", listInput{"reports"})
	is(t, h, "june.md  22 bytes", "list", listInput{"/workspace/reports/"})
	is(t, h, "tea-list.txt  12 bytes", "list", listInput{"/mnt/docs/old"})
	is(t, h, `error: there is no "nowhere"`, "list", listInput{"nowhere"})
	is(t, h, "error: a.txt is not a directory, or goes through a file", "list", listInput{"a.txt"})
	for i := range maxList + 10 {
		put(t, filepath.Join(ws, "many", strings.Repeat("f", i%50+1)+strings.Repeat("g", i/50+1)), "")
	}
	if got := call(t, h, "list", listInput{"many"}); !strings.HasSuffix(got, "and 10 more; list a directory in it, or search") {
		t.Errorf("long list ends %q", got[len(got)-60:])
	}
	if err := os.Mkdir(filepath.Join(ws, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	is(t, h, "empty is empty.", "list", listInput{"empty"})
}

func TestRead(t *testing.T) {
	h, ws, _ := world(t)
	put(t, filepath.Join(ws, "none"), "")
	is(t, h, "one\nTwo tea\nthree\n", "read", readInput{Path: "./reports/../a.txt"})
	is(t, h, "green\nblack\n", "read", readInput{Path: "/mnt/docs/old/tea-list.txt"})
	is(t, h, "one\nTwo tea\n\n\n[cut here: 6 of 18 bytes follow; go on with offset 12]", "read", readInput{Path: "a.txt", Limit: 14})
	is(t, h, "three\n", "read", readInput{Path: "a.txt", Offset: 12})
	is(t, h, "none is empty.", "read", readInput{Path: "none"})
	is(t, h, "error: a.txt has 18 bytes, none at offset 18", "read", readInput{Path: "a.txt", Offset: 18})
	is(t, h, "error: a.txt has 18 bytes, none at offset -1", "read", readInput{Path: "a.txt", Offset: -1})
	is(t, h, "error: photo.jpg holds no text (UTF-8): a binary file of 14 bytes", "read", readInput{Path: "photo.jpg"})
	is(t, h, "error: reports is a directory", "read", readInput{Path: "reports"})
	is(t, h, `error: there is no "b.txt"`, "read", readInput{Path: "b.txt"})
	is(t, h, "error: the workspace is a directory", "read", readInput{})
}

// TestReadInParts puts a file together again from its parts, whatever their limit.
func TestReadInParts(t *testing.T) {
	h, ws, _ := world(t)
	text := strings.Repeat("é€ line\n\n日本語 and a long one without an end ", 40)
	put(t, filepath.Join(ws, "long"), text)
	for _, limit := range []int64{1, 2, 3, 7, 100, 1000, 0} {
		all, parts := "", 0
		for parts = 1; parts < 10_000; parts++ {
			got := call(t, h, "read", readInput{Path: "long", Offset: int64(len(all)), Limit: limit})
			part, _, isCut := strings.Cut(got, "\n\n[cut here: ")
			if all += part; !isCut || strings.HasPrefix(got, "error") {
				break
			}
		}
		if all != text {
			t.Fatalf("limit %d: %d bytes of %d in %d parts", limit, len(all), len(text), parts)
		}
	}
}

func TestPathsStayInside(t *testing.T) {
	h, _, _ := world(t)
	for path, want := range map[string]string{
		"../x": "leads out", "a/../../x": "leads out", "/etc/passwd": "neither of the workspace", "/mnt": `there is no "/mnt": there are /mnt/docs`,
		"/mnt/other/x": `there is no "/mnt/other": there are /mnt/docs`, "/mnt/docs/../../etc": "leads out", "/workspace/../x": "leads out",
		"a\x00b": "line break", "/mntx": "neither", strings.Repeat("x", 1001): "longer than 1000",
	} {
		for tool, args := range map[string]any{
			"read": readInput{Path: path}, "list": listInput{path}, "write": writeInput{path, "x"}, "append": writeInput{path, "x"},
			"move": moveInput{path, "y"}, "delete": listInput{path}, "search": searchInput{"x", path},
		} {
			if got := call(t, h, tool, args); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, want) {
				t.Errorf("%s %.30q: %q", tool, path, got)
			}
		}
	}
	h.Mounted = nil
	is(t, h, `error: there is no "/mnt/docs": this role mounts nothing`, "read", readInput{Path: "/mnt/docs/x"})
}

func TestWrite(t *testing.T) {
	h, ws, docs := world(t)
	for range 2 { // a turn that runs again
		is(t, h, "Wrote 3 bytes to new/deep/x.md.", "write", writeInput{"new/deep/x.md", "é\n"})
		is(t, h, "Wrote 1 bytes to /mnt/docs/y.", "write", writeInput{"/mnt/docs/y", "z"})
	}
	is(t, h, "é\n", "read", readInput{Path: "new/deep/x.md"})
	is(t, h, "Wrote 0 bytes to a.txt.", "write", writeInput{"a.txt", ""})
	is(t, h, "error: reports is a directory, or no regular file", "write", writeInput{"reports", "x"})
	is(t, h, "error: reports is a directory: name a file in it", "write", writeInput{"reports/", "x"})
	is(t, h, "error: the workspace is a directory: name a file in it", "write", writeInput{"", "x"})
	is(t, h, "error: a.txt/b is not a directory, or goes through a file", "append", writeInput{"a.txt/b", "x"})
	is(t, h, "error: "+journal+" is a name that this skill keeps for itself", "write", writeInput{journal, "x"})
	is(t, h, "error: the text has more than 512 KB: write it in parts, with append", "write", writeInput{"b", strings.Repeat("x", maxWrite+1)})
	for _, dir := range []string{ws, docs, filepath.Join(ws, "new/deep")} {
		if left, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

func TestAppend(t *testing.T) {
	h, ws, _ := world(t)
	put(t, filepath.Join(ws, "open"), "no end")
	turn := func(name string) {
		h.Turn = name
		is(t, h, "Appended 4 bytes to log.", "append", writeInput{"log", "one"})
		is(t, h, "Appended 4 bytes to log.", "append", writeInput{"log", "two\n"})
		is(t, h, "Appended 4 bytes to open.", "append", writeInput{"open", "end"})
	}
	turn("t1")
	turn("t1") // again, as after a crash
	is(t, h, "one\ntwo\n", "read", readInput{Path: "log"})
	is(t, h, "no end\nend\n", "read", readInput{Path: "open"})
	turn("t2")
	is(t, h, "one\ntwo\none\ntwo\n", "read", readInput{Path: "log"})
	is(t, h, "no end\nend\nend\n", "read", readInput{Path: "open"})

	// Cut short between journal and file, the turn that runs again does append.
	put(t, filepath.Join(ws, "log"), "one\ntwo\n")
	turn("t2")
	is(t, h, "one\ntwo\none\ntwo\n", "read", readInput{Path: "log"})
	for i := range 2 * maxJournal {
		h.Turn = "x" + strings.Repeat("y", i)
		call(t, h, "append", writeInput{"log", "z"})
	}
	b, err := os.ReadFile(filepath.Join(ws, journal))
	if n := bytes.Count(b, []byte("\n")); err != nil || n > maxJournal {
		t.Errorf("the journal has %d lines, %v", n, err)
	}
	put(t, filepath.Join(ws, journal), "garbage\n\x00 -5\n")
	is(t, h, "Appended 2 bytes to fresh.", "append", writeInput{"fresh", "z"})
	put(t, filepath.Join(ws, "huge"), strings.Repeat("x", maxAppended+1))
	is(t, h, "error: huge has more than 8192 KB: nothing can be appended to it", "append", writeInput{"huge", "z"})
	is(t, h, "error: reports is a directory, or no regular file", "append", writeInput{"reports", "z"})
}

func TestMoveAndDelete(t *testing.T) {
	h, _, _ := world(t)
	is(t, h, "Moved a.txt to b/c.txt.", "move", moveInput{"a.txt", "b/c.txt"})
	is(t, h, "a.txt is at b/c.txt already.", "move", moveInput{"a.txt", "b/c.txt"})
	is(t, h, "Moved b/c.txt to reports/c.txt.", "move", moveInput{"b/c.txt", "reports"})
	is(t, h, "error: reports/june.md is there already: delete it first, or choose another name", "move", moveInput{"reports/c.txt", "reports/june.md"})
	is(t, h, `error: there is no "nowhere"`, "move", moveInput{"nowhere", "x"})
	is(t, h, "error: the workspace itself cannot be moved", "move", moveInput{".", "x"})
	is(t, h, "error: reports is not empty: delete what is in it first", "delete", listInput{"reports"})
	is(t, h, "Deleted b.", "delete", listInput{"b"})
	is(t, h, "Deleted reports/c.txt.", "delete", listInput{"reports/c.txt"})
	is(t, h, "reports/c.txt is not there, so there is nothing to delete.", "delete", listInput{"reports/c.txt"})
	is(t, h, "error: /mnt/docs itself cannot be deleted: name a file in it", "delete", listInput{"/mnt/docs"})
}

func TestSearch(t *testing.T) {
	h, ws, _ := world(t)
	if err := os.Symlink("/etc/passwd", filepath.Join(ws, "tea-link")); err != nil {
		t.Fatal(err)
	}
	is(t, h, "a.txt:2: Two tea\nreports/june.md:3: Tea was sold.\n/mnt/docs/old/tea-list.txt", "search", searchInput{Query: "TEA"})
	is(t, h, "/mnt/docs/old/tea-list.txt:2: black", "search", searchInput{"black", "/mnt/docs"})
	is(t, h, "reports/", "search", searchInput{Query: "report"})
	is(t, h, `No file has "coffee" in its name or text.`, "search", searchInput{Query: "coffee"})
	is(t, h, "error: the query must have 1 to 200 bytes", "search", searchInput{Query: " "})
	is(t, h, `error: there is no "nowhere"`, "search", searchInput{"x", "nowhere"})
	put(t, filepath.Join(ws, "wide"), strings.Repeat("é", 500)+"needle")
	if got := call(t, h, "search", searchInput{Query: "needle"}); len(got) > 200 {
		t.Errorf("a long line: %q", got)
	}
	for i := range maxMatches + 5 {
		put(t, filepath.Join(ws, "n", strings.Repeat("needle", i%30+1)+strings.Repeat("x", i/30)), "")
	}
	if got := call(t, h, "search", searchInput{Query: "needle"}); strings.Count(got, "\n") > maxMatches || !strings.Contains(got, "more than can be searched") {
		t.Errorf("many matches: %q", got)
	}
}

func TestFaults(t *testing.T) {
	p := place{shown: "x"}
	for err, want := range map[error]string{
		&os.PathError{Err: syscall.EROFS}:  "x is read-only: the role mounts it so",
		&os.PathError{Err: syscall.ENOSPC}: "the workspace is full",
		&os.LinkError{Err: syscall.EXDEV}:  "x cannot be moved into or out of a mount: read it and write it there",
		&os.PathError{Err: syscall.EEXIST}: "x is there already",
		&os.PathError{Err: syscall.ELOOP}:  "x cannot be used: too many levels of symbolic links",
		errors.New("/secret/path"):         "x cannot be used",
	} {
		if got := p.fault(err).Error(); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// TestSend: the host is named the path as the skill sees it, and reads it itself.
func TestSend(t *testing.T) {
	h, _, _ := world(t)
	var asked []string
	h.Messages = func(r sdk.MessageRequest) error { asked = append(asked, r.Op+" "+r.Path+" "+r.Text); return nil }
	is(t, h, "Sent reports/june.md.", "send", map[string]string{"path": "/workspace/reports/june.md", "caption": "June"})
	is(t, h, "Sent /mnt/docs/old/tea-list.txt.", "send", map[string]string{"path": "/mnt/docs/old/tea-list.txt"})
	for _, bad := range []string{"none", "reports", "../../etc/passwd", "/etc/passwd"} {
		call(t, h, "send", map[string]string{"path": bad})
	}
	if got := strings.Join(asked, "|"); got != "send_file reports/june.md June|send_file /mnt/docs/old/tea-list.txt " {
		t.Errorf("asked %q", got)
	}
}
