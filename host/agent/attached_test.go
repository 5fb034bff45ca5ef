package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestAttachmentsInAWorkspace: they are put there for reading, whatever the agent left in their place;
// nothing outside changes; and only what is an attachment goes again.
func TestAttachmentsInAWorkspace(t *testing.T) {
	engine, _ := inProcess(t)
	dir := t.TempDir()
	m := New(Config{
		Engine: engine, Workspaces: dir, Log: hclog.NewNullLogger(),
		Attached: func(host.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte("bytes"))), nil },
	})
	ws, outside := filepath.Join(dir, "a"), filepath.Join(t.TempDir(), "outside")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(outside, []byte("mine!"), 0o600))
	f := []host.File{{Name: "a-0123456789ab.txt", Size: 5}}
	at := filepath.Join(ws, host.AttachDir, f[0].Name)
	for name, before := range map[string]func(){
		"nothing":       func() {},
		"a link":        func() { must(os.Mkdir(filepath.Dir(at), 0o700)); must(os.Symlink(outside, at)) },
		"a linked part": func() { must(os.Mkdir(filepath.Dir(at), 0o700)); must(os.Symlink(outside, filepath.Dir(at)+"/.part")) },
		"a pipe":        func() { must(os.Mkdir(filepath.Dir(at), 0o700)); must(syscall.Mkfifo(at, 0o600)) },
		"half a file":   func() { must(os.Mkdir(filepath.Dir(at), 0o700)); must(os.WriteFile(at, []byte("by"), 0o600)) },
	} {
		must(os.RemoveAll(ws))
		must(os.Mkdir(ws, 0o700))
		before()
		m.attach(ws, f)
		if b, err := os.ReadFile(at); err != nil || string(b) != "bytes" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if st, err := os.Lstat(at); err != nil || st.Mode() != 0o400 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	for name, before := range map[string]func(){
		"a link out": func() { must(os.Symlink(filepath.Dir(outside), filepath.Dir(at))) },
		"a file":     func() { must(os.WriteFile(filepath.Dir(at), nil, 0o600)) },
	} {
		must(os.RemoveAll(ws))
		must(os.Mkdir(ws, 0o700))
		before()
		m.attach(ws, f)
		if _, err := os.Stat(filepath.Join(filepath.Dir(outside), f[0].Name)); err == nil {
			t.Errorf("%s: it was written outside", name)
		}
	}
	if b, _ := os.ReadFile(outside); string(b) != "mine!" {
		t.Errorf("outside is %q", b)
	}
	must(os.RemoveAll(ws))
	must(os.Mkdir(ws, 0o700))
	m.attach(ws, append(f, host.File{Name: "b-0123456789ab.png", Size: 5}))
	must(os.WriteFile(filepath.Join(ws, host.AttachDir, "own-notes.md"), nil, 0o600))
	must(m.KeepAttachments("a", func() ([]host.File, error) { return f, nil }))
	left, _ := filepath.Glob(filepath.Join(ws, host.AttachDir, "*"))
	if len(left) != 2 || filepath.Base(left[0]) != f[0].Name {
		t.Errorf("left are %v", left)
	}
	must(os.RemoveAll(filepath.Dir(at)))
	must(syscall.Mkfifo(filepath.Dir(at), 0o600)) // opening one waits, for ever
	if err := m.KeepAttachments("a", nil); err == nil {
		t.Error("a pipe was read as a directory")
	}
	must(m.KeepAttachments("nobody", nil))
}

// TestFileOfASkill: it reads what its manifest and the role's mounts cover, and nothing by a link.
func TestFileOfASkill(t *testing.T) {
	dir, mount := t.TempDir(), t.TempDir()
	m := New(Config{Workspaces: dir, Log: hclog.NewNullLogger()})
	for path, text := range map[string]string{
		"a/x": "x", "a/notes/y": "y", "a/big": "0123456789", "b/x": "secret", "../" + filepath.Base(mount) + "/z": "z",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("../b/x", dir+"/a/link"), os.Symlink("../b", dir+"/a/dir"), os.Link(dir+"/b/x", dir+"/a/hard"),
		syscall.Mkfifo(dir+"/a/pipe", 0o600), os.WriteFile(mount+"/z", []byte("z"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := host.Scope{Agent: host.Agent{ID: "a"}, Role: &host.Role{Mounts: []host.Mount{{Name: "docs", Path: mount}}}}
	for _, c := range []struct{ below, path, want string }{
		{"", "/workspace/x", "x"},
		{"", "/workspace/notes/y", "y"},
		{"notes", "/workspace/notes/y", "y"},
		{"", "/mnt/docs/z", "z"},
		{"notes", "/workspace/x", ""},
		{"notes", "/workspace/notes/../x", ""},
		{"", "/workspace/../b/x", ""},
		{"", "/etc/passwd", ""},
		{"", "/workspace/link", ""},
		{"", "/workspace/dir/x", ""},
		{"", "/workspace/hard", ""},
		{"", "/workspace/pipe", ""},
		{"", "/workspace/big", ""},
		{"", "/workspace", ""},
		{"", "/mnt/docs/../x", ""},
		{"", "/mnt/other/z", ""},
	} {
		b, err := m.File(s, host.Need{Path: c.below}, c.path, 9)
		if string(b) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s below %q: %q, %v", c.path, c.below, b, err)
		}
	}
}
