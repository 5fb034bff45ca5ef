package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
)

// memory is an anchor; host/store has the real one.
type memory struct {
	mu   sync.Mutex
	head audit.Head
	err  error
	set  int
}

func (m *memory) SetHead(_ context.Context, seq int64, hash string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.set++; m.err == nil && seq > m.head.Seq {
		m.head = audit.Head{Seq: seq, Hash: hash}
	}
	return m.err
}

func (m *memory) Head(context.Context) (int64, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head.Seq, m.head.Hash, m.err
}

func (m *memory) get() audit.Head { m.mu.Lock(); defer m.mu.Unlock(); return m.head }

// log writes n rows into dir, perFile bytes a file, and closes it.
func log(t testing.TB, dir string, anchor audit.Anchor, n int, perFile int64) {
	t.Helper()
	l, err := audit.Open(dir, anchor)
	if err != nil {
		t.Fatal(err)
	}
	l.RotateAt(perFile)
	for i := range n {
		d := decision(fmt.Sprintf("host-%d.example", i))
		d.Turn, d.Call, d.Digest, d.Reason, d.Bytes, d.Verdict = "t", "1.2", "sha256:aa", "grant", 7, "deny"
		if err := l.Record(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// copyOf returns the files of dir, by name.
func copyOf(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// put makes a directory of files.
func put(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func verify(t testing.TB, dir string, anchor audit.Head) audit.Report {
	t.Helper()
	r, err := audit.Verify(dir, anchor)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	one   = "audit-000001.jsonl"
	two   = "audit-000002.jsonl"
	three = "audit-000003.jsonl"
)

// nine is a log of nine rows in three files.
func nine(t testing.TB) (map[string][]byte, audit.Head) {
	t.Helper()
	dir, m := t.TempDir(), &memory{}
	log(t, dir, m, 9, 800)
	files := copyOf(t, dir)
	for _, name := range []string{one, two, three} {
		if bytes.Count(files[name], []byte("\n")) != 3 {
			t.Fatalf("%s: want three rows:\n%s", name, files[name])
		}
	}
	return files, m.get()
}

func lines(b []byte) [][]byte { return slices.Collect(bytes.Lines(b)) }

func TestChain(t *testing.T) {
	files, head := nine(t)
	got := verify(t, put(t, files), head)
	want := audit.Report{Rows: 9, Files: 3, First: 1, Chained: 1, Head: head, Anchor: head}
	if got != want || head.Seq != 9 {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	third := lines(files[one])[2]
	for _, tc := range []struct {
		name   string
		change func(f map[string][]byte)
		want   string // beginning of the complaint
	}{
		{"delete the first row", edit(one, func(l [][]byte) [][]byte { return l[1:] }), one + " line 1: row 2 comes after row 0"},
		{"delete a row", edit(two, func(l [][]byte) [][]byte { return slices.Delete(l, 1, 2) }), two + " line 2: row 6 comes after row 4"},
		{"delete the last row", edit(three, func(l [][]byte) [][]byte { return l[:2] }), three + " line 3: row 9 is missing"},
		{"delete a line feed", func(f map[string][]byte) { f[two] = bytes.Replace(f[two], []byte("\n"), nil, 1) }, two + " line 1: row 4 is not a row"},
		{"add a carriage return", func(f map[string][]byte) { f[two] = bytes.Replace(f[two], []byte("\n"), []byte("\r\n"), 1) }, two + " line 1: row 4 was edited"},
		{"insert an empty line", edit(two, insert("\n")), two + " line 2: row 5 is not a row"},
		{"insert an empty line first", func(f map[string][]byte) { f[one] = append([]byte("\n"), f[one]...) }, one + " line 1: row 1 is not a row"},
		{"insert garbage", edit(two, insert("hello\n")), two + " line 2: row 5 is not a row"},
		{"insert a long line", edit(two, insert(strings.Repeat("x", 1<<20)+"\n")), two + " line 2: row 5 is not a row"},
		{"insert an old row", edit(two, insert(string(third))), two + " line 2: row 3 comes after row 4"},
		{"insert a row that fits", edit(two, forge), two + " line 3: row 5 comes after row 5"},
		{"append garbage", edit(three, func(l [][]byte) [][]byte { return append(l, []byte("x\n")) }), three + " line 4: row 10 is not a row"},
		{"end a file with garbage", func(f map[string][]byte) { f[one] = append(f[one], 'x') }, one + " line 4: row 4 is not a row"},
		{"swap rows", edit(two, func(l [][]byte) [][]byte { l[0], l[1] = l[1], l[0]; return l }), two + " line 1: row 5 comes after row 3"},
		{"drop the first file", func(f map[string][]byte) { delete(f, one) }, two + " line 1: row 4 comes after row 0"},
		{"drop a file", func(f map[string][]byte) { delete(f, two) }, three + " line 1: row 7 comes after row 3"},
		{"drop the last file", func(f map[string][]byte) { delete(f, three) }, two + " line 4: row 7 is missing"},
		{"drop all files", func(f map[string][]byte) { clear(f) }, "audit-000000.jsonl line 1: row 1 is missing"},
		{"empty a file", func(f map[string][]byte) { f[three] = nil }, two + " line 4: row 7 is missing"},
		{"swap files", func(f map[string][]byte) { f[one], f[two] = f[two], f[one] }, one + " line 1: row 4 comes after row 0"},
		{"say that the log begins here", func(f map[string][]byte) {
			delete(f, one)
			f[two] = bytes.Replace(f[two], []byte(`"deny"`), []byte(`"new"`), 1)
		}, two + " line 1: row 4 was edited"},
		{"begin anew behind the anchor", func(f map[string][]byte) {
			clear(f)
			f[one] = fmt.Appendf(nil, `{"seq":10,"prev":%q,"verdict":"new"}`+"\n", head.Hash)
		}, one + " line 1: row 10 comes after row 0"},
		{"unchain the beginning", edit(one, func(l [][]byte) [][]byte {
			for i := range l {
				var r audit.Row
				_ = json.Unmarshal(l[i], &r)
				l[i] = bytes.Replace(l[i], []byte(r.Prev), nil, 1)
			}
			return l
		}), one + " line 3: row 3 was edited"},
		{"write it all anew", func(f map[string][]byte) {
			dir := t.TempDir()
			log(t, dir, nil, 9, 700)
			clear(f)
			maps.Copy(f, copyOf(t, dir))
			f[one] = bytes.Replace(f[one], []byte("example"), []byte("EXAMPLE"), 1)
			prev := ""
			for _, name := range slices.Sorted(maps.Keys(f)) {
				f[name], prev = chain(f[name], prev)
			}
		}, "audit-00000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := maps.Clone(files)
			for name, b := range f {
				f[name] = bytes.Clone(b)
			}
			tc.change(f)
			if r := verify(t, put(t, f), head); r.Bad == nil || !strings.HasPrefix(r.Bad.Error(), tc.want) {
				t.Errorf("got %v, want %q", r.Bad, tc.want)
			}
		})
	}
}

func edit(file string, change func([][]byte) [][]byte) func(map[string][]byte) {
	return func(f map[string][]byte) { f[file] = bytes.Join(change(lines(f[file])), nil) }
}

func insert(line string) func([][]byte) [][]byte {
	return func(l [][]byte) [][]byte { return slices.Insert(l, 1, []byte(line)) }
}

// forge inserts a row that is chained to the first of l.
func forge(l [][]byte) [][]byte {
	var r audit.Row
	_ = json.Unmarshal(l[0], &r)
	b, _ := chain(append(bytes.Clone(l[0]), l[0]...), r.Prev)
	return slices.Insert(l, 1, lines(b)[1])
}

// chain gives rows new hashes and, from the first, new numbers.
func chain(b []byte, prev string) (_ []byte, last string) {
	var out []byte
	var seq int64
	for _, line := range lines(b) {
		var r audit.Row
		_ = json.Unmarshal(line, &r)
		if seq++; seq == 1 {
			seq = r.Seq
		}
		if r.Seq = seq; prev != "" {
			r.Prev = prev
		}
		line, _ = json.Marshal(r)
		prev = hashOf(line)
		out = append(append(out, line...), '\n')
	}
	return out, prev
}

// TestEveryByte changes every byte of a log, and cuts it off at every place: the complaint
// names the very row.
func TestEveryByte(t *testing.T) {
	files, head := nine(t)
	for _, name := range []string{one, two, three} {
		dir := put(t, files)
		path := filepath.Join(dir, name)
		for i := range files[name] {
			b := bytes.Clone(files[name])
			b[i] ^= 1
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			line := bytes.Count(files[name][:i], []byte("\n")) + 1
			want := fmt.Sprintf("%s line %d: row ", name, line)
			r := verify(t, dir, head)
			if r.Bad == nil || !strings.HasPrefix(r.Bad.Error(), want) && !(name == three && i == len(b)-1) {
				t.Fatalf("byte %d of %s: got %v, want %q", i, name, r.Bad, want)
			}
		}
	}
	dir := put(t, files)
	for size := range len(files[three]) - 1 { // without its last byte, a line feed, the log is all there
		if err := os.Truncate(filepath.Join(dir, three), int64(len(files[three])-2-size)); err != nil {
			t.Fatal(err)
		}
		r := verify(t, dir, head)
		if r.Bad == nil || r.Bad.Seq != r.Head.Seq+1 || !strings.Contains(r.Bad.Error(), "is missing") {
			t.Fatalf("%d bytes: %v", size, r.Bad)
		}
		if _, err := audit.Open(dir, &memory{head: head}); err == nil || !strings.Contains(err.Error(), "row 9 is gone") {
			t.Fatalf("%d bytes: opened: %v", size, err)
		}
	}
}

// TestRollback: an old copy of the whole directory is a log that fits, but not the anchor.
func TestRollback(t *testing.T) {
	dir, m := t.TempDir(), &memory{}
	log(t, dir, m, 3, 800)
	old := copyOf(t, dir)
	log(t, dir, m, 3, 800)
	dir = put(t, old)
	if r := verify(t, dir, m.get()); r.Bad == nil || r.Bad.Error() != one+" line 4: row 4 is missing: the database "+
		"remembers row 6, so the end was cut off" {
		t.Error(r.Bad)
	}
	_, err := audit.Open(dir, m)
	if !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), "row 6 is gone") ||
		!strings.Contains(err.Error(), "'nanoclaw audit new'") {
		t.Fatal(err)
	}
	// The same number of other rows does not help.
	log(t, dir, nil, 3, 800)
	if _, err := audit.Open(dir, m); err != nil {
		t.Fatal("the same rows are the same log:", err)
	}
	m.head.Hash = strings.Repeat("a", 64)
	if _, err := audit.Open(dir, m); err == nil {
		t.Error("opened with another hash")
	}
	if r := verify(t, dir, m.get()); r.Bad == nil || r.Bad.Seq != 6 {
		t.Error(r.Bad)
	}
}

// TestCutWhileOpen: a log that loses rows under its writer takes no more.
func TestCutWhileOpen(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i := range 3 {
		if err := l.Record(t.Context(), decision(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, one)
	b, _ := os.ReadFile(path)
	if err := os.Truncate(path, int64(len(lines(b)[0]))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Record(t.Context(), decision("x")); err == nil || !strings.Contains(err.Error(), "row 3 is gone") {
			t.Error(err)
		}
	}
}

// Rows that go to a file which nobody can find any more are lost, so none does.
func TestGoneWhileOpen(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"removed": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"another": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o600))
		},
		"a copy behind a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := audit.Open(dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := l.Record(t.Context(), decision("a.example")); err != nil {
				t.Fatal(err)
			}
			if err := harm(filepath.Join(dir, audit.FileName)); err != nil {
				t.Fatal(err)
			}
			if err := l.Record(t.Context(), decision("b.example")); !errors.Is(err, host.ErrInvalid) {
				t.Errorf("a row after the file is gone: %v", err)
			}
		})
	}
}

