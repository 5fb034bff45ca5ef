package skill

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/module"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// liveness is far above what any refusal takes.
const liveness = 10 * time.Second

func str(s string) []byte { return append(module.Uleb(nil, uint64(len(s))), s...) }

func list(items ...[]byte) []byte {
	return append(module.Uleb(nil, uint64(len(items))), bytes.Join(items, nil)...)
}

func imp(mod, name string) []byte { return append(append(str(mod), str(name)...), 0, 0) }

func export(name string, kind, index byte) []byte { return append(str(name), kind, index) }

// core is a module with these imports, of one function i32 -> i32, memory and nanoclaw_call exported.
func core(imports ...[]byte) []module.Section {
	call := byte(len(imports))
	return []module.Section{
		{ID: module.SecType, Body: []byte{1, 0x60, 1, 0x7f, 1, 0x7f}},
		{ID: module.SecImport, Body: list(imports...)},
		{ID: module.SecFunction, Body: []byte{1, 0}},
		{ID: module.SecMemory, Body: []byte{1, 0, 1}},
		{ID: module.SecExport, Body: list(export("memory", 2, 0), export("nanoclaw_call", 0, call))},
		{ID: module.SecCode, Body: []byte{1, 4, 0, 0x41, 0, 0x0b}},
	}
}

func manifest(name string, needs ...host.Need) host.Manifest {
	return host.Manifest{
		ABI: ABI, Name: host.SkillName(name), Version: "1.2.3", Description: "A test skill", Capabilities: needs,
		Tools: []wire.Tool{{Name: "go", Description: "Does it", InputSchema: []byte(`{"type":"object"}`), Examples: []string{"go"}}},
	}
}

