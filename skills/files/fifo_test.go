//go:build unix

package main

import (
	"path/filepath"
	"syscall"
	"testing"
)

// TestFIFO: what would hang is not opened.
func TestFIFO(t *testing.T) {
	h, ws, _ := world(t)
	if err := syscall.Mkfifo(filepath.Join(ws, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	is(t, h, "error: fifo is no regular file", "read", readInput{Path: "fifo"})
	is(t, h, "error: fifo is a directory, or no regular file", "append", writeInput{"fifo", "x"})
	is(t, h, `No file has "fifo" in its name or text.`, "search", searchInput{Query: "fifo"})
}
