package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/tetratelabs/wazero"

	"github.com/nanoclaw/nanoclaw/sdk/module"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Admit turns the module at in into what a runner loads: outDir/skill.wasm, metered and
// without custom sections, and outDir/cache with its native code. It runs in a container
// of its own, since compiling is what hostile modules attack; the host has scanned the
// file before, and Admit scans again because it trusts nobody. The error in the result
// is one sentence.
func Admit(ctx context.Context, in, outDir string) wire.AdmitResult {
	size, err := admit(ctx, in, outDir)
	if err != nil {
		line := strings.Join(strings.Fields(err.Error()), " ") // wazero writes several
		return wire.AdmitResult{Error: cut(line, 512)}
	}
	return wire.AdmitResult{OK: true, Size: size}
}

func admit(ctx context.Context, in, outDir string) (size int64, err error) {
	wasm, err := readModule(in)
	if err != nil {
		return 0, err
	}
	// Meter scans first, but wazero has to validate before anything is rewritten.
	if _, err := module.Scan(wasm); err != nil {
		return 0, err
	}
	if err := validate(ctx, wasm); err != nil {
		return 0, fmt.Errorf("%w: not valid: %w", module.ErrRefused, err)
	}
	metered, err := Meter(wasm)
	if err != nil {
		return 0, err
	}
	debug.FreeOSMemory() // what follows is the largest part
	cache := filepath.Join(outDir, "cache")
	if err := compileInto(ctx, metered, cache); err != nil {
		return 0, fmt.Errorf("%w: does not compile: %w", module.ErrRefused, err)
	}
	// wazero makes its files for the owner alone, and a runner may have another uid.
	if err := readable(cache); err != nil {
		return 0, fmt.Errorf("make the cache readable: %w", err)
	}
	if err := os.WriteFile(filepath.Join(outDir, "skill.wasm"), metered, 0o600); err != nil {
		return 0, err
	}
	return int64(len(metered)), os.Chmod(filepath.Join(outDir, "skill.wasm"), 0o644)
}

func readModule(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", bare(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, module.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", bare(err))
	}
	return b, nil // Scan refuses what is larger
}

// validate asks wazero, by its interpreter, which makes no native code.
func validate(ctx context.Context, wasm []byte) (err error) {
	defer recovered(&err)
	rt := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(wazero.NewRuntimeConfigInterpreter()))
	defer rt.Close(ctx)
	_, err = rt.CompileModule(ctx, wasm)
	return err
}

// compileInto validates the metered module and leaves its native code in dir.
func compileInto(ctx context.Context, wasm []byte, dir string) (err error) {
	defer recovered(&err)
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return err
	}
	defer cache.Close(ctx)
	rt := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(wazero.NewRuntimeConfigCompiler()).WithCompilationCache(cache))
	defer rt.Close(ctx)
	_, err = rt.CompileModule(ctx, wasm)
	return err
}

// recovered makes an error of a panic: a module that makes wazero panic is refused.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the compiler failed: %v", r)
	}
}

func readable(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.Chmod(p, 0o755)
		case d.Type().IsRegular():
			return os.Chmod(p, 0o644)
		}
		return errors.New("something that is no file in the cache")
	})
}
