package broker_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Section 2 of the shared vectors. Each address is what a granted name resolves to.
const (
	publicAddrs = `198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8
		2001:4860:1234::5efe:8.8.8.8 2001:4860:1234:1:1111:5efe:7f00:1 8.8.8.8 1.1.1.1 93.184.216.34 1.0.0.0 100.128.0.0
		192.88.98.255 192.88.100.0 2606:4700:4700::1111 2607:f8b0:4004:800::200e 2620:4f:8000::1 100.63.255.255 9.255.255.255
		11.0.0.0 172.15.255.255 172.32.0.0 198.17.255.255 198.20.0.0 192.0.1.0 192.0.3.0 126.255.255.255 128.0.0.0
		2001:200::1 2001:db9::1 2003::1 3ffe::1 2001:4860:1234:0:100:5efe:127.0.0.1 2001:4860:1234:0:0:5eff:127.0.0.1`

	// Loopback and private ranges: a grant that says private opens these and nothing else.
	privateAddrs = `127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255
		::1 fd12:3456::1 fc00::1 ::ffff:127.0.0.1 ::ffff:7f00:1 0:0:0:0:0:ffff:7f00:1 ::ffff:10.0.0.1`

	neverAddrs = `169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.1 0.0.0.0 224.0.0.1 239.255.255.255 0.0.0.1
		0.255.255.255 192.0.0.8 192.0.0.9 192.0.0.10 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255
		198.51.100.42 203.0.113.10 240.0.0.1 250.1.2.3 255.255.255.255 ::ffff:169.254.169.254 ::ffff:198.18.0.1
		64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::192.168.1.1 64:ff9b:1::8.8.8.8
		2001:0:4136:e378:8000:63bf:f5ff:fffe 2001:0:0:0:0:0:80ff:fefe 2001::1 2002:7f00:1:: 2002:808:808::1
		fec0::1 100::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1 5f00::1 4000::1 :: ff02::1 fe80::1 fe80::1%eth0
		::127.0.0.1 ::8.8.8.8 2001:db8:1234::5efe:127.0.0.1 2001:4860:1234::5efe:127.0.0.1
		2001:4860:1234:0:200:5efe:127.0.0.1 2001:4860:1234::5efe:10.0.0.1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254
		fd00:42::42 100.100.100.200 168.63.129.16 ::ffff:100.100.100.200 ::ffff:0:0:7f00:1
		2001:db8:c000:221:: 2001:db8:1c0:2:21:: 2001:db8:122:c000:2:2100:: 2001:db8:122:3c0:0:221::
		2001:db8:122:344:c0:2:2100:: 2001:db8:122:344::c000:221`
)

func TestAddressVectors(t *testing.T) {
	for _, grant := range []string{"https://svc.test.org/", "https://svc.test.org/ private"} {
		for i, list := range []string{publicAddrs, privateAddrs, neverAddrs} {
			want := wire.StatusDenied
			if i == 0 || i == 1 && strings.HasSuffix(grant, "private") {
				want = wire.StatusOK
			}
			for _, addr := range strings.Fields(list) {
				t.Run(grant+" "+addr, func(t *testing.T) {
					l := newLab(t).internet().grant(grant)
					l.names["svc.test.org"] = []string{addr}
					r := l.get("https://svc.test.org/")
					r.want(want, "")
					if want == wire.StatusDenied {
						if len(l.dialled) > 0 {
							t.Errorf("dialled %v", l.dialled)
						}
						if rows := l.rows(); len(rows) != 2 || rows[1].Verdict != "deny" {
							t.Errorf("rows %+v", rows)
						}
					}
				})
			}
		}
	}
}

