package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// turns measures the real program: committed message to reply on the channel, with one
// tool call and the offline model, which takes no time.
func (b *bench) turns(ctx context.Context) ([]Row, error) {
	warm, err := startHost(ctx, b.bin, "")
	if err != nil {
		return nil, err
	}
	defer warm.stop()
	warmTimes, err := warm.measure(ctx, b.n, true)
	if err != nil {
		return nil, err
	}
	if err := warm.settle(ctx, true); err != nil {
		return nil, err
	}
	rss, err := rssOf(warm.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	spare, err := spareMemory(ctx)
	if err != nil {
		return nil, err
	}
	warm.stop()
	cold, err := startHost(ctx, b.bin, "max_spares = 0\n")
	if err != nil {
		return nil, err
	}
	defer cold.stop()
	coldTimes, err := cold.measure(ctx, b.n, false)
	if err != nil {
		return nil, err
	}
	return []Row{
		row("warm_turn", "ms", ms(p50(warmTimes)), "bare container, ms", ms(b.bare)),
		row("cold_turn", "ms", ms(p50(coldTimes)), "bare container, ms", ms(b.bare)),
		row("spare_memory", "MB", spare, "target 40 MB", 40),
		row("host_rss", "MB", rss, "target 40 MB", 40),
		row("host_start", "ms", ms(warm.ready), "target 150 ms", 150),
	}, nil
}

// program is one `nanoclaw run` on a state of its own.
type program struct {
	cmd    *exec.Cmd
	dir    string
	ready  time.Duration // exec to a socket that takes messages
	client *daemon.Client
	frames chan console.Frame
	cancel context.CancelFunc
}

func startHost(ctx context.Context, bin, engine string) (*program, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	plugins, err := filepath.Abs("plugins")
	if err != nil {
		return nil, err
	}
	cfg, err := shipped(dir, `dir = "plugins"`, "dir = "+strconv.Quote(plugins), "[engine]\n", "[engine]\n"+engine)
	if err != nil {
		return nil, err
	}
	p := &program{dir: dir, frames: make(chan console.Frame, 16)}
	state := filepath.Join(dir, "state")
	if err := p.start(ctx, bin, cfg, state); err != nil { // admits the plugins
		return nil, err
	}
	if err := p.waitReady(ctx); err != nil {
		return nil, err
	}
	p.quit()
	if err := p.start(ctx, bin, cfg, state); err != nil { // the start that is measured
		return nil, err
	}
	if err := p.waitReady(ctx); err != nil {
		return nil, err
	}
	ctx, p.cancel = context.WithCancel(ctx)
	go func() { _ = p.client.Listen(ctx, "bench", func(f console.Frame) { p.frames <- f }) }()
	<-p.frames // hello
	return p, nil
}

// shipped writes the shipped nanoclaw.toml into dir, with old replaced by new.
func shipped(dir string, oldNew ...string) (path string, err error) {
	text, err := os.ReadFile("nanoclaw.toml")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "nanoclaw.toml")
	return path, os.WriteFile(path, []byte(strings.NewReplacer(oldNew...).Replace(string(text))), 0o600)
}

func (p *program) start(ctx context.Context, bin, cfg, state string) error {
	began := time.Now()
	p.cmd = exec.CommandContext(ctx, filepath.Join(bin, "nanoclaw"), "run", "--config", cfg, "--state", state)
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stderr = log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for time.Since(began) < 2*time.Minute {
		if p.client, err = daemon.Dial(ctx, state); err == nil {
			p.ready = time.Since(began)
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("host: %w; its log is %s", err, log.Name())
}

// waitReady waits until every plugin was read.
func (p *program) waitReady(ctx context.Context) error {
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s, err := p.client.Status(ctx)
		if err != nil {
			return err
		}
		waiting := len(s.Skills) == 0
		for _, k := range s.Skills {
			waiting = waiting || k.State != "ready"
		}
		if !waiting {
			return nil
		}
	}
	return errors.New("the plugins were not admitted in three minutes")
}

// measure runs n turns after a few for warming up. With warm set it waits for a spare
// before each, as an assistant has between two messages of a person.
func (p *program) measure(ctx context.Context, n int, warm bool) ([]time.Duration, error) {
	var times []time.Duration
	for i := range n + 3 {
		if err := p.settle(ctx, warm && i > 0); err != nil {
			return nil, err
		}
		id := rand.Text()
		text := fmt.Sprintf("/calc %d*7", i)
		if err := p.client.Say(ctx, "bench", console.Input{ID: id, Text: text}); err != nil {
			return nil, err
		}
		began := time.Now()
		for f := range p.frames {
			if f.Type == "message" && f.ReplyTo == id {
				if f.Kind != host.OutReply || !strings.Contains(f.Text, strconv.Itoa(i*7)) {
					return nil, fmt.Errorf("%s was answered %q", text, f.Text)
				}
				break
			}
		}
		if i >= 3 {
			times = append(times, time.Since(began))
		}
	}
	return times, nil
}

func (p *program) settle(ctx context.Context, spare bool) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		s, err := p.client.Status(ctx)
		if err != nil {
			return err
		}
		if s.Working == 0 && s.Containers == s.Spares && (!spare || s.Spares > 0) {
			time.Sleep(time.Second) // the last container is being removed; a person is slower still
			return nil
		}
	}
	return errors.New("the host did not settle")
}

func (p *program) quit() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

func (p *program) stop() {
	if p.dir == "" {
		return
	}
	p.cancel()
	p.quit()
	os.RemoveAll(p.dir)
	p.dir = ""
}

// rssOf is the resident memory of a process in MB.
func rssOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1000, nil
		}
	}
	return 0, errors.New("no VmRSS")
}

// spareMemory is the resident memory of the runner in the one container that is kept ready.
func spareMemory(context.Context) (float64, error) {
	procs, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0, err
	}
	most := 0.0
	for _, p := range procs {
		if b, err := os.ReadFile(p); err != nil || strings.TrimSpace(string(b)) != "runner" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if err != nil {
			return 0, err
		}
		if mb, err := rssOf(pid); err == nil {
			most = max(most, mb)
		}
	}
	if most == 0 {
		return 0, errors.New("found no runner process on this machine (is Docker remote?)")
	}
	return most, nil
}
