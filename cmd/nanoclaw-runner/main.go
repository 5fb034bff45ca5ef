// Command nanoclaw-runner is PID 1 of every agent container. It runs an agent's skills
// and speaks with the host over its stdin and stdout, which are its only way out.
//
//	nanoclaw-runner serve          answer the host until stdin ends (the default)
//	nanoclaw-runner admit IN OUT   compile and meter one module, see wasm.Admit
//	nanoclaw-runner version
//
// It owns the wire (yamux, HTTP), deadlines of turns and the duties of PID 1, and is
// thin: everything about skills is host/wasm. It must never open a socket, and never
// write to stdout but through the wire.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host/wasm"
)

const abi = 1

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.ReadCloser, stdout io.WriteCloser, stderr io.Writer) int {
	log := hclog.New(&hclog.LoggerOptions{Name: "runner", Output: stderr, Level: hclog.Info, DisableTime: true})
	command := "serve"
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch {
	case command == "serve" && len(args) == 0:
		limit := memoryLimit()
		// The garbage of decoding modules and JSON is short-lived: collecting early costs
		// little, and an idle runner is judged by its memory.
		debug.SetGCPercent(50)
		if limit > 0 {
			debug.SetMemoryLimit(limit / 4) // of Go's own; guests' memory and code are mappings
		}
		ctx, stop := asInit(log)
		defer stop()
		return serve(ctx, stdio{stdin, stdout}, limit, log)
	case command == "admit" && len(args) == 2:
		result := wasm.Admit(context.Background(), args[0], args[1])
		line, _ := json.Marshal(result) // strings and a number always encode
		fmt.Fprintf(stdout, "%s\n", line)
		if !result.OK {
			return 1
		}
		return 0
	case command == "version" && len(args) == 0:
		fmt.Fprintln(stdout, "nanoclaw-runner", version())
		return 0
	}
	fmt.Fprintln(stderr, "usage: nanoclaw-runner [serve | admit IN OUT | version]")
	return 2
}

// version names what decides how skills are compiled and run. The runner's digest is
// its identity; no build stamp may change it.
func version() string {
	out := "abi " + strconv.Itoa(abi)
	if info, ok := debug.ReadBuildInfo(); ok {
		out += " " + info.GoVersion
		for _, d := range info.Deps {
			if d.Path == "github.com/tetratelabs/wazero" {
				out += " wazero " + d.Version
			}
		}
	}
	return out
}

// memoryLimit is what the container may use in bytes, 0 when nobody says.
func memoryLimit() int64 {
	for _, p := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err == nil && n > 0 && n < 1<<40 { // without a limit: "max", or nearly 2^63
			return n
		}
	}
	return 0
}

// rss is the resident memory in bytes, 0 where /proc does not say.
func rss() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(b)
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}
