package fakewa

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"

	"github.com/coder/websocket"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/types"
)

type conn struct {
	s      *Server
	t      *transport
	cancel context.CancelFunc
	dev    *Companion // nil until logged in
	reg    *waWa6.ClientPayload_DevicePairingRegistrationData
	active bool
}

func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	ws.SetReadLimit(1 << 24)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	nc := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	defer nc.Close()
	t, err := accept(nc, s.static, s.chain)
	if err != nil {
		s.Logf("handshake failed: %v", err)
		return
	}
	c := &conn{s: s, t: t, cancel: cancel}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		if c.dev != nil && c.dev.conn == c {
			c.dev.conn = nil
		}
		s.notify()
		s.mu.Unlock()
	}()
	c.begin()
	for {
		raw, err := t.read()
		if err != nil {
			return
		}
		unpacked, err := waBinary.Unpack(raw)
		if err != nil {
			s.Logf("unpack: %v", err)
			return
		}
		node, err := waBinary.Unmarshal(unpacked)
		if err != nil {
			s.Logf("unmarshal: %v", err)
			return
		}
		s.Logf("C->S %s", node.String())
		c.handle(node)
	}
}

func (c *conn) send(n waBinary.Node) {
	c.s.Logf("S->C %s", n.String())
	raw, err := waBinary.Marshal(n)
	if err == nil {
		err = c.t.write(raw)
	}
	if err != nil {
		c.s.Logf("write: %v", err)
	}
}

// refuse sends a final node and hangs up a moment later, so that the client's
// asynchronous handler queue sees the node before the close.
func (c *conn) refuse(n waBinary.Node) {
	c.send(n)
	time.AfterFunc(time.Second, c.cancel) // a slow client must have read it before
}

func (s *Server) nextID(prefix string) string {
	s.seq++
	return prefix + strconv.Itoa(s.seq)
}

// begin decides between registration (QR) and login.
func (c *conn) begin() {
	s := c.s
	s.mu.Lock()
	fail := s.failNext
	s.failNext = nil
	s.mu.Unlock()
	if fail != nil {
		c.refuse(*fail)
		return
	}
	if reg := c.t.Payload.GetDevicePairingData(); reg != nil {
		c.register(reg)
		return
	}
	user := strconv.FormatUint(c.t.Payload.GetUsername(), 10)
	s.mu.Lock()
	defer s.mu.Unlock()
	var dev *Companion
	if u := s.users[user]; u != nil {
		dev = u.companions[uint16(c.t.Payload.GetDevice())]
	}
	if dev == nil || dev.noise != c.t.Static {
		c.refuse(waBinary.Node{Tag: "failure", Attrs: waBinary.Attrs{"reason": "401", "location": "fake"}})
		return
	}
	if old := dev.conn; old != nil {
		old.refuse(
			waBinary.Node{
				Tag:     "stream:error",
				Content: []waBinary.Node{{Tag: "conflict", Attrs: waBinary.Attrs{"type": "replaced"}}},
			},
		)
	}
	c.dev, dev.conn = dev, c
	c.send(waBinary.Node{Tag: "success", Attrs: waBinary.Attrs{
		"t": strconv.FormatInt(time.Now().Unix(), 10), "lid": dev.LID(), "location": "fake", "creation": "1700000000",
	}})
	s.notify()
}

// register offers the references that QR codes are made of.
func (c *conn) register(reg *waWa6.ClientPayload_DevicePairingRegistrationData) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.reg = reg
	refs := make([]waBinary.Node, 6)
	for i := range refs {
		ref := "2@" + hex.EncodeToString(randomBytes(16))
		s.refs[ref] = c
		refs[i] = waBinary.Node{Tag: "ref", Content: []byte(ref)}
	}
	c.send(waBinary.Node{Tag: "iq", Attrs: waBinary.Attrs{
		"from": types.ServerJID, "type": "set", "id": s.nextID("pd-"), "xmlns": "md",
	}, Content: []waBinary.Node{{Tag: "pair-device", Content: refs}}})
}

func (c *conn) handle(n *waBinary.Node) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	var from types.JID
	if c.dev != nil {
		from = c.dev.JID()
	}
	s.Stanzas = append(s.Stanzas, Stanza{From: from, Node: *n})
	defer s.notify()
	id, _ := n.Attrs["id"].(string)
	switch n.Tag {
	case "iq":
		c.handleIQ(n)
	case "message":
		if c.dev != nil {
			s.route(c, n)
		}
	case "receipt":
		if c.dev != nil {
			switch t, _ := n.Attrs["type"].(string); t {
			case "read", "played":
				s.receipt(c.dev, n)
			case "retry":
				s.retry(c.dev, n)
			default: // delivery receipts: "", inactive, sender, peer_msg, hist_sync
				c.dev.settle(id)
				s.receipt(c.dev, n)
			}
			c.send(waBinary.Node{Tag: "ack", Attrs: waBinary.Attrs{"class": "receipt", "id": id, "from": n.Attrs["to"]}})
		}
	case "ack":
		if c.dev != nil {
			c.dev.settle(id)
		}
	}
}
