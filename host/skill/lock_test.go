package skill

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestWidened: every single way in which a need can grow, and none in which it shrinks.
func TestWidened(t *testing.T) {
	fs := func(mode, path string) host.Need { return host.Need{Name: host.CapFS, Mode: mode, Path: path} }
	http := func(web bool, hosts ...string) host.Need {
		return host.Need{Name: host.CapHTTP, PublicWeb: web, Hosts: hosts}
	}
	methods := func(m ...string) host.Need {
		return host.Need{Name: host.CapHTTP, Hosts: []string{"a.com"}, Methods: m}
	}
	for _, c := range []struct {
		name     string
		was, now host.Need
		want     string // "" = not wider; the other way round is then not looked at
		back     string // what is wider the other way round; "" = nothing
	}{
		{"another capability", host.Need{Name: host.CapKV}, host.Need{Name: host.CapLLM}, "llm is new", "kv is new"},
		{"writing", fs("ro", "notes"), fs("rw", "notes"), "writes", ""},
		{"rw is the default", fs("ro", ""), fs("", ""), "writes", ""},
		{"above", fs("rw", "notes/a"), fs("rw", "notes"), `"notes" in place of`, ""},
		{"all of it", fs("rw", "notes"), fs("rw", ""), `"" in place of`, ""},
		{"beside", fs("rw", "notes"), fs("rw", "notes-evil"), `"notes-evil"`, `"notes"`},
		{"public web", http(false, "a.com"), http(true, "a.com"), "the public web", ""},
		{"another host", http(false, "a.com"), http(false, "a.com", "b.com"), "host b.com", ""},
		{"below a wildcard", http(false, "x.a.com"), http(false, "*.a.com"), "host *.a.com", ""},
		{"any host", http(false, "a.com"), http(false), "whatever hosts", ""},
		{"any host, from the public web", http(true), http(false), "whatever hosts", "the public web"},
		{"a host, from the public web", http(true), http(true, "a.com"), "host a.com", ""},
		{"another method", methods("GET"), methods("GET", "POST"), "method POST", ""},
		{"any method", methods("GET"), methods(), "whatever methods", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, side := range []struct {
				was, now host.Need
				want     string
			}{{c.was, c.now, c.want}, {c.now, c.was, c.back}, {c.was, c.was, ""}, {c.now, c.now, ""}} {
				got := strings.Join(Widened([]host.Need{side.was}, []host.Need{side.now}), "; ")
				if (side.want == "") != (got == "") || !strings.Contains(got, side.want) {
					t.Errorf("%+v to %+v: %q, want %q", side.was, side.now, got, side.want)
				}
			}
		})
	}
	if got := Widened([]host.Need{fs("rw", ""), methods()}, nil); got != nil {
		t.Errorf("nothing is wider than something: %q", got)
	}
}

