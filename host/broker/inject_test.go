package broker_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// kept is a stored value of 40 characters, put together so that no scanner takes it for a leak.
var kept = "m3Zq8-" + "xV_Rt5uLk" + "7WbYc2HsNfJd1Gp" + "4Ae6Uo9TiX"

// kind is one way in which a grant's credential is sent.
type kind struct {
	name  string
	set   func(*host.HTTPGrant)
	url   string // what the guest asks for
	wants string // request URI and Authorization and X-Token that the server gets; %s is the value
}

var kinds = []kind{
	{"header", func(g *host.HTTPGrant) { g.Headers = map[string]string{"X-Token": "brave"} }, "/v1/x?a=b", "/v1/x?a=b||%s"},
	{"bearer", func(g *host.HTTPGrant) { g.Bearer = "brave" }, "/v1/x?a=b", "/v1/x?a=b|Bearer %s|"},
	{"basic", func(g *host.HTTPGrant) { g.Basic = host.BasicAuth{User: "me", Secret: "brave"} }, "/v1/x", "/v1/x|Basic me:%s|"},
	{"query", func(g *host.HTTPGrant) { g.Query = map[string]string{"app id": "brave"} }, "/v1/x?a=b", "/v1/x?a=b&app+id=%s||"},
	{"query alone", func(g *host.HTTPGrant) { g.Query = map[string]string{"key": "brave"} }, "/v1/x", "/v1/x?key=%s||"},
	{"path", func(g *host.HTTPGrant) { g.Paths = []string{"/other/", "/bot{brave}/"} }, "/bot{brave}/getMe?a={b}", "/bot%s/getMe?a={b}||"},
	{"path, written escaped", func(g *host.HTTPGrant) { g.Paths = []string{"/bot{brave}"} }, "/bot%7Bbrave%7D", "/bot%s||"},
}

// newInjected is a lab whose role has the credential brave for a.test.org and none for b.test.org.
func newInjected(t *testing.T, k kind, value string) *lab {
	l := newLab(t).internet().grant("GET,POST https://a.test.org/", "GET,POST https://b.test.org/")
	k.set(&l.scope.Role.HTTP[0])
	if value != "" {
		l.secrets["brave"] = value
	}
	return l
}

// got is a request in the words of kind.wants.
func got(r *http.Request) string {
	authorization := r.Header.Get("Authorization")
	if coded, ok := strings.CutPrefix(authorization, "Basic "); ok {
		b, _ := base64.StdEncoding.DecodeString(coded)
		authorization = "Basic " + string(b)
	}
	return r.RequestURI + "|" + authorization + "|" + r.Header.Get("X-Token")
}

// TestKindsOfInjection: the server gets the credential, the guest does not: not in the answer's URL,
// and not from a server that repeats it in any spelling (C10, L10), with a status, header, trailer
// or body.
func TestKindsOfInjection(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			l := newInjected(t, k, kept)
			var seen string
			l.serve = func(w http.ResponseWriter, r *http.Request) {
				seen = got(r)
				w.Header().Set("X-Echo", "you sent "+kept)
				w.Header().Set("X-"+kept, "or as a name")
				w.Header().Set("Trailer", "X-Late")
				w.WriteHeader(http.StatusForbidden)
				quoted, _ := json.Marshal(map[string]string{"bad key": kept})
				for _, s := range []string{
					kept, url.QueryEscape(kept), strings.ToLower(percent(kept)), percent(kept), html.EscapeString(kept), string(quoted),
					base64.StdEncoding.EncodeToString([]byte("me:" + kept)), hex.EncodeToString([]byte(kept)), r.RequestURI,
				} {
					fmt.Fprintln(w, s)
				}
				w.Header().Set("X-Late", kept)
			}
			r := l.get("https://a.test.org" + k.url)
			out := r.http()
			if want := strings.Replace(k.wants, "%s", kept, 1); seen != want {
				t.Errorf("the server got %q, want %q", seen, want)
			}
			if out.Status != 403 || !strings.Contains(out.Body, "[secret brave]") || out.Headers["X-Echo"] != "you sent [secret brave]" ||
				strings.Contains(strings.ToLower(string(r.body)), strings.ToLower(kept[:20])) || l.cfg.Leaks().Find(false, string(r.body)) != nil {
				t.Errorf("the guest got %s", r.body)
			}
			if where := l.mentions(kept, r); where != nil {
				t.Errorf("the secret is in %v", where)
			}
			if rows := l.rows(); len(rows) != 2 || rows[1].Reason != "status 403; redacted: brave" {
				t.Errorf("rows %+v", rows)
			}
			// C07: the other host does not get it, though it is granted too.
			l.serve = func(_ http.ResponseWriter, r *http.Request) { seen = got(r) }
			l.get("https://b.test.org/v1/x").http()
			if seen != "/v1/x||" {
				t.Errorf("the other host got %q", seen)
			}
		})
	}
}

func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// TestInjectionRefused: C04, C05, C11 for every kind, before any network and without an echo.
func TestInjectionRefused(t *testing.T) {
	for _, k := range kinds {
		for name, value := range map[string]string{
			"C11 missing": "", "C04": "Bearer \r\nx-evil: " + kept, "C05": kept + "\r\nx-evil: injected", "NUL": kept + "\x00",
		} {
			t.Run(k.name+" "+name, func(t *testing.T) {
				l := newInjected(t, k, value)
				r := l.get("https://a.test.org" + k.url)
				r.want(wire.StatusDenied, map[bool]string{true: "authentication is required", false: "cannot be sent"}[value == ""])
				if where := append(l.mentions(kept, r), l.mentions("x-evil", r)...); where != nil || len(l.looked)+len(l.dialled) > 0 {
					t.Errorf("the secret is in %v; %v looked up, %v dialled", where, l.looked, l.dialled)
				}
				if value == "" && (len(l.notices) != 1 || !strings.Contains(l.notices[0], "nanoclaw secret set brave")) {
					t.Errorf("notices %q", l.notices)
				}
			})
		}
	}
}

