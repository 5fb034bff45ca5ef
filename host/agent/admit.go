package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/cpu"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds on the compiling of one skill.
const (
	admitTimeout = time.Minute
	admitMemory  = 1 << 30
	maxAnswer    = 64 << 10
	maxCompiled  = 512 << 20 // bytes it may leave
	maxCompiledN = 64        // files and directories
)

// Admitter compiles skills in containers of their own. It implements skill.Admitter.
type Admitter struct {
	Engine       host.Engine
	Image        string
	Runtimes     []string // OCI runtimes to compile for; none = the engine's default
	RunnerDigest string
	Log          hclog.Logger
	timeout      time.Duration // 0 = admitTimeout
}

// Key says for which runner, runtime and machine compiled skills are.
func (a *Admitter) Key() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%+v\n%+v",
		a.RunnerDigest, strings.Join(a.Runtimes, " "), runtime.GOARCH, cpu.X86, cpu.ARM64))
	return hex.EncodeToString(sum[:16])
}

// Admit compiles the module at wasmPath into outDir: skill.wasm and cache/. A module that is
// refused is host.ErrInvalid, or host.ErrLimit when it asks for too much time or memory.
func (a *Admitter) Admit(ctx context.Context, wasmPath, outDir string) error {
	uid, gid := a.Engine.Owner()
	if os.Getuid() == 0 {
		if err := os.Lchown(outDir, uid, gid); err != nil {
			return err
		}
	}
	// Compiled code is for the CPU features that a runtime shows; each adds what it lacks to one cache.
	for _, r := range append([]string{""}, a.Runtimes...)[min(1, len(a.Runtimes)):] {
		if err := a.compile(ctx, r, wasmPath, outDir); err != nil {
			return err
		}
	}
	return seal(outDir, maxCompiled, maxCompiledN)
}

func (a *Admitter) compile(ctx context.Context, ociRuntime, wasmPath, outDir string) error {
	in := host.Bind{Source: wasmPath, Target: "/skills/in.wasm"}
	out := host.Bind{Source: outDir, Target: workspaceDir, Write: true}
	c, err := a.Engine.Start(ctx, host.Spec{
		Image: a.Image, Runtime: ociRuntime, Binds: []host.Bind{in, out},
		Args:   []string{"admit", a.Engine.Path(in), a.Engine.Path(out)},
		Limits: host.Limits{Memory: admitMemory, CPUs: 1, PIDs: 128}, Labels: map[string]string{"agent": "admit"},
	})
	if err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	timeout := cmp.Or(a.timeout, admitTimeout) // from here on: a daemon that is slow is not the skill's fault
	slow := fmt.Errorf("%w: refused: compiling takes more than %v", host.ErrLimit, timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, slow)
	defer cancel()
	err = a.result(ctx, c)
	if cerr := c.Close(); cerr != nil {
		a.Log.Warn("container not removed", "container", c.ID(), "error", cerr)
	}
	return err
}

// result is what the container says, or how it ended.
func (a *Admitter) result(ctx context.Context, c host.Container) error {
	said := make(chan []byte, 1)
	go func() {
		b, err := wire.ReadLimited(c, maxAnswer)
		if err != nil && !errors.Is(err, wire.ErrTooLarge) {
			b = nil
		}
		said <- b
	}()
	var line []byte
	select {
	case b := <-said:
		line, _, _ = bytes.Cut(b, []byte("\n"))
	case <-ctx.Done():
		if cause := context.Cause(ctx); errors.Is(cause, host.ErrLimit) {
			return cause
		}
		return fmt.Errorf("%w while a skill was compiled", host.ErrStopped)
	}
	var r wire.AdmitResult
	if err := wire.Unmarshal(line, &r); err == nil && r.OK {
		return nil
	} else if err == nil {
		return fmt.Errorf("%w: refused: %s", host.ErrInvalid, printable(r.Error))
	}
	select {
	case <-c.Done():
	case <-time.After(endWait):
		return broken("no answer about the module")
	}
	exit := c.Exit()
	if exit.OOM {
		return fmt.Errorf("%w: refused: compiling needs too much memory", host.ErrLimit)
	}
	a.Log.Warn("the compiler ended without an answer", "code", exit.Code, "stderr", exit.Log)
	return fmt.Errorf("%w: refused: the compiler failed on it (exit code %d)", host.ErrCrashed, exit.Code)
}
