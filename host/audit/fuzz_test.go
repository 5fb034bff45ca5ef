package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
)

func hashOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// FuzzVerify replaces part of a log with something else: that is found, or changed nothing.
func FuzzVerify(f *testing.F) {
	files, head := nine(f)
	f.Add(0, 0, 0, []byte("x"))
	f.Add(1, 5, 9, []byte(`"new"`))
	f.Add(2, 800, 1, []byte(nil))
	f.Add(2, 900, 0, []byte("{\"seq\":10}\n"))
	f.Add(1, 0, 1000, bytes.Clone(files[one]))
	f.Fuzz(func(t *testing.T, file, at, length int, with []byte) {
		changed := maps.Clone(files)
		name := []string{one, two, three}[uint(file)%3]
		b := files[name]
		at = int(uint(at) % uint(len(b)+1))
		length = int(uint(length) % uint(len(b)+1-at))
		changed[name] = slices.Concat(b[:at], with, b[at+length:])
		r := verify(t, put(t, changed), head)
		same := bytes.Equal(changed[name], b) || name == three && bytes.Equal(changed[name], b[:len(b)-1])
		if found := r.Bad != nil || r.Unfinished > 0; found == same {
			t.Errorf("%s at %d: %d bytes to %q: %+v, %v", name, at, length, with, r, r.Bad)
		}
	})
}

// FuzzOpen opens any bytes: it says that they are no log, or goes on behind all of them.
func FuzzOpen(f *testing.F) {
	files, _ := nine(f)
	f.Add(files[one], files[two])
	f.Add(files[one], files[two][:100])
	f.Add([]byte("{\"seq\":1}\n"), []byte(nil))
	f.Add([]byte("\n\n"), []byte("{\"seq\":"))
	f.Add([]byte(nil), []byte("x"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		dir := put(t, map[string][]byte{one: first, two: second})
		before := verify(t, dir, audit.Head{})
		crash := before.Bad == nil && (len(first) == 0 || first[len(first)-1] == '\n') // rotation is after a whole row
		l, err := audit.Open(dir, nil)
		if err != nil {
			if !errors.Is(err, host.ErrInvalid) {
				t.Error(err)
			}
			if crash && before.Rows > 0 {
				t.Error("a log that fits was not opened:", err)
			}
			return
		}
		if err := errors.Join(l.Record(t.Context(), decision("x")), l.Close()); err != nil {
			t.Fatal(err)
		}
		after := copyOf(t, dir)
		if !bytes.Equal(after[one], first) || !bytes.HasPrefix(after[two], second) || len(after) != 2 {
			t.Errorf("rows are gone: %s", filepath.Join(dir, two))
		}
		if r := verify(t, dir, audit.Head{}); crash && (r.Bad != nil || r.Rows != before.Rows+1) {
			t.Errorf("%+v, then %+v %v", before, r, r.Bad)
		}
	})
}
