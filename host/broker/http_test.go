package broker_test

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// C01: what a caller may not set, in spellings that servers take for the same.
func TestCallerHeaders(t *testing.T) {
	for _, tc := range []struct {
		header, value string
		want          wire.Status
	}{
		{"Authorization", "x", wire.StatusDenied},
		{"aUTHORIZATION", "x", wire.StatusDenied},
		{"Proxy-Authorization", "x", wire.StatusDenied},
		{"Proxy-Connection", "x", wire.StatusDenied},
		{"X-Api-Key", "x", wire.StatusDenied},
		{"X_Api_Key", "x", wire.StatusDenied},
		{"X-Goog-Api-Key", "x", wire.StatusDenied},
		{"apikey", "x", wire.StatusDenied},
		{"Ocp-Apim-Subscription-Key", "x", wire.StatusDenied},
		{"Private-Token", "x", wire.StatusDenied},
		{"X-Auth-Token", "x", wire.StatusDenied},
		{"X-Amz-Security-Token", "x", wire.StatusDenied},
		{"X-Session-Id", "x", wire.StatusDenied},
		{"Cookie", "x", wire.StatusDenied},
		{"Cookie2", "x", wire.StatusDenied},
		{"Host", "evil.com", wire.StatusDenied},
		{"host", "evil.com", wire.StatusDenied},
		{"Connection", "close, X-Y", wire.StatusDenied},
		{"Keep-Alive", "x", wire.StatusDenied},
		{"TE", "trailers", wire.StatusDenied},
		{"Trailer", "x", wire.StatusDenied},
		{"Transfer-Encoding", "chunked", wire.StatusDenied},
		{"Upgrade", "websocket", wire.StatusDenied},
		{"Content-Length", "0", wire.StatusDenied},
		{"Expect", "100-continue", wire.StatusDenied},
		{"Accept-Encoding", "br", wire.StatusDenied},
		{"X-Forwarded-For", "127.0.0.1", wire.StatusDenied},
		{"X-Forwarded-Host", "evil.com", wire.StatusDenied},
		{"Forwarded", "for=127.0.0.1", wire.StatusDenied},
		{"X-HTTP-Method-Override", "DELETE", wire.StatusDenied},
		{"X-Original-URL", "/admin", wire.StatusDenied},
		{"X_Rewrite_URL", "/admin", wire.StatusDenied},
		{"X-Host", "evil.com", wire.StatusDenied},
		{"X-HTTP-Host-Override", "evil.com", wire.StatusDenied},
		{"X-Original-Host", "evil.com", wire.StatusDenied},
		{"Good", "a\r\nX-Evil: 1", wire.StatusInvalid},
		{"Good", "a\nb", wire.StatusInvalid},
		{"Good", "a\x00b", wire.StatusInvalid},
		{"Good\r\nX-Evil", "1", wire.StatusInvalid},
		{"Good:", "1", wire.StatusInvalid},
		{"Bad name", "1", wire.StatusInvalid},
		{"", "1", wire.StatusInvalid},
		{"Big", strings.Repeat("a", 16<<10), wire.StatusTooLarge},
		{"X-Trace", "ok", wire.StatusOK},
		{"Accept", "a/b", wire.StatusOK},
		{"Idempotency-Key", "1", wire.StatusOK},
		{"Content-Type", "text/plain; charset=utf-8", wire.StatusOK},
		{"User-Agent", "me", wire.StatusOK},
	} {
		l := newLab(t).internet().grant(policy...)
		var got http.Header
		l.serve = func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }
		r := l.call(host.CapHTTP, wire.HTTPRequest{
			Method: "POST", URL: "https://api.example.com/", Headers: map[string]string{tc.header: tc.value}, Body: "x",
		})
		if r.status != tc.want {
			t.Errorf("%q: %s, want %s", tc.header, r.status, tc.want)
		}
		if tc.want == wire.StatusOK && got.Get(tc.header) != tc.value || tc.want != wire.StatusOK && got != nil {
			t.Errorf("%q: the server got %v", tc.header, got)
		}
		if len(tc.value) > 3 && tc.want != wire.StatusOK {
			if where := l.mentions(tc.value, r); where != nil {
				t.Errorf("%q: its value is in %v", tc.header, where)
			}
		}
	}
	l := newLab(t).internet().grant(policy...)
	r := l.call(host.CapHTTP, `{"method":"GET","url":"https://api.example.com/","headers":{"X-A":"1","x-a":"2"}}`)
	r.want(wire.StatusInvalid, "twice")
}

