package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/config"
)

// loaded is a configuration with text, as the host in a sandbox would read it.
func loaded(t *testing.T, text string) *config.Config {
	t.Helper()
	for _, k := range []string{"SANDBOX_ID", "SANDBOX_VM_ID", "PROXY_CA_CERT_B64", "NANOCLAW_STATE", "ANTHROPIC_API_KEY"} {
		t.Setenv(k, "")
	}
	t.Setenv("SANDBOX_NAME", "box")
	path := filepath.Join(t.TempDir(), "nanoclaw.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, config.Overrides{StateDir: filepath.Join(filepath.Dir(path), "state")})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestPolicy: every host that a grant names, at its port, and no other.
func TestPolicy(t *testing.T) {
	const role, local = "[roles.main]\n", "[model]\nprovider = 'offline'\n[roles.main]\n"
	for name, tc := range map[string]struct {
		toml     string
		whatsapp bool
		want     []string
	}{
		"nothing":                    {toml: local},
		"the model's own address":    {toml: role, want: []string{"api.anthropic.com:443 model provider anthropic"}},
		"a server of its own":        {toml: "[model]\nprovider='x'\nname='m'\n[providers.x]\nkind='openai'\nbase_url='https://LLM.example.com:8443/v1'\n" + role, want: []string{"llm.example.com:8443 model provider x"}},
		"without a port":             {toml: "[model]\nprovider='x'\nname='m'\n[providers.x]\nkind='openai'\nbase_url='http://llm.example.com/v1'\n" + role, want: []string{"llm.example.com:80 model provider x"}},
		"address of IPv6":            {toml: "[model]\nprovider='x'\nname='m'\n[providers.x]\nkind='openai'\nbase_url='http://[2001:db8::1]:1/v1'\n" + role, want: []string{"[2001:db8::1]:1 model provider x"}},
		"a server in the sandbox":    {toml: "[model]\nprovider='x'\nname='m'\n[providers.x]\nkind='openai'\nbase_url='http://127.0.0.1:11434/v1'\n" + role},
		"a server outside of it":     {toml: "[model]\nprovider='x'\nname='m'\n[providers.x]\nkind='openai'\nbase_url='http://host.docker.internal:11434/v1'\n" + role, want: []string{"localhost:11434 model provider x"}},
		"a provider that nobody has": {toml: "[providers.openai]\napi_key='proxy-managed'\n" + local},
		"fallbacks": {
			toml: "[model]\nprovider='anthropic'\nfallback=['b']\n[models.b]\nprovider='openai'\nname='m'\n[providers.openai]\napi_key='proxy-managed'\n" + role,
			want: []string{"api.anthropic.com:443 model provider anthropic", "api.openai.com:443 model provider openai"},
		},
		"http": {
			toml: local + "http = [{ hosts = ['a.example.com', '*.example.org'] }, { hosts = ['b.example.com'], port = 8443 }]",
			want: []string{"*.example.org:443 http of role main", "a.example.com:443 http of role main", "b.example.com:8443 http of role main"},
		},
		"http on private addresses": {
			toml: local + "http = [{ scheme = 'http', hosts = ['192.168.1.2', 'localhost'], private = true }]",
			want: []string{"192.168.1.2:80 http of role main"},
		},
		"two roles, one host": {
			toml: local + "http = [{ hosts = ['a.example.com'] }, { hosts = ['a.example.com'], paths = ['/x'] }]\n[roles.other]\nhttp = [{ hosts = ['a.example.com'] }]",
			want: []string{"a.example.com:443 http of role main, http of role other"},
		},
		"the web":           {toml: local + "public_web = true", want: []string{"**:443 public_web of role main"}},
		"the web, asked":    {toml: local + "public_web = 'ask'", want: []string{"**:443 public_web of role main"}},
		"WhatsApp":          {toml: local, whatsapp: true, want: whatsapp},
		"WhatsApp by route": {toml: local + "[[routes]]\nchannel = 'whatsapp'\nchat = '1@s.whatsapp.net'\nrole = 'main'", want: whatsapp},
		"console by route":  {toml: local + "[[routes]]\nchannel = 'console'\nchat = 'x'\nrole = 'main'"},
		"WhatsApp's host in a grant": {
			toml: local + "http = [{ hosts = ['web.whatsapp.com'] }]", whatsapp: true,
			want: []string{whatsapp[0], whatsapp[1], "web.whatsapp.com:443 http of role main, WhatsApp bypass"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range Policy(loaded(t, tc.toml), tc.whatsapp) {
				got = append(got, strings.TrimSpace(fmt.Sprint(r, " ", r.Why, " ", map[bool]string{true: "bypass"}[r.Bypass])))
			}
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

var whatsapp = []string{"*.whatsapp.com:443 WhatsApp bypass", "*.whatsapp.net:443 WhatsApp bypass", "web.whatsapp.com:443 WhatsApp bypass"}

func TestCovers(t *testing.T) {
	for _, tc := range []struct {
		rule, other Rule
		want        bool
	}{
		{Rule{Host: "a.com", Port: 443}, Rule{Host: "a.com", Port: 443}, true},
		{Rule{Host: "a.com", Port: 443}, Rule{Host: "a.com", Port: 80}, false},
		{Rule{Host: "a.com", Port: 443}, Rule{Host: "b.a.com", Port: 443}, false},
		{Rule{Host: "*.a.com", Port: 443}, Rule{Host: "c.b.a.com", Port: 443}, true},
		{Rule{Host: "*.a.com", Port: 443}, Rule{Host: "a.com", Port: 443}, false},
		{Rule{Host: "*.a.com", Port: 443}, Rule{Host: "*.b.a.com", Port: 443}, true},
		{Rule{Host: "*.b.a.com", Port: 443}, Rule{Host: "*.a.com", Port: 443}, false},
		{Rule{Host: Any, Port: 443}, Rule{Host: "*.a.com", Port: 443}, true},
		{Rule{Host: "*.a.com", Port: 443}, Rule{Host: Any, Port: 443}, false},
		{Rule{Host: Any, Port: 443}, Rule{Host: "a.com", Port: 22}, false},
	} {
		if got := tc.rule.Covers(tc.other); got != tc.want {
			t.Errorf("%v covers %v: %v", tc.rule, tc.other, got)
		}
	}
}
