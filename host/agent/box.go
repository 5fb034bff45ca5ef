package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"
	"golang.org/x/net/netutil"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds on what a runner may say, besides those of the wire.
const (
	maxHeader   = 16 << 10
	maxLoaded   = 256 << 10
	maxSentence = 500
	endWait     = 4 * time.Second // for the news of how a container ended
	quietWait   = 500 * time.Millisecond
)

// box is a started container with a session on its wire: HTTP both ways.
type box struct {
	c       host.Container
	session *yamux.Session
	client  *http.Client
	bound   atomic.Pointer[bound] // to a turn; nil = nothing is answered
	log     hclog.Logger
}

// bound is what answers the calls of one turn, and ends them.
type bound struct {
	http.Handler
	ctx context.Context
	end context.CancelFunc
}

// open makes the session. It owns c from now on.
func open(c host.Container, log hclog.Logger) (*box, error) {
	cfg := yamux.DefaultConfig()
	cfg.EnableKeepAlive, cfg.AcceptBacklog = false, wire.MaxStreams
	cfg.LogOutput, cfg.StreamCloseTimeout = io.Discard, 10*time.Second // what it logs, a runner can cause at will
	session, err := yamux.Client(&guard{c: c}, cfg)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	b := &box{c: c, session: session, log: log}
	b.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            func(context.Context, string, string) (net.Conn, error) { return session.Open() },
			MaxResponseHeaderBytes: maxHeader, DisableCompression: true, MaxConnsPerHost: wire.MaxStreams,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	server := &http.Server{
		Handler: http.HandlerFunc(b.serve), MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: time.Minute, ErrorLog: log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Trace}),
	}
	go server.Serve(netutil.LimitListener(&listener{session}, wire.MaxStreams)) // ends with the session
	return b, nil
}

// serve answers capability calls, while a turn runs and no longer: a call belongs to the turn in which it
// began, and ends with that.
func (b *box) serve(w http.ResponseWriter, r *http.Request) {
	h := b.bound.Load()
	if h == nil {
		http.Error(w, "no turn is running", http.StatusServiceUnavailable)
		return
	}
	most := int64(wire.MaxCapRequest)
	if strings.HasPrefix(r.URL.Path, wire.PathModel) {
		most = wire.MaxModelRequest
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	h.ServeHTTP(w, r.WithContext(ctx))
}

func (b *box) bind(h http.Handler) {
	ctx, end := context.WithCancel(context.Background())
	b.bound.Store(&bound{h, ctx, end})
}

// unbind stops answering, calls that are being answered included.
func (b *box) unbind() {
	if h := b.bound.Swap(nil); h != nil {
		h.end()
	}
}

func (b *box) alive() bool {
	select {
	case <-b.c.Done():
		return false
	default:
		return !b.session.IsClosed()
	}
}

// close ends the container, which ends the session.
func (b *box) close() error {
	b.unbind()
	err := b.c.Close()
	return errors.Join(err, b.session.Close())
}

// lostError says that the wire broke, as far as HTTP can tell. autopsy finds out why.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: the runner broke the protocol: %w", host.ErrCrashed, fmt.Errorf(format, args...))
}

// send posts in, and returns an answer of status 200.
func (b *box) send(ctx context.Context, path string, in any, limit int) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", host.ErrInvalid, path, err)
	}
	if len(body) > limit {
		return nil, fmt.Errorf("%w: %s: more than %d bytes", host.ErrLimit, path, limit)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://runner"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, lostError{err}
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, maxSentence))
		return nil, fmt.Errorf("%w: the runner answered %s with %d: %s",
			host.ErrCrashed, path, resp.StatusCode, printable(string(said)))
	}
	return resp, nil
}

// post sends in and decodes the answer of at most max bytes into out.
func (b *box) post(ctx context.Context, path string, in any, limit int, max int64, out any) error {
	resp, err := b.send(ctx, path, in, limit)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := wire.ReadLimited(resp.Body, max)
	if errors.Is(err, wire.ErrTooLarge) {
		return broken("%s: %w", path, err)
	}
	if err != nil {
		return lostError{err}
	}
	if err := wire.Unmarshal(body, out); err != nil {
		return broken("%s: %w", path, err)
	}
	return nil
}

