package fakewa

import (
	"strconv"

	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/types"
)

// DropAll cuts every TCP connection, as a network failure would.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cancel()
	}
}

// CutBeforeAck processes the next n client messages but cuts the connection
// instead of acknowledging them.
func (s *Server) CutBeforeAck(n int) {
	s.mu.Lock()
	s.dropAcks = n
	s.mu.Unlock()
}

// StreamError sends a stream error to a device and closes its connection.
func (s *Server) StreamError(d *Companion, code string, content ...waBinary.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.conn == nil {
		return
	}
	n := waBinary.Node{Tag: "stream:error", Attrs: waBinary.Attrs{"code": code}}
	if len(content) > 0 {
		n.Content = content
	}
	d.conn.refuse(n)
}

// FailNextLogin answers the next login with <failure reason=...>.
func (s *Server) FailNextLogin(reason int, attrs waBinary.Attrs) {
	a := waBinary.Attrs{"reason": strconv.Itoa(reason)}
	for k, v := range attrs {
		a[k] = v
	}
	s.mu.Lock()
	s.failNext = &waBinary.Node{Tag: "failure", Attrs: a}
	s.mu.Unlock()
}

// AskPasskey makes the phones of all clients that pair now ask for a passkey.
func (s *Server) AskPasskey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.reg != nil && c.dev == nil {
			c.send(waBinary.Node{
				Tag:   "notification",
				Attrs: waBinary.Attrs{"from": types.ServerJID, "type": "passkey_prologue_request", "id": s.nextID("pk-")},
				Content: []waBinary.Node{{
					Tag: "passkey_request_options", Content: []byte(`{"challenge":"AAAA","rpId":"whatsapp.com"}`),
				}},
			})
		}
	}
}
