package broker_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// seen is one request as a server got it.
type seen struct {
	method, host, path, body string
	header                   http.Header
}

// chain answers the path "/start" with status and location and every other with 200.
func (l *lab) chain(status int, location string) *[]seen {
	var got []seen
	l.serve = func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, seen{r.Method, r.Host, r.RequestURI, string(b), r.Header.Clone()})
		if r.URL.Path == "/start" {
			w.Header().Set("Location", location)
			w.WriteHeader(status)
			return
		}
		fmt.Fprint(w, "end")
	}
	return &got
}

const anyMethod = "GET,HEAD,POST,PUT,DELETE "

// TestRedirectMatrix: what the next request of a chain carries (D05 to D13).
func TestRedirectMatrix(t *testing.T) {
	const same, cross, denied = "https://a.test.org/end", "https://b.test.org/end", "denied"
	for _, tc := range []struct {
		id       string
		status   int
		method   string
		location string
		want     string // "METHOD body", or the refusal
	}{
		{"same 301 POST", 301, "POST", same, "GET "},
		{"same 302 POST", 302, "POST", same, "GET "},
		{"same 303 POST", 303, "POST", same, "GET "},
		{"same 303 PUT", 303, "PUT", same, "GET "},
		{"same 303 HEAD", 303, "HEAD", same, "HEAD "},
		{"D10 307", 307, "POST", same, "POST data"},
		{"D10 308", 308, "POST", same, "POST data"},
		{"D07", 302, "GET", cross, "GET "},
		{"D08 301", 301, "POST", cross, "GET "},
		{"D08 302", 302, "POST", cross, "GET "},
		{"D11 307", 307, "POST", cross, "POST "},
		{"D11 308", 308, "POST", cross, "POST "},
		{"cross port", 307, "POST", "https://a.test.org:8443/end", "POST "},
		{"relative", 302, "GET", "end?x=1#y", "GET "},
		{"relative dots", 302, "GET", "/a/../end", "GET "},
		{"scheme-relative", 302, "GET", "//b.test.org/end", "GET "},
		{"D05 loopback", 302, "GET", "http://127.0.0.1:6379/", "https to http"},
		{"D05 private", 302, "GET", "https://10.0.0.1/secret", "10.0.0.1: host not granted"},
		{"D05 metadata", 307, "POST", "https://169.254.169.254/latest", "host not granted"},
		{"D13", 302, "GET", "http://a.test.org/end", "https to http"},
		{"not granted host", 302, "GET", "https://evil.com/end?token=x", "evil.com: host not granted"},
		{"not granted port", 302, "GET", "https://b.test.org:444/end", "port not granted"},
		{"not granted method", 307, "DELETE", "https://c.test.org/end", "method not granted"},
		{"user", 302, "GET", "https://u:p@b.test.org/end", "names a user"},
		{"other scheme", 302, "GET", "file:///etc/passwd", "https and http"},
		{"backslash", 302, "GET", `\\evil.com/x`, "refused"},
		{"encoded dots", 302, "GET", "/%2e%2e/end", "refused"},
		{"non-ASCII host", 302, "GET", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "refused"},
		{"legacy host", 302, "GET", "https://0x7f000001/", "refused"},
		{"unreadable", 302, "GET", "https://[/", "redirect"},
		{"private name", 302, "GET", "https://x.test.org/", "not a public one"},
	} {
		t.Run(tc.id, func(t *testing.T) {
			l := newLab(t).internet().grant(anyMethod+"https://a.test.org/", anyMethod+"https://b.test.org/",
				anyMethod+"https://a.test.org:8443/", anyMethod+"https://x.test.org/", "https://c.test.org/")
			l.names["x.test.org"] = []string{"10.0.0.1"}
			got := l.chain(tc.status, tc.location)
			req := wire.HTTPRequest{Method: tc.method, URL: "https://a.test.org/start"}
			if tc.method == "POST" || tc.method == "PUT" || tc.method == "DELETE" {
				req.Body, req.Headers = "data", map[string]string{"Content-Type": "text/x", "X-Trace": "1", "Accept": "a/b"}
			}
			r := l.call(host.CapHTTP, req)
			if !strings.HasPrefix(tc.want, "GET ") && !strings.HasPrefix(tc.want, "POST ") && !strings.HasPrefix(tc.want, "HEAD ") {
				r.want(wire.StatusDenied, tc.want)
				if len(*got) != 1 {
					t.Errorf("%d requests were made", len(*got))
				}
				return
			}
			out := r.http()
			if len(*got) != 2 {
				t.Fatalf("%d requests were made", len(*got))
			}
			last := (*got)[1]
			if s := last.method + " " + last.body; s != tc.want {
				t.Errorf("hop 2 is %q, want %q", s, tc.want)
			}
			if out.URL != "https://"+last.host+last.path {
				t.Errorf("answer says %s, last request was to %s%s", out.URL, last.host, last.path)
			}
			if h := last.header; h.Get("Content-Type") != "" != (last.body != "") || h.Get("Referer") != "" ||
				last.host != "a.test.org" && h.Get("X-Trace") != "" || len(req.Headers) > 0 && h.Get("Accept") != "a/b" {
				t.Errorf("hop 2 has headers %v", h)
			}
			if rows := l.rows(); len(rows) != 3 || rows[1].Verdict != "allow" || rows[2].Verdict != "outcome" {
				t.Errorf("rows %+v", rows)
			}
		})
	}
}

