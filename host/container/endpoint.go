package container

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/client"

	"github.com/nanoclaw/nanoclaw/host"
)

const defaultSocket = "/var/run/docker.sock"

// endpoint is where a daemon listens.
type endpoint struct {
	url    string
	source string // what says so
	certs  string // folder of ca.pem, cert.pem and key.pem; "" = DOCKER_CERT_PATH or no TLS
}

// Endpoint is the daemon that the docker command would talk to, and what says so:
// DOCKER_HOST, then DOCKER_CONTEXT, then the current context of Docker's config.json, then
// the default socket. Where that socket is missing, those of the usual desktop and rootless
// installations are tried.
func Endpoint() (url, source string, err error) {
	e, err := resolve()
	return e.url, e.source, err
}

func resolve() (endpoint, error) {
	if h := os.Getenv("DOCKER_HOST"); h != "" {
		return checked(endpoint{url: h, source: "DOCKER_HOST"})
	}
	home, _ := os.UserHomeDir() // without one there is no configuration to read
	dir := cmp.Or(os.Getenv("DOCKER_CONFIG"), filepath.Join(home, ".docker"))
	name, source := os.Getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		file := filepath.Join(dir, "config.json")
		var c struct {
			CurrentContext string `json:"currentContext"`
		}
		if err := readJSON(file, &c); err != nil && !errors.Is(err, os.ErrNotExist) {
			return endpoint{}, err
		}
		name, source = c.CurrentContext, file
	}
	if name == "" || name == "default" {
		return knownSocket(defaultSocket, home), nil
	}
	return namedContext(dir, name, source)
}

// namedContext reads a docker context, which lies below the hash of its name.
func namedContext(dir, name, source string) (endpoint, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	err := readJSON(filepath.Join(dir, "contexts", "meta", id, "meta.json"), &meta)
	if err != nil || meta.Endpoints["docker"].Host == "" {
		return endpoint{}, fmt.Errorf("%w: docker context %q of %s has no endpoint; 'docker context ls' lists what there is",
			host.ErrNotFound, name, source)
	}
	e := endpoint{url: meta.Endpoints["docker"].Host, source: fmt.Sprintf("context %q of %s", name, source)}
	if certs := filepath.Join(dir, "contexts", "tls", id, "docker"); exists(filepath.Join(certs, "ca.pem")) {
		e.certs = certs
	}
	return checked(e)
}

func checked(e endpoint) (endpoint, error) {
	if strings.HasPrefix(e.url, "ssh://") {
		return e, fmt.Errorf("%w: docker endpoint %s (from %s): ssh is not supported, because agents need directories "+
			"of the machine that the daemon runs on; run nanoclaw there", host.ErrInvalid, e.url, e.source)
	}
	if _, err := client.ParseHostURL(e.url); err != nil {
		return e, fmt.Errorf("%w: docker endpoint %s (from %s): %w", host.ErrInvalid, e.url, e.source, err)
	}
	return e, nil
}

// knownSocket is the first that exists, or else the default.
func knownSocket(first, home string) endpoint {
	for _, s := range []struct{ path, source string }{
		{first, "default"},
		{filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "docker.sock"), "rootless Docker"},
		{filepath.Join(home, ".docker/run/docker.sock"), "Docker Desktop"},
		{filepath.Join(home, ".docker/desktop/docker.sock"), "Docker Desktop"},
		{filepath.Join(home, ".orbstack/run/docker.sock"), "OrbStack"},
		{filepath.Join(home, ".colima/default/docker.sock"), "Colima"},
	} {
		if filepath.IsAbs(s.path) && exists(s.path) {
			return endpoint{url: "unix://" + s.path, source: s.source}
		}
	}
	return endpoint{url: "unix://" + first, source: "default"}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
