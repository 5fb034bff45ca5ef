package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
)

// Process is the engine without isolation: the runner is a subprocess that sees this
// machine, and WASM is the only wall. It is for development and machines without Docker,
// and nothing chooses it by itself.
type Process struct {
	runner string
	log    hclog.Logger
}

var _ host.Engine = (*Process)(nil)

// NewProcess runs the runner at path.
func NewProcess(runnerPath string, log hclog.Logger) *Process {
	return &Process{runner: runnerPath, log: log.Named("process")}
}

// Path is the source: nothing is mounted.
func (p *Process) Path(b host.Bind) string { return b.Source }

// Isolated is false.
func (p *Process) Isolated() bool { return false }

// Reap finds nothing: runners end with the host.
func (p *Process) Reap(context.Context) (int, error) { return 0, nil }

// Owner is the host's own uid and gid.
func (p *Process) Owner() (uid, gid int) { return os.Getuid(), os.Getgid() }

// Close does nothing.
func (p *Process) Close() error { return nil }

// subprocess is one runner.
type subprocess struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      *os.File
	log      *tail
	began    time.Time
	done     chan struct{}
	exit     host.Exit // before done
	close    sync.Once
	closeErr error
}

// Start runs the runner in a process group of its own, with an empty environment. Of the
// limits it knows memory alone, and roughly.
func (p *Process) Start(ctx context.Context, s host.Spec) (host.Container, error) {
	if err := errors.Join(ctx.Err(), checkLimits(s.Limits)); err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe() // not StdoutPipe, which loses what was not read when the process ends
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	c := &subprocess{
		cmd: exec.Command(p.runner, s.Args...), out: out, log: &tail{log: p.log},
		began: time.Now(), done: make(chan struct{}),
	}
	c.cmd.Env, c.cmd.Dir = []string{"TMPDIR=" + os.TempDir()}, os.TempDir()
	c.cmd.Stdout, c.cmd.Stderr, c.cmd.WaitDelay = stdout, c.log, lateEvent // a child may hold stderr
	started := make(chan error, 1)
	if c.in, err = c.cmd.StdinPipe(); err == nil {
		go c.run(s.Limits.Memory, started)
		err = <-started
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: runner does not start: %w", host.ErrUnavailable, err), out.Close())
	}
	return c, nil
}

// run starts the process and waits for its end.
func (c *subprocess) run(memory int64, started chan<- error) {
	bindToHost(c.cmd)
	err := c.cmd.Start()
	if err != nil {
		started <- err
		return
	}
	if err = limitMemory(c.cmd.Process.Pid, memory); err != nil {
		c.kill()
	}
	started <- err
	c.cmd.Wait() // its error is the exit code
	c.kill()     // what it left behind
	log := c.log.String()
	c.exit = host.Exit{
		Code: c.cmd.ProcessState.ExitCode(), OOM: strings.Contains(log, "out of memory"), Log: log, Ran: time.Since(c.began),
	}
	close(c.done)
}

func (c *subprocess) ID() string                  { return fmt.Sprintf("pid-%d", c.cmd.Process.Pid) }
func (c *subprocess) Read(p []byte) (int, error)  { return c.out.Read(p) }
func (c *subprocess) Write(p []byte) (int, error) { return c.in.Write(p) }
func (c *subprocess) Done() <-chan struct{}       { return c.done }
func (c *subprocess) Exit() host.Exit             { <-c.done; return c.exit }

// Close kills the process group.
func (c *subprocess) Close() error {
	c.close.Do(func() {
		select {
		case <-c.done: // the number may be another's by now
		default:
			c.kill()
		}
		_ = c.in.Close() // the end of the process may have been faster
		c.closeErr = c.out.Close()
		select {
		case <-c.done:
		case <-time.After(removeTimeout):
			c.closeErr = fmt.Errorf("%w: runner %s does not die", host.ErrTimeout, c.ID())
		}
	})
	return c.closeErr
}

func (c *subprocess) kill() { _ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }
