package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// setup makes a Docker daemon answer. Nothing else in this program installs anything or
// starts a daemon, and this does so only where nothing of the kind is there: it never
// starts a second daemon, and none where the user's settings point elsewhere.
//
// Its functions are what it does to the machine; a test gives it a machine of its own.
type setup struct {
	goos     string
	uid      int
	root     string // where the machine's files are: "/" but in tests
	endpoint string
	source   string // why that endpoint
	patience time.Duration

	ping    func(context.Context) error // nil once a daemon answers on endpoint
	look    func(string) (string, error)
	run     func(ctx context.Context, name string, args ...string) error
	spawn   func(name string, log *os.File) (exited <-chan error, err error)
	confirm func(question string) (bool, error)
	say     func(string)
}

// localEndpoint is the only one at which a daemon is ever started.
const localEndpoint = "unix:///var/run/docker.sock"

// errDeclined ends a fix that the user did not want.
var errDeclined = errors.New("left as it is")

func (s *setup) ensureDaemon(ctx context.Context) error {
	why := s.ping(ctx)
	if why == nil {
		return nil
	}
	if errors.Is(why, os.ErrPermission) {
		return fmt.Errorf("%w: this user may not use %s: run 'sudo usermod -aG docker %s' and log in again",
			host.ErrDenied, s.endpoint, userName())
	}
	if s.endpoint != localEndpoint {
		return fmt.Errorf("%s says that Docker is at %s: start that daemon or point elsewhere, "+
			"none is started here in its place: %w", s.source, s.endpoint, why)
	}
	if pid := s.runningDaemon(); pid != 0 {
		s.say(fmt.Sprintf("dockerd is running (pid %d) but does not answer yet; waiting", pid))
		if err := s.await(ctx, s.patience, nil); err != nil {
			return fmt.Errorf("%w: dockerd (pid %d) is running but does not answer; "+
				"look at its log and restart it, a second one is never started beside it", host.ErrUnavailable, pid)
		}
		return nil
	}
	if advice := s.advice(); advice != "" {
		return fmt.Errorf("%w: no Docker daemon answers; %s", host.ErrUnavailable, advice)
	}
	return s.installAndStart(ctx)
}

// advice says what a person has to do where this program does nothing itself.
func (s *setup) advice() string {
	const again = ", then run this again"
	if s.goos == "darwin" {
		return "install and start Docker Desktop, OrbStack or Colima (brew install colima docker && colima start)" + again
	}
	release := s.osRelease()
	_, missing := s.look("dockerd")
	switch {
	case s.goos != "linux":
		return "NanoClaw needs Linux or macOS; on Windows, use it inside WSL"
	case !release.debian:
		what := "install Docker Engine for " + release.name + " (https://docs.docker.com/engine/install/) and start it"
		if missing == nil {
			what = "start it (on most systems: sudo systemctl start docker)"
		}
		return what + again
	case s.uid != 0 && missing != nil:
		return "run 'sudo apt-get install docker.io && sudo usermod -aG docker " + userName() +
			"', log in again" + again
	case s.uid != 0:
		return "run 'sudo systemctl start docker' or 'sudo service docker start'" + again
	}
	return ""
}

func (s *setup) installAndStart(ctx context.Context) error {
	_, missing := s.look("dockerd")
	systemd := s.exists("/run/systemd/system")
	plan := "No Docker daemon answers on " + s.endpoint + ". This will\n"
	if missing != nil {
		plan += "  - install the package docker.io of this system (apt-get)\n"
	}
	if systemd {
		plan += "  - start it (systemctl start docker)\n"
	} else {
		plan += "  - start it (service docker start or, if that fails, dockerd itself, logging to " + daemonLog + ")\n"
	}
	s.say(strings.TrimSuffix(plan, "\n"))
	if ok, err := s.confirm("Go on?"); err != nil {
		return err
	} else if !ok {
		return errDeclined
	}
	if missing != nil {
		if err := s.install(ctx, systemd); err != nil {
			return err
		}
	}
	if systemd {
		return s.startService(ctx, "systemctl", "start", "docker")
	}
	if s.exists("/etc/init.d/docker") {
		err := s.startService(ctx, "service", "docker", "start")
		if err == nil {
			return nil
		}
		s.say("the init script did not bring it up: " + err.Error())
	}
	return s.startDaemon(ctx)
}

// install installs docker.io. Without systemd the package must not start the daemon: where
// its init script fails, the whole installation would fail with it and leave apt broken.
func (s *setup) install(ctx context.Context, systemd bool) error {
	s.say("installing docker.io")
	policy := s.path("/usr/sbin/policy-rc.d")
	if !systemd && !s.exists("/usr/sbin/policy-rc.d") {
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return fmt.Errorf("install docker.io: %w", err)
		}
		defer os.Remove(policy)
	}
	if err := s.run(ctx, "apt-get", "-qq", "update"); err != nil {
		s.say("apt-get update failed, going on with the lists that are there: " + err.Error())
	}
	if err := s.run(ctx, "apt-get", "-qq", "install", "-y", "--no-install-recommends", "docker.io"); err != nil {
		return fmt.Errorf("install docker.io: %w", err)
	}
	return nil
}

