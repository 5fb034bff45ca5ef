package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// tools runs the benchmarks of the WASM host, which only the runner may import, and reads
// their output: for each language a call on an instance made ready ahead, and the same
// export on a kept instance of the unmetered module.
func (b *bench) tools(ctx context.Context) ([]Row, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkCall$/^(go|rust|c)$/^(fresh|kept)$",
		"-benchtime", "1s", "./host/wasm")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("tool calls: %w: %s", err, out)
	}
	ns := results(string(out), "BenchmarkCall/")
	var rows []Row
	for _, lang := range []string{"go", "rust", "c"} {
		fresh, kept := ns[lang+"/fresh"], ns[lang+"/kept"]
		if fresh == 0 || kept == 0 {
			continue
		}
		rows = append(rows, row("tool_call_"+lang, "µs", fresh/1e3, "kept wazero call, µs", kept/1e3))
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("tool calls: no result in: %s", out)
	}
	return rows, nil
}

// guard measures a warm http call by the broker against a plain client that syncs one row of a log
// before it: what the checks, the search for secrets, budgets and audit cost besides that sync is the
// second row, as a part of the plain client's call.
func (b *bench) guard(ctx context.Context) ([]Row, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkHTTP$", "-benchtime", "3000x",
		"./host/broker")
	out, err := cmd.CombinedOutput()
	ns := results(string(out), "BenchmarkHTTP")
	broker, both, plain, sync := ns["broker"], ns["both"], ns["plain"], ns["sync"]
	if err != nil || plain == 0 {
		return nil, fmt.Errorf("http calls: %w: %s", err, out)
	}
	return []Row{
		row("http_call", "µs", broker/1e3, "plain call, one sync", both/1e3),
		row("http_guard", "µs", (broker-both)/1e3, "plain call, µs", plain/1e3),
		row("audit_sync", "µs", sync/1e3, "plain call, µs", plain/1e3),
	}, nil
}

// burst measures a backlog of ten thousand messages in a thousand chats, without agents: what the store,
// the router and the outbox cost, and how long the slowest hundredth of them waited.
func (b *bench) burst(ctx context.Context) ([]Row, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkBurst$", "-benchtime", "10000x",
		"./host/router")
	out, err := cmd.CombinedOutput()
	ns, p99 := results(string(out), "BenchmarkBurst/"), 0.0
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && slices.Contains(f, "p99-ns") {
			p99, _ = strconv.ParseFloat(f[slices.Index(f, "p99-ns")-1], 64)
		}
	}
	if err != nil || ns["commit"] == 0 || p99 == 0 {
		return nil, fmt.Errorf("burst: %w: %s", err, out)
	}
	return []Row{
		row("burst_message", "µs", ns["message"]/1e3, "one synced commit, µs", ns["commit"]/1e3),
		row("burst_p99", "ms", p99/1e6, "the whole burst, ms", ns["message"]*10000/1e6),
	}, nil
}

// results reads the time of each benchmark, in ns: its median where it reports one.
func results(out, prefix string) map[string]float64 {
	ns := make(map[string]float64)
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], prefix) {
			continue
		}
		name := strings.TrimPrefix(f[0], prefix)
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				continue
			}
			switch f[i+1] {
			case "ns/op":
				if _, has := ns[name]; !has {
					ns[name] = v
				}
			case "p50-ns": // the call alone, on an instance that was ready
				ns[name] = v
			}
			if part, ok := strings.CutSuffix(f[i+1], "-p50-ns"); ok { // of those that take turns
				ns[part] = v
			}
		}
	}
	return ns
}
