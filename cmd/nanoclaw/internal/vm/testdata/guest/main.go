//go:build linux

// Guest is what TestVM runs in its virtual machine: as the machine's first process, as the steps that
// it starts, and as the program of the containers that try to break out. Each step is one line of JSON
// on the second serial port; the first is the kernel's.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	payload = "/vm"                     // the second disk
	secret  = "/root/secret-of-the-vm"  // what a container must not read
	escaped = "/nanoclaw-escaped-"      // and the token: what a container must not write
	state   = "/var/lib/nanoclaw-state" // NanoClaw's
	group   = "/sys/fs/cgroup/steps"    // where everything runs but process 1
)

// canaries are looked for in every file that a break-out reaches. TestVM keeps one on the real machine,
// and plants another in the virtual one, so that the search is known to find them. A tilde is rare, so it is quick.
var canaries = regexp.MustCompile(`~nanoclaw-canary-[0-9a-f]{32}`)

func main() {
	verb, arg := os.Args[1], ""
	if len(os.Args) > 2 {
		arg = os.Args[2]
	}
	switch {
	case verb == "init" && os.Getpid() == 1:
		boot()
	case verb == "steps" && os.Getppid() == 1:
		steps()
	case verb == "escape":
		json.NewEncoder(os.Stdout).Encode(escape(arg))
	default:
		fmt.Fprintln(os.Stderr, "only in the virtual machine of make test-vm")
		os.Exit(2)
	}
}

// boot is process 1: it starts the steps, collects what others leave behind, and turns the machine off.
func boot() {
	for _, m := range []struct{ kind, target string }{
		{"cgroup2", "/sys/fs/cgroup"},
		{"securityfs", "/sys/kernel/security"},
		{"tmpfs", "/tmp"},
		{"tmpfs", "/dev/shm"},
	} {
		os.MkdirAll(m.target, 0o755)
		if err := syscall.Mount(m.kind, m.target, m.kind, 0, ""); err != nil && !errors.Is(err, syscall.EBUSY) {
			fmt.Println("mount", m.target, err)
		}
	}
	// Docker looks at a control group of its own, as a service has, for which limits there are.
	all := []byte("+cpu +cpuset +io +memory +pids")
	err := errors.Join(os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", all, 0), os.Mkdir(group, 0o755))
	if err != nil {
		fmt.Println("control groups:", err)
	}
	c := exec.Command("/proc/self/exe", "steps")
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/var/tmp"}
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		fmt.Println("steps:", err)
	} else {
		for pid := 0; pid != c.Process.Pid; {
			pid, _ = syscall.Wait4(-1, nil, 0, nil)
		}
	}
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

// steps runs one after the other, each with a deadline, and reports what each said.
func steps() {
	out, err := os.OpenFile("/dev/ttyS1", os.O_WRONLY, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := os.WriteFile(group+"/cgroup.procs", []byte("0"), 0); err != nil {
		fmt.Println(err)
	}
	token := read(payload + "/token")
	nanoclaw := []string{payload + "/nanoclaw", "--config", payload + "/nanoclaw.toml", "--state", state}
	for _, s := range []struct {
		name string
		try  func(context.Context) (any, error)
	}{
		{"machine", machine},
		{"docker", docker},
		{"image", func(ctx context.Context) (any, error) {
			return run(ctx, "", "sh", "-c", "tar -C "+payload+" -c guest | docker import - guest")
		}},
		{"hardened", func(ctx context.Context) (any, error) {
			return container(ctx, token, "--network", "none", "--cap-drop", "ALL", "--user", "10001", "--read-only")
		}},
		{"weakened", func(ctx context.Context) (any, error) {
			return container(ctx, token, "--network", "host", "--privileged", "--pid", "host", "-v", "/:/host")
		}},
		{"after", func(context.Context) (any, error) { return read(escaped + token), nil }},
		{"answer", func(ctx context.Context) (any, error) {
			return run(ctx, "/calc 6*7\n", append(nanoclaw, "chat")...)
		}},
		{"again", func(ctx context.Context) (any, error) {
			return run(ctx, "/calc 6*7\n", append(nanoclaw, "chat")...)
		}},
		{"containers", func(ctx context.Context) (any, error) {
			return run(ctx, "", "docker", "events", "--since", "1h", "--until", "0s", "--filter", "event=start",
				"--format", `{{index .Actor.Attributes "nanoclaw.agent"}}`)
		}},
		{"doctor", func(ctx context.Context) (any, error) {
			out, err := run(ctx, "", append(nanoclaw, "doctor", "--json")...)
			return json.RawMessage(out), err
		}},
		{"containment", func(ctx context.Context) (any, error) {
			return run(ctx, "", payload+"/container.test", "-test.v", "-test.run", "^(TestContainment|TestHardening)$")
		}},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
		began := time.Now()
		said, err := s.try(ctx)
		cancel()
		line := map[string]any{"step": s.name, "seconds": time.Since(began).Seconds(), "said": said}
		if err != nil {
			line["error"] = err.Error()
		}
		b, err := json.Marshal(line)
		if err != nil { // not JSON: doctor's
			b, _ = json.Marshal(map[string]any{"step": s.name, "error": fmt.Sprintf("%v: %s", err, said)})
		}
		fmt.Fprintf(out, "%s\n", b)
	}
}

// machine tells this machine from another, and what it could reach one by.
func machine(context.Context) (any, error) {
	devices := map[string][]string{}
	for _, class := range []string{"net", "block"} {
		found, _ := filepath.Glob("/sys/class/" + class + "/*")
		for _, d := range found {
			devices[class] = append(devices[class], filepath.Base(d))
		}
	}
	return map[string]any{
		"kernel": read("/proc/sys/kernel/osrelease"), "boot_id": read("/proc/sys/kernel/random/boot_id"),
		"vendor": read("/sys/class/dmi/id/sys_vendor"), "uptime": read("/proc/uptime"), "devices": devices,
	}, os.WriteFile(secret, []byte(read(payload+"/secret")), 0o600)
}

// docker starts the daemon without any network but loopback, and returns its version when it says that
// it is ready, as it would to systemd.
func docker(ctx context.Context) (any, error) {
	if err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").Run(); err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/run/ready", Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	log, err := os.Create("/var/log/dockerd.log")
	if err != nil {
		return nil, err
	}
	c := exec.Command("dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false")
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), "NOTIFY_SOCKET=/run/ready"), log, log
	if err := c.Start(); err != nil {
		return nil, err
	}
	go func() { c.Wait(); l.Close() }() // its end is no reason to wait longer
	deadline, _ := ctx.Deadline()
	l.SetReadDeadline(deadline)
	if _, err := l.Read(make([]byte, 4096)); err != nil {
		return nil, fmt.Errorf("dockerd is not ready: %w: %s", err, read(log.Name()))
	}
	return run(ctx, "", "docker", "info", "--format",
		"{{.ServerVersion}} {{.Driver}} cgroup{{.CgroupVersion}} {{.SecurityOptions}}")
}

