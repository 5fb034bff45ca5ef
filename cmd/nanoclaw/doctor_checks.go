package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

// Bounds on what is asked of a daemon that may be hung.
const (
	askDaemon    = 5 * time.Second
	tryContainer = time.Minute
	oldestAPI    = "1.41" // Docker 20.10, what Debian 12 ships
)

// doctor examines one installation. Later checks use what earlier ones found.
type doctor struct {
	*app
	cfg    *config.Config // nil when it is not valid
	runner string         // "" when there is none
	docker *container.Docker
	info   container.Info
	files  []*skill.File // of plugins/ that could be read
	checks []check
}

func (d *doctor) add(c ...check) { d.checks = append(d.checks, c...) }

// fix makes a daemon answer and know gVisor, where this installation needs them.
func (d *doctor) fix(ctx context.Context, yes bool) error {
	cfg, invalid := d.loadConfig()
	if invalid == nil && cfg.Engine.Runtime == daemon.RuntimeNone {
		return nil
	}
	endpoint, source, err := container.Endpoint()
	if err != nil {
		return err
	}
	gvisor := invalid == nil && slices.Contains(daemon.Runtimes(cfg), gVisor)
	known := func(gvisor bool) func(context.Context) error {
		return func(ctx context.Context) error {
			docker, info, err := d.ask(ctx)
			if err != nil {
				return err
			}
			if gvisor && !slices.Contains(info.Runtimes, gVisor) {
				err = fmt.Errorf("%w: the daemon does not know %s", host.ErrNotFound, gVisor)
			}
			return errors.Join(err, docker.Close())
		}
	}
	s := d.newSetup(endpoint, source, yes, known(false))
	if err := s.ensureDaemon(ctx); err != nil || !gvisor {
		return err
	}
	if s.ping = known(true); s.ping(ctx) == nil {
		return nil
	}
	return s.ensureGVisor(ctx)
}

// examine runs every check. One that needs what is not there says so; those of the daemon are there
// when one answers.
func (d *doctor) examine(ctx context.Context) {
	d.checkConfig()
	d.withConfig("reach", d.checkReach)
	d.withConfig("state", d.checkState)
	d.withConfig("secrets", d.checkSecrets)
	d.checkRunner()
	contained := d.cfg == nil || d.cfg.Engine.Runtime != daemon.RuntimeNone
	up := contained && d.checkDocker(ctx)
	if up {
		defer d.docker.Close()
		d.checkRuntime()
		d.checkContainer(ctx)
	}
	d.withConfig("skills", d.checkPlugins)
	d.withConfig("lock", d.checkLock)
	if d.runner == "" || contained && !up {
		d.add(warning("turn", "", "not tried: that needs a runner, and a Docker daemon that answers"))
	} else {
		d.withConfig("turn", func() { d.checkTurn(ctx) })
	}
	d.withConfig("model", func() { d.checkModel(ctx) })
	d.withConfig("channels", func() { d.checkChannels(ctx) })
	d.withConfig("disk", d.checkDisk)
	d.checkLayers()
}

// withConfig runs a check that needs a valid configuration.
func (d *doctor) withConfig(name string, check func()) {
	if d.cfg == nil {
		d.add(warning(name, "", "not tried: that needs a valid configuration"))
		return
	}
	check()
}

func (d *doctor) checkConfig() {
	cfg, err := d.loadConfig()
	if err != nil {
		d.add(failure("config", "nanoclaw setup makes one; see nanoclaw.toml as shipped, or give --config FILE", err))
		return
	}
	d.cfg = cfg
	var roles []string
	for name := range cfg.Roles {
		roles = append(roles, string(name))
	}
	slices.Sort(roles)
	d.add(ok("config", "%s: roles %s", cfg.Path, strings.Join(roles, ", ")))
}

func (d *doctor) checkState() {
	dir := d.cfg.StateDir
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.add(ok("state", "%s: made at the first start", dir))
	case err != nil:
		d.add(failure("state", "make it readable for this user", err))
	case !st.IsDir():
		d.add(failure("state", "move it away or choose another with --state", fmt.Errorf("%s is not a directory", dir)))
	case st.Mode().Perm()&0o077 != 0:
		d.add(failure("state", "nanoclaw doctor --fix, or chmod 700 "+dir,
			fmt.Errorf("%s has mode %v: others can look into it", dir, st.Mode().Perm())))
	default:
		d.add(writable(dir))
	}
}