// C04, C05, C11 and what a grant's credential does on its way.
func TestInjection(t *testing.T) {
	const value = "s3cr3t-0123456789-abcdefghij"
	newInjected := func(t *testing.T) *lab {
		l := newLab(t).internet().grant("https://a.test.org/", "https://b.test.org/")
		l.scope.Role.HTTP[0].Headers = map[string]string{"X-Subscription-Token": "brave"}
		return l
	}
	t.Run("sent to its host alone", func(t *testing.T) {
		l := newInjected(t)
		l.secrets["brave"] = value
		var got []string
		l.serve = func(_ http.ResponseWriter, r *http.Request) {
			got = append(got, r.Host+"="+r.Header.Get("X-Subscription-Token"))
		}
		l.get("https://a.test.org/")
		r := l.get("https://b.test.org/")
		if s := strings.Join(got, " "); s != "a.test.org="+value+" b.test.org=" {
			t.Error(s)
		}
		if where := l.mentions(value, r); where != nil {
			t.Errorf("secret is in %v", where)
		}
	})
	for name, bad := range map[string]string{
		"missing": "", "C04": "Bearer \r\nx-evil: " + value, "C05": value + "\r\nx-evil: injected", "NUL": value + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			l := newInjected(t)
			if bad != "" {
				l.secrets["brave"] = bad
			}
			r := l.get("https://a.test.org/")
			r.want(wire.StatusDenied, map[bool]string{true: "authentication is required", false: "cannot be sent"}[bad == ""])
			if len(l.looked)+len(l.dialled) > 0 {
				t.Error("the network was used")
			}
			if where := append(l.mentions(value, r), l.mentions("x-evil", r)...); where != nil {
				t.Errorf("secret is in %v", where)
			}
		})
	}
	t.Run("empty", func(t *testing.T) {
		l := newInjected(t)
		l.secrets["brave"] = ""
		l.get("https://a.test.org/").want(wire.StatusDenied, "authentication is required")
	})
	t.Run("the error of a secret is for the log", func(t *testing.T) {
		l := newInjected(t)
		l.cfg.Secrets = func(string) (secret.Key, error) { return secret.Key{}, errors.New("vault says " + value) }
		r := l.get("https://a.test.org/")
		r.want(wire.StatusDenied, "authentication is required")
		if where := l.mentions(value, r); where != nil {
			t.Errorf("secret is in %v", where)
		}
	})
	t.Run("a caller's header is not replaced", func(t *testing.T) {
		l := newInjected(t)
		l.secrets["brave"] = value
		l.scope.Role.HTTP[0].Headers = map[string]string{"x-custom": "brave"}
		for _, name := range []string{"X-Custom", "x_custom"} { // the second is the first to servers that go by CGI
			l.call(host.CapHTTP, wire.HTTPRequest{
				Method: "GET", URL: "https://a.test.org/", Headers: map[string]string{name: "mine"},
			}).want(wire.StatusDenied, "the skill set")
		}
	})
	t.Run("a server that breaks the protocol with it", func(t *testing.T) {
		l := newInjected(t)
		l.secrets["brave"] = value
		l.serve = func(w http.ResponseWriter, r *http.Request) {
			c, buf, _ := w.(http.Hijacker).Hijack()
			fmt.Fprintf(buf, "garbage %s\r\n\r\n", r.Header.Get("X-Subscription-Token"))
			buf.Flush()
			c.Close()
		}
		r := l.get("https://a.test.org/")
		r.want(wire.StatusUnavailable, "no usable answer")
		if where := l.mentions(value, r); where != nil {
			t.Errorf("secret is in %v", where)
		}
	})
}

