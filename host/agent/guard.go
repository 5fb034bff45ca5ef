package agent

import (
	"encoding/binary"
	"net"

	"github.com/hashicorp/yamux"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Parts of a yamux header: version, type, flags (2 bytes), stream (4), length (4).
const (
	headerSize = 12
	typeData   = 0
	typePing   = 2
)

// guard is a container's wire as yamux sees it. It ends the session at a ping, and closing
// it does nothing: the box ends its container itself, after it looked how that ended.
type guard struct {
	c    host.Container
	head [headerSize]byte
	have int    // bytes of head
	skip uint32 // bytes of data before the next header
}

func (g *guard) Write(p []byte) (int, error) { return g.c.Write(p) }
func (g *guard) Close() error                { return nil }

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.c.Read(p)
	for b := p[:n]; len(b) > 0; {
		if g.skip > 0 {
			k := min(int(g.skip), len(b))
			b, g.skip = b[k:], g.skip-uint32(k)
			continue
		}
		k := copy(g.head[g.have:], b)
		b, g.have = b[k:], g.have+k
		if g.have < headerSize {
			break
		}
		g.have = 0
		switch g.head[1] {
		case typeData:
			g.skip = binary.BigEndian.Uint32(g.head[8:])
		case typePing:
			return 0, broken("a ping")
		}
	}
	return n, err
}

// listener accepts streams until there are too many, closed halves included.
type listener struct{ *yamux.Session }

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Session.Accept()
	if err == nil && l.NumStreams() > 2*wire.MaxStreams {
		go l.Close()
		return nil, broken("more than %d streams", 2*wire.MaxStreams)
	}
	return conn, err
}
