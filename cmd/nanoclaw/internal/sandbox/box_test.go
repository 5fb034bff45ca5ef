package sandbox

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

// standin is the stand-in, built once.
var standin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nanoclaw-standin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "standin")
	c := exec.Command("go", "build", "-o", path, "./testdata/standin")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := standin(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// desk is a machine with one of the programs, and a workspace.
type desk struct {
	*Box
	t     *testing.T
	dir   string // of the stand-in
	said  strings.Builder
	asked []string
	yes   bool
}

// newDesk has cli on its PATH; docker sandbox is the real docker's plugin.
func newDesk(t *testing.T, cli *CLI) *desk {
	t.Helper()
	self, err := standin()
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, dir: t.TempDir(), yes: true}
	home := t.TempDir()
	bin, plugins := filepath.Join(home, "bin"), filepath.Join(home, ".docker", "cli-plugins")
	copies := map[string]string{"sbx": bin, "docker-sandbox": plugins, "nanoclaw": filepath.Join(home, "programs"), "nanoclaw-runner": filepath.Join(home, "programs")}
	for name, dir := range copies {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("STANDIN_DIR", d.dir)
	for _, k := range []string{"SANDBOX_NAME", "SANDBOX_ID", "SANDBOX_VM_ID", "NANOCLAW_STATE", "XDG_STATE_HOME"} {
		t.Setenv(k, "")
	}
	workspace, err := CheckWorkspace(filepath.Join(home, "work"))
	if err != nil {
		t.Fatal(err)
	}
	d.Box = &Box{
		CLI: cli, Name: "box", Workspace: workspace, State: filepath.Join(home, "state"), Programs: []string{copies["nanoclaw"]},
		Shipped: "[model]\nprovider = 'anthropic'\n[engine]\nrequire_sandbox = true\n[roles.main]\nhttp = [{ hosts = ['a.example.com', '*.example.org'] }]\n",
		Say:     func(s string) { d.said.WriteString(s + "\n") }, Out: &d.said,
		Confirm: func(q string) (bool, error) { d.asked = append(d.asked, q); return d.yes, nil },
		Arch:    func(string) (string, error) { return machine(t), nil },
	}
	t.Cleanup(func() {
		b := *d.Box
		b.Confirm, b.DryRun = func(string) (bool, error) { return true, nil }, false
		_ = b.Remove(t.Context())
		exec.Command(cli.argv[0], append(cli.argv[1:], "stop", "box")...).Run()
	})
	return d
}

func machine(t *testing.T) string {
	out, err := exec.Command("go", "env", "GOARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (d *desk) up() {
	d.t.Helper()
	d.said.Reset()
	d.asked = nil
	if err := d.Up(d.t.Context()); err != nil {
		d.t.Fatalf("%v\n%s", err, &d.said)
	}
}

// calls are what the program was asked since the last time, in the words of the test; what only asks for the
// host's status, over and over, is one.
func (d *desk) calls() string {
	d.t.Helper()
	path := filepath.Join(d.dir, "calls")
	text, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	os.Remove(path)
	all := strings.ReplaceAll(strings.TrimSpace(string(text)), d.Workspace, "WORK")
	lines := slices.DeleteFunc(strings.Split(all, "\n"), func(l string) bool { return strings.HasSuffix(l, " status --json") })
	return regexp.MustCompile(`kill \d+`).ReplaceAllString(strings.Join(lines, "\n"), "kill PID")
}

func (d *desk) config(text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.Workspace, configFile), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

const runs = "exec -w WORK box WORK/bin/nanoclaw --config WORK/nanoclaw.toml run --wait-docker 1m"

// story is what each program is asked in the life of one sandbox.
var story = map[*CLI]struct{ first, second, changed, narrower, programs, removed []string }{
	sbx: {
		first: []string{
			"version", "ls --json", "create --name box shell WORK", "policy ls box --type network --json", "exec -w WORK box uname -m",
			"policy allow network --sandbox box **.example.org:443,a.example.com:443,api.anthropic.com:443", runs,
		},
		second: []string{"version", "ls --json", "policy ls box --type network --json", "exec -w WORK box uname -m"},
		changed: []string{
			"version", "ls --json", "policy ls box --type network --json", "exec -w WORK box uname -m",
			"policy rm network --sandbox box --force --resource a.example.com:443", "policy allow network --sandbox box b.example.com:8443",
		},
		narrower: []string{
			"version", "ls --json", "policy ls box --type network --json", "exec -w WORK box uname -m",
			"policy rm network --sandbox box --force --resource **.example.org:443", "policy allow network --sandbox box c.example.org:443",
		},
		programs: []string{"version", "ls --json", "policy ls box --type network --json", "exec -w WORK box uname -m", "exec -w WORK box kill PID", runs},
		removed: []string{
			"version", "ls --json", "policy ls box --type network --json",
			"policy rm network --sandbox box --force --resource api.anthropic.com:443,b.example.com:8443,c.example.org:443", "rm --force box",
		},
	},
	dockerSandbox: {
		first: []string{
			"version", "ls --json", "create --name box shell WORK", "exec -w WORK box uname -m",
			"network proxy box --policy deny --allow-host *.example.org:443 --allow-host a.example.com:443 --allow-host api.anthropic.com:443", runs,
		},
		second: []string{"version", "ls --json", "exec -w WORK box uname -m"},
		changed: []string{
			"version", "ls --json", "exec -w WORK box uname -m",
			"network proxy box --policy deny --allow-host *.example.org:443 --allow-host api.anthropic.com:443 --allow-host b.example.com:8443 --block-host a.example.com:443",
		},
		narrower: []string{
			"version", "ls --json", "exec -w WORK box uname -m",
			"network proxy box --policy deny --allow-host api.anthropic.com:443 --allow-host b.example.com:8443 --allow-host c.example.org:443 --block-host *.example.org:443",
		},
		programs: []string{"version", "ls --json", "exec -w WORK box uname -m", "exec -w WORK box kill PID", runs},
		removed:  []string{"version", "ls --json", "rm box"},
	},
}

// TestLife: a sandbox is made, left alone where nothing differs, changed where something does, and removed,
// by exactly these commands.
func TestLife(t *testing.T) {
	for cli, want := range story {
		t.Run(cli.Name, func(t *testing.T) {
			d := newDesk(t, cli)
			same := func(step string, want []string) {
				t.Helper()
				if got := d.calls(); got != strings.Join(want, "\n") {
					t.Errorf("%s: asked\n%s\nwant\n%s", step, got, strings.Join(want, "\n"))
				}
			}
			says := func(want ...string) {
				t.Helper()
				for _, w := range want {
					if !strings.Contains(d.said.String(), w) {
						t.Errorf("does not say %q:\n%s", w, &d.said)
					}
				}
			}
			d.up()
			same("first", want.first)
			says("writing "+d.Workspace+"/nanoclaw.toml", "http of role main", "nanoclaw runs in it\n", "the key of anthropic stays outside", "stored secrets")
			if st, err := os.Stat(filepath.Join(d.Workspace, program)); err != nil || st.Mode().Perm() != 0o755 {
				t.Errorf("%v %v", st, err)
			}
			d.up()
			same("second", want.second)
			says("is there already", "is what the grants need already", "nanoclaw runs in it already")

			d.config(strings.Replace(d.Shipped, "'a.example.com', '*.example.org'] }", "'*.example.org'] }, { hosts = ['b.example.com'], port = 8443 }", 1))
			d.yes = false
			if err := d.Up(t.Context()); !errors.Is(err, host.ErrDenied) || len(d.asked) != 1 || !strings.Contains(d.asked[0], "b.example.com:8443") {
				t.Fatalf("a wider policy that nobody wants: %v, asked %q", err, d.asked)
			}
			d.calls()
			d.yes = true
			s, err := d.Status(t.Context())
			if err != nil || s.State != running || s.Host == nil || !slices.Equal(s.Add, []string{"b.example.com:8443"}) || !slices.Equal(s.Drop, []string{"a.example.com:443"}) {
				t.Errorf("%v, %+v", err, s)
			}
			d.calls()
			d.up()
			same("changed", want.changed)
			says("no longer: a.example.com:443")

			d.config("[model]\nprovider = 'anthropic'\n[roles.main]\nhttp = [{ hosts = ['c.example.org'] }, { hosts = ['b.example.com'], port = 8443 }]\n")
			d.up()
			same("narrower", want.narrower)
			if d.asked != nil {
				t.Errorf("asked %q, though it may reach less", d.asked)
			}
			for _, name := range programs {
				p := filepath.Join(d.Workspace, binDir, name)
				if err := os.WriteFile(p+"x", []byte("other"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(p+"x", p); err != nil && name != "nanoclaw" { // the one that runs was another
					t.Fatal(err)
				}
			}
			os.Remove(filepath.Join(d.Workspace, program))
			if err := os.Link(filepath.Join(d.Programs[0], "nanoclaw"), filepath.Join(d.Workspace, program)); err != nil {
				t.Fatal(err)
			}
			d.up()
			same("other programs", want.programs)

			d.yes = false
			if err := d.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s, err := d.Status(t.Context()); err != nil || s.State != running {
				t.Errorf("removed though nobody wants it: %v, %+v", err, s)
			}
			d.calls()
			d.yes = true
			if err := d.Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			same("removed", want.removed)
			if _, err := os.Stat(filepath.Join(d.Workspace, configFile)); err != nil {
				t.Error(err)
			}
			if left, err := filepath.Glob(filepath.Join(d.State, "*")); err != nil || len(left) > 0 {
				t.Errorf("%v, left %q", err, left)
			}
			if left, err := filepath.Glob(filepath.Join(d.dir, "box*.json")); err != nil || len(left) > 0 {
				t.Errorf("%v, left %q", err, left)
			}
			if err := d.Remove(t.Context()); err != nil {
				t.Errorf("what is not there: %v", err)
			}
			if s, err := d.Status(t.Context()); err != nil || s.State != missing || s.Host != nil {
				t.Errorf("%v, %+v", err, s)
			}
		})
	}
}

// TestDryRun: everything is shown, and nothing is changed.
func TestDryRun(t *testing.T) {
	for cli := range story {
		d := newDesk(t, cli)
		d.DryRun = true
		d.up()
		if got := d.calls(); got != "version\nls --json" {
			t.Errorf("%s: ran %s", cli.Name, got)
		}
		for _, want := range story[cli].first {
			want = strings.ReplaceAll(want, "WORK", d.Workspace)
			if want == "policy ls box --type network --json" || strings.HasSuffix(want, "uname -m") {
				continue // known once it is there
			}
			if said := strings.ReplaceAll(d.said.String(), "'", ""); !strings.Contains(said, "$ "+cli.Name+" "+want) {
				t.Errorf("%s: does not show %q:\n%s", cli.Name, want, said)
			}
		}
		if _, err := os.Stat(d.Workspace); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", cli.Name, err)
		}
		d.DryRun = false
		d.up()
		d.DryRun = true
		d.calls()
		if err := d.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := d.calls(); strings.Contains(got, "rm") || !strings.Contains(d.said.String(), "$ "+cli.Name+" rm") {
			t.Errorf("%s: ran %s, said %s", cli.Name, got, &d.said)
		}
	}
}

// TestRefused: what stands in the way is said, before anything is made.
func TestRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		do    func(*desk)
		want  string
		calls string // "" = none was made
	}{
		"old version": {func(d *desk) { d.t.Setenv("STANDIN_VERSION", "v0.34.0") }, "too old", "version"},
		"no version":  {func(d *desk) { d.t.Setenv("STANDIN_VERSION", "unknown") }, "does not say its version", "version"},
		"bad file":    {func(d *desk) { os.MkdirAll(d.Workspace, 0o700); d.config("nonsense = 1") }, "nonsense", "version\nls --json"},
		"bad provider": {func(d *desk) {
			os.MkdirAll(d.Workspace, 0o700)
			d.config("[model]\nprovider='x'\nname='m'\n[providers.x]\nkind='openai'\nbase_url='https://--global,**/'\n[roles.r]")
		}, "no host", "version\nls --json"},
		"no programs": {func(d *desk) { d.Programs = []string{t.TempDir()} }, "--programs DIR", ""},
		"for another": {func(d *desk) { d.Arch = func(string) (string, error) { return "riscv64", nil } }, "is for riscv64", ""},
		"bin is a link": {func(d *desk) {
			os.MkdirAll(d.Workspace, 0o700)
			os.Symlink(t.TempDir(), filepath.Join(d.Workspace, binDir))
		}, "bin", ""},
		"bin is a file": {func(d *desk) {
			os.MkdirAll(d.Workspace, 0o700)
			os.WriteFile(filepath.Join(d.Workspace, binDir), nil, 0o600)
		}, "bin", ""},
		"it fails": {func(d *desk) {
			os.MkdirAll(d.Workspace, 0o700)
			os.WriteFile(filepath.Join(d.Workspace, "fails"), nil, 0o600)
		}, "no luck today ?[31m", ""},
		"another's": {func(d *desk) {
			if out, err := exec.Command("sbx", "create", "--name", "box", "shell", t.TempDir()).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			d.calls()
		}, "--name", "version\nls --json"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, sbx)
			tc.do(d)
			err := d.Up(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
			if got := d.calls(); tc.calls != "" && got != tc.calls {
				t.Errorf("ran %s", got)
			}
		})
	}
}