// TestAddressLiterals: the same without a name, refused before any I/O.
func TestAddressLiterals(t *testing.T) {
	for _, list := range []string{privateAddrs, neverAddrs} {
		for _, addr := range strings.Fields(list) {
			if strings.Contains(addr, "%") {
				continue // a zone is not even a valid URL; see below
			}
			if strings.Contains(addr, ":") {
				addr = "[" + addr + "]"
			}
			l := newLab(t).internet()
			l.scope.Role.PublicWeb = true
			l.need(host.Need{Name: host.CapHTTP, PublicWeb: true})
			l.get("https://"+addr+"/").want(wire.StatusDenied, "not a public one")
			if len(l.looked)+len(l.dialled) > 0 {
				t.Errorf("%s: looked up %v, dialled %v", addr, l.looked, l.dialled)
			}
		}
	}
	l := newLab(t).internet()
	l.scope.Role.PublicWeb = true
	l.need(host.Need{Name: host.CapHTTP, PublicWeb: true})
	l.get("https://[fe80::1%25eth0]/").want(wire.StatusInvalid, "")
	l.get("https://8.8.8.8/").http()
	l.get("https://[2606:4700:4700::1111]/").http()
	l.get("https://[::ffff:8.8.8.8]/").http()
}

// TestHostNames: names that are refused without asking a resolver, in either cgo mode, since
// the lab's resolver would answer each with a public address.
func TestHostNames(t *testing.T) {
	for _, tc := range []struct {
		names string
		want  wire.Status
	}{
		{"localhost LOCALHOST sub.localhost localhost.localdomain foo.local db.internal bar.compute.internal " +
			"metadata.google.internal METADATA.google.internal metadata metadata.goog instance-data router", wire.StatusDenied},
		{"localhost. printer.local. 127.1 0 2130706433 0x7f000001 017700000001 0177.0.0.1 8.8.2056 0x08080808 08.0.0.1 " +
			"0x7f.1 127.0.0.0x1 1.2.3.4.5 256.1.1.1 999999999999 0x 1.2.3 ①②⑦.0.0.1 １２７.０.０.１ ⓛⓞⓒⓐⓛⓗⓞⓢⓣ [127.0.0.1 [] " +
			"[::1 ::1 127.0.0.1%09 localhost%00.example.com xn--_.com a_b.test.org -a.test.org " +
			"127.0.0.1%00.test.org [::1].test.org", wire.StatusInvalid},
		{"user@127.0.0.1 example.com@127.0.0.1 127.0.0.1:80@www.test.org", wire.StatusInvalid},
		{"www.test.org abc.123.test.org 0x.test.org local.test.org 1password.test.org", wire.StatusOK},
	} {
		for _, name := range strings.Fields(tc.names) {
			t.Run(name, func(t *testing.T) {
				l := newLab(t).internet()
				l.scope.Role.PublicWeb = true
				l.need(host.Need{Name: host.CapHTTP, PublicWeb: true})
				r := l.get("https://" + name + "/")
				if tc.want == wire.StatusOK && r.status == wire.StatusUnavailable && len(l.dialled) == 1 {
					return // dialled; the test certificate has no name of that depth
				}
				r.want(tc.want, "")
				if tc.want != wire.StatusOK && len(l.looked)+len(l.dialled) > 0 {
					t.Errorf("looked up %v, dialled %v", l.looked, l.dialled)
				}
			})
		}
	}
}

// TestPrivateNames: private opens local names; those of metadata services stay shut.
func TestPrivateNames(t *testing.T) {
	l := newLab(t).internet().grant("https://nas.local/ private", "https://metadata.google.internal/ private",
		"http://169.254.169.254/ private", "http://127.0.0.1:8080/ private", "https://other.local/")
	l.names["nas.local"] = []string{"192.168.1.5"}
	l.get("https://nas.local/").http()
	l.get("http://127.0.0.1:8080/").http()
	l.get("https://metadata.google.internal/").want(wire.StatusDenied, "not a public one")
	l.get("http://169.254.169.254/latest/meta-data/").want(wire.StatusDenied, "not a public one")
	l.get("https://other.local/").want(wire.StatusDenied, "not a public one")
}

