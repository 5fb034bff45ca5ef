package kit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk"
)

// sdkDir is where a skill's folder holds the guest API of its language. Without it a build
// uses the copy in this program, at the same place as far as the result can tell.
const sdkDir = "nanoclaw-sdk"

// lang is a language that skills are written in.
type lang struct {
	name  string // also of its templates
	marks string // what a folder holds that is written in it
	test  string // how a new skill is tested, for its README
	build func(b *Build, ctx context.Context, out string) error
}

var langs = []lang{
	{"go", "*.go", "`go test ./...`", (*Build).goBuild},
	{
		"rust", "src/lib.rs", "`cargo test --offline`, or without cargo `rustc` as in [its SDK](nanoclaw-sdk/README.md)",
		(*Build).rust,
	},
	{"c", "*.c", "`cc -I nanoclaw-sdk skill_test.c nanoclaw-sdk/nanoclaw.c -o skill_test && ./skill_test`", (*Build).c},
	{"assemblyscript", "assembly/index.ts", "by calling it, as above", (*Build).assemblyScript},
}

// Langs are the names for `skill new --lang`.
func Langs() (names []string) {
	for _, l := range langs {
		names = append(names, l.name)
	}
	return names
}

// langOf says what the folder is written in: Go when nothing says otherwise.
func langOf(dir string) (lang, error) {
	var found []lang
	for _, l := range langs {
		if files, _ := filepath.Glob(filepath.Join(globbed(dir), l.marks)); len(files) > 0 {
			found = append(found, l)
		}
	}
	switch len(found) {
	case 0:
		return langs[0], nil
	case 1:
		return found[0], nil
	}
	return lang{}, fmt.Errorf(`%w: %s holds both %s (%s) and %s (%s): keep one, or say build = "command" in skill.toml`,
		host.ErrInvalid, dir, found[0].name, found[0].marks, found[1].name, found[1].marks)
}

// globbed is dir where a pattern is expected.
func globbed(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

// guestAPI is the guest API of a language: what lies in sdkDir.
func guestAPI(name string) (map[string][]byte, error) {
	files, at, below := map[string][]byte{}, fs.FS(sdk.Others), name+"/"
	if name == "go" {
		at, below = sdk.Source, ""
		files["go.mod"] = []byte("module " + modulePath + "\n\ngo " + goNeeded + "\n")
	}
	err := fs.WalkDir(at, ".", func(path string, d fs.DirEntry, err error) error {
		rel, ours := strings.CutPrefix(path, below)
		test := strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_test.c") || path == "source_host.go"
		if err != nil || d.IsDir() || !ours || test {
			return err
		}
		if name == "go" {
			rel = "sdk/" + path
		}
		files[rel], err = fs.ReadFile(at, path)
		return err
	})
	return files, err
}

// put writes files below dir.
func put(dir string, files map[string][]byte) error {
	for path, content := range files {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// apiParent is the directory that holds sdkDir: the skill's own folder, or one made for this build.
func (b *Build) apiParent(name string) (parent string, err error) {
	if exists(filepath.Join(b.Dir, sdkDir)) {
		return filepath.Abs(b.Dir)
	}
	files, err := guestAPI(name)
	return b.tmp, errors.Join(err, put(filepath.Join(b.tmp, sdkDir), files))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// missing is the one line about a toolchain that is not there.
func missing(what, debian, elsewhere string) error {
	return fmt.Errorf("%w: building %s skill needs %s; on Debian: apt-get install %s",
		host.ErrUnavailable, what, elsewhere, debian)
}

// environ is this process's environment without what would change a result.
func environ(without ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return slices.Contains(without, k)
	})
}

// rust calls rustc twice: for the guest API and for the skill, whose paths are rewritten.
func (b *Build) rust(ctx context.Context, out string) error {
	rustc, flags, err := findRust(ctx)
	if err != nil {
		return err
	}
	parent, err := b.apiParent("rust")
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return err
	}
	run := func(args ...string) error {
		args = append(append(args, flags...), "--edition=2021", "-Copt-level=s", "-Cpanic=abort", "-Ccodegen-units=1")
		cmd := exec.CommandContext(ctx, rustc, append(args, "--remap-path-prefix="+dir+"=.",
			"--remap-path-prefix="+parent+"=.")...)
		cmd.Dir = dir
		cmd.Env = environ("RUSTC_BOOTSTRAP", "RUSTC_LOG", "RUST_BACKTRACE")
		return quiet(cmd, "rustc")
	}
	lib := filepath.Join(b.tmp, "libnanoclaw.rlib")
	err = run("--crate-type=rlib", "--crate-name=nanoclaw", filepath.Join(parent, sdkDir, "src", "lib.rs"), "-o", lib)
	if err != nil {
		return err
	}
	return run("--crate-type=cdylib", "--crate-name=skill", filepath.Join(dir, "src", "lib.rs"), "--extern=nanoclaw="+lib,
		"-Clto=fat", "-Cstrip=symbols", "-o", out)
}

const rustNeeded = "rustc with a WASI target (with rustup: rustup target add wasm32-wasip1)"

// findRust finds a rustc that has a WASI target, which the first one on the PATH often has not,
// and a linker for it: rustup brings one, Debian 13 has it under another name.
func findRust(ctx context.Context) (rustc string, flags []string, err error) {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		rustc := filepath.Join(dir, "rustc")
		out, err := exec.CommandContext(ctx, rustc, "--print=sysroot").Output()
		if err != nil {
			continue
		}
		root := filepath.Join(globbed(strings.TrimSpace(string(out))), "lib", "rustlib")
		for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} {
			if std, _ := filepath.Glob(filepath.Join(root, target, "lib", "libstd-*.rlib")); len(std) > 0 {
				linker, err := rustLinker(root)
				return rustc, append(linker, "--target="+target), err
			}
		}
	}
	return "", nil, missing("a Rust", "rustc libstd-rust-dev-wasm32 lld", rustNeeded)
}

