package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/nanoclaw/nanoclaw/host/wasm"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

// managed stands where the program wants a key: the host has it.
const managed = "proxy-managed"

const (
	maxPlainReply = wire.MaxReply + 1
	programEnd    = 2 * time.Second // for a program to go after its answer, or its time
)

var errLate = errors.New("the turn took too long")

// program is a child of the runner that answers turns (wire.Exec). It reaches a listener on the
// container's loopback and nothing else: the role's tools as an MCP server, and its model's API,
// which is the host's.
type program struct {
	spec   wire.Exec
	engine *wasm.Engine
	log    hclog.Logger
	base   string // http://127.0.0.1:PORT
	home   string // of what it keeps, in the workspace
	now    atomic.Pointer[programTurn]
}

// programTurn is the turn that runs.
type programTurn struct {
	*wasm.Outer
	ctx   context.Context
	in    wire.Turn
	calls atomic.Int64 // of tools
	emit  func(wire.Event)
}

func newProgram(spec wire.Exec, engine *wasm.Engine, host *broker, log hclog.Logger) (*program, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &program{
		spec: spec, engine: engine, log: log.Named("program"), base: "http://" + l.Addr().String(),
		home: filepath.Join(spec.Dir, ".nanoclaw"),
	}
	model := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "host"
			r.Out.URL.Path, r.Out.URL.RawPath = wire.PathModel+r.In.URL.Path, ""
			if r.In.URL.RawPath != "" { // as it came: what is odd is the host's to refuse
				r.Out.URL.RawPath = wire.PathModel + r.In.URL.RawPath
			}
		},
		Transport: host.client.Transport, FlushInterval: -1,
		ErrorLog: p.log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/mcp" {
			p.mcp(w, r)
			return
		}
		model.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: serve, ReadHeaderTimeout: time.Minute, ErrorLog: model.ErrorLog}
	go func() { _ = server.Serve(l) }() // ends with the runner
	return p, nil
}

// turn answers one turn.
func (p *program) turn(ctx context.Context, in wire.Turn, emit func(wire.Event)) wire.Event {
	limit := time.Duration(cmp.Or(max(in.DeadlineMS, 0), 600_000)) * time.Millisecond
	ctx, cancel := pause.WithTimeout(ctx, limit, errLate)
	defer cancel()
	t := &programTurn{Outer: p.engine.Begin(in.Turn), ctx: ctx, in: in, emit: emit}
	p.now.Store(t)
	run := p.plain
	if p.spec.Preset == wire.PresetClaude {
		run = p.claude
	}
	emit(wire.Event{Type: wire.EventProgress, Stage: "model"})
	text, err := run(ctx, t)
	if os.Getpid() == 1 { // whatever it left running: the container may serve another turn
		_ = unix.Kill(-1, unix.SIGKILL)
	}
	switch {
	case context.Cause(ctx) == errLate:
		return wire.Event{Type: wire.EventError, Outcome: wire.OutcomeTimeout, Message: errLate.Error()}
	case err != nil:
		return wire.Event{Type: wire.EventError, Outcome: wire.OutcomeToolError, Message: clip(err.Error(), 400)}
	}
	text = clip(strings.ToValidUTF8(text, "\uFFFD"), wire.MaxReply)
	return wire.Event{Type: wire.EventReply, Text: text, Used: t.Used()}
}

// plain gives the prompt on stdin and takes stdout for the reply.
func (p *program) plain(ctx context.Context, t *programTurn) (string, error) {
	var parts []string
	for _, s := range append([]string{t.in.System, t.in.Memory, transcript(t.in.History)}, texts(t.in.Messages)...) {
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, s)
		}
	}
	c, err := p.start(ctx, p.spec.Command, "TERM=dumb")
	if err != nil {
		return "", err
	}
	go func() {
		_, _ = io.WriteString(c.in, strings.Join(parts, "\n\n")+"\n") // it may not want to know
		c.in.Close()
	}()
	out, err := io.ReadAll(io.LimitReader(c.out, maxPlainReply))
	_, _ = io.Copy(io.Discard, c.out)
	return strings.TrimSpace(string(out)), errors.Join(c.end(), err)
}

