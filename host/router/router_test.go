package router

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// memory is a channel that keeps what it is sent.
type memory struct {
	ready chan struct{}
	sent  chan host.Outgoing

	mu     sync.Mutex
	down   bool
	fail   func(host.Outgoing) error
	max    int
	render func(string) string
	shown  []string // partial text
	done   []string // messages whose turn said nothing
}

func newMemory() *memory {
	return &memory{ready: make(chan struct{}, 1), sent: make(chan host.Outgoing, 1000)}
}

func (*memory) Name() string { return "memory" }
func (*memory) Run(ctx context.Context, _ channel.Deliver) error {
	<-ctx.Done()
	return nil
}

func (m *memory) Show(_ host.ChatID, e host.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Stage == host.StageDone {
		m.done = append(m.done, e.Name)
	} else if e.Text != "" {
		m.shown = append(m.shown, e.Text)
	}
}
func (m *memory) Limits() (int, func(string) string) { return m.max, m.render }
func (m *memory) Ready() <-chan struct{}             { return m.ready }
func (m *memory) Send(_ context.Context, o host.Outgoing) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return fmt.Errorf("memory: %w", host.ErrUnavailable)
	}
	if m.fail != nil {
		if err := m.fail(o); err != nil {
			return err
		}
	}
	m.sent <- o
	return nil
}

func (m *memory) setDown(v bool) {
	m.mu.Lock()
	m.down = v
	m.mu.Unlock()
	if !v {
		m.ready <- struct{}{}
	}
}

func (m *memory) next(t *testing.T) host.Outgoing {
	t.Helper()
	select {
	case o := <-m.sent:
		return o
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was sent")
		return host.Outgoing{}
	}
}

type fixture struct {
	*Router
	ch *memory
	st *store.Store
}

func start(t testing.TB, path string, turn TurnFunc) fixture {
	t.Helper()
	st, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ch := newMemory()
	var r *Router
	r = New(Config{
		Store: st, Channels: []channel.Channel{ch}, Turn: turn, Retry: schedule, Log: hclog.NewNullLogger(),
		Grace: time.Second,
		Commands: map[string]Command{
			"/help": func(_ context.Context, a host.Agent, _ host.Message, args []string) string {
				return fmt.Sprintf("help for %s %q", a.Role, args)
			},
			"/stop": func(_ context.Context, a host.Agent, _ host.Message, _ []string) string { return r.StopTurn(a.ID) },
		},
	})
	r.SetRoutes([]host.Route{
		{Channel: "memory", Chat: "*", Role: "main"},
		{Channel: "memory", Chat: "group", Role: "main", Trigger: "@Andy", Senders: []string{"bob"}},
	})
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Stop(); st.Close() })
	return fixture{r, ch, st}
}

func echo(_ context.Context, _ host.Agent, t store.Turn, _ func(host.Event)) (string, error) {
	var all []string
	for _, m := range t.Messages {
		all = append(all, m.Text)
	}
	return strings.Join(all, "|"), nil
}

func say(chat host.ChatID, id, text string) host.Message {
	return host.Message{Channel: "memory", Chat: chat, Sender: "me", ExternalID: id, Text: text, Time: time.Now(), Owner: true}
}

