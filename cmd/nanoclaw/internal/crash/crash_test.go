// Package crash kills the real program, built with the tag "failpoints", in the middle of its work
// and checks that nothing is lost and nothing is done twice: turns are answered through a scripted
// model, and messages go in and out by the admin socket as `nanoclaw chat` does it.
//
// Each run has a seed: `go test ./cmd/nanoclaw/internal/crash -run 'TestCrash/7$' -seed 7 -runs 1`.
package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

var (
	firstSeed  = flag.Int("seed", 1, "seed of the first run")
	runs       = flag.Int("runs", len(kinds), "how many runs, each with the next seed")
	containers = flag.Int("containers", 0, "every so many runs one has containers; 0 = none has")
)

// kinds are the ways in which a host can be cut: at a failpoint, when a message is acknowledged, or
// at any moment.
var kinds = append([]string{"ack", "random"}, failpoint.Names...)

const (
	within  = 2 * time.Minute // for what takes a second on an idle machine
	someone = "default"       // the chat
)

// cut is one death of the host.
type cut struct {
	kind  string
	n     int           // at which time of the failpoint or acknowledgement
	after time.Duration // of a random one
}

// programs is an installation with failpoints, and states in which the courier is admitted.
type programs struct{ dir string }

var build = sync.OnceValues(func() (programs, error) {
	dir, err := os.MkdirTemp("", "nanoclaw-crash-")
	if err != nil {
		return programs{}, err
	}
	builtIn = dir
	p := programs{dir}
	env := append(os.Environ(), "CGO_ENABLED=0")
	for name, args := range map[string][]string{
		"nanoclaw": {"-tags", "failpoints", "../.."}, "nanoclaw-runner": {"../../../nanoclaw-runner"},
	} {
		c := exec.Command("go", append([]string{"build", "-trimpath", "-o", filepath.Join(dir, name)}, args...)...)
		c.Env = env
		if out, err := c.CombinedOutput(); err != nil {
			return p, fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "plugins"), 0o755)); err != nil {
		return p, err
	}
	cfg := filepath.Join(dir, "build.toml")
	if err := os.WriteFile(cfg, []byte(p.config("http://127.0.0.1:1", 1)), 0o600); err != nil {
		return p, err
	}
	for runtime, args := range map[string][]string{
		"none": {"skill", "build", "testdata/courier", "-o", filepath.Join(dir, "plugins", "courier.wasm")}, "": {"skill", "list"},
	} {
		if runtime == "" && *containers == 0 {
			continue
		}
		state := filepath.Join(dir, "state-"+runtime)
		for _, args := range [][]string{args, {"skill", "list"}} {
			args = append(args, "--config", cfg, "--state", state, "--runtime", runtime)
			if out, err := exec.Command(filepath.Join(dir, "nanoclaw"), args...).CombinedOutput(); err != nil {
				return p, fmt.Errorf("%v: %w: %s", args, err, out)
			}
		}
	}
	return p, nil
})

var builtIn string

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

func (p programs) config(model string, shop int) string {
	return fmt.Sprintf(`[skills]
dir = %q
[model]
provider = "mine"
name = "m"
[providers.mine]
kind = "openai"
base_url = %q
api_key = { env = "NANOCLAW_TEST_KEY" }
[roles.main]
description = "orders"
prompt = "x"
agent = "courier"
http = [ { scheme = "http", hosts = ["127.0.0.1"], port = %d, methods = ["POST"], private = true } ]
`, filepath.Join(p.dir, "plugins"), model, shop)
}

// shop counts the orders that reach it.
type shop struct {
	*httptest.Server
	mu     sync.Mutex
	orders map[string]int
	then   func(what string) // called when an order was made
}

func newShop(t *testing.T) *shop {
	s := &shop{orders: make(map[string]int)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.orders[string(what)]++
		s.mu.Unlock()
		if s.then != nil {
			s.then(string(what))
		}
		fmt.Fprint(w, "ordered")
	}))
	t.Cleanup(s.Close)
	return s
}

var counts struct {
	sync.Mutex
	of map[string]int
}

// fired counts a cut of a kind, and says how many there were.
func fired(kind string) int {
	counts.Lock()
	defer counts.Unlock()
	if counts.of == nil {
		counts.of = make(map[string]int)
	}
	counts.of[kind]++
	return counts.of[kind]
}

// safeBuffer is a log that is read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// world is one run.
type world struct {
	programs
	t          *testing.T
	home       string // of everything below, with a short name: the socket's address has a limit
	cfg, state string
	runtime    string
	shop       *shop
	log        safeBuffer

	mu    sync.Mutex
	heard []console.Frame // messages, in the order they came, from all hosts of the run
	acked map[string]bool
}

