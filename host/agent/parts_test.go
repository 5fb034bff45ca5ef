package agent

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func TestPlan(t *testing.T) {
	k := newKit(t, inProcess, func(c *Config) { c.Engine = mounted{c.Engine} })
	j := k.job(t, "agent-1", "")
	role := j.Scope.Role
	finance, out := realDir(t), realDir(t)
	role.Mounts = []host.Mount{{Name: "finance", Path: finance}, {Name: "out", Path: out, Write: true}}
	role.Skills = []host.SkillName{"calc", "files", "reader", "web", "absent"}
	add := func(name host.SkillName, hex string, needs ...host.Need) {
		j.Scope.Skills[name] = &host.Skill{Dir: "/admitted/" + string(name), Digest: host.Digest("sha256:" + hex), Manifest: host.Manifest{
			Name: name, Capabilities: needs, Limits: host.SkillLimits{MemoryMiB: 10_000, TimeoutMS: 1},
		}}
	}
	add("brain", "b0", host.Need{Name: host.CapLLM}, host.Need{Name: host.CapHTTP, Optional: true})
	add("files", "f0", host.Need{Name: host.CapFS, Path: "notes/old"})
	add("reader", "r0", host.Need{Name: host.CapFS, Mode: "ro"})
	add("web", "w0", host.Need{Name: host.CapHTTP})
	p, err := k.plan(j, true)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.leftOut, []host.SkillName{"web"}) {
		t.Errorf("left out %v", p.leftOut)
	}
	byName := map[string]wire.LoadSkill{}
	for _, s := range p.load.Skills {
		byName[s.Name] = s
	}
	if b := byName["brain"]; !slices.Equal(b.Granted, []string{"llm"}) || !slices.Equal(b.Stubbed, []string{"http"}) ||
		b.MemoryMiB != maxMemoryMiB || b.TimeoutMS != 1 || b.Dir != "/skills/b0" || b.Preopens != nil {
		t.Errorf("brain %+v", b)
	}
	if c := byName["calc"]; c.MemoryMiB != defaultMemoryMiB || c.TimeoutMS != defaultCallMS {
		t.Errorf("calc %+v", c)
	}
	for name, want := range map[string][]wire.Preopen{
		"files": {
			{Guest: "/workspace/notes/old", Path: "/workspace/notes/old"},
			{Guest: "/mnt/finance", Path: "/mnt/finance", ReadOnly: true},
			{Guest: "/mnt/out", Path: "/mnt/out"},
		},
		"reader": {
			{Guest: "/workspace", Path: "/workspace", ReadOnly: true},
			{Guest: "/mnt/finance", Path: "/mnt/finance", ReadOnly: true},
			{Guest: "/mnt/out", Path: "/mnt/out", ReadOnly: true},
		},
	} {
		if got := byName[name].Preopens; !slices.Equal(got, want) {
			t.Errorf("%s sees %+v", name, got)
		}
	}
	ws := filepath.Join(k.cfg.Workspaces, "agent-1")
	want := []host.Bind{
		{Source: "/admitted/brain", Target: "/skills/b0"},
		{Source: filepath.Join(k.dir, "calc"), Target: "/skills/" + strings.Repeat("c", 64)},
		{Source: ws, Target: "/workspace", Write: true},
		{Source: finance, Target: "/mnt/finance"},
		{Source: out, Target: "/mnt/out", Write: true},
		{Source: "/admitted/files", Target: "/skills/f0"},
		{Source: "/admitted/reader", Target: "/skills/r0"},
	}
	for _, b := range want {
		if !slices.Contains(p.spec.Binds, b) {
			t.Errorf("bind %+v is missing in %+v", b, p.spec.Binds)
		}
	}
	if len(p.spec.Binds) != len(want) {
		t.Errorf("binds %+v", p.spec.Binds)
	}
	if st, err := os.Stat(filepath.Join(ws, "notes/old")); err != nil || !st.IsDir() {
		t.Errorf("directory of files: %v", err)
	}
}

