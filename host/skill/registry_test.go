package skill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// copyAdmitter admits by copying; modules whose manifest says so fail in the middle.
type copyAdmitter struct {
	key  string
	runs atomic.Int64
	fail func(wasmPath, outDir string) error // may be nil
}

func (a *copyAdmitter) Key() string { return a.key }

func (a *copyAdmitter) Admit(ctx context.Context, wasmPath, outDir string) error {
	a.runs.Add(1)
	if a.fail != nil {
		if err := a.fail(wasmPath, outDir); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(filepath.Join(outDir, "skill.wasm")); err == nil {
		return nil
	}
	b, err := os.ReadFile(wasmPath)
	return errors.Join(err, ctx.Err(), os.WriteFile(filepath.Join(outDir, "skill.wasm"), b, 0o600))
}

type setup struct {
	*Registry
	admit        *copyAdmitter
	dir          string
	state        string
	progress     []string
	progressLock sync.Mutex
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	root := t.TempDir()
	s := &setup{admit: &copyAdmitter{key: "k1"}, dir: filepath.Join(root, "plugins"), state: filepath.Join(root, "state")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Registry = NewRegistry(Config{Dir: s.dir, State: s.state, Admit: s.admit, Progress: func(line string) {
		s.progressLock.Lock()
		defer s.progressLock.Unlock()
		s.progress = append(s.progress, line)
	}})
	return s
}

func (s *setup) drop(t *testing.T, file string, m host.Manifest) {
	t.Helper()
	write(t, filepath.Join(s.dir, file), pack(t, m, core()))
}

func (s *setup) refreshed(t *testing.T) map[string]Status {
	t.Helper()
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := map[string]Status{}
	for _, st := range s.List() {
		out[filepath.Base(st.File)] = st
	}
	return out
}

func TestRegistry(t *testing.T) {
	s := newSetup(t)
	if got := s.refreshed(t); len(got) != 0 {
		t.Fatal(got)
	}
	if _, err := s.Get("one"); !errors.Is(err, host.ErrNotFound) {
		t.Fatal(err)
	}
	s.drop(t, "some-file.wasm", manifest("one"))
	s.drop(t, "two.wasm", manifest("two"))
	s.drop(t, "twin-a.wasm", manifest("twin"))
	s.drop(t, "twin-b.wasm", manifest("twin"))
	s.drop(t, ".hidden.wasm", manifest("hidden"))
	write(t, filepath.Join(s.dir, "broken.wasm"), []byte("\x00asm\x01\x00\x00\x00\x01"))
	write(t, filepath.Join(s.dir, "notes.txt"), nil)
	got := s.refreshed(t)
	if len(got) != 5 || got["some-file.wasm"].State != Ready || got["two.wasm"].State != Ready {
		t.Fatalf("%+v", got)
	}
	for file, why := range map[string]string{"twin-a.wasm": "twin-a.wasm and twin-b.wasm", "twin-b.wasm": `"twin"`, "broken.wasm": "cut short"} {
		if st := got[file]; st.State != Refused || !strings.Contains(st.Why, why) || strings.Contains(st.Why, "\n") {
			t.Errorf("%s: %+v, want %q", file, st, why)
		}
	}
	if _, err := s.Get("twin"); !errors.Is(err, host.ErrDenied) {
		t.Error(err)
	}
	one, err := s.Get("one")
	if err != nil {
		t.Fatal(err)
	}
	if one.Text != "# How to" || one.Manifest.Name != "one" || filepath.Base(one.Dir) != strings.TrimPrefix(string(one.Digest), "sha256:")+"-k1" {
		t.Fatalf("%+v", one)
	}
	for _, p := range []string{filepath.Join(one.Dir, "skill.wasm"), filepath.Join(one.Dir, "admitted.json"), Stored(s.state, one.Digest)} {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	if !slices.Contains(s.progress, "admitting two.wasm") {
		t.Errorf("%q", s.progress)
	}
}

func TestRefreshFollowsTheFolder(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	s.drop(t, "two.wasm", manifest("one"))
	s.refreshed(t)
	if err := os.Remove(filepath.Join(s.dir, "two.wasm")); err != nil {
		t.Fatal(err)
	}
	if st := s.refreshed(t)["one.wasm"]; st.State != Ready {
		t.Fatalf("%+v", st)
	}
	old, err := s.Get("one")
	if err != nil {
		t.Fatal(err)
	}
	m := manifest("one")
	m.Version = "2"
	s.drop(t, "one.wasm", m)
	if st := s.refreshed(t)["one.wasm"]; st.Version != "2" || st.State != Ready || st.Digest == old.Digest {
		t.Fatalf("%+v", st)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	if got := s.refreshed(t); len(got) != 0 {
		t.Fatal(got)
	}
}

func TestAdmissionHappensOnce(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	s.refreshed(t)
	s.refreshed(t)
	again := NewRegistry(Config{Dir: s.dir, State: s.state, Admit: s.admit})
	if err := again.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.admit.runs.Load(); n != 1 {
		t.Fatalf("admitted %d times", n)
	}
	for what, change := range map[string]func(dir string) error{
		"another key":    func(string) error { s.admit.key = "k2"; return nil },
		"damaged module": func(dir string) error { return os.WriteFile(filepath.Join(dir, "skill.wasm"), []byte("x"), 0o600) },
		"no record":      func(dir string) error { return os.Remove(filepath.Join(dir, "admitted.json")) },
		"damaged record": func(dir string) error { return os.WriteFile(filepath.Join(dir, "admitted.json"), []byte("{"), 0o600) },
		"symbolic link": func(dir string) error {
			p := filepath.Join(dir, "skill.wasm")
			return errors.Join(os.Rename(p, p+"2"), os.Symlink(p+"2", p))
		},
		"directory is gone": os.RemoveAll,
	} {
		one, err := s.Get("one")
		if err != nil {
			t.Fatal(err)
		}
		if err := change(one.Dir); err != nil {
			t.Fatal(err)
		}
		before := s.admit.runs.Load()
		s.refreshed(t)
		one, err = s.Get("one")
		if err != nil {
			t.Fatal(err)
		}
		if s.admit.runs.Load() != before+1 || !s.isAdmitted(one.Dir, admitted{one.Digest, s.admit.key, ""}) {
			t.Errorf("%s: not admitted again", what)
		}
	}
}

func TestAdmissionFailures(t *testing.T) {
	outside := write(t, filepath.Join(t.TempDir(), "secret"), []byte("host's own"))
	for name, c := range map[string]struct {
		fail func(wasmPath, outDir string) error
		want string
	}{
		"refused":       {func(string, string) error { return fmt.Errorf("%w: type mismatch", host.ErrDenied) }, "type mismatch"},
		"no module":     {func(_, out string) error { return os.Mkdir(filepath.Join(out, "skill.wasm"), 0o700) }, "not a regular file"},
		"linked module": {func(_, out string) error { return os.Symlink(outside, filepath.Join(out, "skill.wasm")) }, "symbolic link"},
		"many lines":    {func(string, string) error { return errors.New("a\nb\x00" + strings.Repeat("c", 9999)) }, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			s.drop(t, "bad.wasm", manifest("bad"))
			s.drop(t, "good.wasm", manifest("good"))
			bad := digestOf(t, filepath.Join(s.dir, "bad.wasm"))
			s.admit.fail = func(wasmPath, outDir string) error {
				if wasmPath == Stored(s.state, bad) {
					return c.fail(wasmPath, outDir)
				}
				return nil
			}
			got := s.refreshed(t)
			st := got["bad.wasm"]
			if st.State != Refused || len(st.Why) > 4000 || strings.Contains(st.Why, "\n") ||
				!strings.Contains(st.Why, c.want) {
				t.Errorf("%+v, want %q", st, c.want)
			}
			if got["good.wasm"].State != Ready {
				t.Errorf("%+v", got["good.wasm"])
			}
			left, err := filepath.Glob(filepath.Join(s.state, "admitted", ".tmp-*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %q %v", left, err)
			}
		})
	}
}

func digestOf(t *testing.T, path string) host.Digest {
	t.Helper()
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f.Digest
}

// A verdict about the module is a refusal, exit code 3; trouble with the machine is not.
func TestAdmitKinds(t *testing.T) {
	for kind, refusal := range map[error]bool{
		host.ErrInvalid: true, host.ErrLimit: true, host.ErrCrashed: true, host.ErrDenied: true,
		host.ErrUnavailable: false, host.ErrStopped: false,
	} {
		a := &copyAdmitter{fail: func(string, string) error { return fmt.Errorf("%w: it", kind) }}
		if err := Admit(t.Context(), a, "", t.TempDir()); !errors.Is(err, kind) || errors.Is(err, host.ErrDenied) != refusal {
			t.Errorf("%v: %v", kind, err)
		}
	}
}

// Two hosts, or a host and `skill call`, admit the same file at once.
func TestAdmitFileAtOnce(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	f, err := Read(filepath.Join(s.dir, "one.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	var met sync.WaitGroup
	met.Add(2)
	s.admit.fail = func(string, string) error { met.Done(); met.Wait(); return nil }
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			k, err := NewRegistry(Config{State: s.state, Admit: s.admit}).AdmitFile(t.Context(), f)
			if err != nil || !s.isAdmitted(k.Dir, admitted{k.Digest, "k1", ""}) {
				t.Error(k, err)
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(filepath.Join(s.state, "admitted"))
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
}

func TestGetWhileAdmitting(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	entered, leave := make(chan struct{}), make(chan struct{})
	s.admit.fail = func(string, string) error { close(entered); <-leave; return nil }
	done := make(chan error, 1)
	go func() { done <- s.Refresh(t.Context()) }()
	<-entered
	if _, err := s.Get("one"); !errors.Is(err, host.ErrBusy) {
		t.Error(err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// What is ready stays ready while the folder is read again.
	s.admit.key = "k2"
	entered, leave = make(chan struct{}), make(chan struct{})
	go func() { done <- s.Refresh(t.Context()) }()
	<-entered
	if _, err := s.Get("one"); err != nil {
		t.Error(err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestCancelledAdmissionIsNoRefusal(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	ctx, cancel := context.WithCancel(t.Context())
	s.admit.fail = func(string, string) error { cancel(); return ctx.Err() }
	if err := s.Refresh(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if st := s.List()[0]; st.State != Admitting {
		t.Fatalf("%+v", st)
	}
}

func TestSweep(t *testing.T) {
	s := newSetup(t)
	old, fresh := filepath.Join(s.state, "admitted", ".tmp-old"), filepath.Join(s.state, "admitted", ".tmp-new")
	if err := errors.Join(os.MkdirAll(old, 0o700), os.MkdirAll(fresh, 0o700),
		os.Chtimes(old, time.Time{}, time.Now().Add(-2*abandoned))); err != nil {
		t.Fatal(err)
	}
	s.refreshed(t)
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Error("the old one stays", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error(err)
	}
}

// Whoever waits for some skills does not wait for others.
func TestSettled(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	s.drop(t, "two.wasm", manifest("two"))
	slow := Stored(s.state, digestOf(t, filepath.Join(s.dir, "two.wasm")))
	leave := make(chan struct{})
	s.admit.fail = func(wasmPath, _ string) error {
		if wasmPath == slow {
			<-leave
		}
		return nil
	}
	one, two := []host.SkillName{"one"}, []host.SkillName{"one", "two", "three"}
	if ok, _ := s.Settled(one); ok {
		t.Fatal("settled before anything was read")
	}
	done := make(chan error, 1)
	go func() { done <- s.Refresh(t.Context()) }()
	for {
		ok, changed := s.Settled(one)
		if ok {
			break
		}
		<-changed
	}
	ok, changed := s.Settled(two)
	if ok {
		t.Fatal("settled while one is compiled")
	}
	close(leave)
	<-changed
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if ok, _ := s.Settled(two); !ok {
		t.Fatal("not settled at the end")
	}
}
