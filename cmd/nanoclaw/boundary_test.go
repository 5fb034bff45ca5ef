package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// probe is a skill that makes the requests it is told to, and says what became of each.
const probeManifest = `name = "probe"
version = "1.0.0"
description = "Asks for what it is told to ask for"
[[capabilities]]
name = "http"
reason = "to try"
public_web = true
[[capabilities]]
name = "fs"
reason = "to try"
mode = "ro"
path = "."
optional = true
[limits]
timeout_ms = 4000
[[tools]]
name = "ask"
description = "Makes requests"
inputSchema = { type = "object" }
`

const probeSource = `package main

import (
	"errors"
	"os"

	"github.com/nanoclaw/nanoclaw/sdk"
)

type input struct {
	Requests []struct {
		Method, URL, Body string
		Header            map[string]string
	}
	Open []string // files
	Trap bool     // then
}

func init() {
	sdk.Tool("ask", func(_ sdk.Context, in input) (map[string][]string, error) {
		var out []string
		for _, r := range in.Requests {
			resp, err := sdk.HTTP(sdk.Request{Method: r.Method, URL: r.URL, Body: []byte(r.Body), Header: r.Header})
			var no *sdk.Error
			switch {
			case errors.As(err, &no):
				out = append(out, no.Error())
			case err != nil:
				out = append(out, err.Error())
			default:
				out = append(out, "ok "+string(resp.Body))
			}
		}
		for _, path := range in.Open {
			if _, err := os.Open(path); err != nil {
				out = append(out, errors.Unwrap(err).Error())
			}
		}
		if in.Trap {
			panic("on purpose")
		}
		return map[string][]string{"answers": out}, nil
	})
}

func main() {}
`

type probeRequest struct {
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Body   string            `json:"body"`
	Header map[string]string `json:"header"`
}

// newProbe builds the skill and returns its file.
func (s site) newProbe() string {
	s.t.Helper()
	dir := s.t.TempDir()
	write(s.t, filepath.Join(dir, "skill.toml"), probeManifest)
	write(s.t, filepath.Join(dir, "main.go"), probeSource)
	ran(s.t, s.cmd("skill", "build", dir))
	return filepath.Join(dir, "probe.wasm")
}

// probe makes requests from a skill in a container, under grants, and returns what it was answered.
func (s site) probe(file string, grants []string, requests []probeRequest) []string {
	s.t.Helper()
	in, err := json.Marshal(map[string]any{"requests": requests})
	if err != nil {
		s.t.Fatal(err)
	}
	args := []string{"skill", "call", file, "ask", string(in)}
	for _, g := range grants {
		args = append(args, "--grant", g)
	}
	var out struct{ Answers []string }
	said := called(s.t, s.cmd(args...))
	if err := json.Unmarshal([]byte(said), &out); err != nil || len(out.Answers) != len(requests) {
		s.t.Fatalf("the probe said %q: %v", said, err)
	}
	return out.Answers
}

