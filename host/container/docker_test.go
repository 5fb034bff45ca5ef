package container

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
)

// patience is how long a test waits for what should take much less.
const patience = 30 * time.Second

// probe is the program that runs in test containers, built once, or named by NANOCLAW_TEST_PROBE
// where there is no Go.
var probe struct {
	sync.Once
	path string
	dir  string // to be removed
	err  error
}

func TestMain(m *testing.M) {
	if verb := os.Getenv("CONTAINER_TEST_HELPER"); verb != "" {
		os.Exit(helper(verb))
	}
	code := m.Run()
	if probe.path != "" {
		removeImages()
		os.RemoveAll(probe.dir)
	}
	os.Exit(code)
}

func probePath(t testing.TB) string {
	t.Helper()
	probe.Do(func() {
		if given := os.Getenv("NANOCLAW_TEST_PROBE"); given != "" {
			probe.path = given
			return
		}
		dir, err := os.MkdirTemp("", "probe-")
		if err != nil {
			probe.err = err
			return
		}
		os.Chmod(dir, 0o755)
		probe.dir, probe.path = dir, filepath.Join(dir, "probe")
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", probe.path, "./testdata/probe")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			probe.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if probe.err != nil {
		t.Fatal("probe: ", probe.err)
	}
	return probe.path
}

func removeImages() {
	d, err := NewDocker(context.Background(), DockerConfig{InstallID: "test", Log: hclog.NewNullLogger()})
	if err != nil {
		return
	}
	defer d.Close()
	digest, err := checkRunner(probe.path, runtimeArch(d))
	if err == nil {
		d.api.ImageRemove(context.Background(), imageName+":"+digest[:12], image.RemoveOptions{})
	}
}

func runtimeArch(d *Docker) string {
	i, _ := d.Info(context.Background())
	return i.Arch
}

// engine is a Docker engine with an install ID of its own, and the ID of the probe's image.
// At the end of the test nothing of it may be left.
func engine(t testing.TB) (*Docker, string) {
	t.Helper()
	d, err := NewDocker(t.Context(), DockerConfig{
		InstallID: "test-" + strings.ToLower(filepath.Base(t.TempDir())) + fmt.Sprint(os.Getpid(), time.Now().UnixNano()),
		UID:       os.Getuid(), GID: os.Getgid(), Runtime: testRuntime, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal("these tests need a Docker daemon: ", err)
	}
	t.Cleanup(func() {
		if n, err := d.Reap(context.Background()); n != 0 || err != nil {
			t.Errorf("%d containers were left behind, %v", n, err)
		}
		d.Close()
	})
	id, _, err := d.EnsureImage(t.Context(), probePath(t))
	if err != nil {
		t.Fatal(err)
	}
	return d, id
}

func limits() host.Limits {
	return host.Limits{Memory: 128 << 20, CPUs: 1, PIDs: pids()}
}

func start(t testing.TB, d host.Engine, image string, args ...string) host.Container {
	t.Helper()
	c, err := d.Start(t.Context(), host.Spec{Image: image, Args: args, Limits: limits()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func gone(t testing.TB, c host.Container) host.Exit {
	t.Helper()
	select {
	case <-c.Done():
		return c.Exit()
	case <-time.After(patience):
		t.Fatal("container does not end")
		panic("unreachable")
	}
}

// echo says something to a container and expects it back.
func echo(t testing.TB, c io.ReadWriter, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(s))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != s {
		t.Fatalf("echo of %d bytes: %v", len(s), err)
	}
}

func TestStartEchoClose(t *testing.T) {
	d, image := engine(t)
	c := start(t, d, image, "serve")
	echo(t, c, "hello")
	echo(t, c, strings.Repeat("0123456789abcdef", 1<<14)) // many frames
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error("second close: ", err)
	}
	e := gone(t, c)
	if e.Code != killed && e.Code != 0 || e.OOM || !strings.Contains(e.Log, "probe: up") {
		t.Errorf("exit %+v", e)
	}
	if _, err := d.api.ContainerInspect(t.Context(), c.ID()); !errdefs.IsNotFound(err) {
		t.Errorf("after Close the container is still there: %v", err)
	}
}

// TestHardening asks a process inside what it can do.
func TestHardening(t *testing.T) {
	d, image := engine(t)
	ro, rw := t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chmod(ro, 0o777), os.Chmod(rw, 0o777)); err != nil {
		t.Fatal(err)
	}
	c, err := d.Start(t.Context(), host.Spec{
		Image: image, Args: []string{"status"}, Limits: limits(),
		Binds: []host.Bind{{Source: ro, Target: "/mnt/ro"}, {Source: rw, Target: "/workspace", Write: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := map[string]string{}
	lines := bufio.NewScanner(c)
	for lines.Scan() && lines.Text() != "END" {
		k, v, _ := strings.Cut(lines.Text(), " ")
		got[k] = v
	}
	const noCaps = "0000000000000000"
	user := fmt.Sprint(d.cfg.UID)
	for k, want := range map[string]string{
		"Uid": strings.Repeat(user+" ", 3) + user, "Groups": fmt.Sprint(d.cfg.GID),
		"CapInh": noCaps, "CapPrm": noCaps, "CapEff": noCaps, "CapBnd": noCaps, "CapAmb": noCaps,
		"NoNewPrivs": "1", "Seccomp": "2", "PID": "1", "Files": "1024", "Core": "0", "Interfaces": "1",
		"RWBind": "<nil>", "TmpWrite": "<nil>",
		"RootWrite": "read-only file system", "ROBind": "read-only file system", "BigTmp": "no space left",
		"TmpExec": "permission denied", "Dial": "network is unreachable", "Mount": "operation not permitted",
		"DockerSocket": "no such file", "Env": "PATH=/ HOSTNAME=" + c.ID()[:12] + " HOME=/",
	} {
		if k == "Groups" && got[k] == "" {
			continue
		}
		if v, ok := hardeningOnGVisor[k]; ok && testRuntime == "runsc" {
			want = v
		}
		if !strings.Contains(got[k], want) {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(rw, "x")); err != nil || string(b) != "hello" {
		t.Errorf("file written in the container: %q, %v", b, err)
	}
	drift, err := d.InspectDrift(t.Context(), c.ID())
	if err != nil || len(drift) != 0 {
		t.Errorf("drift of a container as started: %q, %v", drift, err)
	}
}

// TestInspectDrift weakens one item of the list after the other: each must be found, and
// nothing else with it.
func TestInspectDrift(t *testing.T) {
	d, image := engine(t)
	yes := true
	for _, tc := range []struct {
		want   string
		weaken func(*api.Config, *api.HostConfig)
	}{
		{"NetworkMode", func(_ *api.Config, h *api.HostConfig) { h.NetworkMode = "host" }},
		{"ReadonlyRootfs", func(_ *api.Config, h *api.HostConfig) { h.ReadonlyRootfs = false }},
		{"CapAdd", func(_ *api.Config, h *api.HostConfig) { h.CapAdd = []string{"NET_RAW"} }},
		{"CapDrop", func(_ *api.Config, h *api.HostConfig) { h.CapDrop = nil }},
		{"SecurityOpt", func(_ *api.Config, h *api.HostConfig) { h.SecurityOpt = nil }},
		{"SecurityOpt", func(_ *api.Config, h *api.HostConfig) {
			h.SecurityOpt = append(h.SecurityOpt, "seccomp=unconfined")
		}},
		{"Privileged", func(_ *api.Config, h *api.HostConfig) { h.Privileged = true }},
		{"PidMode", func(_ *api.Config, h *api.HostConfig) { h.PidMode = "host" }},
		{"IpcMode", func(_ *api.Config, h *api.HostConfig) { h.IpcMode = "host" }},
		{"Tmpfs", func(_ *api.Config, h *api.HostConfig) { h.Tmpfs = map[string]string{"/tmp": "size=64m"} }},
		{"MemorySwap", func(_ *api.Config, h *api.HostConfig) { h.MemorySwap = 2 * h.Memory }},
		{"without limits", func(_ *api.Config, h *api.HostConfig) { h.PidsLimit = nil }},
		{"without limits", func(_ *api.Config, h *api.HostConfig) { h.NanoCPUs = 0 }},
		{"Ulimits", func(_ *api.Config, h *api.HostConfig) { h.Ulimits = h.Ulimits[:1] }},
		{"LogConfig", func(_ *api.Config, h *api.HostConfig) { h.LogConfig.Type = "json-file" }},
		{"AutoRemove", func(_ *api.Config, h *api.HostConfig) { h.AutoRemove = false }},
		{"Init", func(_ *api.Config, h *api.HostConfig) { h.Init = &yes }},
		{"GroupAdd", func(_ *api.Config, h *api.HostConfig) { h.GroupAdd = []string{"0"} }},
		{"Binds", func(_ *api.Config, h *api.HostConfig) { h.Binds = []string{"/tmp:/mnt"} }},
		{"Devices", func(_ *api.Config, h *api.HostConfig) {
			h.Devices = []api.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/x", CgroupPermissions: "r"}}
		}},
		{"User", func(c *api.Config, _ *api.HostConfig) { c.User = "0:0" }},
		{"StdinOnce", func(c *api.Config, _ *api.HostConfig) { c.StdinOnce = false }},
		{"Env", func(c *api.Config, _ *api.HostConfig) { c.Env = []string{"API_KEY=x"} }},
		{"Labels", func(c *api.Config, _ *api.HostConfig) { c.Labels = map[string]string{"x": "y"} }},
		{"MaskedPaths", func(_ *api.Config, h *api.HostConfig) { h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{} }},
	} {
		t.Run(tc.want, func(t *testing.T) {
			config, hostConfig := d.harden(host.Spec{Image: image, Limits: limits()})
			tc.weaken(config, hostConfig)
			made, err := d.api.ContainerCreate(t.Context(), config, hostConfig, nil, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			defer d.api.ContainerRemove(context.Background(), made.ID, api.RemoveOptions{Force: true})
			drift, err := d.InspectDrift(t.Context(), made.ID)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(drift, "\n"), tc.want) {
				t.Errorf("not found: %q", drift)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	d, image := engine(t)
	for _, tc := range []struct {
		args string
		code int
		oom  bool
		log  string
	}{
		{"exit", 7, false, "last words"},
		{"oom", killed, true, ""},
	} {
		t.Run(tc.args, func(t *testing.T) {
			c := start(t, d, image, tc.args)
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("it said something")
			}
			e := gone(t, c)
			if e.Code != tc.code || e.OOM != tc.oom || !strings.Contains(e.Log, tc.log) {
				t.Errorf("exit %+v", e)
			}
		})
	}
	t.Run("unread", func(t *testing.T) { // nobody listens: the event alone says it
		if e := gone(t, start(t, d, image, "exit")); e.Code != 7 {
			t.Errorf("exit %+v", e)
		}
	})
}

func TestProcessesAreLimited(t *testing.T) {
	d, image := engine(t)
	c := start(t, d, image, "fork")
	line, err := bufio.NewReader(c).ReadString('\n')
	if testRuntime == "runsc" && errors.Is(err, io.EOF) {
		return // gVisor itself is what is refused a process, and ends
	}
	var n int
	if _, serr := fmt.Sscan(line, &n); err != nil || serr != nil || n < 1 || n >= 32 {
		t.Errorf("started %q processes of 32 allowed, %v", line, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestStderrIsBounded(t *testing.T) {
	var logged bytes.Buffer
	d, image := engine(t)
	d.log = hclog.New(&hclog.LoggerOptions{Output: &logged, Level: hclog.Debug})
	c := start(t, d, image, "noise")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "done\n" {
		t.Fatalf("%q, %v", line, err)
	}
	c.Close()
	e := gone(t, c)
	if len(e.Log) > 4*keepBytes || !strings.Contains(e.Log, "noise") || strings.Contains(e.Log, "\x1b") {
		t.Errorf("kept %d bytes: %.60q", len(e.Log), e.Log)
	}
	if n := logged.Len(); n > 2*maxLines*maxLine || n < maxLine || bytes.Contains(logged.Bytes(), []byte("\x1b")) {
		t.Errorf("logged %d bytes", n)
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	d, image := engine(t) // counts what is left
	for _, after := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		c, err := d.Start(ctx, host.Spec{Image: image, Limits: limits()})
		cancel()
		if err == nil {
			c.Close()
		}
	}
}

func TestRefusals(t *testing.T) {
	d, image := engine(t)
	for name, tc := range map[string]struct {
		spec host.Spec
		want string
	}{
		"no limits":      {host.Spec{Image: image}, "without limits"},
		"missing source": {host.Spec{Image: image, Limits: limits(), Binds: []host.Bind{{Source: "/no/such", Target: "/mnt/x"}}}, "/no/such"},
		"no image":       {host.Spec{Image: "sha256:" + strings.Repeat("0", 64), Limits: limits()}, "No such image"},
		"no runtime":     {host.Spec{Image: image, Limits: limits(), Runtime: "nosuch"}, "nosuch"},
	} {
		if _, err := d.Start(t.Context(), tc.spec); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReapTouchesOnlyItsOwn(t *testing.T) {
	a, image := engine(t)
	b, _ := engine(t)
	ca, cb := start(t, a, image), start(t, b, image)
	n, err := a.Reap(t.Context())
	if n != 1 || err != nil {
		t.Fatalf("reaped %d, %v", n, err)
	}
	gone(t, ca)
	echo(t, cb, "still here")
	cb.Close()
}

func TestImageIsBuiltOnce(t *testing.T) {
	d, image := engine(t)
	again, built, err := d.EnsureImage(t.Context(), probePath(t))
	if err != nil || built || again != image {
		t.Errorf("second time: %v, built %v, %s and %s", err, built, image, again)
	}
	i, err := d.api.ImageInspect(t.Context(), image)
	if err != nil || i.Size > 10e6 {
		t.Errorf("image of %d bytes, %v", i.Size, err)
	}
	if len(i.Config.Env) > 1 || i.Config.User != "" || len(i.RootFS.Layers) != 1 {
		t.Errorf("image is more than the runner: %+v", i.Config)
	}
}

// TestImagesOfPrograms: what is exported can be imported; an agent runs in it with the runner mounted,
// held like any other; an image that is not there, or brings volumes, is refused.
func TestImagesOfPrograms(t *testing.T) {
	d, from := engine(t)
	ref := "nanoclaw-test-" + strings.ToLower(rand.Text()[:8])
	t.Cleanup(func() {
		for _, tag := range []string{":latest", ":volumes"} {
			d.api.ImageRemove(context.Background(), ref+tag, image.RemoveOptions{})
		}
	})
	tarball, err := d.Export(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	names := ""
	in, out := tar.NewReader(tarball), tar.NewWriter(&layer)
	for h, err := in.Next(); err == nil; h, err = in.Next() {
		names += h.Name + " "
		if h.Typeflag == tar.TypeDir {
			out.WriteHeader(h)
		}
	}
	if err := errors.Join(out.Close(), tarball.Close()); err != nil || !strings.Contains(names, "runner") {
		t.Fatalf("exported %s, %v", names, err)
	}
	if err := d.Import(t.Context(), ref, bytes.NewReader(layer.Bytes()), "test-1"); err != nil {
		t.Fatal(err)
	}
	id, err := d.Program(t.Context(), ref)
	if err != nil || !strings.HasPrefix(id, "sha256:") {
		t.Fatal(id, err)
	}
	c, err := d.Start(t.Context(), host.Spec{
		Image: id, Args: []string{"serve"}, Limits: limits(), Binds: []host.Bind{{Source: probePath(t), Target: "/runner"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo(t, c, "hello\n")
	if drift, err := d.InspectDrift(t.Context(), c.ID()); len(drift) > 0 || err != nil {
		t.Errorf("%q, %v", drift, err)
	}
	if _, err := d.importLayer(t.Context(), ref+":volumes", bytes.NewReader(layer.Bytes()), "VOLUME /data"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Program(t.Context(), ref+":volumes"); !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), "volumes") {
		t.Error(err)
	}
	if _, err := d.Program(t.Context(), ref+":none"); !errors.Is(err, host.ErrNotFound) || !strings.Contains(err.Error(), "image build") {
		t.Error(err)
	}
	if _, err := d.Export(t.Context(), ref+":none"); err == nil {
		t.Error("an image that cannot be pulled was exported")
	}
	if err := d.Import(t.Context(), ref+":latest", strings.NewReader("no archive, not at all"), "x"); err == nil {
		t.Error("no archive was imported")
	}
}

func TestWrongRunner(t *testing.T) {
	d, _ := engine(t)
	dir := t.TempDir()
	text, arm := filepath.Join(dir, "text"), filepath.Join(dir, "arm")
	other := map[string]byte{"amd64": 0xb7, "arm64": 0x3e}[runtimeArch(d)]
	elf, err := os.ReadFile(probePath(t))
	if err != nil {
		t.Fatal(err)
	}
	elf[18] = other // e_machine
	if err := errors.Join(os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755), os.WriteFile(arm, elf, 0o755)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		text: "is not a Linux program", arm: "GOARCH=" + runtimeArch(d), filepath.Join(dir, "none"): "no such file",
	} {
		if _, _, err := d.EnsureImage(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestDaemonDown(t *testing.T) {
	dir := t.TempDir()
	_, err := NewDocker(t.Context(), DockerConfig{Endpoint: "unix://" + dir + "/none.sock", InstallID: "x", Log: hclog.NewNullLogger()})
	if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), "none.sock does not answer") {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.Listen("unix", dir+"/mute.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = NewDocker(ctx, DockerConfig{Endpoint: "unix://" + dir + "/mute.sock", InstallID: "x", Log: hclog.NewNullLogger()})
	if !errors.Is(err, host.ErrUnavailable) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("mute daemon: %v", err)
	}
}

// TestDaemonGoesAway puts a proxy between host and daemon and stops it under a container.
func TestDaemonGoesAway(t *testing.T) {
	direct, image := engine(t)
	url, _, err := Endpoint()
	if err != nil || !strings.HasPrefix(url, "unix://") {
		t.Skip("needs a daemon on a socket: ", url, err)
	}
	p := newProxy(t, strings.TrimPrefix(url, "unix://"))
	d, err := NewDocker(t.Context(), DockerConfig{
		Endpoint: "unix://" + p.path, InstallID: direct.cfg.InstallID, UID: direct.cfg.UID, GID: direct.cfg.GID, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := start(t, d, image, "deaf")
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the wire still works")
	}
	if e := gone(t, c); e.Code != -1 {
		t.Errorf("exit of a container nobody can see: %+v", e)
	}
	if _, err := d.Start(t.Context(), host.Spec{Image: image, Limits: limits()}); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("start: %v", err)
	}
	if err := c.Close(); !errors.Is(err, host.ErrUnavailable) {
		t.Errorf("close: %v", err)
	}
	if os.Getuid() == 0 { // killed by PID all the same
		waitNoContainers(t, direct)
	}
	p.start(t)
	again := start(t, d, image, "serve")
	echo(t, again, "back")
	again.Close()
}

func waitNoContainers(t *testing.T, d *Docker) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		found, err := d.api.ContainerList(context.Background(), api.ListOptions{All: true, Filters: d.mine()})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d containers still run", len(found))
		}
	}
}

// proxy is a daemon that can be stopped.
type proxy struct {
	path, daemon string
	l            net.Listener
	mu           sync.Mutex
	conns        []net.Conn
}

func newProxy(t *testing.T, daemon string) *proxy {
	p := &proxy{path: filepath.Join(t.TempDir(), "p.sock"), daemon: daemon}
	p.start(t)
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) start(t *testing.T) {
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	p.l = l
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", p.daemon)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			go func() { io.Copy(in, out); in.Close() }()
			go func() { io.Copy(out, in); out.Close() }()
		}
	}()
}

func (p *proxy) stop() {
	p.l.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// TestKilledHostLeavesNothing kills a process that has containers.
func TestKilledHostLeavesNothing(t *testing.T) {
	d, image := engine(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CONTAINER_TEST_HELPER=host", "INSTALL="+d.cfg.InstallID, "IMAGE="+image)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("helper: %q, %v", line, err)
	}
	found, err := d.api.ContainerList(t.Context(), api.ListOptions{All: true, Filters: d.mine()})
	if err != nil || len(found) != 2 {
		t.Fatalf("%d containers, %v", len(found), err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	waitNoContainers(t, d)
}

// TestKilledWhileStarting kills hosts at any moment of a start. What never ran may be left for
// Reap, as a name without a process.
func TestKilledWhileStarting(t *testing.T) {
	d, image := engine(t)
	for after := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CONTAINER_TEST_HELPER=starting", "INSTALL="+d.cfg.InstallID, "IMAGE="+image)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(after) * 40 * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	var states []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		found, err := d.api.ContainerList(t.Context(), api.ListOptions{All: true, Filters: d.mine()})
		if err != nil {
			t.Fatal(err)
		}
		states = nil
		for _, c := range found {
			if c.State != api.StateCreated {
				states = append(states, c.State)
			}
		}
		if len(states) == 0 {
			break
		}
	}
	if _, err := d.Reap(t.Context()); err != nil || len(states) > 0 {
		t.Errorf("left behind: %q, %v", states, err)
	}
}

// TestOrdinaryUser runs the host's side as a member of the docker group alone.
func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("already an ordinary user")
	}
	st, err := os.Stat(defaultSocket)
	if err != nil {
		t.Skip("no socket to be in the group of: ", err)
	}
	if at, _, err := Endpoint(); err != nil || at != "unix://"+defaultSocket {
		t.Skipf("the tests use the daemon at %s", at)
	}
	d, image := engine(t)
	ws := t.TempDir()
	if err := errors.Join(os.Chmod(ws, 0o700), os.Chown(ws, 12345, 12345)); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(filepath.Dir(probePath(t)), "helper")
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Dir = "/"
	cmd.Env = []string{"CONTAINER_TEST_HELPER=user", "INSTALL=" + d.cfg.InstallID, "IMAGE=" + image, "WORKSPACE=" + ws}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
		Uid: 12345, Gid: 12345, Groups: []uint32{st.Sys().(*syscall.Stat_t).Gid},
	}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	w, err := os.Stat(filepath.Join(ws, "x"))
	if err != nil || w.Sys().(*syscall.Stat_t).Uid != 12345 {
		t.Errorf("file of the agent: %v", err)
	}
}

// helper is this test binary as another host process.
func helper(verb string) int {
	fail := func(err error) int { fmt.Fprintln(os.Stderr, err); return 1 }
	if verb == "process" {
		c, err := NewProcess(os.Getenv("PROBE"), hclog.NewNullLogger()).Start(context.Background(),
			host.Spec{Args: []string{"deaf"}, Limits: limits()})
		if err != nil {
			return fail(err)
		}
		fmt.Println(strings.TrimPrefix(c.ID(), "pid-"))
		select {}
	}
	d, err := NewDocker(context.Background(), DockerConfig{
		InstallID: os.Getenv("INSTALL"), UID: os.Getuid(), GID: os.Getgid(), Log: hclog.NewNullLogger(),
	})
	if err != nil {
		return fail(err)
	}
	spec := host.Spec{Image: os.Getenv("IMAGE"), Args: []string{"serve"}, Limits: limits()}
	switch verb {
	case "starting":
		fmt.Println("go")
		for range 2 {
			go d.Start(context.Background(), spec)
		}
		select {}
	case "host":
		for range 2 {
			if _, err := d.Start(context.Background(), spec); err != nil {
				return fail(err)
			}
		}
		fmt.Println("up")
		select {}
	case "user":
		spec.Args = []string{"status"}
		spec.Binds = []host.Bind{{Source: os.Getenv("WORKSPACE"), Target: "/workspace", Write: true}}
		c, err := d.Start(context.Background(), spec)
		if err != nil {
			return fail(err)
		}
		var said []string
		for lines := bufio.NewScanner(c); lines.Scan() && lines.Text() != "END"; {
			said = append(said, lines.Text())
		}
		if !slices.Contains(said, "RWBind <nil>") {
			return fail(fmt.Errorf("workspace not writable: %q", said))
		}
		if drift, err := d.InspectDrift(context.Background(), c.ID()); err != nil || len(drift) > 0 {
			return fail(fmt.Errorf("drift %q, %w", drift, err))
		}
		if err := c.Close(); err != nil {
			return fail(err)
		}
	}
	return 0
}

func BenchmarkStart(b *testing.B) {
	d, image := engine(b)
	for b.Loop() {
		c, err := d.Start(b.Context(), host.Spec{Image: image, Args: []string{"serve"}, Limits: limits()})
		if err != nil {
			b.Fatal(err)
		}
		echo(b, c, "x")
		b.StopTimer()
		c.Close()
		b.StartTimer()
	}
}

func BenchmarkEcho(b *testing.B) {
	d, image := engine(b)
	c := start(b, d, image, "serve")
	for b.Loop() {
		echo(b, c, "0123456789")
	}
}
