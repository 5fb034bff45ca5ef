package router

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/attach"
)

func withBox(t *testing.T, f fixture) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "files")
	var err error
	if f.cfg.Files, err = attach.Open(dir, f.st); err != nil {
		t.Fatal(err)
	}
	return dir
}

func file(name, text string, opened *int) host.File {
	return host.File{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
		*opened++
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

// TestFilesComeWithTheirMessage: what came is named in the text; the same message again is not fetched
// again; what nobody may send is not fetched at all.
func TestFilesComeWithTheirMessage(t *testing.T) {
	f := start(t, filepath.Join(t.TempDir(), "db"), echo)
	dir, opened := withBox(t, f), 0
	m := say("c", "1", "")
	m.Files = []host.File{file("a b.txt", "hello", &opened)}
	for range 2 {
		f.deliver(t, m)
	}
	if got := f.ch.next(t).Text; got != "[file: attachments/a_b-2cf24dba5fb0.txt (text/plain, 5 bytes)]" || opened != 1 {
		t.Errorf("the agent was told %q, opened %d times", got, opened)
	}
	m = say("c", "2", "/help")
	m.Files = []host.File{file("a.txt", "x", &opened)}
	f.deliver(t, m)
	f.ch.next(t)
	f.SetRoutes([]host.Route{{Channel: "memory", Chat: "group", Role: "main", Trigger: "@Andy", Senders: []string{"bob"}, Others: true}})
	m = say("group", "3", "see this")
	m.Sender, m.Owner, m.Files = "stranger", false, []host.File{file("virus.exe", "x", &opened)}
	f.deliver(t, m)
	m = say("group", "4", "@Andy what is it?")
	m.Sender, m.Owner = "bob", false
	f.deliver(t, m)
	if got := f.ch.next(t).Text; !strings.HasPrefix(got, "see this\n\n[file virus.exe was not taken]|") || opened != 1 {
		t.Errorf("the agent was told %q, opened %d times", got, opened)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("kept are %v", entries)
	}
	// A disk that cannot be written is no reason to lose a file: the channel tries again.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	m = say("group", "5", "@Andy again")
	m.Sender, m.Files = "bob", []host.File{file("a.txt", "x", &opened)}
	if err := f.Deliver(t.Context(), m); err == nil || errors.Is(err, host.ErrInvalid) {
		t.Errorf("delivered without a disk: %v", err)
	}
}

// filer is a channel that sends files of at most 10 bytes.
type filer struct{ *memory }

func (filer) MaxFile() int64 { return 10 }

// TestFilesAreSent: to a channel that can; in words to one that cannot.
func TestFilesAreSent(t *testing.T) {
	f := start(t, filepath.Join(t.TempDir(), "db"), echo)
	withBox(t, f)
	send := func(data string) host.Outgoing {
		t.Helper()
		file, done, err := f.cfg.Files.Put("report.txt", []byte(data))
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		o := host.Outgoing{Channel: "memory", Chat: "c", Text: "Here.", Kind: host.OutReply, File: &file}
		if err := f.Notify(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return f.ch.next(t)
	}
	if o := send("hello"); o.File != nil || o.Text != "Here.\n\n[file report-2cf24dba5fb0.txt (5 bytes) was not sent: this channel cannot send files]" {
		t.Errorf("sent %+v", o)
	}
	f.channels["memory"] = filer{f.ch} // read when the next one is sent
	o := send("hello")
	if o.File == nil || o.Text != "Here." {
		t.Fatalf("sent %+v", o)
	}
	r, err := o.File.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "hello" {
		t.Errorf("sent %q", b)
	}
	if o := send("hello world"); o.File != nil || !strings.Contains(o.Text, "at most 10 bytes") {
		t.Errorf("sent %+v", o)
	}
}
