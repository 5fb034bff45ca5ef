// Package phone runs the real program, built with the tag "fakewa", against a WhatsApp on 127.0.0.1:
// a phone is linked, people write and read, and the host is killed between any two steps. What counts
// is what the phones see.
package phone

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mau.fi/whatsmeow/proto/waCommon"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite" // the fake's own

	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp/fakewa"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
)

const within = 2 * time.Minute // for what takes a second on an idle machine

var rounds = flag.Int("rounds", 1, "how often the host is killed at each point")

var builtIn string

// build makes an installation in which the skill echo is admitted.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nanoclaw-phone-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	for name, args := range map[string][]string{
		"nanoclaw": {"-tags", "fakewa failpoints", "../.."}, "nanoclaw-runner": {"../../../nanoclaw-runner"},
	} {
		c := exec.Command("go", append([]string{"build", "-trimpath", "-o", filepath.Join(dir, name)}, args...)...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w: %s", name, err, out)
		}
	}
	config := fmt.Sprintf(`[skills]
dir = %q
[model]
provider = "offline"
[roles.main]
description = "echo"
prompt = "x"
agent = "echo"
budget = { daily_messages = 1000000 } # each host that is killed takes a part of it along
messages = [ { channel = "whatsapp", chat = "+15550000003", ask = true } ]
[[routes]]
channel = "whatsapp"
chat = "*"
role = "main"
senders = ["+15550000002"]
[[routes]]
channel = "whatsapp"
chat = "12036301000000@g.us"
role = "main"
engage = "mention"
senders = ["+15550000002"]
others = "context"
`, filepath.Join(dir, "plugins"))
	err = errors.Join(os.Mkdir(filepath.Join(dir, "plugins"), 0o755),
		os.WriteFile(filepath.Join(dir, "nanoclaw.toml"), []byte(config), 0o600))
	if err != nil {
		return "", err
	}
	state := filepath.Join(dir, "state")
	for _, args := range [][]string{
		{"skill", "build", "testdata/echo", "-o", filepath.Join(dir, "plugins", "echo.wasm")}, {"skill", "list"},
	} {
		args = append(args, "--config", filepath.Join(dir, "nanoclaw.toml"), "--state", state, "--runtime", "none")
		if out, err := exec.Command(filepath.Join(dir, "nanoclaw"), args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%v: %w: %s", args, err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
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

// world is one installation, and the people around it.
type world struct {
	t          *testing.T
	dir, state string
	cfg        string // the configuration's file
	s          *fakewa.Server
	owner      *fakewa.User
	alice      *fakewa.User
	log        safeBuffer
	host       *exec.Cmd
	dead       chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	s, err := fakewa.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.FewPreKeys = true
	home, err := os.MkdirTemp("", "ncp") // short: the socket's address has a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	w := &world{
		t: t, dir: dir, state: filepath.Join(home, "state"), cfg: filepath.Join(dir, "nanoclaw.toml"), s: s,
		owner: s.NewUser("15550000001", "Olga"), alice: s.NewUser("15550000002", "Alice"),
	}
	for _, sub := range []string{"skills", "admitted"} {
		if err := os.CopyFS(filepath.Join(w.state, sub), os.DirFS(filepath.Join(dir, "state", sub))); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		w.kill()
		if t.Failed() {
			t.Logf("log of the hosts:\n%s", w.log.String())
		}
	})
	return w
}

func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	w.t.Cleanup(cancel)
	return ctx
}

func (w *world) cmd(args ...string) *exec.Cmd {
	args = append(args, "--config", w.cfg, "--state", w.state, "--runtime", "none")
	c := exec.Command(filepath.Join(w.dir, "nanoclaw"), args...)
	c.Env = append(os.Environ(), w.s.Env()...)
	return c
}

// says runs a command and returns all that it prints.
func (w *world) says(args ...string) (string, error) {
	out, err := w.cmd(args...).CombinedOutput()
	return string(out), err
}

// link pairs by code, as somebody would who reads it off the terminal.
func (w *world) link() {
	w.t.Helper()
	if out := w.pairs("channel", "add", "whatsapp", "--phone", "+15550000001"); !strings.Contains(out, "Linked as +15550000001") {
		w.t.Fatalf("link:\n%s", out)
	}
}

// pairs runs a command, types the codes that it shows on the owner's phone, and returns all that it prints.
func (w *world) pairs(args ...string) string {
	w.t.Helper()
	c := w.cmd(args...)
	out, err := c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	c.Stderr = &w.log
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	var all strings.Builder
	code := regexp.MustCompile(`type: ([0-9A-Z]{4}-[0-9A-Z]{4})`)
	for sc := bufio.NewScanner(out); sc.Scan(); {
		all.WriteString(sc.Text() + "\n")
		if m := code.FindStringSubmatch(sc.Text()); m != nil {
			if err := w.owner.EnterCode(m[1]); err != nil {
				w.t.Error(err)
			}
		}
	}
	if err := c.Wait(); err != nil {
		w.t.Fatalf("%q: %v\n%s\n%s", args, err, all.String(), w.log.String())
	}
	return all.String()
}

