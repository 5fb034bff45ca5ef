package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
	"github.com/nanoclaw/nanoclaw/sdk/wire/pause"
)

const (
	maxAsks   = 3   // questions that one turn may put to its owner
	maxReason = 120 // characters of what a skill says for itself
	maxShown  = 100 // bytes of a path that the owner is shown
)

// ApprovalRows keeps questions and answers; host/store does.
type ApprovalRows interface {
	Ask(ctx context.Context, a host.Approval, max int) (out host.Approval, fresh bool, err error)
	Decide(ctx context.Context, n int64, from, to host.ApprovalState, author string, always bool) (host.Approval, error)
	Granted(ctx context.Context, r host.RoleName, s host.SkillName, c host.Capability, rule string) (host.GrantRow, error)
}

// Approvals puts questions to the owner and takes the answers. There is one for all brokers of a
// host. Nothing that a model can call reaches Answer.
type Approvals struct {
	Rows  ApprovalRows
	Audit Auditor
	Tell  func(ctx context.Context, a host.Agent, text string) error // the owner, and nobody else

	mu      sync.Mutex
	waiting map[int64]chan struct{} // closed by an answer
}

// question is what the owner is asked about.
type question struct {
	what  string // "POST to api.example.com/v1/send (512 bytes)"
	rule  string // what /always would allow; "" = nothing is allowed for always
	print string // hash of everything that would be sent
}

// ask returns once the owner allows q, and says how; a denial, silence, or nobody to ask is a
// refusal. Meanwhile no clock of the turn runs, and its place is free.
func (b *Broker) ask(ctx context.Context, c *call, q question) (how string, err error) {
	p := b.cfg.Owner
	if p == nil || c.scope.Pause == nil {
		return "", deny("%s: the grant asks its owner, who cannot be asked here", c.row.Target)
	}
	g, err := host.GrantRow{}, host.ErrNotFound
	if q.rule != "" {
		g, err = p.Rows.Granted(ctx, c.row.Role, c.row.Skill, c.row.Capability, q.rule)
	}
	if err == nil {
		return fmt.Sprintf("grant row %d of %s", g.N, g.Author), nil
	}
	if !errors.Is(err, host.ErrNotFound) {
		return "", failed("the grants", err)
	}
	defer pause.Hold(ctx)()
	c.waits() // the runner's clocks stand still too
	select {
	case c.turn.asking <- struct{}{}: // one question after the other
		defer func() { <-c.turn.asking }()
	case <-ctx.Done():
		return "", failed("the question", context.Cause(ctx))
	}
	now := time.Now()
	row := host.Approval{
		Agent: c.row.Agent, Turn: c.row.Turn, Role: c.row.Role, Skill: c.row.Skill, Capability: c.row.Capability,
		Rule: q.rule, Print: q.print, Created: now, Expires: now.Add(c.scope.Role.AskWait),
	}
	row.What = fmt.Sprintf("%s, by skill %s of role %s", q.what, c.row.Skill, c.row.Role)
	var answered <-chan struct{}
	for {
		a, fresh, err := p.Rows.Ask(ctx, row, maxAsks)
		switch {
		case errors.Is(err, host.ErrLimit):
			return "", deny("%s: this turn has asked its owner %d times already", c.row.Target, maxAsks)
		case err != nil:
			return "", failed("the question", err)
		case a.State == host.ApprovalAllowed:
			a, err = p.Rows.Decide(ctx, a.N, host.ApprovalAllowed, host.ApprovalUsed, "", false)
			if err == nil {
				return fmt.Sprintf("approval %d of %s", a.N, a.Author), nil
			}
		case a.State != host.ApprovalPending:
			return "", deny("%s: the owner did not allow this (approval %d: %s)", c.row.Target, a.N, a.State)
		case answered == nil: // the row is read again after this, so that no answer is missed
			answered = p.follow(a.N)
			if fresh {
				err = b.put(ctx, c, a)
			}
		default:
			err = b.wait(ctx, c, a, answered)
			answered = nil
		}
		if err != nil && !errors.Is(err, host.ErrNotFound) { // not found: answered in the meantime
			return "", err
		}
	}
}

// put tells the owner of a question. Where that fails it can still be answered: `grant list` has it.
func (b *Broker) put(ctx context.Context, c *call, a host.Approval) error {
	c.row.Reason = fmt.Sprintf("approval %d", a.N)
	if err := b.record(ctx, c, "ask"); err != nil {
		return err
	}
	choices := fmt.Sprintf("/allow %d (once), /always %[1]d or /deny %[1]d", a.N)
	if a.Rule == "" {
		choices = fmt.Sprintf("/allow %d or /deny %[1]d", a.N)
	}
	text := fmt.Sprintf("May I? %s.\n%sAnswer %s; in %s it is denied.",
		a.What, reasonOf(c.need), choices, time.Until(a.Expires).Round(time.Second))
	if err := b.cfg.Owner.Tell(ctx, c.scope.Agent, text); err != nil {
		b.cfg.Log.Error("the owner cannot be asked", "approval", a.N, "error", err)
	}
	return nil
}