// TestRenew: the way out keeps the old log and leaves a mark that Verify shows.
func TestRenew(t *testing.T) {
	parent, m := t.TempDir(), &memory{}
	dir := filepath.Join(parent, "audit")
	log(t, dir, m, 5, 1<<20)
	if err := os.Truncate(filepath.Join(dir, one), 100); err != nil {
		t.Fatal(err)
	}
	aside, err := audit.Renew(dir, m, host.Decision{Reason: "why"})
	if err != nil || len(copyOf(t, aside)[one]) != 100 {
		t.Fatal(aside, err)
	}
	log(t, dir, m, 2, 1<<20)
	r := verify(t, dir, m.get())
	if r.Bad != nil || r.First != 6 || r.Head.Seq != 8 || r.Rows != 3 || r.Anchor != r.Head {
		t.Errorf("%+v %v", r, r.Bad)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(dir, m); err == nil {
		t.Error("a log that was removed was begun again in silence")
	}
	if _, err = audit.Renew(dir, m, host.Decision{}); err != nil { // Open made the directory
		t.Fatal(err)
	}
	log(t, dir, m, 1, 1<<20)
	m.err = errors.New("disk on fire")
	if _, err = audit.Renew(dir, m, host.Decision{}); !errors.Is(err, m.err) {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("moved without an anchor:", err)
	}
}

// TestOlderVersion: rows that have no chain stay, and are followed by rows that have.
func TestOlderVersion(t *testing.T) {
	dir := t.TempDir()
	old := `{"seq":1,"verdict":"deny"}` + "\n" + `{"seq":2,"cut` + "\n" + `{"seq":2,"verdict":"deny"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	log(t, dir, m, 2, 1<<20)
	r := verify(t, dir, m.get())
	if r.Bad != nil || r.Rows != 4 || r.Chained != 3 || r.Cut != 1 {
		t.Errorf("%+v %v", r, r.Bad)
	}
	if b := copyOf(t, dir)[one]; !bytes.HasPrefix(b, []byte(old)) {
		t.Errorf("%s", b)
	}
}

// TestCrashInRotation puts down what a crash leaves at each step, and goes on.
func TestCrashInRotation(t *testing.T) {
	for name, leave := range map[string]string{
		"before the next file": "-", "an empty file": "", "a cut row": `{"seq":4,"pr`, "a row without its end": "row",
	} {
		t.Run(name, func(t *testing.T) {
			dir, m := t.TempDir(), &memory{}
			log(t, dir, m, 3, 800)
			want := 5
			switch leave {
			case "-":
			case "row":
				log(t, dir, m, 1, 800)
				want++
				b := copyOf(t, dir)[two]
				leave = string(b[:len(b)-1])
				fallthrough
			default:
				if err := os.WriteFile(filepath.Join(dir, two), []byte(leave), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			log(t, dir, m, 2, 800)
			r := verify(t, dir, m.get())
			if r.Bad != nil || r.Rows != int64(want) || r.Files != 2 || !strings.HasPrefix(string(copyOf(t, dir)[two]), strings.Trim(leave, "-")) {
				t.Errorf("%+v %v", r, r.Bad)
			}
		})
	}
}

// TestRotationFails: what cannot be rotated takes no row, and does once it can.
func TestRotationFails(t *testing.T) {
	dir, m := t.TempDir(), &memory{}
	log(t, dir, m, 3, 800)
	l, err := audit.Open(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.RotateAt(800)
	if err := os.Mkdir(filepath.Join(dir, two), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), decision("x")); err == nil {
		t.Error("a row without a file")
	}
	if err := os.Remove(filepath.Join(dir, two)); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(t.Context(), decision("x")); err != nil {
		t.Error(err)
	}
	if r := verify(t, dir, m.get()); r.Bad != nil || r.Rows != 4 || r.Files != 2 {
		t.Errorf("%+v %v", r, r.Bad)
	}
}

// TestAnchorFails: rows are taken while the anchor is not too old, and then no more.
func TestAnchorFails(t *testing.T) {
	dir, m := t.TempDir(), &memory{}
	l, err := audit.Open(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m.mu.Lock()
	m.err = errors.New("database is full")
	m.mu.Unlock()
	d := decision("x")
	d.Verdict = "deny"
	for i := range audit.MaxBehind {
		if err := l.Record(t.Context(), d); err != nil {
			t.Fatal(i, err)
		}
	}
	for range 3 {
		if err := l.Record(t.Context(), d); err == nil || !strings.Contains(err.Error(), "anchor: database is full") {
			t.Fatal(err)
		}
	}
	numbered(t, dir, audit.MaxBehind)
	m.mu.Lock()
	m.err = nil
	m.mu.Unlock()
	if err := l.Record(t.Context(), d); err != nil || m.get().Seq != audit.MaxBehind {
		t.Error(err, m.get())
	}
}

// TestAnchorAfterATime: a host that is idle has anchored what it wrote.
func TestAnchorAfterATime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l, err := audit.Open(dir, m)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			for range 2 {
				if err := l.Record(t.Context(), decision("x")); err != nil {
					t.Fatal(err)
				}
			}
			if time.Sleep(2 * time.Second); m.get().Seq == 0 {
				t.Error("no anchor")
			}
		}
		if m.get().Seq != 6 || m.set != 3 {
			t.Errorf("%+v, set %d times", m.get(), m.set)
		}
		if err := l.Close(); err != nil || m.set != 3 {
			t.Errorf("%v, set %d times", err, m.set)
		}
	})
}

// TestManyWritersRotate: several logs on one directory, as several processes have, on short files.
func TestManyWritersRotate(t *testing.T) {
	dir, m := t.TempDir(), &memory{}
	var wg sync.WaitGroup
	for range 4 {
		l, err := audit.Open(dir, m)
		if err != nil {
			t.Fatal(err)
		}
		l.RotateAt(2000)
		wg.Go(func() {
			var own sync.WaitGroup
			for range 3 {
				own.Go(func() {
					for range 15 {
						d := decision("x")
						d.Verdict = "deny"
						if err := l.Record(t.Context(), d); err != nil {
							t.Error(err)
						}
					}
				})
			}
			own.Wait()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r := verify(t, dir, m.get())
	if r.Bad != nil || r.Rows != 180 || r.Files < 10 || r.Anchor != r.Head {
		t.Errorf("%+v %v", r, r.Bad)
	}
}
