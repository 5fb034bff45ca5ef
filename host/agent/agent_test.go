package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// patience is how long a test waits for what should take much less.
const patience = 30 * time.Second

// testRuntime is the OCI runtime under test; "" is the daemon's default. `make test-gvisor` sets it.
var testRuntime = os.Getenv("NANOCLAW_TEST_RUNTIME")

// pids is what an agent of these tests may start; gVisor's kernel needs more for itself.
var pids = map[string]int64{"": 32, "runsc": 128}[testRuntime]

// built are the programs that tests build, once.
var built struct {
	sync.Mutex
	dir       string
	paths     map[string]string
	fakeImage string
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(built.dir)
	if built.fakeImage != "" {
		exec.Command("docker", "rmi", built.fakeImage).Run() // tidiness; there may be no such command
	}
	os.Exit(code)
}

// build compiles a package of this module for containers.
func build(t testing.TB, pkg string, env ...string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path := built.paths[pkg]; path != "" {
		return path
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "agent-test-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.paths = dir, map[string]string{}
		os.Chmod(dir, 0o755)
	}
	path := filepath.Join(built.dir, filepath.Base(pkg))
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", path}
	if len(env) > 0 {
		args = append(args, "-buildmode=c-shared")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", pkg, err, out)
	}
	built.paths[pkg] = path
	return path
}

const fakeRunner = "./testdata/runner"

// kit is a manager on an engine, and what it did.
type kit struct {
	*Manager
	engine  host.Engine
	image   string
	dir     string
	handled atomic.Int64
	log     *bytes.Buffer
}

func docker(t testing.TB, runner string) (host.Engine, string) {
	t.Helper()
	uid, gid := os.Getuid(), os.Getgid()
	d, err := container.NewDocker(t.Context(), container.DockerConfig{
		InstallID: fmt.Sprintf("test-agent-%d-%d", os.Getpid(), time.Now().UnixNano()), UID: uid, GID: gid,
		Runtime: testRuntime, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal("these tests need a Docker daemon: ", err)
	}
	t.Cleanup(func() {
		if n, err := d.Reap(context.Background()); n != 0 || err != nil {
			t.Errorf("%d containers were left behind, %v", n, err)
		}
		d.Close()
	})
	image, _, err := d.EnsureImage(t.Context(), runner)
	if err != nil {
		t.Fatal(err)
	}
	return d, image
}

func inDocker(t testing.TB) (host.Engine, string) {
	t.Helper()
	engine, image := docker(t, build(t, fakeRunner))
	built.fakeImage = image
	return engine, image
}

func inProcess(t testing.TB) (host.Engine, string) {
	return container.NewProcess(build(t, fakeRunner), hclog.NewNullLogger()), "none"
}

// newKit makes a manager; change may alter its configuration.
func newKit(t testing.TB, engine func(testing.TB) (host.Engine, string), change func(*Config)) *kit {
	t.Helper()
	k := &kit{dir: t.TempDir(), log: &bytes.Buffer{}}
	k.engine, k.image = engine(t)
	cfg := Config{
		Engine: k.engine, Image: k.image, Workspaces: filepath.Join(k.dir, "workspaces"),
		MaxAgents: 4, MaxDelegates: 4, SpareIdle: time.Minute, Timezone: "Europe/Berlin",
		Log: hclog.New(&hclog.LoggerOptions{Output: k.log, Mutex: &sync.Mutex{}}),
		Handler: func(s host.Scope) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				k.handled.Add(1)
				b, err := io.ReadAll(r.Body)
				if err != nil {
					http.Error(w, "read: "+err.Error(), http.StatusBadRequest)
					return
				}
				fmt.Fprintf(w, "%s %s %s", s.Agent.ID, s.Turn, b)
			})
		},
	}
	if change != nil {
		change(&cfg)
	}
	k.Manager = New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		k.Close(ctx)
		if ctx.Err() != nil {
			t.Error("manager does not close")
		}
	})
	return k
}