// TestBeyond: what this machine's own policy allows besides is said.
func TestBeyond(t *testing.T) {
	d := newDesk(t, sbx)
	t.Setenv("STANDIN_GLOBAL", "**.github.com:443,pypi.org")
	d.up()
	if !strings.Contains(d.said.String(), "lets it reach more than its grants need: **.github.com:443, pypi.org;") {
		t.Error(d.said.String())
	}
	s, err := d.Status(t.Context())
	if err != nil || !slices.Equal(s.Beyond, []string{"**.github.com:443", "pypi.org"}) {
		t.Errorf("%v, %+v", err, s)
	}
}

// TestStandin: the stand-in takes the command lines of the documentation, those of the seed among them, and
// refuses what is in none. What it takes wrongly, the tests above show nothing about.
func TestStandin(t *testing.T) {
	newDesk(t, sbx)
	t.Setenv("STANDIN_PARSE", "1")
	for _, tc := range []struct{ line, verb string }{
		// The seed: https://docs.nanoclaw.dev/advanced/docker-sandboxes and its docs/docker-sandboxes.md
		{"docker sandbox version", "version"},
		{"docker sandbox create shell ~/nanoclaw-workspace", "create"},
		{"docker sandbox create --name nanoclaw shell ~/nanoclaw-workspace", "create"},
		{"docker sandbox network proxy shell-nanoclaw-workspace --bypass-host web.whatsapp.com --bypass-host *.whatsapp.com --bypass-host *.whatsapp.net", "network proxy"},
		{"docker sandbox run shell-nanoclaw-workspace", "run"},
		{"docker sandbox run nanoclaw", "run"},
		// https://docs.docker.com/reference/cli/docker/sandbox/
		{"docker sandbox exec -it my-sandbox /bin/bash", "exec"},
		{"docker sandbox exec --workdir /app my-sandbox python script.py", "exec"},
		{"docker sandbox stop sandbox1 sandbox2", "stop"},
		{"docker sandbox ls --json", "ls"},
		{"docker sandbox network log", "network log"},
		{"docker sandbox network proxy my-sandbox --policy deny --allow-host api.anthropic.com:443", "network proxy"},
		// https://docs.docker.com/reference/cli/sbx/
		{"sbx create --name my-project claude /path/to/project", "create"},
		{"sbx create shell . /path/to/docs:ro", "create"},
		{"sbx exec -it my-sandbox bash", "exec"},
		{"sbx exec -u root my-sandbox apt-get update", "exec"},
		{"sbx policy allow network --sandbox my-sandbox api.example.com", "policy allow network"},
		{"sbx policy rm network --sandbox my-sandbox --resource api.example.com", "policy rm network"},
		{"sbx policy ls my-sandbox --source kit --type network --wide", "policy ls"},
		{"sbx secret set openai --sandbox my-sandbox", "secret set"},
		{"sbx rm --force my-sandbox", "rm"},
		{"sbx cp ./config.json my-sandbox:/home/user/", "cp"},

		{"sbx cratee shell .", ""},
		{"sbx create --nme x shell .", ""},
		{"sbx create --name", ""},
		{"sbx exec my-sandbox", ""},
		{"sbx policy allow network", ""},
		{"sbx policy allow network --global x", ""},
		{"sbx policy bypass network x", ""},
		{"sbx network proxy x --policy deny", ""},
		{"docker sandbox policy ls", ""},
		{"docker sandbox create shell", ""},
		{"docker sandbox network proxy x --force", ""},
		{"docker sandbox secret set anthropic", ""},
		{"docker sandbox rm --force x", ""},
		{"docker sandbox cp a b:/c", ""},
	} {
		argv := strings.Fields(tc.line)
		out, err := exec.Command(argv[0], argv[1:]...).Output()
		var c struct{ Verb string }
		_ = json.Unmarshal(out, &c)
		if (err == nil) != (tc.verb != "") || c.Verb != tc.verb {
			t.Errorf("%s: %v, %s", tc.line, err, out)
		}
	}
}

