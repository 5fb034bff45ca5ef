package fakewa

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/util/cbcutil"
	"go.mau.fi/whatsmeow/util/hkdfutil"
)

// serveMedia is mmg.whatsapp.net: ciphertext in, ciphertext out.
func (s *Server) serveMedia(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		b, _ := io.ReadAll(r.Body)
		sum := sha256.Sum256(b)
		path := "/v/" + base64.RawURLEncoding.EncodeToString(sum[:12])
		s.mu.Lock()
		s.media[path] = b
		s.mu.Unlock()
		_ = json.NewEncoder(w).
			Encode(map[string]string{"url": "https://mmg.whatsapp.net" + path + "?fake=1", "direct_path": path + "?fake=1"})
	case http.MethodGet:
		s.mu.Lock()
		b, ok := s.media[r.URL.Path]
		s.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	case http.MethodDelete:
		s.mu.Lock()
		delete(s.media, r.URL.Path)
		s.mu.Unlock()
	}
}

func mediaKeys(key []byte, typ whatsmeow.MediaType) (iv, cipherKey, macKey []byte) {
	k := hkdfutil.SHA256(key, nil, []byte(typ), 112)
	return k[:16], k[16:48], k[48:80]
}

// Media is an encrypted upload, ready to go into an ImageMessage and the like.
type Media struct {
	URL, DirectPath        string
	Key, SHA256, EncSHA256 []byte
	Length                 uint64
}

// Upload encrypts and stores a file as a contact's phone would.
func (s *Server) Upload(data []byte, typ whatsmeow.MediaType) (Media, error) {
	m := Media{Key: randomBytes(32), Length: uint64(len(data))}
	iv, ck, mk := mediaKeys(m.Key, typ)
	ct, err := cbcutil.Encrypt(ck, iv, data)
	if err != nil {
		return m, err
	}
	h := hmac.New(sha256.New, mk)
	h.Write(iv)
	h.Write(ct)
	blob := append(ct, h.Sum(nil)[:10]...)
	sum, enc := sha256.Sum256(data), sha256.Sum256(blob)
	m.SHA256, m.EncSHA256 = sum[:], enc[:]
	path := "/v/" + base64.RawURLEncoding.EncodeToString(enc[:12])
	s.mu.Lock()
	s.media[path] = blob
	s.mu.Unlock()
	m.DirectPath, m.URL = path+"?fake=1", "https://mmg.whatsapp.net"+path+"?fake=1"
	return m, nil
}

// Download fetches and decrypts a file a client uploaded.
func (s *Server) Download(directPath string, key []byte, typ whatsmeow.MediaType) ([]byte, error) {
	path, _, _ := strings.Cut(directPath, "?")
	s.mu.Lock()
	blob, ok := s.media[path]
	blob = bytes.Clone(blob)
	s.mu.Unlock()
	if !ok || len(blob) < 10 {
		return nil, errors.New("no such media")
	}
	iv, ck, mk := mediaKeys(key, typ)
	ct, mac := blob[:len(blob)-10], blob[len(blob)-10:]
	h := hmac.New(sha256.New, mk)
	h.Write(iv)
	h.Write(ct)
	if !hmac.Equal(h.Sum(nil)[:10], mac) {
		return nil, errors.New("media MAC mismatch")
	}
	return cbcutil.Decrypt(ck, iv, ct)
}