func withSpares(n int) func(*Config) { return func(c *Config) { c.MaxSpares = n } }

// job is a turn of an agent whose role has a brain and a skill.
func (k *kit) job(t testing.TB, agent, text string) Job {
	t.Helper()
	skill := func(name host.SkillName, hex string, needs ...host.Need) *host.Skill {
		dir := filepath.Join(k.dir, string(name))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		return &host.Skill{Dir: dir, Digest: host.Digest("sha256:" + strings.Repeat(hex, 64)), Manifest: host.Manifest{
			Name: name, Capabilities: needs, Tools: []wire.Tool{{Name: string(name)}},
		}}
	}
	role := &host.Role{
		Name: "main", Brain: "brain", Skills: []host.SkillName{"calc"},
		Limits: host.Limits{Memory: 64 << 20, CPUs: 1, PIDs: pids, Workspace: wire.Quota{Bytes: 1 << 20, Files: 100}},
	}
	return Job{
		Scope: host.Scope{
			Turn: host.NewTurnID(), Role: role, Brain: "brain", Agent: host.Agent{ID: host.AgentID(agent), Role: role.Name},
			Skills: map[host.SkillName]*host.Skill{"brain": skill("brain", "a", host.Need{Name: host.CapFS}), "calc": skill("calc", "c")},
			Emit:   func(host.Event) {},
		},
		Input: wire.Turn{Messages: []wire.ChatMessage{{Text: text}}, Tools: []wire.Tool{{Name: "calc"}}},
	}
}

