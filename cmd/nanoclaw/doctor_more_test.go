package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

// patient is an installation to examine, without containers, that is well but for its plugins.
type patient struct {
	*doctor
	t   *testing.T
	dir string
}

func newPatient(t *testing.T, more string) *patient {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "nanoclaw.toml")
	write(t, path, more+"\n[roles.main]\ndescription = \"x\"\nprompt = \"x\"\n[[routes]]\nchannel = \"console\"\nchat = \"*\"\nrole = \"main\"\n")
	cfg, err := config.Load(path, config.Overrides{StateDir: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(cfg.StateDir, 0o700), os.Mkdir(cfg.SkillsDir, 0o700)); err != nil {
		t.Fatal(err)
	}
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, log: hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: &bytes.Buffer{}})}
	a.vault = secret.NewVault()
	return &patient{&doctor{app: a, cfg: cfg}, t, dir}
}

// assistant is a file that says it is a skill agent; nothing of it is ever run here.
func (p *patient) assistant(needs ...host.Need) *skill.File {
	return &skill.File{Digest: "sha256:new", Manifest: host.Manifest{Name: "assistant", Kind: host.KindAgent, Capabilities: needs}}
}

// TestEveryRowCanFail breaks one thing after the other. The row that is about it says so, and what to
// do; without the damage it does not.
func TestEveryRowCanFail(t *testing.T) {
	key := "[secrets.weather]\nfile = \"key\"\n[roles.w]\ndescription = \"x\"\nprompt = \"x\"\n" +
		"http = [ { hosts = [\"a.example\"], bearer = \"weather\" } ]\n"
	held := func(p *patient) {
		p.files = []*skill.File{p.assistant(host.Need{Name: host.CapHTTP, PublicWeb: true, Reason: "x"})}
		before := p.assistant()
		before.Digest = "sha256:old"
		if err := skill.Approve(p.cfg.SkillsDir, before, "", "the test"); err != nil {
			p.t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, config string
		harm         func(*patient)
		check        func(*patient)
		state, says  string
		fix          string
		wrongBefore  bool // the rest of the patient is not made up well enough to be "ok" before
	}{
		{
			name: "reach", config: "[roles.x]\ndescription = \"x\"\nprompt = \"x\"\nsensitive = true\npublic_web = true\n",
			check: func(p *patient) { p.checkReach() }, state: stateFailure, says: "role x", fix: "nanoclaw check", wrongBefore: true,
		},
		{
			name: "state", harm: func(p *patient) { p.chmod("state", 0o755) }, check: func(p *patient) { p.checkState() },
			state: stateFailure, says: "others can look into it", fix: "doctor --fix",
		},
		{
			name: "secrets", config: key, harm: func(p *patient) { p.chmod("key", 0o644) }, check: func(p *patient) { p.checkSecrets() },
			state: stateFailure, says: "weather: denied: others may read", fix: "chmod 600",
		},
		{
			name: "secrets", config: key, harm: func(p *patient) { os.Remove(filepath.Join(p.dir, "key")) },
			check: func(p *patient) { p.checkSecrets() }, state: stateWarning, says: "of role w: not found", fix: "secret set weather",
		},
		{
			name: "secrets", harm: func(p *patient) {
				if err := secret.Set(p.cfg.StateDir, "x", "long enough"); err != nil {
					p.t.Fatal(err)
				}
				p.chmod("state/secrets", 0o711)
			}, check: func(p *patient) { p.checkSecrets() }, state: stateFailure, says: "others can look into it", fix: "doctor --fix",
		},
		{
			name: "runner", check: func(p *patient) { p.checkRunner() }, // beside the program that tests there is none
			state: stateFailure, says: "nanoclaw-runner is in neither", fix: "make build", wrongBefore: true,
		},
		{
			name: "runtime", harm: func(p *patient) { p.info.Runtimes = []string{"crun"} },
			check: func(p *patient) {
				if p.info.Runtimes == nil {
					p.info.Runtimes = []string{"runc"}
				}
				p.checkRuntime()
			}, state: stateFailure, says: `"runc" is not known to the daemon`, fix: "engine.runtime",
		},
		{
			name: "image", check: func(p *patient) { p.runner = "/x"; p.checkContainer(p.t.Context()) },
			state: stateFailure, says: "nanoclaw-runner is in neither", wrongBefore: true,
		},
		{
			name: "skills", check: func(p *patient) { p.checkPlugins() }, state: stateFailure, says: "holds no .wasm file", fix: "make build",
			wrongBefore: true,
		},
		{
			name: "skills", harm: func(p *patient) { write(p.t, filepath.Join(p.cfg.SkillsDir, "x.wasm"), "\x00asm") },
			check: func(p *patient) { p.checkPlugins() }, state: stateFailure, says: `role main lists "assistant"`, fix: "take it out",
			wrongBefore: true,
		},
		{
			name: "lock", harm: held, check: func(p *patient) { p.checkLock() }, state: stateFailure,
			says: "held, because more is wanted than was accepted:\nassistant: http is new", fix: "skill approve",
		},
		{
			name: "lock", harm: func(p *patient) { write(p.t, filepath.Join(p.cfg.SkillsDir, skill.LockName), "[[") },
			check: func(p *patient) { p.checkLock() }, state: stateFailure, says: "skills.lock", fix: "restore it",
		},
		{
			name: "lock", config: "[skills]\nrequire_signed = true\n", harm: func(p *patient) { p.files = []*skill.File{p.assistant()} },
			check: func(p *patient) { p.checkLock() }, state: stateFailure, says: "no trusted key signed assistant", fix: "skill sign",
		},
		{
			name: "turn", check: func(p *patient) { p.checkTurn(p.t.Context()) }, state: stateFailure,
			says: `no readable file in`, fix: "nanoclaw logs", wrongBefore: true,
		},
		{
			name: "channels", config: "[[routes]]\nchannel = \"whatsapp\"\nchat = \"*\"\nrole = \"main\"\n",
			check: func(p *patient) { p.checkChannels(p.t.Context()) }, state: stateWarning, says: `for channel "whatsapp"`,
			fix: "channel add whatsapp", wrongBefore: true,
		},
		{
			name: "disk", harm: func(p *patient) { p.cfg.StateDir = "/proc/1/root\x00" }, check: func(p *patient) { p.add(diskRow(p.cfg.StateDir)) },
			state: stateFailure, says: "invalid argument", fix: "readable",
		},
		{
			name: "layer 1", config: "[engine]\nrequire_sandbox = true\n", check: func(p *patient) { p.checkLayers() },
			state: stateFailure, says: "no microVM sandbox", fix: "Docker Sandbox", wrongBefore: true,
		},
		{
			name: "layer 2", config: "[engine]\nruntime = \"none\"\n", check: func(p *patient) { p.checkLayers() },
			state: stateWarning, says: "MISSING", fix: "remove runtime", wrongBefore: true,
		},
	} {
		t.Run(tc.name+", "+tc.says, func(t *testing.T) {
			p := newPatient(t, tc.config)
			write(t, filepath.Join(p.dir, "key"), "a weather token")
			p.chmod("key", 0o600)
			row := func() check {
				p.checks = nil
				tc.check(p)
				i := slices.IndexFunc(p.checks, func(c check) bool { return c.Name == tc.name })
				if i < 0 {
					t.Fatalf("no row %s in %+v", tc.name, p.checks)
				}
				return p.checks[i]
			}
			if !tc.wrongBefore {
				if c := row(); c.State != stateOK {
					t.Errorf("before: %+v", c)
				}
			}
			if tc.harm != nil {
				tc.harm(p)
			}
			c := row()
			if c.State != tc.state || !strings.Contains(c.Detail, tc.says) || !strings.Contains(c.Fix, tc.fix) {
				t.Errorf("%+v\nwant %s, %q, %q", c, tc.state, tc.says, tc.fix)
			}
		})
	}
}

func (p *patient) chmod(name string, mode os.FileMode) {
	p.t.Helper()
	if err := os.Chmod(filepath.Join(p.dir, name), mode); err != nil {
		p.t.Fatal(err)
	}
}

// TestDaemonRows is the table of daemons.
func TestDaemonRows(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	well := container.Info{APIVersion: "1.41", CgroupVersion: "2", CgroupDriver: "systemd", Clock: "2026-11-24T12:00:01.5Z"}
	for _, tc := range []struct {
		row, state, says string
		change           func(*container.Info)
	}{
		{"api", stateOK, "1.41", nil},
		{"api", stateFailure, "needed is 1.41", func(i *container.Info) { i.APIVersion = "1.9" }},
		{"api", stateOK, "1.100", func(i *container.Info) { i.APIVersion = "1.100" }},
		{"rootless", stateOK, "no: ", nil},
		{"rootless", stateOK, "yes: ", func(i *container.Info) { i.Security = []string{"name=rootless"} }},
		{"rootless", stateFailure, "bounds no agent", func(i *container.Info) {
			i.Security, i.CgroupDriver = []string{"name=rootless"}, "none"
		}},
		{"cgroup", stateOK, "version 2", nil},
		{"cgroup", stateWarning, "swap", func(i *container.Info) { i.Unlimited = []string{"swap"} }},
		{"cgroup", stateFailure, "cannot limit memory, swap", func(i *container.Info) { i.Unlimited = []string{"memory", "swap"} }},
		{"clock", stateOK, "2026", nil},
		{"clock", stateWarning, "30s apart", func(i *container.Info) { i.Clock = "2026-11-24T11:59:30Z" }},
		{"clock", stateFailure, "2026-11-24T15:00:00Z", func(i *container.Info) { i.Clock = "2026-11-24T15:00:00Z" }},
		{"clock", stateWarning, "does not say", func(i *container.Info) { i.Clock = "noon" }},
	} {
		info := well
		if tc.change != nil {
			tc.change(&info)
		}
		rows := daemonRows(info, now)
		i := slices.IndexFunc(rows, func(c check) bool { return c.Name == tc.row })
		if c := rows[i]; c.State != tc.state || !strings.Contains(c.Detail, tc.says) || c.State == stateFailure && c.Fix == "" {
			t.Errorf("%+v; want %s, %q", c, tc.state, tc.says)
		}
	}
}

func TestSpace(t *testing.T) {
	for _, tc := range []struct {
		free  uint64
		none  bool
		state string
	}{
		{5 << 30, false, stateOK}, {500 << 20, false, stateWarning}, {1 << 20, false, stateFailure}, {5 << 30, true, stateFailure},
	} {
		if c := spaceRow("/x", tc.free, tc.none); c.State != tc.state {
			t.Errorf("%+v: %+v", tc, c)
		}
	}
}

// TestModelRow asks a server: one call for each model, and what is wrong with it is the row.
func TestModelRow(t *testing.T) {
	fake := modeltest.NewAnthropic(t, modeltest.Answer{Text: "ready"})
	provider := fmt.Sprintf("[model]\nprovider = \"mine\"\n[providers.mine]\nkind = \"anthropic\"\nbase_url = %q\napi_key = { env = \"NANOCLAW_TEST_KEY\" }\n"+
		"[roles.other]\ndescription = \"x\"\nprompt = \"x\"\n", fake.URL)
	t.Setenv("NANOCLAW_TEST_KEY", modeltest.Key)
	examine := func(config string) check {
		p := newPatient(t, config)
		p.checkModel(t.Context())
		if len(p.checks) != 1 {
			t.Fatalf("%+v", p.checks)
		}
		return p.checks[0]
	}
	if c := examine(provider); c.State != stateOK || len(fake.Requests()) != 1 {
		t.Errorf("%+v after %d requests, want one for both roles", c, len(fake.Requests()))
	}
	if c := examine(""); c.State != stateWarning || c.Fix != "nanoclaw setup" {
		t.Errorf("%+v", c)
	}
	fake.Script(modeltest.Answer{Status: 404, Message: "no such model"})
	if c := examine(provider); c.State != stateFailure || !strings.Contains(c.Detail, "does not know model") {
		t.Errorf("%+v", c)
	}
	t.Setenv("NANOCLAW_TEST_KEY", "sk-ant-wrong-0123456789")
	if c := examine(provider); c.State != stateFailure || !strings.Contains(c.Detail, "key was refused") || strings.Contains(c.Detail, "sk-ant") {
		t.Errorf("%+v", c)
	}
}

// TestDoctorJSON: the shape that scripts may rely on, to the byte.
func TestDoctorJSON(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	if err := a.printJSON(examination{1, false, []check{ok("a", "is <well>"), failure("b", "mend it", errors.New("ill"))}}); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "schema": 1,
  "ok": false,
  "checks": [
    {
      "name": "a",
      "state": "ok",
      "detail": "is <well>"
    },
    {
      "name": "b",
      "state": "failure",
      "detail": "ill",
      "fix": "mend it"
    }
  ]
}
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

// TestFixModes closes what others can look into, and touches nothing through a symlink.
func TestFixModes(t *testing.T) {
	p := newPatient(t, "")
	if err := secret.Set(p.cfg.StateDir, "x", "long enough"); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(p.dir, "outside")
	write(t, outside, "x")
	if err := os.Symlink(outside, filepath.Join(p.cfg.StateDir, "secrets", "link")); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"state": 0o755, "state/secrets": 0o750, "state/secrets/x": 0o644, "outside": 0o644} {
		p.chmod(name, mode)
	}
	p.configPath, p.stateDir = p.cfg.Path, p.cfg.StateDir
	if err := p.fixModes(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{"state": 0o700, "state/secrets": 0o700, "state/secrets/x": 0o600, "outside": 0o644} {
		if st, err := os.Stat(filepath.Join(p.dir, name)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, st.Mode().Perm(), want)
		}
	}
}
