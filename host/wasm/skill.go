package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// quiet is how long a call is over before the next instance is made ready: whoever called
// goes on with the result first, on what may be the only CPU.
const quiet = 20 * time.Millisecond

const (
	defaultMemoryMiB = 64
	maxMemoryMiB     = 512
	entryCall        = "nanoclaw_call"
	entryCommand     = "_start"
	entryInit        = "_initialize"
	entryWarm        = "nanoclaw_warm"
)

// skill is one entry of wire.Load. The fields below spec belong to the engine's lock.
type skill struct {
	engine  *Engine
	spec    wire.LoadSkill
	loaded  *loaded // nil until first used and after it was unloaded
	refused error   // why it will never be loaded
	users   int     // calls and preparations under way: not to be unloaded
	used    uint64  // the engine's clock at the last use
}

// loaded is a compiled skill, its import modules and one instance made ready.
type loaded struct {
	skill    *skill
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
	memory   experimental.MemoryAllocator
	minimum  int64 // bytes of memory a new instance takes
	limit    int64 // and may have
	preopens []preopen
	entry    string
	command  bool
	cost     int64         // estimated bytes it takes
	next     chan prepared // the instance made ready, or being made
}

type preopen struct {
	guest    string
	root     *os.Root
	readOnly bool
}

// prepared is a promise of an instance: one value, then closed.
type prepared chan *instance

// runtimeConfig is the same wherever a module is compiled, so that the cache fits.
func runtimeConfig(base wazero.RuntimeConfig) wazero.RuntimeConfig {
	return base.WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false)
}

// load compiles or takes from the cache, links and makes the first instance.
func (s *skill) load(ctx context.Context) (l *loaded, err error) {
	wasm, err := os.ReadFile(filepath.Join(s.spec.Dir, "skill.wasm"))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", bare(err))
	}
	l = &loaded{skill: s, cost: 8 * int64(len(wasm)), next: make(chan prepared, 1)}
	defer func() {
		if err != nil {
			l.close()
			l = nil
		}
	}()
	if err := l.compile(ctx, wasm); err != nil {
		return l, err
	}
	if err := l.check(); err != nil {
		return l, err
	}
	if l.preopens, err = s.openPreopens(); err != nil {
		return l, err
	}
	if err := link(ctx, l.runtime, l.compiled, &s.spec, len(l.preopens) > 0); err != nil {
		return l, err
	}
	in, err := l.newInstance(ctx)
	if err != nil {
		return l, err
	}
	p := make(prepared, 1)
	p <- in
	l.next <- p
	return l, nil
}

// bare drops the path from an error: it is the runner's own business.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// compile tries the cache of the skill's digest first. A cache that is missing, broken
// or of another CPU costs time and never the turn: on a read-only mount wazero compiles
// and then fails to write, and so it compiles again without.
func (l *loaded) compile(ctx context.Context, wasm []byte) error {
	dir := filepath.Join(l.skill.spec.Dir, "cache")
	if found, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*")); len(found) > 0 {
		err := l.compileWith(ctx, wasm, dir)
		if err == nil {
			return nil
		}
		l.skill.engine.log.Warn("compile cache not used", "skill", l.skill.spec.Name, "error", err)
		l.closeCode()
	}
	if err := l.compileWith(ctx, wasm, ""); err != nil {
		return fmt.Errorf("does not compile: %s", cut(err.Error(), 256))
	}
	return nil
}

func (l *loaded) compileWith(ctx context.Context, wasm []byte, cacheDir string) (err error) {
	config := runtimeConfig(wazero.NewRuntimeConfigCompiler())
	if cacheDir != "" {
		if l.cache, err = wazero.NewCompilationCacheWithDir(cacheDir); err != nil {
			return err
		}
		config = config.WithCompilationCache(l.cache)
	}
	l.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	l.compiled, err = l.runtime.CompileModule(ctx, wasm)
	return err
}

// check looks at the exports.
func (l *loaded) check() error {
	functions := l.compiled.ExportedFunctions()
	call, start := functions[entryCall], functions[entryCommand]
	switch {
	case l.skill.spec.Adapter != "":
		if err := l.checkAdapter(); err != nil {
			return err
		}
	case call != nil && signature(call) == "i/i":
		l.entry = entryCall
	case call != nil:
		return fmt.Errorf("exports %s with another type than (i32) -> i32", entryCall)
	case start != nil && signature(start) == "/":
		l.entry, l.command = entryCommand, true
	default:
		return fmt.Errorf("exports neither %s nor %s", entryCall, entryCommand)
	}
	for _, name := range []string{entryInit, entryWarm} {
		if f := functions[name]; f != nil && signature(f) != "/" {
			return fmt.Errorf("exports %s with parameters or results", name)
		}
	}
	memory := l.compiled.ExportedMemories()["memory"]
	if memory == nil {
		return errors.New("exports no memory")
	}
	mib := l.skill.spec.MemoryMiB
	if mib <= 0 {
		mib = defaultMemoryMiB
	}
	l.limit = int64(min(mib, maxMemoryMiB)) << 20
	l.minimum = int64(memory.Min()) * pageSize
	if l.minimum > l.limit {
		return fmt.Errorf("needs %d MiB of memory at start and may have %d", l.minimum>>20, l.limit>>20)
	}
	l.memory = l.skill.engine.memory.limited(uint64(l.limit))
	return nil
}

