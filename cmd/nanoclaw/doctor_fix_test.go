package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// machine is a computer for setup to work on: a file tree, and what its programs would do.
type machine struct {
	t      *testing.T
	root   string
	up     bool            // a daemon answers
	hung   error           // what asking says while none does
	works  map[string]bool // commands that succeed and what they bring about
	dies   bool            // dockerd exits at once
	answer bool            // of the user
	did    []string
	said   []string
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	full := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) has(path string) bool {
	_, err := os.Stat(filepath.Join(m.root, path))
	return err == nil
}

func (m *machine) setup() *setup {
	return &setup{
		goos: "linux", uid: 0, root: m.root, endpoint: localEndpoint, source: "the default", patience: 100 * time.Millisecond,
		ping: func(context.Context) error {
			if m.up {
				return nil
			}
			return m.hung
		},
		look: func(name string) (string, error) {
			if m.has("/usr/sbin/" + name) {
				return "/usr/sbin/" + name, nil
			}
			return "", fs.ErrNotExist
		},
		run: m.run,
		spawn: func(name string, log *os.File) (<-chan error, error) {
			m.did = append(m.did, "spawn "+name)
			exited := make(chan error, 1)
			if m.dies {
				fmt.Fprintln(log, "failed to create NAT chain")
				exited <- errors.New("exit status 1")
			} else {
				m.up = true
			}
			return exited, nil
		},
		confirm: func(string) (bool, error) { m.did = append(m.did, "ask"); return m.answer, nil },
		say:     func(s string) { m.said = append(m.said, s) },
	}
}

func (m *machine) run(_ context.Context, name string, args ...string) error {
	line := strings.Join(append([]string{name}, args...), " ")
	if name == "apt-get" && !m.has("/run/systemd/system") && !m.has("/usr/sbin/policy-rc.d") {
		line += " (and its init script starts it)"
	}
	m.did = append(m.did, line)
	switch {
	case !m.works[name]:
		return errors.New("exit status 1: no luck")
	case slices.Contains(args, gVisor):
		m.write("/usr/sbin/"+gVisor, "")
	case name == "kill":
		m.up = true
	case slices.Contains(args, "install"):
		m.write("/usr/sbin/dockerd", "")
	case name == "service" || name == "systemctl":
		m.up = true
	}
	return nil
}

// TestFix is the table of machines: what is done to each, and what is said.
func TestFix(t *testing.T) {
	const (
		debian  = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"
		mint    = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"
		fedora  = "PRETTY_NAME=\"Fedora Linux 43\"\nID=fedora\n"
		update  = "apt-get -qq update"
		install = "apt-get -qq install -y --no-install-recommends docker.io"
		spawn   = "spawn /usr/sbin/dockerd"
	)
	all := map[string]bool{"apt-get": true, "service": true, "systemctl": true}
	for _, tc := range []struct {
		name    string
		machine machine
		files   map[string]string
		change  func(*setup)
		did     []string
		err     string // part of the error, "" = none
	}{
		{"a daemon answers", machine{up: true}, nil, nil, nil, ""},
		{
			"bare Debian with an init script",
			machine{works: all, answer: true},
			map[string]string{"/etc/os-release": debian, "/etc/init.d/docker": ""},
			nil,
			[]string{"ask", update, install, "service docker start"},
			"",
		},
		{
			"the init script fails",
			machine{works: map[string]bool{"apt-get": true}, answer: true},
			map[string]string{"/etc/os-release": mint, "/etc/init.d/docker": ""},
			nil,
			[]string{"ask", update, install, "service docker start", spawn},
			"",
		},
		{
			"installed, stale pid file, no service",
			machine{answer: true},
			map[string]string{
				"/etc/os-release": debian, "/usr/sbin/dockerd": "", "/var/run/docker.pid": "77", "/proc/77/comm": "bash\n",
			},
			nil,
			[]string{"ask", spawn},
			"",
		},
		{
			"systemd",
			machine{works: all, answer: true},
			map[string]string{"/etc/os-release": debian, "/run/systemd/system/x": ""},
			nil,
			[]string{"ask", update, install, "systemctl start docker"},
			"",
		},
		{
			"nothing can be installed",
			machine{answer: true},
			map[string]string{"/etc/os-release": debian},
			nil,
			[]string{"ask", update, install},
			"install docker.io: exit status 1: no luck",
		},
		{
			"dockerd does not come up",
			machine{dies: true, answer: true},
			map[string]string{"/etc/os-release": debian, "/usr/sbin/dockerd": ""},
			nil,
			[]string{"ask", spawn},
			"failed to create NAT chain",
		},
		{
			"the user says no", machine{}, map[string]string{"/etc/os-release": debian}, nil, []string{"ask"}, errDeclined.Error(),
		},
		{
			"DOCKER_HOST points elsewhere",
			machine{works: all, answer: true},
			map[string]string{"/etc/os-release": debian},
			func(s *setup) { s.endpoint, s.source = "tcp://10.0.0.9:2376", "DOCKER_HOST" }, nil, "DOCKER_HOST says that Docker is at tcp://10.0.0.9:2376",
		},
		{
			"no permission",
			machine{works: all, answer: true, hung: fs.ErrPermission},
			map[string]string{"/etc/os-release": debian},
			nil, nil, "usermod -aG docker",
		},
		{
			"a daemon that hangs",
			machine{works: all, answer: true},
			map[string]string{"/etc/os-release": debian, "/var/run/docker.pid": "78\n", "/proc/78/comm": "dockerd\n"},
			nil, nil, "dockerd (pid 78) is running but does not answer",
		},
		{"not root", machine{works: all}, map[string]string{"/etc/os-release": debian}, func(s *setup) { s.uid = 1000 }, nil, "sudo apt-get install docker.io"},
		{
			"not root, stopped",
			machine{works: all},
			map[string]string{"/etc/os-release": debian, "/usr/sbin/dockerd": ""},
			func(s *setup) { s.uid = 1000 }, nil, "sudo systemctl start docker",
		},
		{"another Linux", machine{works: all}, map[string]string{"/etc/os-release": fedora}, nil, nil, "install Docker Engine for Fedora Linux 43"},
		{"a Mac", machine{works: all}, nil, func(s *setup) { s.goos = "darwin" }, nil, "OrbStack or Colima"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := tc.machine
			m.t, m.root = t, t.TempDir()
			if m.hung == nil {
				m.hung = errors.New("connection refused")
			}
			m.write("/usr/sbin/true", "")
			m.write("/var/log/syslog", "")
			for path, text := range tc.files {
				m.write(path, text)
			}
			s := m.setup()
			if tc.change != nil {
				tc.change(s)
			}
			err := s.ensureDaemon(t.Context())
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if !slices.Equal(m.did, tc.did) {
				t.Errorf("did  %q\nwant %q", m.did, tc.did)
			}
			if len(m.did) > 0 && (len(m.said) == 0 || !strings.Contains(m.said[0], "This will")) {
				t.Errorf("acted without saying what it will do: %q", m.said)
			}
			if m.has("/usr/sbin/policy-rc.d") {
				t.Error("left /usr/sbin/policy-rc.d behind: services of later packages would not start")
			}
		})
	}
}