// TestRefusalsShowTheHostOnly: D17 and L13, on every surface.
func TestRefusalsShowTheHostOnly(t *testing.T) {
	const canary = "c4n4ry-value"
	for _, url := range []string{
		"https://evil.com/" + canary + "?" + canary + "#" + canary, "https://api.openai.com/v2/" + canary + "?q=" + canary,
		"https://" + canary + ":" + canary + "@api.openai.com/", "https://api.openai.com/v1/../" + canary,
		"http://127.0.0.1/" + canary, "https://api.openai.com/%2f" + canary, canary, "ftp://x/" + canary,
	} {
		l := newLab(t).grant(policy...)
		r := l.call(host.CapHTTP, wire.HTTPRequest{
			Method: "GET", URL: url, Headers: map[string]string{"X-A": canary}, Body: canary,
		})
		if r.status == wire.StatusOK {
			t.Errorf("%s passed", url)
		}
		if where := l.mentions(canary, r); where != nil {
			t.Errorf("%s: the canary is in %v", url, where)
		}
	}
	l := newLab(t).grant(policy...)
	r := l.get("https://evil.com/x")
	if m := r.message(); strings.Contains(m, "roles.") || strings.Contains(m, "--grant") {
		t.Errorf("the guest is told how to be granted it: %q", m)
	}
	if n := strings.Join(l.notices, ""); !strings.Contains(n, `--grant "http=GET https://evil.com:443/"`) ||
		!strings.Contains(n, "roles.web") || !strings.Contains(l.logs.String(), "--grant") {
		t.Errorf("the owner is not told how to grant it: %q", n)
	}
}

// TestManifestNarrows: the second side of the check.
func TestManifestNarrows(t *testing.T) {
	for _, tc := range []struct {
		name   string
		need   host.Need
		web    bool
		method string
		url    string
		want   wire.Status
		says   string
	}{
		{"declared host", host.Need{Hosts: []string{"a.test.org"}}, false, "GET", "https://a.test.org/", wire.StatusOK, ""},
		{"host not declared", host.Need{Hosts: []string{"a.test.org"}}, false, "GET", "https://b.test.org/", wire.StatusDenied, "does not ask for this host"},
		{"declared pattern", host.Need{Hosts: []string{"*.test.org"}}, false, "GET", "https://b.test.org/", wire.StatusOK, ""},
		{"declared, not granted", host.Need{Hosts: []string{"evil.com"}}, false, "GET", "https://evil.com/", wire.StatusDenied, "host not granted"},
		{"method not declared", host.Need{Methods: []string{"GET"}}, false, "POST", "https://a.test.org/", wire.StatusDenied, "does not ask for this method"},
		{"method declared", host.Need{Methods: []string{"POST"}}, false, "POST", "https://a.test.org/", wire.StatusOK, ""},
		{"public web asked", host.Need{PublicWeb: true}, true, "GET", "https://www.example.org/", wire.StatusOK, ""},
		{"public web not asked", host.Need{}, true, "GET", "https://www.example.org/", wire.StatusDenied, "host not granted"},
		{"public web not given", host.Need{PublicWeb: true}, false, "GET", "https://www.example.org/", wire.StatusDenied, "host not granted"},
		{"public web for a declared host", host.Need{Hosts: []string{"www.example.org"}}, true, "GET", "https://www.example.org/", wire.StatusOK, ""},
		{"public web, other host", host.Need{Hosts: []string{"www.example.org"}}, true, "GET", "https://example.com/", wire.StatusDenied, ""},
		{"public web is no POST", host.Need{PublicWeb: true}, true, "POST", "https://www.example.org/", wire.StatusDenied, "method not granted"},
		{"public web is https", host.Need{PublicWeb: true}, true, "GET", "http://www.example.org/", wire.StatusDenied, "scheme not granted"},
		{"public web is port 443", host.Need{PublicWeb: true}, true, "GET", "https://www.example.org:8443/", wire.StatusDenied, "port not granted"},
	} {
		l := newLab(t).internet().grant("GET,POST https://a.test.org/", "GET,POST https://b.test.org/")
		l.scope.Role.PublicWeb = tc.web
		tc.need.Name = host.CapHTTP
		l.need(tc.need)
		r := l.call(host.CapHTTP, wire.HTTPRequest{Method: tc.method, URL: tc.url})
		if r.status != tc.want || tc.says != "" && !strings.Contains(r.message(), tc.says) {
			t.Errorf("%s: %s %s", tc.name, r.status, r.body)
		}
	}
}

