package wasm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// coreModule is always linked.
const coreModule = "nanoclaw_core_1"

// capFS is the one capability that is no import module but WASI preopens; capTool the
// one that is served inside the runner.
const (
	capFS   = "fs"
	capTool = "tool"
	capLLM  = "llm"
	capHTTP = "http"
)

// capabilities that have an import module, nanoclaw_NAME_1.
var capabilities = []string{"http", "llm", "kv", "tool", "message", "task", "agent", "history"}

// capabilityOf is the inverse of the module's name, "" when there is none.
func capabilityOf(importModule string) string {
	name, ok := strings.CutPrefix(importModule, "nanoclaw_")
	name, versioned := strings.CutSuffix(name, "_1")
	if ok && versioned && slices.Contains(capabilities, name) {
		return name
	}
	return ""
}

// link makes the import modules of one skill in its own runtime: the meter's, core,
// WASI, and one for each capability that is granted, or declared optional, in which
// case it answers denied. There is no module for anything else, so that a skill that
// imports it is refused here and its code never runs.
func link(ctx context.Context, rt wazero.Runtime, m wazero.CompiledModule, spec *wire.LoadSkill, files bool) error {
	wanted := map[string][]api.FunctionDefinition{}
	for _, f := range m.ImportedFunctions() {
		mod, name, _ := f.Import()
		if err := allowed(spec, mod, name); err != nil {
			return err
		}
		wanted[mod] = append(wanted[mod], f)
	}
	if wanted[meterModule] == nil {
		return fmt.Errorf("is not metered: it did not come through admission")
	}
	for mod, imports := range wanted {
		var err error
		switch name := capabilityOf(mod); {
		case mod == meterModule:
			err = export(ctx, rt, mod, hostFunc{meterTick, tick, "ii", ""})
		case mod == coreModule:
			err = export(ctx, rt, mod, coreFunctions...)
		case mod == extismModule:
			err = export(ctx, rt, mod, extismFunctions(slices.Contains(spec.Granted, capHTTP))...)
		case mod == wasiModule:
			err = linkWASI(ctx, rt, imports, files)
		default:
			granted := slices.Contains(spec.Granted, name)
			err = export(ctx, rt, mod, hostFunc{"call", capability(name, granted), "ii", "I"})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allowed says why an import is not linked.
func allowed(spec *wire.LoadSkill, mod, name string) error {
	capName := capabilityOf(mod)
	if mod == extismModule && name == extismHTTP && spec.Adapter == wire.AdapterExtism {
		capName, name = capHTTP, "call"
	}
	named := func(f hostFunc) bool { return f.name == name }
	switch {
	case mod == meterModule && name == meterTick,
		mod == coreModule && slices.ContainsFunc(coreFunctions, named),
		mod == extismModule && spec.Adapter == wire.AdapterExtism && slices.ContainsFunc(extismFunctions(false), named),
		mod == wasiModule && slices.Contains(wasiFunctions, name):
		return nil
	case mod == wasiModule && strings.HasPrefix(name, "sock_"):
		return fmt.Errorf("imports %s: sockets are not part of the ABI, use the capability http", name)
	case capName == "" || name != "call":
		return fmt.Errorf("imports %.64q %.64q, which is not part of ABI 1", mod, name)
	case slices.Contains(spec.Granted, capName) || slices.Contains(spec.Stubbed, capName):
		return nil
	default:
		return fmt.Errorf("needs the capability %s, which its role does not grant", capName)
	}
}

// hostFunc is one exported function of an import module; i is i32 and I is i64.
type hostFunc struct {
	name            string
	f               api.GoModuleFunc
	params, results string
}

func export(ctx context.Context, rt wazero.Runtime, mod string, functions ...hostFunc) error {
	b := rt.NewHostModuleBuilder(mod)
	for _, f := range functions {
		b.NewFunctionBuilder().WithGoModuleFunction(f.f, valueTypes(f.params), valueTypes(f.results)).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

func valueTypes(s string) []api.ValueType {
	out := make([]api.ValueType, len(s))
	for i, c := range s {
		out[i] = api.ValueTypeI32
		if c == 'I' {
			out[i] = api.ValueTypeI64
		}
	}
	return out
}
