package crash

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/channel/console"
)

// disk is a small one of the test's own.
func disk(t *testing.T, w *world) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a disk needs root")
	}
	dir := filepath.Join(w.home, "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes the last byte of a disk; free gives all of it back.
func fill(t *testing.T, dir string) (free func()) {
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Error(err)
		return func() {}
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	return func() { os.Remove(name) }
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

// TestFullDisk: it fills in the middle of a turn. What is not stored is not acknowledged, what was
// done and cannot be stored yet is stored when there is room, nothing is done or said twice.
func TestFullDisk(t *testing.T) {
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, p)
	dir := disk(t, w)
	w.prepare(filepath.Join(dir, "state"))
	var free func()
	var once sync.Once
	full := make(chan struct{})
	t.Cleanup(func() {
		if free != nil {
			free()
		}
	})
	w.shop.then = func(what string) {
		if what == "full-1" {
			once.Do(func() { free = fill(t, dir); close(full) })
		}
	}
	w.host([]string{"full-0"}, cut{})
	cmd := w.cmd("run")
	cmd.Stderr = &w.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer func() { cancel(); _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	cl := w.dial(ctx)
	if cl == nil {
		t.Fatal("the host does not start")
	}
	listening, deaf := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() { w.listen(listening, cl); close(gone) }()
	if !w.say(ctx, cl, "full-1") {
		t.Fatal("not taken")
	}
	<-full
	until(t, "the host says that it cannot store", func() bool { return strings.Contains(w.log.String(), "not stored, to be tried again") })
	err = cl.Say(ctx, someone, console.Input{ID: "full-2", Text: "full-2 " + w.shop.URL + "/"})
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("a message on a full disk: %v, want an error that says so", err)
	}
	free()
	if !w.say(ctx, cl, "full-2") {
		t.Error("not taken although there is room again")
	}
	until(t, "everything is answered", func() bool {
		s, err := cl.Status(ctx)
		return err == nil && s.Waiting+s.Outbox == 0 && s.Working == 0
	})
	until(t, "every reply is heard", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.heard) >= 3
	})
	s, err := cl.Status(ctx)
	deaf()
	<-gone
	if err != nil {
		t.Fatal(err)
	}
	w.check([]string{"full-0", "full-1", "full-2"}, s, 0)
}

// TestUnusableState: one clear error, and not a byte of it changed.
func TestUnusableState(t *testing.T) {
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, p)
	dir := disk(t, w)
	w.prepare(filepath.Join(dir, "state"))
	w.host([]string{"kept-0"}, cut{})
	w.turns() // the last one to close the database leaves nothing of it in its -wal file
	fails := func(want string) {
		t.Helper()
		var out safeBuffer
		cmd := w.cmd("run")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(within, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		err := cmd.Wait()
		if err == nil || !strings.Contains(out.String(), want) || strings.Contains(out.String(), "goroutine") {
			t.Errorf("%v, want %q:\n%s", err, want, out.String())
		}
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	fails("read-only file system")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(w.state, "nanoclaw.db")
	sound, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]int{"header": 3, "first page": 110} {
		damaged := append([]byte(nil), sound...)
		for i := range 200 {
			damaged[at+i] ^= 0x5a
		}
		if err := os.WriteFile(db, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Log(name)
		fails("the database is damaged")
		if after, err := os.ReadFile(db); err != nil || string(after) != string(damaged) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
	}
	if err := os.WriteFile(db, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	w.check([]string{"kept-0"}, w.host([]string{"kept-0"}, cut{}), 0)
}
