package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// bench is a real broker with a recorder in it, for one case.
type bench struct {
	t     *testing.T
	base  string // of the recordings
	role  *host.Role
	model broker.Model // nil = there is none
	rows  string       // file of the audit log
	tapes recorder
	serve http.Handler
}

func newBench(t *testing.T, base string, record bool, grant string) *bench {
	t.Helper()
	g, err := broker.ParseHTTPGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	g.Headers = map[string]string{"X-Api-Key": "key"}
	b := &bench{t: t, base: base, role: &host.Role{Name: "r", HTTP: []host.HTTPGrant{g}}}
	tapes := []*tape{nil, nil}
	for i, suffix := range []string{".http.json", ".llm.json"} {
		if tapes[i], err = openTape(base+suffix, record); err != nil {
			t.Fatal(err)
		}
	}
	b.tapes = recorder{tapes[0], tapes[1]}
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, err := audit.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close(); log.Close() })
	b.rows = filepath.Join(dir, audit.FileName)
	parts := broker.Config{
		Audit: log, KV: st, Budgets: st, Log: hclog.NewNullLogger(),
		Secrets: func(string) (secret.Key, error) { return secret.New("key", "sk-topsecret"), nil },
		Models: func(_ *host.Role, name string) (broker.Model, error) {
			switch {
			case name != "":
				return nil, fmt.Errorf("%w: not this role's", host.ErrDenied)
			case b.model == nil:
				return nil, fmt.Errorf("%w: no key", host.ErrUnavailable)
			}
			return b.model, nil
		},
	}
	b.tapes.into(&parts)
	k := host.Manifest{Name: "s", Capabilities: []host.Need{{Name: host.CapHTTP}, {Name: host.CapLLM}}}
	b.serve = broker.New(parts).Handler(host.Scope{
		Turn: "t", Role: b.role, Skills: map[host.SkillName]*host.Skill{"s": {Manifest: k}}, Emit: func(host.Event) {},
	})
	return b
}

// ask makes one capability call and answers its status and body.
func (b *bench) ask(capability string, q any) (status, body string) {
	b.t.Helper()
	raw, err := json.Marshal(q)
	if err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, wire.PathCap+capability, strings.NewReader(string(raw)))
	r.Header.Set(wire.HeaderSkill, "s")
	w := httptest.NewRecorder()
	b.serve.ServeHTTP(w, r.WithContext(b.t.Context()))
	return w.Header().Get(wire.HeaderStatus), w.Body.String()
}

func (b *bench) end() error { return errors.Join(b.tapes.http.end(), b.tapes.llm.end()) }

