package kit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// ChildAdmitter compiles in a memory-limited process of this machine: for building
// skills where no Docker daemon answers. It is not what guards a host: agent.Admitter is.
type ChildAdmitter struct{ Runner string }

const (
	childMemoryKiB = 4 << 20 // of address space, most of which Go only reserves
	childTimeout   = 2 * time.Minute
)

// Key is never used: nothing of a build's compilation is kept.
func (ChildAdmitter) Key() string { return "child-" + runtime.GOARCH }

// Admit runs the runner's `admit`.
func (c ChildAdmitter) Admit(ctx context.Context, wasmPath, outDir string) error {
	ctx, cancel := context.WithTimeout(ctx, childTimeout)
	defer cancel()
	limit := fmt.Sprintf(`ulimit -v %d 2>/dev/null; exec "$0" admit "$1" "$2"`, childMemoryKiB) // macOS has no such limit
	cmd := exec.CommandContext(ctx, "sh", "-c", limit, c.Runner, wasmPath, outDir)
	cmd.Env = []string{"GOMEMLIMIT=1GiB", "TMPDIR=" + os.TempDir()}
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var result wire.AdmitResult
	switch decode := wire.Decode(io.LimitReader(&stdout, maxOutput), maxOutput, &result); {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: refused: compiling took longer than %v", host.ErrDenied, childTimeout)
	case decode == nil && result.OK && err == nil:
		return nil
	case decode == nil && result.Error != "":
		return fmt.Errorf("%w: %s", host.ErrDenied, result.Error)
	case strings.Contains(stderr.String(), "out of memory"):
		return fmt.Errorf("%w: refused: compiling needs too much memory", host.ErrDenied)
	}
	return fmt.Errorf("%w: the compiling process failed: %w: %.500s", host.ErrCrashed, err, stderr.String())
}
