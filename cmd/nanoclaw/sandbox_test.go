package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// desk is a machine with a stand-in for sbx or docker sandbox, whose internet is what net says.
type desk struct {
	installation
	t         *testing.T
	cli       []string
	workspace string
}

func newDesk(t *testing.T, cli, internet string) *desk {
	t.Helper()
	d := &desk{installation: installed(t), t: t, cli: strings.Fields(cli)}
	home := t.TempDir()
	at := map[string]string{"sbx": "bin/sbx", "docker sandbox": ".docker/cli-plugins/docker-sandbox"}[cli]
	c := exec.Command("go", "build", "-o", filepath.Join(home, at), "./internal/sandbox/testdata/standin")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.workspace = filepath.Join(home, "nanoclaw-workspace")
	for k, v := range map[string]string{
		"HOME": home, "PATH": filepath.Join(home, "bin") + ":" + os.Getenv("PATH"), "STANDIN_DIR": t.TempDir(), "STANDIN_NET": internet,
	} {
		t.Setenv(k, v)
	}
	for _, k := range []string{"DOCKER_CONFIG", "XDG_STATE_HOME", "NANOCLAW_STATE", "NANOCLAW_CONFIG", "ANTHROPIC_API_KEY"} {
		t.Setenv(k, "")
	}
	t.Cleanup(func() {
		if out, err := d.run("", d.nanoclaw(), "sandbox", "rm", "--yes"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return d
}

// run is a command on this machine.
func (d *desk) run(stdin string, argv ...string) (string, error) {
	c := exec.Command(argv[0], argv[1:]...)
	c.Stdin, c.Dir = strings.NewReader(stdin), filepath.Dir(d.workspace)
	out, err := c.CombinedOutput()
	return string(out), err
}

func (d *desk) must(stdin string, argv ...string) string {
	d.t.Helper()
	out, err := d.run(stdin, argv...)
	if err != nil {
		d.t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return out
}

// sandbox is a command of ours about the sandbox.
func (d *desk) sandbox(args ...string) string {
	d.t.Helper()
	return d.must("", append([]string{d.nanoclaw(), "sandbox"}, args...)...)
}

// inside is a command in it.
func (d *desk) inside(argv ...string) (string, error) {
	return d.run("", slices.Concat(d.cli, []string{"exec", "nanoclaw"}, argv)...)
}

// prepared is a workspace with a configuration, in whose state the bundled skills are compiled.
func (d *desk) prepared(config string) {
	d.t.Helper()
	if err := os.MkdirAll(d.workspace, 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := d.freshState(filepath.Join(d.workspace, "state")); err != nil {
		d.t.Fatal(err)
	}
	if config != "" {
		write(d.t, filepath.Join(d.workspace, "nanoclaw.toml"), config)
	}
}

func says(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("does not say %q:\n%s", w, out)
		}
	}
}

// TestSandbox: from nothing to an answer in a sandbox: what `up` sets up lets the host in it, and agents in
// containers below, ask the model by the sandbox's proxy, which alone has the key; nothing else is reached.
func TestSandbox(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("cutting off the network needs root")
	}
	fake := modeltest.NewAnthropic(t, modeltest.Answer{Text: "Hello from outside."})
	d := newDesk(t, "sbx", "api.anthropic.com:443="+fake.URL)
	d.prepared("")
	out := d.sandbox("up")
	says(t, out, "$ sbx create --name nanoclaw shell "+d.workspace, "$ sbx policy allow network --sandbox nanoclaw '",
		"api.anthropic.com:443          model provider anthropic\n", "public_web of role web\n", "nanoclaw runs in it\n")
	secret := regexp.MustCompile(`: (sbx secret set anthropic --sandbox nanoclaw)\n`).FindStringSubmatch(out)
	if secret == nil {
		t.Fatalf("does not say which secret to set: %s", out)
	}

	// Without the key, its provider's refusal comes back. Then with it.
	if out, err := d.run("hello\n", d.nanoclaw(), "sandbox", "shell", "--chat"); err == nil || !strings.Contains(out, "key") {
		t.Errorf("without a key: %v: %s", err, out)
	}
	d.must(modeltest.Key+"\n", strings.Fields(secret[1])...)
	if out := d.must("hello\n", d.nanoclaw(), "sandbox", "shell", "--chat"); out != "Hello from outside.\n" {
		t.Errorf("chat said %q", out)
	}
	requests := fake.Requests()
	for i, r := range requests {
		want := modeltest.Key
		if i < len(requests)-1 {
			want = ""
		}
		if r.Header.Get("X-Api-Key") != want || r.Header.Get("Authorization") != "" {
			t.Errorf("request %d of %d came with %v", i, len(requests), r.Header)
		}
	}
	hunt := exec.Command("grep", "-rlaF", modeltest.Key, d.workspace)
	if out, err := hunt.CombinedOutput(); err == nil || len(out) > 0 {
		t.Errorf("the key is in the workspace: %s", out)
	}

	// The wall: no way but the proxy, and by that only what the policy says; made-up keys are refused.
	if out, err := d.inside("bash", "-c", "echo > /dev/tcp/1.1.1.1/443"); err == nil || !strings.Contains(out, "unreachable") {
		t.Errorf("past the proxy: %v: %s", err, out)
	}
	for request, want := range map[string]string{
		"CONNECT web.whatsapp.com:80":     "403",
		"GET http://example.com/":         "403",
		"CONNECT nowhere.example.com:443": "502", // public_web allows it; it is not there
	} {
		host := strings.TrimSuffix(strings.TrimPrefix(strings.Fields(request)[1], "http://"), "/")
		script := fmt.Sprintf(`exec 3<>/dev/tcp/127.0.0.1/3128; printf '%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' >&3; head -n 1 <&3`, request, host)
		if out, err := d.inside("bash", "-c", script); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, %s, want %s", request, err, out, want)
		}
	}

	forged, status := d.connect("api.anthropic.com")
	if forged == nil {
		t.Fatal(status)
	}
	fmt.Fprint(forged, "POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nX-Api-Key: sk-ant-made-up\r\nContent-Length: 2\r\n\r\n{}")
	if resp, err := http.ReadResponse(bufio.NewReader(forged), nil); err != nil || resp.StatusCode != http.StatusForbidden || len(fake.Requests()) != len(requests) {
		t.Errorf("a key that was made up inside: %v, %+v", err, resp)
	}

	// What the layers in it see, and what is mounted.
	layers, err := d.inside(filepath.Join(d.workspace, "bin/nanoclaw"), "status") // its directory is the workspace
	if err != nil {
		t.Error(err)
	}
	says(t, layers, "microVM sandbox, container per turn", "state     "+filepath.Join(d.workspace, "state"))
	d.mountsAreOfTheWorkspace()
	if db, err := filepath.Glob(filepath.Join(d.workspace, "state", "*-wal")); err != nil || len(db) > 0 {
		t.Errorf("%v, %q: the journal must be DELETE", err, db)
	}

	// Again: nothing differs. Then a grant is new.
	says(t, d.sandbox("up"), "is there already", "is what the grants need already", "nanoclaw runs in it already")
	path := filepath.Join(d.workspace, "nanoclaw.toml")
	shipped, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(shipped), "[roles.web]\n", "[roles.web]\nhttp = [{ hosts = ['x.example.com'], port = 8443 }]\n", 1))
	if out, err := d.run("", d.nanoclaw(), "sandbox", "up"); err == nil || !strings.Contains(out, "say --yes") || !strings.Contains(out, "x.example.com:8443") {
		t.Errorf("a wider policy: %v: %s", err, out)
	}
	says(t, d.sandbox("up", "--yes"), "$ sbx policy allow network --sandbox nanoclaw x.example.com:8443\n")
	var s struct {
		State  string
		Policy []string
		Host   struct{ PID int }
	}
	if text, err := exec.Command(d.nanoclaw(), "sandbox", "status", "--json").Output(); err != nil || json.Unmarshal(text, &s) != nil || s.State != "running" || s.Host.PID == 0 ||
		!slices.Equal(s.Policy, []string{"**:443", "api.anthropic.com:443", "x.example.com:8443"}) {
		t.Errorf("%v: %s", err, text)
	}
	says(t, d.sandbox("status"), "nanoclaw, running", "runs, pid ")

	// The configuration is for a sandbox: without one, nothing runs.
	if out, err := d.run("hello\n", d.nanoclaw(), "--config", path, "--state", t.TempDir(), "chat"); err == nil || !strings.Contains(out, "this is not a microVM sandbox") {
		t.Errorf("outside of a sandbox: %v: %s", err, out)
	}
	says(t, d.sandbox("rm", "--yes"), "state/ with messages", "$ sbx policy rm network --sandbox nanoclaw --force --resource '**:443,api.anthropic.com:443,x.example.com:8443'", "$ sbx rm --force nanoclaw")
	if out := d.must("", "sbx", "ls", "--json"); strings.Contains(out, "nanoclaw") {
		t.Error(out)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", s.Host.PID)); err == nil {
		t.Error("the host runs on")
	}
}