func rustLinker(root string) (flags []string, err error) {
	bundled, _ := filepath.Glob(filepath.Join(root, "*", "bin", "rust-lld"))
	if _, err := exec.LookPath("rust-lld"); err == nil || len(bundled) > 0 {
		return nil, nil
	}
	if _, err := exec.LookPath("wasm-ld"); err != nil {
		return nil, missing("a Rust", "lld", "wasm-ld")
	}
	return []string{"-Clinker=wasm-ld"}, nil
}

// c compiles all C files of the folder that are not tests.
func (b *Build) c(ctx context.Context, out string) error {
	clang, flags, err := findClang(ctx)
	if err != nil {
		return err
	}
	parent, err := b.apiParent("c")
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(globbed(dir), "*.c"))
	files = slices.DeleteFunc(files, func(path string) bool { return strings.HasSuffix(path, "_test.c") })
	if err != nil || len(files) == 0 {
		return fmt.Errorf("%w: %s holds C files that are tests alone", host.ErrInvalid, b.Dir)
	}
	api := filepath.Join(parent, sdkDir)
	args := append(flags, "--target=wasm32-wasi", "-mexec-model=reactor", "-std=gnu11", "-Os", "-Wall", "-I"+api,
		"-ffile-prefix-map="+dir+"=.", "-ffile-prefix-map="+parent+"=.", "-Wl,--strip-all", "-o", out)
	cmd := exec.CommandContext(ctx, clang, append(append(args, files...), filepath.Join(api, "nanoclaw.c"))...)
	cmd.Dir = dir
	cmd.Env = environ("CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "CCC_OVERRIDE_OPTIONS", "SOURCE_DATE_EPOCH")
	return quiet(cmd, "clang")
}

// findClang finds clang with all it takes to link for WASI: of the WASI SDK, where
// WASI_SDK_PATH says so, or of the system.
func findClang(ctx context.Context) (clang string, flags []string, err error) {
	const elsewhere = "clang, wasm-ld, wasi-libc and compiler-rt (or WASI_SDK_PATH, where the WASI SDK is)"
	clang, flags = "clang", []string{"--sysroot=/usr"}
	if at := os.Getenv("WASI_SDK_PATH"); at != "" {
		clang, flags = filepath.Join(at, "bin", "clang"), nil
	}
	ask := func(args ...string) string {
		out, _ := exec.CommandContext(ctx, clang, append(append(args, "--target=wasm32-wasi"), flags...)...).Output()
		return strings.TrimSpace(string(out))
	}
	release, _, _ := strings.Cut(ask("-dumpversion"), ".")
	if release == "" {
		return "", nil, missing("a C", "clang lld wasi-libc libclang-rt-dev-wasm32", elsewhere)
	}
	for _, need := range []struct{ path, debian string }{
		{ask("-print-prog-name=wasm-ld"), "lld"},
		{ask("-print-file-name=crt1-reactor.o"), "wasi-libc"},
		{ask("-print-libgcc-file-name"), "libclang-rt-" + release + "-dev-wasm32"},
	} {
		if !filepath.IsAbs(need.path) || !exists(need.path) {
			return "", nil, missing("a C", need.debian, elsewhere)
		}
	}
	return clang, flags, nil
}

// ascVersion is the compiler that the guest API was tested with; it runs on Node 18.
const ascVersion = "0.27.37"

// assemblyScript calls asc of the folder, of a folder above it, or of the PATH. The guest API
// is a package to it, so that no path of it gets into the result.
func (b *Build) assemblyScript(ctx context.Context, out string) error {
	asc, err := findASC(b.Dir)
	if err != nil {
		return err
	}
	parent, err := b.apiParent("assemblyscript")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, asc, "assembly/index.ts", "--path", parent, "--runtime", "stub",
		"--optimizeLevel", "3", "--shrinkLevel", "1", "--exportStart", "_initialize",
		"--use", "abort=nanoclawAbort", "--outFile", out)
	cmd.Dir, cmd.Env = b.Dir, environ("NODE_OPTIONS")
	return quiet(cmd, "asc")
}

func findASC(dir string) (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", missing("an AssemblyScript", "nodejs", "Node.js 18 or newer")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		asc := filepath.Join(at, "node_modules", ".bin", "asc")
		if exists(asc) {
			return asc, nil
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if asc, err := exec.LookPath("asc"); err == nil {
		return asc, nil
	}
	return "", fmt.Errorf("%w: building an AssemblyScript skill needs asc: npm install -g assemblyscript@%s "+
		"(npm is Debian's package npm)", host.ErrUnavailable, ascVersion)
}
