package wasm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// exceptions are the scenarios in which we refuse what a directory mount does, and why.
var exceptions = map[string]string{}

// TestPreview1 runs testdata/preview1 over wazero's own directory mount and over ours: what
// passes there passes here, but for the exceptions.
func TestPreview1(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", in, ".")
	cmd.Dir, cmd.Env = filepath.Join("testdata", "preview1"), append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	wasm, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	mount := verdicts(t, overMount(t, wasm))

	base := t.TempDir()
	outside := []string{"secret.txt", "etc/passwd", "Windows/win.ini", "CON", "NUL", "aux.txt", "ws-evil/x", "ws/inside"}
	for _, name := range outside {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(base, name)), 0o700),
			os.WriteFile(filepath.Join(base, name), []byte("top secret"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, base)
	s := commandSpec(admitted(t, wasm), capFS)
	s.Preopens = []wire.Preopen{{Guest: workspaceDir, Path: filepath.Join(base, "ws")}}
	e := newEngine(t, Config{}, wire.Load{Skills: []wire.LoadSkill{s}, Quota: wire.Quota{Bytes: 1 << 20, Files: 1000}})
	out := e.call(t, "c", `{}`)
	want(t, out, wire.OutcomeOK, "")
	ours := verdicts(t, out.Result.Text())
	if v := ours["paths that lead out"]; v != "ok" { // F01 to F08, F16: whatever a mount does
		t.Error(v)
	}
	if after := tree(t, base); !maps.Equal(before, after) {
		t.Errorf("outside of the workspace there was %v, and is %v", before, after)
	}

	passed := func(m map[string]string) (n int) {
		for _, v := range m {
			if v == "ok" {
				n++
			}
		}
		return n
	}
	t.Logf("of %d scenarios a directory mount passes %d, ours %d", len(mount), passed(mount), passed(ours))
	for _, name := range slices.Sorted(maps.Keys(mount)) {
		why, excepted := exceptions[name]
		switch {
		case mount[name] == "ok" && ours[name] != "ok" && !excepted:
			t.Errorf("%s: %s", name, ours[name])
		case excepted && (mount[name] != "ok" || ours[name] == "ok"):
			t.Errorf("%s is no exception (%s): a mount says %q, ours %q", name, why, mount[name], ours[name])
		case mount[name] != "ok":
			t.Logf("%s: a mount says %q, ours %q", name, mount[name], ours[name])
		}
	}
}

// tree is every file of base but those of the workspace ws, and what each holds.
func tree(t *testing.T, base string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := fs.WalkDir(os.DirFS(base), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "ws" {
			return cmp.Or(err, fs.SkipDir)
		}
		b, _ := os.ReadFile(filepath.Join(base, path))
		out[path] = d.Type().String() + string(b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// overMount runs a command with a directory as wazero mounts it.
func overMount(t *testing.T, wasm []byte) string {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	var stdout bytes.Buffer
	config := wazero.NewModuleConfig().WithStdout(&stdout).WithStderr(&stdout).WithSysWalltime().WithSysNanotime().
		WithFSConfig(wazero.NewFSConfig().WithDirMount(t.TempDir(), workspaceDir))
	if _, err := rt.InstantiateWithConfig(ctx, wasm, config); err != nil {
		t.Fatal(err, stdout.String())
	}
	return stdout.String()
}

func verdicts(t *testing.T, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for line := range strings.Lines(text) {
		name, verdict, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if _, twice := out[name]; !ok || twice {
			t.Fatalf("a line says %q", line)
		}
		out[name] = verdict
	}
	if len(out) < 50 {
		t.Fatalf("%d scenarios ran:\n%s", len(out), text)
	}
	return out
}
