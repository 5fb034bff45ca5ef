package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// liveness is how long another chat may wait for its reply while bombs go off.
const liveness = 30 * time.Second

// maxHostMemory bounds the host's own memory at its highest, whatever skills do.
const maxHostMemory = 200 << 20

// peak is the most memory that a process ever had.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, ok := strings.Cut(string(b), "VmHWM:")
	var kB int64
	if _, serr := fmt.Sscan(rest, &kB); err != nil || serr != nil || !ok {
		t.Fatalf("VmHWM: %v %v", err, serr)
	}
	return kB << 10
}

// TestBombsInTurns: each bomb ends as a tool's failure within its limit; its turn goes on in the same
// container, where the next tool answers; another agent answers all the while.
func TestBombsInTurns(t *testing.T) {
	s, fake := modelSite(t, "anthropic")
	plugins := filepath.Join(t.TempDir(), "plugins")
	if err := os.CopyFS(plugins, os.DirFS(s.plugins)); err != nil {
		t.Fatal(err)
	}
	if out, err := s.cmd("skill", "build", "testdata/bombs", "-o", filepath.Join(plugins, "bombs.wasm")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg := strings.Replace(string(b), s.plugins, plugins, 1)
	cfg = strings.Replace(cfg, "skills = [", `skills = ["bombs", `, 1) + `
[models.off]
provider = "offline"
[roles.calm]
description = "a test"
prompt = "x"
model = { name = "off" }
skills = ["calc"]
[[routes]]
channel = "console"
chat = "calm"
role = "calm"
`
	write(t, s.cfg, cfg)
	host := s.start()
	for kind, want := range map[string]string{
		"bulk": "timed out", "loop": "timed out", "recursion": "crashed", "grow": "crashed", "log": "", "output": "", "calls": "",
	} {
		if testing.Short() && kind != "bulk" && kind != "grow" {
			continue
		}
		before := len(fake.Requests())
		fake.Script(
			modeltest.Answer{Uses: []modeltest.Use{{ID: "u1", Name: "bombs", Input: fmt.Sprintf(`{"kind":%q}`, kind)}}},
			modeltest.Answer{Uses: []modeltest.Use{{ID: "u2", Name: "calc", Input: `{"expression":"6*7"}`}}},
			modeltest.Answer{Text: "Still here."},
		)
		said := make(chan string, 1)
		go func() { said <- s.chat("go") }()
		eventually(t, time.Minute, "the bomb goes off", func() bool { return len(fake.Requests()) > before })
		began := time.Now()
		calm := s.cmd("chat", "--chat", "calm")
		calm.Stdin = strings.NewReader("/calc 1+1\n")
		if out, err := calm.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("2")) || time.Since(began) > liveness {
			t.Errorf("%s: another agent said %q after %v, %v", kind, out, time.Since(began), err)
		}
		if got := <-said; got != "Still here.\n" {
			t.Errorf("%s: the turn said %q", kind, got)
		}
		asked := fake.Requests()[before:]
		if len(asked) != 3 {
			t.Fatalf("%s: %d requests of the model, want 3", kind, len(asked))
		}
		messages, _ := asked[2].Body["messages"].([]any)
		last, _ := json.Marshal(messages[len(messages)-3:])
		if !strings.Contains(string(last), want) || !strings.Contains(string(last), `"42"`) {
			t.Errorf("%s: want %q, and 42 from the same container: %.600s", kind, want, last)
		}
	}
	if n := peak(t, host.Process.Pid); n > maxHostMemory {
		t.Errorf("the host used %d MiB", n>>20)
	}
}

// Sections of hostile modules.
func section(id byte, body ...byte) []byte {
	return append(binary.AppendUvarint([]byte{id}, uint64(len(body))), body...)
}

func vec(n uint64, items ...byte) []byte { return append(binary.AppendUvarint(nil, n), items...) }

// TestBombFiles drops modules that are bombs to whoever compiles or instantiates them: each is refused
// by name, while a good skill beside them answers.
func TestBombFiles(t *testing.T) {
	i := installed(t)
	plugins := t.TempDir()
	if err := os.CopyFS(plugins, os.DirFS(i.plugins)); err != nil {
		t.Fatal(err)
	}
	types, funcs := section(1, 1, 0x60, 0, 0), section(3, 1, 0)
	code := func(body ...byte) []byte {
		return section(10, append([]byte{1}, append(binary.AppendUvarint(nil, uint64(len(body))), body...)...)...)
	}
	blocks := append(bytes.Repeat([]byte{0x02, 0x40}, 60_000), bytes.Repeat([]byte{0x0b}, 60_001)...)
	targets := vec(1_000_000, make([]byte, 1_000_001)...)
	table := append([]byte{0x70, 0}, binary.AppendUvarint(nil, 100_000_000)...)
	million := append([]byte{0x70, 0}, binary.AppendUvarint(nil, 1_000_000)...)
	bombs := map[string]struct {
		sections [][]byte
		why      string
	}{
		"locals":   {[][]byte{types, funcs, code(append(vec(1, binary.AppendUvarint(nil, 100_000_000)...), 0x7e, 0x0b)...)}, "locals"},
		"nesting":  {[][]byte{types, funcs, code(append([]byte{0}, blocks...)...)}, "nest"},
		"br-table": {[][]byte{types, funcs, code(append(append([]byte{0, 0x02, 0x40, 0x41, 0, 0x0e}, targets...), 0x0b, 0x0b)...)}, "br_table"},
		"table":    {[][]byte{types, funcs, section(4, vec(1, table...)...), code(0, 0x0b)}, "table"},
		"tables":   {[][]byte{types, funcs, section(4, vec(100, bytes.Repeat(million, 100)...)...), code(0, 0x0b)}, "table"},
		"start":    {[][]byte{types, funcs, section(8, 0), code(0, 0x0b)}, "start"},
		"memories": {[][]byte{types, funcs, section(5, 2, 0, 1, 0, 1), code(0, 0x0b)}, "memor"},
		"shared":   {[][]byte{types, funcs, section(5, 1, 3, 1, 1), code(0, 0x0b)}, "shared"},
	}
	for name, b := range bombs {
		module := append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(b.sections, nil)...)
		if err := os.WriteFile(filepath.Join(plugins, name+".wasm"), module, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, strings.ReplaceAll(i.config(""), i.plugins, plugins))
	host := s.start()
	if got := s.chat("/calc 6*7"); !strings.Contains(got, "42") {
		t.Fatalf("chat said %q", got)
	}
	var err error
	for _, k := range s.status().Skills {
		name := strings.TrimSuffix(filepath.Base(k.File), ".wasm")
		if b, ok := bombs[name]; ok {
			delete(bombs, name)
			if k.State != "refused" || !strings.Contains(k.Why, b.why) {
				err = errors.Join(err, fmt.Errorf("%s is %s: %s; want %q", name, k.State, k.Why, b.why))
			}
		}
	}
	if err != nil || len(bombs) > 0 {
		t.Errorf("%v; not listed: %v", err, bombs)
	}
	if n := peak(t, host.Process.Pid); n > maxHostMemory {
		t.Errorf("the host used %d MiB", n>>20)
	}
}
