package wasm

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// filesEngine is the Go guest with /workspace (ws), read-only /mnt/docs and a quota.
func filesEngine(t *testing.T, quota wire.Quota) (e *testEngine, ws, docs string) {
	t.Helper()
	base := t.TempDir()
	ws, docs = filepath.Join(base, "ws"), filepath.Join(base, "docs")
	for _, d := range []string{ws, docs} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{base + "/secret": "top secret", docs + "/a.txt": "a document"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := spec("g", goGuest(t), capFS)
	s.Preopens = []wire.Preopen{
		{Guest: workspaceDir, Path: ws}, {Guest: "/mnt/docs", Path: docs, ReadOnly: true},
	}
	return newEngine(t, Config{}, wire.Load{Skills: []wire.LoadSkill{s}, Quota: quota}), ws, docs
}

type fileOp struct {
	Op   string `json:"op"`
	Path string `json:"path,omitempty"`
	To   string `json:"to,omitempty"`
	Data string `json:"data,omitempty"`
	N    int64  `json:"n,omitempty"`
}

func (e *testEngine) file(t *testing.T, op fileOp) wire.ToolOutcome {
	t.Helper()
	b, err := json.Marshal(op)
	if err != nil {
		t.Fatal(err)
	}
	return e.Tool(context.Background(), wire.ToolCall{Name: "g", Arguments: b})
}

func TestFiles(t *testing.T) {
	e, ws, docs := filesEngine(t, wire.Quota{Bytes: 1 << 20, Files: 100})
	for _, err := range []error{
		os.Symlink("../secret", ws+"/rel"), os.Symlink("/etc/passwd", ws+"/abs"), os.Symlink(docs, ws+"/dir"),
		os.Symlink("..", ws+"/up"), os.Symlink("inside.txt", ws+"/good"),
		unix.Mkfifo(ws+"/fifo", 0o600), os.WriteFile(ws+"/inside.txt", []byte("inside"), 0o600),
		os.WriteFile(ws+"/linked", []byte("two names"), 0o600), os.Link(ws+"/linked", filepath.Dir(ws)+"/elsewhere"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("n", 256)
	for i, tc := range []struct {
		fileOp
		want string // text of an ok result; "!" and part of the error otherwise
	}{
		{fileOp{Op: "write", Path: "/workspace/f", Data: "hello"}, ""},
		{fileOp{Op: "append", Path: "/workspace/f", Data: " world"}, ""},
		{fileOp{Op: "read", Path: "/workspace/f"}, "hello world"},
		{fileOp{Op: "read", Path: "/workspace/f/"}, "!not a directory"},
		{fileOp{Op: "mkdir", Path: "/workspace/d/e/"}, ""},
		{fileOp{Op: "write", Path: "/workspace/d/e/g", Data: "g"}, ""},
		{fileOp{Op: "rename", Path: "/workspace/d", To: "/workspace/moved"}, ""},
		{fileOp{Op: "read", Path: "/workspace/moved/e/g"}, "g"},
		{fileOp{Op: "rename", Path: "/workspace/f", To: "/workspace/moved"}, "!"},
		{fileOp{Op: "rename", Path: "/workspace/f", To: "/workspace/moved/f"}, ""},
		{fileOp{Op: "list", Path: "/workspace/moved"}, "e f"},
		{fileOp{Op: "chtimes", Path: "/workspace/moved/f", N: 1000}, ""},
		{fileOp{Op: "stat", Path: "/workspace/moved/f"}, "-rw------- 11 1000"},
		{fileOp{Op: "truncate", Path: "/workspace/moved/f", N: 5}, ""},
		{fileOp{Op: "read", Path: "/workspace/moved/f"}, "hello"},
		{fileOp{Op: "remove", Path: "/workspace/moved"}, "!not empty"},
		{fileOp{Op: "remove", Path: "/workspace/moved/f"}, ""},
		{fileOp{Op: "remove", Path: "/workspace"}, "!"},
		// escapes
		{fileOp{Op: "read", Path: "/workspace/../secret"}, "!"},
		{fileOp{Op: "read", Path: "/workspace/rel"}, "!"},
		{fileOp{Op: "write", Path: "/workspace/rel", Data: "x"}, "!"},
		{fileOp{Op: "read", Path: "/workspace/abs"}, "!"},
		{fileOp{Op: "read", Path: "/workspace/dir/a.txt"}, "!"},
		{fileOp{Op: "list", Path: "/workspace/up"}, "!"},
		{fileOp{Op: "read", Path: "/workspace/up/secret"}, "!"},
		{fileOp{Op: "rename", Path: "/workspace/inside.txt", To: "/workspace/up/x"}, "!"},
		{fileOp{Op: "mkdir", Path: "/workspace/up/x"}, "!"},
		{fileOp{Op: "read", Path: "/etc/passwd"}, "!"},
		{fileOp{Op: "read", Path: "/workspace/good"}, "inside"},
		{fileOp{Op: "symlink", Path: "/workspace/l1", To: "inside.txt"}, ""},
		{fileOp{Op: "read", Path: "/workspace/l1"}, "inside"},
		{fileOp{Op: "symlink", Path: "/workspace/l2", To: "../secret"}, "!"},
		{fileOp{Op: "symlink", Path: "/workspace/l3", To: "/etc"}, "!"},
		{fileOp{Op: "symlink", Path: "/workspace/moved/l4", To: "../inside.txt"}, ""},
		// things that are no plain files
		{fileOp{Op: "read", Path: "/workspace/fifo"}, "!"},
		{fileOp{Op: "append", Path: "/workspace/fifo", Data: "x"}, "!"},
		{fileOp{Op: "read", Path: "/workspace/linked"}, "two names"},
		{fileOp{Op: "append", Path: "/workspace/linked", Data: "x"}, "!"},
		{fileOp{Op: "link", Path: "/workspace/rel", To: "/workspace/hard"}, "!"}, // a symlink
		{fileOp{Op: "link", Path: "/workspace/moved/l4", To: "/workspace/hard"}, "!"},
		{fileOp{Op: "rename", Path: "/workspace/moved/l4", To: "/workspace/l4"}, "!"}, // would point outside from there
		{fileOp{Op: "link", Path: "/workspace/inside.txt", To: "/workspace/up/hard"}, "!"},
		{fileOp{Op: "link", Path: "/workspace/up/secret", To: "/workspace/hard"}, "!"},
		{fileOp{Op: "link", Path: "/workspace/inside.txt", To: "/mnt/docs/hard"}, "!"},
		{fileOp{Op: "link", Path: "/mnt/docs/a.txt", To: "/workspace/hard"}, "!"},
		{fileOp{Op: "link", Path: "/workspace/inside.txt", To: "/workspace/hard"}, ""},
		{fileOp{Op: "read", Path: "/workspace/hard"}, "inside"},
		{fileOp{Op: "append", Path: "/workspace/hard", Data: "x"}, "!"},
		{fileOp{Op: "remove", Path: "/workspace/hard"}, ""},
		{fileOp{Op: "rename", Path: "/workspace/moved", To: "/workspace/up"}, "!"},
		{fileOp{Op: "write", Path: "/workspace/" + long}, "!"},
		{fileOp{Op: "write", Path: "/workspace/" + strings.Repeat("dir/", 1100) + "f"}, "!"},
		{fileOp{Op: "open", Path: "/workspace/inside.txt", N: 1000}, "126"}, // and the preopens
		// read-only
		{fileOp{Op: "read", Path: "/mnt/docs/a.txt"}, "a document"},
		{fileOp{Op: "write", Path: "/mnt/docs/b.txt", Data: "x"}, "!"},
		{fileOp{Op: "truncate", Path: "/mnt/docs/a.txt"}, "!"},
		{fileOp{Op: "remove", Path: "/mnt/docs/a.txt"}, "!"},
		{fileOp{Op: "mkdir", Path: "/mnt/docs/d"}, "!"},
		{fileOp{Op: "chtimes", Path: "/mnt/docs/a.txt", N: 1}, "!"},
		{fileOp{Op: "rename", Path: "/mnt/docs/a.txt", To: "/mnt/docs/c"}, "!"},
		{fileOp{Op: "symlink", Path: "/mnt/docs/s", To: "a.txt"}, "!"},
	} {
		within(t, 30*time.Second, func() {
			out := e.file(t, tc.fileOp)
			text, isError := strings.CutPrefix(tc.want, "!")
			switch {
			case isError && (out.Outcome != wire.OutcomeToolError || !strings.Contains(strings.ToLower(out.Message), text)):
				t.Errorf("%d %.80v: %s %q, want an error", i, tc.fileOp, out.Outcome, out.Message)
			case !isError && (out.Outcome != wire.OutcomeOK || out.Result.Text() != text):
				t.Errorf("%d %.80v: %s %q %q, want %q", i, tc.fileOp, out.Outcome, out.Message, out.Result.Text(), text)
			}
		})
	}
	if b, err := os.ReadFile(filepath.Dir(ws) + "/elsewhere"); err != nil || string(b) != "two names" {
		t.Errorf("written through a hard link: %q %v", b, err)
	}
}

// TestQuota: bytes and files, whoever writes them and however.
func TestQuota(t *testing.T) {
	e, ws, _ := filesEngine(t, wire.Quota{Bytes: 1000, Files: 6})
	if err := os.WriteFile(ws+"/old", make([]byte, 400), 0o600); err != nil {
		t.Fatal(err)
	}
	x := func(n int) string { return strings.Repeat("x", n) }
	for i, tc := range []struct {
		fileOp
		ok bool
	}{
		{fileOp{Op: "write", Path: "/workspace/a", Data: x(500)}, true},
		{fileOp{Op: "write", Path: "/workspace/b", Data: x(101)}, false}, // leaves an empty file
		{fileOp{Op: "append", Path: "/workspace/a", Data: x(100)}, true},
		{fileOp{Op: "append", Path: "/workspace/a", Data: x(1)}, false},
		{fileOp{Op: "write", Path: "/workspace/a", Data: x(600)}, true}, // truncates first
		{fileOp{Op: "truncate", Path: "/workspace/b", N: 1 << 33}, false},
		{fileOp{Op: "truncate", Path: "/workspace/b", N: 1}, false},
		{fileOp{Op: "remove", Path: "/workspace/a"}, true},
		{fileOp{Op: "truncate", Path: "/workspace/b", N: 600}, true}, // sparse, and counted
		{fileOp{Op: "append", Path: "/workspace/b", Data: x(1)}, false},
		{fileOp{Op: "rename", Path: "/workspace/b", To: "/workspace/old"}, true}, // old's 400 come back
		{fileOp{Op: "write", Path: "/workspace/c", Data: x(400)}, true},
		{fileOp{Op: "mkdir", Path: "/workspace/d"}, true}, // old c d
		{fileOp{Op: "symlink", Path: "/workspace/s", To: "c"}, true},
		{fileOp{Op: "mkdir", Path: "/workspace/d/e"}, true},
		{fileOp{Op: "write", Path: "/workspace/d/f"}, true},
		{fileOp{Op: "write", Path: "/workspace/d/g"}, false},
		{fileOp{Op: "mkdir", Path: "/workspace/d/h"}, false},
		{fileOp{Op: "symlink", Path: "/workspace/t", To: "c"}, false},
		{fileOp{Op: "remove", Path: "/workspace/s"}, true},
		{fileOp{Op: "mkdir", Path: "/workspace/d/h"}, true},
	} {
		out := e.file(t, tc.fileOp)
		if ok := out.Outcome == wire.OutcomeOK; ok != tc.ok {
			t.Errorf("%d %.80v: %s %s, want ok %v", i, tc.fileOp, out.Outcome, out.Message, tc.ok)
		}
		if !tc.ok && !strings.Contains(strings.ToLower(out.Message), "no space left") {
			t.Errorf("%d: %s, want no space left", i, out.Message)
		}
	}
	counted := e.quota.used
	e.quota.recount()
	e.quota.Lock()
	e.quota.count()
	e.quota.Unlock()
	if e.quota.used != counted {
		t.Errorf("counted %v while writing, %v on disk", counted, e.quota.used)
	}
}

// TestNoQuota: zero means that nothing may be written.
func TestNoQuota(t *testing.T) {
	e, _, _ := filesEngine(t, wire.Quota{})
	want(t, e.file(t, fileOp{Op: "write", Path: "/workspace/f", Data: "x"}), wire.OutcomeToolError, "")
	want(t, e.file(t, fileOp{Op: "read", Path: "/mnt/docs/a.txt"}), wire.OutcomeOK, "a document")
}

// TestPreopenBelow: a directory below the workspace is made, and not followed outside.
func TestPreopenBelow(t *testing.T) {
	ws := t.TempDir()
	s := spec("g", goGuest(t), capFS)
	s.Preopens = []wire.Preopen{{Guest: workspaceDir + "/notes", Path: ws + "/notes"}}
	set := wire.Load{Skills: []wire.LoadSkill{s}, Quota: wire.Quota{Bytes: 100, Files: 5}}
	e := newEngine(t, Config{}, set)
	want(t, e.file(t, fileOp{Op: "write", Path: "/workspace/notes/f", Data: "x"}), wire.OutcomeOK, "")
	want(t, e.file(t, fileOp{Op: "write", Path: "/workspace/f", Data: "x"}), wire.OutcomeToolError, "")
	if e.quota.workspace != ws || e.quota.used != (wire.Quota{Bytes: 1, Files: 2}) {
		t.Error(e.quota.workspace, e.quota.used)
	}
	if err := os.RemoveAll(ws + "/notes"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), ws+"/notes"); err != nil {
		t.Fatal(err)
	}
	want(t, newEngine(t, Config{}, set).call(t, "g", `{}`), wire.OutcomeDenied, "directory /workspace/notes")
}

func FuzzResolve(f *testing.F) {
	for _, s := range []string{"", "/", "a//b/../c/", "../..", strings.Repeat("a/", 3000), "a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		name, _, errno := resolve(p)
		if errno == 0 && (name == "" || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "..") && (name == ".." ||
			strings.HasPrefix(name, "../")) || len(name) > maxPath) {
			t.Errorf("%q became %q", p, name)
		}
	})
}