// writable tries it, because mode bits do not tell of read-only file systems.
func writable(dir string) check {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return failure("state", "make "+dir+" writable for this user", err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return failure("state", "make "+dir+" writable for this user", err)
	}
	return ok("state", "%s", dir)
}

func (d *doctor) checkRunner() {
	path, err := daemon.RunnerPath()
	if err != nil {
		d.add(failure("runner", "make build", err))
		return
	}
	d.runner = path
	arch, err := runnerArch(path)
	if err != nil {
		d.add(failure("runner", "make build", err))
		return
	}
	d.add(ok("runner", "%s (linux/%s, static)", path, arch))
}

// runnerArch is the GOARCH of the runner. The image holds nothing but it, so it must be static.
func runnerArch(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s is no Linux program: %w", path, err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return "", fmt.Errorf("%s is linked dynamically: it would find no libraries in the image", path)
	}
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	}
	return "", fmt.Errorf("%s is built for %v", path, f.Machine)
}

// ask connects to the daemon and asks what it is, within bounds.
func (d *doctor) ask(ctx context.Context) (*container.Docker, container.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, askDaemon)
	defer cancel()
	docker, err := container.NewDocker(ctx, container.DockerConfig{InstallID: "doctor", Log: d.log})
	if err != nil {
		return nil, container.Info{}, err
	}
	info, err := docker.Info(ctx)
	if err != nil {
		return nil, container.Info{}, errors.Join(err, docker.Close())
	}
	return docker, info, nil
}

// daemonArch is what the runner is built for: the daemon's machine, this one when none answers.
func (d *doctor) daemonArch(ctx context.Context) string {
	docker, info, err := d.ask(ctx)
	if err != nil {
		return runtime.GOARCH
	}
	docker.Close()
	return info.Arch
}

// checkDocker reports whether there is a daemon to go on with.
func (d *doctor) checkDocker(ctx context.Context) bool {
	const fix = "nanoclaw doctor --fix"
	endpoint, source, err := container.Endpoint()
	if err != nil {
		d.add(failure("docker", fix, err))
		return false
	}
	if d.docker, d.info, err = d.ask(ctx); err != nil {
		d.add(failure("docker", fix, fmt.Errorf("%s (from %s): %w", endpoint, source, err)))
		return false
	}
	i := d.info
	d.add(ok("docker", "%s (from %s), version %s", endpoint, source, i.Version))
	d.add(daemonRows(i, time.Now())...)
	if i.Storage == "overlay2" || i.Storage == "overlayfs" {
		d.add(ok("storage", "%s", i.Storage))
	} else {
		d.add(warning("storage", "let Docker use overlay2", "driver %s: containers start slowly", i.Storage))
	}
	d.checkArch()
	return true
}

func (d *doctor) checkArch() {
	if d.runner == "" {
		return
	}
	if arch, err := runnerArch(d.runner); err == nil && arch != d.info.Arch {
		d.add(failure("architecture", "make build, which asks the daemon",
			fmt.Errorf("the runner is built for %s, the daemon runs on %s", arch, d.info.Arch)))
		return
	}
	d.add(ok("architecture", "%s", d.info.Arch))
}

func (d *doctor) checkRuntime() {
	var want []string
	if d.cfg != nil {
		want = daemon.Runtimes(d.cfg)
	}
	known := strings.Join(d.info.Runtimes, ", ")
	for _, name := range want {
		if !slices.Contains(d.info.Runtimes, name) {
			d.add(failure("runtime", "for "+gVisor+": nanoclaw doctor --fix; else register it in the daemon's daemon.json, "+
				"or choose another in engine.runtime", fmt.Errorf("%q is not known to the daemon, which has %s", name, known)))
			return
		}
	}
	d.add(ok("runtime", "%s", known))
}

