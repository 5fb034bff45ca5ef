package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of one request.
const (
	defaultMaxTokens = 8192
	maxMaxTokens     = 64_000
	maxRetries       = 4                // by the SDK: 408, 409, 429, 5xx and failed connections
	maxRetryAfter    = 60 * time.Second // a longer wait than this is told, not waited
	maxAnswer        = 32 << 20         // bytes of one answer
	maxErrorBody     = 64 << 10
	maxErrorText     = 300
	headerTimeout    = 5 * time.Minute
)

// anthropicModel asks one model by the Messages API.
type anthropicModel struct {
	model  string
	end    Endpoint
	client *http.Client
}

func (a *anthropicModel) Complete(
	ctx context.Context, req wire.LLMRequest, onText func(string),
) (*wire.LLMResponse, error) {
	params, err := a.params(req)
	if err != nil {
		return nil, err
	}
	key, err := a.end.Key()
	if err != nil {
		return nil, fmt.Errorf("the anthropic key is not there: %w", err)
	}
	opts := []option.RequestOption{
		option.WithoutEnvironmentDefaults(), option.WithEnvironmentProduction(), option.WithoutOpenTelemetry(),
		option.WithHTTPClient(a.client), option.WithMaxRetries(maxRetries), option.WithAPIKey(key),
	}
	if a.end.BaseURL != "" {
		opts = append(opts, option.WithBaseURL(a.end.BaseURL))
	}
	client := anthropic.NewClient(opts...)
	stream := client.Messages.NewStreaming(ctx, params)
	defer stream.Close()
	var m anthropic.Message
	for stream.Next() {
		event := stream.Current()
		if err := m.Accumulate(event); err != nil {
			return spent(&m), fmt.Errorf("%w: anthropic sent events that do not fit together", host.ErrUnavailable)
		}
		if event.Type == "content_block_delta" && event.Delta.Type == "text_delta" && onText != nil {
			onText(event.Delta.Text)
		}
		if event.Type == "message_stop" {
			return response(&m), nil
		}
	}
	if ctx.Err() != nil {
		return spent(&m), stopped(ctx)
	}
	return spent(&m), a.explain(stream.Err(), key, m.ID != "")
}

// stopped says why ctx ended.
func stopped(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: anthropic took longer than the turn may", host.ErrTimeout)
	}
	return context.Cause(ctx)
}

// explain makes one sentence of what went wrong. The key is in none: not in a URL, which
// never held it, and not in what the server says back. began: part of the answer is here.
func (a *anthropicModel) explain(err error, key string, began bool) error {
	var api *anthropic.Error
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &api):
		return a.explainStatus(api, key)
	case errors.As(err, &syntax) || errors.As(err, &typ):
		return fmt.Errorf("%w: anthropic answered with something that is no event", host.ErrUnavailable)
	case err == nil || began:
		return fmt.Errorf("%w: the answer of anthropic was cut off", host.ErrUnavailable)
	}
	return fmt.Errorf("%w: anthropic cannot be reached: %s", host.ErrUnavailable, safe(err.Error(), key))
}

func (a *anthropicModel) explainStatus(api *anthropic.Error, key string) error {
	kind, text := host.ErrUnavailable, fmt.Sprintf("anthropic failed with HTTP status %d", api.StatusCode)
	switch typ := string(api.Type()); {
	case typ == notTheAPI:
		text = "this is not anthropic, see base_url"
	case typ == "authentication_error" || api.StatusCode == http.StatusUnauthorized:
		kind, text = host.ErrDenied, "the anthropic key was refused; see api_key in [providers.anthropic]"
	case typ == "permission_error" || api.StatusCode == http.StatusForbidden:
		kind, text = host.ErrDenied, fmt.Sprintf("the anthropic key may not use model %q", a.model)
	case typ == "not_found_error" || api.StatusCode == http.StatusNotFound:
		kind, text = host.ErrNotFound, fmt.Sprintf("anthropic does not know model %q", a.model)
	case typ == "rate_limit_error" || api.StatusCode == http.StatusTooManyRequests:
		kind, text = host.ErrLimit, "the anthropic account is over its rate limit"
		if after := api.Response.Header.Get("Retry-After"); after != "" {
			text += "; it may be asked again after " + safe(after, key) + " s"
		}
	case typ == "overloaded_error" || api.StatusCode == 529:
		kind, text = host.ErrBusy, "anthropic is overloaded"
	case typ == "request_too_large" || api.StatusCode == http.StatusRequestEntityTooLarge:
		kind, text = host.ErrLimit, "the conversation is larger than anthropic takes"
	case typ == "invalid_request_error" || typ == "billing_error" || api.StatusCode == http.StatusBadRequest:
		kind, text = host.ErrInvalid, "anthropic refused the request"
	}
	var body struct {
		Error struct{ Message string } `json:"error"`
	}
	if json.Unmarshal([]byte(api.RawJSON()), &body) == nil && body.Error.Message != "" && kind != host.ErrDenied {
		text += ": " + safe(body.Error.Message, key)
	}
	return fmt.Errorf("%w: %s", kind, text)
}

// safe is s on one line, short, and without the key.
func safe(s, key string) string {
	if key != "" {
		s = strings.ReplaceAll(s, key, "[key]")
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) > maxErrorText {
		s = strings.ToValidUTF8(s[:maxErrorText], "") + "…"
	}
	return s
}

// newClient is the transport of every provider.
func newClient(proxy func(*http.Request) (*url.URL, error)) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.ResponseHeaderTimeout = proxy, headerTimeout
	return &http.Client{
		Transport:     bounded{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// notTheAPI is the type of the error that bounded puts in place of an answer that is none.
const notTheAPI = "not_the_api"

// bounded bounds what comes, and refuses what is no answer: pages of other servers, redirects.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if retryAfter(resp.Header) > maxRetryAfter {
		resp.Header.Set("X-Should-Retry", "false") // heeded by the SDK
	}
	limit := int64(maxErrorBody)
	if resp.StatusCode < 400 {
		limit = maxAnswer
	}
	var body io.Reader = io.LimitReader(resp.Body, limit)
	kind := resp.Header.Get("Content-Type")
	if resp.StatusCode < 400 && (resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream")) {
		resp.Header.Set("X-Should-Retry", "false")
		body = strings.NewReader(fmt.Sprintf(`{"error":{"type":%q,"message":"%s answers with HTTP status %d and no events"}}`,
			notTheAPI, req.URL.Hostname(), resp.StatusCode))
		resp.StatusCode = http.StatusBadGateway
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	return resp, nil
}

// retryAfter is how long a server asks to wait, in either of the header's forms.
func retryAfter(h http.Header) time.Duration {
	h.Del("Retry-After-Ms") // the SDK would heed it, whatever it says
	v := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		return time.Duration(min(s, 1e6) * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		return time.Until(t)
	}
	return 0
}
