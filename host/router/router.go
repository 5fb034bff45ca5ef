package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/attach"
	"github.com/nanoclaw/nanoclaw/host/channel"
	"github.com/nanoclaw/nanoclaw/host/channel/markup"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// MaxText is the longest message in bytes that a turn takes.
const MaxText = 128 << 10

// TurnFunc runs one turn: messages in, reply text out. It returns within ctx.
type TurnFunc func(ctx context.Context, a host.Agent, t store.Turn, emit func(host.Event)) (string, error)

// Command answers m, which the owner said in the chat of a.
type Command func(ctx context.Context, a host.Agent, m host.Message, args []string) string

// Config is what a router needs.
type Config struct {
	Store    *store.Store
	Channels []channel.Channel
	Files    *attach.Box // where attachments are kept
	Turn     TurnFunc
	// Commands are what the owner says to the host itself, past every queue: by name ("/help"), what
	// answers. args are the words after the name.
	Commands map[string]Command
	Ended    func(t store.Turn) // told of every turn that is over; may be nil
	Notice   func(string)       // tells the owner what no turn says; may be nil
	Retry    []time.Duration    // after what a turn is tried again that failed for a reason that may pass
	Grace    time.Duration      // how long Stop lets running turns finish
	Log      hclog.Logger
}

// Router routes messages until Stop.
type Router struct {
	cfg      Config
	channels map[string]channel.Channel
	outbox   chan struct{} // something may be sendable

	ctx     context.Context // of all turns; its cause says why they end
	cancel  context.CancelCauseFunc
	closing chan struct{} // closed when Stop begins
	wg      sync.WaitGroup

	mu      sync.Mutex
	workers map[host.AgentID]*worker
	held    map[host.AgentID]host.Agent // wait for the rest of a backlog
	closed  bool
	routes  []host.Route
	stale   time.Duration // older messages are not answered; 0 = all are
	late    int           // such messages that the owner was not told of yet
}

// errShutdown is the cause that leaves a turn for the next host.
var errShutdown = errors.New("the host is stopping")