// run returns what a command writes to stdout, and what it says besides when it fails.
func run(ctx context.Context, stdin string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Env = append(os.Environ(), "NANOCLAW_TEST_PROBE="+payload+"/probe")
	c.Dir, c.Stdin, c.WaitDelay = "/var/tmp", strings.NewReader(stdin), 10*time.Second
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), errors.Join(err, ctx.Err()), stderr.Bytes())
	}
	return string(out), err
}

// container runs escape in one.
func container(ctx context.Context, token string, flags ...string) (any, error) {
	args := append([]string{"docker", "run", "--rm"}, flags...)
	out, err := run(ctx, "", append(args, "guest", "/guest", "escape", token)...)
	return json.RawMessage(out), err
}

// attempt is what came of a break-out.
type attempt struct {
	BootID string            `json:"boot_id"`
	Wrote  []string          `json:"wrote"`  // paths
	Secret string            `json:"secret"` // of the machine
	Found  map[string]string `json:"found"`  // canaries, by path
	Errors []string          `json:"errors"`
}

// escape writes a file into the machine's root and reads a file of it, by a bind mount and by the root
// of process 1, and then looks through both disks for canaries.
func escape(token string) attempt {
	a := attempt{BootID: read("/proc/sys/kernel/random/boot_id"), Found: map[string]string{}}
	for _, root := range []string{"/host", "/proc/1/root"} {
		path := root + escaped + token
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			a.Errors = append(a.Errors, err.Error())
		} else {
			a.Wrote = append(a.Wrote, path)
		}
		a.Secret += read(root + secret)
	}
	for _, disk := range []string{"/host", "/host" + payload} {
		filepath.WalkDir(disk, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return nil
			case d.IsDir() && device(path) != device(disk): // such as /proc, where reads never end
				return filepath.SkipDir
			case !d.Type().IsRegular():
				return nil
			}
			if found := search(path); found != "" {
				a.Found[path] = found
			}
			return nil
		})
	}
	return a
}

// device is what a file is on.
func device(path string) uint64 {
	var st syscall.Stat_t
	syscall.Stat(path, &st)
	return st.Dev
}

// search returns the first canary in a file.
func search(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const overlap = 64
	buf, n := make([]byte, 1<<20), 0
	for {
		m, err := io.ReadFull(f, buf[n:])
		if i := bytes.Index(buf[:n+m], []byte("~nanoclaw-canary-")); i >= 0 {
			if found := canaries.Find(buf[i : n+m]); found != nil {
				return string(found)
			}
		}
		if err != nil {
			return ""
		}
		n = copy(buf, buf[len(buf)-overlap:])
	}
}

// read is what is in a file, or nothing.
func read(path string) string {
	b, _ := os.ReadFile(path)
	return strings.TrimSpace(string(b))
}
