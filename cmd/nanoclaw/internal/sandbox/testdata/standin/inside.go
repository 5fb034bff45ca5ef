package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// run runs a command in a sandbox. It has a network namespace of its own, in which there is nothing but
// the way to the proxy, and none of the environment outside.
func run(c call) error {
	if c.has("-d") || c.has("--detach") {
		return errors.New("detached execution isn't supported")
	}
	name, argv := c.Args[0], c.Args[1:]
	b, err := load(name)
	if err == nil {
		err = b.wake()
	}
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	const proxy = "http://127.0.0.1:3128"
	cmd := exec.Command(self, append([]string{"inner", b.socket()}, argv...)...)
	cmd.Dir = c.flag("-w", "--workdir")
	if cmd.Dir == "" && len(b.Workspaces) > 0 {
		cmd.Dir = b.Workspaces[0]
	}
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/agent", "TERM=" + os.Getenv("TERM"),
		"SANDBOX_NAME=" + name, "HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "http_proxy=" + proxy, "https_proxy=" + proxy,
		"NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1",
		"PROXY_CA_CERT_B64=" + base64.StdEncoding.EncodeToString(b.CA),
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.note(cmd.Process.Pid)
	err = cmd.Wait()
	_ = os.Remove(filepath.Join(dir(), b.Name+".pids", fmt.Sprint(cmd.Process.Pid)))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(max(1, exit.ExitCode()))
	}
	return err
}

// inner is the first process in the namespace.
func inner(args []string) int {
	socket, argv := args[0], args[1:]
	if os.Getuid() == 0 {
		if err := loopback(); err != nil {
			fmt.Fprintln(os.Stderr, "loopback:", err)
			return 1
		}
		l, err := net.Listen("tcp", "127.0.0.1:3128")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go forward(l, socket)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	c := exec.Command(path, argv[1:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := c.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 126
	}
	go func() {
		for s := range signals {
			_ = c.Process.Signal(s)
		}
	}()
	err = c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode())
	}
	return 0
}

// loopback brings the namespace's own up.
func loopback() error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var req struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], "lo")
	req.flags = syscall.IFF_UP | syscall.IFF_RUNNING
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&req))); e != 0 {
		return e
	}
	return nil
}

func forward(l net.Listener, socket string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer out.Close()
			join(in, out)
		}()
	}
}

// join copies both ways until either ends.
func join(a, b io.ReadWriter) {
	done := make(chan struct{}, 2)
	for _, d := range [][2]io.ReadWriter{{a, b}, {b, a}} {
		go func() { _, _ = io.Copy(d[0], d[1]); done <- struct{}{} }()
	}
	<-done
}

// host is a nanoclaw that runs, says so, and does nothing.
func host() int {
	at := ""
	for i, a := range os.Args {
		if a == "--config" && i+1 < len(os.Args) {
			at = filepath.Join(filepath.Dir(os.Args[i+1]), "runs")
		}
	}
	switch strings.Join(os.Args[3:], " ") {
	case "status --json":
		text, err := os.ReadFile(at)
		if err != nil {
			return 1
		}
		_, _ = os.Stdout.Write(text)
		return 0
	case "run --wait-docker 1m":
		if words := os.Getenv("STANDIN_FAIL"); words != "" {
			fmt.Fprintln(os.Stderr, words)
			return 1
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(at), "fails")); err == nil {
			fmt.Fprintln(os.Stderr, "no luck today \x1b[31m")
			return 1
		}
		text, _ := json.Marshal(map[string]any{"pid": os.Getpid(), "version": "test"})
		if err := os.WriteFile(at, text, 0o600); err != nil {
			return 1
		}
		defer os.Remove(at)
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		<-end
		return 0
	}
	return 2
}
