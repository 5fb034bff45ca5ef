package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// listener is an open chat that only reads what the host says by itself.
type listener struct {
	mu    sync.Mutex
	lines []string
}

func (s site) listen(chat string) *listener {
	s.t.Helper()
	cl, err := daemon.Dial(s.t.Context(), s.state)
	if err != nil {
		s.t.Fatal(err)
	}
	l := &listener{}
	here := make(chan struct{})
	go func() {
		_ = cl.Listen(s.t.Context(), chat, func(f console.Frame) {
			if f.Type == "hello" {
				close(here)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.lines = append(l.lines, f.Type+": "+f.Text)
		})
	}()
	<-here
	return l
}

func (l *listener) heard(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

// hot builds a skill whose one tool says a word.
func (s site) hot(version, says string) (file string) {
	s.t.Helper()
	dir := s.t.TempDir()
	write(s.t, filepath.Join(dir, "main.go"), fmt.Sprintf(`package main

import "github.com/nanoclaw/nanoclaw/sdk"

func init() { sdk.Tool("hot", func(sdk.Context, struct{}) (string, error) { return %q, nil }) }

func main() {}
`, says))
	write(s.t, filepath.Join(dir, "skill.toml"), fmt.Sprintf(`name = "hot"
version = %q
description = "says a word"
[[tools]]
name = "hot"
description = "says it"
inputSchema = { type = "object" }
`, version))
	file = filepath.Join(dir, "hot.wasm")
	if out, err := s.cmd("skill", "build", dir, "-o", file).CombinedOutput(); err != nil {
		s.t.Fatalf("skill build: %v: %s", err, out)
	}
	return file
}

// copyInto copies as cp does: in several writes, over what is there.
func copyInto(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for len(b) > 0 {
		n := min(len(b), 512<<10)
		if _, err := f.Write(b[:n]); err != nil {
			t.Fatal(err)
		}
		b = b[n:]
		time.Sleep(20 * time.Millisecond)
	}
}

func newHotSite(t *testing.T) (s site, plugins string) {
	i := installed(t)
	plugins = filepath.Join(t.TempDir(), "plugins")
	if err := os.CopyFS(plugins, os.DirFS(i.plugins)); err != nil {
		t.Fatal(err)
	}
	cfg := strings.ReplaceAll(i.config(""), i.plugins, plugins)
	return newSite(t, strings.Replace(cfg, `skills = [`, `skills = ["hot", `, 1)), plugins
}

// TestHotDropIn: a file that is copied into plugins/ while the host runs can be used as soon as
// the chat says so; another in its place is used from the next turn; without it, that is said.
func TestHotDropIn(t *testing.T) {
	s, plugins := newHotSite(t)
	one, two := s.hot("1.0.0", "first words"), s.hot("2.0.0", "other words")
	s.start()
	l := s.listen("elsewhere")
	if got := s.chat("/hot {}"); strings.Contains(got, "words") {
		t.Fatalf("before the drop: %q", got)
	}
	file := filepath.Join(plugins, "hot.wasm")
	copyInto(t, one, file)
	eventually(t, time.Minute, "the chat says that it is ready", func() bool { return l.heard("notice: ", "ready", "hot 1.0.0") })
	if got := s.chat("/hot {}"); !strings.Contains(got, "first words") {
		t.Fatalf("after the drop: %q", got)
	}
	eventually(t, time.Minute, "a spare with the first version", func() bool { return s.status().Spares > 0 })
	copyInto(t, two, file)
	eventually(t, time.Minute, "the chat says that it was replaced", func() bool { return l.heard("hot 2.0.0", "takes the place") })
	if got := s.chat("/hot {}"); !strings.Contains(got, "other words") {
		t.Fatalf("after it was replaced: %q", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the chat says that it is gone", func() bool { return l.heard("skill hot is gone") })
	if got := s.chat("/hot {}"); strings.Contains(got, "words") {
		t.Fatalf("after it was removed: %q", got)
	}
}

// TestHotRefusals: what is no skill is refused by name, and nothing else is disturbed or waits.
func TestHotRefusals(t *testing.T) {
	s, plugins := newHotSite(t)
	one := s.hot("1.0.0", "first words")
	whole, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	l := s.listen("elsewhere")
	in := func(name string) string { return filepath.Join(plugins, name) }
	bomb := "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7e\x0b"
	write(t, in("bomb.wasm"), bomb)
	write(t, in("component.wasm"), "\x00asm\x0d\x00\x01\x00")
	write(t, in("half.wasm"), string(whole[:len(whole)/2]))
	write(t, in("large.wasm"), string(whole)+strings.Repeat("\x00", module.MaxSize+1-len(whole)))
	if err := syscall.Mkfifo(in("fifo.wasm"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(one, in("link.wasm")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in("folder.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	copyInto(t, one, in("hot.wasm"))
	eventually(t, time.Minute, "the good one is ready", func() bool { return l.heard("ready", "hot 1.0.0") })
	for name, why := range map[string]string{
		"bomb.wasm": "4294967295 locals", "component.wasm": "component", "half.wasm": "cut short", "large.wasm": "at most",
		"fifo.wasm": "not a regular file", "link.wasm": "symbolic link", "folder.wasm": "not a regular file",
	} {
		if !l.heard("notice: ", name+" is refused", why) {
			t.Errorf("the chat did not say that %s is refused: %s", name, why)
		}
	}
	if got := s.chat("/hot {}", "/calc 6*7"); !strings.Contains(got, "first words") || !strings.Contains(got, "42") {
		t.Errorf("the good ones said %q", got)
	}
	// What was half written is whole now.
	write(t, in("half.wasm"), string(whole))
	if err := os.Remove(in("hot.wasm")); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the whole file is ready", func() bool {
		for _, k := range s.status().Skills {
			if filepath.Base(k.File) == "half.wasm" && k.State == "ready" {
				return true
			}
		}
		return false
	})
}

// TestHotConfiguration: a valid change is in force from the next turn, an invalid one is said and ignored.
func TestHotConfiguration(t *testing.T) {
	s := newSite(t, "")
	s.start()
	l := s.listen("elsewhere")
	text, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	without := strings.Replace(string(text), `"calc"`, `"time"`, 1)
	without = strings.Replace(without, `"time", "time"`, `"time"`, 1)
	if got := s.chat("/calc 6*7"); !strings.Contains(got, "42") {
		t.Fatalf("at first: %q", got)
	}
	write(t, s.cfg, strings.Replace(string(text), "[engine]", "[engin]", 1))
	eventually(t, time.Minute, "the mistake is said", func() bool { return l.heard("not taken up", "engin") })
	good := s // the client reads a configuration too, to find the host
	good.cfg = filepath.Join(t.TempDir(), "good.toml")
	write(t, good.cfg, string(text))
	if got := good.chat("/calc 6*8"); !strings.Contains(got, "48") {
		t.Fatalf("with a mistake in the file: %q", got)
	}
	write(t, s.cfg, strings.Replace(without, "[engine]", "[engine]\nmax_agents = 3", 1))
	eventually(t, time.Minute, "the change is said", func() bool { return l.heard("in force", "at the next start: [engine]") })
	if got := s.chat("/calc 6*9"); strings.Contains(got, "54") {
		t.Fatalf("without calc: %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := daemon.Dial(ctx, s.state)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg, string(text))
	if err := cl.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "calc is back", func() bool { return strings.Contains(s.chat("/calc 7*7"), "49") })
}

// TestRuntimeByReload: skills are compiled for a role's new runtime before a turn of it runs there, and
// a runtime that the daemon does not know changes nothing. It is runc by its longer name, so that no
// other must be there.
func TestRuntimeByReload(t *testing.T) {
	const longer = "io.containerd.runc.v2"
	i, plugins := installed(t), t.TempDir()
	for _, name := range []string{"assistant.wasm", "calc.wasm"} { // the fewer the sooner
		whole, err := os.ReadFile(filepath.Join(i.plugins, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(plugins, name), string(whole))
	}
	s := newSite(t, strings.ReplaceAll(i.config(""), i.plugins, plugins))
	s.start()
	l := s.listen("elsewhere")
	text, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.chat("/calc 6*7"); !strings.Contains(got, "42") {
		t.Fatalf("at first: %q", got)
	}
	forms := func() int {
		all, _ := filepath.Glob(filepath.Join(s.state, "admitted", "*", "admitted.json"))
		return len(all)
	}
	before := forms()
	on := func(runtime string) string {
		return strings.Replace(string(text), "[roles.main]\n", fmt.Sprintf("[roles.main]\nruntime = %q\n", runtime), 1)
	}
	write(t, s.cfg, on("nosuch"))
	eventually(t, time.Minute, "the unknown runtime is said", func() bool { return l.heard("not taken up", `"nosuch"`) })
	if got := s.chat("/calc 6*8"); !strings.Contains(got, "48") {
		t.Fatalf("with an unknown runtime in the file: %q", got)
	}
	write(t, s.cfg, on(longer))
	eventually(t, 5*time.Minute, "the change is said", func() bool { return l.heard("in force from the next turn") })
	if n := forms() - before; n != 2 {
		t.Errorf("%d skills are compiled for the new runtime when it is in force, want both", n)
	}
	if got := s.chat("/calc 6*9"); !strings.Contains(got, "54") {
		t.Fatalf("on the new runtime: %q", got)
	}
	eventually(t, time.Minute, "a spare on "+longer, func() bool {
		for _, id := range s.containers() {
			out, _ := exec.Command("docker", "inspect", "-f", "{{.HostConfig.Runtime}}", id).Output()
			if strings.TrimSpace(string(out)) == longer {
				return true
			}
		}
		return false
	})
}
