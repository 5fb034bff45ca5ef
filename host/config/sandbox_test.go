package config

import (
	"encoding/base64"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInSandbox: what a Docker Sandbox sets is taken up in one, and only there. What its Docker daemon
// cannot mount is refused where the file is read.
func TestInSandbox(t *testing.T) {
	home := clean(t)
	work := filepath.Join(home, "work")
	for _, dir := range []string{filepath.Join(home, "other"), filepath.Join(work, "books"), filepath.Join(work, "state")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(home, "other"), filepath.Join(work, "link")); err != nil {
		t.Fatal(err)
	}
	const mount = "[model]\nprovider = 'offline'\n[roles.r]\nmounts = [{ path = '~/%' }]"
	for name, tc := range map[string]struct {
		toml, state string // $NANOCLAW_STATE
		outside     string // in the error outside of a sandbox; "" = none
		inside      string
	}{
		"nothing said":              {},
		"mount in the workspace":    {toml: strings.ReplaceAll(mount, "%", "work/books")},
		"mount outside of it":       {toml: strings.ReplaceAll(mount, "%", "other"), inside: "only what is in its workspace"},
		"mount by a link":           {toml: strings.ReplaceAll(mount, "%", "work/link"), inside: "only what is in its workspace"},
		"allowed outside of it":     {toml: strings.ReplaceAll(mount, "%", "other") + "\n[mounts]\nallow = ['~/other']", inside: "only what is in its workspace"},
		"the state":                 {toml: strings.ReplaceAll(mount, "%", "work/state"), inside: "belongs to NanoClaw"},
		"state in the workspace":    {toml: "state_dir = 'kept'"},
		"state outside of it":       {toml: "state_dir = '~/other'", inside: "state_dir"},
		"state by a variable":       {state: filepath.Join(work, "elsewhere")},
		"outside by a variable":     {state: filepath.Join(home, "other"), inside: "state_dir"},
		"the proxy's variables":     {toml: "[network]\nproxy = 'env'", outside: "Docker Sandbox"},
		"another proxy":             {toml: "[network]\nproxy = 'http://127.0.0.1:1'"},
		"the key is in its keeping": {toml: "[model]\nprovider = 'anthropic'\n[roles.r]", outside: "needs a key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NANOCLAW_STATE", tc.state)
			path := write(t, filepath.Join(work, fileName), tc.toml)
			check := func(how, want string, o Overrides) *Config {
				c, err := Load(path, o)
				if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
					t.Errorf("%s: %v, want %q", how, err, want)
				}
				return c
			}
			check("outside", tc.outside, Overrides{})
			if tc.state == "" {
				check("for a sandbox", tc.inside, Overrides{Sandboxed: true})
			}
			t.Setenv("SANDBOX_NAME", "box")
			check("inside", tc.inside, Overrides{})
		})
	}
	path := write(t, filepath.Join(work, fileName), "")
	t.Setenv("NANOCLAW_STATE", "/elsewhere")
	c, err := Load(path, Overrides{Sandboxed: true})
	if err != nil || c.StateDir != filepath.Join(work, "state") || c.Network.Proxy != "env" {
		t.Errorf("%v, %+v", err, c)
	}
}

// TestAuthority: the authority of the sandbox's proxy is trusted besides the system's, in a sandbox alone.
func TestAuthority(t *testing.T) {
	clean(t)
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	good := base64.StdEncoding.EncodeToString([]byte(cert))
	for _, tc := range []struct{ box, ca, want, err string }{
		{"", "", "", ""},
		{"", good, "", ""},
		{"box", "", "", ""},
		{"box", good, cert, ""},
		{"box", "?", "", "PROXY_CA_CERT_B64"},
		{"box", base64.StdEncoding.EncodeToString([]byte("no certificate")), "", "PROXY_CA_CERT_B64"},
	} {
		t.Setenv("SANDBOX_NAME", tc.box)
		t.Setenv("PROXY_CA_CERT_B64", tc.ca)
		c, err := Load(write(t, filepath.Join(t.TempDir(), fileName), ""), Overrides{})
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q: %v", tc.ca, err)
			}
			continue
		}
		if err != nil || c.Network.CA != tc.want || (c.Network.RootCAs() != nil) != (tc.want != "") {
			t.Errorf("%+v: %v, %q", tc, err, c.Network.CA)
		}
	}
}