// D01, D04: one private answer refuses them all; a fallback stays inside the vetted set.
func TestAnswersOfTheResolver(t *testing.T) {
	l := newLab(t).internet().grant(policy...)
	l.names["api.example.com"] = []string{publicIP, "10.0.0.1"}
	l.get("https://api.example.com/").want(wire.StatusDenied, "not a public one")
	if len(l.dialled) > 0 {
		t.Errorf("dialled %v", l.dialled)
	}
	l.names["api.example.com"] = nil
	l.get("https://api.example.com/").want(wire.StatusUnavailable, "cannot be resolved")
	l.names["api.example.com"] = strings.Fields(strings.Repeat(publicIP+" ", 17))
	l.get("https://api.example.com/").want(wire.StatusUnavailable, "cannot be resolved")

	next := l.cfg.Dial
	l.cfg.Dial = func(ctx context.Context, d *net.Dialer, to netip.AddrPort) (net.Conn, error) {
		if to.Addr().Is6() {
			return nil, &net.OpError{Op: "dial", Err: net.ErrClosed}
		}
		return next(ctx, d, to)
	}
	l.names["api.example.com"] = []string{"2606:4700:4700::1111", publicIP}
	l.get("https://api.example.com/").http()
	if got := strings.Join(l.dialled, " "); got != publicIP+":443" {
		t.Errorf("dialled %s", got)
	}
}

// D02, D16: what is connected is checked, not what was asked for. The dialler here goes to
// another address than the vetted one, as a resolver that changes its mind would.
func TestConnectedAddress(t *testing.T) {
	s := &http.Server{Handler: http.NotFoundHandler()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	defer s.Close()
	for _, grant := range []string{"https://api.example.com/", "https://api.example.com/ private"} {
		l := newLab(t).grant(grant)
		connected := false
		l.cfg.Dial = func(ctx context.Context, d *net.Dialer, _ netip.AddrPort) (net.Conn, error) {
			c, err := d.DialContext(ctx, "tcp", ln.Addr().String())
			connected = err == nil
			return c, err
		}
		r := l.get("https://api.example.com/")
		if private := strings.HasSuffix(grant, "private"); connected != private {
			t.Errorf("%s: connected to loopback: %t", grant, connected)
		} else if !private {
			r.want(wire.StatusDenied, "not a public one")
		}
	}
}

// TestRealDialler leaves every seam alone: a real server on loopback, reached by address and
// only under a private grant.
func TestRealDialler(t *testing.T) {
	l := newLab(t).internet()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(w, r) })}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(ln)
	defer srv.Close()
	l.cfg.Dial, l.cfg.Lookup = nil, nil
	at := "http://" + ln.Addr().String() + "/"
	l.grant("GET " + at)
	l.get(at).want(wire.StatusDenied, "not a public one")
	l.scope.Role.HTTP = nil
	l.grant("GET " + at + " private")
	if got := l.get(at + "x?y").http(); got.Body != "GET "+ln.Addr().String()+"/x?y" {
		t.Errorf("%+v", got)
	}
	// localhost by name goes through the system's resolver.
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	l.grant("GET http://localhost:" + port + "/ private")
	l.get("http://localhost:" + port + "/").http()
}

// D14: the environment's proxy is nobody's; the configured one is asked for each request,
// and names and literals are checked all the same.
func TestProxy(t *testing.T) {
	for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(v, "http://127.0.0.1:1/")
	}
	l := newLab(t).internet().grant("http://svc.test.org/", "http://10.0.0.1/", "http://foo.internal/")
	if got := l.get("http://svc.test.org/x").http().Body; got != "GET svc.test.org/x" {
		t.Error(got)
	}
	var asked string
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.RequestURI
		w.Write([]byte("by proxy"))
	})}
	go proxy.Serve(ln)
	defer proxy.Close()
	l.cfg.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: ln.Addr().String()})
	if got := l.get("http://svc.test.org/x").http().Body; got != "by proxy" || asked != "http://svc.test.org/x" {
		t.Errorf("%q, proxy was asked for %q", got, asked)
	}
	asked = ""
	l.get("http://10.0.0.1/").want(wire.StatusDenied, "not a public one")
	l.get("http://foo.internal/").want(wire.StatusDenied, "not a public one")
	if asked != "" {
		t.Errorf("proxy was asked for %q", asked)
	}
}