func (f fixture) deliver(t *testing.T, m host.Message) {
	t.Helper()
	if err := f.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func db(t testing.TB) string { return filepath.Join(t.TempDir(), "nanoclaw.db") }

func TestEveryMessageIsAnsweredOnce(t *testing.T) {
	f := start(t, db(t), echo)
	f.deliver(t, say("a", "1", "one"))
	f.deliver(t, say("a", "1", "one")) // the channel dispatches it twice
	if o := f.ch.next(t); o.Text != "one" || o.ReplyTo != "1" || o.Kind != host.OutReply {
		t.Fatalf("reply %+v", o)
	}
	f.deliver(t, say("a", "2", "two"))
	if o := f.ch.next(t); o.Text != "two" {
		t.Fatalf("after the duplicate came %+v, want two", o)
	}
}

func TestOneTurnAtATimeAndBacklogBecomesOne(t *testing.T) {
	gate := make(chan struct{})
	var mu sync.Mutex
	running, most := 0, 0
	f := start(t, db(t), func(ctx context.Context, a host.Agent, turn store.Turn, emit func(host.Event)) (string, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		<-gate
		mu.Lock()
		running--
		mu.Unlock()
		return echo(ctx, a, turn, emit)
	})
	f.deliver(t, say("a", "1", "one"))
	for f.Busy() == 0 {
		time.Sleep(time.Millisecond)
	}
	waitFor(t, func() bool { mu.Lock(); defer mu.Unlock(); return running == 1 })
	f.deliver(t, say("a", "2", "two"))
	f.deliver(t, say("a", "3", "three"))
	close(gate)
	if got := []string{f.ch.next(t).Text, f.ch.next(t).Text}; !slices.Equal(got, []string{"one", "two|three"}) {
		t.Fatalf("replies %v", got)
	}
	if most != 1 {
		t.Fatalf("%d turns of one agent ran at once", most)
	}
}

func TestFailedTurnGivesOneSentence(t *testing.T) {
	f := start(t, db(t), func(context.Context, host.Agent, store.Turn, func(host.Event)) (string, error) {
		return "", host.Lasting(fmt.Errorf("agent main: %w: docker does not answer", host.ErrUnavailable))
	})
	f.deliver(t, say("a", "1", "one"))
	if o := f.ch.next(t); o.Kind != host.OutError || !strings.HasPrefix(o.Text, "I can't answer right now: docker does not answer. ") {
		t.Fatalf("got %+v", o)
	}
}

func TestStopEndsTheTurnBeforeItsQueue(t *testing.T) {
	begun := make(chan struct{})
	f := start(t, db(t), func(ctx context.Context, _ host.Agent, _ store.Turn, _ func(host.Event)) (string, error) {
		close(begun)
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	f.deliver(t, say("a", "1", "long"))
	<-begun
	f.deliver(t, say("a", "2", "/stop"))
	texts := []string{f.ch.next(t).Text, f.ch.next(t).Text}
	slices.Sort(texts)
	if !slices.Equal(texts, []string{"Stopped.", "Stopping."}) {
		t.Fatalf("got %v", texts)
	}
	f.deliver(t, say("a", "3", "/HELP  me"))
	if o := f.ch.next(t); o.Text != `help for main ["me"]` {
		t.Fatalf("got %+v", o)
	}
}

// TestOnlyTheOwnerCommands: what others write, and what an agent answers, is never a command.
func TestOnlyTheOwnerCommands(t *testing.T) {
	f := start(t, db(t), echo)
	stranger := say("group", "1", "@Andy /help")
	stranger.Owner, stranger.Sender = false, "bob"
	f.deliver(t, stranger)
	if o := f.ch.next(t); o.Text != "@Andy /help" {
		t.Errorf("bob's command: %+v", o)
	}
	f.deliver(t, say("a", "2", " answer me with: /help"))
	if o := f.ch.next(t); strings.HasPrefix(o.Text, "help for") {
		t.Errorf("%+v", o)
	}
	f.deliver(t, say("a", "3", "/login now")) // no command of ours: the agent's
	if o := f.ch.next(t); o.Text != "/login now" {
		t.Errorf("%+v", o)
	}
	f.deliver(t, say("a", "4", "/HELP me"))
	if o := f.ch.next(t); o.Text != `help for main ["me"]` {
		t.Errorf("%+v", o)
	}
	f = start(t, db(t), func(context.Context, host.Agent, store.Turn, func(host.Event)) (string, error) { return "/help", nil })
	f.deliver(t, say("a", "1", "say it"))
	if o := f.ch.next(t); o.Text != "/help" || o.Kind != host.OutReply {
		t.Errorf("an agent's command: %+v", o)
	}
	select {
	case o := <-f.ch.sent:
		t.Errorf("and then %+v", o)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestHostStopPutsTheTurnBack(t *testing.T) {
	path := db(t)
	begun := make(chan struct{})
	f := start(t, path, func(ctx context.Context, _ host.Agent, _ store.Turn, _ func(host.Event)) (string, error) {
		close(begun)
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	f.deliver(t, say("a", "1", "one"))
	<-begun
	f.Stop()
	f.st.Close()
	g := start(t, path, echo)
	if o := g.ch.next(t); o.Text != "one" || o.Kind != host.OutReply {
		t.Fatalf("after the restart came %+v, want the answer to one", o)
	}
}

func TestHostThatDiesAgainAndAgainGivesUpTheTurn(t *testing.T) {
	path := db(t)
	st, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	a := agentOf(host.Route{Role: "main"}, say("a", "1", "bomb"))
	if err := errors.Join(st.EnsureAgent(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	if _, err := st.AddMessage(t.Context(), say("a", "1", "bomb"), a.ID, true); err != nil {
		t.Fatal(err)
	}
	for range maxAttempts {
		if _, err := st.Begin(t.Context(), a.ID, "t", 1); err != nil {
			t.Fatal(err)
		}
	}
	st.Close()
	f := start(t, path, echo)
	if o := f.ch.next(t); o.Kind != host.OutError || !strings.Contains(o.Text, "died 3 times") {
		t.Fatalf("got %+v", o)
	}
}

func TestReplyWaitsForItsChannel(t *testing.T) {
	f := start(t, db(t), echo)
	f.ch.setDown(true)
	f.deliver(t, say("a", "1", "one"))
	waitFor(t, func() bool { c, err := f.st.Counts(t.Context()); return err == nil && c.Queued == 1 && f.Busy() == 0 })
	f.ch.setDown(false)
	if o := f.ch.next(t); o.Text != "one" {
		t.Fatalf("got %+v", o)
	}
}

func TestSendersAndTriggers(t *testing.T) {
	f := start(t, db(t), echo)
	from := func(who, id, text string) host.Message {
		m := say("group", id, text)
		m.Sender, m.Owner = who, false
		return m
	}
	f.deliver(t, from("eve", "1", "@Andy give me the keys")) // not listed: recorded only
	f.deliver(t, from("bob", "2", "nice weather"))           // no trigger: context
	f.deliver(t, from("bob", "3", "@Andy, hello"))
	if o := f.ch.next(t); o.Text != "nice weather|@Andy, hello" {
		t.Fatalf("got %q: want bob's context and his question, nothing of eve's", o.Text)
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	f := start(t, db(t), echo)
	for name, text := range map[string]string{
		"1 MB": strings.Repeat("x", 1<<20), "not UTF-8": "a\xffb", "blank": " \n",
	} {
		if err := f.Deliver(t.Context(), say("a", "bad", text)); !errors.Is(err, host.ErrInvalid) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	f.deliver(t, say("a", "good", "still here"))
	if o := f.ch.next(t); o.Text != "still here" {
		t.Fatalf("got %+v", o)
	}
}

func TestTriggered(t *testing.T) {
	for _, c := range []struct {
		trigger, text string
		want          bool
	}{
		{"@Andy", "@Andy hello", true},
		{"@Andy", "@ANDY hello", true},
		{"@Andy", "@Andyextra hello", false},
		{"@Andy", "@Andy's thing", true},
		{"@Andy", "  @Andy hey", true},
		{"@Andy", "@Andy-bot hi", true},
		{"@Andy", "Andy hello", false},
		{"@Andy", "@@Andy hello", false},
		{"@Andy", "", false},
		{" @Claw ", "@claw hi", true},
		{"@C.L.A.U.D.E", "@CXLXAUXDXE hello", false},
		{"@José", "@José hello", true}, // the original's regular expression fails here
		{"@José", "@josé", true},
		{"@小明", "@小明 你好", true},
		{"@小明", "@小明你好", false},
		{"@Bot!", "@Bot! do", true},
		{"@Bot!", "@Bot!do", true},
		{"", "anything", true},
	} {
		if got := triggered(c.trigger, c.text); got != c.want {
			t.Errorf("triggered(%q, %q) = %v", c.trigger, c.text, got)
		}
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// TestRouteOfAChat: a chat's own route wins, then the first "*"; the daemon adds one of its own last.
func TestRouteOfAChat(t *testing.T) {
	r := &Router{routes: []host.Route{
		{Channel: "c", Chat: "*", Role: "said"},
		{Channel: "d", Chat: "*", Role: "other"},
		{Channel: "c", Chat: "own", Role: "own"},
		{Channel: "c", Chat: "*", Role: "main"},
	}}
	for chat, want := range map[host.ChatID]host.RoleName{"own": "own", "any": "said"} {
		if got, ok := r.route(host.Message{Channel: "c", Chat: chat}); !ok || got.Role != want {
			t.Errorf("chat %s: role %q, want %q", chat, got.Role, want)
		}
	}
	if _, ok := r.route(host.Message{Channel: "e", Chat: "any"}); ok {
		t.Error("a channel without routes has one")
	}
}
