package container

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/docker/docker/api/types/container"

	"github.com/nanoclaw/nanoclaw/host"
)

// testRuntime is the OCI runtime that the suites run on; "" is the daemon's default. `make
// test-gvisor` sets it.
var testRuntime = os.Getenv("NANOCLAW_TEST_RUNTIME")

// verdicts is what each attempt of testdata/probe must come to, with code running as the agent's
// own user in a live agent container: a pattern of its error, or "ok" for what an agent may do.
var verdicts = map[string]string{
	"net.interfaces": nothing, "net.abstract-sockets": nothing, "net.loopback": "ok",
	"net.ipv4": unreachable, "net.ipv6": unreachable, "net.udp": unreachable, "net.metadata": unreachable,
	"net.gateway": unreachable, "net.name": unreachable,
	"net.raw": refused, "net.packet": refused, "net.vsock": refused, "net.crypto": refused,

	"proc.capabilities": nothing, "proc.cgroup": nothing, "proc.others": nothing, "proc.secrets": nothing, "proc.inherited-files": nothing,
	"proc.ptrace": refused, "proc.memory": refused, "proc.environ": refused, "proc.root": refused,
	"proc.vm-read": refused, "proc.take-fd": refused, "proc.setuid-file": refused, "proc.setuid": refused,
	"proc.setgid": refused, "proc.setgroups": refused, "proc.capset": refused, "proc.new-privileges": refused,
	"proc.limits": refused, "proc.files": "too many open files", "proc.nice": refused, "proc.realtime": refused, "proc.oom-score": refused,
	"proc.children": "resource temporarily unavailable",

	"file.root": readOnly, "file.runner": refused + "|" + readOnly, "file.skills": readOnly,
	"file.read-only-bind": readOnly, "file.writable-directories": nothing, "file.proc": nothing, "file.sys": nothing,
	"file.masked": nothing, "file.sockets": nothing, "file.devices": nothing, "file.mounts": nothing,
	"file.tmp-program": refused, "file.shm-program": refused, "file.tmp-full": full, "file.shm-full": full,
	"file.owner": refused, "file.mknod": refused, "file.by-handle": refused, "file.workspace": "ok", "file.tmp": "ok",

	"mount.tmpfs": refused, "mount.bind": refused, "mount.remount": refused, "mount.proc": refused,
	"mount.umount": refused, "mount.fsopen": refused, "mount.open-tree": refused, "mount.pivot-root": refused,
	"mount.chroot": refused, "ns.clone-user": refused, "ns.clone-all": refused, "ns.unshare-user": refused,
	"ns.unshare-mount": refused, "ns.unshare-net": refused, "ns.unshare-pid": refused, "ns.unshare-cgroup": refused,
	"ns.setns": refused, "ns.remount": refused + "|" + readOnly,

	"kernel.init-module": refused, "kernel.finit-module": refused, "kernel.delete-module": refused,
	"kernel.kexec": refused, "kernel.reboot": refused, "kernel.swapon": refused, "kernel.acct": refused,
	"kernel.quotactl": refused, "kernel.settime": refused, "kernel.hostname": refused, "kernel.log": refused,
	"kernel.keyctl": refused, "kernel.add-key": refused, "kernel.bpf": refused, "kernel.perf": refused,
	"kernel.userfaultfd": refused, "kernel.io-uring": refused, "kernel.fanotify": refused, "kernel.vhangup": refused,
}

// onGVisor is what comes to something else there. Its kernel is a process that the container has
// for itself, with the powers of one, so what it allows reaches nothing of the machine; what the
// machine decides (network, read-only file systems, limits) is in verdicts for both.
var onGVisor = map[string]string{
	"file.root": refused + "|" + readOnly, "file.skills": refused + "|" + readOnly,
	"file.mknod":    "ok",                                                                            // a node without a device: file.devices shows that it opens none
	"file.devices":  "ok",                                                                            // fuse and tun, both gVisor's own
	"file.mounts":   "ok",                                                                            // it knows noexec; set-user-ID files give nothing, see proc.setuid-file
	"ns.clone-user": "ok", "ns.clone-all": "ok", "ns.unshare-cgroup": "ok", "ns.unshare-mount": "ok", // see ns.remount
	"proc.environ": "ok",                                             // PID 1 cannot be made undumpable; proc.secrets shows that nothing is there
	"proc.nice":    "ok", "proc.oom-score": "ok", "kernel.log": "ok", // its own scheduler and log
}

// hardeningOnGVisor is the same for TestHardening: what its /proc does not tell.
var hardeningOnGVisor = map[string]string{
	"RootWrite": "permission denied", "NoNewPrivs": "", "Seccomp": "0", "Dial": "no route to host", "CapAmb": "",
}

