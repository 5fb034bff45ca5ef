package daemon

import (
	"context"
	"path/filepath"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// AuditDir is where the audit log of a state directory is, or the one of `skill call`.
func AuditDir(state string, calls bool) string {
	if calls {
		return filepath.Join(state, "audit-calls")
	}
	return filepath.Join(state, "audit")
}

// VerifyAudit checks an audit log. It needs no host, and may run beside one. The log of
// `skill call` is chained, and not anchored: those databases do not live.
func VerifyAudit(ctx context.Context, state string, calls bool) (audit.Report, error) {
	var head audit.Head
	if !calls {
		err := withStore(ctx, state, func(s *store.Store) (err error) {
			if s != nil {
				head.Seq, head.Hash, err = s.Head(ctx)
			}
			return err
		})
		if err != nil {
			return audit.Report{}, err
		}
	}
	return audit.Verify(AuditDir(state, calls), head)
}

// RenewAudit puts the audit log of a stopped host aside and begins another; see audit.Renew.
func RenewAudit(ctx context.Context, state string) (aside string, err error) {
	unlock, err := lockState(state)
	if err != nil {
		return "", err
	}
	defer unlock()
	st, err := store.Open(ctx, database(state))
	if err != nil {
		return "", err
	}
	defer st.Close()
	return audit.Renew(AuditDir(state, false), st, host.Decision{
		Time: time.Now().UTC(), Target: "audit", Reason: "the owner put the log before this row aside",
	})
}
