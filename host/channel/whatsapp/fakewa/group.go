package fakewa

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"go.mau.fi/libsignal/groups"
	"go.mau.fi/libsignal/protocol"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/types"
	"google.golang.org/protobuf/proto"
)

// Group is a group and its members; the first made it.
type Group struct {
	s       *Server
	JID     types.JID
	Subject string
	Members []*User
}

// NewGroup makes a group.
func (s *Server) NewGroup(subject string, members ...*User) *Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &Group{
		s:       s,
		JID:     types.NewJID("1203630"+strconv.Itoa(1000000+len(s.groups)), types.GroupServer),
		Subject: subject,
		Members: members,
	}
	s.groups[g.JID] = g
	return g
}

func (g *Group) has(u *User) bool {
	for _, m := range g.Members {
		if m == u {
			return true
		}
	}
	return false
}

func (g *Group) node() waBinary.Node {
	var kids []waBinary.Node
	for i, m := range g.Members {
		a := waBinary.Attrs{"jid": m.LID, "phone_number": m.PN}
		if i == 0 {
			a["type"] = "superadmin"
		}
		kids = append(kids, waBinary.Node{Tag: "participant", Attrs: a})
	}
	return waBinary.Node{Tag: "group", Attrs: waBinary.Attrs{
		"id": g.JID.User, "subject": g.Subject, "creation": "1700000000", "s_t": "1700000000",
		"creator": g.Members[0].LID, "creator_pn": g.Members[0].PN, "addressing_mode": "lid", "size": len(g.Members),
	}, Content: kids}
}

// Send posts a message to the group from u's phone, using sender keys.
func (g *Group) Send(u *User, msg *waE2E.Message) (string, error) {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	ctx := context.Background()
	id := "3A" + strings.ToUpper(hex.EncodeToString(randomBytes(9)))
	name := protocol.NewSenderKeyName(g.JID.String(), u.LID.SignalAddress())
	b := groups.NewGroupSessionBuilder(u.dev, pb)
	skdm, err := b.Create(ctx, name)
	if err != nil {
		return "", err
	}
	dist, err := proto.Marshal(&waE2E.Message{SenderKeyDistributionMessage: &waE2E.SenderKeyDistributionMessage{
		GroupID: proto.String(g.JID.String()), AxolotlSenderKeyDistributionMessage: skdm.Serialize(),
	}})
	if err != nil {
		return "", err
	}
	raw, err := proto.Marshal(msg)
	if err != nil {
		return "", err
	}
	ct, err := groups.NewGroupCipher(b, name, u.dev).Encrypt(ctx, pad(raw))
	if err != nil {
		return "", err
	}
	sk := waBinary.Node{Tag: "enc", Attrs: waBinary.Attrs{"v": "2", "type": "skmsg"}, Content: ct.SignedSerialize()}
	for _, m := range g.Members {
		for _, d := range m.companions {
			enc, err := u.encryptFor(d, dist)
			if err != nil {
				return "", err
			}
			d.deliver(
				waBinary.Node{Tag: "message", Attrs: waBinary.Attrs{
					"id": id, "t": now(), "notify": u.Name, "type": msgType(msg),
					"from": g.JID, "participant": u.LID, "participant_pn": u.PN, "addressing_mode": "lid",
				}, Content: []waBinary.Node{enc, sk}},
			)
		}
	}
	return id, nil
}

func (u *User) processSKDM(from *Companion, group types.JID, msg *waE2E.Message) {
	sk := msg.GetSenderKeyDistributionMessage()
	if sk == nil {
		return
	}
	d, err := protocol.NewSenderKeyDistributionMessageFromBytes(
		sk.AxolotlSenderKeyDistributionMessage,
		pb.SenderKeyDistributionMessage,
	)
	if err == nil {
		err = groups.NewGroupSessionBuilder(u.dev, pb).
			Process(context.Background(), protocol.NewSenderKeyName(group.String(), from.LID().SignalAddress()), d)
	}
	if err != nil {
		u.s.Logf("SKDM: %v", err)
	}
}

func (g *Group) receive(from *Companion, id string, enc *waBinary.Node) {
	for _, m := range g.Members {
		m0, err := protocol.NewSenderKeyMessageFromBytes(bytesOf(enc), pb.SenderKeyMessage)
		if err != nil {
			g.s.Logf("skmsg: %v", err)
			return
		}
		name := protocol.NewSenderKeyName(g.JID.String(), from.LID().SignalAddress())
		plain, err := groups.NewGroupCipher(groups.NewGroupSessionBuilder(m.dev, pb), name, m.dev).
			Decrypt(context.Background(), m0)
		if err == nil {
			plain, err = unpad(plain)
		}
		msg := &waE2E.Message{}
		if err == nil {
			err = proto.Unmarshal(plain, msg)
		}
		if err != nil {
			g.s.Logf("%s could not decrypt group message: %v", m.Name, err)
			continue
		}
		m.Inbox = append(m.Inbox, Received{ID: id, From: from.LID(), Chat: g.JID, Msg: msg, EncType: "skmsg"})
	}
}
