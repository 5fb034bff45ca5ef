package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

var languages = []string{"go", "rust", "c", "assemblyscript"}

// nanoclaw runs the built program and shows what it said only when it fails.
func (b *bench) nanoclaw(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "nanoclaw"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("nanoclaw %v: %w: %s%s", args, err, out, &stderr)
	}
	return string(out), nil
}

// languages measures what `skill new` makes in each language: the file's size, admission,
// loading, an instance, a call. The baseline is the same in Go. A toolchain that is missing
// is an error.
func (b *bench) languages(ctx context.Context) ([]Row, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	size := map[string]float64{}
	for _, lang := range languages {
		src, file := filepath.Join(dir, lang), filepath.Join(dir, lang+".wasm")
		_, err := b.nanoclaw(ctx, "", "skill", "new", "hello", "--lang", lang, "-o", src)
		if err == nil {
			_, err = b.nanoclaw(ctx, "", "skill", "build", src, "-o", file)
		}
		if err != nil {
			return nil, err
		}
		st, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		size[lang] = float64(st.Size())
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkSkill$", "-benchtime", "1s",
		"./host/wasm")
	cmd.Env = append(os.Environ(), "NANOCLAW_BENCH_SKILLS="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("languages: %w: %s", err, out)
	}
	ns := results(string(out), "BenchmarkSkill/")
	var rows []Row
	for _, lang := range languages {
		rows = append(rows, row(lang+"_size_bytes", "B", size[lang], "the same in Go, B", size["go"]))
		for _, r := range []struct {
			name, unit string
			scale      float64
		}{{"admit", "ms", 1e6}, {"load", "ms", 1e6}, {"instantiate", "µs", 1e3}, {"call", "µs", 1e3}} {
			got, base := ns[lang+"/"+r.name], ns["go/"+r.name]
			if got == 0 || base == 0 {
				return rows, fmt.Errorf("languages: no %s of %s in: %s", r.name, lang, out)
			}
			rows = append(rows, row(lang+"_"+r.name, r.unit, got/r.scale, "the same in Go, "+r.unit, base/r.scale))
		}
	}
	return rows, nil
}

// stranger is the path of somebody who never made a skill, with the bundled ones in place:
// new, build, and asking for it in a chat.
func (b *bench) stranger(ctx context.Context) ([]Row, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	plugins, src := filepath.Join(dir, "plugins"), filepath.Join(dir, "hello")
	if err := os.CopyFS(plugins, os.DirFS("plugins")); err != nil {
		return nil, err
	}
	cfg, err := shipped(dir, `dir = "plugins"`, "dir = "+strconv.Quote(plugins),
		`skills = ["notes", `, `skills = ["hello", "notes", `)
	if err != nil {
		return nil, err
	}
	flags := []string{"--config", cfg, "--state", filepath.Join(dir, "state")}
	if _, err := b.nanoclaw(ctx, "", append(flags, "skill", "list")...); err != nil { // admits the bundled ones
		return nil, err
	}
	began := time.Now()
	for _, step := range [][]string{
		{"skill", "new", "hello", "-o", src}, {"skill", "build", src, "-o", filepath.Join(plugins, "hello.wasm")},
	} {
		if _, err := b.nanoclaw(ctx, "", append(flags, step...)...); err != nil {
			return nil, err
		}
	}
	got, err := b.nanoclaw(ctx, "/hello Ada\n", append(flags, "chat")...)
	if err == nil && !strings.HasPrefix(got, "Hello, Ada!\n") { // the offline model introduces itself once
		err = errors.New("chat said " + strconv.Quote(got))
	}
	if err != nil {
		return nil, err
	}
	return []Row{row("stranger", "s", time.Since(began).Seconds(), "target 10 s", 10)}, nil
}
