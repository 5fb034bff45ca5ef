package fakewa

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

var pb = store.SignalProtobufSerializer

// User is one WhatsApp account. Its primary device (the phone, device 0) is
// simulated here with real Signal keys; its companions are real clients.
type User struct {
	s          *Server
	PN, LID    types.JID
	Name       string
	dev        *store.Device // the primary device's key material and sessions
	companions map[uint16]*Companion
	nextDevice uint16
	garble     int // corrupt this many outgoing ciphertexts

	sent     map[string]sentMessage
	retried  map[string]int // how often the phone asked again for a message that it could not decrypt
	Inbox    []Received     // decrypted messages that reached this user's phone
	Receipts []Receipt      // receipts that reached this user's phone
}

type sentMessage struct {
	to   *User
	msg  *waE2E.Message
	mode Addressing
}

// Received is a message that reached a phone.
type Received struct {
	ID         string
	From, Chat types.JID // the sending device's JID and the chat
	Msg        *waE2E.Message
	EncType    string
}

// Receipt is one that reached a phone.
type Receipt struct {
	ID, Type string
	From     types.JID
}

type publicPreKey struct{ id, pub []byte }

// Companion is a linked device: an actual whatsmeow client.
type Companion struct {
	user     *User
	id       uint16
	noise    [32]byte
	identity [32]byte
	regID    []byte
	skey     struct{ id, pub, sig []byte }
	prekeys  []publicPreKey
	conn     *conn
	pending  []waBinary.Node // stanzas not yet acknowledged by the client
}

// JID is the device by its phone number.
func (d *Companion) JID() types.JID { j := d.user.PN; j.Device = d.id; return j }

// LID is the device by its hidden number.
func (d *Companion) LID() types.JID { j := d.user.LID; j.Device = d.id; return j }

func (d *Companion) setSignedPreKey(n *waBinary.Node) {
	d.skey.id, d.skey.pub, d.skey.sig = bytesOf(
		child(n, "id"),
	), bytesOf(
		child(n, "value"),
	), bytesOf(
		child(n, "signature"),
	)
}

// deliver queues a stanza until the client acknowledges it. Lock held.
func (d *Companion) deliver(n waBinary.Node) {
	d.pending = append(d.pending, n)
	if d.conn != nil && d.conn.active {
		d.conn.send(n)
	}
}

func (d *Companion) settle(id string) {
	for i, n := range d.pending {
		if n.Attrs["id"] == id {
			d.pending = append(d.pending[:i:i], d.pending[i+1:]...)
			return
		}
	}
}

// Pending reports how many stanzas the client has not yet acknowledged.
func (d *Companion) Pending() int {
	d.user.s.mu.Lock()
	defer d.user.s.mu.Unlock()
	return len(d.pending)
}

// NewUser creates an account whose phone is simulated.
func (s *Server) NewUser(phone, name string) *User {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &User{
		s: s, Name: name, PN: types.NewJID(phone, types.DefaultUserServer),
		LID:        types.NewJID("1000"+phone, types.HiddenUserServer),
		companions: map[uint16]*Companion{}, nextDevice: 1, dev: s.db.NewDevice(), sent: map[string]sentMessage{},
		retried: map[string]int{},
	}
	id := u.PN
	u.dev.ID, u.dev.LID, u.dev.PushName = &id, u.LID, name
	sig := make([]byte, 64)
	u.dev.Account = &waAdv.ADVSignedDeviceIdentity{
		Details:             []byte{},
		AccountSignature:    sig,
		AccountSignatureKey: u.dev.IdentityKey.Pub[:],
		DeviceSignature:     sig,
	}
	if err := u.dev.Save(context.Background()); err != nil {
		panic(err)
	}
	s.users[phone], s.users[u.LID.User] = u, u
	return u
}

// Addressing selects which identity a sender's stanza carries.
type Addressing int

// Ways to address.
const (
	AsLID     Addressing = iota // from=lid, sender_pn=pn (what WhatsApp sends today)
	AsPN                        // from=pn, sender_lid=lid (older chats)
	AsPNOnly                    // from=pn with no LID hint at all
	AsLIDOnly                   // from=lid with no hint of the number
)

// Send delivers msg from u's phone to every companion of `to`.
func (u *User) Send(to *User, msg *waE2E.Message, how ...Addressing) (string, error) {
	mode := AsLID
	if len(how) > 0 {
		mode = how[0]
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	id := "3A" + strings.ToUpper(hex.EncodeToString(randomBytes(9)))
	return id, u.sendAs(to, id, msg, mode)
}

// Resend delivers msg again under an existing id (a sender-side retry).
func (u *User) Resend(to *User, id string, msg *waE2E.Message) error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	return u.sendAs(to, id, msg, AsLID)
}

func (u *User) sendAs(to *User, id string, msg *waE2E.Message, mode Addressing) error {
	u.sent[id] = sentMessage{to, msg, mode}
	raw, err := proto.Marshal(msg)
	if err != nil {
		return err
	}
	for _, d := range to.companions {
		enc, err := u.encryptFor(d, raw)
		if err != nil {
			return err
		}
		if u.garble > 0 {
			u.garble--
			enc.Content = randomBytes(80)
		}
		attrs := waBinary.Attrs{"id": id, "t": now(), "notify": u.Name, "type": msgType(msg)}
		switch mode {
		case AsLID:
			attrs["from"], attrs["sender_pn"], attrs["addressing_mode"] = u.LID, u.PN, "lid"
		case AsPN:
			attrs["from"], attrs["sender_lid"], attrs["addressing_mode"] = u.PN, u.LID, "pn"
		case AsPNOnly:
			attrs["from"] = u.PN
		case AsLIDOnly:
			attrs["from"], attrs["addressing_mode"] = u.LID, "lid"
		}
		if u == to { // the owner's own phone: peer/self message
			attrs["recipient"] = u.LID
		}
		d.deliver(waBinary.Node{Tag: "message", Attrs: attrs, Content: []waBinary.Node{enc}})
	}
	return nil
}

