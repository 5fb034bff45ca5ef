package service

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

var update = flag.Bool("update", false, "write the golden files")

func example(system bool) Unit {
	return Unit{
		Command: []string{
			"/opt/nano claw/nanoclaw", "--config", "/home/ada/100% $HOME/nano\"claw.toml", "--state", "/home/ada/state",
			"run", "--wait-docker", "10m0s",
		},
		Env:    map[string]string{"HOME": "/home/ada", "DOCKER_HOST": "unix:///run/user/1000/docker.sock"},
		Writes: []string{"/home/ada/state", "/home/ada/my plugins"},
		System: system, Log: "/home/ada/state/service.log",
	}
}

// TestGolden: what is written, to the byte; -update writes it anew.
func TestGolden(t *testing.T) {
	for name, text := range map[string]string{
		"user.service": example(false).Systemd(), "system.service": example(true).Systemd(), "agent.plist": example(false).Launchd(),
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || string(want) != text {
			t.Errorf("%s: %v; it is now\n%s", name, err, text)
		}
	}
}

// TestSystemdVerifies asks systemd itself, where it is: no unknown directive, nothing that it cannot
// read, and little exposure.
func TestSystemdVerifies(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not here; the golden files are compared all the same")
	}
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	for _, system := range []bool{true, false} {
		u := example(system)
		u.Command[0] = program
		path := filepath.Join(t.TempDir(), "nanoclaw.service")
		if err := os.WriteFile(path, []byte(u.Systemd()), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"verify", "--man=no", path}
		if !system {
			args = append([]string{"--user"}, args...)
		}
		c := exec.Command("systemd-analyze", args...)
		c.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
		if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "nanoclaw.service") {
			t.Errorf("system %v: %v: %s", system, err, out)
		}
		if !system {
			continue
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=30", path).CombinedOutput()
		if err != nil {
			t.Errorf("more exposed than 3.0: %v: %s", err, out)
		}
	}
}

// TestPlistIsXML: and has the arguments that were given.
func TestPlistIsXML(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(example(false).Launchd()))
	var said []string
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := tok.(xml.CharData); ok && len(bytes.TrimSpace(s)) > 0 {
			said = append(said, string(s))
		}
	}
	for _, want := range example(false).Command {
		if !slices.Contains(said, want) {
			t.Errorf("%q is not in %q", want, said)
		}
	}
}

func TestRefusedUnits(t *testing.T) {
	for want, change := range map[string]func(*Unit){
		"control character":      func(u *Unit) { u.Command[2] = "/a\nExecStartPre=/bin/evil" },
		"a control character":    func(u *Unit) { u.Env["PATH"] = "/a\x00" },
		"/tmp/x/state is in a":   func(u *Unit) { u.Writes[0] = "/tmp/x/state" },
		"/var/tmp/y is in a dir": func(u *Unit) { u.Command[2] = "/var/tmp/y" },
	} {
		u := example(true)
		change(&u)
		if _, err := (&Machine{GOOS: "linux"}).File(u); !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// lab is a machine whose service manager writes down what it is asked.
func lab(t *testing.T, goos string, uid int) (*Machine, *[]string) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	did := &[]string{}
	return &Machine{
		GOOS: goos, UID: uid, Root: root, Home: filepath.Join(root, "home"), User: "ada",
		Look: func(string) (string, error) { return "/bin/x", nil },
		Run: func(_ context.Context, name string, args ...string) error {
			*did = append(*did, strings.Join(append([]string{name}, args...), " "))
			return nil
		},
		Say: func(s string) { *did = append(*did, "say "+s) },
	}, did
}

func TestInstallAndUninstall(t *testing.T) {
	for name, tc := range map[string]struct {
		goos string
		uid  int
		path string
		did  []string
		gone []string
	}{
		"system": {
			"linux", 0, "etc/systemd/system/nanoclaw.service",
			[]string{"systemctl daemon-reload", "systemctl enable nanoclaw", "systemctl restart nanoclaw"},
			[]string{"systemctl disable --now nanoclaw", "systemctl daemon-reload"},
		},
		"user": {
			"linux", 1000, "home/.config/systemd/user/nanoclaw.service",
			[]string{
				"systemctl --user daemon-reload", "systemctl --user enable nanoclaw", "systemctl --user restart nanoclaw",
				"loginctl enable-linger ada",
			},
			[]string{"systemctl --user disable --now nanoclaw", "systemctl --user daemon-reload"},
		},
		"mac": {
			"darwin", 501, "home/Library/LaunchAgents/com.nanoclaw.plist",
			[]string{"launchctl bootout gui/501/com.nanoclaw", "launchctl bootstrap gui/501 PATH"},
			[]string{"launchctl bootout gui/501/com.nanoclaw"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, did := lab(t, tc.goos, tc.uid)
			if err := m.Uninstall(t.Context()); !errors.Is(err, host.ErrNotFound) {
				t.Errorf("uninstall of nothing: %v", err)
			}
			path := filepath.Join(m.Root, tc.path)
			check := func(what string, want []string) {
				t.Helper()
				var ran []string
				for _, s := range *did {
					if !strings.HasPrefix(s, "say ") {
						ran = append(ran, strings.ReplaceAll(s, path, "PATH"))
					}
				}
				if !slices.Equal(ran, want) {
					t.Errorf("%s ran %q, want %q", what, ran, want)
				}
				*did = nil
			}
			for range 2 { // again is the same
				if err := m.Install(t.Context(), example(m.System())); err != nil {
					t.Fatal(err)
				}
				check("install", tc.did)
			}
			if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), mark) {
				t.Fatal(string(text), err)
			}
			if err := m.Uninstall(t.Context()); err != nil {
				t.Fatal(err)
			}
			check("uninstall", tc.gone)
			if _, err := os.Stat(path); err == nil {
				t.Error("the file stayed")
			}
		})
	}
}