// New returns a router that does nothing until Start.
func New(cfg Config) *Router {
	r := &Router{
		cfg: cfg, channels: make(map[string]channel.Channel), outbox: make(chan struct{}, 1),
		workers: make(map[host.AgentID]*worker),
		held:    make(map[host.AgentID]host.Agent), closing: make(chan struct{}),
	}
	for _, c := range cfg.Channels {
		r.channels[c.Name()] = c
	}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// SetRoutes says who answers which chat from now on. Of chats without a route it is only known that
// there is something new in them.
func (r *Router) SetRoutes(routes []host.Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.routes = routes
}

// SetStale says from what age on messages are not answered; 0 = never.
func (r *Router) SetStale(age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale = age
}

// Start takes up what the last host left, and begins to receive and send.
func (r *Router) Start(ctx context.Context) error {
	unknown, err := r.cfg.Store.Recover(ctx)
	if err != nil {
		return err
	}
	if unknown > 0 {
		r.cfg.Log.Warn("messages whose sending was cut off are not sent again", "count", unknown)
	}
	interrupted, err := r.cfg.Store.Interrupted(ctx)
	if err != nil {
		return err
	}
	waiting, err := r.cfg.Store.Waiting(ctx)
	if err != nil {
		return err
	}
	for _, a := range append(interrupted, waiting...) {
		r.wake(a)
	}
	r.wg.Go(func() { r.sendLoop() })
	for _, c := range r.cfg.Channels {
		r.wg.Go(func() { r.receive(c) })
	}
	return nil
}

func (r *Router) receive(c channel.Channel) {
	if err := c.Run(r.ctx, r.Deliver); err != nil && r.ctx.Err() == nil {
		r.cfg.Log.Error("channel stopped", "channel", c.Name(), "error", err)
	}
}

// Stop lets running turns finish within the grace period, puts the others back for the
// next start, and returns when nothing runs any more.
func (r *Router) Stop() {
	r.mu.Lock()
	if !r.closed {
		close(r.closing)
	}
	r.closed = true
	busy := make([]*worker, 0, len(r.workers))
	for _, w := range r.workers {
		busy = append(busy, w)
	}
	r.mu.Unlock()
	grace := time.After(r.cfg.Grace)
	for _, w := range busy {
		select {
		case <-w.done:
		case <-grace:
			grace = closedTime
		}
	}
	r.flush()
	r.cancel(errShutdown)
	r.wg.Wait()
}

var closedTime = func() <-chan time.Time { c := make(chan time.Time); close(c); return c }()

// Deliver is channel.Deliver: nil means committed.
func (r *Router) Deliver(ctx context.Context, m host.Message) error {
	if err := checkMessage(m); err != nil {
		return err
	}
	if m.Sender == host.TaskSender {
		return fmt.Errorf("%w: no channel has a sender called %s", host.ErrInvalid, m.Sender)
	}
	t, ok := r.route(m)
	may := ok && mayWake(t, m)
	m.SenderName, m.ChatName = named(m), oneLine(m.ChatName, 100)
	if !may && !t.Others {
		r.cfg.Log.Debug("not stored", "channel", m.Channel, "routed", ok)
		return r.cfg.Store.SeeChat(ctx, m)
	}
	a, old := agentOf(t, m), r.old(m)
	if m.Owner && !old { // nor is an old word an order
		if handled, err := r.command(ctx, t, a, m); handled || err != nil {
			return err
		}
	}
	if err := r.cfg.Store.EnsureAgent(ctx, a); err != nil {
		return err
	}
	wakes := may && !m.Quiet && engaged(t, m)
	if m.Below != "" {
		m.Text += "\n\n" + m.Below
	}
	if !may { // nor may it fill the disk
		m = withoutFiles(m)
	}
	fresh, err := r.queue(ctx, a, m, wakes && !old)
	if fresh && wakes && old {
		r.tooLate()
	}
	return err
}

// Task puts what a task of agent a says into its queue, past routes and triggers: who may make
// tasks was decided when it was made. The same m twice is there once; nil means committed.
func (r *Router) Task(ctx context.Context, a host.Agent, m host.Message) error {
	if err := checkMessage(m); err != nil {
		return err
	}
	_, err := r.queue(ctx, a, m, true)
	return err
}

func (r *Router) queue(ctx context.Context, a host.Agent, m host.Message, wakes bool) (fresh bool, err error) {
	if len(m.Files) > 0 {
		done, err := r.takeFiles(ctx, a, &m)
		if err != nil {
			return false, err
		}
		defer done()
	}
	if fresh, err = r.cfg.Store.AddMessage(ctx, m, a.ID, wakes); err != nil {
		return false, err
	}
	failpoint.Hit(failpoint.InboundCommitted)
	if fresh && wakes {
		r.show(a, host.Event{Stage: host.StageQueued})
		if m.More {
			r.hold(a)
		} else {
			r.wake(a)
		}
	}
	return fresh, nil
}

func checkMessage(m host.Message) error {
	switch {
	case len(m.Text) > MaxText:
		return fmt.Errorf("%w: the message has %d bytes; at most %d are taken", host.ErrInvalid, len(m.Text), MaxText)
	case !utf8.ValidString(m.Text):
		return fmt.Errorf("%w: the message is not valid UTF-8 text", host.ErrInvalid)
	case strings.TrimSpace(m.Text) == "" && len(m.Files) == 0:
		return fmt.Errorf("%w: the message is empty", host.ErrInvalid)
	}
	return nil
}

// command handles what the owner may say to the host itself, before any queue.
func (r *Router) command(ctx context.Context, t host.Route, a host.Agent, m host.Message) (bool, error) {
	words := strings.Fields(withoutTrigger(t.Trigger, m.Text))
	if len(words) == 0 {
		return false, nil
	}
	answer := r.cfg.Commands[strings.ToLower(words[0])]
	if answer == nil {
		return false, nil
	}
	fresh, err := r.cfg.Store.AddMessage(ctx, withoutFiles(m), "", false)
	if err != nil || !fresh {
		return true, err
	}
	return true, r.Notify(ctx, host.Outgoing{
		Channel: a.Channel, Account: a.Account, Chat: a.Chat, ReplyTo: m.ExternalID, Kind: host.OutNotice,
		Text: answer(ctx, a, m, words[1:]),
	})
}

// quiet is how long messages that came too late are counted before the owner is told.
const quiet = 5 * time.Second

func (r *Router) old(m host.Message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stale > 0 && time.Since(m.Time) > r.stale
}

// tooLate counts a message that is not answered because it is old. What comes together, when a channel
// was away for long, is one line to the owner.
func (r *Router) tooLate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late++; r.late > 1 || r.closed || r.cfg.Notice == nil {
		return
	}
	r.wg.Go(func() {
		select {
		case <-time.After(quiet):
		case <-r.ctx.Done():
		}
		r.mu.Lock()
		n, age := r.late, r.stale
		r.late = 0
		r.mu.Unlock()
		r.cfg.Notice(fmt.Sprintf("messages older than %s that came now, kept and not answered: %d", age, n))
	})
}

// Notify queues a message that is no turn's reply. One whose ID was queued before is not queued again.
func (r *Router) Notify(ctx context.Context, o host.Outgoing) error {
	if o.ID == "" {
		o.ID = host.NewMessageID()
	}
	if o.Kind == host.OutMessage {
		if o.Text = strings.TrimSpace(markup.Public(o.Text)); o.Text == "" {
			return fmt.Errorf("%w: nothing of the message is for others", host.ErrInvalid)
		}
	}
	if err := r.cfg.Store.Enqueue(ctx, r.parts(o)...); err != nil {
		return err
	}
	r.flush()
	return nil
}

// hold lets the agent wait until its channel says that a backlog is there as a whole.
func (r *Router) hold(a host.Agent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[a.ID] = a
}

// unhold wakes the agents that waited for a channel.
func (r *Router) unhold(channel string) {
	r.mu.Lock()
	var now []host.Agent
	for id, a := range r.held {
		if a.Channel == channel {
			now = append(now, a)
			delete(r.held, id)
		}
	}
	r.mu.Unlock()
	for _, a := range now {
		r.wake(a)
	}
}

func (r *Router) show(a host.Agent, e host.Event) {
	if c := r.channels[a.Channel]; c != nil {
		c.Show(a.Chat, e)
	}
}
