package main

import (
	"context"
	"os"
	"os/signal"

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
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	go func() {
		for range children {
			reap(log)
		}
	}()
	return ctx, stop
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
	}
}
