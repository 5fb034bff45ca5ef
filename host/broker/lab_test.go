package broker_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/host/store"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// lab is a broker with everything real behind it but the internet: names resolve by a
// table, and vetted public addresses lead to one local TLS server that plays every host.
// Nothing in it is asked before the broker's own checks have passed.
type lab struct {
	t       testing.TB
	cfg     broker.Config
	scope   host.Scope
	names   map[string][]string // name -> addresses; "" = every other name
	serve   http.HandlerFunc    // plays every host
	use     http.Handler        // of calls that belong to one turn; nil = each is one of its own
	secrets map[string]string
	rows    func() []audit.Row
	logs    *safeBuffer
	store   *store.Store
	audit   *audit.Log

	mu      sync.Mutex
	looked  []string
	dialled []string
	notices []string
	events  []host.Event
}

const (
	skillName = host.SkillName("probe")
	publicIP  = "93.184.216.34"
)

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{
		t: t, names: map[string][]string{"": {publicIP}}, secrets: map[string]string{}, logs: &safeBuffer{},
		serve: func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s%s", r.Method, r.Host, r.RequestURI)
		},
	}
	dir := t.TempDir()
	var err error
	if l.audit, err = audit.Open(dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.audit.Close() })
	l.rows = func() (rows []audit.Row) {
		b, err := os.ReadFile(filepath.Join(dir, audit.FileName))
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var r audit.Row
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("audit row %q: %v", line, err)
			}
			rows = append(rows, r)
		}
		return rows
	}
	leaks := func() *secret.Matcher {
		var keys []secret.Key
		for name, v := range l.secrets {
			keys = append(keys, secret.New(name, v))
		}
		return secret.NewMatcher(keys)
	}
	role := &host.Role{Name: "web"}
	need := []host.Need{{Name: host.CapHTTP, Optional: true}, {Name: host.CapKV}, {Name: host.CapLLM}, {Name: host.CapHistory, Optional: true}}
	l.scope = host.Scope{
		Attempt: 1,
		Turn:    "t1", Agent: host.Agent{ID: "agent-1", Role: "web"}, Role: role,
		Skills: map[host.SkillName]*host.Skill{skillName: {Manifest: host.Manifest{Name: skillName, Capabilities: need}, Digest: "sha256:aa"}},
		Emit:   func(e host.Event) { l.mu.Lock(); defer l.mu.Unlock(); l.events = append(l.events, e) },
	}
	l.cfg = broker.Config{
		Audit:  l.audit,
		Models: func(*host.Role, string) (broker.Model, error) { return nil, host.ErrUnavailable },
		Secrets: func(name string) (secret.Key, error) {
			if v, ok := l.secrets[name]; ok {
				return secret.New(name, v), nil
			}
			return secret.Key{}, host.ErrNotFound
		},
		Leaks:  leaks,
		Log:    hclog.New(&hclog.LoggerOptions{Output: secret.Writer(l.logs, leaks), Level: hclog.Trace}),
		Notice: func(_ host.Scope, s string) { l.notices = append(l.notices, s) },
		Lookup: l.lookup, Budgets: noBudgets{},
	}
	return l
}

// stored adds a real store.
func (l *lab) stored() *lab {
	l.t.Helper()
	st, err := store.Open(l.t.Context(), filepath.Join(l.t.TempDir(), "test.db"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { st.Close() })
	l.store, l.cfg.KV, l.cfg.Budgets, l.cfg.History = st, st, st, st
	return l
}

// internet starts the server that plays every host, over TLS on 443 and 8443, plain elsewhere.
func (l *lab) internet() *lab {
	l.t.Helper()
	cert, roots := authority()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(w, r) })
	quiet := log.New(io.Discard, "", 0)
	secure, plain := httptest.NewUnstartedServer(h), httptest.NewUnstartedServer(h)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.Config.ErrorLog, plain.Config.ErrorLog = quiet, quiet
	secure.StartTLS()
	plain.Start()
	l.t.Cleanup(secure.Close)
	l.t.Cleanup(plain.Close)
	l.cfg.RootCAs = roots
	l.cfg.Dial = func(ctx context.Context, _ *net.Dialer, to netip.AddrPort) (net.Conn, error) {
		l.mu.Lock()
		l.dialled = append(l.dialled, to.String())
		l.mu.Unlock()
		at := plain.Listener.Addr()
		if to.Port() == 443 || to.Port() == 8443 {
			at = secure.Listener.Addr()
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", at.String())
	}
	return l
}

func (l *lab) lookup(_ context.Context, _, name string) (out []netip.Addr, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = strings.TrimSuffix(name, ".")
	l.looked = append(l.looked, name)
	list, ok := l.names[name]
	if !ok {
		list = l.names[""]
	}
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return out, nil
}