// TestStrangersFileStays: a unit of that name that was not made here.
func TestStrangersFileStays(t *testing.T) {
	m, did := lab(t, "linux", 0)
	if err := os.MkdirAll(filepath.Dir(m.Path()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(), []byte("[Service]\nExecStart=/bin/mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"install": m.Install(t.Context(), example(true)), "uninstall": m.Uninstall(t.Context()), "status": m.Status(t.Context()),
	} {
		if !errors.Is(err, host.ErrDenied) || !strings.Contains(err.Error(), m.Path()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b, _ := os.ReadFile(m.Path()); !strings.Contains(string(b), "/bin/mine") || len(*did) > 0 {
		t.Errorf("%s, did %q", b, *did)
	}
}

// TestMachinesWithout: each says what to do instead.
func TestMachinesWithout(t *testing.T) {
	for want, change := range map[string]func(*Machine){
		"systemd does not run this machine": func(m *Machine) { os.RemoveAll(filepath.Join(m.Root, "run")) },
		"neither systemd nor launchd":       func(m *Machine) { m.GOOS = "openbsd" },
		"without sudo":                      func(m *Machine) { m.GOOS = "darwin" },
		"systemctl is not installed": func(m *Machine) {
			m.Look = func(string) (string, error) { return "", errors.New("no") }
		},
		"systemctl daemon-reload: no luck": func(m *Machine) {
			m.Run = func(context.Context, string, ...string) error { return errors.New("no luck") }
		},
	} {
		m, _ := lab(t, "linux", 0)
		change(m)
		if err := m.Install(t.Context(), example(true)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestLogsAndStatus(t *testing.T) {
	m, did := lab(t, "linux", 1000)
	if err := errors.Join(m.Install(t.Context(), example(false))); err != nil {
		t.Fatal(err)
	}
	*did = nil
	if err := errors.Join(m.Logs(t.Context(), 7, true), m.Status(t.Context())); err != nil {
		t.Fatal(err)
	}
	want := []string{"journalctl --user --no-pager -n 7 -u nanoclaw -f", "systemctl --user status --no-pager nanoclaw"}
	if !slices.Equal(*did, want) {
		t.Errorf("%q, want %q", *did, want)
	}
	m.Look = func(name string) (string, error) {
		if name == "journalctl" {
			return "", fmt.Errorf("%s: not here", name)
		}
		return "/bin/x", nil
	}
	if err := m.Logs(t.Context(), 7, false); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("without a journal: %v, want the host's log file", err)
	}
}