// mountsAreOfTheWorkspace looks at the containers of the host in the sandbox.
func (d *desk) mountsAreOfTheWorkspace() {
	d.t.Helper()
	id, err := os.ReadFile(filepath.Join(d.workspace, "state", "install-id"))
	if err != nil {
		d.t.Fatal(err)
	}
	ids := strings.Fields(d.must("", "docker", "ps", "-aq", "--filter", "label="+installLabel+"="+strings.TrimSpace(string(id))))
	if len(ids) == 0 {
		d.t.Error("there is no container")
	}
	for _, id := range ids {
		for _, dir := range strings.Fields(d.must("", "docker", "inspect", "-f", "{{range .Mounts}}{{if eq .Type \"bind\"}}{{.Source}} {{end}}{{end}}", id)) {
			if !strings.HasPrefix(dir, d.workspace+"/") {
				d.t.Errorf("%s is mounted, outside of %s", dir, d.workspace)
			}
		}
	}
}

// connect is a connection by the sandbox's proxy, and the TLS that comes with it; nil and the proxy's answer
// where it refuses.
func (d *desk) connect(name string) (*tls.Conn, string) {
	d.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(os.Getenv("STANDIN_DIR"), "nanoclaw.sock"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "CONNECT %s:443 HTTP/1.1\r\nHost: %[1]s:443\r\n\r\n", name)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), &http.Request{Method: http.MethodConnect})
	if err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, resp.Status
	}
	c := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		d.t.Fatal(err)
	}
	return c, resp.Status
}

