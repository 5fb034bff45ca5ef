//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.mau.fi/whatsmeow/types"
	"golang.org/x/time/rate"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel"
	"github.com/nanoclaw/nanoclaw/host/channel/markup"
)

const (
	maxText  = 4000             // characters of one message: WhatsApp takes more, and folds it
	retryIn  = 30 * time.Second // when the first connection fails for a reason that the library does not retry
	sendRate = time.Second      // between messages, on average: numbers that send like machines are banned
	burst    = 10               // of messages at once
)

// WhatsApp implements channel.Channel.
type WhatsApp struct {
	cfg   Config
	ready chan struct{}
	again chan struct{} // look at the database again
	shows chan show     // what goes on in chats
	limit *rate.Limiter

	mu       sync.Mutex
	settings Settings
	session  *session // nil unless connecting or connected
	state    state
}

// state is where the channel stands.
type state struct {
	ok    bool
	text  string    // for the owner
	final bool      // nothing but the owner, or until, changes it
	until time.Time // when there is reason to try again; zero = never
}

var (
	_ channel.Channel = (*WhatsApp)(nil)
	_ channel.Limited = (*WhatsApp)(nil)
	_ channel.Filer   = (*WhatsApp)(nil)
)

// New returns a channel that does nothing until Run.
func New(cfg Config) *WhatsApp {
	if cfg.Notice == nil {
		cfg.Notice = func(string) {}
	}
	return &WhatsApp{
		cfg: cfg, ready: make(chan struct{}, 1), again: make(chan struct{}, 1), shows: make(chan show, 64),
		limit: rate.NewLimiter(rate.Every(sendRate), burst), state: state{text: notLinked},
	}
}

const notLinked = "not linked: nanoclaw channel add whatsapp"

// Name implements channel.Channel.
func (w *WhatsApp) Name() string { return Name }

// Ready implements channel.Channel. It also says that a backlog is there as a whole.
func (w *WhatsApp) Ready() <-chan struct{} { return w.ready }

// Limits implements channel.Limited.
func (w *WhatsApp) Limits() (max int, render func(string) string) { return maxText, markup.WhatsApp }

// Use puts settings in force.
func (w *WhatsApp) Use(s Settings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settings = s
}

// Look makes the channel look whether a phone was linked, or try again what ended it.
func (w *WhatsApp) Look() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// State says where the channel stands, and whether messages go in and out.
func (w *WhatsApp) State() (text string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.text, w.state.ok
}

func (w *WhatsApp) set(s state) {
	w.mu.Lock()
	was := w.state
	w.state = s
	w.mu.Unlock()
	if s.final && s.text != was.text {
		w.cfg.Log.Error(s.text)
		w.cfg.Notice("WhatsApp: " + s.text)
	}
}

func (w *WhatsApp) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// Run implements channel.Channel: one session after another, each until something ends it for good.
func (w *WhatsApp) Run(ctx context.Context, deliver channel.Deliver) error {
	for ctx.Err() == nil {
		if err := w.run(ctx, deliver); err != nil && ctx.Err() == nil {
			w.set(state{text: err.Error(), final: true, until: time.Now().Add(retryIn)})
		}
		var retry <-chan time.Time
		w.mu.Lock()
		if until := w.state.until; !until.IsZero() {
			retry = time.After(time.Until(until))
		}
		w.mu.Unlock()
		select {
		case <-w.again:
		case <-retry:
		case <-ctx.Done():
		}
	}
	return nil
}

// run is one session: nil when it ended with a state of its own.
func (w *WhatsApp) run(ctx context.Context, deliver channel.Deliver) error {
	if !exists(w.cfg.Path) {
		w.set(state{text: notLinked})
		return nil
	}
	k, err := openKeys(ctx, w.cfg.Path, w.cfg.Log)
	if err != nil {
		return err
	}
	defer k.close()
	if k.device.ID == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.state.final { // why it is no longer linked says more
			w.state = state{text: notLinked}
		}
		return nil
	}
	cli, err := k.client(w.cfg, nil)
	if err != nil {
		return err
	}
	s := newSession(ctx, w, k, cli, deliver)
	w.set(state{text: "connecting as " + s.number})
	w.mu.Lock()
	w.session = s
	w.mu.Unlock()
	err = s.run()
	w.mu.Lock()
	w.session = nil
	w.mu.Unlock()
	return err
}

// live is the session that can send now.
func (w *WhatsApp) live() (*session, Settings, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == nil || !w.state.ok {
		return nil, Settings{}, fmt.Errorf("%w: WhatsApp is %s", host.ErrUnavailable, w.state.text)
	}
	return w.session, w.settings, nil
}

// OwnerChats are the names of the chats that the owner alone reads: what he writes to himself, or, where
// the linked number is the assistant's own, what is between it and each of his. No group is among them.
// Empty while there is no session, and where nobody knows who the owner is.
func (w *WhatsApp) OwnerChats() (names []host.ChatID) {
	w.mu.Lock()
	s, set := w.session, w.settings
	w.mu.Unlock()
	if s == nil {
		return nil
	}
	numbers := []string{s.number}
	if set.OwnNumber {
		numbers = set.Owners
	}
	for _, n := range numbers {
		p, err := s.person(types.NewJID(strings.TrimPrefix(n, "+"), types.DefaultUserServer), types.EmptyJID)
		if err != nil {
			s.w.cfg.Log.Warn("the owner's chat is not known", "error", err)
			continue
		}
		for _, name := range append([]string{p.id}, p.also...) {
			names = append(names, host.ChatID(name))
		}
	}
	return names
}

// Unlink takes this device off the phone's list and deletes its keys.
func (w *WhatsApp) Unlink(ctx context.Context) error {
	s, _, err := w.live()
	if err != nil {
		return err
	}
	if err := s.cli.Logout(ctx); err != nil {
		return fmt.Errorf("%w: WhatsApp did not unlink: %w", host.ErrUnavailable, err)
	}
	s.end(state{text: notLinked})
	return nil
}

// errEnded is the cause of a session's end that has a state.
var errEnded = errors.New("ended")