// child is a program that runs.
type child struct {
	in, out *os.File
	said    *os.File // stderr, a file without a name
	done    chan error
	group   int
}

// start starts a program, which ends with ctx, whatever it has started with it.
func (p *program) start(ctx context.Context, command []string, env ...string) (c *child, err error) {
	if err := os.MkdirAll(p.home, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"HOME=" + p.home, "ANTHROPIC_BASE_URL=" + p.base, "OPENAI_BASE_URL=" + p.base + "/v1",
		"ANTHROPIC_MODEL=" + p.spec.Model, "NANOCLAW_MCP=" + p.base + "/mcp",
	}, env...)
	if p.spec.Preset == wire.PresetPlain {
		cmd.Env = append(cmd.Env, "ANTHROPIC_API_KEY="+managed, "OPENAI_API_KEY="+managed, "OPENAI_MODEL="+p.spec.Model)
	}
	if cmd.Path, err = lookPath(command[0]); err != nil {
		return nil, err
	}
	cmd.Err, cmd.Dir, cmd.SysProcAttr = nil, p.spec.Dir, &unix.SysProcAttr{Setpgid: true}
	c = &child{done: make(chan error, 1)}
	stdin, in, err1 := os.Pipe()
	out, stdout, err2 := os.Pipe()
	said, err3 := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	defer stdin.Close()
	defer stdout.Close()
	c.in, c.out, c.said = in, out, os.NewFile(uintptr(said), "stderr")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, c.said
	wait, err := startChild(cmd)
	if err != nil {
		return nil, fmt.Errorf("%s does not start: %w", command[0], err)
	}
	c.group = cmd.Process.Pid
	go func() { c.done <- wait() }()
	context.AfterFunc(ctx, func() {
		c.kill()
		time.AfterFunc(programEnd, func() { c.out.Close() }) // which one of its own group may hold
	})
	return c, nil
}

// lookPath finds the program in the places that it will have as PATH: the runner's own is empty.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"} {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("the role's image has no program %q", name)
}

func (c *child) kill() { _ = unix.Kill(-c.group, unix.SIGKILL) }

// end waits for the program. The error of one that failed is the last line that it wrote on stderr.
func (c *child) end() (err error) {
	c.in.Close()
	select {
	case err = <-c.done:
	case <-time.After(programEnd):
		c.kill()
		err = <-c.done
	}
	c.kill() // what it left behind
	c.out.Close()
	defer c.said.Close()
	if err == nil {
		return nil
	}
	tail := make([]byte, 4096)
	size, _ := c.said.Seek(0, io.SeekEnd)
	n, _ := c.said.ReadAt(tail, max(0, size-int64(len(tail))))
	lines := bytes.Split(bytes.TrimSpace(tail[:n]), []byte("\n"))
	if last := bytes.TrimSpace(lines[len(lines)-1]); len(last) > 0 {
		err = fmt.Errorf("%w: %s", err, last)
	}
	return fmt.Errorf("the program failed: %w", err)
}

// texts are messages as a program reads them.
func texts(ms []wire.ChatMessage) (out []string) {
	for _, m := range ms {
		if m.Sender != "" {
			m.Text = m.Sender + ": " + m.Text
		}
		out = append(out, m.Text)
	}
	return out
}

// transcript is what was said in earlier turns.
func transcript(ms []wire.ChatMessage) string {
	if len(ms) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("What was said before:")
	for _, m := range ms {
		who := cmp.Or(m.Sender, m.Role)
		fmt.Fprintf(&b, "\n%s: %s", who, m.Text)
	}
	return b.String()
}

func clip(s string, n int) string { return strings.ToValidUTF8(s[:min(len(s), n)], "") }

// raw is v as JSON; v is made of texts.
func raw(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
