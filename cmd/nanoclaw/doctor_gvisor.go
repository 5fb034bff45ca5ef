package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

// gVisor is the name of its OCI runtime, of its program and of Debian's package.
const gVisor = "runsc"

const daemonJSON = "/etc/docker/daemon.json"

// ensureGVisor registers gVisor with the daemon: an entry beside what its configuration says, and
// SIGHUP, upon which it takes new runtimes without a restart. ping is nil once it knows gVisor.
func (s *setup) ensureGVisor(ctx context.Context) error {
	pid := s.runningDaemon()
	if s.uid != 0 || s.endpoint != localEndpoint || pid == 0 {
		return fmt.Errorf("%w: the Docker daemon does not know %s, and only root can change that, where it runs: "+
			"https://gvisor.dev/docs/user_guide/quick_start/docker/", host.ErrUnavailable, gVisor)
	}
	s.say(`The Docker daemon does not know gVisor. This will
  - install the package runsc (apt-get), unless it is there
  - add it to the runtimes in ` + daemonJSON + ` beside what is there, with a copy of that
  - have the daemon read it (SIGHUP)`)
	if ok, err := s.confirm("Go on?"); err != nil {
		return err
	} else if !ok {
		return errDeclined
	}
	path, err := s.look(gVisor)
	if err != nil {
		_ = s.run(ctx, "apt-get", "-qq", "update") // what is wrong with it, the next says
		if err := s.run(ctx, "apt-get", "-qq", "install", "-y", "--no-install-recommends", gVisor); err != nil {
			return fmt.Errorf("install %s: %w", gVisor, err)
		}
		if path, err = s.look(gVisor); err != nil {
			return err
		}
	}
	if err := addRuntime(s.path(daemonJSON), path); err != nil {
		return fmt.Errorf("%s: %w", daemonJSON, err)
	}
	if err := s.run(ctx, "kill", "-HUP", strconv.Itoa(pid)); err != nil {
		return err
	}
	if err := s.await(ctx, s.patience, nil); err != nil {
		return fmt.Errorf("the daemon did not take %s from %s, its log says why: %w", gVisor, daemonJSON, err)
	}
	return nil
}

// addRuntime adds gVisor to a daemon.json. Agents have no network, and without saying so it does
// not start in the machine's own network namespace.
func addRuntime(file, path string) error {
	old, err := os.ReadFile(file)
	config, runtimes := map[string]json.RawMessage{}, map[string]any{}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	case err == nil:
		err = errors.Join(json.Unmarshal(old, &config), skill.WriteAtomic(file+".before-nanoclaw", old, 0o644))
	}
	if was := config["runtimes"]; err == nil && was != nil {
		err = json.Unmarshal(was, &runtimes)
	}
	if err != nil {
		return err
	}
	runtimes[gVisor] = map[string]any{"path": path, "runtimeArgs": []string{"--network=none"}}
	if config["runtimes"], err = json.Marshal(runtimes); err != nil {
		return err
	}
	b, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return skill.WriteAtomic(file, append(b, '\n'), 0o644)
}
