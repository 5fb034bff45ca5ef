package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
)

const hello = `package main

import "os"

func main() {
	os.Stdout.WriteString("!")
	os.Stdin.Read(make([]byte, 1))
}
`

// containers measures the floor: a container of a program that says one byte, hardened as
// an agent's, through the same daemon.
func (b *bench) containers(ctx context.Context) ([]Row, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	d, image, err := helloImage(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var times []time.Duration
	for range b.n {
		t, err := firstByte(ctx, d, image)
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	b.bare = p50(times)
	runner, err := os.Stat(filepath.Join(b.bin, "nanoclaw-runner"))
	if err != nil {
		return nil, err
	}
	return []Row{row("image_bytes", "B", float64(runner.Size()), "target 10 MB", 10e6)}, nil
}

func helloImage(ctx context.Context, dir string) (*container.Docker, string, error) {
	src, exe := filepath.Join(dir, "main.go"), filepath.Join(dir, "hello")
	if err := os.WriteFile(src, []byte(hello), 0o644); err != nil {
		return nil, "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", exe, src)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("hello: %w: %s", err, out)
	}
	d, err := container.NewDocker(ctx, container.DockerConfig{
		InstallID: "bench", UID: 65532, GID: 65532, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		return nil, "", err
	}
	image, _, err := d.EnsureImage(ctx, exe)
	return d, image, err
}

func firstByte(ctx context.Context, d *container.Docker, image string) (time.Duration, error) {
	began := time.Now()
	c, err := d.Start(ctx, host.Spec{Image: image, Limits: config.DefaultLimits()})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return 0, fmt.Errorf("hello said nothing: %w", err)
	}
	return time.Since(began), nil
}
