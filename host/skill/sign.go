package skill

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"aead.dev/minisign"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// SectionSignature is the last section of a signed file: a minisign signature over every
// byte before it, so that code and manifest are covered together.
const SectionSignature = "nanoclaw.sig"

// SignatureComment is the untrusted comment of every signature. It alone of a file is covered
// by nothing, so it may say nothing.
const SignatureComment = "signature of a NanoClaw skill"

// trustName is the file of trusted keys in the state directory: a key and a name a line.
const trustName = "trusted-keys"

const maxTrust = 256 << 10 // bytes

// TrustedKey is one signer whose skills are taken.
type TrustedKey struct {
	Key  string `json:"key"` // minisign public key, base64
	Name string `json:"name"`
}

// TrustedKeys reads the keys that the owner trusts.
func TrustedKeys(state string) (out []TrustedKey, err error) {
	b, err := readRegular(filepath.Join(state, trustName), maxTrust)
	if errors.Is(err, host.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		key, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := publicKey(key); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", trustName, key, err)
		}
		out = append(out, TrustedKey{Key: key, Name: strings.TrimSpace(name)})
	}
	return out, nil
}

// SetTrustedKeys replaces them.
func SetTrustedKeys(state string, keys []TrustedKey) error {
	var b bytes.Buffer
	for _, k := range keys {
		if _, err := publicKey(k.Key); err != nil || strings.ContainsAny(k.Name, "\n\r") {
			return fmt.Errorf("%w: key %q: %w", host.ErrInvalid, k.Key, cmp.Or(err, errors.New("its name has line breaks")))
		}
		fmt.Fprintf(&b, "%s %s\n", k.Key, k.Name)
	}
	return WriteAtomic(filepath.Join(state, trustName), b.Bytes(), 0o600)
}

func publicKey(s string) (k minisign.PublicKey, err error) {
	if err = k.UnmarshalText([]byte(s)); err == nil && k.String() != s {
		err = errors.New("not the usual form of a minisign public key")
	}
	return k, err
}

// signed splits a file at its signature, which is its last section where there is one.
func signed(b []byte, all []module.Section) (message, signature []byte, err error) {
	i := slices.IndexFunc(all, func(s module.Section) bool { return s.Name == SectionSignature })
	switch {
	case i < 0:
		return b, nil, nil
	case i != len(all)-1:
		return nil, nil, refuse("section %s is not the last one: something was added after signing", SectionSignature)
	}
	return b[:len(b)-len(all[i].Raw)], all[i].Body, nil
}

// Verify returns the key that signed f, "" when nobody did. A signature by a key that is not
// among keys, or that does not fit, is a refusal.
func (f *File) Verify(keys []TrustedKey) (signer string, err error) {
	if f.Signature == nil {
		return "", nil
	}
	var s minisign.Signature
	if err := s.UnmarshalText(f.Signature); err != nil {
		return "", refuse("its signature cannot be read: %w", err)
	}
	s.UntrustedComment = SignatureComment
	if s.String() != string(f.Signature) { // other spellings of the same would be bytes that nothing covers
		return "", refuse("its signature is not written as 'nanoclaw skill sign' does")
	}
	id := fmt.Sprintf("%016X", s.KeyID)
	for _, k := range keys {
		key, err := publicKey(k.Key)
		if err != nil || key.ID() != s.KeyID {
			continue
		}
		if minisign.Verify(key, f.message, f.Signature) {
			return k.Key, nil
		}
		return "", refuse("its signature does not fit: the file is not what key %s (%s) signed", id, k.Name)
	}
	return "", refuse("it is signed by key %s, which you do not trust; after a look at its signer: "+
		"'nanoclaw skill trust PUBLIC-KEY'", id)
}
