package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
)

// TestAuditFollow: rows are shown as they come, past a rotation, and an interrupt is no error.
func TestAuditFollow(t *testing.T) {
	state := t.TempDir()
	dir := filepath.Join(state, "audit")
	l, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	record := func(target string) {
		t.Helper()
		if err := l.Record(t.Context(), host.Decision{Role: "web", Target: target}); err != nil {
			t.Fatal(err)
		}
	}
	record("before")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r, w := io.Pipe()
	done := make(chan error)
	role := "web"
	j := &auditJob{app: &app{stdout: w}, state: state, follow: true, last: 50, words: map[string]*string{"role": &role}}
	go func() { done <- j.show(ctx) }()
	shown := bufio.NewScanner(r)
	next := func(want string) {
		t.Helper()
		if !shown.Scan() || !strings.Contains(shown.Text(), want) {
			t.Fatalf("shown %q, want %q", shown.Text(), want)
		}
	}
	next("before")
	record("while")
	next("while")
	record("last of its file")
	rotated := filepath.Join(dir, "audit-000002.jsonl")
	row := `{"seq":%d,"role":%q,"target":%q}` + "\n"
	write(t, rotated, fmt.Sprintf(row, 4, "other", "hidden")+fmt.Sprintf(row, 5, "web", "next file")+`{"seq":6,"ro`)
	next("last of its file")
	next("next file")
	f, err := os.OpenFile(rotated, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`le":"web","target":"written in two parts"}` + "\n"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	next("written in two parts")
	interrupt()
	if err := <-done; err != nil || j.bad > 0 {
		t.Error(err, j.bad)
	}
	l.Close()
}
