// Package fakewa is a loopback stand-in for the WhatsApp multi-device service, for tests.
//
// An unmodified whatsmeow client connects to it over real TLS, WebSocket and Noise, pairs with a
// simulated phone, logs in, and exchanges real Signal-encrypted messages with simulated contacts.
//
// noise.go is the responder of the handshake, conn.go a connection, iq.go what is asked on it, users.go
// accounts, signal.go their keys, route.go messages on their way, group.go groups, phone.go pairing,
// media.go uploads, fault.go what a test does to the wire.
//
// It must never be linked into a program, nor reach anything but 127.0.0.1. What no offline test can
// know is assumed: that the queue of an offline device is flushed when it leaves passive mode, and that
// a receipt or an acknowledgement is what takes a message off that queue. The codec of nodes is
// whatsmeow's own, so an error in it would cancel out; the Noise responder is written independently.
package fakewa

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/store/sqlstore"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/keys"
)

// Hosts the fake answers for. Any other name is refused by HTTPClient's dialer.
var hosts = []string{"web.whatsapp.com", "mmg.whatsapp.net", "static.whatsapp.net"}

// Server is the service, with its accounts, groups and media.
type Server struct {
	Logf func(string, ...any)
	// FewPreKeys makes first logins quicker (50 one-time prekeys, not 812).
	FewPreKeys bool

	ln     net.Listener
	http   *http.Server
	pool   *x509.CertPool
	ca     []byte
	static *keys.KeyPair
	chain  []byte
	db     *sqlstore.Container

	mu       sync.Mutex
	users    map[string]*User // by PN user and by LID user
	groups   map[types.JID]*Group
	refs     map[string]*conn // QR ref -> unpaired connection
	codes    map[string]*pairCode
	conns    map[*conn]struct{}
	media    map[string][]byte
	dropAcks int
	failNext *waBinary.Node // sent instead of <success> to the next login
	seq      int
	Stanzas  []Stanza // everything clients sent, in order
	changed  chan struct{}
}

// Stanza is one node received from a client, kept for assertions.
type Stanza struct {
	From types.JID
	Node waBinary.Node
}

// Start listens on a port of 127.0.0.1.
func Start() (*Server, error) {
	s := &Server{
		Logf: func(string, ...any) {}, static: keys.NewKeyPair(),
		users: map[string]*User{}, groups: map[types.JID]*Group{}, refs: map[string]*conn{},
		codes: map[string]*pairCode{}, conns: map[*conn]struct{}{}, media: map[string][]byte{},
		changed: make(chan struct{}),
	}
	var err error
	if s.chain, err = certChain(s.static); err != nil {
		return nil, err
	}
	dsn := fmt.Sprintf(
		"file:fakewa-%s?mode=memory&cache=shared&_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)",
		hex.EncodeToString(randomBytes(6)),
	)
	if s.db, err = sqlstore.New(context.Background(), "sqlite", dsn, nil); err != nil {
		return nil, err
	}
	cert, pool, err := selfSigned()
	if err != nil {
		return nil, err
	}
	s.pool, s.ca = pool, cert.Certificate[0]
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ws/chat", s.serveWS)
	mux.HandleFunc("/", s.serveMedia)
	s.http = &http.Server{Handler: mux}
	go func() {
		_ = s.http.Serve(tls.NewListener(s.ln, &tls.Config{Certificates: []tls.Certificate{cert}}))
	}()
	return s, nil
}

// Close cuts all connections.
func (s *Server) Close() {
	_ = s.http.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.cancel()
	}
	s.mu.Unlock()
	_ = s.db.Close()
}

func (s *Server) notify() { // callers hold s.mu
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait blocks until cond (called with the lock held) is true.
func (s *Server) wait(ctx context.Context, what string, cond func() bool) error {
	for {
		s.mu.Lock()
		ok, ch := cond(), s.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return fmt.Errorf("fakewa: waiting for %s: %w", what, ctx.Err())
		}
	}
}

// WaitStanza waits until a client has sent a node matching f.
func (s *Server) WaitStanza(ctx context.Context, what string, f func(Stanza) bool) (found Stanza, err error) {
	err = s.wait(ctx, what, func() bool {
		for _, st := range s.Stanzas {
			if f(st) {
				found = st
				return true
			}
		}
		return false
	})
	return
}

func (s *Server) user(j types.JID) *User {
	if strings.HasSuffix(j.Server, "lid") || j.Server == types.DefaultUserServer {
		return s.users[j.User]
	}
	return nil
}
