//go:build wasip1

// Command guest is a skill in Go for the tests of host/wasm: written against the bare
// ABI, so that nothing of the SDK stands between a test and the host.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"
)

//go:wasmimport nanoclaw_core_1 input_read
func inputRead(dst unsafe.Pointer, off, n uint32) uint32

//go:wasmimport nanoclaw_core_1 output_write
func outputWrite(src unsafe.Pointer, n uint32)

func main() {}

type request struct {
	Tool      string
	Arguments struct {
		Op, Path, To, Data string
		N                  int64
	}
	Call struct{ Turn, Agent, Timezone string }
}

var calls int // must be 1 in each call

//go:wasmexport nanoclaw_call
func nanoclawCall(n uint32) uint32 {
	in := make([]byte, n)
	in = in[:inputRead(unsafe.Pointer(unsafe.SliceData(in)), 0, n)]
	var r request
	if err := json.Unmarshal(in, &r); err != nil {
		return answer(err.Error(), true)
	}
	calls++
	text, err := do(r)
	if err != nil {
		return answer(err.Error(), true)
	}
	return answer(text, false)
}

// nanoclawWarm does once, before anybody waits, what is slow the first time.
//
//go:wasmexport nanoclaw_warm
func nanoclawWarm() {
	var r request
	_ = json.Unmarshal([]byte(`{"tool":"x","arguments":{"op":"reverse","data":"a b"},"call":{"turn":"x"}}`), &r)
	text, _ := do(r)
	answer(text, false)
}

func answer(text string, isError bool) uint32 {
	b, _ := json.Marshal(map[string]any{
		"content": []any{map[string]string{"type": "text", "text": text}}, "isError": isError,
	})
	outputWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)))
	return 0
}

var sink []byte

func deep(n int) int { return 1 + deep(n+1) }

func do(r request) (string, error) {
	a := r.Arguments
	switch a.Op {
	case "":
		return r.Call.Turn + " " + r.Call.Agent + " " + r.Call.Timezone, nil
	case "calls":
		return fmt.Sprint(calls), nil
	case "environ":
		return strings.Join(os.Environ(), " "), nil
	case "loop":
		for n := uint(0); ; n++ {
			sink = append(sink[:0], byte(n))
		}
	case "deep":
		return fmt.Sprint(deep(0)), nil
	case "panic":
		panic("at the guest's")
	case "exit":
		os.Exit(3)
	case "sleep":
		time.Sleep(time.Duration(a.N))
	case "flood":
		for range a.N {
			fmt.Println(a.Data)
		}
	case "grow":
		var keep [][]byte
		for {
			keep = append(keep, make([]byte, 1<<20))
		}
	case "reverse": // some work on JSON for the benchmark
		words := strings.Fields(a.Data)
		for i, j := 0, len(words)-1; i < j; i, j = i+1, j-1 {
			words[i], words[j] = words[j], words[i]
		}
		return strings.Join(words, " "), nil
	default:
		return files(a.Op, a.Path, a.To, a.Data, a.N)
	}
	return "", nil
}

func files(op, path, to, data string, n int64) (string, error) {
	switch op {
	case "read":
		b, err := os.ReadFile(path)
		return string(b), err
	case "write":
		return "", os.WriteFile(path, []byte(data), 0o600)
	case "append":
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		_, err = f.WriteString(data)
		return "", err
	case "mkdir":
		return "", os.MkdirAll(path, 0o700)
	case "remove":
		return "", os.Remove(path)
	case "rename":
		return "", os.Rename(path, to)
	case "symlink":
		return "", os.Symlink(to, path)
	case "link":
		return "", os.Link(path, to)
	case "truncate":
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return "", f.Truncate(n)
	case "stat":
		i, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(i.Mode(), i.Size(), i.ModTime().Unix()), nil
	case "chtimes":
		return "", os.Chtimes(path, time.Unix(n, 0), time.Unix(n, 0))
	case "list":
		es, err := os.ReadDir(path)
		var names []string
		for _, e := range es {
			names = append(names, e.Name())
		}
		return strings.Join(names, " "), err
	case "open": // many at once
		var keep []*os.File
		for range n {
			f, err := os.Open(path)
			if err != nil {
				return fmt.Sprint(len(keep)), nil
			}
			keep = append(keep, f)
		}
		return fmt.Sprint(len(keep)), nil
	}
	return "", fmt.Errorf("unknown op %q", op)
}
