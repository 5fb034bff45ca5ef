package container

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
)

func process(t testing.TB) *Process { return NewProcess(probePath(t), hclog.NewNullLogger()) }

func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func waitDead(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d lives", pid)
		}
	}
}

func TestProcess(t *testing.T) {
	p := process(t)
	if uid, gid := p.Owner(); p.Isolated() || uid != os.Getuid() || gid != os.Getgid() || p.Path(host.Bind{Source: "/a", Target: "/b"}) != "/a" {
		t.Error("it claims to be more than it is")
	}
	c := start(t, p, "", "serve")
	echo(t, c, "hello")
	pid, _ := strconv.Atoi(strings.TrimPrefix(c.ID(), "pid-"))
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if e := gone(t, c); !strings.Contains(e.Log, "probe: up") {
		t.Errorf("exit %+v", e)
	}
	waitDead(t, pid)
}

func TestProcessEnds(t *testing.T) {
	p := process(t)
	if e := gone(t, start(t, p, "", "exit")); e.Code != 7 || e.OOM || !strings.Contains(e.Log, "last words") {
		t.Errorf("exit %+v", e)
	}
	c := start(t, p, "", "orphan")
	line, err := bufio.NewReader(c).ReadString('\n')
	child, aerr := strconv.Atoi(strings.TrimSpace(line))
	if err := errors.Join(err, aerr); err != nil {
		t.Fatal(err)
	}
	gone(t, c)
	waitDead(t, child)
	if runtime.GOOS == "linux" {
		if e := gone(t, start(t, p, "", "oom")); !e.OOM {
			t.Errorf("memory is not limited: %+v", e)
		}
	}
	if _, err := NewProcess("/no/such", hclog.NewNullLogger()).Start(t.Context(), host.Spec{Limits: limits()}); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("no runner: %v", err)
	}
}

func TestProcessKnowsNothing(t *testing.T) {
	t.Setenv("API_KEY", "secret")
	line, err := bufio.NewReader(start(t, process(t), "", "env")).ReadString('\n')
	if want := "Env TMPDIR=" + os.TempDir() + "\n"; line != want || err != nil {
		t.Errorf("environment %q, %v", line, err)
	}
}

// TestProcessDiesWithHost kills a host whose runner does not look at stdin.
func TestProcessDiesWithHost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the end of stdin is all there is")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CONTAINER_TEST_HELPER=process", "PROBE="+probePath(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	line, err := bufio.NewReader(out).ReadString('\n')
	if pid, _ = strconv.Atoi(strings.TrimSpace(line)); err != nil || pid == 0 || !alive(pid) {
		t.Fatalf("helper: %q, %v", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	waitDead(t, pid)
}

func TestKillCgroup(t *testing.T) {
	victim, other := exec.Command("sleep", "60"), exec.Command("sleep", "60")
	if err := errors.Join(victim.Start(), other.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	proc := t.TempDir()
	for _, p := range []struct {
		pid    int
		cgroup string
	}{
		{victim.Process.Pid, "0::/system.slice/docker-abc123.scope\n"},
		{other.Process.Pid, "0::/system.slice/docker-def456.scope\n"},
		{1 << 30, "0::/docker/abc123\n"},
	} {
		dir := filepath.Join(proc, strconv.Itoa(p.pid))
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "cgroup"), []byte(p.cgroup), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if n := killCgroup(proc, "abc123"); n != 1 {
		t.Errorf("killed %d", n)
	}
	victim.Wait()
	if s := victim.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGKILL {
		t.Error("the container's process lives")
	}
	if !alive(other.Process.Pid) {
		t.Error("another's process was killed")
	}
}

func frame(kind byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind, 0, 0, 0}, uint32(len(s))), s...)
}

func TestDemux(t *testing.T) {
	in := bytes.Join([][]byte{frame(1, "hel"), frame(2, "err"), frame(1, ""), frame(1, "lo"), frame(3, "daemon"), frame(2, "")}, nil)
	var stderr bytes.Buffer
	out, err := io.ReadAll(&demux{r: iotest.HalfReader(bytes.NewReader(in)), stderr: &stderr})
	if string(out) != "hello" || stderr.String() != "errdaemon" || err != nil {
		t.Errorf("%q, %q, %v", out, stderr.String(), err)
	}
	if _, err := io.ReadAll(&demux{r: bytes.NewReader(frame(9, "x")), stderr: io.Discard}); !errors.Is(err, host.ErrInvalid) {
		t.Errorf("unknown kind: %v", err)
	}
}

func FuzzDemux(f *testing.F) {
	f.Add(append(frame(1, "hello"), frame(2, "error")...))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		log := &tail{log: hclog.NewNullLogger()}
		out, _ := io.ReadAll(&demux{r: bytes.NewReader(b), stderr: log})
		if len(out) > len(b) || len(log.kept) > keepBytes || strings.ContainsRune(log.String(), 0x1b) {
			t.Errorf("%x became %x and %q", b, out, log.String())
		}
	})
}
