package fakewa

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"go.mau.fi/libsignal/ecc"
	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waCert"
	"go.mau.fi/whatsmeow/proto/waWa6"
	"go.mau.fi/whatsmeow/util/keys"
	"google.golang.org/protobuf/proto"
)

// root signs the certificates of every server of this process. whatsmeow checks them against its
// package variable WACertPubKey, which a test sets to RootKey(): nothing here does.
var root = keys.NewKeyPair()

// RootKey is what a client must trust instead of WhatsApp's own key.
func RootKey() [32]byte { return *root.Pub }

func sign(kp *keys.KeyPair, msg []byte) []byte {
	sig := ecc.CalculateSignature(ecc.NewDjbECPrivateKey(*kp.Priv), msg)
	return sig[:]
}

func verify(pub [32]byte, msg, sig []byte) bool {
	return len(sig) == 64 && ecc.VerifySignature(ecc.NewDjbECPublicKey(pub), msg, [64]byte(sig))
}

// certChain issues root -> intermediate -> leaf for the server's static key.
func certChain(static *keys.KeyPair) ([]byte, error) {
	inter := keys.NewKeyPair()
	now := time.Now()
	details := func(serial, issuer uint32, key []byte) []byte {
		b, _ := proto.Marshal(&waCert.CertChain_NoiseCertificate_Details{
			Serial: &serial, IssuerSerial: &issuer, Key: key,
			NotBefore: proto.Uint64(uint64(now.Add(-time.Hour).Unix())),
			NotAfter:  proto.Uint64(uint64(now.Add(24 * time.Hour).Unix())),
		})
		return b
	}
	interRaw := details(1, whatsmeow.WACertIssuerSerial, inter.Pub[:])
	leafRaw := details(2, 1, static.Pub[:])
	return proto.Marshal(&waCert.CertChain{
		Intermediate: &waCert.CertChain_NoiseCertificate{Details: interRaw, Signature: sign(root, interRaw)},
		Leaf:         &waCert.CertChain_NoiseCertificate{Details: leafRaw, Signature: sign(inter, leafRaw)},
	})
}

// symmetric is the Noise symmetric state, written from the responder's side
// (independently of whatsmeow's initiator).
type symmetric struct {
	hash, salt []byte
	aead       cipher.AEAD
	n          uint32
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return a
}

func nonce(n uint32) []byte {
	iv := make([]byte, 12)
	binary.BigEndian.PutUint32(iv[8:], n)
	return iv
}

func newSymmetric(header []byte) *symmetric {
	h := []byte("Noise_XX_25519_AESGCM_SHA256\x00\x00\x00\x00")
	s := &symmetric{hash: h, salt: h, aead: gcm(h)}
	s.mixHash(header)
	return s
}

func (s *symmetric) mixHash(b []byte) {
	sum := sha256.Sum256(append(append([]byte{}, s.hash...), b...))
	s.hash = sum[:]
}

func (s *symmetric) expand(ikm []byte) (a, b []byte) {
	out, err := hkdf.Key(sha256.New, ikm, s.salt, "", 64)
	if err != nil {
		panic(err)
	}
	return out[:32], out[32:]
}

func (s *symmetric) mixDH(priv *[32]byte, pub []byte) error {
	k, err := ecdh.X25519().NewPrivateKey(priv[:])
	if err != nil {
		return err
	}
	p, err := ecdh.X25519().NewPublicKey(pub)
	if err != nil {
		return err
	}
	secret, err := k.ECDH(p)
	if err != nil {
		return err
	}
	salt, key := s.expand(secret)
	s.salt, s.aead, s.n = salt, gcm(key), 0
	return nil
}

func (s *symmetric) seal(p []byte) []byte {
	c := s.aead.Seal(nil, nonce(s.n), p, s.hash)
	s.n++
	s.mixHash(c)
	return c
}