// TestRedirectCount: five hops are followed, a sixth is refused; a 3xx without Location is an answer.
func TestRedirectCount(t *testing.T) {
	for _, n := range []int{5, 6} {
		l := newLab(t).internet().grant("https://a.test.org/")
		l.serve = func(w http.ResponseWriter, r *http.Request) {
			var i int
			if fmt.Sscanf(r.URL.Path, "/%d", &i); i > 0 {
				http.Redirect(w, r, fmt.Sprintf("/%d", i-1), http.StatusFound)
			}
		}
		r := l.get(fmt.Sprintf("https://a.test.org/%d", n))
		if n == 5 {
			r.http()
		} else {
			r.want(wire.StatusDenied, "more than 5 redirects")
		}
	}
	l := newLab(t).internet().grant("https://a.test.org/")
	l.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }
	if got := l.get("https://a.test.org/").http().Status; got != 304 {
		t.Error(got)
	}
	l.chain(302, "")
	if got := l.get("https://a.test.org/start").http().Status; got != 302 {
		t.Error(got)
	}
}

// TestCredentialStaysHome: C07 and D07. A chain that leaves its origin loses the credential
// for good, also when it comes back or reaches a host with one of its own.
func TestCredentialStaysHome(t *testing.T) {
	l := newLab(t).internet().grant("https://a.test.org/", "https://b.test.org/")
	l.scope.Role.HTTP[0].Headers = map[string]string{"Authorization": "a-key"}
	l.scope.Role.HTTP[1].Headers = map[string]string{"X-Api-Key": "b-key"}
	l.secrets["a-key"], l.secrets["b-key"] = "Bearer aaa", "bbb"
	var got []string
	l.serve = func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Host+r.URL.Path+" "+r.Header.Get("Authorization")+r.Header.Get("X-Api-Key"))
		next := map[string]string{"/1": "/2", "/2": "https://b.test.org/3", "/3": "/4", "/4": "https://a.test.org/5"}[r.URL.Path]
		if next != "" {
			http.Redirect(w, r, next, http.StatusFound)
		}
	}
	r := l.get("https://a.test.org/1")
	r.http()
	want := "a.test.org/1 Bearer aaa|a.test.org/2 Bearer aaa|b.test.org/3 |b.test.org/4 |a.test.org/5 "
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("got %q, want %q", s, want)
	}
	got = nil
	l.get("https://b.test.org/x").http()
	if s := strings.Join(got, "|"); s != "b.test.org/x bbb" {
		t.Errorf("got %q", s)
	}
	if where := l.mentions("Bearer aaa", r); where != nil {
		t.Errorf("secret is in %v", where)
	}
}
