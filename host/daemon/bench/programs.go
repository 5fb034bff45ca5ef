package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// calcProgram answers what measure asks.
const calcProgram = `package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	prompt, _ := io.ReadAll(os.Stdin)
	n, at := 0, strings.LastIndex(string(prompt), "/calc ")
	fmt.Sscanf(string(prompt[at:]), "/calc %d*7", &n)
	fmt.Println(n * 7)
}
`

const calcImage = "nanoclaw-bench-program"

// programs measures turns that a program answers: each in a container of its own, and in one that is kept.
func (b *bench) programs(ctx context.Context) (rows []Row, err error) {
	if err := importProgram(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, exec.CommandContext(ctx, "docker", "rmi", calcImage).Run()) }()
	for _, how := range []struct {
		name, lifetime string
		spares         int
	}{{"cold_exec_turn", "turn", 0}, {"warm_exec_turn", "conversation", 1}} {
		p, err := startHost(ctx, b.bin, fmt.Sprintf("max_spares = %d\n[roles.program]\nengine = \"exec\"\nimage = %q\n"+
			"command = [\"calc\"]\nlifetime = %q\n[[routes]]\nchannel = \"console\"\nchat = \"bench\"\nrole = \"program\"\n",
			how.spares, calcImage, how.lifetime))
		if err != nil {
			return rows, err
		}
		times, err := p.measure(ctx, b.n, how.spares > 0)
		p.stop()
		if err != nil {
			return rows, fmt.Errorf("%s: %w", how.name, err)
		}
		rows = append(rows, row(how.name, "ms", ms(p50(times)), "bare container, ms", ms(b.bare)))
	}
	return rows, nil
}

// importProgram makes an image that holds the program alone.
func importProgram(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	src, exe := filepath.Join(dir, "main.go"), filepath.Join(dir, "calc")
	if err := os.WriteFile(src, []byte(calcProgram), 0o644); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", exe, src)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("program: %w: %s", err, out)
	}
	bin, err := os.ReadFile(exe)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err = errors.Join(
		w.WriteHeader(&tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}),
		w.WriteHeader(&tar.Header{Name: "bin/calc", Mode: 0o755, Size: int64(len(bin))}),
	)
	if err == nil {
		_, err = w.Write(bin)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	load := exec.CommandContext(ctx, "docker", "import", "-", calcImage)
	load.Stdin = &layer
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("docker import: %w: %s", err, out)
	}
	return nil
}
