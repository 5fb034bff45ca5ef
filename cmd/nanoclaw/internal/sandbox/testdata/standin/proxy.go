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
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"
)

// newCA makes the authority of the sandbox's proxy.
func (b *box) newCA() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Stand-in Sandboxes Proxy CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	b.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	b.Key = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
	return nil
}

// leaf is a certificate for a host whose TLS is looked into.
func (b box) leaf(host string) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(b.CA, b.Key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, &key.PublicKey, pair.PrivateKey)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// covers is the documented matching of sbx: "*." is one level, "**." any depth; docker sandbox's "*." is
// any depth.
func covers(pattern, host, port string) bool {
	p := pattern
	if i := strings.LastIndexByte(p, ':'); i >= 0 {
		if p[i+1:] != port {
			return false
		}
		p = p[:i]
	}
	switch {
	case p == "**" && !plugin || p == "*" && plugin:
		return true
	case strings.HasPrefix(p, "**.") && !plugin:
		return strings.HasSuffix(host, p[2:])
	case strings.HasPrefix(p, "*."):
		rest, ok := strings.CutSuffix(host, p[1:])
		return ok && rest != "" && (plugin || !strings.Contains(rest, "."))
	}
	return p == host
}

// allowed and bypassed are asked anew for each connection: policy changes take effect immediately.
func (b box) allowed(host, port string) bool {
	list := b.Allow
	if !plugin {
		list = rules(b.Name).Allow
	} else if !b.Deny {
		return true
	}
	for _, p := range list {
		if covers(p, host, port) {
			return true
		}
	}
	return false
}

func (b box) bypassed(host, port string) bool {
	if !plugin {
		_, service := serviceOf[host]
		return !service // only connections that get a credential are looked into
	}
	for _, p := range b.Bypass {
		if covers(p, host, port) {
			return true
		}
	}
	return false
}

var serviceOf = map[string]string{"api.anthropic.com": "anthropic", "api.openai.com": "openai"}

// upstream is where a host of the test's internet is: STANDIN_NET is "host:port=address …".
func upstream(at string) string {
	for _, pair := range strings.Fields(os.Getenv("STANDIN_NET")) {
		if name, addr, _ := strings.Cut(pair, "="); name == at {
			return addr
		}
	}
	return ""
}

func serveProxy(name string) {
	b, err := load(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, err := net.Listen("unix", b.socket())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := load(name) // with the policy of now
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		b.proxy(w, r)
	}))
	os.Exit(0)
}

func (b box) proxy(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	at := net.JoinHostPort(host, port)
	refuse := func(status int, why string) {
		fmt.Fprintln(os.Stderr, r.Method, at, why)
		http.Error(w, why, status)
	}
	to := upstream(at)
	switch {
	case !b.allowed(host, port):
		refuse(http.StatusForbidden, "blocked by policy")
	case to == "":
		refuse(http.StatusBadGateway, "no such host")
	case r.Method != http.MethodConnect:
		b.pass(w, r, host, to)
	default:
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		if b.bypassed(host, port) {
			fmt.Fprintln(os.Stderr, "forward-bypass", at)
			if out, err := net.Dial("tcp", strings.TrimPrefix(to, "http://")); err == nil {
				defer out.Close()
				join(conn, out)
			}
			return
		}
		fmt.Fprintln(os.Stderr, "forward", at)
		b.inspect(conn, host, to)
	}
}

// inspect terminates TLS and passes what is in it on.
func (b box) inspect(conn net.Conn, host, to string) {
	in := tls.Server(conn, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return b.leaf(host) }})
	one := &oneConn{conn: in, done: make(chan struct{})}
	_ = (&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.pass(w, r, host, to) })}).Serve(one)
	<-one.done
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn net.Conn
	done chan struct{}
}

type told struct {
	net.Conn
	done chan struct{}
}

func (t told) Close() error {
	defer func() { _ = recover() }() // closed twice
	close(t.done)
	return t.Conn.Close()
}

func (o *oneConn) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return told{c, o.done}, nil
	}
	return nil, io.EOF
}
func (o *oneConn) Close() error   { return nil }
func (o *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// pass sends a request on. The sentinel becomes the key; any other key is one that was made up inside.
func (b box) pass(w http.ResponseWriter, r *http.Request, host, to string) {
	const managed = "proxy-managed"
	if now, err := load(b.Name); err == nil {
		b = now // a secret takes effect on connections that there are
	}
	service, known := serviceOf[host]
	given := map[string]string{"X-Api-Key": r.Header.Get("X-Api-Key"), "Authorization": strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	if known {
		for name, v := range given {
			if v != "" && v != managed {
				http.Error(w, "a credential that this sandbox was not given: "+name, http.StatusForbidden)
				return
			}
			r.Header.Del(name)
		}
		key := b.Secrets[service]
		if env := os.Getenv(strings.ToUpper(service) + "_API_KEY"); key == "" && plugin {
			key = env
		}
		switch {
		case key == "":
		case service == "anthropic":
			r.Header.Set("X-Api-Key", key)
		default:
			r.Header.Set("Authorization", "Bearer "+key)
		}
	}
	u, err := url.Parse(to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	p := httputil.NewSingleHostReverseProxy(u)
	p.FlushInterval = -1
	p.ServeHTTP(w, r)
}
