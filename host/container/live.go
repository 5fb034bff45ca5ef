package container

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types"
	api "github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"github.com/nanoclaw/nanoclaw/host"
)

// An end has several signs, and each may be lost: how long one is waited for after another.
const (
	lateEvent  = 2 * time.Second
	lateOutput = 500 * time.Millisecond
	killed     = 137 // exit code after SIGKILL
)

// live is one container. Read is for one goroutine.
type live struct {
	d     *Docker
	id    string
	conn  net.Conn // nil before attach
	out   demux
	log   *tail
	began time.Time

	died, eof, oom, done *signal
	code                 atomic.Int64
	closing              atomic.Bool
	close                sync.Once
	closeErr             error
	exit                 host.Exit // before done
}

// signal is an event that happens at most once.
type signal struct {
	once sync.Once
	ch   chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }
func (s *signal) fire()  { s.once.Do(func() { close(s.ch) }) }

// wait waits for s, but not long, and reports whether it came.
func (s *signal) wait(d time.Duration) bool {
	select {
	case <-s.ch:
		return true
	case <-time.After(d):
		return false
	}
}

// Start creates a hardened container, attaches to it and starts it.
func (d *Docker) Start(ctx context.Context, s host.Spec) (host.Container, error) {
	if err := checkLimits(s.Limits); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	l, err := d.start(ctx, s)
	if err != nil {
		return nil, d.explain("start a container", err)
	}
	return l, nil
}

func (d *Docker) start(ctx context.Context, s host.Spec) (*live, error) {
	config, hostConfig := d.harden(s)
	// Creating is quick and not given up half way: the ID is what the container is removed by.
	create, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	made, err := d.api.ContainerCreate(create, config, hostConfig, nil, nil, "")
	if err != nil {
		return nil, err
	}
	l := &live{
		d: d, id: made.ID, log: &tail{log: d.log.With("container", made.ID[:12])}, began: time.Now(),
		died: newSignal(), eof: newSignal(), oom: newSignal(), done: newSignal(),
	}
	l.code.Store(-1)
	d.follow(l)
	go l.wait()
	if err = l.attach(ctx); err == nil {
		err = d.api.ContainerStart(ctx, l.id, api.StartOptions{})
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// attach connects the wire. The client ignores ctx once it waits for the daemon's answer.
func (l *live) attach(ctx context.Context) error {
	var a types.HijackedResponse
	attached := make(chan error, 1)
	go func() {
		var err error
		a, err = l.d.api.ContainerAttach(ctx, l.id, api.AttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
		attached <- err
	}()
	select {
	case err := <-attached:
		if err == nil {
			l.conn, l.out = a.Conn, demux{r: a.Reader, stderr: l.log}
		}
		return err
	case <-ctx.Done():
		go func() {
			if <-attached == nil {
				a.Close()
			}
		}()
		return ctx.Err()
	}
}

func (l *live) ID() string            { return l.id }
func (l *live) Done() <-chan struct{} { return l.done.ch }
func (l *live) Exit() host.Exit       { <-l.done.ch; return l.exit }

func (l *live) Write(p []byte) (int, error) { return l.conn.Write(p) }

func (l *live) Read(p []byte) (int, error) {
	n, err := l.out.Read(p)
	if err != nil {
		l.eof.fire()
	}
	return n, err
}

// wait puts together how the container ended.
func (l *live) wait() {
	select {
	case <-l.eof.ch:
	case <-l.died.ch:
	}
	ran := time.Since(l.began)
	l.died.wait(lateEvent)
	l.eof.wait(lateOutput)
	code := int(l.code.Load())
	oom := code == killed && !l.closing.Load() && l.oom.wait(lateOutput)
	l.d.mu.Lock()
	delete(l.d.live, l.id)
	l.d.mu.Unlock()
	l.exit = host.Exit{Code: code, OOM: oom, Log: l.log.String(), Ran: ran}
	l.done.fire()
}

// Close kills and removes the container. When the daemon does not manage in time, its
// processes are killed without it.
func (l *live) Close() error {
	l.close.Do(func() {
		l.closing.Store(true)
		if l.conn != nil {
			l.conn.Close()
		}
		l.eof.fire()
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		if l.closeErr = l.d.remove(ctx, l.id); l.closeErr != nil {
			n := killCgroup("/proc", l.id)
			l.d.log.Warn("container killed without the daemon", "container", l.id, "processes", n, "error", l.closeErr)
		}
		l.code.CompareAndSwap(-1, killed)
		l.died.fire()
		<-l.done.ch
	})
	return l.closeErr
}

// killCgroup kills every process whose cgroup names the container, and says how many. The
// handle is opened before the cgroup is read, so no process that got the number later is hit.
func killCgroup(proc, id string) (n int) {
	found, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "cgroup"))
	for _, file := range found {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), id) && p.Kill() == nil {
			n++
		}
		p.Release()
	}
	return n
}

// follow makes sure that the events of l are heard.
func (d *Docker) follow(l *live) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.live[l.id] = l
	if !d.watching {
		d.watching = true
		go d.watch()
	}
}

// watch reads the event stream, again and again while there are containers. The last minute
// is asked for each time, so that nothing falls into the gap.
func (d *Docker) watch() {
	f := d.mine()
	f.Add("type", string(events.ContainerEventType))
	f.Add("event", string(events.ActionDie))
	f.Add("event", string(events.ActionOOM))
	for {
		messages, failed := d.api.Events(d.ctx, events.ListOptions{Since: "1m", Filters: f})
		for open := true; open; {
			select {
			case m := <-messages:
				d.heard(m)
			case <-failed:
				open = false
			}
		}
		d.mu.Lock()
		d.watching = len(d.live) > 0 && d.ctx.Err() == nil
		again := d.watching
		d.mu.Unlock()
		if !again {
			return
		}
		time.Sleep(lateOutput)
	}
}

func (d *Docker) heard(m events.Message) {
	d.mu.Lock()
	l := d.live[m.Actor.ID]
	d.mu.Unlock()
	switch {
	case l == nil:
	case m.Action == events.ActionOOM:
		l.oom.fire()
	case m.Action == events.ActionDie:
		if code, err := strconv.Atoi(m.Actor.Attributes["exitCode"]); err == nil {
			l.code.Store(int64(code))
		}
		l.died.fire()
	}
}
