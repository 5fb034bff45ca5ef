package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempt is a way out of the container, or into what is not its own. It is nil when that worked.
type attempt struct {
	name string
	try  func() error
}

// Each is harmless where it works: permission is checked before arguments, and those ask for
// nothing. So a negative control can run it in a container that is open to the machine.
var attempts = slices.Concat(networkAttempts, processAttempts, fileAttempts, kernelAttempts, bombs)

// result is one line of stdout.
type result struct {
	Name string `json:"name"`
	Said string `json:"said"` // "ok" or the error
}

// runAttempts tries those of the given names, or all. PID 1 cannot be dumped, as the runner;
// what tries is a child of it, as code that broke out of the runner may start some.
func runAttempts(names []string) {
	cmd := exec.Command("/proc/self/exe", append([]string{"attempt"}, names...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if !slices.Contains(names, "dumpable") {
		cmd.Env = append(os.Environ(), "PID1=closed")
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			fmt.Fprintln(os.Stderr, "prctl:", err)
		}
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "attempts:", err)
	}
	fmt.Println("END")
	io.Copy(io.Discard, os.Stdin)
}

func tryAll(names []string) {
	out := json.NewEncoder(os.Stdout)
	for _, a := range attempts {
		if len(names) > 0 && !slices.Contains(names, a.name) {
			continue
		}
		done := make(chan error, 1)
		go func() {
			runtime.LockOSThread() // and never unlock: what a thread became ends with it
			done <- a.try()
		}()
		r := result{a.name, "ok"}
		select {
		case err := <-done:
			if err != nil {
				r.Said = err.Error()
			}
		case <-time.After(10 * time.Second):
			r.Said = "no end"
		}
		out.Encode(r)
	}
}

var networkAttempts = []attempt{
	{"net.interfaces", func() error {
		names, _ := filepath.Glob("/sys/class/net/*")
		ifaces, _ := net.Interfaces()
		for _, i := range ifaces {
			names = append(names, i.Name)
		}
		return blockedUnless(others(names, func(n string) bool { return filepath.Base(n) == "lo" }))
	}},
	{"net.ipv4", dial("tcp", "1.1.1.1:443")},
	{"net.ipv6", dial("tcp", "[2606:4700:4700::1111]:443")},
	{"net.udp", dial("udp", "8.8.8.8:53")},
	{"net.metadata", dial("tcp", "169.254.169.254:80")},
	{"net.gateway", dial("tcp", "172.17.0.1:2375")},
	{"net.name", dial("tcp", "example.com:443")},
	{"net.raw", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
	{"net.packet", socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
	{"net.vsock", func() error { // the machine's own wire to what runs it: no namespace holds it
		fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		tv := unix.Timeval{Sec: 1}
		unix.SetsockoptTimeval(fd, unix.AF_VSOCK, 6, &tv) // SO_VM_SOCKETS_CONNECT_TIMEOUT
		return unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 1024})
	}},
	{"net.crypto", socket(38, unix.SOCK_SEQPACKET, 0)}, // AF_ALG: the kernel's own algorithms
	{"net.abstract-sockets", func() error {
		b, _ := os.ReadFile("/proc/net/unix")
		var named []string
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 7 && f[7] != "Path" {
				named = append(named, f[7])
			}
		}
		return blockedUnless(named)
	}},
	{"net.loopback", func() error { // what exec engines need
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			l.Close()
		}
		return err
	}},
}

