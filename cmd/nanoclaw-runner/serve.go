package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"

	"github.com/nanoclaw/nanoclaw/host/wasm"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// stdio is the wire.
type stdio struct {
	io.ReadCloser
	out io.WriteCloser
}

func (s stdio) Write(b []byte) (int, error) { return s.out.Write(b) }
func (s stdio) Close() error                { return errors.Join(s.ReadCloser.Close(), s.out.Close()) }

// serve answers the host until the wire ends, which is how the host says goodbye, or
// dies, or ctx ends.
func serve(ctx context.Context, pipe io.ReadWriteCloser, memory int64, log hclog.Logger) int {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false // the end of stdin is the sign of life
	config.AcceptBacklog = wire.MaxStreams
	config.StreamOpenTimeout, config.StreamCloseTimeout = 0, time.Minute
	config.LogOutput, config.Logger = nil, log.Named("wire").StandardLogger(&hclog.StandardLoggerOptions{
		ForceLevel: hclog.Debug, // it complains about every end
	})
	session, err := yamux.Server(pipe, config)
	if err != nil {
		log.Error("no wire", "error", err)
		return 1
	}
	defer context.AfterFunc(ctx, func() { _ = session.Close() })()
	host := newBroker(session)
	engine := wasm.New(wasm.Config{
		Broker: host.call, Log: log,
		Memory: memory * 3 / 8, Code: memory * 3 / 8, // the rest is Go's own
	})
	s := &server{engine: engine, host: host, log: log}
	h := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.Named("http").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	err = h.Serve(session)
	_ = h.Close() // what is under way has nobody to answer to
	if ctx.Err() == nil && !session.IsClosed() {
		log.Error("stopped serving", "error", err)
		return 1
	}
	return 0
}

// server is the runner's side of sdk/wire.
type server struct {
	engine  *wasm.Engine
	host    *broker
	log     hclog.Logger
	program atomic.Pointer[program] // answers turns in the place of a brain
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.PathHealth, s.health)
	mux.HandleFunc("POST "+wire.PathLoad, s.load)
	mux.HandleFunc("POST "+wire.PathTurn, s.turn)
	mux.HandleFunc("POST "+wire.PathTool, s.tool)
	return mux
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	write(w, wire.Health{Runner: version(), ABI: abi, Skills: s.engine.Skills(), RSS: rss()})
}

func (s *server) load(w http.ResponseWriter, r *http.Request) {
	var in wire.Load
	if !decode(w, r, wire.MaxLoad, &in) {
		return
	}
	out, err := s.engine.Load(r.Context(), in)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if in.Exec != nil {
		p, err := newProgram(*in.Exec, s.engine, s.host, s.log)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.program.Store(p)
	}
	write(w, out)
}

func (s *server) tool(w http.ResponseWriter, r *http.Request) {
	var in wire.ToolCall
	if !decode(w, r, wire.MaxToolArgs+64<<10, &in) {
		return
	}
	out := s.engine.Tool(r.Context(), in)
	if b, err := encode(out); err != nil || len(b) > 2*wire.MaxToolResult {
		out = wire.ToolOutcome{Outcome: wire.OutcomeInvalid, Message: "the result is too large to be encoded"}
	}
	write(w, out)
}

func (s *server) turn(w http.ResponseWriter, r *http.Request) {
	var in wire.Turn
	if !decode(w, r, wire.MaxTurn, &in) {
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	events := &events{w: w, flush: http.NewResponseController(w).Flush}
	answer := s.engine.Turn
	if p := s.program.Load(); p != nil {
		answer = p.turn
	}
	events.end(answer(r.Context(), in, events.emit))
}

// maxProgress leaves room in wire.MaxEvents for the last event.
const maxProgress = wire.MaxEvents / 2

// events writes NDJSON. A turn that was given up may still emit: after the end nothing is written.
type events struct {
	mu    sync.Mutex
	w     io.Writer
	flush func() error
	n     int
	ended bool
}

func (e *events) emit(ev wire.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n++; e.ended || e.n > maxProgress {
		return
	}
	e.line(ev)
}

func (e *events) end(ev wire.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	e.line(ev)
}

// line writes one event. A text that grows beyond a line by its escapes loses its end.
func (e *events) line(ev wire.Event) {
	b, err := encode(ev)
	for err == nil && len(b) > wire.MaxEvent && len(ev.Text) > 0 {
		ev.Text = ev.Text[:len(ev.Text)/2]
		b, err = encode(ev)
	}
	if err == nil {
		_, err = e.w.Write(b)
	}
	if err == nil {
		_ = e.flush() // a host that is gone ends the request's context
	}
}

// decode reads a body within its bound, or answers why not.
func decode(w http.ResponseWriter, r *http.Request, limit int64, v any) bool {
	err := wire.Decode(r.Body, limit, v)
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case err != nil:
		http.Error(w, fmt.Sprintf("body: %.200s", err), http.StatusBadRequest)
	}
	return err == nil
}

// encode is JSON without HTML escapes, ended by a newline.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

func write(w http.ResponseWriter, v any) {
	b, err := encode(v)
	if err != nil {
		http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b) // a host that is gone ends the session
}
