package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
)

func decision(target string) host.Decision {
	return host.Decision{
		Time: time.Unix(1, 0).UTC(), Agent: "a", Role: "web", Skill: "fetch", Capability: host.CapHTTP, Target: target, Verdict: "allow",
	}
}

func rows(t *testing.T, dir string) (out []audit.Row) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, audit.FileName))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var r audit.Row
		if json.Unmarshal([]byte(line), &r) == nil {
			out = append(out, r)
		}
	}
	return out
}

func open(t *testing.T, dir string) *audit.Log {
	t.Helper()
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// numbered fails unless the rows are 1, 2, … n.
func numbered(t *testing.T, dir string, n int) {
	t.Helper()
	got := rows(t, dir)
	for i, r := range got {
		if r.Seq != int64(i+1) {
			t.Fatalf("row %d has number %d", i+1, r.Seq)
		}
	}
	if len(got) != n {
		t.Fatalf("%d rows, want %d", len(got), n)
	}
}

func TestRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "audit")
	l := open(t, dir)
	for i := range 3 {
		if err := l.Record(t.Context(), decision(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir) // numbers go on where they were
	if err := l.Record(t.Context(), decision("3")); err != nil {
		t.Fatal(err)
	}
	numbered(t, dir, 4)
	if got := rows(t, dir)[1]; got.Decision != decision("1") {
		t.Errorf("got %+v", got)
	}
	st, err := os.Stat(filepath.Join(dir, audit.FileName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// TestFailsClosed: a row that is not written is an error, and leaves no trace.
func TestFailsClosed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Record(ctx, decision("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := l.Record(t.Context(), decision(strings.Repeat("x", 17<<10))); !errors.Is(err, host.ErrLimit) {
		t.Errorf("too long: %v", err)
	}
	if err := l.Record(t.Context(), decision("ok")); err != nil {
		t.Error(err)
	}
	numbered(t, dir, 1)
	l.Close()
	if err := l.Record(t.Context(), decision("x")); err == nil {
		t.Error("a closed log took a row")
	}
	for name, make := range map[string]func(path string) error{
		"link":      func(p string) error { return os.Symlink("/dev/null", p) },
		"directory": func(p string) error { return os.Mkdir(p, 0o700) },
		"no rows":   func(p string) error { return os.WriteFile(p, []byte("a\nb\n"), 0o600) },
	} {
		dir := t.TempDir()
		if err := make(filepath.Join(dir, audit.FileName)); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Open(dir, nil); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// TestDiskFull writes to a file that may not grow: what part of a row got in is taken back,
// and the number is used for the next row that gets in.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv("NC_AUDIT_FULL"); dir != "" {
		l := open(t, dir)
		err := l.Record(t.Context(), decision(strings.Repeat("x", 3000)))
		fmt.Println("refused:", err)
		return
	}
	dir := t.TempDir()
	l := open(t, dir)
	if err := l.Record(t.Context(), decision("first")); err != nil {
		t.Fatal(err)
	}
	// ulimit -f counts in blocks of 512 or 1024 bytes: the row ends beyond the second of either.
	cmd := exec.Command("sh", "-c", `ulimit -f 1; trap "" XFSZ; exec "$0" -test.run '^TestDiskFull$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "NC_AUDIT_FULL="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "file too large") {
		t.Fatalf("%v: %s", err, out)
	}
	if err := l.Record(t.Context(), decision("second")); err != nil {
		t.Fatal(err)
	}
	numbered(t, dir, 2)
}

// TestTornRow: a line that a crash cut is kept, ended, and not counted.
func TestTornRow(t *testing.T) {
	for _, torn := range []string{`{"seq":3,"tim`, strings.Repeat("x", 16<<10-1)} {
		dir := t.TempDir()
		l := open(t, dir)
		for range 2 {
			if err := l.Record(t.Context(), decision("x")); err != nil {
				t.Fatal(err)
			}
		}
		f, err := os.OpenFile(filepath.Join(dir, audit.FileName), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(torn)
		f.Close()
		for range 2 {
			if err := open(t, dir).Record(t.Context(), decision("after")); err != nil {
				t.Fatal(err)
			}
		}
		numbered(t, dir, 4)
		if b, _ := os.ReadFile(filepath.Join(dir, audit.FileName)); !strings.Contains(string(b), torn+"\n{") {
			t.Error("the torn line is gone")
		}
	}
}

// TestManyWriters: several logs on one file, as several processes have, share one numbering.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		l := open(t, dir)
		for range 3 {
			wg.Go(func() {
				for range 10 {
					d := decision("x")
					d.Verdict = "deny"
					if err := l.Record(t.Context(), d); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	numbered(t, dir, 120)
}
