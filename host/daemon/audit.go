package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
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
	db := filepath.Join(state, "nanoclaw.db")
	if _, err := os.Stat(db); err == nil && !calls {
		st, err := store.Open(ctx, db)
		if err != nil {
			return audit.Report{}, err
		}
		head.Seq, head.Hash, err = st.Head(ctx)
		if err := errors.Join(err, st.Close()); err != nil {
			return audit.Report{}, err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return audit.Report{}, err
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
	st, err := store.Open(ctx, filepath.Join(state, "nanoclaw.db"))
	if err != nil {
		return "", err
	}
	defer st.Close()
	return audit.Renew(AuditDir(state, false), st, host.Decision{
		Time: time.Now().UTC(), Target: "audit", Reason: "the owner put the log before this row aside",
	})
}
