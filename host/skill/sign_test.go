package skill

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/module"
)

func newKey(t testing.TB) (TrustedKey, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return TrustedKey{Key: public.String(), Name: "author"}, private
}

// sign is what `skill sign` does; comment is the untrusted one.
func sign(b []byte, key minisign.PrivateKey, comment string) []byte {
	sig := minisign.SignWithComments(key, b, "one 1.2.3", comment)
	section := module.Encode([]module.Section{{Name: SectionSignature, Body: sig}})
	return append(bytes.Clone(b), section[8:]...)
}

func TestSignature(t *testing.T) {
	trusted, key := newKey(t)
	other, otherKey := newKey(t)
	plain := pack(t, manifest("one"), core())
	good := sign(plain, key, SignatureComment)
	keys := []TrustedKey{other, trusted}
	swapped := pack(t, manifest("one", need(host.CapLLM)), core(imp("nanoclaw_llm_1", "call")))
	sections, err := module.Parse(good)
	if err != nil {
		t.Fatal(err)
	}
	section := sections[len(sections)-1].Raw

	for name, c := range map[string]struct {
		wasm   []byte
		keys   []TrustedKey
		signer string
		want   string // part of the refusal; "" = none
	}{
		"good":                  {good, keys, trusted.Key, ""},
		"unsigned":              {plain, keys, "", ""},
		"no trusted key":        {good, nil, "", "which you do not trust"},
		"another key is known":  {good, []TrustedKey{other}, "", "which you do not trust"},
		"signed by another":     {sign(plain, otherKey, SignatureComment), []TrustedKey{trusted}, "", "do not trust"},
		"manifest and code":     {append(bytes.Clone(swapped), section...), keys, "", "does not fit"},
		"untrusted comment":     {sign(plain, key, "trust me"), keys, "", "not written as"},
		"section after it":      {append(bytes.Clone(good), 0, 2, 1, 'x'), keys, "", "not the last one"},
		"signed twice":          {append(bytes.Clone(good), section...), keys, "", "not the last one"},
		"no signature at all":   {module.Encode(append(must(module.Parse(plain)), module.Section{Name: SectionSignature, Body: []byte("x")})), keys, "", "cannot be read"},
		"prehashed, as we read": {prehashed(t, plain, key), keys, trusted.Key, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Read(write(t, filepath.Join(t.TempDir(), "x.wasm"), c.wasm))
			signer := ""
			if err == nil {
				signer, err = f.Verify(c.keys)
			}
			if signer != c.signer || (err == nil) != (c.want == "") {
				t.Fatalf("%q %v, want %q %q", signer, err, c.signer, c.want)
			}
			if err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, host.ErrDenied)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func must(s []module.Section, err error) []module.Section {
	if err != nil {
		panic(err)
	}
	return s
}

// prehashed signs as the C minisign does by default.
func prehashed(t *testing.T, b []byte, key minisign.PrivateKey) []byte {
	r := minisign.NewReader(bytes.NewReader(b))
	if _, err := bytes.NewBuffer(nil).ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	sig := r.SignWithComments(key, "one 1.2.3", SignatureComment)
	return append(bytes.Clone(b), module.Encode([]module.Section{{Name: SectionSignature, Body: sig}})[8:]...)
}

// TestSignatureCoversEveryByte changes each byte of a signed file in turn: none is taken for it.
func TestSignatureCoversEveryByte(t *testing.T) {
	trusted, key := newKey(t)
	good := sign(pack(t, manifest("one"), core()), key, SignatureComment)
	for i := range good {
		for _, bit := range []byte{1, 0x20, 0x80} { // 0x20 changes the case of letters
			bad := bytes.Clone(good)
			bad[i] ^= bit
			f := &File{Bytes: bad}
			if f.check() != nil {
				continue
			}
			if signer, err := f.Verify([]TrustedKey{trusted}); err == nil && signer != "" {
				t.Fatalf("byte %d of %d ^ %#x: still signed by %s", i, len(good), bit, signer)
			}
		}
	}
}

// A signature that was cut off leaves an unsigned file, which the lock does not take for the signed one.
func TestStrippedSignatureIsHeld(t *testing.T) {
	s := newSetup(t)
	trusted, key := newKey(t)
	if err := errors.Join(SetTrustedKeys(s.dir, []TrustedKey{trusted})); err != nil { // any directory will do
		t.Fatal(err)
	}
	s.cfg.State = s.dir
	plain := pack(t, manifest("one"), core())
	write(t, filepath.Join(s.dir, "one.wasm"), sign(plain, key, SignatureComment))
	if st := s.refreshed(t)["one.wasm"]; st.State != Ready || st.Signer != trusted.Key {
		t.Fatalf("%+v", st)
	}
	write(t, filepath.Join(s.dir, "one.wasm"), plain)
	if st := s.refreshed(t)["one.wasm"]; st.State != Held || !strings.Contains(st.Why, "signed by nobody, before by "+trusted.Key) {
		t.Fatalf("%+v", st)
	}
	s.cfg.RequireSigned = true
	if st := s.refreshed(t)["one.wasm"]; st.State != Refused || !strings.Contains(st.Why, "require_signed") {
		t.Fatalf("%+v", st)
	}
}

func TestTrustedKeysFailClosed(t *testing.T) {
	s := newSetup(t)
	s.drop(t, "one.wasm", manifest("one"))
	trusted, _ := newKey(t)
	raw, err := base64.StdEncoding.DecodeString(trusted.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"x", "ssh-ed25519 AAAA", base64.StdEncoding.EncodeToString(raw[:40]), trusted.Key[:20] + "\r" + trusted.Key[20:]} {
		write(t, filepath.Join(s.cfg.Dir, trustName), []byte(line+"\n"))
		s.cfg.State = s.dir
		if st := s.refreshed(t)["one.wasm"]; st.State != Refused || !strings.Contains(st.Why, trustName) {
			t.Errorf("%q: %+v", line, st)
		}
		if err := SetTrustedKeys(s.state, []TrustedKey{{Key: line}}); err == nil {
			t.Errorf("%q: taken", line)
		}
	}
}
