package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

// asInit returns a context that SIGTERM or SIGINT ends. As PID 1 the runner also waits
// for every process whose parent has died, or they would stay as zombies.
func asInit(log hclog.Logger) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	if os.Getpid() != 1 {
		return ctx, stop
	}
	// What one process of a container has in memory is no other's to read or change.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Warn("memory is open to other processes of this container", "error", err)
	}
	own.ended = make(map[int]chan unix.WaitStatus)
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	go func() {
		for range children {
			reap(log)
		}
	}()
	return ctx, stop
}

// own are the children that somebody waits for: the reaper, which may be first, hands on how they
// ended. Its lock is held while one starts, which may end before its number is known.
var own struct {
	sync.Mutex
	ended map[int]chan unix.WaitStatus
}

// startChild starts cmd, whose files must be files, and returns what waits for its end.
func startChild(cmd *exec.Cmd) (wait func() error, err error) {
	own.Lock()
	defer own.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if os.Getpid() != 1 {
		return cmd.Wait, nil
	}
	ended := make(chan unix.WaitStatus, 1)
	own.ended[cmd.Process.Pid] = ended
	return func() error {
		switch status := <-ended; {
		case status.Signaled():
			return fmt.Errorf("signal: %s", status.Signal())
		case status != 0:
			return fmt.Errorf("exit status %d", status.ExitStatus())
		}
		return nil
	}, nil
}

// reap waits for what has ended. One signal may stand for several children.
func reap(log hclog.Logger) (n int) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return n
		}
		n++
		log.Debug("reaped", "pid", pid, "status", status.ExitStatus())
		own.Lock()
		if ended := own.ended[pid]; ended != nil {
			ended <- status
			delete(own.ended, pid)
		}
		own.Unlock()
	}
}
