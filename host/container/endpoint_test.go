package container

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

// dockerHome is a home directory with contexts, name to endpoint, in the environment.
func dockerHome(t *testing.T, current string, contexts map[string]string) string {
	t.Helper()
	home := t.TempDir()
	for _, k := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"} {
		t.Setenv(k, "")
	}
	t.Setenv("HOME", home)
	write := func(path, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if current != "" {
		write(filepath.Join(home, ".docker/config.json"), `{"auths":{},"currentContext":"`+current+`"}`)
	}
	for name, url := range contexts {
		sum := sha256.Sum256([]byte(name))
		write(filepath.Join(home, ".docker/contexts/meta", hex.EncodeToString(sum[:]), "meta.json"),
			`{"Name":"`+name+`","Metadata":{},"Endpoints":{"docker":{"Host":"`+url+`","SkipTLSVerify":false}}}`)
	}
	return home
}

func TestEndpoint(t *testing.T) {
	contexts := map[string]string{
		"colima": "unix:///home/x/.colima/docker.sock", "desktop": "unix:///home/x/desktop.sock", "far": "ssh://me@far",
		"odd": "what is this",
	}
	for name, tc := range map[string]struct {
		env         map[string]string
		current     string
		url, source string
		kind        error
		want        string
	}{
		"nothing":          {url: "unix:///var/run/docker.sock", source: "default"},
		"default context":  {current: "default", url: "unix:///var/run/docker.sock", source: "default"},
		"current context":  {current: "colima", url: contexts["colima"], source: `context "colima" of `},
		"DOCKER_CONTEXT":   {env: map[string]string{"DOCKER_CONTEXT": "desktop"}, current: "colima", url: contexts["desktop"], source: "DOCKER_CONTEXT"},
		"back to default":  {env: map[string]string{"DOCKER_CONTEXT": "default"}, current: "colima", url: "unix:///var/run/docker.sock", source: "default"},
		"DOCKER_HOST":      {env: map[string]string{"DOCKER_HOST": "tcp://h:2375", "DOCKER_CONTEXT": "desktop"}, url: "tcp://h:2375", source: "DOCKER_HOST"},
		"ssh":              {current: "far", kind: host.ErrInvalid, want: "ssh is not supported"},
		"ssh by hand":      {env: map[string]string{"DOCKER_HOST": "ssh://x"}, kind: host.ErrInvalid, want: "ssh is not supported"},
		"unknown context":  {current: "gone", kind: host.ErrNotFound, want: `"gone"`},
		"not an endpoint":  {current: "odd", kind: host.ErrInvalid, want: "what is this"},
		"bad DOCKER_HOST":  {env: map[string]string{"DOCKER_HOST": "localhost"}, kind: host.ErrInvalid, want: "localhost"},
		"path of a config": {env: map[string]string{"DOCKER_CONTEXT": "../../../etc"}, kind: host.ErrNotFound, want: "etc"},
	} {
		t.Run(name, func(t *testing.T) {
			dockerHome(t, tc.current, contexts)
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			url, source, err := Endpoint()
			if tc.kind != nil {
				if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %q, %v", url, err)
				}
				return
			}
			if _, serr := os.Stat(defaultSocket); serr != nil && tc.source == "default" {
				t.Skip("no default socket here")
			}
			if err != nil || url != tc.url || !strings.Contains(source, tc.source) {
				t.Errorf("got %q from %q, %v", url, source, err)
			}
		})
	}
}

// TestEndpointIsTheCommands asks the docker command itself.
func TestEndpointIsTheCommands(t *testing.T) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("no docker command")
	}
	dockerHome(t, "one", map[string]string{"one": "unix:///one.sock", "two": "unix:///two.sock"})
	for _, env := range []map[string]string{{}, {"DOCKER_CONTEXT": "two"}, {"DOCKER_HOST": "unix:///three.sock", "DOCKER_CONTEXT": "two"}} {
		for _, k := range []string{"DOCKER_CONTEXT", "DOCKER_HOST"} {
			t.Setenv(k, env[k]) // put back at the end
			if env[k] == "" {   // to the command of Docker 20.10, empty is not unset
				os.Unsetenv(k)
			}
		}
		out, err := exec.Command(docker, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if url, _, err := Endpoint(); err != nil || url != strings.TrimSpace(string(out)) {
			t.Errorf("%v: %q, the command uses %q, %v", env, url, out, err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	home := dockerHome(t, `x","`, nil)
	if _, _, err := Endpoint(); err == nil || !strings.Contains(err.Error(), filepath.Join(home, ".docker/config.json")) {
		t.Errorf("broken JSON: %v", err)
	}
}

func TestKnownSockets(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.sock")
	home := dockerHome(t, "", nil)
	if e := knownSocket(none, home); e.url != "unix://"+none || e.source != "default" {
		t.Errorf("nothing there: %+v", e)
	}
	for _, s := range []struct{ path, source string }{ // each comes before those above
		{".colima/default/docker.sock", "Colima"},
		{".orbstack/run/docker.sock", "OrbStack"},
		{".docker/run/docker.sock", "Docker Desktop"},
		{"run/docker.sock", "rootless Docker"},
	} {
		path := filepath.Join(home, s.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Skip("socket path: ", err)
		}
		defer l.Close()
		t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
		if e := knownSocket(none, home); e.url != "unix://"+path || e.source != s.source {
			t.Errorf("%s: %+v", s.source, e)
		}
	}
}