// TestPublicWebIsReading: no headers but those of reading, no body.
func TestPublicWebIsReading(t *testing.T) {
	for header, want := range map[string]wire.Status{
		"Accept": wire.StatusOK, "Accept-Language": wire.StatusOK, "User-Agent": wire.StatusOK, "If-None-Match": wire.StatusOK,
		"Range": wire.StatusOK, "X-Data": wire.StatusDenied, "Content-Type": wire.StatusDenied, "Origin": wire.StatusDenied,
	} {
		l := newLab(t).internet().need(host.Need{Name: host.CapHTTP, PublicWeb: true})
		l.scope.Role.PublicWeb = true
		r := l.call(host.CapHTTP, wire.HTTPRequest{
			Method: "GET", URL: "https://www.example.org/", Headers: map[string]string{header: "x"},
		})
		if r.status != want {
			t.Errorf("%s: %s, want %s", header, r.status, want)
		}
		l.call(host.CapHTTP, wire.HTTPRequest{Method: "GET", URL: "https://www.example.org/", Body: "x"}).
			want(wire.StatusDenied, "no body")
	}
}

func TestHTTPBodies(t *testing.T) {
	l := newLab(t).internet().grant("POST https://a.test.org/")
	l.serve = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("X-Many", "1")
		w.Header().Add("X-Many", "2")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(http.StatusTeapot)
		io.Copy(w, r.Body)
	}
	post := func(r wire.HTTPRequest) reply {
		r.Method, r.URL = "POST", "https://a.test.org/"
		return l.call(host.CapHTTP, r)
	}
	out := post(wire.HTTPRequest{Body: "<é>"}).http()
	if out.Status != 418 || out.Body != "<é>" || out.BodyBase64 != "" || out.Headers["X-Many"] != "1, 2" || out.Headers["Set-Cookie"] != "" {
		t.Errorf("%+v", out)
	}
	bin := base64.StdEncoding.EncodeToString([]byte("\xff\x00\x01"))
	if out := post(wire.HTTPRequest{BodyBase64: bin}).http(); out.BodyBase64 != bin || out.Body != "" {
		t.Errorf("%+v", out)
	}
	post(wire.HTTPRequest{BodyBase64: "?"}).want(wire.StatusInvalid, "base64")
	post(wire.HTTPRequest{BodyBase64: bin, Body: "x"}).want(wire.StatusInvalid, "once")
	rows := l.rows()
	// method + URL + body + "User-Agent: NanoClaw": all that leaves is counted.
	if want := int64(len("POST") + len("https://a.test.org/") + len("<é>") + len("User-AgentNanoClaw")); rows[0].Bytes != want {
		t.Errorf("%d bytes out, want %d", rows[0].Bytes, want)
	}
	if rows[1].Bytes != int64(len("<é>")) || rows[1].Reason != "status 418" {
		t.Errorf("outcome %+v", rows[1])
	}
}

// D19: what is counted is what comes out of the decompressor.
func TestAnswerBounds(t *testing.T) {
	l := newLab(t).internet().grant("https://a.test.org/")
	for name, serve := range map[string]func(w http.ResponseWriter){
		"plain": func(w http.ResponseWriter) { io.Copy(w, io.LimitReader(zeros{}, 6<<20)) },
		"endless": func(w http.ResponseWriter) {
			if n, err := io.Copy(w, io.LimitReader(zeros{}, 1<<30)); err == nil {
				t.Errorf("all %d bytes were taken", n)
			}
		},
		"gzip bomb": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.Copy(z, io.LimitReader(zeros{}, 1<<30))
			z.Close()
		},
	} {
		l.serve = func(w http.ResponseWriter, _ *http.Request) { serve(w) }
		r := l.get("https://a.test.org/")
		if r.status != wire.StatusTooLarge {
			t.Errorf("%s: %s %.100s", name, r.status, r.body)
		}
	}
	l.serve = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprint(z, "<small>")
		z.Close()
	}
	if out := l.get("https://a.test.org/").http(); out.Body != "<small>" {
		t.Errorf("%+v", out)
	}
	l.serve = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("a", 65<<10)) }
	l.get("https://a.test.org/").want(wire.StatusUnavailable, "no usable answer")
	// Control characters take six bytes each in JSON: the wire's own limit still holds.
	l.serve = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("\x01", 2<<20)) }
	l.get("https://a.test.org/").want(wire.StatusTooLarge, "the answer")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// D20: a server that trickles is cut off by the deadline, whatever it trickles.