// A daemon that is still coming up is waited for, and nothing is started beside it.
func TestFixWaitsForDaemon(t *testing.T) {
	m := &machine{t: t, root: t.TempDir(), hung: errors.New("connection refused")}
	m.write("/var/run/docker.pid", "79")
	m.write("/proc/79/comm", "dockerd\n")
	s := m.setup()
	s.patience = time.Minute
	asked := 0
	s.ping = func(context.Context) error {
		if asked++; asked > 2 {
			return nil
		}
		return m.hung
	}
	if err := s.ensureDaemon(t.Context()); err != nil || len(m.did) > 0 {
		t.Errorf("err %v, did %q", err, m.did)
	}
}

// A policy that was there before stays.
func TestFixKeepsPolicy(t *testing.T) {
	m := &machine{t: t, root: t.TempDir(), works: map[string]bool{"apt-get": true, "service": true}}
	m.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n")
	if err := m.setup().install(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if !m.has("/usr/sbin/policy-rc.d") {
		t.Error("removed a policy-rc.d that was not its own")
	}
}

// A daemon gets no key of this process.
func TestSystemEnv(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-secret")
	t.Setenv("HTTPS_PROXY", "http://proxy:3128")
	env := systemEnv()
	if !slices.Contains(env, "HTTPS_PROXY=http://proxy:3128") {
		t.Errorf("the proxy is missing from %q", env)
	}
	if strings.Contains(strings.Join(env, "\n"), "sk-secret") {
		t.Errorf("the environment of daemons holds a key: %q", env)
	}
}

// TestFixGVisor: what a daemon.json said before stays in it, and beside it.
func TestFixGVisor(t *testing.T) {
	const kept = `{"runtimes": {"kata": {"path": "/k"}}, "default-shm-size": 12345678901234567890, "x": {"b": 1, "a": [null]}}`
	for name, tc := range map[string]struct {
		files  map[string]string
		uid    int
		refuse bool
		err    string
		holds  []string
	}{
		"nothing there":    {holds: []string{`"runsc"`, `"--network=none"`}},
		"kept":             {files: map[string]string{daemonJSON: kept}, holds: []string{`"kata"`, "12345678901234567890", `"b": 1`, `"runsc"`}},
		"there already":    {files: map[string]string{"/usr/sbin/runsc": ""}, holds: []string{`"runsc"`}},
		"broken":           {files: map[string]string{daemonJSON: "{"}, err: "unexpected end of JSON", holds: []string{"{"}},
		"odd":              {files: map[string]string{daemonJSON: `{"runtimes": 3}`}, err: "cannot unmarshal", holds: []string{`{"runtimes": 3}`}},
		"not root":         {uid: 1000, err: "only root"},
		"the user said no": {refuse: true, err: errDeclined.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{t: t, root: t.TempDir(), works: map[string]bool{"apt-get": true, "kill": true}, hung: errors.New("unknown"), answer: !tc.refuse}
			m.write("/var/run/docker.pid", "79")
			m.write("/proc/79/comm", "dockerd\n")
			for path, text := range tc.files {
				m.write(path, text)
			}
			s := m.setup()
			s.uid = tc.uid
			err := s.ensureGVisor(t.Context())
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			got, _ := os.ReadFile(filepath.Join(m.root, daemonJSON))
			for _, part := range tc.holds {
				if !strings.Contains(string(got), part) {
					t.Errorf("daemon.json lacks %s: %s", part, got)
				}
			}
			if len(tc.holds) == 0 && len(got) > 0 {
				t.Errorf("daemon.json was written: %s", got)
			}
			if before, had := tc.files[daemonJSON]; had && tc.err == "" {
				if b, err := os.ReadFile(filepath.Join(m.root, daemonJSON+".before-nanoclaw")); err != nil || string(b) != before {
					t.Errorf("no copy of what was there: %q, %v", b, err)
				}
			}
			if hup := slices.Contains(m.did, "kill -HUP 79"); hup != (tc.err == "") {
				t.Errorf("did %q", m.did)
			}
			if installed := len(m.did) > 2; tc.files["/usr/sbin/runsc"] != "" && installed {
				t.Errorf("installed what was there: %q", m.did)
			}
		})
	}
}