var processAttempts = []attempt{
	{"proc.others", func() error {
		pids, _ := filepath.Glob("/proc/[0-9]*")
		return blockedUnless(others(pids, func(p string) bool {
			return p == "/proc/1" || p == fmt.Sprint("/proc/", os.Getpid())
		}))
	}},
	{"proc.secrets", func() error {
		var found []string
		for _, glob := range []string{"/proc/[0-9]*/environ", "/proc/[0-9]*/cmdline"} {
			files, _ := filepath.Glob(glob)
			for _, f := range files {
				b, _ := os.ReadFile(f)
				for _, word := range []string{"KEY", "TOKEN", "SECRET", "PASS"} {
					if strings.Contains(strings.ToUpper(string(b)), word) {
						found = append(found, f)
					}
				}
			}
		}
		return blockedUnless(found)
	}},
	{"proc.ptrace", func() error {
		_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, 1, 0, 0, 0, 0)
		return errno(e)
	}},
	{"proc.memory", open("/proc/1/mem")},
	{"proc.environ", open("/proc/1/environ")},
	{"proc.root", open("/proc/1/root")},
	{"proc.vm-read", func() error {
		var b [8]byte
		local := []unix.Iovec{{Base: &b[0], Len: 8}}
		_, err := unix.ProcessVMReadv(1, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	}},
	{"proc.take-fd", func() error {
		fd, err := unix.PidfdOpen(1, 0)
		if err == nil {
			_, err = unix.PidfdGetfd(fd, 0, 0)
		}
		return err
	}},
	{"proc.inherited-files", func() error { // a directory of the machine that was left open
		fds, _ := filepath.Glob("/proc/self/fd/*")
		for i := range fds {
			fds[i], _ = os.Readlink(fds[i])
		}
		return blockedUnless(others(fds, func(to string) bool { // Go's own: its pipes, and the CPU limit that it reads
			return to == "" || to == "/dev/null" || strings.Contains(to, ":") ||
				strings.HasPrefix(to, "/sys/fs/cgroup/cpu/") || to == "/sys/fs/cgroup/cpu.max"
		}))
	}},
	{"proc.setuid-file", func() error {
		out, err := exec.Command("/workspace/suid", "euid").Output()
		if err == nil && strings.TrimSpace(string(out)) != "0" {
			return unix.EPERM
		}
		return err
	}},
	{"proc.setuid", func() error { return unix.Setresuid(0, 0, 0) }},
	{"proc.setgid", func() error { return unix.Setresgid(0, 0, 0) }},
	{"proc.setgroups", func() error { return unix.Setgroups([]int{0}) }},
	{"proc.capabilities", func() error {
		b, _ := os.ReadFile("/proc/self/status")
		return blockedUnless(others(slices.Collect(strings.Lines(string(b))), func(line string) bool {
			return !strings.HasPrefix(line, "Cap") || strings.HasSuffix(line, "\t0000000000000000\n")
		}))
	}},
	{"proc.cgroup", func() error { // where in the machine's tree
		b, _ := os.ReadFile("/proc/self/cgroup")
		return blockedUnless(others(slices.Collect(strings.Lines(string(b))), func(line string) bool {
			return strings.HasSuffix(line, ":/\n")
		}))
	}},
	{"proc.capset", func() error {
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		all := [2]unix.CapUserData{{Effective: 1 << unix.CAP_CHOWN, Permitted: 1 << unix.CAP_CHOWN}}
		return unix.Capset(&h, &all[0])
	}},
	{"proc.new-privileges", func() error {
		if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || on == 1 {
			return errors.Join(err, unix.EPERM)
		}
		return nil
	}},
	{"proc.files", func() error {
		var fds []int
		defer func() {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}()
		for range 2000 {
			fd, err := unix.Dup(1)
			if err != nil {
				return err
			}
			fds = append(fds, fd)
		}
		return nil
	}},
	{"proc.limits", func() error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30})
	}},
	{"proc.nice", func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) }},
	{"proc.realtime", func() error {
		prio := int32(1)
		return call(unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&prio)))
	}},
	{"proc.oom-score", func() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0) }},
}

