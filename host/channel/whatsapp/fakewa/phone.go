package fakewa

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/proto/waAdv"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"go.mau.fi/whatsmeow/proto/waHistorySync"
	"go.mau.fi/whatsmeow/types"
	"go.mau.fi/whatsmeow/util/hkdfutil"
	"go.mau.fi/whatsmeow/util/keys"
	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/pbkdf2"
	"google.golang.org/protobuf/proto"
)

// ScanQR is the phone scanning the code a client displays.
func (u *User) ScanQR(code string) (*Companion, error) {
	_, data, ok := strings.Cut(code, "#") // newer codes are URLs
	if !ok {
		data = code
	}
	parts := strings.Split(data, ",")
	if len(parts) < 4 {
		return nil, fmt.Errorf("malformed QR code %q", code)
	}
	noise, err1 := base64.StdEncoding.DecodeString(parts[1])
	ident, err2 := base64.StdEncoding.DecodeString(parts[2])
	adv, err3 := base64.StdEncoding.DecodeString(parts[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	c := u.s.refs[parts[0]]
	if c == nil {
		return nil, errors.New("unknown or expired QR ref")
	}
	if !bytes.Equal(noise, c.t.Static[:]) {
		return nil, errors.New("QR noise key is not the connection's")
	}
	if !bytes.Equal(ident, c.reg.GetEIdent()) {
		return nil, errors.New("QR identity key is not the registered one")
	}
	return u.link(c, adv)
}

// link signs the companion's identity and sends pair-success. Lock held.
func (u *User) link(c *conn, advSecret []byte) (*Companion, error) {
	d := &Companion{
		user:     u,
		id:       u.nextDevice,
		noise:    c.t.Static,
		identity: [32]byte(c.reg.GetEIdent()),
		regID:    c.reg.GetERegid(),
	}
	d.skey.id, d.skey.pub, d.skey.sig = c.reg.GetESkeyID(), c.reg.GetESkeyVal(), c.reg.GetESkeySig()
	if !verify(d.identity, append([]byte{5}, d.skey.pub...), d.skey.sig) {
		return nil, errors.New("signed prekey signature is invalid")
	}
	u.nextDevice++
	details, _ := proto.Marshal(&waAdv.ADVDeviceIdentity{
		RawID: proto.Uint32(1), Timestamp: proto.Uint64(uint64(time.Now().Unix())), KeyIndex: proto.Uint32(uint32(d.id)),
		AccountType: waAdv.ADVEncryptionType_E2EE.Enum(), DeviceType: waAdv.ADVEncryptionType_E2EE.Enum(),
	})
	acct := u.dev.IdentityKey
	signed, _ := proto.Marshal(&waAdv.ADVSignedDeviceIdentity{
		Details: details, AccountSignatureKey: acct.Pub[:],
		AccountSignature: sign(acct, concat([]byte{6, 0}, details, d.identity[:])),
	})
	mac := hmac.New(sha256.New, advSecret)
	mac.Write(signed)
	container, _ := proto.Marshal(&waAdv.ADVSignedDeviceIdentityHMAC{Details: signed, HMAC: mac.Sum(nil)})
	c.dev = d
	c.send(
		waBinary.Node{
			Tag:   "iq",
			Attrs: waBinary.Attrs{"from": types.ServerJID, "type": "set", "id": u.s.nextID("ps-"), "xmlns": "md", "t": now()},
			Content: []waBinary.Node{{Tag: "pair-success", Content: []waBinary.Node{
				{Tag: "device-identity", Content: container},
				{Tag: "device", Attrs: waBinary.Attrs{"jid": d.JID(), "lid": d.LID()}},
				{Tag: "platform", Attrs: waBinary.Attrs{"name": "android"}},
			}}},
		},
	)
	return d, nil
}

func concat(bs ...[]byte) []byte { return bytes.Join(bs, nil) }

// finishPairing checks the device's own signature and asks for a reconnect. Lock held.
func (s *Server) finishPairing(c *conn, n *waBinary.Node) {
	d := c.dev
	if d == nil {
		return
	}
	var id waAdv.ADVSignedDeviceIdentity
	if err := proto.Unmarshal(bytesOf(child(n, "device-identity")), &id); err != nil {
		s.Logf("pair-device-sign: %v", err)
		return
	}
	if !verify(
		d.identity,
		concat([]byte{6, 1}, id.Details, d.identity[:], d.user.dev.IdentityKey.Pub[:]),
		id.DeviceSignature,
	) {
		s.Logf("pair-device-sign: bad device signature")
		c.send(waBinary.Node{Tag: "failure", Attrs: waBinary.Attrs{"reason": "401"}})
		c.cancel()
		return
	}
	d.user.companions[d.id] = d
	c.dev = nil
	c.send(waBinary.Node{Tag: "stream:error", Attrs: waBinary.Attrs{"code": "515"}})
}

// WaitLinked waits until the companion is logged in and active.
func (d *Companion) WaitLinked(ctx context.Context) error {
	return d.user.s.wait(
		ctx,
		"login of "+d.JID().String(),
		func() bool { return d.conn != nil && d.conn.active && len(d.prekeys) > 0 },
	)
}

// Unlink is the phone removing the linked device.
func (d *Companion) Unlink() {
	d.user.s.mu.Lock()
	delete(d.user.companions, d.id)
	d.user.s.mu.Unlock()
	d.user.s.StreamError(d, "401", waBinary.Node{Tag: "conflict", Attrs: waBinary.Attrs{"type": "device_removed"}})
}

type pairCode struct {
	c         *conn
	companion []byte // wrapped ephemeral key
	ref       []byte
	user      *User
	eph       *keys.KeyPair
	shared    []byte
}

func (s *Server) handleLinkCode(c *conn, n, reg *waBinary.Node) {
	jid, _ := reg.Attrs["jid"].(types.JID)
	u := s.user(jid)
	if u == nil {
		c.replyError(n, 404, "item-not-found")
		return
	}
	switch reg.Attrs["stage"] {
	case "companion_hello":
		p := &pairCode{
			c:         c,
			user:      u,
			ref:       randomBytes(16),
			companion: bytesOf(child(reg, "link_code_pairing_wrapped_companion_ephemeral_pub")),
		}
		s.codes[u.PN.User] = p
		c.reply(
			n,
			waBinary.Node{
				Tag:     "link_code_companion_reg",
				Content: []waBinary.Node{{Tag: "link_code_pairing_ref", Content: p.ref}},
			},
		)
	case "companion_finish":
		c.reply(n)
		p := s.codes[u.PN.User]
		adv, err := p.finish(bytesOf(child(reg, "link_code_pairing_wrapped_key_bundle")))
		if err == nil {
			_, err = u.link(c, adv)
		}
		if err != nil {
			s.Logf("code pairing: %v", err)
		}
		delete(s.codes, u.PN.User)
	}
}

func linkKey(code string, salt []byte) cipher.Block {
	b, _ := aes.NewCipher(pbkdf2.Key([]byte(code), salt, 2<<16, 32, sha256.New))
	return b
}

// EnterCode is the owner typing the 8-character code on the phone.
func (u *User) EnterCode(code string) error {
	code = strings.ReplaceAll(code, "-", "")
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	p := u.s.codes[u.PN.User]
	if p == nil || len(p.companion) != 80 {
		return errors.New("no pairing in progress")
	}
	pub := make([]byte, 32)
	cipher.NewCTR(linkKey(code, p.companion[:32]), p.companion[32:48]).XORKeyStream(pub, p.companion[48:])
	p.eph = keys.NewKeyPair()
	var err error
	if p.shared, err = curve25519.X25519(p.eph.Priv[:], pub); err != nil {
		return err
	}
	salt, iv, enc := randomBytes(32), randomBytes(16), make([]byte, 32)
	cipher.NewCTR(linkKey(code, salt), iv).XORKeyStream(enc, p.eph.Pub[:])
	p.c.send(
		waBinary.Node{
			Tag: "notification",
			Attrs: waBinary.Attrs{
				"from": types.ServerJID,
				"type": "link_code_companion_reg",
				"id":   u.s.nextID("lc-"),
				"t":    now(),
			},
			Content: []waBinary.Node{
				{Tag: "link_code_companion_reg", Attrs: waBinary.Attrs{"stage": "primary_hello"}, Content: []waBinary.Node{
					{Tag: "link_code_pairing_wrapped_primary_ephemeral_pub", Content: concat(salt, iv, enc)},
					{Tag: "primary_identity_pub", Content: u.dev.IdentityKey.Pub[:]},
					{Tag: "link_code_pairing_ref", Content: p.ref},
				}},
			},
		},
	)
	return nil
}

func (p *pairCode) finish(bundle []byte) (advSecret []byte, err error) {
	if len(bundle) < 44 || p.shared == nil {
		return nil, errors.New("short key bundle")
	}
	key := hkdfutil.SHA256(p.shared, bundle[:32], []byte("link_code_pairing_key_bundle_encryption_key"), 32)
	plain, err := gcm(key).Open(nil, bundle[32:44], bundle[44:], nil)
	if err != nil {
		return nil, fmt.Errorf("key bundle (wrong code?): %w", err)
	}
	companionID, advRandom := plain[:32], plain[64:96]
	idShared, err := curve25519.X25519(p.user.dev.IdentityKey.Priv[:], companionID)
	if err != nil {
		return nil, err
	}
	return hkdfutil.SHA256(concat(p.shared, idShared, advRandom), nil, []byte("adv_secret"), 32), nil
}

// SendHistory delivers a history sync inline, as the phone does after linking.
func (u *User) SendHistory(d *Companion, h *waHistorySync.HistorySync) error {
	raw, err := proto.Marshal(h)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	_, _ = w.Write(raw)
	_ = w.Close()
	return u.SendPeer(d, &waE2E.Message{ProtocolMessage: &waE2E.ProtocolMessage{
		Type: waE2E.ProtocolMessage_HISTORY_SYNC_NOTIFICATION.Enum(),
		HistorySyncNotification: &waE2E.HistorySyncNotification{
			SyncType:                          waE2E.HistorySyncType(h.GetSyncType()).Enum(),
			InitialHistBootstrapInlinePayload: buf.Bytes(),
		},
	}})
}
