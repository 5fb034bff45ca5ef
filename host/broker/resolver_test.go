package broker_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// spellings of 127.0.0.1 that parsers, resolvers and IDNA mappings are known to take (section 3 of
// the vectors, and their like).
var spellings = strings.Fields(`127.1 127.0.1 0 0.0.0.0 2130706433 0x7f000001 0x7F.1 017700000001 0177.0.0.1 0x7f.0x0.0x0.0x1
	127.0.0.1. 127.000.000.001 [::] [::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::127.0.0.1]
	[64:ff9b::7f00:1] [fe80::1%25lo] localhost LOCALHOST localhost. sub.localhost localhost.localdomain
	ⓛⓞⓒⓐⓛⓗⓞⓢⓣ １２７.０.０.１ 127。0。0。1 ①②⑦.0.0.1 localhost%00.example.com 127.0.0.1%09
	user@127.0.0.1 example.com@127.0.0.1 127.0.0.1#@example.com 127.0.0.1%2f 127.0.0.1\@example.com`)

// TestSpellings: a server on loopback, grants without "private" for exactly the spelling, every
// seam left alone. No spelling reaches it, by the resolver that TestBothResolvers chose.
func TestSpellings(t *testing.T) {
	var hits atomic.Int32
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) })}
	go srv.Serve(ln)
	defer srv.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	plain := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	for _, name := range spellings {
		if resp, err := plain.Get("http://" + name + ":" + port + "/"); err == nil {
			resp.Body.Close()
		}
	}
	if n := hits.Swap(0); n < 8 { // the control: net/http by itself goes there
		t.Errorf("only %d spellings reach loopback without the broker", n)
	} else {
		t.Logf("%d of %d spellings reach loopback without the broker", n, len(spellings))
	}
	for _, name := range spellings {
		l := newLab(t)
		l.cfg.Lookup, l.cfg.Dial = nil, nil
		for _, pattern := range []string{name, strings.ToLower(strings.TrimSuffix(name, ".")), "127.0.0.1", "example.com", "*.example.com"} {
			l.scope.Role.HTTP = append(l.scope.Role.HTTP, host.HTTPGrant{Scheme: "http", Hosts: []string{pattern}, Port: ln.Addr().(*net.TCPAddr).Port})
		}
		for _, u := range []string{"http://" + name + ":" + port + "/", "http://" + name + ":" + port + "/\\@example.com"} {
			if r := l.get(u); r.status != wire.StatusDenied && r.status != wire.StatusInvalid {
				t.Errorf("%s: %s %s", u, r.status, r.body)
			}
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d requests reached loopback", n)
	}
}

// TestBothResolvers runs what depends on resolution with Go's resolver, which is the one of a
// program built without cgo, and with the C library's where this test was built with cgo.
func TestBothResolvers(t *testing.T) {
	for _, resolver := range []string{"go", "cgo"} {
		t.Run(resolver, func(t *testing.T) {
			t.Parallel()
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^(TestSpellings|TestRealDialler|TestHostNames|TestPrivateNames)$")
			c.Env = append(os.Environ(), "GODEBUG=netdns="+resolver)
			out, err := c.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "PASS: TestSpellings") {
				t.Errorf("%v\n%s", err, out)
			}
			t.Log(string(out))
		})
	}
}
