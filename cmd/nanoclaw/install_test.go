package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// testRuntime is the OCI runtime under test; "" is the daemon's default. `make test-gvisor` sets it.
var testRuntime = os.Getenv("NANOCLAW_TEST_RUNTIME")

// installation is what `make build` makes, made once for all tests of this package: the
// real programs, the bundled skills, and a state in which those were admitted.
type installation struct {
	dir, bin, plugins, state string
}

// retries is the schedule of the programs that are tested: as many as a user's, and quick.
const retries = "10ms 10ms 10ms 10ms 1s"

var install = sync.OnceValues(func() (installation, error) {
	dir, err := os.MkdirTemp("", "nanoclaw-e2e-")
	if err != nil {
		return installation{}, err
	}
	installDir = dir
	i := installation{
		dir: dir, bin: filepath.Join(dir, "bin"), plugins: filepath.Join(dir, "plugins"),
		state: filepath.Join(dir, "state"),
	}
	return i, i.make()
})

// installDir is where install has put things; "" while no test needed them.
var installDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if installDir != "" {
		os.RemoveAll(installDir)
	}
	os.Exit(code)
}

func (i installation) make() error {
	if err := os.Chmod(i.dir, 0o755); err != nil { // other users' tests use it
		return err
	}
	for _, d := range []string{i.bin, i.plugins} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	for name, pkg := range map[string]string{"nanoclaw": ".", "nanoclaw-runner": "../nanoclaw-runner"} {
		c := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X 'main.Retries="+retries+"'", "-o", filepath.Join(i.bin, name), pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	skills, err := filepath.Glob("../../skills/*/skill.toml")
	if err != nil || len(skills) == 0 {
		return fmt.Errorf("no bundled skills: %w", err)
	}
	cfg := filepath.Join(i.dir, "nanoclaw.toml")
	if err := os.WriteFile(cfg, []byte(i.config("")), 0o600); err != nil {
		return err
	}
	var builds errgroup.Group
	builds.SetLimit(runtime.NumCPU()) // half of the time a container is waited for
	for _, s := range skills {
		builds.Go(func() error {
			from := filepath.Dir(s)
			to := filepath.Join(i.plugins, filepath.Base(from)+".wasm")
			build := exec.Command(i.nanoclaw(), "skill", "build", from, "-o", to, "--config", cfg, "--state", i.state)
			if out, err := build.CombinedOutput(); err != nil {
				return fmt.Errorf("build skill %s: %w: %s", from, err, out)
			}
			return nil
		})
	}
	if err := builds.Wait(); err != nil {
		return err
	}
	out, err := exec.Command(i.nanoclaw(), "skill", "list", "--config", cfg, "--state", i.state).CombinedOutput()
	if err != nil {
		return fmt.Errorf("admit the bundled skills: %w: %s", err, out)
	}
	return nil
}

func (i installation) nanoclaw() string { return filepath.Join(i.bin, "nanoclaw") }

// config is the shipped nanoclaw.toml with the plugins of this installation and lines of [engine].
func (i installation) config(engine string) string {
	shipped, err := os.ReadFile("../../nanoclaw.toml")
	if err != nil {
		panic(err)
	}
	s := strings.Replace(string(shipped), `dir = "plugins"`, fmt.Sprintf("dir = %q", i.plugins), 1)
	if testRuntime != "" && !strings.Contains(engine, "runtime") {
		engine += fmt.Sprintf("runtime = %q\n", testRuntime)
	}
	return strings.Replace(s, "[engine]\n", "[engine]\n"+engine, 1)
}

// freshState is a state directory in which the bundled skills are already compiled.
func (i installation) freshState(dir string) error {
	for _, sub := range []string{"skills", "admitted"} {
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join(i.state, sub))); err != nil {
			return err
		}
	}
	return nil
}

func installed(t *testing.T) installation {
	t.Helper()
	i, err := install()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// site is one user's set-up: a config and a state of its own.
type site struct {
	installation
	t          *testing.T
	cfg, state string
	env        []string // added to this process's own
	user       *syscall.Credential
}

func newSite(t *testing.T, config string) site {
	t.Helper()
	i := installed(t)
	s := site{
		installation: i, t: t,
		cfg: filepath.Join(t.TempDir(), "nanoclaw.toml"), state: filepath.Join(t.TempDir(), "state"),
	}
	if config == "" {
		config = i.config("")
	}
	if err := os.WriteFile(s.cfg, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := i.freshState(s.state); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s site) cmd(args ...string) *exec.Cmd {
	c := exec.CommandContext(s.t.Context(), s.nanoclaw(), append([]string{"--config", s.cfg, "--state", s.state}, args...)...)
	c.Env = append(os.Environ(), s.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	return c
}

// chat pipes lines into `nanoclaw chat` and returns stdout.
func (s site) chat(lines ...string) string {
	s.t.Helper()
	c := s.cmd("chat")
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		s.t.Fatalf("chat %q: %v\nstdout: %s\nstderr: %s", lines, err, out, stderr.String())
	}
	return string(out)
}

// containers lists the containers of this site's installation, running or not.
func (s site) containers() []string { return s.docker("-aq") }

func (s site) running() int { return len(s.docker("-q")) }

func (s site) docker(which ...string) []string {
	s.t.Helper()
	id, err := os.ReadFile(filepath.Join(s.state, "install-id"))
	if err != nil {
		s.t.Fatal(err)
	}
	args := append([]string{"ps", "--filter", "label=" + installLabel + "=" + strings.TrimSpace(string(id))}, which...)
	out, err := exec.Command("docker", args...).Output()
	if err != nil {
		s.t.Fatalf("docker ps: %v", err)
	}
	return strings.Fields(string(out))
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
