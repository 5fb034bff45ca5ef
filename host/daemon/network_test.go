package daemon

import (
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host/config"
)

// TestWhatsAppInSandbox: the way to WhatsApp, of which the socket and the media are, is by the sandbox's proxy,
// and its authority is trusted where the proxy does look into TLS. Outside it is direct.
func TestWhatsAppInSandbox(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	path := filepath.Join(t.TempDir(), "nanoclaw.toml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"SANDBOX_ID", "SANDBOX_VM_ID", "NANOCLAW_STATE"} {
		t.Setenv(k, "")
	}
	t.Setenv("PROXY_CA_CERT_B64", base64.StdEncoding.EncodeToString(authority))
	for box, inside := range map[string]bool{"": false, "box": true} {
		t.Setenv("SANDBOX_NAME", box)
		cfg, err := config.Load(path, config.Overrides{})
		if err != nil {
			t.Fatal(err)
		}
		way := WhatsApp(cfg, hclog.NewNullLogger()).Transport()
		if (way.Proxy != nil) != inside {
			t.Errorf("%q: a proxy: %v", box, way.Proxy != nil)
		}
		way.Proxy = nil // of this process's environment, which is read once
		resp, err := (&http.Client{Transport: way}).Get(server.URL)
		if (err == nil) != inside {
			t.Errorf("%q: %v", box, err)
		}
		if err == nil {
			resp.Body.Close()
		}
	}
}
