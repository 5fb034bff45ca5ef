package attach_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/attach"
)

// rows says which files are in use, and how much an agent has.
type rows struct {
	used  map[host.Digest]bool
	bytes int64
}

func (r *rows) FileUsed(_ context.Context, d host.Digest) (bool, error) { return r.used[d], nil }
func (r *rows) AgentBytes(context.Context, host.AgentID) (int64, error) { return r.bytes, nil }
func from(s string) func(context.Context) (io.ReadCloser, error)        { return reader(strings.NewReader(s)) }

func reader(r io.Reader) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }
}

func newBox(t *testing.T) (*attach.Box, *rows, string) {
	t.Helper()
	dir, r := filepath.Join(t.TempDir(), "files"), &rows{used: map[host.Digest]bool{}}
	b, err := attach.Open(dir, r)
	if err != nil {
		t.Fatal(err)
	}
	return b, r, dir
}

// TestNames: whatever a sender calls a file, it is one harmless element of a path.
func TestNames(t *testing.T) {
	d := host.Digest("sha256:0123456789abcdef" + strings.Repeat("0", 48))
	for name, want := range map[string]string{
		"baby-duck.png":                 "baby-duck-0123456789ab.png",
		"file with spaces.pdf":          "file_with_spaces-0123456789ab.pdf",
		".hidden":                       "hidden-0123456789ab",
		"../evil.png":                   "evil-0123456789ab.png",
		"/etc/passwd":                   "passwd-0123456789ab",
		`windows\path.exe`:              "path-0123456789ab.exe",
		"clean\x00.png":                 "clean-0123456789ab.png",
		"./..":                          "file-0123456789ab",
		"":                              "file-0123456789ab",
		"[note](x)`$(rm).txt":           "note_x_rm-0123456789ab.txt",
		"safe\u202egnp.exe":             "safegnp-0123456789ab.exe",
		"a\ufeff\u200b\ufe0fb.png":      "ab-0123456789ab.png",
		"a\nb\r\tc.png":                 "a_b_c-0123456789ab.png",
		"Grüße 小明.jpg":                  "Grüße_小明-0123456789ab.jpg",
		"x.tar.gz":                      "x.tar-0123456789ab.gz",
		"x.reallylongextension":         "x.reallylongextension-0123456789ab",
		"\xff\xfe.png":                  "png-0123456789ab",
		strings.Repeat("é", 300) + ".p": strings.Repeat("é", 39) + "-0123456789ab.p",
	} {
		if got := attach.Name(name, "application/octet-stream", d); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for mimeType, want := range map[string]string{
		"image/jpeg": "image-0123456789ab.jpg", "audio/ogg": "audio-0123456789ab.ogg", "application/pdf": "file-0123456789ab.pdf",
	} {
		if got := attach.Name("", mimeType, d); got != want {
			t.Errorf("%s: %q, want %q", mimeType, got, want)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"a.png", "../x", "\u202e", ".", strings.Repeat("x.", 200), "\x00"} {
		f.Add(s)
	}
	d := host.Digest("sha256:" + strings.Repeat("a", 64))
	f.Fuzz(func(t *testing.T, s string) {
		got := attach.Name(s, "image/png", d)
		bad := func(r rune) bool {
			return r == '/' || r == '\\' || !unicode.IsGraphic(r) || unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
		}
		if !filepath.IsLocal(got) || strings.HasPrefix(got, ".") || len(got) > 120 || !utf8.ValidString(got) ||
			strings.ContainsFunc(got, bad) || !strings.Contains(got, "-aaaaaaaaaaaa") {
			t.Errorf("%q became %q", s, got)
		}
	})
}

// TestTypes: nobody's word makes an image or a PDF, nor hides one.
func TestTypes(t *testing.T) {
	png, pdf := "\x89PNG\r\n\x1a\n", "%PDF-1.4\n"
	for _, c := range []struct{ head, claimed, want string }{
		{png, "text/plain", "image/png"},
		{png, "", "image/png"},
		{pdf, "image/png", "application/pdf"},
		{"\x00\x01\x02", "image/png", "application/octet-stream"},
		{"\x00\x01\x02", "application/pdf", "application/octet-stream"},
		{"\x00\x01\x02", "text/plain", "application/octet-stream"},
		{"\x00\x01\x02", "application/x-thing; a=b", "application/x-thing"},
		{"\x00\x01\x02", "x\ny/z", "application/octet-stream"},
		{"a,b\n1,2\n", "text/csv; charset=utf-8", "text/csv"},
		{"a,b\n1,2\n", "application/x-msdownload", "text/plain"},
		{"PK\x03\x04", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
		{"OggS\x00\x02", "audio/ogg; codecs=opus", "audio/ogg"},
		{"<html>", "image/png", "text/html"},
		{"", "image/png", "text/plain"},
	} {
		if got := attach.Type([]byte(c.head), c.claimed); got != c.want {
			t.Errorf("%q said to be %q: %q, want %q", c.head, c.claimed, got, c.want)
		}
	}
}

// zeros has no end.
type zeros struct{ n *int64 }

func (z zeros) Read(p []byte) (int, error) { *z.n += int64(len(p)); clear(p); return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("https://secret.example is away") }

// TestTake: what is taken is said, and so is what is not and why. No size that a sender states counts.
func TestTake(t *testing.T) {
	b, _, dir := newBox(t)
	var read int64
	kept, lines, done, err := b.Take(t.Context(), "a", []host.File{
		{Name: "a.txt", Open: from("hello")},
		{Name: "liar.bin", Size: 3, Open: reader(zeros{&read})},
		{Name: "big.bin", Size: host.MaxFile + 1, Open: func(context.Context) (io.ReadCloser, error) {
			t.Error("what is too large by its own word is fetched")
			return nil, host.ErrLimit
		}},
		{Name: "gone.bin", Open: func(context.Context) (io.ReadCloser, error) { return nil, errors.New("404 at https://secret.example") }},
		{Name: "cut.bin", Open: reader(broken{})},
		{Name: "b.txt", Type: "image/png", Size: 1 << 40 >> 40, Open: from("world")},
	})
	if err != nil || len(kept) != 2 {
		t.Fatalf("%+v, %v", kept, err)
	}
	want := []string{
		"[file: attachments/a-2cf24dba5fb0.txt (text/plain, 5 bytes)]", "[file liar.bin was not taken: it is larger than 20.0 MB]",
		"[file big.bin was not taken: it is larger than 20.0 MB]", "[file gone.bin was not taken: it could not be fetched]",
		"[file cut.bin was not taken: it could not be fetched]", "[file: attachments/b-486ea46224d1.txt (text/plain, 5 bytes)]",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("lines\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if read > host.MaxFile+1<<20 {
		t.Errorf("%d bytes of an endless file were read", read)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if st, _ := e.Info(); st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), st.Mode())
		}
	}
	if len(entries) != 2 {
		t.Errorf("the directory holds %v", entries)
	}
	r, err := b.Reader(kept[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, _ := io.ReadAll(r); string(got) != "hello" {
		t.Errorf("kept %q", got)
	}
	done()
}

func TestCaps(t *testing.T) {
	b, r, _ := newBox(t)
	file := func(n int) (out []host.File) {
		for i := range n {
			out = append(out, host.File{Name: fmt.Sprint(i), Open: from(fmt.Sprint(i))})
		}
		return out
	}
	kept, lines, _, err := b.Take(t.Context(), "a", file(host.MaxFiles+3))
	if err != nil || len(kept) != host.MaxFiles || !strings.Contains(lines[len(lines)-1], "3 more files were not taken") {
		t.Errorf("%d files, %q, %v", len(kept), lines[len(lines)-1], err)
	}
	big := []host.File{}
	for i := range 4 {
		data := append(bytes.Repeat([]byte{byte(i)}, host.MaxFile-1), 1)
		big = append(big, host.File{Name: "x", Open: reader(bytes.NewReader(data))})
	}
	kept, lines, _, err = b.Take(t.Context(), "a", big)
	if err != nil || len(kept) != 3 || !strings.Contains(lines[3], "at most 64.0 MB together") {
		t.Errorf("%d files, %q, %v", len(kept), lines, err)
	}
	r.bytes = host.MaxAgentFiles - 2
	kept, lines, _, err = b.Take(t.Context(), "a", []host.File{{Name: "x", Open: from("123")}, {Name: "y", Open: from("12")}})
	if err != nil || len(kept) != 1 || !strings.Contains(lines[0], "keep_messages") {
		t.Errorf("%d files, %q, %v", len(kept), lines, err)
	}
}

// TestSweep: a file without a row goes, but not while its row is on the way; one that a dead host was
// writing is gone after the start.
func TestSweep(t *testing.T) {
	b, r, dir := newBox(t)
	kept, _, done, err := b.Take(t.Context(), "a", []host.File{{Open: from("used")}, {Open: from("orphan")}})
	if err != nil {
		t.Fatal(err)
	}
	again, _, done2, err := b.Take(t.Context(), "a", []host.File{{Open: from("orphan")}})
	if err != nil || again[0].Digest != kept[1].Digest {
		t.Fatal(again, err)
	}
	sweep := func(want int) {
		t.Helper()
		if n, err := b.Sweep(t.Context()); n != want || err != nil {
			t.Errorf("%d removed, %v; want %d", n, err, want)
		}
	}
	sweep(0)
	r.used[kept[0].Digest] = true
	done()
	sweep(0) // another message with it is on its way
	done2()
	sweep(1)
	if _, err := b.Reader(kept[1].Digest); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("the orphan: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "part-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := attach.Open(dir, r); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left are %v", entries)
	}
}

// TestNoDisk: what is wrong here is no reason to go on without the file.
func TestNoDisk(t *testing.T) {
	b, _, dir := newBox(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, lines, _, err := b.Take(t.Context(), "a", []host.File{{Open: from("x")}}); err == nil {
		t.Errorf("no error, but %q", lines)
	}
}
