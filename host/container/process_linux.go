package container

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToHost gives cmd a process group of its own and lets it die with this process. The
// kernel means the thread that starts it, so that thread is kept for as long as cmd runs.
func bindToHost(cmd *exec.Cmd) {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// limitMemory keeps a module that explodes in the compiler from taking the machine along.
// Untouched pages count here and not in a container, hence four times as much.
func limitMemory(pid int, bytes int64) error {
	limit := uint64(4 * bytes)
	return unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}, nil)
}
