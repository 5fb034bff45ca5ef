// Package console is the owner's own channel: `nanoclaw chat` over the admin socket.
//
// Whoever can open the socket (mode 0600) is the owner; nothing in a request can say
// otherwise. It must never keep messages: what nobody is there to read stays in the outbox.
package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Name is the channel's name in routes.
const Name = "console"

// MaxMessage is the largest message in bytes, with its JSON around it.
const MaxMessage = 512 << 10

// Input is the body of POST /v1/chat/{chat}/messages.
type Input struct {
	ID   string `json:"id"` // made by the client: sending it again changes nothing
	Text string `json:"text"`
	// Files are absolute paths on this machine: who can open the socket is the user who runs the host.
	Files []string `json:"files,omitempty"`
}

// Frame is one NDJSON line of GET /v1/chat/{chat}/events.
type Frame struct {
	Type    string       `json:"type"` // "message", "progress", "partial", "notice", "hello"
	ID      string       `json:"id,omitempty"`
	Kind    host.OutKind `json:"kind,omitempty"`     // message
	Text    string       `json:"text,omitempty"`     // message, partial
	ReplyTo string       `json:"reply_to,omitempty"` // message
	Stage   host.Stage   `json:"stage,omitempty"`    // progress
	Name    string       `json:"name,omitempty"`     // progress: tool
}

// Console implements channel.Channel and serves its clients.
type Console struct {
	received string // directory of the files that agents send

	ready chan struct{}
	begun chan struct{} // closed when deliver is set

	mu      sync.Mutex
	deliver channel.Deliver
	clients map[host.ChatID]map[*client]struct{}
}

type client struct {
	frames chan Frame
	sends  chan send
	gone   chan struct{}
}

type send struct {
	frame Frame
	done  chan error
}

var (
	_ channel.Channel = (*Console)(nil)
	_ channel.Filer   = (*Console)(nil)
)

// New returns a console without clients. Files that agents send go to the directory received.
func New(received string) *Console {
	return &Console{
		received: received, ready: make(chan struct{}, 1), begun: make(chan struct{}),
		clients: make(map[host.ChatID]map[*client]struct{}),
	}
}

// Name implements channel.Channel.
func (c *Console) Name() string { return Name }

// Ready implements channel.Channel: a client has come.
func (c *Console) Ready() <-chan struct{} { return c.ready }

// Run implements channel.Channel.
func (c *Console) Run(ctx context.Context, deliver channel.Deliver) error {
	c.mu.Lock()
	c.deliver = deliver
	close(c.begun)
	c.mu.Unlock()
	<-ctx.Done()
	return nil
}

// Send implements channel.Channel: sent means that one client's connection has taken the bytes.
func (c *Console) Send(ctx context.Context, o host.Outgoing) error {
	f := Frame{Type: "message", ID: string(o.ID), Kind: o.Kind, Text: o.Text, ReplyTo: o.ReplyTo}
	err, clients := error(host.ErrUnavailable), c.of(o.Chat)
	if o.File != nil && len(clients) > 0 {
		text, undo, e := c.save(ctx, o)
		if e != nil {
			return e
		}
		defer func() { undo(err) }()
		f.Text = text
	}
	for _, cl := range clients {
		s := send{frame: f, done: make(chan error, 1)}
		select {
		case cl.sends <- s:
			if e := <-s.done; e == nil {
				err = nil
			}
		case <-cl.gone:
		case <-ctx.Done():
			err = fmt.Errorf("console: %w", host.ErrUnavailable)
			return err
		}
	}
	return err
}

// Show implements channel.Channel.
func (c *Console) Show(chat host.ChatID, e host.Event) {
	f := Frame{Type: "progress", Stage: e.Stage, Name: e.Name}
	if e.Text != "" {
		f = Frame{Type: "partial", Text: e.Text}
	}
	for _, cl := range c.of(chat) {
		select {
		case cl.frames <- f:
		default:
		}
	}
}

