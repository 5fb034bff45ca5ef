package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// privateDocker is a Docker daemon of this test alone: own network namespace (a second one
// in the same would delete the first one's bridge), socket and data.
type privateDocker struct {
	t    *testing.T
	dir  string
	host string // DOCKER_HOST
	cmd  *exec.Cmd
}

func newPrivateDocker(t *testing.T) *privateDocker {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("starting a Docker daemon needs root")
	}
	dir, err := os.MkdirTemp("", "ncd") // short: its socket's address has a limit
	if err != nil {
		t.Fatal(err)
	}
	d := &privateDocker{t: t, dir: dir, host: "unix://" + filepath.Join(dir, "d.sock")}
	t.Cleanup(func() { d.stop(); os.RemoveAll(dir) })
	d.start()
	return d
}

func (d *privateDocker) start() {
	d.t.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command("dockerd", "--host", d.host, "--data-root", filepath.Join(d.dir, "data"),
		"--exec-root", filepath.Join(d.dir, "exec"), "--pidfile", filepath.Join(d.dir, "pid"),
		"--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	eventually(d.t, 2*time.Minute, "the private Docker daemon answers", func() bool {
		return exec.Command("docker", "--host", d.host, "version").Run() == nil
	})
}

func (d *privateDocker) stop() {
	if d.cmd == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { defer close(done); _ = d.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		_ = d.cmd.Process.Kill()
		<-done
	}
	d.cmd = nil
}

// TestOrdinaryUserWithDocker: no root, only the docker group; everything the host keeps is
// this user's alone, and agents run as this user.
func TestOrdinaryUserWithDocker(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute: in make test-all")
	}
	if os.Getuid() != 0 {
		t.Skip("runs as an ordinary user already")
	}
	socket, err := os.Stat("/var/run/docker.sock")
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, "")
	home, err := os.MkdirTemp("", "nanoclaw-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	const uid = 12345
	s.user = &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{socket.Sys().(*syscall.Stat_t).Gid}}
	s.env = []string{"HOME=" + home, "TMPDIR=" + home}
	cfg, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.cfg, s.state = filepath.Join(home, "nanoclaw.toml"), filepath.Join(home, "state")
	write(t, s.cfg, string(cfg))
	if err := os.Chown(home, uid, uid); err != nil {
		t.Fatal(err)
	}
	got := s.chat("/calc 6*7", "remember that the user is ordinary", "list my notes")
	if !strings.Contains(got, "42") || strings.Count(got, "the user is ordinary") < 2 {
		t.Fatalf("chat said %q", got)
	}
	st, err := os.Stat(s.state)
	if err != nil || st.Mode().Perm() != 0o700 || st.Sys().(*syscall.Stat_t).Uid != uid {
		t.Fatalf("state: %v %v", st, err)
	}
	notes, err := filepath.Glob(filepath.Join(s.state, "workspaces", "*", "notes", "*.md"))
	if err != nil || len(notes) != 1 {
		t.Fatalf("notes %v, %v", notes, err)
	}
	if st, err := os.Stat(notes[0]); err != nil || st.Sys().(*syscall.Stat_t).Uid != uid {
		t.Fatalf("the note belongs to somebody else: %v, %v", st, err)
	}
}

func TestDockerRestartsUnderARunningHost(t *testing.T) {
	d := newPrivateDocker(t)
	s := newSite(t, "")
	s.env = []string{"DOCKER_HOST=" + d.host}
	s.start()
	if got := s.chat("/calc 6*7"); !strings.Contains(got, "42") {
		t.Fatalf("chat said %q", got)
	}
	d.stop()
	c := s.cmd("chat")
	c.Stdin = strings.NewReader("/calc 2*2\n")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(strings.ToLower(string(out)), "docker") {
		t.Fatalf("without Docker chat said %q (%v), want a sentence about Docker", out, err)
	}
	if st := s.status(); st.Engine == "ok" {
		t.Fatal("status says that the engine is ok")
	}
	d.start()
	if got := s.chat("/calc 3*3"); !strings.Contains(got, "9") {
		t.Fatalf("with Docker back chat said %q", got)
	}
	if st := s.status(); st.Engine != "ok" {
		t.Fatalf("status says %q", st.Engine)
	}
}