func TestFind(t *testing.T) {
	for _, tc := range []struct{ have, want string }{
		{"sbx", "sbx"},
		{"sbx docker docker-sandbox", "sbx"},
		{"docker docker-sandbox", "docker sandbox"},
		{"docker", ""},
		{"docker-sandbox", ""},
		{"", ""},
	} {
		c, err := Find(func(name string) (string, error) {
			if slices.Contains(strings.Fields(tc.have), name) {
				return name, nil
			}
			return "", os.ErrNotExist
		})
		if tc.want == "" && (!errors.Is(err, host.ErrNotFound) || !strings.Contains(err.Error(), "https://")) || tc.want != "" && (err != nil || c.Name != tc.want) {
			t.Errorf("%q: %v, %v", tc.have, c, err)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, tc := range []struct {
		cli  *CLI
		out  string
		want string
		ok   bool
	}{
		{sbx, "sbx version: v0.42.0 c022b14634c4bea846ca12870d1d5e97d5868b54\n", "0.42.0", true},
		{sbx, "sbx version 1.0.0", "1.0.0", true},
		{sbx, "sbx version 0.43", "0.43.0", true},
		{sbx, "sbx version: v0.41.9 x", "0.41.9", false},
		{sbx, "sbx version: v0.9.100", "0.9.100", false},
		{dockerSandbox, "github.com/docker/sandboxes/cli-plugin v0.7.1 f00f0d6473647c2201cd0507ce31613345c48ae6", "0.7.1", true},
		{dockerSandbox, "github.com/docker/sandboxes/cli-plugin v0.6.0 x", "0.6.0", false},
		{dockerSandbox, "docker: 'sandbox' is not a docker command.", "", false},
		{sbx, "", "", false},
	} {
		got, err := tc.cli.checkVersion([]byte(tc.out))
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: %q, %v", tc.out, got, err)
		}
	}
}

func TestWorkspace(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	for dir, ok := range map[string]bool{
		home: false, "/": false, filepath.Dir(home): false, link: false, filepath.Join(home, "x"): true, t.TempDir(): true,
	} {
		if _, err := CheckWorkspace(dir); (err == nil) != ok {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if got, err := CheckWorkspace(filepath.Join(link, "a", "b")); err != nil || got != filepath.Join(home, "a", "b") {
		t.Errorf("%s, %v", got, err)
	}
	for name, ok := range map[string]bool{"nanoclaw": true, "a-1": true, "": false, "-x": false, "a/b": false, "a b": false, "a_b": false} {
		if (CheckName(name) == nil) != ok {
			t.Errorf("%q", name)
		}
	}
}

// TestKeys: which keys must be given outside.
func TestKeys(t *testing.T) {
	cfg := loaded(t, `[model]
provider = "anthropic"
fallback = ["b", "c", "d"]
[models.b]
provider = "openai"
name = "m"
[models.c]
provider = "mine"
name = "m"
[models.d]
provider = "open"
name = "m"
[providers.openai]
api_key = "proxy-managed"
[providers.mine]
kind = "openai"
base_url = "https://llm.example.com/v1"
api_key = "proxy-managed"
[providers.open]
kind = "openai"
base_url = "https://open.example.com/v1"
[roles.main]
[roles.other]
`)
	known, unknown := Keys(cfg)
	if !slices.Equal(known, []string{"anthropic", "openai"}) || !slices.Equal(unknown, []string{"llm.example.com"}) {
		t.Errorf("%q, %q", known, unknown)
	}
}