func TestLockFollowsTheFolder(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one", need(host.CapKV)))
	s.refreshed(t)
	lock, err := ReadLock(s.dir)
	if err != nil || lock["one"].By != firstDrop || len(lock["one"].Capabilities) != 1 || lock["one"].When.IsZero() {
		t.Fatalf("%+v %v", lock, err)
	}
	first, err := s.Get("one")
	if err != nil {
		t.Fatal(err)
	}

	narrow := manifest("one")
	narrow.Version = "2"
	s.drop(t, "one.wasm", narrow)
	if st := s.refreshed(t)["one.wasm"]; st.State != Ready {
		t.Fatalf("narrower: %+v", st)
	}
	// What was given up once is not taken back in silence.
	s.drop(t, "one.wasm", manifest("one", need(host.CapKV)))
	st := s.refreshed(t)["one.wasm"]
	if st.State != Held || !strings.Contains(st.Why, "kv is new") || !strings.Contains(st.Why, "skill approve one") {
		t.Fatalf("wider: %+v", st)
	}
	k, err := s.Get("one")
	if err != nil || k.Manifest.Version != "2" || st.Runs != k.Digest {
		t.Fatalf("while it is held runs %+v, %v, want version 2", k, err)
	}

	// A new host knows of nothing but the folder, the lock and the content store.
	again := NewRegistry(Config{Dir: s.dir, State: s.state, Admit: s.admit})
	if err := again.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if k, err := again.Get("one"); err != nil || k.Manifest.Version != "2" {
		t.Fatalf("after a restart %+v, %v", k, err)
	}

	f, err := Read(filepath.Join(s.dir, "one.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Approve(s.dir, f, "", "a test"); err != nil {
		t.Fatal(err)
	}
	if st := s.refreshed(t)["one.wasm"]; st.State != Ready || st.Digest != first.Digest {
		t.Fatalf("approved: %+v", st)
	}
	if lock, err = ReadLock(s.dir); err != nil || lock["one"].By != "a test" {
		t.Fatalf("%+v %v", lock, err)
	}
	kind := manifest("one", need(host.CapKV))
	kind.Kind, kind.Tools[0].Name = host.KindAgent, "turn"
	s.drop(t, "one.wasm", kind)
	if st := s.refreshed(t)["one.wasm"]; st.State != Held || !strings.Contains(st.Why, "kind agent") {
		t.Fatalf("another kind: %+v", st)
	}
}

// A held skill whose accepted version is nowhere does not run at all.
func TestHeldDoesNotRun(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	s.refreshed(t)
	s.drop(t, "one.wasm", manifest("one", need(host.CapLLM)))
	if err := os.RemoveAll(s.state); err != nil {
		t.Fatal(err)
	}
	r := NewRegistry(Config{Dir: s.dir, State: s.state, Admit: s.admit})
	runs := s.admit.runs.Load()
	if err := r.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Get("one"); !errors.Is(err, host.ErrDenied) || !strings.Contains(err.Error(), "llm is new") {
		t.Errorf("Get: %v", err)
	}
	if s.admit.runs.Load() != runs {
		t.Error("it was compiled")
	}
}

func TestBadLockRefusesEverything(t *testing.T) {
	for name, text := range map[string]string{
		"no TOML":     "[[skill",
		"unknown key": "[[skill]]\nname = \"one\"\nkind = \"skill\"\ndigest = \"x\"\ngrants = 1\n",
		"twice":       "[[skill]]\nname = \"one\"\n[[skill]]\nname = \"one\"\n",
		"huge":        strings.Repeat("#", maxLock+1),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			s.drop(t, "one.wasm", manifest("one"))
			write(t, filepath.Join(s.dir, LockName), []byte(text))
			st := s.refreshed(t)["one.wasm"]
			if st.State != Refused || !strings.Contains(st.Why, LockName) || s.admit.runs.Load() != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// What cannot be written into the lock is not accepted.
func TestLockThatCannotBeWritten(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	if err := os.MkdirAll(filepath.Join(s.dir, LockName), 0o700); err != nil {
		t.Fatal(err)
	}
	if st := s.refreshed(t)["one.wasm"]; st.State != Refused || !strings.Contains(st.Why, LockName) {
		t.Errorf("%+v", st)
	}
	if _, err := s.Get("one"); err == nil {
		t.Error("it may be used")
	}
}

func TestNotices(t *testing.T) {
	s := newSetup(t)
	var told []string
	s.cfg.Notice = func(line string) { told = append(told, line) }
	expect := func(what string, want ...string) {
		t.Helper()
		s.refreshed(t)
		all := strings.Join(told, "\n")
		for _, w := range want {
			if !strings.Contains(all, w) {
				t.Errorf("%s: %q lacks %q", what, told, w)
			}
		}
		if len(told) != len(want) {
			t.Errorf("%s: %q, want %d lines", what, told, len(want))
		}
		told = nil
	}
	s.drop(t, "one.wasm", manifest("one"))
	s.drop(t, "two.wasm", manifest("two"))
	expect("first drop, together", "one 1.2.3, two 1.2.3")
	expect("nothing new")
	two := manifest("two")
	two.Version = "3"
	s.drop(t, "two.wasm", two)
	expect("replaced", "two 3 takes the place")
	s.drop(t, "two.wasm", manifest("two", need(host.CapLLM)))
	expect("held", "two.wasm is held")
	expect("held, told already")
	if err := os.Remove(filepath.Join(s.dir, "one.wasm")); err != nil {
		t.Fatal(err)
	}
	expect("removed", "one is gone")
	s.drop(t, "one.wasm", manifest("one"))
	expect("back", "one 1.2.3 is ready again")
	write(t, filepath.Join(s.dir, "one.wasm"), []byte("\x00asm"))
	expect("broken", "one is gone", "one.wasm is refused")
}
