package kit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// programs makes a directory of shell scripts to be a PATH.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	bin := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func made(t *testing.T, lang string) string {
	t.Helper()
	n := &New{Name: "hello", Lang: lang, Dir: filepath.Join(t.TempDir(), "hello")}
	if _, err := n.Run(); err != nil {
		t.Fatal(err)
	}
	return n.Dir
}

// TestToolchainMissing: one line that names the package, whatever is missing.
func TestToolchainMissing(t *testing.T) {
	there := filepath.Join(programs(t, map[string]string{"x": ""}), "x")
	clang := func(ld, crt, rt string) string {
		return fmt.Sprintf(`case $1 in -dumpversion) echo 14.0.6;; *prog-name*) echo %s;; *file-name=*) echo %s;; *) echo %s;; esac`, ld, crt, rt)
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "lib/rustlib/wasm32-wasi/lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := os.WriteFile(filepath.Join(root, "lib/rustlib/wasm32-wasi/lib/libstd-1.rlib"), nil, 0o600)
	for name, c := range map[string]struct {
		lang string
		path map[string]string
		want string
	}{
		"rust":             {"rust", nil, "apt-get install rustc libstd-rust-dev-wasm32 lld"},
		"rust, no target":  {"rust", map[string]string{"rustc": "echo /nowhere"}, "libstd-rust-dev-wasm32"},
		"rust, no linker":  {"rust", map[string]string{"rustc": "echo " + root}, "apt-get install lld"},
		"c":                {"c", nil, "apt-get install clang lld wasi-libc"},
		"c, no linker":     {"c", map[string]string{"clang": clang("wasm-ld", there, there)}, "apt-get install lld"},
		"c, no libc":       {"c", map[string]string{"clang": clang(there, "crt1-reactor.o", there)}, "apt-get install wasi-libc"},
		"c, no builtins":   {"c", map[string]string{"clang": clang(there, there, "/nowhere")}, "apt-get install libclang-rt-14-dev-wasm32"},
		"no node":          {"assemblyscript", nil, "apt-get install nodejs"},
		"no asc":           {"assemblyscript", map[string]string{"node": ""}, "npm install -g assemblyscript@" + ascVersion},
		"go, another test": {"go", map[string]string{"go": "exit 1"}, "needs Go " + goNeeded},
	} {
		t.Run(name, func(t *testing.T) {
			dir := made(t, c.lang)
			t.Setenv("PATH", programs(t, c.path))
			b := &Build{Dir: dir, Stage: func(string, time.Duration) {}}
			_, err := b.Run(t.Context())
			if write != nil || !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want one line with %q; %v", err, c.want, write)
			}
		})
	}
}

func TestLanguageOfAFolder(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"go": {"main.go": "", "README.md": ""}, "rust": {"src/lib.rs": ""}, "c": {"a.c": "", "lib/b.go": ""},
		"assemblyscript": {"assembly/index.ts": "", "package.json": ""},
	} {
		l, err := langOf(folder(t, filepath.Join(t.TempDir(), "a[b]*"), files))
		if err != nil || l.name != want {
			t.Errorf("%v is %s, %v; want %s", files, l.name, err, want)
		}
	}
	_, err := langOf(folder(t, t.TempDir(), map[string]string{"main.go": "", "src/lib.rs": ""}))
	if !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), "both go (*.go) and rust (src/lib.rs)") {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	there := t.TempDir()
	long := strings.Repeat("a", 65)
	for _, c := range []struct {
		n    New
		want string
	}{
		{New{Name: "Hello", Lang: "go"}, `name "Hello": 1 to 64 of a-z`},
		{New{Name: "a--b", Lang: "go"}, `name "a--b"`},
		{New{Name: "../up", Lang: "go"}, `name "../up"`},
		{New{Name: "", Lang: "go"}, `name ""`},
		{New{Name: long, Lang: "go"}, "1 to 64"},
		{New{Name: "x", Lang: "cobol"}, `--lang "cobol": one of go, rust, c, assemblyscript`},
		{New{Name: "x", Lang: "go", Dir: there}, there + " is there already"},
	} {
		if c.n.Dir == "" {
			c.n.Dir = filepath.Join(there, "x")
		}
		_, err := c.n.Run()
		if !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want %q", c.n, err, c.want)
		}
	}
	if left, err := os.ReadDir(there); err != nil || len(left) != 0 {
		t.Errorf("a refused skill left %v, %v", left, err)
	}
}