func TestCrash(t *testing.T) {
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the runs are over by then
		for _, name := range failpoint.Names {
			n := fired(name) - 1
			t.Logf("%3d cuts at %s", n, name)
			if n == 0 && *runs >= 4*len(kinds) {
				t.Errorf("no host died at %s", name)
			}
		}
	})
	for i := range *runs {
		seed := *firstSeed + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(seed), 0))
			w := newWorld(t, p)
			if *containers > 0 && seed%*containers == 0 {
				w.runtime = ""
			}
			w.prepare(filepath.Join(w.home, "state"))
			var names []string
			for n := range 1 + rng.IntN(4) {
				names = append(names, fmt.Sprintf("s%d-m%d", seed, n))
			}
			// Not more cuts than a turn survives: the host gives one up in which it died three times.
			cuts := []cut{newCut(rng, kinds[seed%len(kinds)])}
			if rng.IntN(2) == 0 {
				cuts = append(cuts, newCut(rng, kinds[rng.IntN(len(kinds))]))
			}
			w.run(names, cuts)
		})
	}
}

func newCut(rng *rand.Rand, kind string) cut {
	return cut{kind: kind, n: 1 + rng.IntN(2)*rng.IntN(2), after: time.Duration(rng.IntN(1500)) * time.Millisecond}
}

func newWorld(t *testing.T, p programs) *world {
	home, err := os.MkdirTemp("", "ncc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	return &world{programs: p, t: t, home: home, runtime: "none", acked: make(map[string]bool), shop: newShop(t)}
}

// prepare makes a configuration, and a state in which the courier is admitted.
func (w *world) prepare(state string) {
	model := modeltest.NewOpenAI(w.t, modeltest.Answer{Text: "Yes."})
	w.cfg, w.state = filepath.Join(w.home, "nanoclaw.toml"), state
	at, err := url.Parse(w.shop.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	var port int
	fmt.Sscan(at.Port(), &port)
	err = os.WriteFile(w.cfg, []byte(w.config(model.URL, port)), 0o600)
	for _, sub := range []string{"skills", "admitted"} {
		err = errors.Join(err, os.CopyFS(filepath.Join(w.state, sub), os.DirFS(filepath.Join(w.dir, "state-"+w.runtime, sub))))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("log of the hosts:\n%s", w.log.String())
		}
	})
}

func (w *world) cmd(args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(w.dir, "nanoclaw"), append(args, "--config", w.cfg, "--state", w.state, "--runtime", w.runtime)...)
	c.Env = append(os.Environ(), "NANOCLAW_TEST_KEY="+modeltest.Key)
	return c
}

// run says every name to hosts that die as cuts say, and to one that does not, and checks the end.
func (w *world) run(names []string, cuts []cut) {
	w.t.Logf("%d messages, cuts %+v, runtime %q", len(names), cuts, w.runtime)
	cuts = append(cuts, cut{})
	lost := make(map[host.TurnID]bool) // whose send was begun and had no outcome when a host died, or when the next one did
	var status daemon.Status
	for _, c := range cuts {
		before, at := len(w.log.String()), 0
		status = w.host(names, c)
		for _, t := range w.turns() {
			for _, r := range t.Replies { // of which there is one, says check
				if r.State == "sending" {
					at++
					lost[t.ID] = true
				}
			}
		}
		if strings.Contains(w.log.String()[before:], "killed at "+c.kind) {
			fired(c.kind)
			if at == 0 && (c.kind == failpoint.AfterSending || c.kind == failpoint.BeforeSent) {
				w.t.Errorf("a cut at %s, and no row says that a send was begun", c.kind)
			}
		}
	}
	w.check(names, status, len(lost))
}