func (s *symmetric) open(c []byte) ([]byte, error) {
	p, err := s.aead.Open(nil, nonce(s.n), c, s.hash)
	if err != nil {
		return nil, err
	}
	s.n++
	s.mixHash(c)
	return p, nil
}

// transport carries length-prefixed Noise frames over a byte stream.
type transport struct {
	rw      io.ReadWriter
	wmu     sync.Mutex
	rd, wr  cipher.AEAD
	rn, wn  uint32
	Payload *waWa6.ClientPayload
	Static  [32]byte // the client's Noise static key
}

func readFrame(r io.Reader) ([]byte, error) {
	var l [3]byte
	if _, err := io.ReadFull(r, l[:]); err != nil {
		return nil, err
	}
	b := make([]byte, int(l[0])<<16|int(l[1])<<8|int(l[2]))
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeFrame(w io.Writer, b []byte) error {
	if len(b) >= 1<<24 {
		return errors.New("frame too large")
	}
	_, err := w.Write(append([]byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...))
	return err
}

// accept runs the responder side of Noise_XX_25519_AESGCM_SHA256.
func accept(rw io.ReadWriter, static *keys.KeyPair, chain []byte) (*transport, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(rw, header); err != nil {
		return nil, err
	}
	if header[0] != 'W' || header[1] != 'A' || header[2] != 6 {
		return nil, fmt.Errorf("bad connection header % x", header)
	}
	var hello, finish waWa6.HandshakeMessage
	raw, err := readFrame(rw)
	if err != nil {
		return nil, err
	} else if err = proto.Unmarshal(raw, &hello); err != nil {
		return nil, err
	}
	ce := hello.GetClientHello().GetEphemeral()
	s := newSymmetric(header)
	s.mixHash(ce)
	eph := keys.NewKeyPair()
	s.mixHash(eph.Pub[:])
	if err = s.mixDH(eph.Priv, ce); err != nil {
		return nil, err
	}
	encStatic := s.seal(static.Pub[:])
	if err = s.mixDH(static.Priv, ce); err != nil {
		return nil, err
	}
	out, err := proto.Marshal(&waWa6.HandshakeMessage{ServerHello: &waWa6.HandshakeMessage_ServerHello{
		Ephemeral: eph.Pub[:], Static: encStatic, Payload: s.seal(chain),
	}})
	if err != nil {
		return nil, err
	} else if err = writeFrame(rw, out); err != nil {
		return nil, err
	}
	if raw, err = readFrame(rw); err != nil {
		return nil, err
	} else if err = proto.Unmarshal(raw, &finish); err != nil {
		return nil, err
	}
	clientStatic, err := s.open(finish.GetClientFinish().GetStatic())
	if err != nil {
		return nil, fmt.Errorf("client static: %w", err)
	} else if err = s.mixDH(eph.Priv, clientStatic); err != nil {
		return nil, err
	}
	payloadRaw, err := s.open(finish.GetClientFinish().GetPayload())
	if err != nil {
		return nil, fmt.Errorf("client payload: %w", err)
	}
	t := &transport{rw: rw, Payload: &waWa6.ClientPayload{}, Static: [32]byte(clientStatic)}
	if err = proto.Unmarshal(payloadRaw, t.Payload); err != nil {
		return nil, err
	}
	c2s, s2c := s.expand(nil)
	t.rd, t.wr = gcm(c2s), gcm(s2c)
	return t, nil
}

func (t *transport) read() ([]byte, error) {
	c, err := readFrame(t.rw)
	if err != nil {
		return nil, err
	}
	p, err := t.rd.Open(nil, nonce(t.rn), c, nil)
	t.rn++
	return p, err
}

func (t *transport) write(p []byte) error {
	t.wmu.Lock()
	defer t.wmu.Unlock()
	c := t.wr.Seal(nil, nonce(t.wn), p, nil)
	t.wn++
	return writeFrame(t.rw, c)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
