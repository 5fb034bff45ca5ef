package workfile

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

func appending(s string) func([]byte) ([]byte, error) {
	return func(old []byte) ([]byte, error) { return append(old, s...), nil }
}

// Calls of a turn run at once: none of their changes is lost.
func TestUpdatesAtOnce(t *testing.T) {
	sdktest.New(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := Update("t1", "f", 100, appending("x")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b, err := Read("f", 100); err != nil || string(b) != strings.Repeat("x", 20) {
		t.Errorf("got %q, %v", b, err)
	}
	if entries, _ := os.ReadDir(Path("")); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// A turn that was cut short leaves its lock; the next one does not wait for it, and the
// same one not for ever.
func TestLocksThatWereLeft(t *testing.T) {
	sdktest.New(t)
	for owner, most := range map[string]time.Duration{"t0": time.Second, "": 2 * lockWait * lockPause * time.Millisecond} {
		if err := os.WriteFile(Path("f.lock"), []byte(owner), 0o600); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := Update("t1", "f", 100, appending("x")); err != nil || time.Since(start) > most {
			t.Errorf("lock of %q: %v after %v", owner, err, time.Since(start))
		}
	}
}

func TestBoundsAndErrors(t *testing.T) {
	sdktest.New(t)
	if err := Update("t1", "f", 3, appending("four")); err == nil || err.Error() != "f is full: it holds 3 bytes" {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(Path("f"), bytes.Repeat([]byte("x"), 11), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read("f", 10); err == nil || err.Error() != "f has more than 10 bytes" {
		t.Errorf("got %v", err)
	}
	if err := os.Mkdir(Path("d"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"read": func() error { _, err := Read("d", 10); return err }(), "write": Write("d", nil),
		"update": Update("t1", "f/f", 10, appending("x")),
	} {
		if err == nil || strings.Contains(err.Error(), Path("")) || !strings.Contains(err.Error(), " cannot be used: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
