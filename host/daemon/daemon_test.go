package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/router"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func TestStateIsLockedOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	unlock, err := lockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockState(dir); !errors.Is(err, host.ErrBusy) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Fatalf("second lock: %v, want a refusal that names pid %d", err, os.Getpid())
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	unlock()
	if unlock, err = lockState(dir); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestSocketOfADeepState(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{t.TempDir(), deep} {
		if len(SocketPath(dir)) > 200 {
			t.Fatalf("socket path %s", SocketPath(dir))
		}
		l, err := listen(dir)
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		st, err := os.Stat(SocketPath(dir))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("socket %v, %v", st, err)
		}
		if c, err := Dial(t.Context(), dir); err != nil || c == nil {
			t.Errorf("dial: %v", err)
		}
		l.Close()
	}
	if _, err := Dial(t.Context(), t.TempDir()); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("nobody there: %v", err)
	}
}

// A directory that others can write could hold a socket of theirs.
func TestSocketInAnOpenDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if l, err := listen(dir); !errors.Is(err, host.ErrDenied) {
		if l != nil {
			l.Close()
		}
		t.Fatalf("listen: %v, want a refusal", err)
	}
}

func TestParseGrants(t *testing.T) {
	g, err := ParseGrants([]string{"http=GET https://api.example.com/v1/", "public_web", "fs=ro:docs", "fs=rw:.", "llm", "kv"})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.HTTP) != 1 || g.HTTP[0].Hosts[0] != "api.example.com" || !g.PublicWeb || !g.LLM || !g.KV {
		t.Errorf("grants %+v", g)
	}
	want := []wire.Preopen{{Guest: "/workspace/docs", ReadOnly: true}, {Guest: "/workspace"}}
	if len(g.FS) != 2 || g.FS[0] != want[0] || g.FS[1] != want[1] {
		t.Errorf("files %+v, want %+v", g.FS, want)
	}
	for _, bad := range []string{"", "http", "fs=", "fs=rw", "fs=x:y", "fs=ro:/etc", "fs=ro:a/../..", "fs=rw:a\\b", "llm=1", "root"} {
		if _, err := ParseGrants([]string{bad, "llm"}); !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), "--grant") {
			t.Errorf("%q: %v, want a refusal", bad, err)
		}
	}
}

func TestGrantsNarrowToTheManifest(t *testing.T) {
	for _, c := range []struct{ grant, need, mode, want string }{
		{"", "", "", "/workspace rw"},
		{"", "notes", "", "/workspace/notes rw"},
		{"", "notes", "ro", "/workspace/notes ro"},
		{"notes/a", "notes", "", "/workspace/notes/a rw"},
		{"notesx", "notes", "", ""}, // a sibling with the same beginning
		{"other", "notes", "", ""},
	} {
		m := &host.Manifest{Capabilities: []host.Need{{Name: host.CapFS, Path: c.need, Mode: c.mode}}}
		got := ""
		for _, p := range narrow([]wire.Preopen{{Guest: strings.TrimSuffix("/workspace/"+c.grant, "/")}}, m) {
			got = p.Guest + map[bool]string{true: " ro", false: " rw"}[p.ReadOnly]
		}
		if got != c.want {
			t.Errorf("grant %q, manifest %q %s: %q, want %q", c.grant, c.need, c.mode, got, c.want)
		}
	}
	if got := narrow([]wire.Preopen{{Guest: "/workspace"}}, &host.Manifest{}); got != nil {
		t.Errorf("a skill that asks for no files got %v", got)
	}
}

// TestNoticesAreBounded: a skill can be refused any number of times; the owner hears of three.
func TestNoticesAreBounded(t *testing.T) {
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	d := &Daemon{log: hclog.NewNullLogger(), store: st, notices: map[host.TurnID]int{}}
	d.router = router.New(router.Config{Store: st, Log: d.log})
	s := host.Scope{Turn: "t1", Agent: host.Agent{Channel: console.Name, Chat: "default"}}
	for i := range 50 {
		d.refused(s, fmt.Sprint("refusal ", i))
	}
	s.Agent.Channel = "whatsapp"
	d.refused(s, "others read along there")
	if c, err := st.Counts(t.Context()); err != nil || c.Queued != maxNotices {
		t.Fatalf("%d notices, %v; want %d", c.Queued, err, maxNotices)
	}
	if d.forgetNotices("t1"); len(d.notices) != 0 {
		t.Fatal("notices of a turn that ended are kept")
	}
}
