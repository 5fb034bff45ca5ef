package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImageLayer: what a base brings is taken but for what agents must not have or have no use for,
// and the program, its settings and the places of mounts come to it.
func TestImageLayer(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{
		"etc/passwd": 0o644, "bin/su": 0o755 | os.ModeSetuid, "usr/share/doc/readme": 0o644, "proc/1/environ": 0o644,
		"tmp/left": 0o644, "usr/bin/git": 0o755, "var/cache/apt/x.deb": 0o644, "runner": 0o755,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, name), "was "+name+"\n")
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("git", filepath.Join(root, "usr/bin/link")); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "claude.tgz")
	var tgz bytes.Buffer
	z := gzip.NewWriter(&tgz)
	w := tar.NewWriter(z)
	w.WriteHeader(&tar.Header{Name: "package/claude", Mode: 0o755, Size: 3})
	io.WriteString(w, "ELF")
	w.Close()
	z.Close()
	if err := os.WriteFile(archive, tgz.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer
	l := &layer{Writer: tar.NewWriter(&out), made: make(map[string]bool)}
	if err := l.addDir(root); err != nil {
		t.Fatal(err)
	}
	if err := l.finish(archive); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r)
		if _, twice := got[h.Name]; twice || h.Mode&0o6000 != 0 {
			t.Errorf("%s: twice %v, mode %o", h.Name, twice, h.Mode)
		}
		got[h.Name] = string(b) + h.Linkname
	}
	for name, want := range map[string]string{
		"usr/bin/git": "was usr/bin/git\n", "usr/bin/link": "git", "bin/su": "was bin/su\n", "usr/local/bin/claude": "ELF",
		"etc/claude-code/managed-settings.json": claudeSettings, "workspace/": "", "proc/": "", "tmp/": "",
	} {
		if have, ok := got[name]; !ok || have != want {
			t.Errorf("%s: %q, there %v", name, have, ok)
		}
	}
	if !strings.HasPrefix(got["etc/passwd"], "was etc/passwd\nagent:x:65532:65532:") {
		t.Errorf("passwd %q", got["etc/passwd"])
	}
	for name := range got {
		if strings.HasPrefix(name, "proc/1") || strings.Contains(name, "readme") || strings.Contains(name, "left") || strings.Contains(name, ".deb") {
			t.Errorf("%s is in the image", name)
		}
	}
	if err := (&layer{Writer: tar.NewWriter(io.Discard), made: map[string]bool{}}).finish(os.Args[0]); err == nil {
		t.Error("no package was taken for one")
	}
}

// TestNPMPack: a package of another digest is refused.
func TestNPMPack(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(bin, "npm"), "#!/bin/sh\n[ \"$5\" = gone@1 ] && { echo 'E404 not found' >&2; exit 1; }\nprintf package > \"$4/p.tgz\"\n")
	if err := os.Chmod(filepath.Join(bin, "npm"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	a, sum := &app{stdout: io.Discard}, sha512.Sum512([]byte("package"))
	integrity := "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	if path, err := a.npmPack(t.Context(), dir, "p@1", integrity); err != nil || filepath.Base(path) != "p.tgz" {
		t.Errorf("%s, %v", path, err)
	}
	if _, err := a.npmPack(t.Context(), dir, "p@1", "sha512-other"); err == nil || !strings.Contains(err.Error(), "must be sha512-other") {
		t.Error(err)
	}
	if _, err := a.npmPack(t.Context(), t.TempDir(), "gone@1", integrity); err == nil || !strings.Contains(err.Error(), "E404") {
		t.Error(err)
	}
	t.Setenv("PATH", "")
	if _, err := a.npmPack(t.Context(), dir, "p@1", integrity); err == nil || !strings.Contains(err.Error(), "npm is needed") {
		t.Error(err)
	}
}
