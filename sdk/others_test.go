package sdk_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOthers runs the tests that the guest APIs in Rust and C have of their own, on this
// machine. That of AssemblyScript has no machine but wasm: TestLab (cmd/nanoclaw) calls it.
func TestOthers(t *testing.T) {
	exe := func(name string) string { return filepath.Join(t.TempDir(), name) }
	rust, c := exe("rust"), exe("c")
	for name, steps := range map[string][][]string{
		"rust": {{"rustc", "--edition=2021", "--test", "rust/src/lib.rs", "-o", rust}, {rust}},
		"c": {
			{
				"cc", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fno-sanitize-recover=all",
				"-o", c, "c/nanoclaw_test.c", "c/nanoclaw.c",
			},
			{c},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range steps {
				if out, err := exec.Command(s[0], s[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v\n%s('make toolchains' installs what is missing)", s, err, out)
				}
			}
		})
	}
}