// grant gives the role http grants in the words of --grant.
func (l *lab) grant(grants ...string) *lab {
	l.t.Helper()
	for _, s := range grants {
		g, err := broker.ParseHTTPGrant(s)
		if err != nil {
			l.t.Fatal(err)
		}
		l.scope.Role.HTTP = append(l.scope.Role.HTTP, g)
	}
	return l
}

func (l *lab) need(n host.Need) *lab {
	l.scope.Skills[skillName].Manifest.Capabilities = []host.Need{n}
	return l
}

type reply struct {
	t      testing.TB
	waits  int // interim answers
	code   int
	status wire.Status
	body   []byte
}

// call makes one capability call as the runner would.
func (l *lab) call(capability host.Capability, body any) reply {
	return l.callAs(string(skillName), "2.0", capability, body)
}

func (l *lab) callAs(skill, place string, capability host.Capability, body any) reply {
	l.t.Helper()
	return l.callContext(l.t.Context(), skill, place, capability, body)
}

func (l *lab) callContext(ctx context.Context, skill, place string, capability host.Capability, body any) reply {
	l.t.Helper()
	raw, isRaw := body.(string)
	if !isRaw {
		b, err := json.Marshal(body)
		if err != nil {
			l.t.Fatal(err)
		}
		raw = string(b)
	}
	r := httptest.NewRequest(http.MethodPost, wire.PathCap+string(capability), strings.NewReader(raw)).WithContext(ctx)
	r.Header.Set(wire.HeaderSkill, skill)
	r.Header.Set(wire.HeaderCall, place)
	return l.do(r)
}

func (l *lab) do(r *http.Request) reply {
	l.t.Helper()
	w := &recorder{ResponseRecorder: httptest.NewRecorder()}
	l.handler().ServeHTTP(w, r)
	status, err := strconv.Atoi(w.Header().Get(wire.HeaderStatus))
	if err != nil && w.Code == http.StatusOK {
		l.t.Fatalf("no status header: %v", w.Header())
	}
	return reply{t: l.t, waits: w.waits, code: w.Code, status: wire.Status(status), body: w.Body.Bytes()}
}

func (l *lab) handler() http.Handler {
	if l.use != nil {
		return l.use
	}
	return broker.New(l.cfg).Handler(l.scope)
}

func (l *lab) get(url string) reply {
	l.t.Helper()
	return l.call(host.CapHTTP, wire.HTTPRequest{Method: "GET", URL: url})
}

func (r reply) http() (out wire.HTTPResponse) {
	r.t.Helper()
	r.want(wire.StatusOK, "")
	if err := json.Unmarshal(r.body, &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// message is the sentence of a refusal.
func (r reply) message() string {
	var e wire.Error
	if err := json.Unmarshal(r.body, &e); err != nil || e.Code != r.status.String() {
		r.t.Errorf("refusal %s has body %q", r.status, r.body)
	}
	return e.Message
}

func (r reply) want(s wire.Status, part string) {
	r.t.Helper()
	if r.status != s {
		r.t.Fatalf("status %s, want %s: %.300s", r.status, s, r.body)
	}
	if part != "" && !strings.Contains(r.message(), part) {
		r.t.Errorf("refusal %q does not say %q", r.message(), part)
	}
}

// authority makes a certificate for every name that tests use, and the pool that trusts it.
var authority = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames: []string{
			"api.openai.com", "api.anthropic.com", "example.com", "*.example.com", "a.b.example.com", "*.test.org",
			"www.example.org", "nas.local",
		},
		IPAddresses: []net.IP{net.ParseIP("8.8.8.8"), net.ParseIP("127.0.0.1"), net.ParseIP("2606:4700:4700::1111")},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
})

// recorder knows interim answers, which httptest's does not.
type recorder struct {
	*httptest.ResponseRecorder
	waits int
}

func (r *recorder) WriteHeader(code int) {
	if code == wire.CodeWaiting {
		r.waits++
		return
	}
	r.ResponseRecorder.WriteHeader(code)
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// mentions reports every place where the owner's or guest's surfaces hold a value.
func (l *lab) mentions(value string, r reply) (where []string) {
	rows, _ := json.Marshal(l.rows())
	for name, text := range map[string]string{
		"answer": string(r.body), "log": l.logs.String(), "audit": string(rows), "notices": strings.Join(l.notices, "\n"),
	} {
		for _, v := range []string{value, url.QueryEscape(value), strconv.Quote(value), strings.TrimSpace(value)} {
			if v != "" && strings.Contains(text, v) {
				where = append(where, name)
			}
		}
	}
	return where
}