// ask runs one turn and reports whether it waited for a container.
func (k *kit) ask(t testing.TB, j Job) (text string, cold bool) {
	t.Helper()
	emit := j.Scope.Emit
	j.Scope.Emit = func(e host.Event) { cold = cold || e.Stage == host.StageContainer; emit(e) }
	r, err := k.Turn(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return r.Text, cold
}

// waitFor polls until ok.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// spareReady waits until the agent's spare has loaded.
func (k *kit) spareReady(t testing.TB, agent string) *spare {
	t.Helper()
	var s *spare
	waitFor(t, "a spare for "+agent, func() bool {
		k.mu.Lock()
		s = k.spares[host.AgentID(agent)]
		k.mu.Unlock()
		if s == nil {
			return false
		}
		select {
		case <-s.ready:
			return s.b != nil
		default:
			return false
		}
	})
	return s
}

func TestTurnsAndSpares(t *testing.T) {
	k := newKit(t, inDocker, withSpares(2))
	if text, cold := k.ask(t, k.job(t, "a", "turns")); text != "1 1" || !cold {
		t.Errorf("first turn: %q, cold %v", text, cold)
	}
	spare := k.spareReady(t, "a")
	if text, cold := k.ask(t, k.job(t, "a", "turns")); text != "1 1" || cold {
		t.Errorf("turn with a spare: %q, cold %v: a container serves one turn", text, cold)
	}
	waitFor(t, "end of the used container", func() bool { return !spare.b.alive() })
	k.spareReady(t, "a")
	changed := k.job(t, "a", "turns")
	changed.Scope.Role.Limits.PIDs++
	if _, cold := k.ask(t, changed); !cold {
		t.Error("a spare of another role was taken")
	}
	k.spareReady(t, "a")
	other := k.job(t, "b", "turns")
	if _, cold := k.ask(t, other); !cold {
		t.Error("another agent's spare was taken")
	}
	if s := k.Stats(); s.Running != 0 || s.Spares > 2 {
		t.Errorf("%+v", s)
	}
}

// TestKept: the container of a program that says so serves turn after turn of its agent, and goes with
// whatever changes, fails or takes too long.
func TestKept(t *testing.T) {
	k := newKit(t, inDocker, func(c *Config) { c.MaxSpares, c.Runner = 2, build(t, fakeRunner) })
	ask := func(text string, change func(*Job)) (string, error) {
		t.Helper()
		j := k.job(t, "a", text)
		j.Scope.Role.Brain, j.Scope.Brain, j.Image = "", "", k.image
		j.Scope.Role.Exec = &host.Exec{Command: []string{"x"}, Keep: true}
		if change != nil {
			change(&j)
		}
		r, err := k.Turn(t.Context(), j)
		return r.Text, err
	}
	turns := func(why, want string, change func(*Job)) {
		t.Helper()
		if got, err := ask("turns", change); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", why, got, err, want)
		}
	}
	turns("the first turn", "1 1", nil)
	kept := k.spareReady(t, "a")
	turns("another turn", "1 2", nil)
	if s := k.spareReady(t, "a"); s.b != kept.b || k.Stats() != (Stats{Spares: 1}) {
		t.Errorf("another container, or one more: %+v", k.Stats())
	}
	if got, err := ask("cap mine", func(j *Job) { j.Scope.Turn = "turn-3" }); err != nil || got != "200 a turn-3 mine" {
		t.Errorf("the broker knows the call as %q, %v", got, err)
	}
	turns("a changed program", "1 1", func(j *Job) { j.Scope.Role.Exec.Command = []string{"y"} })
	turns("the old one", "1 1", nil)
	turns("a mount less", "1 1", func(j *Job) { j.Scope.Role.Skills = nil })
	turns("as before that", "1 1", nil)
	turns("a role that keeps nothing", "1 1", func(j *Job) { j.Scope.Role.Exec.Keep = false })
	k.DropSpares()
	turns("after all spares were given up", "1 1", nil)
	if got, err := ask("slow 300ms", func(j *Job) {
		j.Scope.Emit = func(host.Event) {}
		time.AfterFunc(100*time.Millisecond, k.DropSpares)
	}); got != "slept" || err != nil {
		t.Fatal(got, err)
	}
	turns("after that happened in a turn", "1 1", nil)
	if _, err := ask("exit", nil); !errors.Is(err, host.ErrCrashed) {
		t.Errorf("a crash: %v", err)
	}
	turns("after a crash", "1 1", nil)
	if _, err := ask("fail tool_error", nil); err == nil {
		t.Error("a failure is none")
	}
	turns("after a failure", "1 1", nil)
	k.cfg.SpareIdle = 200 * time.Millisecond
	turns("before a pause", "1 2", nil)
	waitFor(t, "the end of the idle container", func() bool { return k.Stats().Spares == 0 })
	turns("after a pause", "1 1", nil)
}

func TestSparesAreBounded(t *testing.T) {
	k := newKit(t, inProcess, withSpares(2))
	for _, agent := range []string{"a", "b", "c"} {
		k.ask(t, k.job(t, agent, "echo"))
	}
	k.spareReady(t, "b")
	k.spareReady(t, "c")
	if s := k.Stats(); s.Spares != 2 {
		t.Errorf("%+v", s)
	}
	k.mu.Lock()
	if k.spares["a"] != nil {
		t.Error("the spare of the agent used longest ago is kept")
	}
	k.mu.Unlock()
}

func TestSpareEnds(t *testing.T) {
	k := newKit(t, inProcess, func(c *Config) { c.MaxSpares, c.SpareIdle = 1, 200*time.Millisecond })
	k.ask(t, k.job(t, "idle", "echo"))
	s := k.spareReady(t, "idle")
	waitFor(t, "end of an idle spare", func() bool { return k.Stats().Spares == 0 && !s.b.alive() })

	k = newKit(t, inProcess, withSpares(1))
	k.ask(t, k.job(t, "dead", "echo"))
	s = k.spareReady(t, "dead")
	s.b.c.Close()
	waitFor(t, "removal of a spare that died", func() bool { return k.Stats().Spares == 0 })
	if _, cold := k.ask(t, k.job(t, "dead", "echo")); !cold {
		t.Error("a dead spare was taken")
	}
}

