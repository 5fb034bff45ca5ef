package broker

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

var errDialled = errors.New("dialled")

// FuzzURL: whatever the canonicaliser passes is dialled under the very host and port that
// were matched, and the request line is the guest's own.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"https://api.openai.com/v1/chat?x=1#y", "http://127.0.0.1:80/", "https://[::1]:8443//a", "https://EXAMPLE.com",
		"https://a@b/", `https://a\@b/`, "https://ａpi.openai.com/", "https://0x7f.1/", "https://[::ffff:1.2.3.4]/%41?%2e",
		"https://h/%252e/..;/x", "https://xn--nxasmq6b/", "https://h:0443/", "https://h/?", "https://[fe80::1%25a]/",
		"https://h?a b", "https:h/", "https://%61/", "https://h/a%2", "https://1.2.3.4.5/", "https://h/é",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		to, err := parseURL(raw)
		if err != nil {
			if strings.Contains(raw, "canary") && strings.Contains(err.Error(), "canary") {
				t.Fatalf("%q is echoed: %v", raw, err)
			}
			return
		}
		var dialled string
		tr := &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = address
			return nil, errDialled
		}}
		req := &http.Request{Method: "GET", URL: to.url, Header: http.Header{}}
		if _, err := tr.RoundTrip(req); !errors.Is(err, errDialled) {
			t.Fatalf("%q: not dialled: %v", raw, err)
		}
		name := strings.Trim(to.host, "[]")
		if dialled != net.JoinHostPort(name, strconv.Itoa(to.port)) {
			t.Fatalf("%q: matched %q, dialled %q", raw, to.host, dialled)
		}
		if a, err := netip.ParseAddr(name); (err == nil) != to.addr.IsValid() || err == nil && a != to.addr {
			t.Fatalf("%q: address %v, host %q", raw, to.addr, to.host)
		}
		var line bytes.Buffer
		if err := req.Write(&line); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		sent := strings.TrimSuffix(strings.TrimPrefix(strings.SplitN(line.String(), "\r\n", 2)[0], "GET "), " HTTP/1.1")
		_, written, _ := strings.Cut(raw, "://")
		written, _, _ = strings.Cut(written, "#")
		written = written[strings.IndexAny(written+"/", "/?"):]
		if written == "" || written[0] == '?' {
			written = "/" + written
		}
		if sent != written {
			t.Fatalf("%q: sent %q", raw, sent)
		}
		path, _, _ := strings.Cut(sent, "?")
		slashes := strings.Count(path, "/")
		for range 3 { // however often a server decodes, it finds no dot segment and no new separator
			plain, err := url.PathUnescape(path)
			if err != nil {
				break
			}
			if strings.Count(plain, "/") != slashes || slices.Contains(strings.Split(plain, "/"), "..") || strings.Contains(plain, `\`) {
				t.Fatalf("%q: decodes to %q", raw, plain)
			}
			path = plain
		}
		if again, err := parseURL(to.url.String()); err != nil || again.origin() != to.origin() {
			t.Fatalf("%q: the canonical form %q is refused: %v", raw, to.url, err)
		}
	})
}

// FuzzMatch compares the grant matcher with one written label by label and segment by segment.
func FuzzMatch(f *testing.F) {
	f.Add("*.example.com", "a.b.example.com", "/v1/", "/v1/x", "GET", "", 0, 0)
	f.Add("example.com", "example.com", "/v1", "/v1evil", "POST", "http", 8080, 8080)
	f.Add("example.com", "example.com", "/", "/", "HEAD", "https", 443, 0)
	f.Fuzz(func(t *testing.T, pattern, name, prefix, path, method, scheme string, grantPort, port int) {
		if host.CheckHostPattern(pattern) != nil || !strings.HasPrefix(prefix, "/") || port < 0 || port > 65535 {
			return
		}
		raw := map[bool]string{true: "http://", false: "https://"}[scheme == "http"] + name
		if port != 0 {
			raw += ":" + strconv.Itoa(port)
		}
		to, err := parseURL(raw + path)
		if err != nil {
			return
		}
		g := &host.HTTPGrant{Scheme: scheme, Hosts: []string{"other.example", pattern}, Port: grantPort, Paths: []string{"/no/", prefix}}
		if got, want := to.match(g, method) == len(grantParts), slowMatch(g, to, method); got != want {
			t.Fatalf("%+v matches %s %s: %t, the reference says %t", g, method, to.url, got, want)
		}
	})
}

func slowMatch(g *host.HTTPGrant, to *target, method string) bool {
	if method != "GET" && method != "HEAD" {
		return false
	}
	standard := map[string]int{"http": 80, "https": 443, "": 443}
	if g.Scheme != to.url.Scheme && (g.Scheme != "" || to.url.Scheme != "https") {
		return false
	}
	if g.Port != to.port && (g.Port != 0 || to.port != standard[g.Scheme]) {
		return false
	}
	hostFits := slices.ContainsFunc(g.Hosts, func(pattern string) bool {
		want, have := strings.Split(pattern, "."), strings.Split(to.host, ".")
		if want[0] == "*" {
			want = want[1:]
			if len(have) <= len(want) {
				return false
			}
			have = have[len(have)-len(want):]
		}
		return slices.Equal(want, have)
	})
	return hostFits && slices.ContainsFunc(g.Paths, func(prefix string) bool {
		want, have := strings.Split(prefix, "/"), strings.Split(to.url.EscapedPath(), "/")
		if want[len(want)-1] == "" { // "/v1/": whatever is below it
			want = want[:len(want)-1]
			return len(have) > len(want) && slices.Equal(want, have[:len(want)])
		}
		return len(have) >= len(want) && slices.Equal(want, have[:len(want)])
	})
}

// FuzzHTTPGrant: what is taken has a pattern that the config would take, and matches its own URL.
func FuzzHTTPGrant(f *testing.F) {
	f.Add("GET,POST https://*.example.com:8443/v1/ private")
	f.Add("http://[::1]/")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := ParseHTTPGrant(s)
		if err != nil {
			return
		}
		if len(g.Hosts) != 1 || host.CheckHostPattern(g.Hosts[0]) != nil || g.Port < 1 || g.Port > 65535 {
			t.Fatalf("%q: %+v", s, g)
		}
		path := "/"
		if len(g.Paths) > 0 {
			path = g.Paths[0]
		}
		to, err := parseURL(g.Scheme + "://" + strings.Replace(g.Hosts[0], "*", "x", 1) + ":" + strconv.Itoa(g.Port) + path)
		if err != nil || len(g.Methods) == 0 && to.match(&g, "GET") != len(grantParts) ||
			len(g.Methods) > 0 && to.match(&g, g.Methods[0]) != len(grantParts) {
			t.Fatalf("%q: %+v does not match its own URL: %v", s, g, err)
		}
	})
}

// FuzzAddr: an address that carries another one never reaches further than it.
func FuzzAddr(f *testing.F) {
	f.Add([]byte(netip.MustParseAddr("::ffff:127.0.0.1").AsSlice()))
	f.Add([]byte(netip.MustParseAddr("64:ff9b::10.0.0.1").AsSlice()))
	f.Add([]byte{127, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		got := reachOf(a)
		u := a.Unmap()
		if got == public && (u.IsPrivate() || u.IsLoopback() || u.IsLinkLocalUnicast() || u.IsMulticast() || u.IsUnspecified() ||
			!u.IsGlobalUnicast()) {
			t.Fatalf("%s is public", a)
		}
		if u.Is4() && reachOf(netip.AddrFrom16(u.As16())) != got {
			t.Fatalf("%s differs from its mapped form", a)
		}
	})
}

// FuzzHop: no bytes of a guest make a request that the transport would refuse or split.
func FuzzHop(f *testing.F) {
	f.Add([]byte(`{"method":"POST","url":"https://a.b/c?d","headers":{"X-A":"b"},"body":"e"}`))
	f.Add([]byte(`{"url":"https://a.b/","headers":{"A\r\nB":"c\nd"},"body_base64":"AA=="}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := newHop(raw)
		if err != nil {
			if s := refusalOf(err).status; s == wire.StatusOK || s == wire.StatusInternal {
				t.Fatalf("%q: %v", raw, err)
			}
			if !utf8.ValidString(err.Error()) || len(err.Error()) > 200 {
				t.Fatalf("%q", err)
			}
			return
		}
		var out bytes.Buffer
		req := &http.Request{Method: h.method, URL: h.to.url, Header: h.header}
		if err := req.Write(&out); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		head, _, _ := strings.Cut(out.String(), "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return l == "Content-Length: 0" })
		if want := 2 + len(h.header); len(lines) != want {
			t.Fatalf("%q: %d lines, want %d: %q", raw, len(lines), want, lines)
		}
		if strings.ContainsAny(strings.Join(lines, ""), "\r\n") || h.header.Get("Authorization") != "" || h.header.Get("Host") != "" {
			t.Fatalf("%q: %q", raw, lines)
		}
	})
}