// TestVerify changes one thing at a time.
func TestVerify(t *testing.T) {
	dir := made(t, "go")
	f, err := build(t, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	sections, err := module.Parse(f.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	with := func(more ...module.Section) []byte {
		return module.Encode(append(append([]module.Section{}, sections...), more...))
	}
	sig := module.Section{Name: sectionSig, Body: []byte("x")}
	repacked := func(version, text string) []byte {
		m := f.Manifest
		m.Version = version
		b, err := skill.Pack(f.Bytes, m, text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	at := slices.IndexFunc(sections, func(s module.Section) bool { return s.ID == module.SecCode })
	other := bytes.Clone(sections[at].Raw)
	other[len(other)/2] ^= 1
	code := bytes.Replace(f.Bytes, sections[at].Raw, other, 1)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"the same": {f.Bytes, ""}, "signed": {with(sig), ""}, "manifest": {repacked("9", f.Text), "the manifest (skill.toml) differs"},
		"text": {repacked(f.Manifest.Version, "other"), "SKILL.md differs"}, "code": {code, "the section of code differs"},
		"more": {with(module.Section{Name: "x"}), `the section "x" was added`}, "no module": {[]byte("x"), "not a WebAssembly file"},
		"less": {module.Encode(sections[:len(sections)-1]), " is missing"},
	} {
		if got := difference(f.Bytes, c.file); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	verify := func(file []byte) (host.Digest, error) {
		path := filepath.Join(t.TempDir(), "x.wasm")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return (&Build{Dir: dir, Stage: func(string, time.Duration) {}}).Verify(t.Context(), path)
	}
	if d, err := verify(f.Bytes); err != nil || d != f.Digest {
		t.Error(d, err)
	}
	if _, err := verify(repacked("9", f.Text)); !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "first the manifest") {
		t.Error(err)
	}
}

// TestReadmesBuild builds the example of each language's page.
func TestReadmesBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute: in make test-all")
	}
	asc, err := filepath.Abs("../../../../bin/toolchains/node_modules/.bin") // of `make toolchains`
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", os.Getenv("PATH")+":"+asc)
	const toml = `name = "weather"
version = "1.0.0"
description = "The example of a page"
[[tools]]
name = "forecast"
description = "Says how the sky is"
inputSchema = { type = "object" }
[[capabilities]]
name = "http"
reason = "r"
[[capabilities]]
name = "kv"
reason = "r"
`
	for lang, at := range map[string]string{"rust": "src/lib.rs", "c": "skill.c", "assemblyscript": "assembly/index.ts"} {
		t.Run(lang, func(t *testing.T) {
			page, err := sdk.Others.ReadFile(lang + "/README.md")
			if err != nil {
				t.Fatal(err)
			}
			example := regexp.MustCompile("(?s)```(?:rust|c|ts)\n(.*?)```").FindSubmatch(page)
			f, err := build(t, folder(t, t.TempDir(), map[string]string{at: string(example[1]), "skill.toml": toml}), "")
			if err != nil {
				t.Fatal(err)
			}
			var imports []string
			for _, i := range f.Imports {
				if strings.HasSuffix(i.Name, "call") {
					imports = append(imports, i.Module)
				}
			}
			if len(imports) != 2 {
				t.Errorf("it imports %v, want http and kv", imports)
			}
		})
	}
}