// signature writes a function type: "i/i" takes and returns one i32.
func signature(f api.FunctionDefinition) string {
	letters := func(types []api.ValueType) string {
		b := strings.Builder{}
		for _, t := range types {
			b.WriteString(map[bool]string{true: "i", false: "x"}[t == api.ValueTypeI32])
		}
		return b.String()
	}
	return letters(f.ParamTypes()) + "/" + letters(f.ResultTypes())
}

// acquire takes the instance made ready, or makes one now when others took it.
func (l *loaded) acquire(ctx context.Context) (*instance, error) {
	select {
	case p := <-l.next:
		if in := <-p; in != nil { // being made: no longer than making another
			return in, nil
		}
	default:
	}
	if !l.skill.engine.room(l.minimum) {
		return nil, fmt.Errorf("skill %s: no memory left for another instance", l.skill.spec.Name)
	}
	in, err := l.newInstance(ctx)
	if err != nil {
		return nil, fmt.Errorf("skill %s: %w", l.skill.spec.Name, err)
	}
	return in, nil
}

// done closes an instance after its call and makes the next one ready, where that is
// wanted and there is memory: in the background, since somebody waits for the answer.
func (l *loaded) done(in *instance, again bool) {
	e := l.skill.engine
	if !e.memory.fits(l.limit) {
		in.close() // somebody may wait for its memory
		return
	}
	if _, err := e.hold(l.skill); err != nil {
		in.close()
		return
	}
	e.preparing.Go(func() {
		defer e.release(l.skill)
		in.close()
		p := make(prepared, 1)
		if !again {
			return
		}
		time.Sleep(e.quiet)
		select {
		case l.next <- p:
		default: // one is ready
			return
		}
		next, err := l.newInstance(context.Background())
		if err != nil {
			e.log.Warn("no instance made ready", "skill", l.skill.spec.Name, "error", err)
			next = nil
		}
		p <- next
	})
}

// drop closes the instance made ready.
func (l *loaded) drop() {
	select {
	case p := <-l.next:
		if in := <-p; in != nil {
			in.close()
		}
	default:
	}
}

// close unloads. Nothing of the skill may be running.
func (l *loaded) close() {
	l.drop()
	l.closeCode()
	for _, p := range l.preopens {
		_ = p.root.Close()
	}
}

func (l *loaded) closeCode() {
	ctx := context.Background()
	if l.runtime != nil {
		_ = l.runtime.Close(ctx)
	}
	if l.cache != nil {
		_ = l.cache.Close(ctx)
	}
	l.runtime, l.cache, l.compiled = nil, nil, nil
}

// openPreopens opens the directories of an fs grant, each from the root it was mounted
// as: a directory below it may have been replaced by a symlink meanwhile.
func (s *skill) openPreopens() (out []preopen, err error) {
	if !slices.Contains(s.spec.Granted, capFS) {
		return nil, nil
	}
	for _, p := range s.spec.Preopens {
		root, below := mountOf(p)
		r, err := openBelow(root, below, !p.ReadOnly)
		if err != nil {
			for _, o := range out {
				_ = o.root.Close()
			}
			return nil, fmt.Errorf("directory %s: %w", p.Guest, bare(err))
		}
		out = append(out, preopen{guest: p.Guest, root: r, readOnly: p.ReadOnly})
	}
	return out, nil
}

func openBelow(root, below string, create bool) (*os.Root, error) {
	r, err := os.OpenRoot(root)
	if err != nil || below == "" {
		return r, err
	}
	defer r.Close()
	if create {
		if err := r.MkdirAll(below, 0o700); err != nil {
			return nil, err
		}
	}
	return r.OpenRoot(below)
}

// mountOf splits the path of a preopen below /workspace or /mnt/NAME into what is
// mounted there and the rest, as far as both paths end alike.
func mountOf(p wire.Preopen) (root, below string) {
	rest, ok := strings.CutPrefix(p.Guest, workspaceDir+"/")
	if !ok || !strings.HasSuffix(p.Path, "/"+rest) {
		return p.Path, ""
	}
	return strings.TrimSuffix(p.Path, "/"+rest), rest
}
