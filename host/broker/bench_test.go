package broker_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// BenchmarkHTTP is a warm call with credentials, searches both ways and its rows, beside the same
// request by a plain client. The log of rows is on a disk that syncs, or is not.
func BenchmarkHTTP(b *testing.B) {
	body := strings.Repeat(`{"id":17,"text":"it is cloudy, \"mild\" and calm","url":"https://example.com/a?b=c%20d"},`, 90)
	for _, with := range []string{"plain client", "broker", "broker without rows"} {
		b.Run(with, func(b *testing.B) {
			l := newLab(b).internet().grant("https://a.test.org/")
			l.secrets["brave"] = kept
			l.scope.Role.HTTP[0].Bearer = "brave"
			if with == "broker without rows" {
				l.cfg.Audit = &failAt{}
			}
			m := l.cfg.Leaks()
			l.cfg.Leaks = func() *secret.Matcher { return m }
			l.serve = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }
			h := broker.New(l.cfg).Handler(l.scope)
			to := netip.MustParseAddrPort(publicIP + ":443")
			c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.cfg.RootCAs}, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return l.cfg.Dial(ctx, nil, to)
			}}}
			raw, _ := json.Marshal(wire.HTTPRequest{Method: "GET", URL: "https://a.test.org/x?q=what+is+the+weather"})
			for b.Loop() {
				if with == "plain client" {
					resp, err := c.Get("https://a.test.org/x?q=what+is+the+weather")
					if err != nil {
						b.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					continue
				}
				r := httptest.NewRequest(http.MethodPost, wire.PathCap+"http", strings.NewReader(string(raw)))
				r.Header.Set(wire.HeaderSkill, "probe")
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Header().Get(wire.HeaderStatus) != "0" {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
