package daemon

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host/container"
)

// A container that runs ends with its host, because its stdin does. One that was created and
// not started yet has no process to notice, and a host that is killed in those milliseconds can
// do nothing itself. So a shell waits for the end of this process, in a group of its own, and
// then has `nanoclaw sweep` remove what is left.
const sweeper = `while read -r _; do :; done; exec "$0" sweep "$1" "$2"`

// sweepFor is how long a sweep looks: the daemon may still be making a container.
const sweepFor = 3 * time.Second

// leaveNothing starts the shell. It is killed when the host stops by itself.
func (d *Daemon) leaveNothing() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	install, err := installID(d.config().StateDir)
	if err != nil {
		return err
	}
	shell := exec.Command("/bin/sh", "-c", sweeper, exe, install, processID)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := shell.StdinPipe() // ends with this process, however it ends
	if err == nil {
		err = shell.Start()
	}
	if err != nil {
		return err
	}
	d.onClose(func() error {
		defer alive.Close()
		if err := shell.Process.Kill(); err != nil {
			return err
		}
		_ = shell.Wait() // it was killed
		return nil
	})
	return nil
}

// Sweep removes the containers of a host process that is gone.
func Sweep(ctx context.Context, install, process string, log hclog.Logger) error {
	d, err := container.NewDocker(ctx, container.DockerConfig{InstallID: install, Log: log})
	if err != nil {
		return err
	}
	defer d.Close()
	for end := time.Now().Add(sweepFor); ; time.Sleep(sweepFor / 10) {
		if _, err := d.ReapHost(ctx, process); err != nil || time.Now().After(end) {
			return err
		}
	}
}
