package wasm

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/experimental/sysfs"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

const (
	maxLine     = 4 << 10 // bytes of one logged line
	maxLines    = 1000    // logged lines of one call
	maxDenied   = 16      // remembered refusals of one call
	prepareTime = 10 * time.Second
)

// Why an instance is stopped from inside one of its host calls.
var (
	errTimeout = errors.New("time is up")
	errStack   = errors.New("call stack exhausted")
)

// instance is one instance of a skill. It is made, serves one call and is closed, all
// in one goroutine at a time.
type instance struct {
	skill   *skill
	mod     api.Module
	entry   api.Function // nanoclaw_call, or _start of a WASI command
	command bool
	running bool // false while it is made ready
	call    callSpec
	ctx     context.Context // of the preparation or the call
	ticks   int64

	input, result []byte
	stdin         bytes.Reader // a command's
	argv          []string     // its arguments
	tail          []byte       // of what it wrote on stderr
	kernel        *kernel      // of an Extism plugin
	output        []byte
	outputFault   string // why the output cannot be used
	denied        []string
	calls         int // capability calls made
	lines         int
	partial       []byte // of stdout and stderr: a line without its end
	open          int    // files, see rootFS
	full          bool   // a quota refused
}

type instanceKey struct{}

// instanceOf is the instance on whose behalf a host function runs.
func instanceOf(ctx context.Context) *instance { return ctx.Value(instanceKey{}).(*instance) }

func (in *instance) enter(ctx context.Context) context.Context {
	in.ctx = ctx
	return context.WithValue(ctx, instanceKey{}, in)
}

// check stops the guest when its time is up. The clock is asked as well as the context,
// whose timer may come late while guests keep every processor busy.
func (in *instance) check() {
	if pause.Late(in.ctx) {
		panic(errTimeout)
	}
}

// tick is called by metered code when a million units are spent, or the stack is.
func (in *instance) tick(fuel, depth int32) {
	if depth < 0 {
		panic(errStack)
	}
	in.ticks += 1 + int64(-fuel)/fuelPerTick
	if limit := in.skill.spec.Fuel; in.running && limit > 0 && in.ticks > limit {
		panic(errTimeout)
	}
	in.check()
	runtime.Gosched() // compiled code is not preempted, and the container may have one CPU
}

// sleep is nanosleep for guests: not beyond the deadline.
func (in *instance) sleep(ns int64) {
	t := time.NewTimer(time.Duration(ns))
	defer t.Stop()
	select {
	case <-t.C:
	case <-in.ctx.Done():
	}
	in.check()
}

// nextPath is the place of the next capability call in its turn. It counts calls of
// this instance alone, so it is the same in a re-run whatever runs beside it.
func (in *instance) nextPath() string {
	in.calls++
	return join(in.call.path, in.calls-1)
}