// Announce shows a line in every open chat and reports whether there is one.
func (c *Console) Announce(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, chat := range c.clients {
		for cl := range chat {
			select {
			case cl.frames <- Frame{Type: "notice", Kind: host.OutNotice, Text: text}:
			default:
			}
		}
	}
	return len(c.clients) > 0
}

// Open reports whether somebody is in chat.
func (c *Console) Open(chat host.ChatID) bool { return len(c.of(chat)) > 0 }

func (c *Console) of(chat host.ChatID) []*client {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*client
	for cl := range c.clients[chat] {
		out = append(out, cl)
	}
	return out
}

// Register adds the console's paths to the admin server.
func (c *Console) Register(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/chat/{chat}/messages", c.post)
	mux.HandleFunc("GET /v1/chat/{chat}/events", c.events)
}

func (c *Console) post(w http.ResponseWriter, r *http.Request) {
	chat, err := chatOf(r)
	var in Input
	if err == nil {
		if e := wire.Decode(r.Body, MaxMessage, &in); e != nil {
			err = fmt.Errorf("%w: message: %w", host.ErrInvalid, e)
		}
	}
	if err != nil || in.ID == "" || len(in.ID) > 64 {
		http.Error(w, errors.Join(err, errors.New("a message needs an id of 1 to 64 bytes")).Error(), http.StatusBadRequest)
		return
	}
	<-c.begun
	files, err := open(in.Files)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	err = c.deliver(r.Context(), host.Message{
		Channel: Name, Chat: chat, Sender: "owner", SenderName: "owner", ExternalID: in.ID,
		Text: in.Text, Time: time.Now(), Owner: true, Files: files,
	})
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, host.ErrInvalid):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func chatOf(r *http.Request) (host.ChatID, error) {
	name := r.PathValue("chat")
	if name == "" || len(name) > 64 {
		return "", fmt.Errorf("%w: a chat's name has 1 to 64 bytes", host.ErrInvalid)
	}
	for _, c := range name {
		if !unicode.IsPrint(c) || c == unicode.ReplacementChar || c == '*' {
			return "", fmt.Errorf("%w: a chat's name has printable characters only and no *", host.ErrInvalid)
		}
	}
	return host.ChatID(name), nil
}

func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	chat, err := chatOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	cl := &client{frames: make(chan Frame, 256), sends: make(chan send), gone: make(chan struct{})}
	out := &writer{http.NewResponseController(w), w}
	w.Header().Set("Content-Type", "application/x-ndjson")
	c.add(chat, cl) // before the client is told that it is there: what is sent from then on reaches it
	defer c.remove(chat, cl)
	if out.write(Frame{Type: "hello"}) == nil {
		cl.serve(r.Context(), out)
	}
}

// serve writes frames until the client goes. What Show queued before a message goes first.
func (cl *client) serve(ctx context.Context, out *writer) {
	for {
		select {
		case f := <-cl.frames:
			if out.write(f) != nil {
				return
			}
		case s := <-cl.sends:
			err := out.writeAll(cl.frames)
			if err == nil {
				err = out.write(s.frame)
			}
			s.done <- err
			if err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (c *Console) add(chat host.ChatID, cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients[chat] == nil {
		c.clients[chat] = make(map[*client]struct{})
	}
	c.clients[chat][cl] = struct{}{}
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

func (c *Console) remove(chat host.ChatID, cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(cl.gone)
	delete(c.clients[chat], cl)
	if len(c.clients[chat]) == 0 {
		delete(c.clients, chat)
	}
}

type writer struct {
	ctl *http.ResponseController
	w   http.ResponseWriter
}

func (o *writer) write(f Frame) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(f); err != nil {
		return err
	}
	if _, err := o.w.Write(b.Bytes()); err != nil {
		return err
	}
	return o.ctl.Flush()
}

func (o *writer) writeAll(frames <-chan Frame) error {
	for {
		select {
		case f := <-frames:
			if err := o.write(f); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}
