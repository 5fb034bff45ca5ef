package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// proxySocket makes a socket behind which the real Docker daemon is.
func proxySocket(t *testing.T, path, to string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	copyHalf := func(to, from *net.UnixConn) {
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
	}
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("unix", to)
			if err != nil {
				here.Close()
				continue
			}
			go copyHalf(there.(*net.UnixConn), here.(*net.UnixConn))
			go copyHalf(here.(*net.UnixConn), there.(*net.UnixConn))
		}
	}()
}

// TestRunWaitsForDocker: as at boot, when the daemon comes later; and a daemon that never comes is named.
func TestRunWaitsForDocker(t *testing.T) {
	endpoint, _, err := container.Endpoint()
	real, isSocket := strings.CutPrefix(endpoint, "unix://")
	if err != nil || !isSocket {
		t.Skipf("Docker is not at a socket here: %s %v", endpoint, err)
	}
	s := newSite(t, "")
	dir, err := os.MkdirTemp("", "ncd") // short: a socket's address has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	s.env = append(s.env, "DOCKER_HOST=unix://"+socket)

	out, err := s.cmd("run", "--wait-docker", "1s").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "timed out after 1s") || !strings.Contains(string(out), socket) {
		t.Errorf("without a daemon: %v: %s", err, out)
	}

	c := s.cmd("run", "--wait-docker", "5m")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	said := func() string {
		b, _ := os.ReadFile(log.Name())
		return string(b)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if t.Failed() {
			t.Logf("log of the host:\n%s", said())
		}
	})
	eventually(t, time.Minute, "it waits", func() bool { return strings.Contains(said(), "waiting for Docker") })
	if _, err := daemon.Dial(t.Context(), s.state); err == nil {
		t.Error("it takes messages without Docker")
	}
	proxySocket(t, socket, real)
	eventually(t, time.Minute, "it goes on", func() bool {
		_, err := daemon.Dial(t.Context(), s.state)
		return err == nil
	})
	if got := s.chat("what is 6*7"); !strings.HasPrefix(got, "42\n") {
		t.Errorf("chat said %q", got)
	}
}

// standIn is a systemctl that writes down what it is told, and does of it what matters: it runs what the
// unit says, and ends it.
const standIn = `#!/bin/sh
echo "$*" >> "$HOME/told"
unit="$HOME/.config/systemd/user/nanoclaw.service"
case "$*" in
*restart*) line=$(sed -n 's/^ExecStart=//p' "$unit"); eval "setsid $line >>\"$HOME/log\" 2>&1 &"; echo $! > "$HOME/pid" ;;
*disable*) kill "$(cat "$HOME/pid")" ;;
esac
`

