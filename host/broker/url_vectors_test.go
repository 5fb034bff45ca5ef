package broker_test

import (
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Section 1 of the shared vectors: the policy, the requests and what must become of them.
var policy = []string{
	"GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS https://api.openai.com/v1/",
	"POST https://api.anthropic.com/v1/messages",
	"GET,POST https://*.example.com/",
	"GET https://www.example.org/v1",
}

func TestURLVectors(t *testing.T) {
	const ok, denied, invalid, large = wire.StatusOK, wire.StatusDenied, wire.StatusInvalid, wire.StatusTooLarge
	for _, tc := range []struct {
		id, method, url string
		want            wire.Status
		says            string
	}{
		{"U01", "POST", "https://api.openai.com/v1/chat/completions", ok, ""},
		{"U01 query", "GET", "https://api.openai.com/v1/x?a=..%2F&b=https%3A%2F%2Fy", ok, ""},
		{"U02", "GET", "https://evil.com/steal/data", denied, "host not granted"},
		{"U04", "GET", "https://api.anthropic.com/v1/messages", denied, "method not granted"},
		{"U04 ok", "POST", "https://api.anthropic.com/v1/messages", ok, ""},
		{"U05", "GET", "http://api.openai.com/v1/chat", denied, "scheme not granted"},
		{"U06", "GET", "https://api.openai.com/v2/chat", denied, "path not granted"},
		{"U07", "GET", "https://api.openai.com@evil.com/v1/chat", invalid, "user"},
		{"U08", "GET", "https://user:password@api.openai.com/v1/chat", invalid, "user"},
		{"U08 empty", "GET", "https://@api.openai.com/v1/chat", invalid, "user"},
		{"U10", "GET", "https://api.openai.com/v1/../admin", invalid, "dot segment"},
		{"U10 end", "GET", "https://api.openai.com/v1/..", invalid, "dot segment"},
		{"U10 single", "GET", "https://api.openai.com/v1/./x", invalid, "dot segment"},
		{"U11", "GET", "https://api.openai.com/v1/../../etc/passwd", invalid, "dot segment"},
		{"U12 encoded", "GET", "https://api.openai.com/v1/%2e%2E/admin", invalid, "encoded"},
		{"U12 half", "GET", "https://api.openai.com/v1/.%2e/admin", invalid, "encoded"},
		{"U12 twice", "GET", "https://api.openai.com/v1/%252e%252e/admin", invalid, "encoded"},
		{"U12 thrice", "GET", "https://api.openai.com/v1/%25252e/admin", invalid, "encoded"},
		{"U12 parameter", "GET", "https://api.openai.com/v1/..;a=b/admin", invalid, "dot segment"},
		{"U12 overlong", "GET", "https://api.openai.com/v1/%c0%ae%c0%ae/admin", invalid, "bad escape"},
		{"U13", "GET", "https://api.openai.com/v1/%2Fadmin", invalid, "encoded"},
		{"U13 backslash", "GET", "https://api.openai.com/v1/%5Cadmin", invalid, "encoded"},
		{"U13 twice", "GET", "https://api.openai.com/v1/%252fadmin", invalid, "encoded"},
		{"U14", "GET", "https://api.openai.com/v1/%ZZ/chat", invalid, ""},
		{"U14 trailing", "GET", "https://api.openai.com/v1/chat%", invalid, ""},
		{"U14 short", "GET", "https://api.openai.com/v1/chat%2", invalid, ""},
		{"U14 query", "GET", "https://api.openai.com/v1/chat?a=%2", invalid, "query"},
		{"U15 NUL", "GET", "https://api.openai.com/v1/%00", invalid, ""},
		{"U15 CR LF", "GET", "https://api.openai.com/v1/%0d%0ax", invalid, "control"},
		{"U16", "GET", "https://www.example.org/v1", ok, ""},
		{"U16 below", "GET", "https://www.example.org/v1/x", ok, ""},
		{"U16 not a segment", "GET", "https://www.example.org/v1evil", denied, "path not granted"},
		{"U16 with slash", "GET", "https://api.openai.com/v1", denied, "path not granted"},
		{"U17 any depth", "GET", "https://a.b.example.com/", ok, ""},
		{"U17 one label", "GET", "https://api.example.com/", ok, ""},
		{"U18 apex", "GET", "https://example.com/", denied, "host not granted"},
		{"U19", "GET", "https://notexample.com/", denied, "host not granted"},
		{"U19 hyphen", "GET", "https://evil-example.com/", denied, "host not granted"},
		{"U19 suffix", "GET", "https://api.example.com.evil.com/", denied, "host not granted"},
		{"U20", "GET", "https://API.Example.COM/", ok, ""},
		{"U22 file", "GET", "file:///etc/passwd", denied, "https and http"},
		{"U22 ftp", "GET", "ftp://api.example.com/", denied, "https and http"},
		{"U22 gopher", "GET", "gopher://api.example.com/", denied, "https and http"},
		{"U22 data", "GET", "data:text/plain,x", denied, "https and http"},
		{"U22 ws", "GET", "ws://api.example.com/", denied, "https and http"},
		{"U22 none", "GET", "//api.example.com/", denied, "https and http"},
		{"U22 opaque", "GET", "https:api.example.com/", invalid, ""},
		{"U22 no host", "GET", "https:///v1/", invalid, "host"},
		{"U22 empty", "GET", "", denied, "https and http"},
		{"U23", "GET", "https://api.openai.com:8443/v1/", denied, "port not granted"},
		{"U23 own port", "GET", "https://api.openai.com:443/v1/", ok, ""},
		{"U24 port 0", "GET", "https://api.openai.com:0/v1/", invalid, "port"},
		{"U24 no port", "GET", "https://api.openai.com:/v1/", invalid, "port"},
		{"U24 big port", "GET", "https://api.openai.com:65979/v1/", invalid, "port"},
		{"U24 zeros", "GET", "https://api.openai.com:0443/v1/", invalid, "port"},
		{"U24 sign", "GET", "https://api.openai.com:+443/v1/", invalid, ""},
		{"U25", "GET", `https://api.openai.com\@evil.com/v1/`, invalid, "backslash"},
		{"U25 fragment", "GET", "https://api.example.com#@evil.com/", invalid, ""},
		{"U25 page part", "GET", "https://api.example.com/x#@evil.com/", ok, ""},
		{"U26 CONNECT", "CONNECT", "https://api.openai.com/v1/", denied, "method"},
		{"U26 TRACE", "TRACE", "https://api.openai.com/v1/", denied, "method"},
		{"U26 lower", "connect", "https://api.openai.com/v1/", denied, "method"},
		{"U26 line", "GET /x HTTP/1.1\r\nX: y", "https://api.openai.com/v1/", denied, "method"},
		{"U27 space", "GET", "https://api.openai.com/v1/ HTTP/1.1", invalid, "space"},
		{"U27 line", "GET", "https://api.openai.com/v1/\r\nX: y", invalid, "control"},
		{"U27 tab in host", "GET", "https://api.\topenai.com/v1/", invalid, "control"},
		{"U27 brace", "GET", "https://api.openai.com/v1/{x}", invalid, ""},
		{"U28", "GET", "https://api.openai.com/v1/" + strings.Repeat("a", 9<<10), large, "8192 bytes"},
		{"U29 star", "GET", "https://*.example.com/", invalid, "host"},
		{"U29 final dot", "GET", "https://api.example.com./", invalid, "host"},
		{"U29 empty label", "GET", "https://api..example.com/", invalid, "host"},
		{"U29 escape in host", "GET", "https://api%2eexample.com/", invalid, ""},
		{"H08", "GET", "https://ａpi.openai.com/v1/", invalid, "non-ASCII"},
		{"H08 dot", "GET", "https://api。openai.com/v1/", invalid, "non-ASCII"},
		{"H10", "GET", "https://localhost%00.example.com/", invalid, ""},
	} {
		t.Run(tc.id, func(t *testing.T) {
			l := newLab(t).internet().grant(policy...)
			r := l.call(host.CapHTTP, wire.HTTPRequest{Method: tc.method, URL: tc.url})
			r.want(tc.want, tc.says)
			if tc.want != ok && len(l.looked)+len(l.dialled) > 0 {
				t.Errorf("refused, but looked up %v and dialled %v", l.looked, l.dialled)
			}
			wantRows(t, l, tc.want)
		})
	}
}

// wantRows: every decision has its row, before the act, and no row holds a path or query.
func wantRows(t *testing.T, l *lab, s wire.Status) {
	t.Helper()
	rows := l.rows()
	want := []string{"deny"}
	if s == wire.StatusOK {
		want = []string{"allow", "outcome"}
	}
	for i, r := range rows {
		if i >= len(want) || r.Verdict != want[i] || r.Agent != "agent-1" || r.Skill != skillName || r.Turn != "t1" ||
			r.Digest != "sha256:aa" || r.Call != "2.0" || r.Capability != host.CapHTTP || r.Seq != int64(i+1) {
			t.Errorf("row %d: %+v, want verdict %v", i, r, want)
		}
		if text := r.Target + r.Reason; strings.ContainsAny(text, "/?#") {
			t.Errorf("row %d shows more than a host: %q", i, text)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %v", len(rows), want)
	}
}

// TestSentAsMatched: the request line is the guest's, byte for byte, and the host the canonical one.
func TestSentAsMatched(t *testing.T) {
	for in, want := range map[string]string{
		"https://API.example.com:443":              "GET api.example.com/",
		"https://api.example.com?":                 "GET api.example.com/?",
		"https://api.example.com/a%20b//c;d=e?f=g": "GET api.example.com/a%20b//c;d=e?f=g",
		"https://api.example.com/%41%c3%a9?q=%2e":  "GET api.example.com/%41%c3%a9?q=%2e",
		"https://api.example.com/x?u=//y/../z#top": "GET api.example.com/x?u=//y/../z",
		"https://api.example.com//v1":              "GET api.example.com//v1",
	} {
		if got := newLab(t).internet().grant(policy...).get(in).http().Body; got != want {
			t.Errorf("%s was sent as %q, want %q", in, got, want)
		}
	}
}

func TestPatternVectors(t *testing.T) {
	for _, bad := range []string{
		"", " ", "*", "https://*/", "https://*.com/", "https://*.internal/", "https://*.*.example.com/",
		"https://api*.example.com/", "https://*example.com/", "https://*./", "example.com", "example.com/path",
		"https://user@example.com/", "https://example.com/?q=1", "https://example.com/#f", "https://EXAMPLE.com/",
		"https://example.com./", "https://exa mple.com/", "https://.example.com/", "https://a..example.com/",
		"https://" + strings.Repeat("a.", 127) + "com/", "https://*.2.3.4/", "https://127.1/", "https://0x7f000001/",
		"ftp://example.com/", "HTTPS://example.com/", "https://example.com/a/../b", "https://example.com/%2e",
		"get https://example.com/", "GET,  https://example.com/", "CONNECT https://example.com/",
		"GET,TRACE https://example.com/", "GET POST https://example.com/", "GET https://example.com/ public",
		"private", "GET private", "https://é.example.com/", "https://example.com:0/",
	} {
		if g, err := broker.ParseHTTPGrant(bad); err == nil {
			t.Errorf("%q is taken for %+v", bad, g)
		}
	}
	g, err := broker.ParseHTTPGrant("GET,POST http://[::1]:8080/v1/ private")
	if err != nil || g.Scheme != "http" || g.Hosts[0] != "[::1]" || g.Port != 8080 || len(g.Methods) != 2 ||
		g.Paths[0] != "/v1/" || !g.Private {
		t.Errorf("%+v, %v", g, err)
	}
	g, err = broker.ParseHTTPGrant("https://*.example.com")
	if err != nil || g.Hosts[0] != "*.example.com" || g.Port != 443 || g.Methods != nil || g.Paths != nil || g.Private {
		t.Errorf("%+v, %v", g, err)
	}
}