// TestSandboxInspects: behind a proxy that looks into all TLS, as docker sandbox has it, the broker's requests
// trust its authority, and WhatsApp's pass uninspected.
func TestSandboxInspects(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("cutting off the network needs root")
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "a page for ", r.Host)
	}))
	defer site.Close()
	own := httptest.NewTLSServer(http.NotFoundHandler())
	defer own.Close()
	d := newDesk(t, "docker sandbox", "site.example.com:443="+site.URL+" web.whatsapp.com:443="+own.Listener.Addr().String())
	d.prepared(`[model]
provider = "offline"
[engine]
require_sandbox = true
[roles.main]
skills = ["fetch"]
http = [{ hosts = ["site.example.com"] }]
`)
	says(t, d.sandbox("up", "--whatsapp"), "$ docker sandbox network proxy nanoclaw --policy deny --allow-host '*.whatsapp.com:443' "+
		"--allow-host '*.whatsapp.net:443' --bypass-host '*.whatsapp.com' --bypass-host '*.whatsapp.net' --bypass-host web.whatsapp.com "+
		"--allow-host site.example.com:443 --allow-host web.whatsapp.com:443\n")
	for name, inspected := range map[string]bool{"site.example.com": true, "web.whatsapp.com": false} {
		c, status := d.connect(name)
		if c == nil {
			t.Fatalf("%s: %s", name, status)
		}
		if cert := c.ConnectionState().PeerCertificates[0]; cert.Equal(own.Certificate()) == inspected {
			t.Errorf("%s: certificate of %v", name, cert.Issuer)
		}
	}
	if c, status := d.connect("evil.example.com"); c != nil || !strings.HasPrefix(status, "403") {
		t.Errorf("what no grant names: %s", status)
	}
	if out := d.must("/fetch https://site.example.com/\n", d.nanoclaw(), "sandbox", "shell", "--chat"); !strings.Contains(out, "a page for site.example.com") {
		t.Error(out)
	}
}