// checkContainer starts one agent container just as a turn would, and compares it with the list.
func (d *doctor) checkContainer(ctx context.Context) {
	if d.cfg == nil || d.runner == "" {
		d.add(warning("container", "", "not tried: that needs a valid configuration and a runner"))
		return
	}
	d.withEngine(ctx, func(ctx context.Context, e *daemon.Engine) {
		d.add(ok("image", "%s", e.Image))
		began := time.Now()
		role := d.cfg.Roles[slices.Min(slices.Collect(maps.Keys(d.cfg.Roles)))]
		s, err := d.inspect(ctx, e, role)
		switch {
		case err != nil:
			d.add(failure("container", "", err))
		case len(s.drift) > 0:
			d.add(failure("container", "nothing should run here before this is understood",
				fmt.Errorf("a live agent container is not as hardened as it must be:\n%s", strings.Join(s.drift, "\n"))))
		default:
			d.add(ok("container", "started in %d ms, hardened as listed", time.Since(began).Milliseconds()))
		}
	})
}

// withEngine builds the image where it is missing.
func (d *doctor) withEngine(ctx context.Context, f func(context.Context, *daemon.Engine)) {
	ctx, cancel := context.WithTimeout(ctx, tryContainer)
	defer cancel()
	engine, err := daemon.OpenEngine(ctx, d.cfg, d.log)
	if err != nil {
		d.add(failure("image", "", err))
		return
	}
	defer engine.Close()
	f(ctx, engine)
}

// checkPlugins scans the files as admission would; it compiles none of them. Then it asks whether
// what the roles list is there.
func (d *doctor) checkPlugins() {
	files, err := filepath.Glob(filepath.Join(d.cfg.SkillsDir, "*.wasm"))
	if err != nil || len(files) == 0 {
		d.add(failure("skills", "make build",
			fmt.Errorf("%s holds no .wasm file: agents cannot even answer", d.cfg.SkillsDir)))
		return
	}
	var names, wrong []string
	for _, path := range files {
		f, err := skill.Read(path)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", filepath.Base(path), err))
			continue
		}
		d.files = append(d.files, f)
		names = append(names, string(f.Manifest.Name))
	}
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Roles)) {
		role := d.cfg.Roles[name]
		for _, k := range append([]host.SkillName{role.Brain}, role.Skills...) {
			if _, err := skill.Find(d.cfg.SkillsDir, k); err != nil {
				d.add(failure("skills", "put its file there, or take it out of the role",
					fmt.Errorf("role %s lists %q: %w", name, k, err)))
				return
			}
		}
	}
	if len(wrong) > 0 {
		d.add(warning("skills", "build them again, or remove them", "%s", strings.Join(wrong, "\n")))
		return
	}
	d.add(ok("skills", "%s: %s", d.cfg.SkillsDir, strings.Join(names, ", ")))
}

// checkLayers says which walls stand between an agent and this machine.
func (d *doctor) checkLayers() {
	switch {
	case host.InSandbox():
		d.add(ok("layer 1", "inside a microVM sandbox"))
	case d.cfg != nil && d.cfg.Engine.RequireSandbox:
		d.add(failure("layer 1", "run it in a Docker Sandbox: nanoclaw sandbox up",
			errors.New("engine.require_sandbox is set, and this is no microVM sandbox")))
	default:
		d.add(ok("layer 1", "no microVM sandbox around it (optional)"))
	}
	if d.cfg != nil && d.cfg.Engine.Runtime == daemon.RuntimeNone {
		d.add(warning("layer 2", `remove runtime = "none"`, "MISSING: %s", daemon.NoContainers))
	} else if d.docker != nil {
		d.add(ok("layer 2", "a container for each turn"))
	} else {
		d.add(failure("layer 2", "", errors.New("no containers without a Docker daemon: no turn can run")))
	}
	d.add(ok("layer 3", "a WASM instance for each tool call"))
	broker := "all traffic through the broker"
	if d.cfg != nil && d.cfg.Network.Proxy != "none" {
		broker += "; behind a proxy it checks names alone: which addresses they lead to is the proxy's affair"
	}
	d.add(ok("layer 4", "%s", broker))
}