func pack(t testing.TB, m host.Manifest, sections []module.Section) []byte {
	t.Helper()
	b, err := Pack(module.Encode(sections), m, "# How to")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func need(c host.Capability) host.Need { return host.Need{Name: c, Reason: "for the test"} }

func TestPackAndRead(t *testing.T) {
	sections := core(imp("wasi_snapshot_preview1", "path_open"), imp("wasi_snapshot_preview1", "fd_write"),
		imp("nanoclaw_core_1", "log"), imp("nanoclaw_kv_1", "call"))
	m := manifest("round-trip", need(host.CapKV))
	b := pack(t, m, sections)
	if again := pack(t, m, sections); !bytes.Equal(b, again) {
		t.Fatal("packing the same twice differs")
	}
	repacked, err := Pack(b, m, "# How to")
	if err != nil || !bytes.Equal(repacked, b) {
		t.Fatal("packing a packed file changes it", err)
	}
	f, err := Read(write(t, filepath.Join(t.TempDir(), "other-name.wasm"), b))
	if err != nil {
		t.Fatal(err)
	}
	want := m
	want.Kind, want.Limits = host.KindSkill, host.SkillLimits{MemoryMiB: 64, TimeoutMS: 30_000}
	if !reflect.DeepEqual(f.Manifest, want) || f.Text != "# How to" || f.Size != int64(len(b)) {
		t.Fatalf("%+v", f)
	}
	if !slices.Equal(f.Unbound, []string{"path_open"}) || len(f.Imports) != 4 {
		t.Fatalf("unbound %q, imports %v", f.Unbound, f.Imports)
	}
	parsed, err := module.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	at := func(is func(module.Section) bool) int { return slices.IndexFunc(parsed, is) }
	if at(func(s module.Section) bool { return s.Name == SectionManifest }) > at(func(s module.Section) bool { return s.ID == module.SecCode }) {
		t.Fatal("the manifest stands behind the code")
	}
}

func TestReadRefuses(t *testing.T) {
	fs, http, kv := need(host.CapFS), need(host.CapHTTP), need(host.CapKV)
	with := func(change func([]module.Section) []module.Section, needs ...host.Need) []byte {
		return module.Encode(change(mustParse(t, pack(t, manifest("a", needs...), core()))))
	}
	drop := func(name string) func([]module.Section) []module.Section {
		return func(s []module.Section) []module.Section {
			return slices.DeleteFunc(s, func(s module.Section) bool { return s.Name == name })
		}
	}
	body := func(id byte, b []byte) func([]module.Section) []module.Section {
		return func(all []module.Section) []module.Section {
			for i := range all {
				if all[i].ID == id {
					all[i] = module.Section{ID: id, Body: b}
				}
			}
			return all
		}
	}
	imports := func(needs []host.Need, imports ...[]byte) []byte {
		return pack(t, manifest("a", needs...), core(imports...))
	}
	good := pack(t, manifest("a"), core())
	for name, c := range map[string]struct {
		wasm []byte
		want string
	}{
		"no manifest":   {with(drop(SectionManifest)), "0 sections nanoclaw.manifest.v1"},
		"two manifests": {with(func(s []module.Section) []module.Section { return append([]module.Section{s[5]}, s...) }), "2 sections"},
		"late manifest": {with(func(s []module.Section) []module.Section {
			return append(drop(SectionManifest)(s), mustParse(t, good)[5])
		}), "behind the code"},
		"two texts":      {with(func(s []module.Section) []module.Section { return append(s, s[6]) }), "2 nanoclaw.skill.md"},
		"bad manifest":   {with(func(s []module.Section) []module.Section { s[5] = custom(`{"abi":1,"nam":"x"}`); return s }), `unknown key "nam", did you mean "name"?`},
		"huge manifest":  {with(func(s []module.Section) []module.Section { s[5] = custom(strings.Repeat(" ", MaxManifest+1)); return s }), "at most 65536"},
		"memory":         {with(body(module.SecMemory, []byte{1, 0, 0x81, 8})), "65 MiB of memory, its manifest says at most 64"},
		"no memory":      {with(body(module.SecExport, list(export("nanoclaw_call", 0, 0)))), `does not export its memory`},
		"memory by name": {with(body(module.SecExport, list(export("memory", 0, 0), export("nanoclaw_call", 0, 0)))), `does not export its memory`},
		"no entry":       {with(body(module.SecExport, list(export("memory", 2, 0)))), "neither nanoclaw_call nor _start"},
		"undeclared":     {imports([]host.Need{kv}, imp("nanoclaw_http_1", "call")), `"nanoclaw_http_1" without declaring the capability "http"`},
		"fs module":      {imports([]host.Need{fs}, imp("nanoclaw_fs_1", "call")), `"nanoclaw_fs_1"`},
		"other function": {imports([]host.Need{http}, imp("nanoclaw_http_1", "dial")), `"dial" of "nanoclaw_http_1"`},
		"other version":  {imports([]host.Need{http}, imp("nanoclaw_http_2", "call")), `"nanoclaw_http_2"`},
		"core":           {imports(nil, imp("nanoclaw_core_1", "exec")), `"exec" of "nanoclaw_core_1"`},
		"meter":          {imports(nil, imp("nanoclaw_meter", "tick")), `"nanoclaw_meter"`},
		"env":            {imports(nil, imp("env", "abort")), `"abort" of "env"`},
		"socket":         {imports(nil, imp("wasi_snapshot_preview1", "sock_accept")), `"sock_accept"`},
		"unknown wasi":   {imports(nil, imp("wasi_snapshot_preview1", "proc_spawn")), `"proc_spawn"`},
		"wasi unstable":  {imports(nil, imp("wasi_unstable", "fd_write")), `"wasi_unstable"`},
		"no function":    {imports(nil, append(append(str("wasi_snapshot_preview1"), str("fd_write")...), 3, 0x7f, 0)), "no function"},
		"component":      {[]byte("\x00asm\x0d\x00\x01\x00"), "component"},
		"locals bomb":    {with(body(module.SecCode, []byte{1, 9, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7e, 0x0b, 0})), "4294967295 locals, at most 50000"},
		"start": {with(func(s []module.Section) []module.Section {
			return slices.Insert(s, 5, module.Section{ID: 8, Body: []byte{0}})
		}), "start section"},
		"half-written": {good[:len(good)-3], "cut short"},
		"empty":        {nil, "not a WebAssembly file"},
		"too big":      {make([]byte, module.MaxSize+1), "16777217 bytes, at most 16777216"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "x.wasm"), c.wasm)
			refused(t, path, c.want)
		})
	}
}

func custom(body string) module.Section {
	return module.Section{Name: SectionManifest, Body: []byte(body)}
}

func mustParse(t testing.TB, b []byte) []module.Section {
	t.Helper()
	s, err := module.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refused reads path within the liveness bound and wants one line that names file and reason.
func refused(t *testing.T, path, want string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := Read(path); done <- err }()
	select {
	case err := <-done:
		if !errors.Is(err, host.ErrDenied) || !errors.Is(err, module.ErrRefused) {
			t.Fatalf("%v is no refusal", err)
		}
		for _, s := range []string{want, "refused", path} {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%q does not say %q", err, s)
			}
		}
	case <-time.After(liveness):
		t.Fatal("Read hangs")
	}
}

func TestReadOpensOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	good := write(t, in("good.wasm"), pack(t, manifest("a"), core()))
	if err := errors.Join(os.Symlink(good, in("link.wasm")), syscall.Mkfifo(in("fifo.wasm"), 0o600), os.Mkdir(in("dir.wasm"), 0o700)); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(in("sparse.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sparse.Truncate(10<<30), sparse.Close()); err != nil {
		t.Fatal(err)
	}
	refused(t, in("link.wasm"), "symbolic link")
	refused(t, in("fifo.wasm"), "not a regular file")
	refused(t, in("dir.wasm"), "not a regular file")
	refused(t, in("sparse.wasm"), "10737418240 bytes, at most 16777216")
	if _, err := Read(in("none.wasm")); !errors.Is(err, host.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := Read(good); err != nil {
		t.Fatal(err)
	}
}

// A real Go program for WASI declares nothing and is accepted; its file functions are stubs.
func TestStartIsEnough(t *testing.T) {
	s := core()
	s[4] = module.Section{ID: module.SecExport, Body: list(export("memory", 2, 0), export("_start", 0, 0))}
	if _, err := Read(write(t, filepath.Join(t.TempDir(), "x.wasm"), pack(t, manifest("a"), s))); err != nil {
		t.Fatal(err)
	}
}

// TestAdapters: who says how a foreign module is called gets that ABI and no other.
func TestAdapters(t *testing.T) {
	alloc, request := imp("extism:host/env", "alloc"), imp("extism:host/env", "http_request")
	for name, c := range map[string]struct {
		adapter, tool string
		needs         []host.Need
		exports       string
		imports       [][]byte
		want          string // "" = taken
	}{
		"plugin":                 {"extism", "run", nil, "run", [][]byte{alloc}, ""},
		"plugin without imports": {"extism", "run", nil, "run", nil, ""},
		"plugin, http declared":  {"extism", "run", []host.Need{need(host.CapHTTP)}, "run", [][]byte{request}, ""},
		"plugin, http":           {"extism", "run", nil, "run", [][]byte{request}, `http_request without declaring the capability "http"`},
		"plugin, no such tool":   {"extism", "walk", nil, "run", [][]byte{alloc}, `exports no function "walk"`},
		"plugin, host function":  {"extism", "run", nil, "run", [][]byte{imp("extism:host/user", "f")}, "which no skill can have"},
		"plugin, later function": {"extism", "run", nil, "run", [][]byte{imp("extism:host/env", "f")}, "which no skill can have"},
		"plugin, capability":     {"extism", "run", nil, "run", [][]byte{imp("nanoclaw_kv_1", "call")}, "without declaring"},
		"no adapter":             {"", "run", nil, "_start", [][]byte{alloc}, `imports "alloc" of "extism:host/env", which no skill can have`},
		"command":                {"command", "run", nil, "_start", nil, ""},
		"command, plugin's ABI":  {"command", "run", nil, "_start", [][]byte{alloc}, "which no skill can have"},
		"no command":             {"command", "run", nil, "run", nil, "it is no WASI command"},
		"unknown":                {"wagi", "run", nil, "_start", nil, `adapter "wagi": "command" or "extism", or nothing`},
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest("a", c.needs...)
			m.Adapter, m.Tools[0].Name = c.adapter, c.tool
			sections := core(c.imports...)
			sections[4].Body = list(export("memory", 2, 0), export(c.exports, 0, byte(len(c.imports))))
			b, err := Pack(module.Encode(sections), m, "")
			if err == nil {
				_, err = Read(write(t, filepath.Join(t.TempDir(), "a.wasm"), b))
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func FuzzFile(f *testing.F) {
	f.Add(pack(f, manifest("a", need(host.CapKV)), core(imp("nanoclaw_kv_1", "call"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := &File{Bytes: b}
		if err := file.check(); err != nil {
			if !errors.Is(err, module.ErrRefused) {
				t.Fatalf("%v is no refusal", err)
			}
			return
		}
		if _, err := json.Marshal(file.Manifest); err != nil {
			t.Fatal(err)
		}
	})
}
