package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

// Bounds of one call, all its redirects together.
const (
	httpTimeout  = 30 * time.Second
	maxRedirects = 5
	maxBody      = 5 << 20 // bytes after decompression; base64 of it fits wire.MaxCapResponse
)

// hop is one request of a redirect chain.
type hop struct {
	method string
	to     *target
	header http.Header // the caller's
	body   []byte
	names  []string // of secrets, for which the path has placeholders
	away   bool     // the chain has left its first origin: no credential any more
}

// http sends a request and follows its redirects, checking each hop like the first.
func (b *Broker) http(ctx context.Context, c *call, raw []byte) (any, error) {
	ctx, cancel := pause.WithTimeout(ctx, httpTimeout, host.ErrTimeout)
	defer cancel()
	h, err := newHop(raw)
	if err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		c.row.Target = h.to.host
		resp, g, err := b.send(ctx, c, h)
		if err != nil {
			return nil, err
		}
		next, err := h.redirect(resp, g)
		if next == nil && err == nil {
			return b.read(ctx, c, h, resp)
		}
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		if n == maxRedirects {
			return nil, deny("%s: more than %d redirects", h.to.host, maxRedirects)
		}
		h = next
	}
}

func newHop(raw []byte) (*hop, error) {
	var req wire.HTTPRequest
	if err := decode(raw, &req); err != nil {
		return nil, err
	}
	if req.Method == "" {
		req.Method = http.MethodGet
	}
	if err := checkMethod(req.Method); err != nil {
		return nil, err
	}
	body := []byte(req.Body)
	if req.BodyBase64 != "" {
		b, err := base64.StdEncoding.DecodeString(req.BodyBase64)
		if err != nil || req.Body != "" {
			return nil, invalid("give the body once, as text or as base64")
		}
		body = b
	}
	path, _, _ := strings.Cut(req.URL, "?")
	to, err := parseURL(host.EscapePlaceholders(path) + req.URL[len(path):])
	if err != nil {
		return nil, err
	}
	header, err := callerHeader(req.Headers)
	return &hop{method: req.Method, to: to, header: header, body: body, names: host.Placeholders(path)}, err
}

// checkMethod takes the methods that have a body to send and an answer to read, and nothing
// that would make a tunnel (CONNECT) or echo what the broker adds (TRACE).
func checkMethod(m string) error {
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, m) {
		return deny("the method is none that can be granted")
	}
	return nil
}

// send checks h, writes its row and sends it.
func (b *Broker) send(ctx context.Context, c *call, h *hop) (*http.Response, *host.HTTPGrant, error) {
	if err := b.guardHTTP(h); err != nil {
		return nil, nil, err
	}
	g, reason, err := c.grant(h)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, h.method, h.to.url.String(), bytes.NewReader(h.body))
	if err != nil {
		return nil, nil, invalid("the URL cannot be sent")
	}
	req.URL = h.to.url // as it was matched
	req.Header = h.header.Clone()
	egress := len(h.method) + len(h.to.url.String()) + len(h.body) + headerBytes(h.header)
	if c.turn.http.Add(1) > maxTurnHTTP {
		return nil, nil, &refusal{status: wire.StatusRateLimited, message: "the turn has made too many requests"}
	}
	if err := b.spend(ctx, c.scope.Role, host.BudgetRequests, 1); err != nil {
		return nil, nil, err
	}
	if err := b.spend(ctx, c.scope.Role, host.BudgetBytesOut, int64(egress)); err != nil {
		return nil, nil, err
	}
	if g.Ask {
		how, err := b.ask(ctx, c, h.question())
		if err != nil {
			return nil, nil, err
		}
		reason += ", " + how
	}
	if err := b.inject(req, g, h); err != nil {
		return nil, nil, err
	}
	if err := b.allow(ctx, c, h.to.host, reason, int64(egress)); err != nil {
		return nil, nil, err
	}
	resp, err := b.cfg.Send(b.route(req, g.Private), req)
	if err != nil {
		return nil, nil, netError(ctx, h.to.host, err)
	}
	return resp, g, nil
}

// grant finds the first grant of the role that fits h, within what the skill's manifest asks for.
func (c *call) grant(h *hop) (*host.HTTPGrant, string, error) {
	role, t, best := c.scope.Role, h.to, 0
	declared := t.hostIn(c.need.Hosts)
	web := &host.HTTPGrant{Hosts: []string{t.host}, Ask: role.AskWeb} // https, port 443, GET and HEAD
	if len(c.need.Methods) > 0 && !slices.Contains(c.need.Methods, h.method) {
		return nil, "", deny("%s: the skill's manifest does not ask for this method", t.host)
	}
	for i := range role.HTTP {
		g := &role.HTTP[i]
		n := t.match(g, h.method)
		if n == len(grantParts) && (declared || len(c.need.Hosts) == 0) {
			return g, fmt.Sprintf("http grant %d of role %s", i+1, role.Name), c.reachable(g, h)
		}
		best = max(best, n)
	}
	if role.PublicWeb && (declared || c.need.PublicWeb) {
		n := t.match(web, h.method)
		if n == len(grantParts) {
			return web, "public_web of role " + string(role.Name), errors.Join(c.reachable(web, h), onlySafe(h))
		}
		best = max(best, n)
	}
	if best == len(grantParts) {
		return nil, "", deny("%s: the skill's manifest does not ask for this host", t.host)
	}
	no := deny("%s: %s not granted", t.host, grantParts[best])
	no.grant = fmt.Sprintf(`http = [{ hosts = [%q], methods = [%q] }] in [roles.%s]; for skill call --grant "http=%s %s/"`,
		t.host, h.method, role.Name, h.method, t.origin())
	return nil, "", no
}