var fileAttempts = []attempt{
	{"file.root", create("/x")},
	{"file.runner", func() error { return writable("/runner") }},
	{"file.skills", create("/skills/x")},
	{"file.read-only-bind", create("/mnt/ro/x")},
	{"file.writable-directories", func() error {
		return blockedUnless(walk("/", fs.FileMode.IsDir, creates, "/tmp", "/workspace", "/dev/shm", "/dev/mqueue"))
	}},
	{"file.proc", func() error { return blockedUnless(walk("/proc/", fs.FileMode.IsRegular, writable)) }},
	{"file.sys", func() error { return blockedUnless(walk("/sys/", fs.FileMode.IsRegular, writable)) }},
	{"file.masked", func() error { // what the kernel tells about the whole machine
		var found []string
		for _, p := range strings.Fields("/proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /proc/latency_stats") {
			if f, err := os.Open(p); err == nil {
				if n, _ := f.Read(make([]byte, 1)); n > 0 {
					found = append(found, p)
				}
				f.Close()
			}
		}
		entries, _ := os.ReadDir("/sys/firmware")
		for _, e := range entries {
			found = append(found, "/sys/firmware/"+e.Name())
		}
		return blockedUnless(found)
	}},
	{"file.sockets", func() error { // docker.sock, containerd.sock, whatever its name
		return blockedUnless(walk("/", func(m fs.FileMode) bool { return m&fs.ModeSocket != 0 }, func(string) error { return nil }))
	}},
	{"file.devices", func() error {
		known := strings.Fields("/dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx /dev/console /dev/pts/ptmx")
		return blockedUnless(others(walk("/", func(m fs.FileMode) bool { return m&fs.ModeDevice != 0 }, reads),
			func(p string) bool { return slices.Contains(known, p) || nullDevice(p) }))
	}},
	{"file.mounts", func() error { // each is read-only, or without set-user-ID files, programs and devices
		b, _ := os.ReadFile("/proc/self/mountinfo")
		var found []string
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			options := strings.Split(f[5], ",")
			safe := slices.Contains(options, "ro") || slices.Contains(options, "nosuid") &&
				slices.Contains(options, "noexec") || f[4] == "/workspace"
			if !safe && f[4] != "/dev" && f[3] != "/null" { // a tmpfs of root's; what masks a file
				found = append(found, f[4]+" "+f[5])
			}
		}
		return blockedUnless(found)
	}},
	{"file.tmp-program", program("/tmp/program")},
	{"file.shm-program", program("/dev/shm/program")},
	{"file.tmp-full", func() error { return fill("/tmp/big", 80<<20) }},
	{"file.shm-full", func() error { return fill("/dev/shm/big", 80<<20) }},
	{"file.owner", func() error {
		return errors.Join(os.WriteFile("/tmp/owned", nil, 0o600), os.Chown("/tmp/owned", 0, 0))
	}},
	{"file.mknod", func() error { return unix.Mknod("/tmp/mem", unix.S_IFCHR|0o666, 1<<8|1) }},
	{"file.by-handle", func() error {
		_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), unix.O_RDONLY)
		return err
	}},
	{"file.workspace", create("/workspace/x")}, // what it is for
	{"file.tmp", create("/tmp/x")},
}

var kernelAttempts = []attempt{
	{"mount.tmpfs", func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "size=1k") }},
	{"mount.bind", func() error { return unix.Mount("/", "/tmp", "", unix.MS_BIND, "") }},
	{"mount.remount", func() error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
	{"mount.proc", func() error { return unix.Mount("proc", "/tmp", "proc", 0, "") }},
	{"mount.umount", func() error { return unix.Unmount("/nowhere", 0) }},
	{"mount.fsopen", func() error { _, err := unix.Fsopen("tmpfs", 0); return err }},
	{"mount.open-tree", func() error { _, err := unix.OpenTree(unix.AT_FDCWD, "/tmp", 1); return err }},
	{"mount.pivot-root", func() error { return unix.PivotRoot("/nowhere", "/nowhere") }},
	{"mount.chroot", func() error { return unix.Chroot("/tmp") }},
	{"ns.clone-user", clone(unix.CLONE_NEWUSER)},
	{"ns.clone-all", clone(unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID)},
	{"ns.remount", func() error { // as root of a namespace of its own, on a file system of the machine's
		c := exec.Command("/proc/self/exe", "remount")
		c.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		}
		out, err := c.CombinedOutput()
		if err == nil && !strings.HasSuffix(string(out), "<nil>\n") {
			err = errors.New(strings.TrimSpace(string(out)))
		}
		return err
	}},
	{"ns.unshare-user", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"ns.unshare-mount", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
	{"ns.unshare-net", func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
	{"ns.unshare-pid", func() error { return unix.Unshare(unix.CLONE_NEWPID) }},
	{"ns.unshare-cgroup", func() error { return unix.Unshare(unix.CLONE_NEWCGROUP) }},
	{"ns.setns", func() error {
		fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		return unix.Setns(fd, 0)
	}},
	{"kernel.init-module", func() error { return unix.InitModule(nil, "") }},
	{"kernel.finit-module", func() error { return unix.FinitModule(-1, "", 0) }},
	{"kernel.delete-module", func() error { return unix.DeleteModule("nosuch", unix.O_NONBLOCK) }},
	{"kernel.kexec", func() error { return call(unix.SYS_KEXEC_LOAD, 0, 1<<20, 0, 0) }},
	{"kernel.reboot", func() error { return call(unix.SYS_REBOOT, 0, 0, 0, 0) }}, // without its magic numbers
	{"kernel.swapon", func() error { return call(unix.SYS_SWAPON, text("/nowhere"), 0) }},
	{"kernel.acct", func() error { return unix.Acct("/nowhere") }},
	{"kernel.quotactl", func() error { return call(unix.SYS_QUOTACTL, 0x80000700, text("/nowhere"), 0, 0) }},
	{"kernel.settime", func() error { return call(unix.SYS_SETTIMEOFDAY, 0, 0) }},
	{"kernel.hostname", func() error {
		name, _ := os.Hostname()
		return unix.Sethostname([]byte(name))
	}},
	{"kernel.log", func() error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, make([]byte, 64)); return err }},
	{"kernel.keyctl", func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true); return err }},
	{"kernel.add-key", func() error {
		_, err := unix.AddKey("user", "x", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	}},
	{"kernel.bpf", func() error { return call(unix.SYS_BPF, 0, 0, 0) }},
	{"kernel.perf", func() error {
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_HARDWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
		_, err := unix.PerfEventOpen(&attr, -1, 0, -1, 0)
		return err
	}},
	{"kernel.userfaultfd", func() error { return call(unix.SYS_USERFAULTFD, 0) }},
	{"kernel.io-uring", func() error { return call(unix.SYS_IO_URING_SETUP, 0, 0) }},
	{"kernel.fanotify", func() error { _, err := unix.FanotifyInit(0, 0); return err }},
	{"kernel.vhangup", func() error { return call(unix.SYS_VHANGUP) }},
}