// turn runs a turn and passes its progress on.
func (b *box) turn(ctx context.Context, j Job) (wire.Event, error) {
	resp, err := b.send(ctx, wire.PathTurn, j.Input, wire.MaxTurn)
	if err != nil {
		return wire.Event{}, err
	}
	defer resp.Body.Close()
	return listen(resp.Body, func(e wire.Event) {
		known := slices.ContainsFunc(j.Input.Tools, func(t wire.Tool) bool { return t.Name == e.Name })
		if stage := host.Stage(e.Stage); stage == host.StageModel || stage == host.StageTool && known {
			j.Scope.Emit(host.Event{Turn: j.Scope.Turn, Stage: stage, Name: e.Name})
		}
	})
}

// listen reads the events of a turn up to the reply.
func listen(r io.Reader, progress func(wire.Event)) (wire.Event, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), wire.MaxEvent)
	for range wire.MaxEvents {
		if !lines.Scan() {
			if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
				return wire.Event{}, broken("an event of more than %d bytes", wire.MaxEvent)
			}
			return wire.Event{}, lostError{errors.New("the turn ended without a reply")}
		}
		var e wire.Event
		if err := wire.Unmarshal(lines.Bytes(), &e); err != nil {
			return wire.Event{}, broken("event: %w", err)
		}
		switch e.Type {
		case wire.EventProgress:
			progress(e)
		case wire.EventReply:
			if len(e.Text) > wire.MaxReply {
				return wire.Event{}, fmt.Errorf("%w: a reply of more than %d bytes", host.ErrLimit, wire.MaxReply)
			}
			return e, nil
		case wire.EventError:
			return e, outcome(e)
		default:
			return wire.Event{}, broken("an event of unknown type")
		}
	}
	return wire.Event{}, broken("more than %d events", wire.MaxEvents)
}

// outcome is the error that a turn ended with.
func outcome(e wire.Event) error {
	kind, ok := map[string]error{
		wire.OutcomeTimeout: host.ErrTimeout, wire.OutcomeDenied: host.ErrDenied,
		wire.OutcomeNotFound: host.ErrNotFound, wire.OutcomeInvalid: host.ErrInvalid,
		wire.OutcomeToolError: host.ErrUnavailable, // the skill agent gives up: mostly, its model did
	}[e.Outcome]
	if !ok { // a trap of the skill agent, which does the same with the same turn
		return host.Lasting(fmt.Errorf("%w: %s", host.ErrCrashed, printable(e.Message)))
	}
	return fmt.Errorf("%w: %s", kind, printable(e.Message))
}

// autopsy says why a container stopped answering, where that is what happened.
func (b *box) autopsy(ctx context.Context, err error, memory int64) error {
	var lost lostError
	if ctx.Err() != nil || !errors.As(err, &lost) {
		return err
	}
	select {
	case <-b.session.CloseChan():
	case <-time.After(quietWait): // it lives, and said too little
		return broken("%w", err)
	}
	select {
	case <-b.c.Done():
	case <-time.After(endWait):
		return broken("it no longer speaks on its wire")
	}
	exit := b.c.Exit()
	b.log.Warn("container ended in the middle of its work",
		"container", b.c.ID(), "code", exit.Code, "oom", exit.OOM, "stderr", exit.Log)
	if exit.OOM {
		return host.Lasting(fmt.Errorf("%w: the agent ran out of memory, of which it may use %d MiB",
			host.ErrCrashed, memory>>20))
	}
	return fmt.Errorf("%w: the agent's container ended before it answered (exit code %d)", host.ErrCrashed, exit.Code)
}

// printable is what may be shown of a sentence that a runner wrote.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s[:min(len(s), maxSentence)], ""))
}