// SendPeer delivers a protocol message from the owner's phone to a companion
// (history sync notifications, app state keys).
func (u *User) SendPeer(d *Companion, msg *waE2E.Message) error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	return u.sendSelf(d, msg, waBinary.Attrs{"category": "peer"})
}

// greet is the first thing that a phone tells a device that it has linked, so that the two have a session
// before anybody writes to himself. It is no peer message as a phone's is: whatsmeow answers those on a
// goroutine of its own, and has a data race there when the device is unlinked meanwhile. Lock held.
func (u *User) greet(d *Companion) {
	err := u.sendSelf(d, &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_INITIAL_SECURITY_NOTIFICATION_SETTING_SYNC.Enum(),
	}}, nil)
	if err != nil {
		u.s.Logf("greeting: %v", err)
	}
}

// sendSelf is what a phone says to a device of its own. Lock held.
func (u *User) sendSelf(d *Companion, msg *waE2E.Message, more waBinary.Attrs) error {
	raw, err := proto.Marshal(msg)
	if err != nil {
		return err
	}
	enc, err := u.encryptFor(d, raw)
	if err != nil {
		return err
	}
	attrs := waBinary.Attrs{
		"id": "3A" + strings.ToUpper(hex.EncodeToString(randomBytes(9))), "t": now(), "from": u.PN, "type": "text",
	}
	maps.Copy(attrs, more)
	d.deliver(waBinary.Node{Tag: "message", Attrs: attrs, Content: []waBinary.Node{enc}})
	return nil
}

func msgType(m *waE2E.Message) string {
	switch {
	case m.ReactionMessage != nil:
		return "reaction"
	case m.ImageMessage != nil, m.AudioMessage != nil, m.DocumentMessage != nil, m.VideoMessage != nil:
		return "media"
	}
	return "text"
}

// SendReceipt tells to's companions that u has received/read messages.
func (u *User) SendReceipt(to *User, id, typ string) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	for _, d := range to.companions {
		a := waBinary.Attrs{"id": id, "from": u.LID, "t": now()}
		if typ != "" {
			a["type"] = typ
		}
		d.deliver(waBinary.Node{Tag: "receipt", Attrs: a})
	}
}

// SetTyping sends a chat state to to's online companions.
func (u *User) SetTyping(to *User, composing bool) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	state := "paused"
	if composing {
		state = "composing"
	}
	for _, d := range to.companions {
		if d.conn != nil {
			d.conn.send(
				waBinary.Node{Tag: "chatstate", Attrs: waBinary.Attrs{"from": u.LID}, Content: []waBinary.Node{{Tag: state}}},
			)
		}
	}
}

// WaitMessage waits for the nth (from 0) message in u's inbox.
func (u *User) WaitMessage(ctx context.Context, n int) (r Received, err error) {
	err = u.s.wait(ctx, fmt.Sprintf("message %d for %s", n, u.Name), func() bool {
		if len(u.Inbox) > n {
			r = u.Inbox[n]
			return true
		}
		return false
	})
	return
}

// SendOwn is u writing to somebody else on the own phone: u's linked devices get a copy.
func (u *User) SendOwn(to types.JID, msg *waE2E.Message) (string, error) {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	id := "3A" + strings.ToUpper(hex.EncodeToString(randomBytes(9)))
	raw, err := proto.Marshal(&waE2E.Message{DeviceSentMessage: &waE2E.DeviceSentMessage{
		DestinationJID: proto.String(to.String()), Message: msg,
	}})
	if err != nil {
		return "", err
	}
	for _, d := range u.companions {
		enc, err := u.encryptFor(d, raw)
		if err != nil {
			return "", err
		}
		d.deliver(waBinary.Node{Tag: "message", Attrs: waBinary.Attrs{
			"id": id, "t": now(), "notify": u.Name, "type": msgType(msg),
			"from": u.LID, "recipient": to, "addressing_mode": "lid",
		}, Content: []waBinary.Node{enc}})
	}
	return id, nil
}

// Received are the messages that reached u's phone so far.
func (u *User) Received() []Received {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	return append([]Received{}, u.Inbox...)
}

// WaitRead waits until somebody has said that message id of u was read.
func (u *User) WaitRead(ctx context.Context, id string) error {
	return u.s.wait(ctx, "read receipt of "+id, func() bool {
		return slices.ContainsFunc(u.Receipts, func(r Receipt) bool { return r.ID == id && r.Type == "read" })
	})
}

// WaitLinked waits until a device of u is logged in and takes messages.
func (u *User) WaitLinked(ctx context.Context) (d *Companion, err error) {
	err = u.s.wait(ctx, "a linked device of "+u.Name, func() bool {
		for _, d = range u.companions {
			if d.conn != nil && d.conn.active && len(d.prekeys) > 0 {
				return true
			}
		}
		return false
	})
	return d, err
}

// WaitUnlinked waits until u has no linked device any more.
func (u *User) WaitUnlinked(ctx context.Context) error {
	return u.s.wait(ctx, "unlinking of "+u.Name, func() bool { return len(u.companions) == 0 })
}

// WaitAcknowledged waits until d has acknowledged all that was sent to it.
func (d *Companion) WaitAcknowledged(ctx context.Context) error {
	return d.user.s.wait(ctx, "acknowledgements", func() bool { return len(d.pending) == 0 })
}