func TestSlowServers(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	for name, serve := range map[string]http.HandlerFunc{
		"no answer": func(http.ResponseWriter, *http.Request) { <-done },
		"slow body": func(w http.ResponseWriter, _ *http.Request) {
			for {
				select {
				case <-done:
					return
				case <-time.After(10 * time.Millisecond):
					fmt.Fprint(w, ".")
					w.(http.Flusher).Flush()
				}
			}
		},
	} {
		l := newLab(t).internet().grant("https://a.test.org/")
		l.serve = serve
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		r := l.callContext(ctx, "probe", "1", host.CapHTTP, wire.HTTPRequest{Method: "GET", URL: "https://a.test.org/"})
		r.want(wire.StatusTimeout, "a.test.org")
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: took %s", name, d)
		}
		if rows := l.rows(); rows[len(rows)-1].Verdict != "outcome" {
			t.Errorf("%s: %+v", name, rows)
		}
	}
	l := newLab(t).internet().grant("https://a.test.org/")
	ctx, cancel := context.WithCancel(t.Context())
	l.serve = func(http.ResponseWriter, *http.Request) { cancel(); <-done }
	l.callContext(ctx, "probe", "1", host.CapHTTP, wire.HTTPRequest{Method: "GET", URL: "https://a.test.org/"}).
		want(wire.StatusCancelled, "")
}

// TestBadPeers: what the network can be, in words that quote nothing of it.
func TestBadPeers(t *testing.T) {
	l := newLab(t).internet().grant("https://a.test.org/")
	l.cfg.RootCAs = nil
	l.get("https://a.test.org/").want(wire.StatusUnavailable, "certificate")
	l.cfg.Dial = nil
	l.names["a.test.org"] = nil
	l.get("https://a.test.org/").want(wire.StatusUnavailable, "resolved")
	l.cfg.Lookup = nil
	var dns *net.DNSError
	if _, err := net.DefaultResolver.LookupNetIP(t.Context(), "ip", "a.invalid."); errors.As(err, &dns) {
		l.grant("https://a.invalid/")
		l.get("https://a.invalid/").want(wire.StatusUnavailable, "resolved")
	}
}

// TestSendIsAskedLast: what stands in the place of the network is asked only for what was
// allowed and has its row, each hop of a redirect included, and a refusal of its own counts.
func TestSendIsAskedLast(t *testing.T) {
	l := newLab(t).grant("GET https://a.test.org/ok", "GET http://127.0.0.1/ok")
	var sent []string
	l.cfg.Send = func(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
		rows := l.rows()
		if last := rows[len(rows)-1]; last.Verdict != "allow" || last.Target != r.URL.Host {
			t.Errorf("sent before its row: %+v", last)
		}
		sent = append(sent, r.URL.String())
		if strings.HasSuffix(r.URL.Path, "/gone") {
			return nil, errors.New("not recorded")
		}
		w := httptest.NewRecorder()
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
		return w.Result(), nil
	}
	l.get("https://b.test.org/ok").want(wire.StatusDenied, "host not granted")
	l.get("https://a.test.org/other").want(wire.StatusDenied, "path not granted")
	l.get("http://127.0.0.1/ok").want(wire.StatusDenied, "not a public one")
	l.get("https://a.test.org/ok").want(wire.StatusDenied, "path not granted") // where it leads
	l.get("https://a.test.org/ok/gone").want(wire.StatusUnavailable, "gave no usable answer")
	if want := "https://a.test.org/ok https://a.test.org/ok/gone"; strings.Join(sent, " ") != want {
		t.Errorf("sent %q, want %q", sent, want)
	}
}
