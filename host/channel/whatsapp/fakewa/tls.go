package fakewa

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"

	"go.mau.fi/whatsmeow"
)

func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fakewa"}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, nil
}

// HTTPClient returns a client whose only reachable peer is this server.
func (s *Server) HTTPClient() *http.Client { return httpClient(s.ln.Addr().String(), s.pool) }

func httpClient(addr string, pool *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:           nil,
		TLSClientConfig: &tls.Config{RootCAs: pool},
		DialContext: func(ctx context.Context, network, target string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(target)
			for _, h := range hosts {
				if h == host {
					return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
				}
			}
			return nil, fmt.Errorf("fakewa: refusing to dial %s", target)
		},
	}}
}

// Attach points a whatsmeow client at the fake. It is the only wiring needed.
func (s *Server) Attach(cli *whatsmeow.Client) { attach(cli, s.HTTPClient()) }

func attach(cli *whatsmeow.Client, h *http.Client) {
	cli.SetWebsocketHTTPClient(h)
	cli.SetPreLoginHTTPClient(h)
	cli.SetMediaHTTPClient(h)
}

// Env describes the fake to another process; AttachFromEnv is its other half.
// This is what lets a test drive (and kill) the real program.
func (s *Server) Env() []string {
	return []string{
		"FAKEWA_ADDR=" + s.ln.Addr().String(),
		"FAKEWA_CA=" + hex.EncodeToString(s.ca),
		"FAKEWA_ROOT=" + hex.EncodeToString(root.Pub[:]),
	}
}
