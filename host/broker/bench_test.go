package broker_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// BenchmarkHTTP compares a warm GET of 16 KiB from a local server, over TLS: by net/http alone,
// and by the broker with its checks, the search for secrets, budgets in a database on disk and both
// audit rows. sync is what one row that must be on disk costs by itself, both is such a row and then
// the plain request. They take turns, and their medians are reported: what else the machine does
// meets them all alike.
func BenchmarkHTTP(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 16<<10/45)
	l := newLab(b).stored().internet().grant("https://api.example.com/v1/")
	l.scope.Role.Budget = map[host.Budget]int64{host.BudgetRequests: 1 << 40, host.BudgetBytesOut: 1 << 40}
	l.secrets["token"] = "a-secret-of-forty-characters-0123456789ab"
	l.scope.Role.HTTP[0].Headers = map[string]string{"X-Token": "token"}
	l.serve = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	m := l.cfg.Leaks()
	l.cfg.Leaks = func() *secret.Matcher { return m }
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(w, r) }))
	defer s.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	plain := func() error {
		resp, err := client.Get(s.URL + "/v1/x")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	row := make([]byte, 400)
	sync := func() error {
		_, err := f.Write(row)
		return errors.Join(err, f.Sync())
	}
	one, calls := broker.New(l.cfg), 0
	turn := one.Handler(l.scope)
	guarded := func() error {
		if calls++; calls%400 == 0 { // a turn may not make many more
			turn = one.Handler(l.scope)
		}
		r := httptest.NewRequest(http.MethodPost, wire.PathCap+"http", strings.NewReader(`{"method":"GET","url":"https://api.example.com/v1/x"}`))
		r.Header.Set(wire.HeaderSkill, string(skillName))
		r.Header.Set(wire.HeaderCall, "1")
		w := httptest.NewRecorder()
		turn.ServeHTTP(w, r)
		if w.Header().Get(wire.HeaderStatus) != "0" {
			return fmt.Errorf("status %s: %.200s", w.Header().Get(wire.HeaderStatus), w.Body)
		}
		return nil
	}
	took := make(map[string][]time.Duration)
	for b.Loop() {
		for name, f := range map[string]func() error{
			"plain": plain, "sync": sync, "broker": guarded, "both": func() error { return errors.Join(sync(), plain()) },
		} {
			start := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			took[name] = append(took[name], time.Since(start))
		}
	}
	for name, d := range took {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2]), name+"-p50-ns")
	}
}