func (s *setup) startService(ctx context.Context, name string, args ...string) error {
	command := name + " " + strings.Join(args, " ")
	s.say("starting Docker: " + command)
	bounded, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if err := s.run(bounded, name, args...); err != nil {
		if s.runningDaemon() == 0 {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	// A daemon that the service started and that is slow is waited for; nothing is started beside it.
	first := s.await(ctx, s.patience/4, nil)
	if first == nil || s.runningDaemon() == 0 {
		return wrapNil(command, first)
	}
	return wrapNil(command, s.await(ctx, s.patience, nil))
}

// daemonLog is where a dockerd that this program starts writes.
const daemonLog = "/var/log/dockerd.log"

// startDaemon starts dockerd in a session of its own. It writes its pid where every
// dockerd does, so the next run finds it.
func (s *setup) startDaemon(ctx context.Context) error {
	if pid := s.runningDaemon(); pid != 0 {
		return fmt.Errorf("%w: dockerd (pid %d) is running but does not answer; look at its log", host.ErrUnavailable, pid)
	}
	path, err := s.look("dockerd")
	if err != nil {
		return fmt.Errorf("%w: dockerd is not installed", host.ErrNotFound)
	}
	// A pid file whose process is no dockerd is left over from a crash, and would stop this one.
	if err := os.Remove(s.path("/var/run/docker.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("start dockerd: %w", err)
	}
	log, err := os.OpenFile(s.path(daemonLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	defer log.Close()
	s.say("starting dockerd; it logs to " + daemonLog)
	exited, err := s.spawn(path, log)
	if err != nil {
		return fmt.Errorf("start dockerd: %w", err)
	}
	if err := s.await(ctx, s.patience, exited); err != nil {
		return fmt.Errorf("%w: dockerd did not come up: %w; %s ends with:\n%s",
			host.ErrUnavailable, err, daemonLog, s.tail(daemonLog))
	}
	return nil
}

// await asks until the daemon answers, it exits, or patience ends.
func (s *setup) await(ctx context.Context, patience time.Duration, exited <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		why := s.ping(ctx)
		if why == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w after %v: %w", host.ErrTimeout, patience, why)
		case err := <-exited:
			return fmt.Errorf("it exited: %w", errors.Join(err, host.ErrCrashed))
		case <-tick.C:
		}
	}
}

// runningDaemon is the pid of the dockerd that the pid file names, 0 if there is none.
func (s *setup) runningDaemon() int {
	b, err := os.ReadFile(s.path("/var/run/docker.pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return 0
	}
	comm, err := os.ReadFile(s.path(fmt.Sprintf("/proc/%d/comm", pid)))
	if err != nil || strings.TrimSpace(string(comm)) != "dockerd" {
		return 0
	}
	return pid
}

// release is what matters of /etc/os-release.
type release struct {
	name   string
	debian bool // Debian, Ubuntu or made from them
}

func (s *setup) osRelease() release {
	r := release{name: "this system"}
	b, err := os.ReadFile(s.path("/etc/os-release"))
	if err != nil {
		return r
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "PRETTY_NAME":
			r.name = value
		case "ID", "ID_LIKE":
			words := strings.Fields(value)
			r.debian = r.debian || slices.Contains(words, "debian") || slices.Contains(words, "ubuntu")
		}
	}
	return r
}

func (s *setup) path(p string) string { return filepath.Join(s.root, p) }

func (s *setup) exists(p string) bool {
	_, err := os.Stat(s.path(p))
	return err == nil
}

// tail is the last lines of a log.
func (s *setup) tail(p string) string {
	b, err := os.ReadFile(s.path(p))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b[max(0, len(b)-4096):])), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], "\n")
}

// newSetup is the setup of this machine.
func (a *app) newSetup(endpoint, source string, yes bool, ping func(context.Context) error) *setup {
	return &setup{
		goos: runtime.GOOS, uid: os.Getuid(), root: "/", endpoint: endpoint, source: source, patience: time.Minute,
		ping: ping, look: lookSystem, run: runQuietly, spawn: spawnDetached,
		confirm: func(q string) (bool, error) { return a.confirm(q, yes) },
		say:     func(s string) { fmt.Fprintln(a.stderr, s) },
	}
}

// lookSystem finds a program, also where a plain user's PATH does not look.
func lookSystem(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	return exec.LookPath("/usr/sbin/" + name)
}

// runQuietly runs a command of the system and shows its words only when it fails.
func runQuietly(ctx context.Context, name string, args ...string) error {
	path, err := lookSystem(name)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(systemEnv(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 2 * time.Second // a daemon that it leaves behind may keep the pipe open
	err = cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	if text := strings.TrimSpace(out.String()); text != "" {
		return fmt.Errorf("%w: %s", err, text[max(0, len(text)-600):])
	}
	return err
}

// spawnDetached starts a daemon that outlives this process and its terminal.
func spawnDetached(path string, log *os.File) (<-chan error, error) {
	cmd := exec.Command(path)
	cmd.Dir, cmd.Env = "/", systemEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	return exited, nil
}

// systemEnv is what a daemon gets of this process's environment: where things are and how
// to reach the network, and no key.
func systemEnv() []string {
	env := []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin"}
	for _, k := range strings.Fields("HOME LANG HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy") {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

func userName() string {
	if u := os.Getenv("USER"); u != "" {
		return u
	}
	return "$USER"
}

func wrapNil(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
