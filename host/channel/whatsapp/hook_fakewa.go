//go:build fakewa && !nowhatsapp

package whatsapp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"go.mau.fi/whatsmeow"
)

// hook makes t reach the server of package fakewa that the environment names, and nothing else, and
// whatsmeow trust its key in place of WhatsApp's.
func hook(t *http.Transport) error {
	addr := os.Getenv("FAKEWA_ADDR")
	if addr == "" {
		return errors.New("fakewa: this program is built for tests, and no FAKEWA_ADDR is set")
	}
	name, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(name); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("fakewa: %s is no loopback address", addr)
	}
	root, err := hex.DecodeString(os.Getenv("FAKEWA_ROOT"))
	if err != nil || len(root) != 32 {
		return errors.New("fakewa: FAKEWA_ROOT is no key")
	}
	der, err := hex.DecodeString(os.Getenv("FAKEWA_CA"))
	if err != nil {
		return fmt.Errorf("fakewa: FAKEWA_CA: %w", err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("fakewa: FAKEWA_CA: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	t.TLSClientConfig = &tls.Config{RootCAs: pool}
	t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	whatsmeow.WACertPubKey = [32]byte(root)
	return nil
}
