package wasm

import (
	"context"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

const wasiModule = wasi_snapshot_preview1.ModuleName

// wasiFunctions is what a guest may import of WASI: no sockets, no signals.
var wasiFunctions = strings.Fields(`
	args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get
	fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights
	fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name
	fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write
	path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink
	path_remove_directory path_rename path_symlink path_unlink_file
	poll_oneoff proc_exit random_get sched_yield`)

// needsFiles says which of them are bound to stubs without an fs grant.
func needsFiles(name string) bool {
	return strings.HasPrefix(name, "path_") || strings.HasPrefix(name, "fd_prestat_")
}

// WASI error numbers of the stubs and of a full quota.
const (
	errnoBadf       = 8
	errnoFault      = 21
	errnoIO         = 29
	errnoNospc      = 51
	errnoNotcapable = 76
)

// linkWASI makes the WASI module. The functions are wazero's own behind a guard;
// without files those of paths and preopens are replaced by stubs that only answer.
func linkWASI(ctx context.Context, rt wazero.Runtime, imports []api.FunctionDefinition, files bool) error {
	b := rt.NewHostModuleBuilder(wasiModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	for _, f := range imports {
		_, name, _ := f.Import()
		if files || !needsFiles(name) {
			continue
		}
		errno := uint64(errnoNotcapable)
		if strings.HasPrefix(name, "fd_") {
			errno = errnoBadf // ends a libc's search for preopens
		}
		stub := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = errno })
		b.NewFunctionBuilder().WithGoModuleFunction(stub, f.ParamTypes(), []api.ValueType{api.ValueTypeI32}).Export(name)
	}
	for _, f := range []hostFunc{{"args_sizes_get", argsSizes, "ii", "i"}, {"args_get", args, "ii", "i"}} {
		b.NewFunctionBuilder().WithGoModuleFunction(f.f, valueTypes(f.params), valueTypes(f.results)).Export(f.name)
	}
	_, err := b.Instantiate(experimental.WithFunctionListenerFactory(ctx, guardFactory{}))
	return err
}

// argsSizes and args are wazero's args_sizes_get and args_get, but for arguments that are
// known when the call is and not when its instance is made ready.
func argsSizes(ctx context.Context, mod api.Module, stack []uint64) {
	argv, size, mem := instanceOf(ctx).argv, 0, mod.Memory()
	for _, a := range argv {
		size += len(a) + 1
	}
	ok := mem.WriteUint32Le(uint32(stack[0]), uint32(len(argv))) && mem.WriteUint32Le(uint32(stack[1]), uint32(size))
	stack[0] = map[bool]uint64{true: 0, false: errnoFault}[ok]
}

func args(ctx context.Context, mod api.Module, stack []uint64) {
	at, text, mem := uint32(stack[0]), uint32(stack[1]), mod.Memory()
	for _, a := range instanceOf(ctx).argv {
		if !mem.WriteUint32Le(at, text) || !mem.WriteString(text, a+"\x00") {
			stack[0] = errnoFault
			return
		}
		at, text = at+4, text+uint32(len(a))+1
	}
	stack[0] = 0
}

// bound is the largest value of one argument of a WASI function.
type bound struct {
	arg int
	max uint32
}

const (
	boundPath = 2 * maxPath // beyond it EFAULT, below it rootFS answers ENAMETOOLONG
	boundIO   = 1024        // vectors of one read or write
	boundPoll = 256         // subscriptions
	boundFD   = 1024        // a descriptor chosen by the guest
)

// wasiBounds are arguments by which wazero would allocate or loop.
var wasiBounds = map[string][]bound{
	"fd_pread":                {{2, boundIO}},
	"fd_pwrite":               {{2, boundIO}},
	"fd_read":                 {{2, boundIO}},
	"fd_renumber":             {{1, boundFD}},
	"fd_write":                {{2, boundIO}},
	"path_create_directory":   {{2, boundPath}},
	"path_filestat_get":       {{3, boundPath}},
	"path_filestat_set_times": {{3, boundPath}},
	"path_link":               {{3, boundPath}, {6, boundPath}},
	"path_open":               {{3, boundPath}},
	"path_readlink":           {{2, boundPath}},
	"path_remove_directory":   {{2, boundPath}},
	"path_rename":             {{2, boundPath}, {5, boundPath}},
	"path_symlink":            {{1, boundPath}, {4, boundPath}},
	"path_unlink_file":        {{2, boundPath}},
	"poll_oneoff":             {{2, boundPoll}},
}

// guardFactory makes the listeners of the WASI module.
type guardFactory struct{}

// NewFunctionListener implements experimental.FunctionListenerFactory.
func (guardFactory) NewFunctionListener(f api.FunctionDefinition) experimental.FunctionListener {
	names := f.ExportNames()
	if len(names) == 0 || !slices.Contains(wasiFunctions, names[0]) {
		return nil
	}
	return &guard{bounds: wasiBounds[names[0]]}
}

// guard stands before and after one WASI function.
type guard struct{ bounds []bound }

// Before ends a call whose time is up, and turns an argument out of bounds into one
// that the function answers with an error at once.
func (g *guard) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, params []uint64,
	_ experimental.StackIterator,
) {
	in := instanceOf(ctx)
	in.check()
	in.full = false
	for _, b := range g.bounds {
		if uint32(params[b.arg]) > b.max {
			params[b.arg] = 1<<32 - 1
		}
	}
}

// After says "no space left" where rootFS could only say "I/O error".
func (g *guard) After(ctx context.Context, _ api.Module, _ api.FunctionDefinition, results []uint64) {
	if len(results) > 0 && results[0] == errnoIO && instanceOf(ctx).full {
		results[0] = errnoNospc
	}
}

// Abort implements experimental.FunctionListener.
func (g *guard) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}
