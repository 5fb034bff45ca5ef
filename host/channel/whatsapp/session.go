//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/types/events"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel"
)

const (
	lastWords   = 2 * time.Second  // how long WhatsApp may take to hang up
	maxHold     = time.Minute      // for a backlog whose end does not come
	firstReset  = 2 * time.Second  // after a message could not be committed; doubled each time
	maxReset    = 10 * time.Minute //
	maxFailures = 8                // of one message in one session, then it waits for the next
)

// session is the time from a connection to what ends it for good; the library reconnects within it.
type session struct {
	w       *WhatsApp
	keys    *keys
	cli     *whatsmeow.Client
	deliver channel.Deliver
	number  string // "+" and digits; the library forgets its own when it is unlinked
	idKey   []byte
	ctx     context.Context
	stop    context.CancelCauseFunc

	mu        sync.Mutex
	backlog   bool           // messages of it are coming
	failures  map[string]int // of messages that could not be committed
	resetting bool
	resets    int                  // since the last message that could
	recent    *recent              // messages, for quotes and mentions
	groups    map[types.JID]string // names
}

func newSession(
	ctx context.Context, w *WhatsApp, k *keys, cli *whatsmeow.Client, deliver channel.Deliver,
) *session {
	s := &session{
		w: w, keys: k, cli: cli, deliver: deliver, number: "+" + k.device.ID.User, idKey: idKey(k.device),
		failures: make(map[string]int), recent: newRecent(), groups: make(map[types.JID]string),
	}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	return s
}

func (s *session) run() error {
	defer s.stop(nil)
	s.cli.AddEventHandlerWithSuccessStatus(s.handle)
	var wg sync.WaitGroup
	defer wg.Wait()
	hangUp, err := connect(s.ctx, s.cli)
	defer hangUp()
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	wg.Go(s.presence)
	<-s.ctx.Done()
	if errors.Is(context.Cause(s.ctx), errEnded) {
		s.hungUp()
	}
	return nil
}

// hungUp waits until WhatsApp, which said why, has closed the connection, and the library is done with
// it: to close it at the same moment is a data race in the library (FrameSocket.OnDisconnect).
func (s *session) hungUp() {
	for end := time.Now().Add(lastWords); s.cli.IsConnected() && time.Now().Before(end); {
		time.Sleep(lastWords / 100)
	}
	time.Sleep(lastWords / 20)
}

// end leaves a state and ends the session.
func (s *session) end(st state) {
	if context.Cause(s.ctx) != nil {
		return
	}
	select { // what was said while all was well is no reason to try again
	case <-s.w.again:
	default:
	}
	s.w.set(st)
	s.stop(errEnded)
}

// handle takes an event of the library. false: it was a message, and is not to be acknowledged.
func (s *session) handle(evt any) bool {
	e, isMessage := evt.(*events.Message)
	switch {
	case s.ctx.Err() != nil:
		return !isMessage
	case isMessage:
		return s.message(e)
	}
	s.connection(evt)
	return true
}

// connection takes an event that is no message.
func (s *session) connection(evt any) {
	switch e := evt.(type) {
	case *events.Connected:
		s.w.set(state{ok: true, text: "connected as " + s.number})
		s.w.signal()
	case *events.Disconnected:
		s.w.set(state{text: "reconnecting as " + s.number})
	case *events.OfflineSyncPreview:
		if e.Messages > 0 {
			s.hold(true)
			time.AfterFunc(maxHold, func() { s.hold(false) })
		}
	case *events.OfflineSyncCompleted:
		s.hold(false)
	case *events.GroupInfo:
		if e.Name != nil {
			s.mu.Lock()
			s.groups[e.JID] = e.Name.Name
			s.mu.Unlock()
		}
	case events.PermanentDisconnect:
		s.end(permanent(e, time.Now()))
	}
}

// permanent is the state after an event behind which the library does not reconnect.
func permanent(e events.PermanentDisconnect, now time.Time) state {
	st := state{final: true}
	switch e := e.(type) {
	case *events.LoggedOut:
		st.text = "unlinked by the phone or by WhatsApp (" + e.Reason.String() + "): nanoclaw channel add whatsapp"
		if e.Reason == events.ConnectFailureUnknownLogout {
			st.text = "the account is banned or was logged out by WhatsApp: look at the phone; nanoclaw channel add whatsapp"
		}
	case *events.StreamReplaced:
		st.text = "another program uses the same keys: stop it, then restart this host"
	case *events.TemporaryBan:
		st.text = "banned for now by WhatsApp: " + e.Code.String()
		if e.Expire > 0 {
			st.until = now.Add(e.Expire)
			st.text += "; until " + st.until.Format(time.DateTime)
		}
	case *events.ClientOutdated:
		st.text = "WhatsApp no longer takes this version: update nanoclaw"
	default:
		st.text = "WhatsApp refuses the connection: " + e.PermanentDisconnectDescription()
		st.until = now.Add(10 * time.Minute)
	}
	return st
}

// hold says whether a backlog is coming. At its end the turns that it calls for may begin.
func (s *session) hold(on bool) {
	s.mu.Lock()
	ended := s.backlog && !on
	s.backlog = on
	s.mu.Unlock()
	if ended {
		s.w.signal()
	}
}

// message commits one message, and says whether it is to be acknowledged.
func (s *session) message(e *events.Message) bool {
	if s.skip(e) {
		return true
	}
	m, err := s.commit(e)
	switch {
	case err == nil:
		s.mu.Lock()
		s.resets = 0
		delete(s.failures, e.Info.ID)
		late := m.More && !s.backlog // its end came meanwhile
		s.mu.Unlock()
		if late {
			s.w.signal()
		}
		return true
	case errors.Is(err, host.ErrInvalid):
		s.w.cfg.Log.Warn("a message cannot be taken", "chat", m.Chat, "error", err)
		s.w.cfg.Notice(fmt.Sprintf("a WhatsApp message of %s could not be taken: %v", m.SenderName, err))
		return true
	case s.ctx.Err() == nil:
		s.w.cfg.Log.Error("a message is not kept, so it is not acknowledged", "error", err)
		s.failed(e.Info.ID)
	}
	return false
}

func (s *session) commit(e *events.Message) (m host.Message, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if m, err = s.parse(e); err != nil || m.Text == "" && len(m.Files) == 0 {
		return m, err
	}
	s.recent.add(m, e)
	return m, s.deliver(s.ctx, m)
}

// failed asks for another connection, with which an unacknowledged message comes back. One that fails
// too often is left with WhatsApp until the next connection, whatever that is for.
func (s *session) failed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures[id]++
	switch n := s.failures[id]; {
	case n == maxFailures:
		s.w.cfg.Notice(fmt.Sprintf("a WhatsApp message could not be kept %d times; it stays with WhatsApp for now", n))
	case n < maxFailures && !s.resetting:
		s.resetting = true
		time.AfterFunc(min(firstReset<<min(s.resets, 20), maxReset), func() {
			s.mu.Lock()
			s.resetting = false
			s.resets++
			s.mu.Unlock()
			if s.ctx.Err() == nil {
				s.cli.ResetConnection()
			}
		})
	}
}