// TestInjectionStaysHome: D07 and C07 for every kind. A same-origin redirect gets the credential once
// more; a chain that left its origin never does.
func TestInjectionStaysHome(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			l := newInjected(t, k, kept)
			var seen []string
			l.serve = func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Host+strings.ReplaceAll(got(r), kept, "K"))
				next := "https://b.test.org/3"
				switch {
				case len(seen) == 1 && k.name == "path":
					next = "getChat"
				case len(seen) == 1 && strings.HasPrefix(k.name, "query"):
					next = "/v1/y?" + r.URL.RawQuery // as servers do
				case len(seen) == 1 && k.name != "path, written escaped":
					next = "/v1/y"
				case r.Host == "b.test.org":
					next = "https://a.test.org/v1/z"
				case strings.HasSuffix(r.URL.Path, "/z"):
					return
				}
				w.Header().Set("Location", next) // http.Redirect would write the path of the request into it
				w.WriteHeader(http.StatusFound)
			}
			r := l.get("https://a.test.org" + k.url)
			for _, s := range seen {
				if strings.Contains(s, "K") != (strings.HasPrefix(s, "a.test.org") && !strings.Contains(s, "/v1/z")) {
					t.Errorf("requests %q", seen)
				}
			}
			if strings.HasPrefix(k.name, "path") { // /v1/z is not granted
				r.want(wire.StatusDenied, "path not granted")
			} else if len(seen) != 4 || !strings.Contains(seen[3], "a.test.org/v1/z") {
				t.Errorf("requests %q, answer %s", seen, r.body)
			}
			if where := l.mentions(kept, r); where != nil {
				t.Errorf("the secret is in %v", where)
			}
		})
	}
}

// TestInjectionIsNotTheGuests: C01, C02, C08. What a guest names by itself is refused, and nothing
// that it names gets it a secret.
func TestInjectionIsNotTheGuests(t *testing.T) {
	query, path := kinds[3], kinds[5]
	for _, tc := range []struct {
		name string
		kind kind
		url  string
		want wire.Status
		says string
	}{
		{"the host's parameter", query, "/x?app+id=mine", wire.StatusDenied, "the skill set"},
		{"the host's parameter, escaped", query, "/x?%61pp%20id=mine", wire.StatusDenied, "the skill set"},
		{"the host's parameter, after a semicolon", query, "/x?a=b;app+id=mine", wire.StatusDenied, "the skill set"},
		{"another secret in the path", path, "/bot{other}/getMe", wire.StatusDenied, "path not granted"},
		{"a second secret in the path", path, "/bot{brave}/{other}", wire.StatusDenied, "not granted for it"},
		{"a secret twice", path, "/bot{brave}/{brave}", wire.StatusDenied, "not granted for it"},
		{"a secret where none is granted", path, "/other/{brave}", wire.StatusInvalid, "not spelled"},
		{"a path name", path, "/bot{../brave}/x", wire.StatusInvalid, ""},
		{"half a name", path, "/bot{brave/x", wire.StatusInvalid, ""},
		{"in the query", query, "/x?key={brave}", wire.StatusOK, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newInjected(t, tc.kind, kept)
			l.secrets["other"] = "an other secret that is not granted"
			seen := ""
			l.serve = func(_ http.ResponseWriter, r *http.Request) { seen = r.RequestURI }
			r := l.get("https://a.test.org" + tc.url)
			if r.want(tc.want, tc.says); tc.want != wire.StatusOK && seen != "" || strings.Contains(seen, "an+other") {
				t.Errorf("the server got %q", seen)
			}
		})
	}
	for _, k := range kinds[:3] {
		l := newInjected(t, k, kept)
		l.call(host.CapHTTP, wire.HTTPRequest{
			Method: "GET", URL: "https://a.test.org/v1/x", Headers: map[string]string{"Authorization": "Bearer mine", "X-Token": "mine"},
		}).want(wire.StatusDenied, "")
	}
}

// TestInjectionInTheClear: a credential leaves over https, or stays on this machine.
func TestInjectionInTheClear(t *testing.T) {
	l := newLab(t).internet().grant("http://a.test.org/", "http://127.0.0.1/ private")
	l.secrets["brave"] = kept
	l.scope.Role.HTTP[0].Bearer, l.scope.Role.HTTP[1].Bearer = "brave", "brave"
	l.get("http://a.test.org/").want(wire.StatusDenied, "in the clear")
	l.get("http://127.0.0.1/").http()
}

// TestBrokenAnswer: a server that breaks the protocol, or answers too much, is not quoted.
func TestBrokenAnswer(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"garbage": func(w http.ResponseWriter, _ *http.Request) {
			c, buf, _ := w.(http.Hijacker).Hijack()
			fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\n%s\r\n\r\n", kept)
			buf.Flush()
			c.Close()
		},
		"too much": func(w http.ResponseWriter, _ *http.Request) { // half of it would stand before the limit
			_, _ = io.WriteString(w, strings.Repeat("x", 5<<20-20)+kept)
		},
	} {
		l := newInjected(t, kinds[0], kept)
		l.serve = serve
		r := l.get("https://a.test.org/")
		if where := l.mentions(kept, r); r.status == wire.StatusOK || where != nil || strings.Contains(string(r.body), kept[:20]) {
			t.Errorf("%s: %s, in %v", name, r.status, where)
		}
	}
}
