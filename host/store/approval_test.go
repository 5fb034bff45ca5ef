package store

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

func question(turn, print string) host.Approval {
	now := time.Now()
	return host.Approval{
		Agent: "a", Turn: host.TurnID(turn), Role: "web", Skill: "probe", Capability: host.CapHTTP, Rule: "POST https://x.org:443/",
		Print: print, What: "POST to x.org", Created: now, Expires: now.Add(time.Hour),
	}
}

// TestApprovalIsForOneAct: what is asked twice is one question; an answer counts once, for one act.
func TestApprovalIsForOneAct(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nanoclaw.db")
	s, ctx := open(t, path), t.Context()
	a, fresh, err := s.Ask(ctx, question("t1", "p1"), 2)
	if err != nil || !fresh || a.State != host.ApprovalPending {
		t.Fatalf("%+v, %v, %v", a, fresh, err)
	}
	s.Close()
	s = open(t, path) // the host was started anew
	again, fresh, err := s.Ask(ctx, question("t1", "p1"), 2)
	if err != nil || fresh || again.N != a.N {
		t.Fatalf("the same question: %+v, %v, %v", again, fresh, err)
	}
	for _, other := range []host.Approval{question("t1", "p2"), question("t2", "p1")} {
		b, fresh, err := s.Ask(ctx, other, 2)
		if err != nil || !fresh || b.N == a.N {
			t.Fatalf("another request or turn got the answer of the first: %+v, %v, %v", b, fresh, err)
		}
	}
	if _, _, err := s.Ask(ctx, question("t1", "p3"), 2); !errors.Is(err, host.ErrLimit) {
		t.Errorf("a third question of one turn: %v", err)
	}
	if _, err := s.Decide(ctx, a.N, host.ApprovalAllowed, host.ApprovalUsed, "", false); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("used before it was allowed: %v", err)
	}
	if _, err := s.Decide(ctx, a.N, host.ApprovalPending, host.ApprovalAllowed, "owner", false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decide(ctx, a.N, host.ApprovalPending, host.ApprovalDenied, "owner", false); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("a second answer counts: %v", err)
	}
	used, err := s.Decide(ctx, a.N, host.ApprovalAllowed, host.ApprovalUsed, "", false)
	if err != nil || used.Author != "owner" {
		t.Errorf("%+v, %v", used, err)
	}
	if _, err := s.Decide(ctx, a.N, host.ApprovalAllowed, host.ApprovalUsed, "", false); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("one answer for two acts: %v", err)
	}
	if g, err := s.GrantRows(ctx); len(g) != 0 || err != nil {
		t.Errorf("an answer for once left %v, %v", g, err)
	}
}

func TestLateAnswerIsNone(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	a, _, err := s.Ask(ctx, question("t1", "p1"), 3)
	if err != nil {
		t.Fatal(err)
	}
	s.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, err := s.Decide(ctx, a.N, host.ApprovalPending, host.ApprovalAllowed, "owner", true); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("allowed after its time: %v", err)
	}
	if p, _ := s.Pending(ctx); len(p) != 0 {
		t.Errorf("still waiting: %v", p)
	}
	if g, _ := s.GrantRows(ctx); len(g) != 0 {
		t.Errorf("a late /always left %v", g)
	}
	if _, err := s.Decide(ctx, a.N, host.ApprovalPending, host.ApprovalExpired, "nobody", false); err != nil {
		t.Error(err)
	}
}