// TestVectorsFromASkill: the vectors of requests once more, from inside a skill in a container, through
// the real program. What is not allowed never reaches the web, not even its proxy.
func TestVectorsFromASkill(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Method + " " + r.RequestURI)) })
	web := newFakeWeb(t, map[string]http.Handler{
		"api.openai.com": echo, "api.anthropic.com": echo, "a.b.example.com": echo, "evil.com": echo,
		"moved.example.com": http.RedirectHandler("https://evil.com/stolen", http.StatusFound),
		"down.example.com":  http.RedirectHandler("http://a.b.example.com/", http.StatusFound),
		"inside.example.com": http.RedirectHandler("https://169.254.169.254/latest/meta-data/",
			http.StatusTemporaryRedirect),
	})
	s := web.site("main")
	rows := []struct{ id, method, url, header, want string }{
		{"U01", "POST", "https://api.openai.com/v1/chat/completions", "", "ok POST /v1/chat/completions"},
		{"U02", "GET", "https://evil.com/steal/data", "", "denied: evil.com: host not granted"},
		{"U04", "GET", "https://api.anthropic.com/v1/messages", "", "denied: api.anthropic.com: method not granted"},
		{"U05", "GET", "http://api.openai.com/v1/chat", "", "denied: api.openai.com: scheme not granted"},
		{"U07", "GET", "https://api.openai.com@evil.com/v1/chat", "", "invalid"},
		{"U08", "GET", "https://user:password@api.openai.com/v1/chat", "", "invalid"},
		{"U10", "GET", "https://api.openai.com/v1/../admin", "", "invalid"},
		{"U13", "GET", "https://api.openai.com/v1/%2Fadmin", "", "invalid"},
		{"U14", "GET", "https://api.openai.com/v1/%ZZ/chat", "", "invalid"},
		{"U17", "GET", "https://a.b.example.com/", "", "ok GET /"},
		{"U17 apex", "GET", "https://example.com/", "", "denied: example.com: host not granted"},
		{"U19", "GET", "https://notexample.com/", "", "denied"},
		{"U20", "GET", "https://A.B.Example.COM/", "", "ok GET /"},
		{"U22", "GET", "file:///etc/passwd", "", "denied"},
		{"U23", "GET", "https://api.openai.com:8443/v1/", "", "denied: api.openai.com: port not granted"},
		{"U25", "GET", `https://api.openai.com\@evil.com/v1/`, "", "invalid"},
		{"U26", "TRACE", "https://api.openai.com/v1/", "", "denied"},
		{"U26 line", "GET /x HTTP/1.1\r\nX: y", "https://api.openai.com/v1/", "", "denied"},
		{"H01", "GET", "https://127.1/", "", "invalid"},
		{"H02", "GET", "https://2130706433/", "", "invalid"},
		{"H05", "GET", "https://[::ffff:127.0.0.1]/", "", "denied"},
		{"H07", "GET", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "", "invalid"},
		{"A01", "GET", "https://169.254.169.254/latest", "", "denied: 169.254.169.254: its address is not a public one"},
		{"A20", "GET", "https://[fd00:ec2::254]/", "", "denied"},
		{"D05", "POST", "https://moved.example.com/", "", "denied: evil.com: host not granted"},
		{"D05 inside", "GET", "https://inside.example.com/", "", "denied: 169.254.169.254"},
		{"D13", "GET", "https://down.example.com/", "", "denied: down.example.com: redirects from https to http"},
		{"C01", "GET", "https://api.openai.com/v1/", "Authorization", "denied"},
		{"C01 like it", "GET", "https://api.openai.com/v1/", "X_Api_Key", "denied"},
		{"C01 host", "GET", "https://api.openai.com/v1/", "Host", "denied"},
	}
	var requests []probeRequest
	for _, r := range rows {
		p := probeRequest{Method: r.method, URL: r.url}
		if r.header != "" {
			p.Header = map[string]string{r.header: "x"}
		}
		requests = append(requests, p)
	}
	answers := s.probe(s.newProbe(), []string{
		"http=GET,POST https://api.openai.com/v1/", "http=POST https://api.anthropic.com/v1/messages",
		"http=GET,POST https://*.example.com/", "http=GET https://169.254.169.254/ private", "http=GET https://[fd00:ec2::254]/ private",
	}, requests)
	for i, r := range rows {
		if !strings.HasPrefix(answers[i], r.want) {
			t.Errorf("%s %s %s: %q, want %q", r.id, r.method, r.url, answers[i], r.want)
		}
		if !strings.HasPrefix(answers[i], "ok") && strings.ContainsAny(answers[i], "/?#") {
			t.Errorf("%s: the refusal %q shows more than a host", r.id, answers[i])
		}
	}
	for _, r := range web.requests() {
		if strings.HasPrefix(r.URL, "evil.com") || r.Refused {
			t.Errorf("%s %s was sent", r.Method, r.URL)
		}
	}
}

// TestCallsThatEndBadly, from a skill in a container: a call that traps after it has sent something (W19), or that
// waits for an answer past its own deadline (W20), leaves its rows; a path that is refused is not repeated (F17).
func TestCallsThatEndBadly(t *testing.T) {
	web := newFakeWeb(t, map[string]http.Handler{
		"quick.example.com": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }),
		"slow.example.com":  http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
	})
	s := web.site("main")
	probe := s.newProbe()
	grants := []string{"--grant", "http=POST https://*.example.com/", "--grant", "fs=ro:."}
	for _, c := range []struct {
		id, in, want string
		code         int
		rows         []string // target, verdict, reason of what it did
	}{
		{
			"W19", `{"requests":[{"method":"POST","url":"https://quick.example.com/","body":"four"}],"trap":true}`,
			"skill probe crashed", exitCrashed,
			[]string{"quick.example.com allow http grant 1 of role skill-call", "quick.example.com outcome status 200"},
		},
		{
			"W20", `{"requests":[{"method":"POST","url":"https://slow.example.com/","body":"four"}]}`,
			"skill probe timed out", exitTimeout,
			[]string{
				"slow.example.com allow http grant 1 of role skill-call", "slow.example.com outcome cancelled: slow.example.com: cancelled",
			},
		},
		{
			"F17", `{"open":["/workspace/../hidden-7f3a","/hidden-7f3a/x","/workspace/hidden-7f3a\u0000","/proc/self/hidden-7f3a"]}`,
			"answers", 0, nil,
		},
	} {
		before := len(s.callRows())
		out, err := s.cmd(append([]string{"skill", "call", probe, "ask", c.in, "-v"}, grants...)...).CombinedOutput()
		if code(err) != c.code || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "hidden") {
			t.Errorf("%s: %v, want %q: %s", c.id, err, c.want, out)
		}
		var rows []string
		for _, r := range s.callRows()[before:] {
			if r.Bytes == 0 && r.Verdict == "allow" {
				t.Errorf("%s: %+v counts nothing", c.id, r)
			}
			rows = append(rows, r.Target+" "+r.Verdict+" "+r.Reason)
		}
		if !slices.Equal(rows, c.rows) {
			t.Errorf("%s left %q, want %q", c.id, rows, c.rows)
		}
	}
}

type callRow struct {
	Target, Verdict, Reason string
	Bytes                   int
}

// callRows are the rows of http in the log of 'skill call'.
func (s site) callRows() (rows []callRow) {
	s.t.Helper()
	for line := range strings.Lines(ran(s.t, s.cmd("audit", "--calls", "show", "--capability", "http", "--json", "-n", "0"))) {
		var r callRow
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			s.t.Fatal(err)
		}
		rows = append(rows, r)
	}
	return rows
}