// TestPlanProgram: a program's container is one of its image, with the runner in it, and the whole
// workspace; a single tool call of the same role is one of the agents' image.
func TestPlanProgram(t *testing.T) {
	k := newKit(t, inProcess, func(c *Config) { c.Engine, c.Runner = mounted{c.Engine}, "/there/nanoclaw-runner" })
	data := realDir(t)
	job := func() Job {
		j := k.job(t, "agent-1", "")
		r := j.Scope.Role
		r.Brain, j.Scope.Brain = "", ""
		r.Exec = &host.Exec{Command: []string{"claude"}, Preset: wire.PresetClaude, Bypass: true}
		r.Mounts = []host.Mount{{Name: "data", Path: data}}
		j.Image, j.Model = "sha256:cafe", "model-1"
		return j
	}
	p, err := k.plan(job(), true)
	if err != nil {
		t.Fatal(err)
	}
	want := &wire.Exec{Preset: wire.PresetClaude, Command: []string{"claude"}, Model: "model-1", Bypass: true, Dir: "/workspace"}
	if p.spec.Image != "sha256:cafe" || !reflect.DeepEqual(p.load.Exec, want) || len(p.load.Skills) != 1 || p.load.Brain != "" {
		t.Errorf("%+v %+v", p.spec, p.load)
	}
	for _, b := range []host.Bind{
		{Source: filepath.Join(k.cfg.Workspaces, "agent-1"), Target: "/workspace", Write: true},
		{Source: "/there/nanoclaw-runner", Target: "/runner"},
		{Source: data, Target: "/mnt/data"},
	} {
		if !slices.Contains(p.spec.Binds, b) {
			t.Errorf("bind %+v is missing in %+v", b, p.spec.Binds)
		}
	}
	for name, change := range map[string]func(*Job){
		"image":   func(j *Job) { j.Image = "sha256:beef" },
		"model":   func(j *Job) { j.Model = "model-2" },
		"command": func(j *Job) { j.Scope.Role.Exec.Command = []string{"sh"} },
	} {
		j := job()
		change(&j)
		if other, err := k.plan(j, true); err != nil || other.key == p.key {
			t.Errorf("another %s fits: %v", name, err)
		}
	}
	j := job()
	j.Scope.Role.Skills = nil
	if p, err := k.plan(j, true); err != nil || len(p.load.Skills) != 0 {
		t.Errorf("without skills: %v", err)
	}
	if p, err := k.plan(job(), false); err != nil || p.spec.Image != k.image || p.load.Exec != nil {
		t.Errorf("a tool call: %+v, %v", p, err)
	}
}

// mounted is an engine that has mounts, as far as paths go.
type mounted struct{ host.Engine }

func (mounted) Path(b host.Bind) string { return b.Target }

// TestPlanKey changes one thing after the other: a spare must not be used for another.
func TestPlanKey(t *testing.T) {
	k, dir := newKit(t, inProcess, nil), realDir(t)
	key := func(change func(*Job)) string {
		j := k.job(t, "a", "")
		change(&j)
		p, err := k.plan(j, true)
		if err != nil {
			t.Fatal(err)
		}
		return p.key
	}
	same := key(func(j *Job) { j.Scope.Turn, j.Input.System = "another", "other words" })
	if base := key(func(*Job) {}); base != same {
		t.Error("two turns of the same agent do not fit")
	}
	for name, change := range map[string]func(*Job){
		"agent":  func(j *Job) { j.Scope.Agent.ID = "b" },
		"digest": func(j *Job) { j.Scope.Skills["calc"].Digest = "sha256:00" },
		"skill":  func(j *Job) { delete(j.Scope.Skills, "calc") },
		"setting": func(j *Job) {
			j.Scope.Role.Settings = map[host.SkillName]wire.Settings{"calc": {"digits": "9"}}
		},
		"limit":   func(j *Job) { j.Scope.Role.Limits.Memory++ },
		"runtime": func(j *Job) { j.Scope.Role.Runtime = "runsc" },
		"grant": func(j *Job) {
			j.Scope.Role.Withhold = []host.Capability{host.CapFS}
			j.Scope.Skills["brain"].Manifest.Capabilities[0].Optional = true
		},
		"mount": func(j *Job) { j.Scope.Role.Mounts = []host.Mount{{Name: "x", Path: dir}} },
		"quota": func(j *Job) { j.Scope.Role.Limits.Workspace.Bytes++ },
	} {
		if key(change) == same {
			t.Errorf("another %s fits", name)
		}
	}
}