// missing is what gVisor's kernel says of what it does not have.
const missing = "function not implemented|operation not supported|address family not supported by protocol|" +
	"invalid argument|no such device|no route to host"

// verdict is what an attempt must come to on the runtime under test.
func verdict(name string) string {
	if v := onGVisor[name]; testRuntime == "runsc" && v != "" {
		return v
	} else if testRuntime == "runsc" && (verdicts[name] == refused || verdicts[name] == unreachable) {
		return verdicts[name] + "|" + missing
	}
	return verdicts[name]
}

// Kinds of verdicts. What looks for something and finds nothing says "nothing".
const (
	refused     = "operation not permitted|permission denied"
	readOnly    = "read-only file system"
	unreachable = "network is unreachable|cannot assign requested address|no such host"
	full        = "no space left on device"
	nothing     = "nothing"
)

// attempt runs attempts of the probe in a container that differs from an agent's by weaken, and
// returns what each said.
func attempt(t *testing.T, weaken func(*api.Config, *api.HostConfig), names ...string) map[string]string {
	t.Helper()
	d, image := engine(t)
	ro, rw := t.TempDir(), t.TempDir()
	probe, err := os.ReadFile(probePath(t))
	if err != nil {
		t.Fatal(err)
	}
	suid := filepath.Join(rw, "suid") // as root's, when this is root
	if err := errors.Join(os.Chmod(ro, 0o777), os.Chmod(rw, 0o777), os.WriteFile(suid, probe, 0o755),
		os.Chmod(suid, 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	s := host.Spec{
		Image: image, Args: append([]string{"attempts"}, names...), Limits: limits(),
		Binds: []host.Bind{{Source: ro, Target: "/mnt/ro"}, {Source: rw, Target: "/workspace", Write: true}},
	}
	var c io.Reader
	var stderr bytes.Buffer
	if weaken == nil {
		live, err := d.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		c = live
	} else {
		config, hostConfig := d.harden(s)
		weaken(config, hostConfig)
		made, err := d.api.ContainerCreate(t.Context(), config, hostConfig, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		defer d.remove(context.Background(), made.ID)
		a, err := d.api.ContainerAttach(t.Context(), made.ID, api.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := d.api.ContainerStart(t.Context(), made.ID, api.StartOptions{}); err != nil {
			t.Fatal(err)
		}
		c = &demux{r: a.Reader, stderr: &stderr}
	}
	said := map[string]string{}
	lines := bufio.NewScanner(c)
	for lines.Scan() && lines.Text() != "END" {
		var r struct{ Name, Said string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %q", err, lines.Text())
		}
		said[r.Name] = r.Said
	}
	if l, ok := c.(*live); ok {
		t.Logf("stderr: %s", l.log)
	}
	return said
}

// wrong lists the attempts that did not come to their verdict.
func wrong(said map[string]string) (names []string) {
	for name, got := range said {
		if want := verdict(name); !regexp.MustCompile("(?:^|: )(?:" + want + ")$").MatchString(got) {
			names = append(names, fmt.Sprintf("%s: %s, want %s", name, got, want))
		}
	}
	slices.Sort(names)
	return names
}

// TestContainment: code that has the whole container gets nothing beyond it.
func TestContainment(t *testing.T) {
	said := attempt(t, nil)
	for _, w := range wrong(said) {
		t.Error(w)
	}
	for name := range verdicts {
		if said[name] == "" && !(testRuntime == "runsc" && name == "proc.children") { // there it ends the container
			t.Errorf("%s was not tried", name)
		}
	}
}

// TestContainmentBites is the negative control: with one setting weakened, the suite must be red.
func TestContainmentBites(t *testing.T) {
	if testRuntime != "" {
		t.Skip("what is weakened are Docker's settings, on any runtime the same")
	}
	always := func(*api.Config, *api.HostConfig) {}
	opt := func(h *api.HostConfig, o string) { h.SecurityOpt = append(slices.Clone(h.SecurityOpt[:1]), o) }
	for _, tc := range []struct {
		name   string
		weaken func(*api.Config, *api.HostConfig)
		red    []string
	}{
		{"network bridge", func(_ *api.Config, h *api.HostConfig) { h.NetworkMode = "bridge" }, []string{"net.interfaces"}},
		{"network host", func(_ *api.Config, h *api.HostConfig) { h.NetworkMode = "host" }, []string{"net.interfaces", "net.abstract-sockets"}},
		{"pid host", func(_ *api.Config, h *api.HostConfig) { h.PidMode = "host" }, []string{"proc.others"}},
		{"cgroup host", func(_ *api.Config, h *api.HostConfig) { h.CgroupnsMode = "host" }, []string{"proc.cgroup"}},
		{"capability", func(_ *api.Config, h *api.HostConfig) { h.CapAdd = []string{"SYS_ADMIN"} }, []string{"proc.capabilities"}},
		{"user 0", func(c *api.Config, _ *api.HostConfig) { c.User = "0:0" }, []string{"proc.setuid"}},
		{
			"user 0 with a capability and no seccomp",
			func(c *api.Config, h *api.HostConfig) {
				c.User, h.CapAdd = "0:0", []string{"SYS_ADMIN", "NET_RAW"}
				opt(h, "seccomp=unconfined")
			},
			[]string{"mount.tmpfs", "mount.fsopen", "ns.unshare-net", "ns.clone-all", "net.raw", "net.packet"},
		},
		{
			"privileged", func(_ *api.Config, h *api.HostConfig) { h.Privileged, h.SecurityOpt = true, nil }, // Engine 29 keeps a profile that is named
			[]string{"proc.capabilities", "file.masked", "net.vsock", "kernel.keyctl"},
		},
		{
			"no seccomp", func(_ *api.Config, h *api.HostConfig) { opt(h, "seccomp=unconfined") },
			[]string{"net.vsock", "net.crypto", "kernel.keyctl", "kernel.io-uring"},
		},
		{
			"new privileges", func(_ *api.Config, h *api.HostConfig) { h.SecurityOpt = h.SecurityOpt[1:] },
			[]string{"proc.new-privileges", "proc.setuid-file"},
		},
		{"writable root", func(_ *api.Config, h *api.HostConfig) { h.ReadonlyRootfs = false }, []string{"file.root"}},
		{"writable bind", func(_ *api.Config, h *api.HostConfig) { h.Mounts[0].ReadOnly = false }, []string{"file.read-only-bind"}},
		{"nothing masked", func(_ *api.Config, h *api.HostConfig) { h.MaskedPaths = []string{} }, []string{"file.masked"}},
		{
			"Docker's socket", func(_ *api.Config, h *api.HostConfig) { h.Binds = []string{defaultSocket + ":/mnt/any.name"} },
			[]string{"file.sockets"},
		},
		{
			"device",
			func(_ *api.Config, h *api.HostConfig) {
				h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/zero", PathInContainer: "/dev/sda", CgroupPermissions: "r"}}
			},
			[]string{"file.devices"},
		},
		{
			"open tmpfs", func(_ *api.Config, h *api.HostConfig) { h.Tmpfs = map[string]string{"/tmp": "exec,mode=1777"} },
			[]string{"file.tmp-program", "file.tmp-full", "file.mounts"},
		},
		{"large shm", func(_ *api.Config, h *api.HostConfig) { h.ShmSize = 1 << 30 }, []string{"file.shm-full"}},
		{"no pids limit", func(_ *api.Config, h *api.HostConfig) { h.PidsLimit = nil }, []string{"proc.children"}},
		{"no ulimits", func(_ *api.Config, h *api.HostConfig) { h.Ulimits = nil }, []string{"proc.files"}},
		{"key in the environment", func(c *api.Config, _ *api.HostConfig) { c.Env = []string{"API_KEY=x"} }, []string{"proc.secrets"}},
		{"PID 1 that can be dumped", always, []string{"proc.environ", "proc.root", "proc.memory"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			names := tc.red
			if tc.name == "PID 1 that can be dumped" {
				names = append([]string{"dumpable"}, names...)
			}
			red := strings.Join(wrong(attempt(t, tc.weaken, names...)), "\n")
			for _, name := range tc.red {
				if !strings.Contains(red, name+":") {
					t.Errorf("%s did not turn red: %q", name, red)
				}
			}
		})
	}
}

// pids is few. gVisor's kernel is processes of the same control group and needs more to start.
func pids() int64 {
	if testRuntime == "runsc" {
		return 128
	}
	return 32
}

// TestAmicontained runs amicontained as the runner of an agent container: `make audit` builds it and
// says where. As PID 1 it once hung until it was killed from outside, so it has a deadline.
func TestAmicontained(t *testing.T) {
	path := os.Getenv("NANOCLAW_AMICONTAINED")
	if path == "" {
		t.Skip("make audit runs it")
	}
	d, _ := engine(t)
	image, _, err := d.EnsureImage(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Start(t.Context(), host.Spec{Image: image, Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, func() { c.Close() }).Stop()
	said, _ := io.ReadAll(c)
	c.Close()
	fmt.Printf("%s", said)
	for _, want := range []string{"pid: true", "Capabilities:\n", "Seccomp: filtering"} {
		if !strings.Contains(string(said), want) && testRuntime == "" {
			t.Errorf("amicontained does not say %q: %s", want, c.Exit().Log)
		}
	}
	for _, cap := range []string{"BOUNDING ->", "PERMITTED ->", "EFFECTIVE ->"} {
		if strings.Contains(string(said), cap) {
			t.Errorf("amicontained found capabilities")
		}
	}
}
