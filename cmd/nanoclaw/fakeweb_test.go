package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeWeb stands for the internet: a proxy that ends TLS with certificates of its own CA and
// knows a few hosts by their real names. The unmodified program reaches it by [network] proxy
// and SSL_CERT_FILE, so skills ask for the addresses that they ask for in real life.
type fakeWeb struct {
	URL string // of the proxy

	t      *testing.T
	hosts  map[string]http.Handler
	inner  *httptest.Server // what a CONNECT leads to
	caFile string
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey // of the CA, and of every certificate that it signs

	mu    sync.Mutex
	asked []webRequest
}

// webRequest is one request that reached a host of the fake web, or was refused by the proxy.
type webRequest struct {
	Method, URL string // URL without its scheme: "api.example.com/v1/x?y=z"; of a refused CONNECT "host:port"
	Header      http.Header
	Body        string
	Refused     bool
}

// newFakeWeb starts a web of these hosts, all of https. It ends with the test.
func newFakeWeb(t *testing.T, hosts map[string]http.Handler) *fakeWeb {
	t.Helper()
	w := &fakeWeb{t: t, hosts: hosts, caFile: filepath.Join(t.TempDir(), "ca.pem")}
	w.makeCA()
	w.inner = httptest.NewUnstartedServer(http.HandlerFunc(w.answer))
	w.inner.TLS = &tls.Config{GetCertificate: w.certificate}
	w.inner.StartTLS()
	proxy := httptest.NewServer(http.HandlerFunc(w.connect))
	t.Cleanup(w.inner.Close)
	t.Cleanup(w.inner.CloseClientConnections)
	t.Cleanup(proxy.Close)
	w.URL = proxy.URL
	return w
}

// site is a user's set-up as shipped, whose internet is w and whose console talks to role.
// edits are pairs of texts of nanoclaw.toml and what stands there instead.
func (w *fakeWeb) site(role string, edits ...string) site {
	w.t.Helper()
	cfg := installed(w.t).config("")
	edits = append([]string{`# proxy = "none"`, fmt.Sprintf("proxy = %q", w.URL), `role = "main"`, fmt.Sprintf("role = %q", role)}, edits...)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(cfg, edits[i]) {
			w.t.Fatalf("the shipped configuration does not say %q", edits[i])
		}
		cfg = strings.ReplaceAll(cfg, edits[i], edits[i+1])
	}
	s := newSite(w.t, cfg)
	s.env = []string{"SSL_CERT_FILE=" + w.caFile}
	return s
}

// requests are those so far, in the order they came.
func (w *fakeWeb) requests() []webRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]webRequest(nil), w.asked...)
}

func (w *fakeWeb) record(r webRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r)
}

// connect is the proxy: a tunnel to inner for hosts that are known, and nothing else.
func (w *fakeWeb) connect(rw http.ResponseWriter, r *http.Request) {
	host, port, _ := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || w.hosts[host] == nil || port != "443" {
		w.record(webRequest{Method: r.Method, URL: r.Host, Refused: true})
		http.Error(rw, "the fake web has no https://"+r.Host, http.StatusBadGateway)
		return
	}
	there, err := net.Dial("tcp", w.inner.Listener.Addr().String())
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadGateway)
		return
	}
	here, buf, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		there.Close()
		return
	}
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	go pipe(there, buf)
	go pipe(here, there)
}

// pipe copies until one end closes, and closes the other.
func pipe(to io.WriteCloser, from io.Reader) {
	defer to.Close()
	_, _ = io.Copy(to, from) // a connection that breaks is one that ends
}

// answer serves what came through the tunnels.
func (w *fakeWeb) answer(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	if err != nil || r.TLS.ServerName != r.Host {
		http.Error(rw, "misdirected", http.StatusMisdirectedRequest)
		return
	}
	w.record(webRequest{Method: r.Method, URL: r.Host + r.RequestURI, Header: r.Header.Clone(), Body: string(body)})
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	w.hosts[r.Host].ServeHTTP(rw, r)
}

func (w *fakeWeb) makeCA() {
	w.t.Helper()
	var err error
	if w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	w.ca = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fake web"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, w.ca, w.ca, &w.key.PublicKey, w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	pemBytes := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(w.caFile, pemBytes, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// certificate makes one for the host that is asked.
func (w *fakeWeb) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if w.hosts[hello.ServerName] == nil {
		return nil, fmt.Errorf("no host %q", hello.ServerName)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{hello.ServerName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: w.ca.NotBefore, NotAfter: w.ca.NotAfter,
	}, w.ca, &w.key.PublicKey, w.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: w.key}, err
}

// page answers every request with a body of a kind.
func page(kind, body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(rw, body)
	}
}

// transcript says the lines in one conversation and returns it as a README shows it.
func (s site) transcript(lines ...string) string {
	s.t.Helper()
	s.start()
	said := make([]string, len(lines))
	for i, l := range lines {
		said[i] = "you> " + l + "\n" + s.chat(l)
	}
	return strings.Join(said, "\n")
}

// checkReadme fails unless the README of a skill shows this transcript, so that what it shows
// is what happens.
func checkReadme(t *testing.T, skill, transcript string) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("../../skills", skill, "README.md"))
	if want := "```\n" + transcript + "```\n"; !strings.Contains(string(readme), want) {
		t.Errorf("skills/%s/README.md does not show what was said (%v):\n%s", skill, err, want)
	}
}

// TestFakeWeb proves the fake with a skill that is proven by itself: a page of a host that it
// knows is read in a chat, one of another host is not reached by any way.
func TestFakeWeb(t *testing.T) {
	w := newFakeWeb(t, map[string]http.Handler{
		"tea.example.com": page("text/html", "<title>On tea</title><p>Green tea takes <b>two</b> minutes."),
	})
	got := w.site("web").transcript("fetch https://tea.example.com/green?sort=1", "fetch https://coffee.example.com/")
	if !strings.Contains(got, "# On tea\nhttps://tea.example.com/green?sort=1\n\nGreen tea takes two minutes.") ||
		!strings.Contains(got, "coffee.example.com: gave no usable answer") {
		t.Errorf("chat said %q", got)
	}
	checkReadme(t, "fetch", got)
	var asked []string
	for _, r := range w.requests() {
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("User-Agent"), " ", r.Refused))
	}
	want := "GET tea.example.com/green?sort=1 NanoClaw false, CONNECT coffee.example.com:443  true"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("the web was asked\n%s, want\n%s", got, want)
	}
}