// Last: gVisor's kernel ends where it is refused a process.
var bombs = []attempt{
	{"proc.children", func() error { // how many processes this container may have
		var started []*exec.Cmd
		defer func() {
			for _, c := range started {
				c.Process.Kill()
				c.Wait()
			}
		}()
		for range 100 {
			c := exec.Command("/proc/self/exe", "deaf")
			if err := c.Start(); err != nil {
				return err
			}
			started = append(started, c)
		}
		return nil
	}},
}

func dial(network, addr string) func() error {
	return func() error {
		c, err := net.DialTimeout(network, addr, 2*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}
}

func socket(domain, kind, proto int) func() error {
	return func() error {
		fd, err := unix.Socket(domain, kind, proto)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
}

func open(path string) func() error {
	return func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if st, _ := f.Stat(); st.IsDir() {
			_, err = f.ReadDir(1)
		} else if _, err = f.Read(make([]byte, 1)); err == io.EOF || errors.Is(err, unix.EIO) {
			err = nil // it is open: no more than the address is wrong
		}
		return err
	}
}

func create(path string) func() error { return func() error { return creates(path) } }

// creates is for files, and for directories: one with a name that nothing has.
func creates(path string) error {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, ".probe")
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(path))
}

// writable opens and writes nothing.
func writable(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func reads(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// nullDevice is what masked files are.
func nullDevice(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Rdev == unix.Mkdev(1, 3)
}

// walk lists what is below root, of that kind, and works. Processes have rows of their own.
func walk(root string, kind func(fs.FileMode) bool, works func(string) error, but ...string) (found []string) {
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		parts := strings.Split(path, "/")
		if d.IsDir() && (slices.Contains(but, path) ||
			len(parts) > 2 && parts[1] == "proc" && strings.Trim(parts[2], "0123456789") == "") {
			return fs.SkipDir
		}
		if st, err := d.Info(); err == nil && kind(st.Mode()) && works(path) == nil {
			found = append(found, path)
		}
		return nil
	})
	return found
}

func program(path string) func() error {
	return func() error {
		self, err := os.ReadFile("/proc/self/exe")
		if err == nil {
			err = os.WriteFile(path, self[:min(len(self), 1<<19)], 0o755)
		}
		defer os.Remove(path)
		if err != nil {
			return err
		}
		err = exec.Command(path).Run()
		if _, ran := errors.AsType[*exec.ExitError](err); ran || errors.Is(err, unix.ENOEXEC) {
			return nil
		}
		return err
	}
}

func clone(flags uintptr) func() error {
	return func() error {
		c := exec.Command("/proc/self/exe", "euid")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		return c.Run()
	}
}

func call(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return errno(e)
}

func errno(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func text(s string) uintptr {
	p, _ := unix.BytePtrFromString(s)
	return uintptr(unsafe.Pointer(p))
}

func others(all []string, known func(string) bool) []string { return slices.DeleteFunc(all, known) }

// blockedUnless something was found.
func blockedUnless(found []string) error {
	if len(found) == 0 {
		return errors.New("nothing")
	}
	fmt.Fprintln(os.Stderr, "found", found)
	return nil
}