// site is a server that gives every request another answer, with what must not be kept.
func newSite(t *testing.T) (url string, asked *int) {
	t.Helper()
	asked = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		if r.Header.Get("X-Api-Key") != "sk-topsecret" {
			t.Error("the grant's credential was not sent")
		}
		for _, name := range []string{"Set-Cookie", "X-Session-Id", "X-Csrf-Token", "Authorization", "Www-Authenticate"} {
			w.Header().Set(name, "sk-topsecret")
		}
		w.Header().Set("X-Page", "7")
		switch r.URL.Path {
		case "/v1/image":
			w.Write([]byte{0xff, 0xd8, 0x00})
		case "/v1/large":
			w.Write(make([]byte, maxRecordedBody+1))
		default:
			fmt.Fprintf(w, "<p>answer %d</p>", *asked)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestRecordThenReplay(t *testing.T) {
	url, asked := newSite(t)
	base, grant := filepath.Join(t.TempDir(), "case"), "GET,POST "+url+"/v1/ private"
	calls := []wire.HTTPRequest{
		{URL: url + "/v1/a?q=1"},
		{URL: url + "/v1/a?q=1"}, // once more: answers come in order
		{URL: url + "/v1/b", Method: "POST", Body: "x"},
		{URL: url + "/v1/b", Method: "POST", Body: "y"},
		{URL: url + "/v1/image"},
	}
	var first []string
	rec := newBench(t, base, true, grant)
	for _, q := range calls {
		status, body := rec.ask("http", q)
		if first = append(first, body); status != "0" || strings.Contains(body, "topsecret") || !strings.Contains(body, `"X-Page":"7"`) {
			t.Fatal(status, body)
		}
	}
	if err := rec.end(); err != nil || *asked != len(calls) {
		t.Fatal(err, *asked)
	}
	kept, err := os.ReadFile(base + ".http.json")
	if err != nil || strings.Contains(string(kept), "topsecret") || !strings.Contains(string(kept), `"body": "<p>answer 1</p>"`) {
		t.Errorf("%s %v", kept, err)
	}
	if _, err := os.Stat(base + ".llm.json"); !os.IsNotExist(err) {
		t.Error("a recording of nothing", err)
	}
	play := newBench(t, base, false, grant)
	for _, i := range []int{3, 0, 4, 1, 2} { // only calls of one kind have an order
		if status, body := play.ask("http", calls[i]); status != "0" || body != first[i] {
			t.Errorf("call %d: %s %s, want %s", i, status, body, first[i])
		}
	}
	if err := play.end(); err != nil || *asked != len(calls) {
		t.Error(err, *asked)
	}
	for what, q := range map[string]wire.HTTPRequest{
		"GET " + url + "/v1/a?q=1 has no recorded answer":  calls[0], // a third time
		"GET " + url + "/v1/c has no recorded answer":      {URL: url + "/v1/c"},
		"POST " + url + "/v1/image has no recorded answer": {URL: url + "/v1/image", Method: "POST"},
	} {
		p := newBench(t, base, false, grant)
		p.ask("http", calls[0])
		p.ask("http", calls[1])
		status, body := p.ask("http", q)
		if err := p.end(); status != "8" || !strings.Contains(fmt.Sprint(err), what) || !strings.Contains(err.Error(), "--record") {
			t.Errorf("%s %s %v, want %s", status, body, err, what)
		}
	}
}

// TestReplayIsUnderGrants: a recording is no grant, and what is answered from it has its rows.
func TestReplayIsUnderGrants(t *testing.T) {
	url, _ := newSite(t)
	base := filepath.Join(t.TempDir(), "case")
	rec := newBench(t, base, true, "GET "+url+"/v1/ private")
	rec.ask("http", wire.HTTPRequest{URL: url + "/v1/a"})
	if err := rec.end(); err != nil {
		t.Fatal(err)
	}
	play := newBench(t, base, false, "GET "+url+"/v2/ private")
	if status, body := play.ask("http", wire.HTTPRequest{URL: url + "/v1/a"}); status != "1" || !strings.Contains(body, "path not granted") {
		t.Error(status, body)
	}
	if err := play.end(); err != nil {
		t.Error("a denied request needs no recording:", err)
	}
	public := newBench(t, base, false, "GET "+url+"/v1/")
	if status, body := public.ask("http", wire.HTTPRequest{URL: url + "/v1/a"}); status != "1" || !strings.Contains(body, "not a public one") {
		t.Error(status, body)
	}
	play = newBench(t, base, false, "GET "+url+"/v1/ private")
	play.ask("http", wire.HTTPRequest{URL: url + "/v1/a"})
	if rows, err := os.ReadFile(play.rows); err != nil || strings.Count(string(rows), `"allow"`) != 1 || strings.Count(string(rows), `"outcome"`) != 1 {
		t.Errorf("%s %v", rows, err)
	}
}

func TestWhatCannotBeRecorded(t *testing.T) {
	url, _ := newSite(t)
	dir := folder(t, t.TempDir(), map[string]string{"case.http.json": "an older recording"})
	for path, want := range map[string]string{
		url + "/v1/large":      "more than 1048576 bytes",
		"http://127.0.0.1:1/v": "has no answer that can be recorded",
	} {
		rec := newBench(t, dir+"/case", true, "GET "+path+" private")
		if status, body := rec.ask("http", wire.HTTPRequest{URL: path}); status == "0" {
			t.Error(body)
		}
		if err := rec.end(); !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if b, err := os.ReadFile(dir + "/case.http.json"); err != nil || string(b) != "an older recording" {
		t.Errorf("a failed recording replaced one: %s %v", b, err)
	}
	if err := newBench(t, dir+"/case", true, "GET "+url+"/ private").end(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/case.http.json"); !os.IsNotExist(err) {
		t.Error("a case that asks nothing keeps a recording", err)
	}
}

func TestBadRecordings(t *testing.T) {
	for text, want := range map[string]string{
		"": "no recording", "{}": "no recording", `[{"request":{},"response":{},"more":1}]`: `unknown field "more"`,
		strings.Repeat("[", maxTape+1): "too large",
	} {
		dir := folder(t, t.TempDir(), map[string]string{"a.http.json": text})
		if _, err := openTape(dir+"/a.http.json", false); !strings.Contains(fmt.Sprint(err), want) || !strings.Contains(err.Error(), "--record") {
			t.Errorf("%.20s: %v, want %q", text, err, want)
		}
	}
	dir := folder(t, t.TempDir(), map[string]string{
		"a.http.json": `[{"request":{"method":"GET","url":"http://127.0.0.1:1/"},"response":{"status":"fine"}}]`,
	})
	b := newBench(t, dir+"/a", false, "GET http://127.0.0.1:1/ private")
	if status, body := b.ask("http", wire.HTTPRequest{URL: "http://127.0.0.1:1/"}); status == "0" || b.end() == nil {
		t.Error(status, body)
	}
}

// echo is a model that says how often it was asked.
type echo struct{ asked int }

func (e *echo) Complete(_ context.Context, req wire.LLMRequest, _ func(string)) (*wire.LLMResponse, error) {
	e.asked++
	text := fmt.Sprintf("<%d> %s", e.asked, req.Messages[0].Content[0].Text)
	return &wire.LLMResponse{Content: []wire.Block{{Type: wire.BlockText, Text: text}}, StopReason: wire.StopEndTurn}, nil
}

func question(text string) wire.LLMRequest {
	return wire.LLMRequest{
		Messages: []wire.LLMMessage{{Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockText, Text: text}}}},
		Tools:    []wire.Tool{{Name: "x", InputSchema: json.RawMessage(`{ "type" : "object" }`)}},
	}
}

func TestRecordAModel(t *testing.T) {
	base, grant := filepath.Join(t.TempDir(), "case"), "GET https://a.example/"
	rec := newBench(t, base, true, grant)
	rec.model = &echo{}
	if status, body := rec.ask("llm", question("how?")); status != "0" || !strings.Contains(body, "<1> how?") {
		t.Fatal(status, body)
	}
	if err := rec.end(); err != nil {
		t.Fatal(err)
	}
	play := newBench(t, base, false, grant) // no model, no key
	if status, body := play.ask("llm", question("how?")); status != "0" || !strings.Contains(body, "<1> how?") {
		t.Error(status, body)
	}
	other := question("how?")
	other.Model = "another"
	if status, body := play.ask("llm", other); status != "1" { // the role's choice counts as it does live
		t.Error(status, body)
	}
	if err := play.end(); err != nil {
		t.Error(err)
	}
	play.ask("llm", question("why?"))
	if err := play.end(); !strings.Contains(fmt.Sprint(err), "why?") || !strings.Contains(err.Error(), "--record") {
		t.Error(err)
	}
	none := newBench(t, base, true, grant)
	if status, body := none.ask("llm", question("how?")); status == "0" {
		t.Error(body)
	}
	if err := none.end(); !strings.Contains(fmt.Sprint(err), "no key") {
		t.Error(err)
	}
}