// TestAlwaysIsExact: a row of /always answers for that role, skill, capability and address alone.
func TestAlwaysIsExact(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	a, _, err := s.Ask(ctx, question("t1", "p1"), 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Decide(ctx, a.N, host.ApprovalPending, host.ApprovalAllowed, "owner on console", true); err != nil {
		t.Fatal(err)
	}
	g, err := s.Granted(ctx, a.Role, a.Skill, a.Capability, a.Rule)
	if err != nil || g.Author != "owner on console" || time.Since(g.Created) > time.Minute {
		t.Fatalf("%+v, %v", g, err)
	}
	for _, o := range []struct {
		role  host.RoleName
		skill host.SkillName
		c     host.Capability
		rule  string
	}{
		{"main", a.Skill, a.Capability, a.Rule},
		{a.Role, "other", a.Capability, a.Rule},
		{a.Role, a.Skill, host.CapMessage, a.Rule},
		{a.Role, a.Skill, a.Capability, a.Rule + "x"},
		{a.Role, a.Skill, a.Capability, "%"},
		{a.Role, a.Skill, a.Capability, ""},
	} {
		if _, err := s.Granted(ctx, o.role, o.skill, o.c, o.rule); !errors.Is(err, host.ErrNotFound) {
			t.Errorf("%+v is granted too: %v", o, err)
		}
	}
	if err := s.RemoveGrant(ctx, g.N); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Granted(ctx, a.Role, a.Skill, a.Capability, a.Rule); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("after it was removed: %v", err)
	}
	if err := s.RemoveGrant(ctx, g.N); !errors.Is(err, host.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestBudgets(t *testing.T) {
	s, ctx := fresh(t), t.Context()
	now := time.Date(2026, 11, 23, 23, 58, 30, 0, time.UTC)
	s.now = func() time.Time { return now }
	spend := func(b host.Budget, n, limit int64, want error) {
		t.Helper()
		if err := s.Spend(ctx, "web", b, n, limit); !errors.Is(err, want) {
			t.Errorf("%s: spend %d of %d: %v, want %v", b, n, limit, err, want)
		}
	}
	spent := func(role host.RoleName, b host.Budget, want int64) {
		t.Helper()
		if n, err := s.Spent(ctx, role, b); n != want || err != nil {
			t.Errorf("%s of %s: %d, want %d (%v)", b, role, n, want, err)
		}
	}
	spend(host.BudgetTokens, 11, 10, host.ErrLimit)
	spend(host.BudgetTokens, 6, 10, nil)
	spend(host.BudgetTokens, 5, 10, host.ErrLimit) // nothing of it is counted
	spend(host.BudgetTokens, 4, 10, nil)
	spend(host.BudgetTokens, 1, 10, host.ErrLimit)
	spent("web", host.BudgetTokens, 10)
	spend(host.BudgetTokens, -3, 10, nil) // given back
	spent("web", host.BudgetTokens, 7)
	spend(host.BudgetTokens, 100, 0, nil) // no bound
	spent("web", host.BudgetTokens, 107)
	spent("main", host.BudgetTokens, 0)
	spend(host.BudgetRequests, 2, 2, nil)
	spend(host.BudgetRequests, 1, 2, host.ErrLimit)
	now = now.Add(time.Minute) // the next minute, the same day
	spend(host.BudgetRequests, 1, 2, nil)
	spend(host.BudgetTokens, 1, 10, host.ErrLimit)
	now = now.Add(time.Minute) // the next day
	spent("web", host.BudgetTokens, 0)
	spend(host.BudgetTokens, -5, 10, nil) // a call that began yesterday
	spent("web", host.BudgetTokens, 0)
	spend(host.BudgetTokens, 10, 10, nil)
}

// TestKilledHostsSpendNothing: however often a host is killed after one message, no more than that is counted.
func TestKilledHostsSpendNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	for n := range int64(40) { // more often than there are parts
		s := open(t, path) // none is closed before the end
		if err := s.Spend(t.Context(), "web", host.BudgetMessages, 1, 100); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Spent(t.Context(), "web", host.BudgetMessages); got != n+1 || err != nil {
			t.Fatalf("%d of %d: %v", got, n+1, err)
		}
	}
}

// TestBudgetIsHard: whoever spends at once, the limit holds.
func TestBudgetIsHard(t *testing.T) {
	s := fresh(t)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := s.Spend(t.Context(), "web", host.BudgetBytesOut, 10, 205); err != nil && !errors.Is(err, host.ErrLimit) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n, err := s.Spent(t.Context(), "web", host.BudgetBytesOut); n != 200 || err != nil {
		t.Errorf("%d spent, %v", n, err)
	}
}

// TestBudgetIsLowered: a limit that a reload makes smaller holds at once, whatever was counted ahead by
// the one before.
func TestBudgetIsLowered(t *testing.T) {
	s := fresh(t)
	spend := func(n, limit int64) error { return s.Spend(t.Context(), "web", host.BudgetBytesOut, n, limit) }
	if err := spend(10, 16000); err != nil { // and 1000 ahead
		t.Fatal(err)
	}
	if err := spend(10, 15); !errors.Is(err, host.ErrLimit) {
		t.Errorf("20 of 15: %v", err)
	}
	if err := spend(5, 15); err != nil {
		t.Errorf("15 of 15: %v", err)
	}
	if n, err := s.Spent(t.Context(), "web", host.BudgetBytesOut); n != 15 || err != nil {
		t.Errorf("%d spent, %v", n, err)
	}
}
