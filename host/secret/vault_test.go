package secret_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/secret"
)

// TestVault: what it looks for, from when on, and what it does not fetch for that.
func TestVault(t *testing.T) {
	dir := t.TempDir()
	file, ran := filepath.Join(dir, "file"), filepath.Join(dir, "ran")
	write := func(value string) {
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("value-of-the-file-1")
	t.Setenv("NC_VAULT", "value-of-the-variable")
	command := host.SecretSource{Command: []string{"sh", "-c", "touch " + ran + "; echo value-of-the-command"}}
	sources := map[string]host.SecretSource{
		"env": {Env: "NC_VAULT"}, "file": {File: file}, "command": command, "gone": {Env: "NC_VAULT_GONE"}, "managed": {Managed: true},
	}
	v := secret.NewVault()
	finds := func(text, want string) {
		t.Helper()
		if got := strings.Join(v.Matcher().Find(false, text), " "); got != want {
			t.Errorf("%s: found %q, want %q", text, got, want)
		}
	}
	finds("value-of-the-file-1", "")
	v.Use(func() map[string]host.SecretSource { return sources })
	finds("value-of-the-file-1", "file")
	finds("value-of-the-variable", "env")
	finds("value-of-the-command", "")
	if _, err := os.Stat(ran); err == nil {
		t.Error("a command ran to build the matcher")
	}
	for name, src := range sources {
		if _, err := v.Get(name, src); (err != nil) != (name == "gone") {
			t.Error(name, err)
		}
	}
	finds("value-of-the-command", "command")
	finds(secret.Managed, "")
	for i := 2; i <= 6; i++ { // rotated: the last four are looked for
		write(fmt.Sprint("value-of-the-file-", i))
		if k, err := v.Get("file", sources["file"]); err != nil || k.Reveal() != fmt.Sprint("value-of-the-file-", i) {
			t.Error(k, err)
		}
		finds(fmt.Sprint("value-of-the-file-", i), "file")
	}
	finds("value-of-the-file-3", "file")
	finds("value-of-the-file-2", "")
	write("value-of-the-file-7")
	v.Use(func() map[string]host.SecretSource { return sources }) // a changed configuration: looks at once
	finds("value-of-the-file-7", "file")
}

// TestLog: a line that holds a value loses it, in every format of the log; others pass as they are.
func TestLog(t *testing.T) {
	v := secret.NewVault()
	t.Setenv("NC_VAULT", stored)
	if _, err := v.Get("x", host.SecretSource{Env: "NC_VAULT"}); err != nil {
		t.Fatal(err)
	}
	for _, asJSON := range []bool{true, false} {
		var out bytes.Buffer
		l := hclog.New(&hclog.LoggerOptions{Output: secret.Writer(&out, v.Matcher), JSONFormat: asJSON})
		for name, spell := range spellings {
			l.Info("guest says "+spell(stored), name, spell(stored), "error", fmt.Errorf("%s and %q", spell(stored), spell(stored)))
		}
		l.Info("nothing to see")
		if s := out.String(); v.Matcher().Find(false, s) != nil || !strings.Contains(s, "[secret x]") || !strings.Contains(s, "nothing to see") {
			t.Errorf("the log says %.500s", s)
		}
	}
}

// TestStore: a stored secret is a private file; names lead nowhere else (C16).
func TestStore(t *testing.T) {
	state := t.TempDir()
	if got := secret.Stored(state); len(got) != 0 {
		t.Errorf("stored: %v", got)
	}
	dir := filepath.Join(state, "secrets")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{" first-value\n", "second-value"} {
		if err := secret.Set(state, "brave_1", value); err != nil {
			t.Fatal(err)
		}
		src := secret.Stored(state)["brave_1"]
		k, err := secret.Resolve("brave_1", src)
		if err != nil || k.Reveal() != strings.TrimSpace(value) {
			t.Errorf("got %q, %v", k.Reveal(), err)
		}
		for path, want := range map[string]os.FileMode{dir: 0o700, src.File: 0o600} {
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, st.Mode(), err)
			}
		}
	}
	for _, name := range []string{
		"", ".", "..", "/", "//x", "/../etc/passwd", "/ab cd/x", "../nanoclaw.db", "a/b", ".new-1", "a\x00", "a\n", "é", "-x", strings.Repeat("a", 65),
	} {
		if err := errors.Join(secret.Set(state, name, "value-1234"), secret.Remove(state, name)); !errors.Is(err, host.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, value := range []string{"", " \n", strings.Repeat("x", 64<<10+1)} {
		if err := secret.Set(state, "brave_1", value); !errors.Is(err, host.ErrInvalid) {
			t.Errorf("a value of %d bytes: %v", len(value), err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || len(secret.Stored(state)) != 1 {
		t.Errorf("files %v, %v", entries, err)
	}
	if err := secret.Remove(state, "brave_1"); err != nil || len(secret.Stored(state)) != 0 {
		t.Error(err)
	}
	if err := secret.Remove(state, "brave_1"); !errors.Is(err, host.ErrNotFound) {
		t.Error(err)
	}
}

// TestSystemdCredential: systemd gives its service files of root that show as the group's to read.
func TestSystemdCredential(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	path := filepath.Join(dir, "brave")
	if err := os.WriteFile(path, []byte(stored), 0o440); err != nil {
		t.Fatal(err)
	}
	_, err := secret.Resolve("brave", host.SecretSource{File: path})
	if root := os.Geteuid() == 0; (err == nil) != root {
		t.Errorf("as root %v: %v", root, err)
	}
	for _, mode := range []os.FileMode{0o444, 0o460, 0o441} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.Resolve("brave", host.SecretSource{File: path}); !errors.Is(err, host.ErrDenied) {
			t.Errorf("%o: %v", mode, err)
		}
	}
}