// host runs one host until its cut, or until there is nothing left to do.
func (w *world) host(names []string, c cut) (status daemon.Status) {
	w.t.Helper()
	cmd := w.cmd("run")
	cmd.Stderr = &w.log
	if slices.Contains(failpoint.Names, c.kind) {
		cmd.Env = append(cmd.Env, fmt.Sprintf("NANOCLAW_FAILPOINT=%s:%d", c.kind, c.n))
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	dead := make(chan struct{})
	go func() { _ = cmd.Wait(); close(dead); cancel() }()
	defer func() { _ = cmd.Process.Kill(); <-dead }()
	cl := w.dial(ctx)
	if cl == nil {
		if ctx.Err() == context.DeadlineExceeded {
			w.t.Fatal("the host does not start")
		}
		return status
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { w.listen(ctx, cl) })
	if c.kind == "random" {
		kill := time.AfterFunc(c.after, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
	}
	acks := 0
	for _, name := range names {
		if !w.say(ctx, cl, name) {
			break
		}
		if acks++; c.kind == "ack" && acks == c.n {
			_ = cmd.Process.Kill()
		}
	}
	for ctx.Err() == nil {
		s, err := cl.Status(ctx)
		if err == nil && s.Waiting+s.Outbox == 0 && s.Working == 0 && w.allAcked(names) {
			return s
		}
		time.Sleep(20 * time.Millisecond)
	}
	select {
	case <-dead:
	default:
		s, err := cl.Status(w.t.Context())
		w.t.Fatalf("the host is not done within %v: %+v, %v; taken: %v; turns %+v", within, s, err, w.acked, w.turns())
	}
	return status
}

func (w *world) dial(ctx context.Context) *daemon.Client {
	for ctx.Err() == nil {
		if cl, err := daemon.Dial(ctx, w.state); err == nil {
			return cl
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// listen is the reading half of the channel. It records every message, with its ID.
func (w *world) listen(ctx context.Context, cl *daemon.Client) {
	for ctx.Err() == nil {
		err := cl.Listen(ctx, someone, func(f console.Frame) {
			if f.Type == "message" {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.heard = append(w.heard, f)
			}
		})
		if ctx.Err() == nil {
			w.t.Logf("no longer listening: %v", err)
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// say is the writing half: what was not acknowledged is said again, with the same ID.
func (w *world) say(ctx context.Context, cl *daemon.Client, name string) bool {
	w.mu.Lock()
	acked := w.acked[name]
	w.mu.Unlock()
	if acked {
		return true
	}
	file := filepath.Join(w.home, name+".txt")
	err := os.WriteFile(file, []byte(name), 0o600)
	if err == nil {
		err = cl.Say(ctx, someone, console.Input{ID: name, Text: name + " " + w.shop.URL + "/", Files: []string{file}})
	}
	if err != nil {
		w.t.Logf("%s not taken: %v", name, err)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[name] = true
	return true
}

func (w *world) allAcked(names []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked) == len(names)
}

// check is what must be true after every run: each message was taken into one turn, that turn is
// done, its reply was seen once, or not more than once where its row says that this is not known;
// each order was made once, or not more than once where the reply says that this is not known.
func (w *world) check(names []string, s daemon.Status, lost int) {
	if int(s.Unknown) != lost {
		w.t.Errorf("%d sends with unknown outcome, %d were cut off", s.Unknown, lost)
	}
	if int(s.Messages) != len(names) || s.Failed != 0 {
		w.t.Errorf("%d messages, want %d; %d turns failed", s.Messages, len(names), s.Failed)
	}
	ids := make(map[string]bool)
	for _, f := range w.heard {
		if ids[f.ID] {
			w.t.Errorf("message %s came twice: %q", f.ID, f.Text)
		}
		ids[f.ID] = true
	}
	// Each message has its file, and whatever died left no other one.
	if kept, err := os.ReadDir(filepath.Join(s.State, "files")); err != nil || len(kept) != len(names) {
		w.t.Errorf("%d messages, %d files, %v", len(names), len(kept), err)
	}
	turns := w.turns()
	for _, name := range names {
		var said []string
		for _, f := range w.heard {
			if strings.Contains(f.Text, name+": ") {
				said = append(said, f.Text)
			}
		}
		in := slices.DeleteFunc(slices.Clone(turns), func(t host.TurnRow) bool {
			return !slices.ContainsFunc(t.Messages, func(m host.Said) bool { return strings.HasPrefix(m.Text, name+" ") })
		})
		if len(in) != 1 || in[0].State != "done" || len(in[0].Replies) != 1 {
			w.t.Errorf("%s is in turns %+v", name, in)
			continue
		}
		reply := in[0].Replies[0]
		if len(said) != 1 && (len(said) != 0 || reply.State != "unknown") {
			w.t.Errorf("%s was answered %d times, and its reply is %s", name, len(said), reply.State)
		}
		w.shop.mu.Lock()
		made := w.shop.orders[name]
		w.shop.mu.Unlock()
		if ok := strings.Contains(reply.Text, name+": ordered;"); made != 1 && ok || made > 1 ||
			!ok && !strings.Contains(reply.Text, name+": the outcome of this request is not known") &&
				!strings.Contains(reply.Text, name+": unavailable: the outcome of this request is not known") {
			w.t.Errorf("%s was ordered %d times, and the reply says %q", name, made, reply.Text)
		}
	}
}

func (w *world) turns() (out []host.TurnRow) {
	w.t.Helper()
	read := func(v any, args ...string) {
		b, err := w.cmd(append([]string{"turn"}, args...)...).Output()
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			w.t.Fatalf("turn %v: %v: %s", args, err, b)
		}
	}
	read(&out, "list", "--json")
	for i := range out {
		id := string(out[i].ID)
		out[i] = host.TurnRow{}
		read(&out[i], "show", id, "--json")
	}
	return out
}

// TestReleaseHasNoFailpoints: a program without the tag holds none of the names, nor the variable's.
func TestReleaseHasNoFailpoints(t *testing.T) {
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	release := filepath.Join(t.TempDir(), "nanoclaw")
	c := exec.Command("go", "build", "-trimpath", "-o", release, "../..")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for path, want := range map[string]bool{release: false, filepath.Join(p.dir, "nanoclaw"): true} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append([]string{"NANOCLAW_FAILPOINT"}, failpoint.Names...) {
			if bytes.Contains(b, []byte(name)) != want {
				t.Errorf("%s in %s: want %v", name, filepath.Base(path), want)
			}
		}
	}
}
