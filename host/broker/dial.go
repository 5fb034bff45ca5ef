package broker

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of one connection.
const (
	dialTimeout      = 10 * time.Second // per address
	maxAddrs         = 16               // answers of a resolver
	maxAnswerHeaders = 64 << 10         // bytes
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// transport takes no proxy of the environment, keeps no cookies and follows nothing.
func (b *Broker) transport(dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: b.cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxAnswerHeaders,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
	}
}

// dial connects to one of the addresses of a name, all of which must be acceptable.
func (b *Broker) dial(privateToo bool) dialFunc {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		name, service, _ := net.SplitHostPort(address)
		port, err := strconv.ParseUint(service, 10, 16)
		if err != nil {
			return nil, err
		}
		addrs, err := b.resolve(ctx, name, privateToo)
		if err != nil {
			return nil, err
		}
		// The socket itself has the last word: what connects is what was checked.
		d := &net.Dialer{Timeout: dialTimeout, Control: func(_, address string, _ syscall.RawConn) error {
			if at, err := netip.ParseAddrPort(address); err != nil || !reachOf(at.Addr()).open(privateToo) {
				return notPublic(name)
			}
			return nil
		}}
		var conn net.Conn
		for _, a := range addrs {
			if conn, err = b.cfg.Dial(ctx, d, netip.AddrPortFrom(a.Unmap(), uint16(port))); err == nil || ctx.Err() != nil {
				break
			}
		}
		return conn, err
	}
}

// resolve returns the addresses of name. One that is not acceptable refuses them all: the
// name's owner could choose which of them is used.
func (b *Broker) resolve(ctx context.Context, name string, privateToo bool) ([]netip.Addr, error) {
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(name); err == nil {
		addrs = []netip.Addr{a}
	} else {
		absolute := name
		if strings.Contains(name, ".") && !privateToo {
			absolute += "." // so that no search domain makes another name of it
		}
		if addrs, err = b.cfg.Lookup(ctx, "ip", absolute); err != nil {
			return nil, err
		}
	}
	if len(addrs) == 0 || len(addrs) > maxAddrs {
		return nil, &net.DNSError{Err: "no or too many addresses", Name: name}
	}
	for _, a := range addrs {
		if !reachOf(a).open(privateToo) {
			return nil, notPublic(name)
		}
	}
	return addrs, nil
}
