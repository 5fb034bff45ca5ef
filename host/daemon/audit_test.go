package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// TestVerifyAuditBesideAHost: the log of a host that runs is verified against its database,
// survives the host's death, and is not to be begun anew under it.
func TestVerifyAuditBesideAHost(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if r, err := VerifyAudit(t.Context(), state, false); err != nil || r.Bad != nil || r.Rows != 0 {
		t.Fatalf("no state: %+v %v", r, err)
	}
	unlock, err := lockState(state)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	st, err := store.Open(t.Context(), filepath.Join(state, "nanoclaw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, end := range []func(*audit.Log) error{(*audit.Log).Close, func(*audit.Log) error { return nil }} { // stopped, killed
		l, err := audit.Open(AuditDir(state, false), st)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 { // more than the anchor may be behind
			if err := l.Record(t.Context(), host.Decision{Capability: host.CapKV, Verdict: "allow"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := end(l); err != nil {
			t.Fatal(err)
		}
		r, err := VerifyAudit(t.Context(), state, false)
		if err != nil || r.Bad != nil || r.Rows%100 != 0 || r.Anchor.Seq == 0 || r.Head.Seq-r.Anchor.Seq > 64 {
			t.Fatalf("%+v %v", r, err)
		}
	}
	if _, err := RenewAudit(t.Context(), state); !errors.Is(err, host.ErrBusy) {
		t.Errorf("begun anew under a host: %v", err)
	}
	if err := os.RemoveAll(AuditDir(state, false)); err != nil {
		t.Fatal(err)
	}
	r, err := VerifyAudit(t.Context(), state, false)
	if err != nil || r.Bad == nil || !strings.Contains(r.Bad.Error(), "is missing") {
		t.Errorf("removed: %+v %v", r, err)
	}
}