func join(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

func (in *instance) deny(capability, message string) {
	if len(in.denied) < maxDenied {
		in.denied = append(in.denied, capability+": "+cut(message, 256))
	}
}

func (in *instance) progress(stage, name string) {
	if in.call.turn != nil && in.call.depth == 0 {
		in.call.turn.emit(wire.Event{Type: wire.EventProgress, Stage: stage, Name: cut(name, 128)})
	}
}

// write appends to the output, up to its bound.
func (in *instance) write(b []byte) {
	if len(in.output)+len(b) > wire.MaxToolResult {
		in.outputFault = "its result is larger than 1 MiB"
		return
	}
	in.output = append(in.output, b...)
}

func (in *instance) log() hclog.Logger {
	return in.skill.engine.log.With("skill", in.skill.spec.Name, "call", in.call.path)
}

// logLine logs one line of the guest's own, bounded in length and number.
func (in *instance) logLine(level uint32, text string) {
	in.lines++
	switch {
	case in.lines > maxLines+1:
	case in.lines > maxLines:
		in.log().Warn("guest logs too much, the rest is dropped")
	default:
		levels := []hclog.Level{hclog.Debug, hclog.Info, hclog.Warn, hclog.Error}
		in.log().Log(levels[min(level, 3)], "guest", "text", cut(text, maxLine))
	}
}

// output of stdout and stderr goes to the log, line by line.
type lineWriter struct{ in *instance }

// Write never fails: a guest must not notice how much of its output is kept.
func (w lineWriter) Write(b []byte) (int, error) {
	in, n := w.in, len(b)
	for len(b) > 0 && in.lines <= maxLines {
		line, rest, ended := bytes.Cut(b, []byte{'\n'})
		in.partial = append(in.partial, line[:min(len(line), maxLine+4-min(len(in.partial), maxLine+4))]...)
		if ended {
			in.flush()
		}
		b = rest
	}
	return n, nil
}

func (in *instance) flush() {
	if len(in.partial) > 0 {
		in.logLine(1, string(in.partial))
		in.partial = in.partial[:0]
	}
}

// commandWriter is stdout of a WASI command: its answer.
type commandWriter struct{ in *instance }

func (w commandWriter) Write(b []byte) (int, error) {
	w.in.write(b)
	return len(b), nil
}

// newInstance makes one and runs its _initialize, and nanoclaw_warm where it has one: a
// runtime such as Go's does much in its first call that it need not do while a user waits.
func (l *loaded) newInstance(ctx context.Context) (in *instance, err error) {
	in = &instance{skill: l.skill, command: l.command, argv: []string{l.skill.spec.Name}}
	defer func() {
		if r := recover(); r != nil { // wazero panics when a memory cannot be had
			err = fmt.Errorf("instantiate: %v", r)
		}
		if err != nil {
			in.close()
			in = nil
		}
	}()
	ctx, cancel := pause.WithTimeout(ctx, prepareTime, errTimeout)
	defer cancel()
	ctx = experimental.WithMemoryAllocator(in.enter(ctx), l.memory)
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStdin(&in.stdin).WithStdout(lineWriter{in}).WithStderr(lineWriter{in}).
		WithRandSource(rand.Reader).WithSysWalltime().WithSysNanotime().WithNanosleep(in.sleep).
		WithOsyield(runtime.Gosched).WithFSConfig(l.files(in))
	if in.command {
		config = config.WithStdout(commandWriter{in}).WithStderr(tailWriter{in})
	}
	if l.skill.spec.Adapter == wire.AdapterExtism {
		in.kernel = newKernel(l.memory)
	}
	for _, name := range slices.Sorted(maps.Keys(l.skill.spec.Settings)) {
		config = config.WithEnv(name, l.skill.spec.Settings[name])
	}
	if in.mod, err = l.runtime.InstantiateModule(ctx, l.compiled, config); err != nil {
		return in, err
	}
	in.entry = in.mod.ExportedFunction(l.entry)
	for _, name := range l.initializers() {
		f := in.mod.ExportedFunction(name)
		if f == nil {
			continue
		}
		if _, err = f.Call(ctx, make([]uint64, len(f.Definition().ParamTypes()))...); err != nil {
			in.logFailure(err)
			return in, fmt.Errorf("%s: %s", name, in.describe(err))
		}
	}
	return in, nil
}

// files are the preopens of one instance.
func (l *loaded) files(in *instance) wazero.FSConfig {
	config := wazero.NewFSConfig()
	for _, p := range l.preopens {
		fs := &rootFS{root: p.root, readOnly: p.readOnly, quota: l.skill.engine.quota, open: &in.open, full: &in.full}
		config = config.(sysfs.FSConfig).WithSysFSMount(fs, p.guest)
	}
	return config
}

// close gives back everything. It is safe on an instance that was never finished.
func (in *instance) close() {
	in.flush()
	if in.mod != nil {
		_ = in.mod.Close(context.Background()) // the guest's exit code is known already
		in.mod = nil
	}
	if in.kernel != nil {
		in.kernel.memory.Free()
		in.kernel = nil
	}
}
