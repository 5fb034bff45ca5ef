// Package secret owns the values that must never be shown: it fetches one from where
// nanoclaw.toml says it is, or `nanoclaw secret set` put it (store.go), and wraps it in a [Key]
// that no log line, error, JSON document or %#v can print. `grep -r Reveal` is the list of places
// that see a value. A [Vault] knows the values that the host has, and its [Matcher] finds them in
// what leaves: match.go compares by value, shape.go by form, view.go reads a text as decoders do.
//
// It must never put a value, or output of a command, into an error, and never write one
// anywhere.
//
// Rationale:
//
//   - A Key keeps its value in a closure, because fmt walks unexported fields by reflection
//     without asking for their methods; a function prints as an address.
//   - A Matcher does not decode base64 and hex: whatever stands around a value, its spelling
//     there is one of four texts, which are looked for like the value itself. Escapes can be
//     mixed and nested, so those are undone, by views that read the text side by side.
//   - A view that reads the same as the one before it sleeps. Ordinary text costs one view: 300
//     MB/s on a core of 2025, 100 where every tenth character is escaped.
package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// Bounds of one value and of the command that prints it.
const (
	maxValue       = 64 << 10 // bytes
	commandTimeout = 10 * time.Second
)

// Managed is the value that a Docker Sandbox's proxy replaces by the real one.
const Managed = "proxy-managed"

// Key is one secret value. Every way to print it says "[secret NAME]".
type Key struct {
	name  string
	value func() string
}

// New wraps value. The name may be shown.
func New(name, value string) Key {
	return Key{name: name, value: func() string { return value }}
}

// Reveal returns the value itself; "" for the zero Key.
func (k Key) Reveal() string {
	if k.value == nil {
		return ""
	}
	return k.value()
}

// Name returns the name under which nanoclaw.toml knows the secret.
func (k Key) Name() string { return k.name }

func (k Key) String() string               { return "[secret " + k.name + "]" }
func (k Key) GoString() string             { return k.String() }
func (k Key) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, k.String()) }
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
func (k Key) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// Resolve fetches the secret called name from src. A missing or empty value is
// host.ErrNotFound, a file that others can read host.ErrDenied.
func Resolve(name string, src host.SecretSource) (Key, error) {
	value, err := fetch(src)
	if err != nil {
		return Key{}, fmt.Errorf("secret %s: %w", name, err)
	}
	if value = strings.TrimSpace(value); value == "" {
		return Key{}, fmt.Errorf("secret %s: %w: the value is empty", name, host.ErrNotFound)
	}
	return New(name, value), nil
}

func fetch(src host.SecretSource) (string, error) {
	set := 0
	for _, is := range []bool{src.Env != "", src.File != "", len(src.Command) > 0, src.Managed} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return "", fmt.Errorf("%w: give exactly one of env, file, command or %q", host.ErrInvalid, Managed)
	case src.Managed:
		return Managed, nil
	case src.Env != "":
		if v, ok := os.LookupEnv(src.Env); ok {
			return v, nil
		}
		return "", fmt.Errorf("%w: environment variable %s is not set", host.ErrNotFound, src.Env)
	case src.File != "":
		return readFile(src.File)
	}
	return run(src.Command)
}

// readFile checks the opened file, so that what was checked is what is read. A symlink is
// followed (systemd credentials are some); a FIFO does not block.
func readFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: file %s does not exist", host.ErrNotFound, path)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", host.ErrDenied, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	others := os.FileMode(0o077)
	if ok && owner.Uid == 0 && filepath.Dir(path) == filepath.Clean(os.Getenv("CREDENTIALS_DIRECTORY")) {
		others = 0o037 // systemd lets its service read them by an ACL, which shows as the group's right
	}
	switch {
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%w: %s is not a regular file", host.ErrInvalid, path)
	case st.Mode().Perm()&others != 0:
		return "", fmt.Errorf("%w: others may read or write %s: run chmod 600 on it", host.ErrDenied, path)
	case !ok || owner.Uid != 0 && int(owner.Uid) != os.Geteuid():
		return "", fmt.Errorf("%w: %s belongs to another user", host.ErrDenied, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxValue+1))
	if err == nil && len(b) > maxValue {
		err = fmt.Errorf("%w: %s has more than %d bytes", host.ErrLimit, path, maxValue)
	}
	return string(b), err
}

// run executes command without a shell. What it writes to stderr is dropped: it may hold the value.
func run(command []string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = time.Second
	out := &bounded{}
	cmd.Stdout = out
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%w: %s did not end within %s", host.ErrTimeout, command[0], commandTimeout)
	case out.over:
		return "", fmt.Errorf("%w: %s printed more than %d bytes", host.ErrLimit, command[0], maxValue)
	case err != nil:
		return "", fmt.Errorf("%w: %s: %w", host.ErrUnavailable, command[0], err)
	}
	return out.buf.String(), nil
}

// bounded fails the write that would pass maxValue, which ends the command.
type bounded struct {
	buf  bytes.Buffer
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.over = b.over || b.buf.Len()+len(p) > maxValue; b.over {
		return 0, host.ErrLimit
	}
	return b.buf.Write(p)
}
