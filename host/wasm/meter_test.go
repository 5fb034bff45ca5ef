package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// specModules are the modules of the WebAssembly test suite that come with wazero.
func specModules(t testing.TB) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "internal/integration_test/spectest/v2/testdata")
	files, err := filepath.Glob(filepath.Join(dir, "*.wasm"))
	if err != nil || len(files) < 4000 {
		t.Fatalf("%d modules in %s: %v", len(files), dir, err)
	}
	return files
}

// TestMeterSpec meters every valid module of the suite that Scan lets through, which
// must stay valid, and calls its functions with and without: they must do the same.
func TestMeterSpec(t *testing.T) {
	metered, called := 0, 0
	for i, file := range specModules(t) {
		if testing.Short() && i%10 != 0 {
			continue
		}
		wasm, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := module.Scan(wasm); err != nil {
			continue
		}
		ctx := context.Background()
		if validate(ctx, wasm) != nil {
			continue
		}
		after, err := Meter(wasm)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		if err := validate(ctx, after); err != nil {
			t.Errorf("%s: metered: %v", filepath.Base(file), err)
			continue
		}
		metered++
		called += compare(t, filepath.Base(file), wasm, after)
	}
	t.Logf("%d modules metered, %d calls compared", metered, called)
	if !testing.Short() && (metered < 1000 || called < 5000) {
		t.Error("too few: is the suite complete?")
	}
}

var errTicks = errors.New("enough ticks")

// compare calls every exported function of both with simple arguments.
func compare(t *testing.T, name string, plain, metered []byte) (calls int) {
	ctx := context.Background()
	ticks := 0
	start := func(wasm []byte) (api.Module, func()) {
		rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(256))
		err := export(ctx, rt, meterModule, hostFunc{meterTick, func(_ context.Context, _ api.Module, s []uint64) {
			if ticks++; ticks > 2 || int32(s[1]) < 0 {
				panic(errTicks)
			}
		}, "ii", ""})
		if err != nil {
			t.Fatal(err)
		}
		mod, err := rt.Instantiate(ctx, wasm)
		if err != nil { // it imports something
			_ = rt.Close(ctx)
			return nil, nil
		}
		return mod, func() { _ = rt.Close(ctx) }
	}
	a, closeA := start(plain)
	if a == nil {
		return 0
	}
	defer closeA()
	b, closeB := start(metered)
	if b == nil {
		t.Errorf("%s: metered does not start", name)
		return 0
	}
	defer closeB()
	for fn, def := range a.ExportedFunctionDefinitions() {
		if bytes.ContainsAny(def.ResultTypes(), "\x70\x6f") {
			continue // references are addresses
		}
		for _, v := range []uint64{0, 1, 5} {
			args := make([]uint64, len(def.ParamTypes()))
			for i := range args {
				args[i] = v
			}
			ticks = 0
			rb, errB := b.ExportedFunction(fn).Call(ctx, args...)
			if errors.Is(errB, errTicks) {
				return calls // endless or deep; the two are no longer in step
			}
			ra, errA := a.ExportedFunction(fn).Call(ctx, args...)
			calls++
			if fmt.Sprint(ra) != fmt.Sprint(rb) || firstLine(errA) != firstLine(errB) {
				t.Errorf("%s: %s(%v) = %v %v, metered %v %v", name, fn, args, ra, errA, rb, errB)
			}
		}
	}
	return calls
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// TestMeterRefuses: nobody names the counters or brings a tick along.
func TestMeterRefuses(t *testing.T) {
	withGlobal := func(code ...[]byte) []byte {
		b := newBuilder()
		b.global(7)
		return b.skill(b.fn("i", "i", 0, append(code, i32(0))...))
	}
	tick := newBuilder()
	tick.imp(meterModule, meterTick, "ii", "")
	exports := newBuilder()
	exports.export("fuel", 3, 1)
	for _, tc := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"sets the fuel", withGlobal(i32(1), gset(1)), "global 1 of 1"},
		{"reads the depth", withGlobal(gget(2), drop), "global 2 of 1"},
		{"own tick", tick.skill(tick.fn("i", "i", 0, i32(0))), "imports nanoclaw_meter"},
		{"not wasm", []byte("hello"), "not a WebAssembly file"},
	} {
		if _, err := Meter(tc.wasm); !errors.Is(err, module.ErrRefused) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if _, err := Meter(withGlobal(gget(0), drop)); err != nil {
		t.Error(err)
	}
	// An export of a counter never gets as far: the module is not valid before.
	if err := validate(context.Background(), exports.skill(exports.fn("i", "i", 0, i32(0)))); err == nil {
		t.Error("a module that exports a global it does not have is valid")
	}
}

// TestMeterHidesCounters: after metering no export is a counter.
func TestMeterHidesCounters(t *testing.T) {
	b := newBuilder()
	b.export("g", 3, b.global(7))
	out, err := Meter(b.skill(b.fn("i", "i", 0, i32(0))))
	if err != nil {
		t.Fatal(err)
	}
	info, err := module.Scan(out)
	if err != nil {
		t.Fatal(err)
	}
	globals := 0
	for _, e := range info.Exports {
		if e.Kind == module.KindGlobal {
			globals++
		}
	}
	if globals != 1 {
		t.Error(info.Exports)
	}
}

func FuzzMeter(f *testing.F) {
	for i, file := range specModules(f) {
		if wasm, err := os.ReadFile(file); err == nil && i%40 == 0 && len(wasm) < 4096 {
			f.Add(wasm)
		}
	}
	f.Add(bareCaller("http"))
	f.Add(cCaller("kv"))
	f.Fuzz(func(t *testing.T, wasm []byte) {
		ctx := context.Background()
		out, err := Meter(wasm)
		if _, scan := module.Scan(wasm); scan != nil {
			if err == nil {
				t.Error("metered what Scan refuses")
			}
			return
		}
		if len(wasm) > 64<<10 || validate(ctx, wasm) != nil {
			return // anything but a panic will do
		}
		if err != nil {
			if !bytes.Contains(wasm, []byte(meterModule)) {
				t.Errorf("a valid module is refused: %v", err)
			}
			return
		}
		if err := validate(ctx, out); err != nil {
			t.Errorf("metered is not valid: %v", err)
		}
	})
}
