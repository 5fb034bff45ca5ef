package kit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"aead.dev/minisign"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

// NewKey makes a minisign key pair: private at path (mode 0600, encrypted where password is not
// empty), public beside it at path.pub. An existing file is never overwritten.
func NewKey(path, password string) (public string, err error) {
	pub, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	text, err := key.MarshalText()
	if password != "" {
		text, err = minisign.EncryptKey(password, key)
	}
	if err != nil {
		return "", err
	}
	for _, f := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{path, string(text) + "\n", 0o600},
		{path + ".pub", "untrusted comment: minisign public key\n" + pub.String() + "\n", 0o644},
	} {
		out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return "", fmt.Errorf("%w: %w", host.ErrInvalid, err)
		}
		if _, err = out.WriteString(f.text); errors.Join(err, out.Close()) != nil {
			return "", errors.Join(err, os.Remove(f.path))
		}
	}
	return pub.String(), nil
}

// ReadKey reads a private key of minisign. password is asked for only when it is encrypted.
func ReadKey(path string, password func() (string, error)) (key minisign.PrivateKey, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return key, fmt.Errorf("%w: %w; 'nanoclaw skill keygen' makes a key", host.ErrNotFound, err)
	}
	if !minisign.IsEncrypted(text) {
		if err = key.UnmarshalText(text); err != nil {
			err = fmt.Errorf("%w: %s is no private key of minisign: %w", host.ErrInvalid, path, err)
		}
		return key, err
	}
	pass, err := password()
	if err == nil {
		key, err = minisign.DecryptKey(pass, text)
	}
	if err != nil {
		err = fmt.Errorf("%w: key %s: %w", host.ErrInvalid, path, err)
	}
	return key, err
}

// PublicKey takes a public key as it stands on one line, or the file that holds it.
func PublicKey(s string) (string, error) {
	text := s
	if b, err := os.ReadFile(s); err == nil {
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		text = strings.TrimSpace(lines[len(lines)-1])
	}
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(text)); err != nil {
		return "", fmt.Errorf("%w: %.100q is neither a minisign public key nor a file that holds one", host.ErrInvalid, s)
	}
	return k.String(), nil
}

// Sign puts a signature over all of f at its end, in place of the one that was there, and
// replaces the file.
func Sign(f *skill.File, key minisign.PrivateKey) error {
	sections, err := module.Parse(f.Bytes)
	if err != nil {
		return err
	}
	if last := len(sections) - 1; f.Signature != nil {
		sections = sections[:last]
	}
	message := module.Encode(sections)
	comment := fmt.Sprintf("skill %s %s", f.Manifest.Name, f.Manifest.Version)
	sig := minisign.SignWithComments(key, message, comment, skill.SignatureComment)
	signed := module.Encode(append(sections, module.Section{Name: skill.SectionSignature, Body: sig}))
	if len(signed) > module.MaxSize {
		return fmt.Errorf("%w: signed, the file has %d bytes, at most %d", host.ErrLimit, len(signed), module.MaxSize)
	}
	return skill.WriteAtomic(f.Path, signed, 0o644)
}
