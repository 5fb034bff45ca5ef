package fakewa

import (
	"context"
	"fmt"

	"go.mau.fi/libsignal/ecc"
	"go.mau.fi/libsignal/keys/identity"
	"go.mau.fi/libsignal/keys/prekey"
	"go.mau.fi/libsignal/protocol"
	"go.mau.fi/libsignal/session"
	"go.mau.fi/libsignal/util/optional"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// bundleNode serves a prekey bundle for a simulated or real device. Lock held.
func (s *Server) bundleNode(jid types.JID) waBinary.Node {
	n := waBinary.Node{Tag: "user", Attrs: waBinary.Attrs{"jid": jid}}
	u := s.user(jid)
	fail := func() waBinary.Node {
		n.Content = []waBinary.Node{{Tag: "error", Attrs: waBinary.Attrs{"code": "404", "text": "item-not-found"}}}
		return n
	}
	if u == nil {
		return fail()
	}
	if jid.Device == 0 {
		pk, err := u.dev.PreKeys.GenOnePreKey(context.Background())
		if err != nil {
			return fail()
		}
		sp := u.dev.SignedPreKey
		n.Content = []waBinary.Node{
			{Tag: "registration", Content: uint32be(u.dev.RegistrationID)},
			{Tag: "type", Content: []byte{ecc.DjbType}},
			{Tag: "identity", Content: u.dev.IdentityKey.Pub[:]},
			{
				Tag: "skey",
				Content: []waBinary.Node{
					{Tag: "id", Content: uint24(sp.KeyID)},
					{Tag: "value", Content: sp.Pub[:]},
					{Tag: "signature", Content: sp.Signature[:]},
				},
			},
			{Tag: "key", Content: []waBinary.Node{{Tag: "id", Content: uint24(pk.KeyID)}, {Tag: "value", Content: pk.Pub[:]}}},
		}
		return n
	}
	d := u.companions[jid.Device]
	if d == nil {
		return fail()
	}
	kids := []waBinary.Node{
		{Tag: "registration", Content: d.regID},
		{Tag: "type", Content: []byte{ecc.DjbType}},
		{Tag: "identity", Content: d.identity[:]},
		{
			Tag: "skey",
			Content: []waBinary.Node{
				{Tag: "id", Content: d.skey.id},
				{Tag: "value", Content: d.skey.pub},
				{Tag: "signature", Content: d.skey.sig},
			},
		},
	}
	if len(d.prekeys) > 0 {
		pk := d.prekeys[0]
		d.prekeys = d.prekeys[1:]
		kids = append(
			kids,
			waBinary.Node{Tag: "key", Content: []waBinary.Node{{Tag: "id", Content: pk.id}, {Tag: "value", Content: pk.pub}}},
		)
	}
	n.Content = kids
	return n
}

func u24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// encryptFor encrypts plaintext from u's phone to a companion. Lock held.
func (u *User) encryptFor(d *Companion, plaintext []byte) (waBinary.Node, error) {
	ctx := context.Background()
	addr := d.LID().SignalAddress()
	b := session.NewBuilderFromSignal(u.dev, addr, pb)
	if ok, err := u.dev.ContainsSession(ctx, addr); err != nil {
		return waBinary.Node{}, err
	} else if !ok {
		if len(d.prekeys) == 0 {
			return waBinary.Node{}, fmt.Errorf("no one-time prekeys for %s", d.LID())
		}
		pk := d.prekeys[0]
		d.prekeys = d.prekeys[1:]
		bundle := prekey.NewBundle(
			uint32(d.regID[0])<<24|uint32(d.regID[1])<<16|uint32(d.regID[2])<<8|uint32(d.regID[3]), uint32(d.id),
			optional.NewOptionalUint32(u24(pk.id)), u24(d.skey.id),
			ecc.NewDjbECPublicKey([32]byte(pk.pub)), ecc.NewDjbECPublicKey([32]byte(d.skey.pub)), [64]byte(d.skey.sig),
			identity.NewKey(ecc.NewDjbECPublicKey(d.identity)))
		if err := b.ProcessBundle(ctx, bundle); err != nil {
			return waBinary.Node{}, err
		}
	}
	ct, err := session.NewCipher(b, addr).Encrypt(ctx, pad(plaintext))
	if err != nil {
		return waBinary.Node{}, err
	}
	typ := "msg"
	if ct.Type() == protocol.PREKEY_TYPE {
		typ = "pkmsg"
	}
	return waBinary.Node{Tag: "enc", Attrs: waBinary.Attrs{"v": "2", "type": typ}, Content: ct.Serialize()}, nil
}

// decrypt decrypts one <enc> that a companion sent to u's phone. Lock held.
func (u *User) decrypt(from *Companion, enc *waBinary.Node) ([]byte, error) {
	ctx := context.Background()
	addr := from.LID().SignalAddress()
	b := session.NewBuilderFromSignal(u.dev, addr, pb)
	c := session.NewCipher(b, addr)
	raw := bytesOf(enc)
	var plain []byte
	switch enc.Attrs["type"] {
	case "pkmsg":
		m, err := protocol.NewPreKeySignalMessageFromBytes(raw, pb.PreKeySignalMessage, pb.SignalMessage)
		if err != nil {
			return nil, err
		}
		if m.IdentityKey().PublicKey().PublicKey() != from.identity {
			return nil, fmt.Errorf("identity key does not match the paired device")
		}
		if plain, err = c.DecryptMessage(ctx, m); err != nil {
			return nil, err
		}
	case "msg":
		m, err := protocol.NewSignalMessageFromBytes(raw, pb.SignalMessage)
		if err != nil {
			return nil, err
		}
		if plain, err = c.Decrypt(ctx, m); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unexpected enc type %v", enc.Attrs["type"])
	}
	return unpad(plain)
}

func pad(p []byte) []byte {
	n := 1 + int(randomBytes(1)[0])%15
	out := append([]byte{}, p...)
	for range n {
		out = append(out, byte(n))
	}
	return out
}

func unpad(p []byte) ([]byte, error) {
	if len(p) == 0 || int(p[len(p)-1]) > len(p) {
		return nil, fmt.Errorf("bad padding")
	}
	return p[:len(p)-int(p[len(p)-1])], nil
}
