package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	answerTokens  = 8192 // reserved for an answer whose caller sets no bound
	leastTokens   = 256  // an answer with less room is of no use
	bytesPerToken = 3    // of JSON; models take about four
	maxTurnHTTP   = 500  // requests by http in one turn, redirects included

)

// Budgets counts what roles use; host/store does. Spend refuses with host.ErrLimit what would
// pass limit, 0 being none, and takes back a negative n.
type Budgets interface {
	Spend(ctx context.Context, role host.RoleName, b host.Budget, n, limit int64) error
	Spent(ctx context.Context, role host.RoleName, b host.Budget) (int64, error)
}

// spend counts n, or refuses because the role has no more.
func (b *Broker) spend(ctx context.Context, role *host.Role, what host.Budget, n int64) error {
	err := b.cfg.Budgets.Spend(ctx, role.Name, what, n, role.Budget[what])
	switch {
	case errors.Is(err, host.ErrLimit):
		return overBudget(role, what)
	case err != nil:
		return failed("the count of "+string(what), err)
	}
	return nil
}

// reserve takes what an answer of the model may cost at most from the day's tokens, and narrows
// the request to what is left of them: calls that run at once cannot pass the budget together.
// settle puts what it did cost in the place of that.
func (b *Broker) reserve(
	ctx context.Context, role *host.Role, req *wire.LLMRequest, size int,
) (settle func(used int64), err error) {
	reserved, limit := int64(0), role.Budget[host.BudgetTokens]
	if limit > 0 {
		in, out := int64(size/bytesPerToken), int64(cmp.Or(max(req.MaxTokens, 0), answerTokens))
		spent, err := b.cfg.Budgets.Spent(ctx, role.Name, host.BudgetTokens)
		if err != nil {
			return nil, failed("the count of tokens", err)
		}
		if out = min(out, limit-spent-in); out < leastTokens {
			return nil, overBudget(role, host.BudgetTokens)
		}
		req.MaxTokens, reserved = int(out), in+out
		if err := b.spend(ctx, role, host.BudgetTokens, reserved); err != nil {
			return nil, err
		}
	}
	return func(used int64) {
		err := b.cfg.Budgets.Spend(context.WithoutCancel(ctx), role.Name, host.BudgetTokens, used-reserved, 0)
		if err != nil {
			b.cfg.Log.Error("tokens not counted", "role", role.Name, "tokens", used, "error", err)
		}
	}, nil
}

func overBudget(role *host.Role, what host.Budget) error {
	message, key := "the role's "+string(what)+" for today are used up; the day ends at 00:00 UTC", "budget"
	switch what {
	case host.BudgetRequests:
		message = "the role makes too many requests; it may go on in a minute"
	case host.BudgetTokens:
		key = "daily_tokens of llm"
	}
	return &refusal{
		status: wire.StatusRateLimited, message: message, final: what != host.BudgetRequests,
		grant: fmt.Sprintf("raise %s in [roles.%s]", key, role.Name),
	}
}
