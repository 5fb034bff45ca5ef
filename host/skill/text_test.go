package skill

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

func TestTextSkills(t *testing.T) {
	const head = "---\nname: brand-voice\ndescription: How we write\n---\n"
	for name, c := range map[string]struct{ text, want, description, body string }{
		"plain":        {head + "# Voice\nShort.\n", "", "How we write", "# Voice\nShort."},
		"quoted":       {"---\nname: \"brand-voice\"\ndescription: 'It''s: \"ours\"'\nlicense: See LICENSE.txt\n---\nx\n", "", `It's: "ours"`, "x"},
		"folded":       {"---\nname: brand-voice\ndescription: >-\n  How we\n  write\nmetadata:\n  author: me\n---\nx\n", "", "How we write", "x"},
		"windows":      {strings.ReplaceAll(head+"x\n", "\n", "\r\n"), "", "How we write", "x"},
		"rule in text": {head + "a\n\n---\n\nb\n", "", "How we write", "a\n\n---\n\nb"},
		"no head":      {"# Voice\n", "does not begin with", "", ""},
		"no end":       {"---\nname: brand-voice\n", "does not begin with", "", ""},
		"no name":      {"---\ndescription: x\n---\nx", "name", "", ""},
		"bad name":     {"---\nname: ../evil\ndescription: x\n---\nx", "name", "", ""},
		"no yaml":      {"---\nname: a\n[[[\n---\nx", "no 'key: value'", "", ""},
		"bomb":         {"---\nname: a\ndescription: " + strings.Repeat("&a [*a] ", 400) + "\n---\nx", "description", "", ""},
		"not UTF-8":    {head + "\xff\n", "UTF-8", "", ""},
		"huge":         {head + strings.Repeat("x", maxText), "at most", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			dir := filepath.Join(s.dir, "voice")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, textName), []byte(c.text))
			st := s.refreshed(t)["voice"]
			if c.want != "" {
				if st.State != Refused || !strings.Contains(st.Why, c.want) {
					t.Errorf("%+v, want %q", st, c.want)
				}
				return
			}
			k, err := s.Get("brand-voice")
			if err != nil {
				t.Fatalf("%v: %+v", err, st)
			}
			if k.Manifest.Description != c.description || k.Text != c.body || k.Manifest.Kind != host.KindText || k.Dir != "" {
				t.Errorf("%+v", k)
			}
			if s.admit.runs.Load() != 0 {
				t.Error("something was compiled")
			}
		})
	}
}

// The folder's file may be no link to what is elsewhere, and the folder no link itself.
func TestTextSkillLinks(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, textName), []byte("---\nname: out\ndescription: x\n---\nsecret\n"))
	s := newSetup(t)
	if err := os.Mkdir(filepath.Join(s.dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{filepath.Join(outside, textName): "a/" + textName, outside: "b"} {
		if err := os.Symlink(from, filepath.Join(s.dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	s.refreshed(t)
	if k, err := s.Get("out"); err == nil {
		t.Errorf("%+v", k)
	}
}

func FuzzReadText(f *testing.F) {
	f.Add("---\nname: a\ndescription: b\n---\nc\n")
	f.Add("---\nname: >\n  a\n \n---\n")
	f.Fuzz(func(t *testing.T, s string) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, textName), []byte(s))
		if k, err := ReadText(dir); err == nil && (k.Manifest.Name == "" || len(k.Manifest.Capabilities)+len(k.Manifest.Tools) > 0) {
			t.Errorf("%q: %+v", s, k)
		}
	})
}