// reachable refuses addresses and names that are not public before anything is resolved.
func (c *call) reachable(g *host.HTTPGrant, h *hop) error {
	how := reachOfName(h.to.host)
	if h.to.addr.IsValid() {
		how = reachOf(h.to.addr)
	}
	if how.open(g.Private) {
		return nil
	}
	return notPublic(h.to.host)
}

func notPublic(name string) error { return deny("%s: its address is not a public one", name) }

// route chooses the transport: what a proxy takes goes to it, the rest to vetted addresses.
func (b *Broker) route(req *http.Request, privateToo bool) *http.Transport {
	if b.cfg.Proxy != nil {
		if p, err := b.cfg.Proxy(req); err != nil || p != nil {
			return b.proxied
		}
	}
	if privateToo {
		return b.private
	}
	return b.public
}

// redirect returns the next hop, or nil when resp is the answer.
func (h *hop) redirect(resp *http.Response, g *host.HTTPGrant) (*hop, error) {
	where := resp.Header.Get("Location")
	if !slices.Contains([]int{301, 302, 303, 307, 308}, resp.StatusCode) || where == "" {
		return nil, nil
	}
	u, err := h.to.url.Parse(where)
	if err != nil {
		return nil, deny("%s: its redirect cannot be read", h.to.host)
	}
	withoutQuery(u, g)
	to, err := parseURL(u.String())
	if err != nil {
		return nil, deny("%s: its redirect is refused, %s", h.to.host, err)
	}
	if h.to.url.Scheme == "https" && to.url.Scheme != "https" {
		return nil, deny("%s: redirects from https to http are refused", h.to.host)
	}
	next := &hop{method: h.method, to: to, header: h.header.Clone(), body: h.body, away: h.away}
	if resp.StatusCode <= 303 && h.method != http.MethodGet && h.method != http.MethodHead {
		next.method = http.MethodGet
		next.dropBody()
	}
	if to.origin() != h.to.origin() {
		next.away = true
		next.dropBody()
		maps.DeleteFunc(next.header, func(k string, _ []string) bool { return !safeHeader(k) && k != "Content-Type" })
	}
	return next, nil
}

func (h *hop) dropBody() {
	if len(h.body) > 0 {
		h.body = nil
		maps.DeleteFunc(h.header, func(k string, _ []string) bool { return strings.HasPrefix(k, "Content-") })
	}
}

// read turns resp into the guest's answer.
func (b *Broker) read(ctx context.Context, c *call, h *hop, resp *http.Response) (any, error) {
	defer resp.Body.Close()
	body, err := wire.ReadLimited(resp.Body, maxBody)
	c.row.Bytes = int64(len(body))
	if errors.Is(err, wire.ErrTooLarge) {
		return nil, tooLarge("%s: its answer has more than %d bytes", h.to.host, maxBody)
	}
	if err != nil {
		return nil, netError(ctx, h.to.host, err)
	}
	text, hidden := b.redactHTTP(resp.Header, string(body))
	out := wire.HTTPResponse{Status: resp.StatusCode, URL: h.to.url.String(), Headers: map[string]string{}, Body: text}
	for k, v := range resp.Header {
		if k != "Set-Cookie" && k != "Set-Cookie2" { // there is no cookie jar, and a session is a credential
			out.Headers[k] = strings.Join(v, ", ")
		}
	}
	if !utf8.ValidString(text) {
		out.Body, out.BodyBase64 = "", base64.StdEncoding.EncodeToString([]byte(text))
	}
	c.row.Reason = fmt.Sprintf("status %d%s", resp.StatusCode, hidden)
	return out, nil
}

// netError says what went wrong without the words of the network: they can quote an answer.
func netError(ctx context.Context, name string, err error) error {
	var no *refusal
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	why := "gave no usable answer"
	switch {
	case errors.As(err, &no):
		return no
	case ctx.Err() != nil:
		return failed(name, context.Cause(ctx))
	case errors.As(err, &dns):
		why = "its name cannot be resolved"
	case errors.As(err, &cert):
		why = "its certificate is not accepted"
	}
	return &refusal{status: wire.StatusUnavailable, message: name + ": " + why}
}