// realDir is a directory without a symlink on the way to it.
func realDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPlanRefuses(t *testing.T) {
	k := newKit(t, inProcess, nil)
	dir := realDir(t)
	if err := errors.Join(os.Mkdir(dir+"/checked", 0o700), os.Remove(dir+"/checked"), os.Symlink("/etc", dir+"/checked")); err != nil {
		t.Fatal(err)
	}
	mount := func(path string) func(*Job) {
		return func(j *Job) { j.Scope.Role.Mounts = []host.Mount{{Name: "m", Path: path}} }
	}
	for name, tc := range map[string]struct {
		change func(*Job)
		kind   error
	}{
		"brain not granted": {func(j *Job) { j.Scope.Role.Withhold = []host.Capability{host.CapFS} }, host.ErrDenied},
		"brain missing":     {func(j *Job) { delete(j.Scope.Skills, "brain") }, host.ErrDenied},
		"path":              {func(j *Job) { j.FS = map[host.SkillName][]wire.Preopen{"brain": {{Guest: "/etc"}}} }, nil},
		"mount is a link":   {mount(dir + "/checked"), host.ErrDenied},
		"mount leads away":  {mount(dir + "/checked/ssl"), host.ErrDenied},
		"mount is gone":     {mount(dir + "/none"), host.ErrDenied},
		"agent ID":          {func(j *Job) { j.Scope.Agent.ID = "../a" }, nil},
		"no such workspace": {func(j *Job) { j.Workspace = "/no/such" }, os.ErrNotExist},
	} {
		j := k.job(t, "a", "")
		tc.change(&j)
		if _, err := k.plan(j, true); err == nil || tc.kind != nil && !errors.Is(err, tc.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenWorkspaceFile(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(outside, []byte("secret"), 0o600), os.WriteFile(in("plain"), []byte("hello"), 0o600),
		os.Mkdir(in("sub"), 0o700), os.WriteFile(in("sub/deep"), []byte("deep"), 0o600), os.WriteFile(in("full"), make([]byte, 100), 0o600),
		os.Symlink(outside, in("symlink")), os.Symlink("plain", in("inner")), os.Symlink(filepath.Dir(outside), in("away")),
		os.Link(outside, in("hardlink")), syscall.Mkfifo(in("fifo"), 0o600), os.WriteFile(in("sparse"), nil, 0o600),
		os.Truncate(in("sparse"), 10<<30),
	); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, want string
		kind       error
	}{
		{"plain", "hello", nil},
		{"sub/deep", "deep", nil},
		{"full", string(make([]byte, 100)), nil},
		{"symlink", "", host.ErrInvalid},
		{"inner", "", host.ErrInvalid},
		{"hardlink", "", host.ErrInvalid},
		{"fifo", "", host.ErrInvalid},
		{"sub", "", host.ErrInvalid},
		{"sparse", "", host.ErrLimit},
		{"away/secret", "", errAny},
		{"../" + filepath.Base(filepath.Dir(outside)) + "/secret", "", errAny},
		{outside, "", errAny},
		{"none", "", os.ErrNotExist},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			b, err := OpenWorkspaceFile(dir, tc.name, 100)
			if string(b) != tc.want || tc.kind == nil && err != nil || tc.kind != nil && err == nil ||
				tc.kind != nil && tc.kind != errAny && !errors.Is(err, tc.kind) {
				t.Errorf("%s: %.20q, %v", tc.name, b, err)
			}
		}()
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatalf("%s: the host waits for it", tc.name)
		}
	}
}

var errAny = errors.New("any")

func TestAdopt(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives directories away")
	}
	owner := func(dir string) uint32 {
		st, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		return st.Sys().(*syscall.Stat_t).Uid
	}
	fresh, used := t.TempDir(), t.TempDir()
	err := errors.Join(os.WriteFile(filepath.Join(used, "x"), nil, 0o600), adopt(fresh, 65532, 65532), adopt(used, 65532, 65532))
	if err != nil || owner(fresh) != 65532 || owner(used) != 0 {
		t.Errorf("%v, owners %d and %d", err, owner(fresh), owner(used))
	}
}

