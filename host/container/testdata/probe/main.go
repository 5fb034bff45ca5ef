// Probe is what container tests run in place of the runner.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

func main() {
	verb := "serve"
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	_, err := os.Stat("/.dockerenv")
	if (verb == "status" || verb == "fork" || verb == "attempts") && err != nil {
		fmt.Println("only in a container: it would try all this on the machine")
		os.Exit(1)
	}
	switch verb {
	case "env":
		fmt.Println("Env", strings.Join(os.Environ(), " "))
	case "serve", "admit": // echo until stdin ends
		fmt.Fprintln(os.Stderr, "probe: up")
		io.Copy(os.Stdout, os.Stdin)
	case "deaf": // outlives its stdin
		fmt.Println("deaf")
		time.Sleep(time.Hour)
	case "status":
		status()
	case "attempts":
		runAttempts(os.Args[2:])
	case "attempt":
		tryAll(os.Args[2:])
	case "remount":
		err := syscall.Mount("", "/mnt/ro", "", syscall.MS_REMOUNT|syscall.MS_BIND, "")
		fmt.Println(err, os.WriteFile("/mnt/ro/x", nil, 0o600))
	case "euid":
		fmt.Println(os.Geteuid())
	case "oom":
		var keep [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := range b {
				b[i] = 1
			}
			keep = append(keep, b)
		}
	case "fork": // how many processes can be started
		n := 0
		for ; n < 200; n++ {
			if err := exec.Command("/proc/self/exe", "serve").Start(); err != nil {
				break
			}
		}
		fmt.Println(n)
		time.Sleep(time.Hour)
	case "orphan": // leaves a child that holds stderr
		cmd := exec.Command("/proc/self/exe", "deaf")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println(cmd.Process.Pid)
	case "noise":
		for range 5000 {
			fmt.Fprintln(os.Stderr, "\x1b[2J"+strings.Repeat("noise", 1000))
		}
		fmt.Println("done")
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(7)
	}
}

// status prints what this process may and may not do, one fact a line.
func status() {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		for _, k := range []string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"} {
			if v, ok := strings.CutPrefix(line, k+":"); ok {
				fmt.Println(k, strings.Join(strings.Fields(v), " "))
			}
		}
	}
	fmt.Println("PID", os.Getpid())
	fmt.Println("Env", strings.Join(os.Environ(), " "))
	fmt.Println("RootWrite", os.WriteFile("/x", nil, 0o600))
	fmt.Println("TmpWrite", os.WriteFile("/tmp/x", []byte("#!/runner\n"), 0o700))
	fmt.Println("TmpExec", exec.Command("/tmp/x").Run())
	fmt.Println("BigTmp", fill("/tmp/big", 80<<20))
	fmt.Println("ROBind", os.WriteFile("/mnt/ro/x", nil, 0o600))
	fmt.Println("RWBind", os.WriteFile("/workspace/x", []byte("hello"), 0o600))
	var l syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	fmt.Println("Files", l.Max)
	syscall.Getrlimit(syscall.RLIMIT_CORE, &l)
	fmt.Println("Core", l.Max)
	ifaces, _ := net.Interfaces()
	fmt.Println("Interfaces", len(ifaces))
	_, err := net.DialTimeout("tcp", "1.1.1.1:443", time.Second)
	fmt.Println("Dial", err)
	fmt.Println("Mount", syscall.Mount("none", "/tmp", "tmpfs", 0, ""))
	_, err = os.Stat("/var/run/docker.sock")
	fmt.Println("DockerSocket", err)
	fmt.Println("END")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

func fill(path string, n int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	for block := make([]byte, 1<<20); n > 0; n -= len(block) {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return nil
}