// TestServiceOfAUser goes through all commands as a plain user of a machine that systemd runs, with a
// stand-in for its systemctl.
func TestServiceOfAUser(t *testing.T) {
	for _, tool := range []string{"unshare", "setpriv"} {
		if _, err := exec.LookPath(tool); err != nil || os.Getuid() != 0 {
			t.Skip("it takes root, unshare and setpriv to stand for another machine")
		}
	}
	s := newSite(t, "")
	base, err := os.MkdirTemp("", "nch") // it is /srv there, since no service may be of /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	home, tools := filepath.Join(base, "home"), filepath.Join(base, "tools")
	text, err := os.ReadFile(s.cfg)
	err = errors.Join(err, os.CopyFS(filepath.Join(base, "bin"), os.DirFS(s.bin)), os.Mkdir(home, 0o755), os.Mkdir(tools, 0o755))
	for path, text := range map[string]string{
		"home/nanoclaw.toml": strings.ReplaceAll(string(text), s.plugins, "/srv/home/plugins"),
		"tools/systemctl":    standIn, "tools/loginctl": "#!/bin/sh\nexit 1\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(base, path), []byte(text), 0o755))
	}
	err = errors.Join(err, os.CopyFS(filepath.Join(home, "plugins"), os.DirFS(s.plugins)), os.Chmod(base, 0o755))
	if out, e := exec.Command("chown", "-R", "65534:65534", home).CombinedOutput(); err != nil || e != nil {
		t.Fatal(err, string(out))
	}
	run := func(args ...string) (string, error) {
		c := exec.Command("unshare", append([]string{
			"--mount", "sh", "-c", "mount --bind " + base + " /srv && mount -t tmpfs none /run/systemd && " +
				`mkdir /run/systemd/system && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`, "sh",
			"/srv/bin/nanoclaw", "--config", "/srv/home/nanoclaw.toml", "--state", "/srv/home/state", "--runtime", "none", "service",
		}, args...)...)
		c.Env = []string{"HOME=/srv/home", "PATH=/srv/tools:/usr/bin:/bin", "USER=ada"}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	unit := filepath.Join(home, ".config/systemd/user/nanoclaw.service")
	printed, err := run("install", "--print")
	if _, e := os.Stat(unit); err != nil || !strings.Contains(printed, "ExecStart=/srv/bin/nanoclaw --config /srv/home/nanoclaw.toml") || e == nil {
		t.Fatalf("--print: %v: %s; written: %v", err, printed, e == nil)
	}
	for _, args := range []string{"status", "uninstall"} {
		if out, err := run(args); err == nil || !strings.Contains(out, "no service is installed") {
			t.Errorf("%s before: %v: %s", args, err, out)
		}
	}
	out, err := run("install")
	if err != nil || !strings.Contains(out, "The host runs and takes messages.") || !strings.Contains(out, "loginctl enable-linger ada") {
		log, _ := os.ReadFile(filepath.Join(home, "log"))
		t.Fatalf("install: %v: %s\n%s", err, out, log)
	}
	if b, err := os.ReadFile(unit); err != nil || string(b) != printed {
		t.Errorf("the unit is not what was printed: %v\n%s", err, b)
	}
	if out, err := run("status"); err != nil {
		t.Errorf("status: %v: %s", err, out)
	}
	if out, err := run("uninstall"); err != nil || !strings.Contains(out, "stay.") {
		t.Errorf("uninstall: %v: %s", err, out)
	}
	if _, err := os.Stat(unit); !os.IsNotExist(err) {
		t.Errorf("the unit is still there: %v", err)
	}
	told, _ := os.ReadFile(filepath.Join(home, "told"))
	want := "--user daemon-reload\n--user enable nanoclaw\n--user restart nanoclaw\n--user status --no-pager nanoclaw\n" +
		"--user disable --now nanoclaw\n--user daemon-reload\n"
	if string(told) != want {
		t.Errorf("systemctl was told\n%s\nwant\n%s", told, want)
	}
}

// bootable is a container that a real systemd runs.
type bootable struct {
	t  *testing.T
	id string
}

func boot(t *testing.T, mounts map[string]string) bootable {
	t.Helper()
	var root bytes.Buffer // what is not there comes from this machine's /usr
	w := tar.NewWriter(&root)
	users, err := os.ReadFile("/etc/passwd") // dbus has one, and systemd
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []tar.Header{
		{Name: "etc/systemd/system/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/machine-id", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(users))},
		{Name: "bin", Typeflag: tar.TypeSymlink, Linkname: "usr/bin"},
		{Name: "sbin", Typeflag: tar.TypeSymlink, Linkname: "usr/sbin"},
		{Name: "lib", Typeflag: tar.TypeSymlink, Linkname: "usr/lib"},
		{Name: "lib64", Typeflag: tar.TypeSymlink, Linkname: "usr/lib64"},
	} {
		err := w.WriteHeader(&h)
		if h.Size > 0 {
			_, _ = w.Write(users)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	load := exec.Command("docker", "import", "-")
	load.Stdin = &root
	var image []byte
	image, err = load.Output()
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimSpace(string(image))
	args := []string{
		"run", "-d", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
		"--network", "none", "-e", "container=docker", "-v", "/usr:/usr:ro", "--tmpfs", "/run", "--tmpfs", "/tmp",
	}
	for from, to := range mounts {
		args = append(args, "-v", from+":"+to)
	}
	if _, err := os.Stat("/sys/fs/cgroup/systemd"); err == nil { // cgroups of version 1
		args = append(args, "-v", "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd")
	} else {
		args = append(args, "--cgroupns", "private", "-v", "/sys/fs/cgroup:/sys/fs/cgroup")
	}
	id, err := exec.Command("docker", append(args, name, "/usr/lib/systemd/systemd", "--log-target=console")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	m := bootable{t, strings.TrimSpace(string(id))}
	t.Cleanup(func() {
		if out, _ := exec.Command("docker", "logs", m.id).CombinedOutput(); t.Failed() {
			t.Logf("systemd:\n%s", out)
		}
		_ = exec.Command("docker", "rm", "-f", m.id).Run()
		_ = exec.Command("docker", "rmi", name).Run()
	})
	m.booted()
	return m
}

func (m bootable) booted() {
	m.t.Helper()
	eventually(m.t, time.Minute, "systemd runs the machine", func() bool {
		out, _ := m.run("systemctl", "is-system-running")
		return strings.TrimSpace(out) == "running"
	})
}

func (m bootable) run(args ...string) (string, error) {
	out, err := exec.Command("docker", append([]string{"exec", "-e", "HOME=/root", m.id}, args...)...).CombinedOutput()
	return string(out), err
}

// TestServiceUnderSystemd: a real systemd starts the host with all that the unit forbids it, starts it again
// when it dies and when the machine boots, shows its log, and forgets it.
func TestServiceUnderSystemd(t *testing.T) {
	if os.Getenv("NANOCLAW_TEST_SYSTEMD") == "" {
		t.Skip("NANOCLAW_TEST_SYSTEMD=1 runs this machine's systemd in a container with CAP_SYS_ADMIN")
	}
	s := newSite(t, "")
	text, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg, strings.ReplaceAll(string(text), s.plugins, "/srv/plugins"))
	m := boot(t, map[string]string{
		s.bin: "/srv/bin:ro", s.plugins: "/srv/plugins", filepath.Dir(s.cfg): "/srv/etc", s.state: "/srv/state",
	})
	nanoclaw := func(args ...string) (string, error) {
		return m.run(append([]string{
			"/srv/bin/nanoclaw", "--config", "/srv/etc/nanoclaw.toml", "--state", "/srv/state", "--runtime", "none",
		}, args...)...)
	}
	says := func(want string, args ...string) string {
		t.Helper()
		out, err := nanoclaw(args...)
		if err != nil || !regexp.MustCompile(want).MatchString(out) {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
		return out
	}
	pid := func() string {
		out, _ := nanoclaw("status")
		return regexp.MustCompile(`pid \d+`).FindString(out)
	}
	says(`The host runs and takes messages`, "service", "install")
	says(`active \(running\)`, "service", "status")
	first := pid()
	if out, err := m.run("systemctl", "kill", "-s", "KILL", "nanoclaw"); err != nil {
		t.Fatal(out)
	}
	eventually(t, time.Minute, "it is started again", func() bool { p := pid(); return p != "" && p != first })
	says(`ready`, "service", "logs")
	if out, err := exec.Command("docker", "restart", m.id).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	m.booted()
	eventually(t, time.Minute, "it starts at boot", func() bool { return pid() != "" })
	says(`stay`, "service", "uninstall")
	if out, _ := nanoclaw("status"); !strings.Contains(out, "start one with 'nanoclaw run'") {
		t.Errorf("after uninstall: %s", out)
	}
	if out, err := m.run("systemctl", "status", "nanoclaw"); err == nil || !strings.Contains(out, "could not be found") {
		t.Errorf("systemd still knows it: %v: %s", err, fmt.Sprint(out))
	}
}