func TestAdmit(t *testing.T) {
	engine, image := inDocker(t)
	a := &Admitter{Engine: engine, Image: image, RunnerDigest: "digest", Log: hclog.NewNullLogger()}
	for _, tc := range []struct {
		module string
		kind   error
		want   string
	}{
		{"ok", nil, ""},
		{"refuse", host.ErrInvalid, "refused: function 3 has 4294967295 locals"},
		{"symlink", host.ErrInvalid, "neither a file nor a directory"},
		{"fifo", host.ErrInvalid, "neither a file nor a directory"},
		{"many", host.ErrLimit, "too large"},
		{"sparse", host.ErrLimit, "too large"},
		{"oom", host.ErrLimit, "refused: compiling needs too much memory"},
		{"panic", host.ErrCrashed, "exit code 2"},
		{"lie", host.ErrCrashed, "the compiler failed"},
		{"flood", host.ErrCrashed, "no answer"},
		{"slow", host.ErrLimit, "refused: compiling takes more than 5s"},
	} {
		t.Run(tc.module, func(t *testing.T) {
			a.timeout = 0
			if tc.module == "slow" {
				a.timeout = 5 * time.Second
			}
			if tc.module == "fifo" && testRuntime == "runsc" {
				t.Skip("a pipe made there is gVisor's own and never comes to the machine")
			}
			in, out := filepath.Join(t.TempDir(), "in.wasm"), t.TempDir()
			if err := os.WriteFile(in, []byte(tc.module), 0o444); err != nil {
				t.Fatal(err)
			}
			err := a.Admit(t.Context(), in, out)
			if tc.kind == nil && err != nil || !errors.Is(err, tc.kind) || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			for name, mode := range map[string]os.FileMode{".": 0o755, "cache": 0o755, "cache/x": 0o644, "skill.wasm": 0o644} {
				st, err := os.Stat(filepath.Join(out, name))
				if err != nil || st.Mode().Perm() != mode || int(st.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
					t.Errorf("%s: %v, %v", name, st, err)
				}
			}
		})
	}
}

func TestAdmitterKey(t *testing.T) {
	base := Admitter{RunnerDigest: "a", Runtimes: []string{"runc"}}
	keys := []string{base.Key(), (&Admitter{RunnerDigest: "b", Runtimes: []string{"runc"}}).Key(), (&Admitter{RunnerDigest: "a", Runtimes: []string{"runsc"}}).Key()}
	if base.Key() != keys[0] || keys[0] == keys[1] || keys[0] == keys[2] || filepath.Base(keys[0]) != keys[0] {
		t.Errorf("keys %q", keys)
	}
}

func FuzzListen(f *testing.F) {
	f.Add([]byte(`{"type":"progress","stage":"tool","name":"x"}` + "\n" + `{"type":"reply","text":"x"}`))
	f.Add([]byte("\n\n"))
	f.Add([]byte(`{"type":"error","outcome":"timeout","message":"` + "\xff" + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		progress := 0
		e, err := listen(iotest.OneByteReader(bytes.NewReader(b)), func(wire.Event) { progress++ })
		if (err == nil) != (e.Type == wire.EventReply) || len(e.Text) > wire.MaxReply && err == nil || progress > wire.MaxEvents {
			t.Errorf("%+v, %v, %d", e, err, progress)
		}
	})
}

// pipe is a container that says what it is given.
type pipe struct {
	host.Container
	io.Reader
}

func (p pipe) Read(b []byte) (int, error) { return p.Reader.Read(b) }

func FuzzGuard(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 'h', 'i', 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9})
	f.Add([]byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var results [2]string
		for i, r := range []io.Reader{bytes.NewReader(b), iotest.OneByteReader(bytes.NewReader(b))} {
			got, err := io.ReadAll(&guard{c: pipe{Reader: r}})
			if err == nil && !bytes.Equal(got, b) {
				t.Errorf("%x became %x", b, got)
			}
			if err != nil && !errors.Is(err, host.ErrCrashed) {
				t.Error(err)
			}
			if err == nil {
				results[i] = "passed"
			}
		}
		if !reflect.DeepEqual(results[0], results[1]) {
			t.Errorf("%x depends on how it comes: %v", b, results)
		}
	})
}
