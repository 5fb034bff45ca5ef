package model

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of what comes from a server.
const (
	maxAnswer      = 32 << 20 // bytes of one answer
	maxErrorBody   = 64 << 10
	maxRetries     = 4                // by the SDK: 408, 409, 429, 5xx and failed connections
	maxPatience    = 60 * time.Second // a server that wants a longer wait than this is not asked again
	fewRetries     = 1                // where another model stands ready
	littlePatience = 5 * time.Second
	defaultSilence = 5 * time.Minute
	second         = time.Second
)

var errSilent = errors.New("the server says nothing")

// exchange is what goes over the wire for one request of an SDK, its retries included. It
// travels in the request's context. The SDKs do not tell all of it, nor the same.
type exchange struct {
	patience, silence time.Duration
	timer             *time.Timer
	began             bool          // an answer streams
	stranger          bool          // the server does not speak the protocol
	status            int           // of the last answer that is none
	body              []byte        // its beginning
	after             time.Duration // its Retry-After
}

type exchangeKey struct{}

// listen gives a request its exchange, and ends it when the server says nothing for silence.
func listen(ctx context.Context, silence, patience time.Duration) (context.Context, *exchange, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	x := &exchange{patience: patience, silence: silence}
	x.timer = time.AfterFunc(silence, func() { cancel(errSilent) })
	return context.WithValue(ctx, exchangeKey{}, x), x, func() { x.timer.Stop(); cancel(nil) }
}

// newTransport is the way to every provider.
func newTransport(cfg Config) *http.Transport {
	if cfg.Transport != nil {
		return cfg.Transport
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	return t
}

// newClient is that of the SDKs. Redirects are not followed.
func newClient(t *http.Transport) *http.Client {
	return &http.Client{
		Transport:     transport{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport bounds what comes, keeps what goes wrong in the exchange, and refuses what is no
// answer: pages of other servers, redirects.
type transport struct{ next http.RoundTripper }

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x := req.Context().Value(exchangeKey{}).(*exchange)
	x.timer.Reset(x.silence)
	x.status, x.body, x.after = 0, nil, 0
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	came := body{heard{resp.Body, x}, resp.Body}
	if resp.StatusCode == http.StatusOK && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		x.began, resp.Body = true, body{io.LimitReader(came, maxAnswer), came}
		return resp, nil
	}
	x.status, x.after, x.stranger = resp.StatusCode, retryAfter(resp.Header), resp.StatusCode < 400
	if x.body, err = io.ReadAll(io.LimitReader(came, maxErrorBody)); err != nil {
		came.Close()
		return nil, err
	}
	if x.stranger || x.after > x.patience {
		resp.Header.Set("X-Should-Retry", "false") // heeded by the SDKs
	}
	if x.stranger {
		resp.StatusCode = http.StatusBadGateway
	}
	resp.Body = body{bytes.NewReader(x.body), came}
	return resp, nil
}

type body struct {
	io.Reader
	io.Closer
}

// heard puts the end of the silence off with each byte that comes.
type heard struct {
	io.Reader
	x *exchange
}

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.x.timer.Reset(h.x.silence)
	}
	return n, err
}

// retryAfter is how long a server asks to wait, in either of the header's forms.
func retryAfter(h http.Header) time.Duration {
	h.Del("Retry-After-Ms") // the SDKs would heed it, whatever it says
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		return time.Duration(min(s, 1e6) * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		return time.Until(t)
	}
	return 0
}