// TestTakenTooEarly takes spares that are still starting, and gives up some of them.
func TestTakenTooEarly(t *testing.T) {
	k := newKit(t, inProcess, withSpares(4))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 10 {
				j := k.job(t, fmt.Sprint("agent", i), "echo hi")
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				if n%3 == 1 {
					cancel()
				}
				if r, err := k.Turn(ctx, j); err == nil && r.Text != "hi" || err != nil && n%3 != 1 {
					t.Errorf("%q, %v", r.Text, err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if s := k.Stats(); s.Running != 0 {
		t.Errorf("%+v", s)
	}
}

func TestWarmSkillsAreThoseUsedLast(t *testing.T) {
	k := newKit(t, inProcess, withSpares(1))
	k.ask(t, k.job(t, "a", "used calc nosuch"))
	k.spareReady(t, "a")
	if text, cold := k.ask(t, k.job(t, "a", "warm")); text != "calc" || cold {
		t.Errorf("warm %q, cold %v", text, cold)
	}
}

// hostile are turns of a runner that does not behave, and what becomes of them.
var hostile = []struct {
	verb string
	kind error
	want string
}{
	{"exit", host.ErrCrashed, "ended before it answered (exit code 9)"},
	{"silent", host.ErrCrashed, "without a reply"},
	{"garbage", host.ErrCrashed, "broke the protocol"},
	{"pings", host.ErrCrashed, "broke the protocol"},
	{"streams", host.ErrCrashed, "broke the protocol"},
	{"endless", host.ErrCrashed, "more than 20000 events"},
	{"long", host.ErrCrashed, "an event of more than"},
	{"bigreply", host.ErrLimit, "a reply of more than"},
	{"unknown", host.ErrCrashed, "unknown field"},
	{"nojson", host.ErrCrashed, "broke the protocol"},
	{"status", host.ErrCrashed, "with 418: 000"},
	{"header", host.ErrCrashed, "broke the protocol"},
	{"redirect", host.ErrCrashed, "with 307"},
	{"fail timeout", host.ErrTimeout, "because"},
	{"fail denied", host.ErrDenied, "because"},
	{"fail whatever", host.ErrCrashed, "because"},
}

func TestHostileRunner(t *testing.T) {
	k := newKit(t, inProcess, nil)
	for _, tc := range hostile {
		t.Run(tc.verb, func(t *testing.T) {
			_, err := k.Turn(t.Context(), k.job(t, "a", tc.verb))
			if !errors.Is(err, tc.kind) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
			if err != nil && (len(err.Error()) > 1000 || strings.Contains(err.Error(), "\x1b")) {
				t.Errorf("%d bytes of error: %.100q", len(err.Error()), err)
			}
			if text, _ := k.ask(t, k.job(t, "a", "echo next")); text != "next" {
				t.Errorf("next turn: %q", text)
			}
		})
	}
}

func TestHostileLoad(t *testing.T) {
	k := newKit(t, inProcess, nil)
	for agent, want := range map[string]string{
		"badload": "unknown field", "bigload": "too large", "noload": "no [2J way", "dieload": "exit code 3",
	} {
		if _, err := k.Turn(t.Context(), k.job(t, agent, "echo")); !errors.Is(err, host.ErrCrashed) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", agent, err)
		}
	}
}

func TestLimitsInContainer(t *testing.T) {
	k := newKit(t, inDocker, nil)
	_, err := k.Turn(t.Context(), k.job(t, "a", "oom"))
	if !errors.Is(err, host.ErrCrashed) || !strings.Contains(err.Error(), "ran out of memory, of which it may use 64 MiB") {
		t.Errorf("memory: %v", err)
	}
	if testRuntime == "runsc" { // its kernel is what is refused a process, and ends
		_, err := k.Turn(t.Context(), k.job(t, "a", "fork"))
		if !errors.Is(err, host.ErrCrashed) {
			t.Errorf("fork bomb: %v", err)
		}
	} else {
		text, _ := k.ask(t, k.job(t, "a", "fork"))
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n >= 32 {
			t.Errorf("started %q processes of 32 allowed", text)
		}
	}
	_, err = k.Turn(t.Context(), k.job(t, "a", "exit"))
	if !errors.Is(err, host.ErrCrashed) || !strings.Contains(err.Error(), "exit code 9") || !strings.Contains(k.log.String(), "dying words") {
		t.Errorf("death: %v", err)
	}
	if text, _ := k.ask(t, k.job(t, "a", "echo next")); text != "next" {
		t.Errorf("next turn: %q", text)
	}
}

func TestDeadlineAndStop(t *testing.T) {
	k := newKit(t, inDocker, nil)
	j := k.job(t, "a", "never")
	j.Input.DeadlineMS = 100
	began := time.Now()
	_, err := k.Turn(t.Context(), j)
	if !errors.Is(err, host.ErrTimeout) || !strings.Contains(err.Error(), "longer than 100ms") {
		t.Errorf("deadline: %v", err)
	}
	if took := time.Since(began); took < grace || took > grace+patience {
		t.Errorf("ended after %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	j = k.job(t, "a", "never")
	j.Scope.Emit = func(e host.Event) { time.AfterFunc(time.Second, cancel) }
	if _, err := k.Turn(ctx, j); !errors.Is(err, host.ErrStopped) {
		t.Errorf("stop: %v", err)
	}
	if s := k.Stats(); s.Running != 0 {
		t.Errorf("%+v", s)
	}
}

func TestPools(t *testing.T) {
	k := newKit(t, inProcess, func(c *Config) { c.MaxAgents, c.MaxDelegates = 1, 1 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	busy := make(chan error, 1)
	go func() {
		_, err := k.Turn(ctx, k.job(t, "a", "never"))
		busy <- err
	}()
	waitFor(t, "a running turn", func() bool { return k.Stats().Running == 1 })
	waiting, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if _, err := k.Turn(waiting, k.job(t, "b", "echo")); !errors.Is(err, host.ErrTimeout) {
		t.Errorf("a second turn in a pool of one: %v", err)
	}
	j := k.job(t, "c", "echo nested")
	j.Delegate = true
	if text, _ := k.ask(t, j); text != "nested" {
		t.Errorf("delegated turn: %q", text)
	}
	cancel()
	<-busy
}

func TestCallsReachTheirTurnOnly(t *testing.T) {
	k := newKit(t, inProcess, withSpares(1))
	j := k.job(t, "a", "cap hello")
	if text, _ := k.ask(t, j); text != "200 a "+string(j.Scope.Turn)+" hello" {
		t.Errorf("capability call: %q", text)
	}
	if text, _ := k.ask(t, k.job(t, "a", "cap "+strings.Repeat("x", wire.MaxCapRequest+1))); !strings.HasPrefix(text, "400 read") {
		t.Errorf("a call that is too large: %.80q", text)
	}
	s := k.spareReady(t, "a")
	w := &recorder{}
	s.b.serve(w, &http.Request{})
	if w.status != http.StatusServiceUnavailable {
		t.Errorf("a spare's call is answered with %d", w.status)
	}
	k.ask(t, k.job(t, "a", "lateCap"))
	n := k.handled.Load()
	waitFor(t, "end of the container", func() bool { return !s.b.alive() })
	if late := k.handled.Load(); late > n+1 {
		t.Errorf("%d calls were answered after the turn", late-n)
	}
}

type recorder struct{ status int }

func (r *recorder) Header() http.Header         { return http.Header{} }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }

func TestProgress(t *testing.T) {
	k := newKit(t, inProcess, nil)
	j := k.job(t, "a", "progress")
	var got []host.Event
	j.Scope.Emit = func(e host.Event) { got = append(got, e) }
	k.ask(t, j)
	want := []host.Event{
		{Turn: j.Scope.Turn, Stage: host.StageContainer},
		{Turn: j.Scope.Turn, Stage: host.StageTool, Name: "calc"},
		{Turn: j.Scope.Turn, Stage: host.StageModel},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestClose(t *testing.T) {
	k := newKit(t, inDocker, withSpares(1))
	k.ask(t, k.job(t, "spare", "echo"))
	failed := make(chan error, 1)
	go func() {
		_, err := k.Turn(t.Context(), k.job(t, "a", "never"))
		failed <- err
	}()
	waitFor(t, "a running turn", func() bool { return k.Stats().Running == 1 })
	k.Close(t.Context())
	if err := <-failed; !errors.Is(err, host.ErrStopped) {
		t.Errorf("turn under a manager that closes: %v", err)
	}
	if _, err := k.Turn(t.Context(), k.job(t, "b", "echo")); !errors.Is(err, host.ErrStopped) {
		t.Errorf("turn of a closed manager: %v", err)
	}
	if s := k.Stats(); s != (Stats{}) {
		t.Errorf("%+v", s)
	} // and nothing is left: see docker
}

func TestWorkspaceAndMemory(t *testing.T) {
	k := newKit(t, inDocker, nil)
	if text, _ := k.ask(t, k.job(t, "a", "write MEMORY.md")); text != "<nil>" {
		t.Fatalf("write: %s", text)
	}
	if text, _ := k.ask(t, k.job(t, "a", "memory")); text != "MEMORY.md" {
		t.Errorf("memory is %q", text)
	}
	if text, _ := k.ask(t, k.job(t, "b", "memory")); text != "" {
		t.Errorf("memory of another agent is %q", text)
	}
	j := k.job(t, "b", "memory")
	if j.Shared = " and " + k.Memory("a"); k.Memory("b") != "" || k.Memory("nobody") != "" {
		t.Error("there is a memory that nobody wrote")
	}
	if text, _ := k.ask(t, j); text != " and MEMORY.md" {
		t.Errorf("shared memory is %q", text)
	}
	st, err := os.Stat(filepath.Join(k.cfg.Workspaces, "a"))
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("workspace: %v, %v", st.Mode(), err)
	}
	long := filepath.Join(k.cfg.Workspaces, "a", "MEMORY.md")
	if err := os.WriteFile(long, make([]byte, maxMemory+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := k.Memory("a"); !strings.HasPrefix(got, "(MEMORY.md is not shown: it has more than 65536 bytes.") {
		t.Errorf("a memory that is too long: %.99q", got)
	}
}

// TestTurnApart: a turn without the agent's directories takes no spare, leaves it where it is, and
// does not change what the next one loads ahead.
func TestTurnApart(t *testing.T) {
	k := newKit(t, inProcess, withSpares(1))
	k.ask(t, k.job(t, "a", "used calc"))
	spare := k.spareReady(t, "a")
	j := k.job(t, "a", "used notes")
	j.FS = map[host.SkillName][]wire.Preopen{}
	k.ask(t, j)
	if !spare.b.alive() || k.Stats().Spares != 1 {
		t.Error("the spare is gone")
	}
	if known := k.used["a"]; len(known) != 1 || known[0] != "calc" {
		t.Errorf("remembered: %v", known)
	}
}

func TestCall(t *testing.T) {
	k := newKit(t, inDocker, withSpares(2))
	call := func(j Job) (load wire.Load) {
		t.Helper()
		out, err := k.Call(t.Context(), j, wire.ToolCall{Name: "brain"})
		text, ok := strings.CutPrefix(out.Result.Text(), "brain ")
		if err != nil || !ok {
			t.Fatalf("%q, %v", text, err)
		}
		if err := json.Unmarshal([]byte(text), &load); err != nil {
			t.Fatal(err)
		}
		return load
	}
	j := k.job(t, "a", "")
	j.Scope.Role.Skills = []host.SkillName{"brain"}
	own := []wire.Preopen{{Guest: "/workspace", Path: "/workspace"}}
	if load := call(j); load.Brain != "" || len(load.Skills) != 1 || !slices.Equal(load.Skills[0].Preopens, own) {
		t.Errorf("in the agent's own workspace: %+v", load)
	}
	if err := os.Remove(filepath.Join(k.cfg.Workspaces, "a")); err != nil {
		t.Error(err)
	}
	j.Workspace = t.TempDir()
	j.FS = map[host.SkillName][]wire.Preopen{"brain": {{Guest: "/workspace/in", ReadOnly: true}, {Guest: "/workspace"}}}
	load := call(j)
	want := []wire.Preopen{{Guest: "/workspace/in", Path: "/workspace/in", ReadOnly: true}, {Guest: "/workspace", Path: "/workspace"}}
	if !slices.Equal(load.Skills[0].Preopens, want) {
		t.Errorf("preopens %+v", load.Skills[0].Preopens)
	}
	if _, err := os.Stat(filepath.Join(k.cfg.Workspaces, "a")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the agent's own workspace was made: %v", err)
	}
	if k.Stats().Spares != 0 {
		t.Error("a call left a spare")
	}
	_, err := k.Call(t.Context(), j, wire.ToolCall{Arguments: bytes.Repeat([]byte("1"), wire.MaxToolArgs+1)})
	if !errors.Is(err, host.ErrLimit) {
		t.Errorf("large arguments: %v", err)
	}
}

// TestRealRunner has the real runner admit a real skill and call it.
func TestRealRunner(t *testing.T) {
	runner := build(t, "../../cmd/nanoclaw-runner")
	wasm := build(t, "../../skills/calc", "GOOS=wasip1", "GOARCH=wasm")
	for name, engine := range map[string]func(testing.TB) (host.Engine, string){
		"docker":  func(t testing.TB) (host.Engine, string) { return docker(t, runner) },
		"process": func(testing.TB) (host.Engine, string) { return container.NewProcess(runner, hclog.NewNullLogger()), "" },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t, engine, nil)
			a := &Admitter{Engine: k.engine, Image: k.image, RunnerDigest: "x", Log: hclog.NewNullLogger()}
			out := t.TempDir()
			if err := a.Admit(t.Context(), wasm, out); err != nil {
				t.Fatal(err)
			}
			j := k.job(t, "a", "")
			j.Scope.Role.Limits.Memory = 256 << 20
			calc := j.Scope.Skills["calc"]
			calc.Dir = out
			calc.Manifest.Tools = []wire.Tool{{Name: "calc", InputSchema: json.RawMessage(`{"type":"object"}`)}}
			r, err := k.Call(t.Context(), onlyCalc(j), wire.ToolCall{Name: "calc", Arguments: json.RawMessage(`{"expression":"6*7"}`)})
			if err != nil || r.Outcome != wire.OutcomeOK || r.Result.Text() != "42" {
				t.Errorf("%+v, %v\n%s", r, err, k.log)
			}
		})
	}
}

func onlyCalc(j Job) Job {
	j.Scope.Skills = map[host.SkillName]*host.Skill{"calc": j.Scope.Skills["calc"]}
	return j
}

func BenchmarkColdTurn(b *testing.B) {
	k := newKit(b, inDocker, nil)
	for b.Loop() {
		k.ask(b, k.job(b, "a", "echo"))
	}
}

func BenchmarkWarmTurn(b *testing.B) {
	k := newKit(b, inDocker, withSpares(1))
	k.ask(b, k.job(b, "a", "echo"))
	for b.Loop() {
		b.StopTimer()
		k.spareReady(b, "a")
		b.StartTimer()
		if _, cold := k.ask(b, k.job(b, "a", "echo")); cold {
			b.Fatal("no spare")
		}
	}
}