// start runs a host, which may be told where to die.
func (w *world) start(env ...string) {
	w.t.Helper()
	w.host = w.cmd("run")
	w.host.Env = append(w.host.Env, env...)
	w.host.Stderr = &w.log
	if err := w.host.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.dead = make(chan struct{})
	go func(c *exec.Cmd, dead chan struct{}) { _ = c.Wait(); close(dead) }(w.host, w.dead)
}

// kill is SIGKILL.
func (w *world) kill() {
	if w.host != nil {
		_ = w.host.Process.Kill()
		<-w.dead
		w.host = nil
	}
}

// died waits until the host is dead.
func (w *world) died(where string) {
	w.t.Helper()
	select {
	case <-w.dead:
		w.host = nil
	case <-w.ctx().Done():
		w.t.Fatalf("the host did not die %s", where)
	}
}

// device is the host as the service knows it, once it is logged in.
func (w *world) device() *fakewa.Companion {
	w.t.Helper()
	d, err := w.owner.WaitLinked(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// caughtUp waits until the host has taken all that was written to it, and answered.
func (w *world) caughtUp() daemon.Status {
	w.t.Helper()
	if err := w.device().WaitAcknowledged(w.ctx()); err != nil {
		w.t.Fatal(err)
	}
	return w.idle(true)
}

// idle waits until nothing is left to do, and WhatsApp is connected or not.
func (w *world) idle(connected bool) daemon.Status {
	w.t.Helper()
	ctx := w.ctx()
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		cl, err := daemon.Dial(ctx, w.state)
		if err != nil {
			continue
		}
		s, err := cl.Status(ctx)
		if err == nil && s.Waiting+s.Outbox == 0 && s.Working == 0 &&
			strings.Contains(strings.Join(s.Channels, " "), "(connected as +15550000001)") == connected {
			return s
		}
	}
	w.t.Fatal("the host does not come to rest")
	return daemon.Status{}
}

func say(text string) *waE2E.Message { return &waE2E.Message{Conversation: proto.String(text)} }

func (w *world) writes(u *fakewa.User, text string) {
	w.t.Helper()
	if _, err := u.Send(w.owner, say(text)); err != nil {
		w.t.Fatal(err)
	}
}

// reads are the texts that reached a phone.
func reads(u *fakewa.User) (out []string) {
	for _, r := range u.Received() {
		text := r.Msg.GetConversation() + r.Msg.GetExtendedTextMessage().GetText()
		out = append(out, text)
	}
	return out
}

// waitReads waits for n texts on a phone.
func (w *world) waitReads(u *fakewa.User, n int) []string {
	w.t.Helper()
	if _, err := u.WaitMessage(w.ctx(), n-1); err != nil {
		w.t.Fatalf("%v; %s has %q", err, u.Name, reads(u))
	}
	return reads(u)
}

func TestFromLinkingToUnlinking(t *testing.T) {
	w := newWorld(t)
	if out, err := w.says("channel", "list"); err != nil || out != "console\nwhatsapp (not linked)\n" {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := w.says("channel", "rm", "whatsapp"); err == nil || !strings.Contains(out, "no phone is linked") {
		t.Fatalf("%v: %s", err, out)
	}
	qr := w.cmd("channel", "add", "whatsapp")
	out, err := qr.StdoutPipe()
	if err == nil {
		err = qr.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for sc := bufio.NewScanner(out); sc.Scan() && !strings.HasPrefix(sc.Text(), "It is good for "); {
		if strings.Contains(sc.Text(), "▄") || strings.Contains(sc.Text(), "█") {
			blocks++
		}
	}
	if _ = qr.Process.Signal(os.Interrupt); qr.Wait() == nil || blocks < 20 {
		t.Errorf("a QR code of %d lines", blocks)
	}
	w.start() // the phone is linked while the host runs
	w.idle(false)
	w.link()
	w.idle(true)
	if out, err := w.says("channel", "add", "whatsapp"); err == nil || !strings.Contains(out, "linked to +15550000001 already") {
		t.Fatalf("%v: %s", err, out)
	}
	w.writes(w.alice, "hello")
	want := "Andy: 1 heard; Alice (not the owner): hello"
	if got := w.waitReads(w.alice, 1); got[0] != want {
		t.Fatalf("alice reads %q", got)
	}
	if _, err := w.owner.SendOwn(w.owner.LID, say("to myself")); err != nil {
		t.Fatal(err)
	}
	// The phone sees what its other device says to anybody, so this is the second.
	if got := w.waitReads(w.owner, 2); !slices.ContainsFunc(w.owner.Received(), func(r fakewa.Received) bool {
		return r.Msg.GetDeviceSentMessage().GetMessage().GetConversation() == "Andy: 1 heard; Olga: to myself"
	}) {
		t.Fatalf("the owner reads %q", got)
	}
	bob := w.s.NewUser("15550000003", "Bob")
	g := w.s.NewGroup("Family", w.owner, w.alice, bob)
	if _, err := g.Send(bob, say("lunch?")); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Send(w.alice, say("@Andy, when?")); err != nil {
		t.Fatal(err)
	}
	if got := w.waitReads(bob, 1); got[0] != "Andy: 2 heard; Bob (not the owner): lunch?; Alice (not the owner): @Andy, when?" {
		t.Fatalf("bob reads %q", got)
	}
	if c := bob.Received()[0].Msg.GetExtendedTextMessage().GetContextInfo(); c.GetQuotedMessage().GetConversation() != "@Andy, when?" {
		t.Errorf("it quotes %v", c)
	}
	if out, err := w.says("channel", "list"); err != nil || out != "console\nwhatsapp (connected as +15550000001)\n" {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := w.says("channel", "rm", "whatsapp"); err != nil || !strings.Contains(out, "Unlinked.") {
		t.Fatalf("%v: %s", err, out)
	}
	if err := w.owner.WaitUnlinked(w.ctx()); err != nil {
		t.Fatal(err)
	}
	w.link() // again
	w.idle(true)
	w.device().Unlink()
	s := w.idle(false)
	if all := strings.Join(s.Channels, " "); !strings.Contains(all, "unlinked by the phone") {
		t.Errorf("status: %s", all)
	}
	for ctx := w.ctx(); !strings.Contains(w.log.String(), "nanoclaw: WhatsApp: unlinked by the phone"); {
		if time.Sleep(20 * time.Millisecond); ctx.Err() != nil {
			t.Fatal("the owner was not told")
		}
	}
}

// What came while no host ran gets one answer, with what was said and what it was changed to.
func TestBacklogIsOneTurn(t *testing.T) {
	w := newWorld(t)
	w.link()
	for i := range 9 {
		w.writes(w.alice, fmt.Sprint("m", i))
	}
	id, err := w.alice.Send(w.owner, say("m9"))
	if err == nil {
		_, err = w.alice.Send(w.owner, &waE2E.Message{EditedMessage: &waE2E.FutureProofMessage{Message: &waE2E.Message{
			ProtocolMessage: &waE2E.ProtocolMessage{
				Type: waE2E.ProtocolMessage_MESSAGE_EDIT.Enum(), Key: &waCommon.MessageKey{ID: &id}, EditedMessage: say("m10"),
			},
		}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.start()
	w.waitReads(w.alice, 1)
	w.idle(true)
	if got := reads(w.alice); len(got) != 1 || !strings.HasPrefix(got[0], "Andy: 11 heard; ") ||
		!strings.Contains(got[0], "[changes a message to:] m10\n\n[which was:]\n> m9") {
		t.Fatalf("alice reads %q", got)
	}
}

// points are where a host may die between a message and its answer: those that a turn of echo passes.
var points = []string{
	"random", failpoint.InboundCommitted, failpoint.TurnBegun, failpoint.BeforeFinish, failpoint.AfterFinish,
	failpoint.BeforeSending, failpoint.AfterSending, failpoint.BeforeSent, failpoint.AfterSent,
}

// Wherever the host dies, each message is answered once, or not at all where nobody can know whether
// the answer went out.
func TestKilledAtEachPoint(t *testing.T) {
	w := newWorld(t)
	w.link()
	unknown := int64(0)
	for round := range *rounds {
		for _, point := range points {
			name := fmt.Sprintf("%s %d", point, round)
			before := len(reads(w.alice))
			if point == "random" {
				w.start()
				w.idle(true)
				w.writes(w.alice, name)
				time.Sleep(time.Duration(round%20) * 10 * time.Millisecond) // in the middle of something
				w.kill()
			} else {
				w.start("NANOCLAW_FAILPOINT=" + point + ":1")
				w.writes(w.alice, name)
				w.died("at " + point)
			}
			w.start()
			s := w.caughtUp()
			w.kill()
			answers := 0
			for _, text := range reads(w.alice)[before:] {
				answers += strings.Count(text, ": "+name)
			}
			maybe := point == failpoint.AfterSending || point == failpoint.BeforeSent || point == "random"
			if answers != 1 && !(maybe && answers == 0 && s.Unknown > unknown) {
				t.Errorf("killed at %s: %d answers; alice reads %q; %d sends unknown", name, answers, reads(w.alice), s.Unknown)
			}
			unknown = s.Unknown
		}
	}
}

// Connections that break all the time lose and double nothing.
func TestReconnectStorm(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.start()
	w.idle(true)
	for i := range 20 {
		w.writes(w.alice, fmt.Sprintf("storm%02d.", i))
		if i%4 == 1 {
			w.s.DropAll()
		}
	}
	w.s.DropAll()
	ctx := w.ctx()
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if n := strings.Count(strings.Join(reads(w.alice), " "), "storm"); n >= 20 {
			break
		}
	}
	w.idle(true)
	all := strings.Join(reads(w.alice), " ")
	for i := range 20 {
		if n := strings.Count(all, fmt.Sprintf("storm%02d.", i)); n != 1 {
			t.Errorf("message %d was answered %d times", i, n)
		}
	}
}
