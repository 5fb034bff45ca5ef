package wasm

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// bomb is the module of 37 bytes: one function that declares 2^32-1 locals.
func bomb() []byte {
	return module.Encode([]module.Section{
		{ID: module.SecType, Body: []byte{1, 0x60, 0, 0}},
		{ID: module.SecFunction, Body: []byte{1, 0}},
		{ID: module.SecCode, Body: []byte{1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7e, 0x0b}},
	})
}

func TestAdmitRefuses(t *testing.T) {
	badType := newBuilder()
	for name, tc := range map[string]struct {
		wasm []byte
		want string
	}{
		"bomb":      {bomb(), "locals"},
		"invalid":   {badType.skill(badType.fn("i", "i", 0)), "not valid"},
		"component": {[]byte("\x00asm\x0d\x00\x01\x00"), "component"},
		"empty":     {nil, "not a WebAssembly file"},
		"too large": {make([]byte, module.MaxSize+10), "at most"},
	} {
		dir := t.TempDir()
		in := filepath.Join(dir, "in")
		if err := os.WriteFile(in, tc.wasm, 0o600); err != nil {
			t.Fatal(err)
		}
		r := Admit(context.Background(), in, dir)
		if r.OK || !strings.Contains(r.Error, tc.want) || strings.Contains(r.Error, "\n") {
			t.Errorf("%s: %+v, want %q", name, r, tc.want)
		}
		if _, err := os.Stat(filepath.Join(dir, "skill.wasm")); err == nil {
			t.Errorf("%s: left a skill.wasm", name)
		}
	}
	if r := Admit(context.Background(), "/nonexistent", t.TempDir()); r.OK || !strings.Contains(r.Error, "no such file") {
		t.Error(r)
	}
}

// TestAdmitStrips: manifest, names and other custom sections do not reach a runner.
func TestAdmitStrips(t *testing.T) {
	wasm := append(answers(okResult), 0, 5, 4, 'n', 'o', 't', 'e')
	dir := admitted(t, wasm)
	out, err := os.ReadFile(filepath.Join(dir, "skill.wasm"))
	if err != nil || bytes.Contains(out, []byte("note")) {
		t.Fatal("custom section is still there", err)
	}
	info, err := os.Stat(filepath.Join(dir, "skill.wasm"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Error(info.Mode(), err)
	}
}
