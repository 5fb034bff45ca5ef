package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/secret"
)

// TestNeverPrints tries every way to print a Key, alone and inside other values.
func TestNeverPrints(t *testing.T) {
	const value = "v4lue-that-must-stay"
	k := secret.New("brave", value)
	type holder struct {
		Key secret.Key
		key secret.Key
		ptr *secret.Key
	}
	in := []any{k, &k, holder{k, k, &k}, &holder{k, k, &k}, []secret.Key{k}, map[string]secret.Key{"a": k}, map[string]any{"x": holder{key: k}}}
	var out bytes.Buffer
	for _, v := range in {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%10.3s", "%c"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		for _, marshal := range []func(any) ([]byte, error){json.Marshal, xml.Marshal} {
			b, err := marshal(v)
			fmt.Fprintln(&out, string(b), err)
		}
		for _, asJSON := range []bool{true, false} {
			l := hclog.New(&hclog.LoggerOptions{Output: &out, JSONFormat: asJSON})
			l.Info("x", "key", v)
			l.With("key", v).Info("y")
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", v)
		fmt.Fprintln(&out, fmt.Errorf("failed with %v", v))
		func() {
			defer func() { fmt.Fprintln(&out, recover()) }()
			panic(v)
		}()
	}
	text, _ := k.MarshalText()
	fmt.Fprintln(&out, k.String(), k.GoString(), k.Name(), string(text))
	for _, v := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
		if strings.Contains(out.String(), v) {
			t.Errorf("a key was printed as %s", v)
		}
	}
	if !strings.Contains(out.String(), "[secret brave]") || fmt.Sprint(k) != "[secret brave]" {
		t.Error("a key does not say what it is")
	}
	if b, err := json.Marshal(k); string(b) != `"[secret brave]"` || err != nil {
		t.Errorf("%s, %v", b, err)
	}
	if k.Reveal() != value || (secret.Key{}).Reveal() != "" {
		t.Error("Reveal does not")
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	const value = "v4lue-that-must-stay"
	file := func(name, content string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Setenv("NC_TEST_SECRET", value+"\n")
	t.Setenv("NC_TEST_EMPTY", " ")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file("linked", value, 0o400), link); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		src  host.SecretSource
		want error
	}{
		{"env", host.SecretSource{Env: "NC_TEST_SECRET"}, nil},
		{"env unset", host.SecretSource{Env: "NC_TEST_UNSET"}, host.ErrNotFound},
		{"env empty", host.SecretSource{Env: "NC_TEST_EMPTY"}, host.ErrNotFound},
		{"file", host.SecretSource{File: file("good", value+"\n", 0o600)}, nil},
		{"file read-only", host.SecretSource{File: file("ro", value, 0o400)}, nil},
		{"file through a link", host.SecretSource{File: link}, nil},
		{"file for the group", host.SecretSource{File: file("group", value, 0o640)}, host.ErrDenied},
		{"file for all", host.SecretSource{File: file("all", value, 0o604)}, host.ErrDenied},
		{"file all may write", host.SecretSource{File: file("write", value, 0o602)}, host.ErrDenied},
		{"file empty", host.SecretSource{File: file("empty", "", 0o600)}, host.ErrNotFound},
		{"file too big", host.SecretSource{File: file("big", strings.Repeat("a", 65<<10), 0o600)}, host.ErrLimit},
		{"file missing", host.SecretSource{File: filepath.Join(dir, "none")}, host.ErrNotFound},
		{"directory", host.SecretSource{File: dir}, host.ErrInvalid},
		{"device", host.SecretSource{File: "/dev/zero"}, host.ErrInvalid},
		{"command", host.SecretSource{Command: []string{"printf", " " + value + "\n"}}, nil},
		{"command without a shell", host.SecretSource{Command: []string{"printf", "%s", "$HOME;x"}}, nil},
		{"command fails", host.SecretSource{Command: []string{"sh", "-c", "echo " + value + "; echo " + value + " >&2; exit 3"}}, host.ErrUnavailable},
		{"command missing", host.SecretSource{Command: []string{filepath.Join(dir, "none")}}, host.ErrUnavailable},
		{"command prints nothing", host.SecretSource{Command: []string{"true"}}, host.ErrNotFound},
		{"command prints for ever", host.SecretSource{Command: []string{"yes", value}}, host.ErrLimit},
		{"managed", host.SecretSource{Managed: true}, nil},
		{"none", host.SecretSource{}, host.ErrInvalid},
		{"two", host.SecretSource{Env: "NC_TEST_SECRET", Managed: true}, host.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			k, err := secret.Resolve("brave", tc.src)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err != nil && (k.Reveal() != "" || !strings.HasPrefix(err.Error(), "secret brave: ")) {
				t.Errorf("%v beside %v", k, err)
			}
			if err != nil && !strings.Contains(tc.name, "for ever") && strings.Contains(err.Error(), value) {
				t.Errorf("the value is in the error: %v", err)
			}
			if time.Since(start) > 30*time.Second {
				t.Error("not bounded in time")
			}
			want := map[string]string{"managed": secret.Managed, "command without a shell": "$HOME;x"}[tc.name]
			if want == "" {
				want = value
			}
			if err == nil && (k.Reveal() != want || k.Name() != "brave") {
				t.Errorf("got %q", k.Reveal())
			}
		})
	}
}

// TestOwner: a file of another user is refused, even when root could read it.
func TestOwner(t *testing.T) {
	p := filepath.Join(t.TempDir(), "theirs")
	if err := os.WriteFile(p, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p, 12345, -1); err != nil {
		t.Logf("not root, so there is no file of another user: %v", err)
		return
	}
	if _, err := secret.Resolve("s", host.SecretSource{File: p}); !errors.Is(err, host.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

// TestFIFO: a pipe that nobody writes does not hold the host up.
func TestFIFO(t *testing.T) {
	p := filepath.Join(t.TempDir(), "pipe")
	if err := mkfifo(p); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := secret.Resolve("s", host.SecretSource{File: p})
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, host.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("blocked on a pipe")
	}
}

// TestCommandIsBounded: one that does not end is killed, children and all that hold its output.
func TestCommandIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the whole deadline of a command")
	}
	start := time.Now()
	_, err := secret.Resolve("s", host.SecretSource{Command: []string{"sh", "-c", "sleep 300 & sleep 300"}})
	if !errors.Is(err, host.ErrTimeout) || time.Since(start) > time.Minute {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