// wait returns when a is answered or too old.
func (b *Broker) wait(ctx context.Context, c *call, a host.Approval, answered <-chan struct{}) (err error) {
	resume := c.scope.Pause()
	late := time.NewTimer(time.Until(a.Expires))
	defer late.Stop()
	select {
	case <-answered:
	case <-late.C:
		_, err = b.cfg.Owner.Rows.Decide(ctx, a.N, host.ApprovalPending, host.ApprovalExpired, "nobody", false)
		b.cfg.Owner.wake(a.N)
	case <-ctx.Done():
		err = failed("the question", context.Cause(ctx))
	}
	if e := resume(ctx); err == nil && e != nil {
		err = failed("the turn", e)
	}
	return err
}

// follow returns a channel that ends with the answer to n.
func (p *Approvals) follow(n int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = make(map[int64]chan struct{})
	}
	if p.waiting[n] == nil {
		p.waiting[n] = make(chan struct{})
	}
	return p.waiting[n]
}

func (p *Approvals) wake(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiting[n]; w != nil {
		close(w)
		delete(p.waiting, n)
	}
}

// Answer is the owner's: allow, always or deny. author says who and where. The sentence is for
// the chat that the answer came from.
func (p *Approvals) Answer(ctx context.Context, n int64, verb, author string) (string, error) {
	to := host.ApprovalAllowed
	if verb == "deny" {
		to = host.ApprovalDenied
	}
	a, err := p.Rows.Decide(ctx, n, host.ApprovalPending, host.ApprovalPending, "", false) // asks whether it is
	if a.Rule == "" && verb == "always" {
		verb = "allow"
	}
	if err == nil {
		// The row comes first: what the log cannot take is not allowed.
		err = p.Audit.Record(ctx, host.Decision{
			Time: time.Now().UTC(), Agent: a.Agent, Role: a.Role, Turn: a.Turn, Skill: a.Skill, Capability: a.Capability,
			Target: cmp.Or(a.Rule, "-"), Verdict: "answer", Reason: fmt.Sprintf("%s %d by %s", verb, n, author),
		})
	}
	if err == nil {
		a, err = p.Rows.Decide(ctx, n, host.ApprovalPending, to, author, verb == "always")
	}
	if errors.Is(err, host.ErrNotFound) {
		return fmt.Sprintf("Nothing waits under the number %d: it was answered already, or is too old.", n), nil
	}
	if err != nil {
		return "", err
	}
	p.wake(n)
	said := map[string]string{"allow": "Allowed once", "always": "Always allowed", "deny": "Denied"}[verb]
	return fmt.Sprintf("%s: %s.", said, a.What), nil
}

// reasonOf quotes the skill's own reason: a stranger's words, so bounded and plain.
func reasonOf(n host.Need) string {
	words := plainWords(n.Reason, maxReason)
	if words == "" {
		return ""
	}
	return fmt.Sprintf("The skill's own words for it: \"%s\".\n", words)
}

// plainWords is s on one line of at most max characters, without quotes and marks.
func plainWords(s string, max int) string {
	plain := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != '"' && r != '`' && r != '*' && r != '_' {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, ""))
	words := []rune(strings.Join(strings.Fields(plain), " "))
	if len(words) > max {
		words = append(words[:max-1], '…')
	}
	return string(words)
}

// question describes h. A path is shown without its query, and cut.
func (h *hop) question() question {
	path := h.to.url.EscapedPath()
	rule := fmt.Sprintf("%s %s%s", h.method, h.to.origin(), path)
	if len(path) > maxShown {
		path = path[:maxShown] + "…"
	}
	parts := []string{h.method, h.to.url.String(), string(h.body)}
	for _, name := range slices.Sorted(maps.Keys(h.header)) {
		parts = append(parts, name, h.header.Get(name))
	}
	what := fmt.Sprintf("%s to %s%s (%d bytes)", h.method, h.to.host, path, len(h.body))
	return question{what: what, rule: rule, print: printOf(parts...)}
}

// printOf is a hash of parts: no two lists of strings have one encoding.
func printOf(parts ...string) string {
	sum := sha256.New()
	_ = json.NewEncoder(sum).Encode(parts) // a hash takes everything
	return hex.EncodeToString(sum.Sum(nil))
}

// waits tells the runner, once, that the answer takes as long as a person does.
func (c *call) waits() {
	if c.w != nil {
		c.w.WriteHeader(wire.CodeWaiting)
		c.w = nil
	}
}
