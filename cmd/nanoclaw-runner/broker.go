package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"sync"

	"github.com/hashicorp/yamux"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

// broker is the host's side of capability calls, over streams of the same wire.
type broker struct{ client http.Client }

func newBroker(session *yamux.Session) *broker {
	return &broker{client: http.Client{
		Transport: &http.Transport{
			DialContext:         func(context.Context, string, string) (net.Conn, error) { return session.Open() },
			MaxConnsPerHost:     wire.MaxStreams / 2,
			MaxIdleConnsPerHost: 4,
			DisableCompression:  true,
			// An answer's headers are ours: status and type.
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call is a wasm.Broker.
func (b *broker) call(ctx context.Context, skill, path, capability string, body []byte) (wire.Status, []byte, error) {
	url := "http://host" + wire.PathCap + capability
	waits := &waiting{ctx: ctx}
	defer waits.end()
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: waits.begin})
	req, err := http.NewRequestWithContext(traced, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(wire.HeaderSkill, skill)
	req.Header.Set(wire.HeaderCall, path)
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := wire.ReadLimited(resp.Body, wire.MaxCapResponse)
	if err != nil {
		return 0, nil, err
	}
	status, err := strconv.ParseUint(resp.Header.Get(wire.HeaderStatus), 10, 8)
	if resp.StatusCode != http.StatusOK || err != nil {
		return 0, nil, fmt.Errorf("the host answered %d without a status", resp.StatusCode)
	}
	return wire.Status(status), answer, nil
}

// waiting stops the clocks of a call while the host waits for its owner, which wire.CodeWaiting says.
type waiting struct {
	ctx     context.Context
	mu      sync.Mutex
	release func()
	over    bool
}

func (w *waiting) begin(code int, _ textproto.MIMEHeader) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if code == wire.CodeWaiting && w.release == nil && !w.over {
		w.release = pause.Hold(w.ctx)
	}
	return nil
}

func (w *waiting) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over = true; w.release != nil {
		w.release()
	}
}
