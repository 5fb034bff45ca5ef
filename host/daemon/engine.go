package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
)

// RuntimeNone is engine.runtime without containers.
const RuntimeNone = "none"

// NoContainers is announced at every start with RuntimeNone.
const NoContainers = `engine.runtime is "none": agents run without containers, on WASM isolation alone; ` +
	"anything that breaks out of wazero has this user's rights"

// processID is the label of the containers that this process makes.
var processID = strings.ToLower(rand.Text()[:16])

// Engine is what agents run on: an engine, the image to start and the runner in it.
type Engine struct {
	host.Engine
	Image    string   // image ID; the runner's path without containers
	File     string   // the runner's path
	Runner   string   // digest of the runner
	runtimes []string // OCI runtimes in use; none without containers
	Docker   *container.Docker
}

// OpenEngine connects to the configured engine and makes sure that the agent image is there.
// It installs nothing and starts no daemon.
func OpenEngine(ctx context.Context, cfg *config.Config, log hclog.Logger) (*Engine, error) {
	runner, err := RunnerPath()
	if err != nil {
		return nil, err
	}
	digest, err := fileDigest(runner)
	if err != nil {
		return nil, err
	}
	if cfg.Engine.Runtime == RuntimeNone {
		return &Engine{Engine: container.NewProcess(runner, log), Image: runner, File: runner, Runner: digest}, nil
	}
	install, err := installID(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	d, err := container.NewDocker(ctx, container.DockerConfig{
		InstallID: install, HostID: processID, Runtime: cfg.Engine.Runtime, UID: os.Getuid(), GID: os.Getgid(), Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("%w; 'nanoclaw doctor --fix' sets Docker up", err)
	}
	e := &Engine{Engine: d, File: runner, Runner: digest, Docker: d}
	err = e.take(ctx, cfg)
	var built bool
	if err == nil {
		e.Image, built, err = d.EnsureImage(ctx, runner)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if built {
		log.Info("agent image built", "image", e.Image)
	}
	return e, nil
}

// take sets the runtimes that skills are compiled for. One that the daemon does not know is refused:
// no skill could be. Names with dots are those of shims, of which a daemon has no list.
func (e *Engine) take(ctx context.Context, cfg *config.Config) error {
	names := Runtimes(cfg)
	if e.Docker == nil || slices.Equal(names, e.runtimes) {
		return nil
	}
	for _, name := range names {
		if name == "runc" || strings.Contains(name, ".") {
			continue
		}
		info, err := e.Docker.Info(ctx)
		if err == nil && !slices.Contains(info.Runtimes, name) {
			err = fmt.Errorf("%w: the Docker daemon does not know the runtime %q that the configuration asks for, only %s; "+
				"'nanoclaw doctor --fix' adds gVisor", host.ErrNotFound, name, strings.Join(info.Runtimes, ", "))
		}
		if err != nil {
			return err
		}
	}
	e.runtimes = names
	return nil
}

// Runtimes are the OCI runtimes that a configuration asks for, sorted.
func Runtimes(cfg *config.Config) []string {
	names := []string{cfg.Engine.Runtime}
	for _, r := range cfg.Roles {
		names = append(names, cmp.Or(r.Runtime, cfg.Engine.Runtime))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Admitter compiles plugins on this engine.
func (e *Engine) Admitter(log hclog.Logger) *agent.Admitter {
	return &agent.Admitter{
		Engine: e.Engine, Image: e.Image, Runtimes: e.runtimes, RunnerDigest: e.Runner, Log: log,
	}
}

// RunnerPath finds nanoclaw-runner beside this executable, then in ../libexec/nanoclaw.
func RunnerPath() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("runner: %w", err)
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	places := []string{
		filepath.Join(filepath.Dir(exe), "nanoclaw-runner"),
		filepath.Join(filepath.Dir(exe), "..", "libexec", "nanoclaw", "nanoclaw-runner"),
	}
	for _, p := range places {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("%w: nanoclaw-runner is in neither %s; 'make build' makes it",
		host.ErrNotFound, strings.Join(places, " nor "))
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
