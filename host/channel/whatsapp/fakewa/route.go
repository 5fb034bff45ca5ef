package fakewa

import (
	"context"
	"slices"
	"strconv"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// route handles a <message> a companion sent. Lock held.
func (s *Server) route(c *conn, n *waBinary.Node) {
	id, _ := n.Attrs["id"].(string)
	to, _ := n.Attrs["to"].(types.JID)
	ack := waBinary.Attrs{"class": "message", "id": id, "from": to, "t": now()}
	if parts := child(n, "participants"); parts != nil {
		done := map[types.JID]bool{} // whatsmeow names the account twice in its chat with itself
		for _, p := range parts.GetChildren() {
			jid, _ := p.Attrs["jid"].(types.JID)
			enc := child(&p, "enc")
			u := s.user(jid)
			if u == nil || enc == nil || done[jid] {
				continue
			}
			done[jid] = true
			if jid.Device != 0 { // another real client: forward the ciphertext
				if d := u.companions[jid.Device]; d != nil {
					a := waBinary.Attrs{
						"id": id, "t": now(), "type": n.Attrs["type"], "notify": c.dev.user.Name,
						"from": c.dev.LID(), "sender_pn": c.dev.JID(), "addressing_mode": "lid",
					}
					if u == c.dev.user {
						a["recipient"] = to
					}
					d.deliver(waBinary.Node{Tag: "message", Attrs: a, Content: []waBinary.Node{*enc}})
				}
				continue
			}
			msg := u.open(c.dev, id, to, enc)
			if msg == nil {
				continue
			}
			if to.Server == types.GroupServer {
				u.processSKDM(c.dev, to, msg)
				continue // the content follows as skmsg
			}
			u.Inbox = append(
				u.Inbox,
				Received{ID: id, From: c.dev.LID(), Chat: to, Msg: msg, EncType: enc.Attrs["type"].(string)},
			)
		}
	} else if enc, u := child(n, "enc"), s.user(to); enc != nil && u != nil && to.Device == 0 {
		// Addressed to one device: a retry, or a peer message to the own phone.
		if msg := u.open(c.dev, id, to, enc); msg != nil {
			typ, _ := enc.Attrs["type"].(string)
			u.Inbox = append(u.Inbox, Received{ID: id, From: c.dev.LID(), Chat: to, Msg: msg, EncType: typ})
		}
	}
	if g := s.groups[to]; g != nil {
		g.receive(c.dev, id, child(n, "enc"))
	}
	if s.dropAcks > 0 { // the message went through, but the sender never hears so
		s.dropAcks--
		c.cancel()
		return
	}
	c.send(waBinary.Node{Tag: "ack", Attrs: ack})
}

// open decrypts a message, or asks for it again, unless it is one that came before: nil.
func (u *User) open(d *Companion, id string, to types.JID, enc *waBinary.Node) *waE2E.Message {
	raw, err := u.decrypt(d, enc)
	msg := &waE2E.Message{}
	if err == nil {
		if err = proto.Unmarshal(raw, msg); err == nil {
			return msg
		}
		u.s.Logf("%s got a bad protobuf in %s: %v", u.Name, id, err)
		return nil
	}
	u.s.Logf("%s could not decrypt %s: %v", u.Name, id, err)
	known := slices.ContainsFunc(u.Inbox, func(r Received) bool { return r.ID == id }) // the same ciphertext again
	if !known && u.retried[id] < maxRetries && to.Server != types.GroupServer {
		u.retried[id]++
		u.requestRetry(d, id, u.retried[id])
	}
	return nil
}

func (s *Server) receipt(d *Companion, n *waBinary.Node) {
	to, _ := n.Attrs["to"].(types.JID)
	u := s.user(to)
	if u == nil {
		return
	}
	typ, _ := n.Attrs["type"].(string)
	ids := []string{n.Attrs["id"].(string)}
	if l := child(n, "list"); l != nil {
		for _, it := range l.GetChildren() {
			if id, ok := it.Attrs["id"].(string); ok {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		u.Receipts = append(u.Receipts, Receipt{ID: id, Type: typ, From: d.LID()})
	}
}

// GarbleNext makes u's next n ciphertexts undecryptable.
func (u *User) GarbleNext(n int) {
	u.s.mu.Lock()
	u.garble = n
	u.s.mu.Unlock()
}

// retry re-encrypts a message that a client could not decrypt. Lock held.
func (s *Server) retry(d *Companion, n *waBinary.Node) {
	to, _ := n.Attrs["to"].(types.JID)
	id, _ := n.Attrs["id"].(string)
	u := s.user(to)
	if u == nil || u.sent[id].msg == nil {
		return
	}
	if k := child(n, "keys"); k != nil { // the client sent a fresh bundle: start over
		_ = u.dev.Sessions.DeleteSession(context.Background(), d.LID().SignalAddress().String())
		d.setSignedPreKey(child(k, "skey"))
		pk := child(k, "key")
		d.prekeys = append([]publicPreKey{{bytesOf(child(pk, "id")), bytesOf(child(pk, "value"))}}, d.prekeys...)
	}
	d.settle(id)
	if err := u.sendAs(u.sent[id].to, id, u.sent[id].msg, u.sent[id].mode); err != nil {
		s.Logf("retry: %v", err)
	}
}

// RequestRetry is u's phone saying it could not decrypt message id.
func (u *User) RequestRetry(to *User, id string) error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	for _, d := range to.companions {
		u.requestRetry(d, id, 1)
	}
	return nil
}

// maxRetries is how often a phone asks for one message: a second one may be asked for meanwhile, and each time the
// session begins anew.
const maxRetries = 5

func (u *User) requestRetry(d *Companion, id string, count int) {
	_ = u.dev.Sessions.DeleteSession(context.Background(), d.LID().SignalAddress().String())
	bundle := u.s.bundleNode(u.LID)
	kids := bundle.GetChildren()
	d.deliver(
		waBinary.Node{
			Tag:   "receipt",
			Attrs: waBinary.Attrs{"id": id, "from": u.LID, "type": "retry", "t": now()},
			Content: []waBinary.Node{
				{Tag: "retry", Attrs: waBinary.Attrs{"count": strconv.Itoa(count), "id": id, "t": now(), "v": "1"}},
				kids[0],
				{Tag: "keys", Content: kids[1:]},
			},
		},
	)
}
