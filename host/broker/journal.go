package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// The journal: every call of a turn and what it was answered, so that a turn which is run again
// does not do again what it did.
//
// A call is answered from the journal when an earlier attempt made the same call (skill,
// capability and every byte of the request) at the same place of the turn, and everything before it
// was answered from the journal too. The first call that is not goes live, and with it what comes
// after it: see follows for what "after" means where calls run beside each other. No clock has a say.
//
// What a failed call was told is told again only if the guest went on after it; else the failure
// is what ended the attempt, and trying again is the point of another one.
//
// A call that may have happened, and whose outcome nobody saw, is not made again in this turn by
// any attempt, wherever it stands: a guest is told so and can say it to its user.
const (
	maxCallRows = 4000     // of one attempt: beyond, calls are not kept, and those with an effect outside refused
	maxAnswer   = 1 << 20  // bytes of an answer that is kept
	maxAnswers  = 32 << 20 // bytes of all that one attempt keeps
)

// silent are failures that say nothing about whether the act happened.
var silent = []wire.Status{wire.StatusTimeout, wire.StatusCancelled, wire.StatusUnavailable, wire.StatusInternal}

// Journal keeps the rows; host/store does.
type Journal interface {
	// Calls lists the rows of a turn, oldest first.
	Calls(ctx context.Context, turn host.TurnID) ([]host.CallRow, error)
	// PutCall keeps r and gives it a number, or keeps it in the place of the row of its number.
	PutCall(ctx context.Context, r *host.CallRow) error
}

// past is what the calls of one attempt share: what earlier ones did, and how far this one does the same.
type past struct {
	mu      sync.Mutex
	loaded  bool
	answers map[string]*host.CallRow // by place
	unsure  map[string]bool          // prints of calls that may have happened
	live    []string                 // places where this attempt went its own way
	rows    int
	bytes   int
}

// journaled answers c from the journal or by a, and keeps what came of it.
func (b *Broker) journaled(ctx context.Context, c *call, raw []byte, a act) ([]byte, error) {
	if b.cfg.Journal == nil || c.scope.Attempt == 0 {
		return answerOf(a(ctx, c, raw))
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s", c.row.Skill, c.row.Capability, raw)
	c.entry = host.CallRow{
		Turn: c.row.Turn, Attempt: c.scope.Attempt, Place: c.row.Call, Skill: c.row.Skill, Capability: c.row.Capability,
		Print: hex.EncodeToString(sum.Sum(nil)), Outside: outside(c.row.Capability, raw), State: host.CallBegun,
		Started: time.Now(),
	}
	old, err := b.earlier(ctx, c)
	if err != nil {
		return nil, failed("the journal", err)
	}
	if old != nil {
		c.replay, c.entry, c.row.Target = true, *old, old.Target
		if old.Status == wire.StatusOK {
			return old.Answer, nil
		}
		var told wire.Error
		_ = json.Unmarshal(old.Answer, &told) // the host's own
		return nil, &refusal{status: old.Status, message: told.Message, final: !told.Retryable}
	}
	body, err := answerOf(a(ctx, c, raw))
	b.keep(context.WithoutCancel(ctx), c, body, err)
	return body, err
}

func answerOf(answer any, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return encode(answer)
}

// outside reports whether making a call twice is not the same as making it once. A model that is
// asked again and a key that is put again do no harm, nor does getting a page. A task for another
// agent is the same turn when it is given again, with a journal of its own, and a message the same row.
func outside(capability host.Capability, raw []byte) bool {
	switch capability {
	case host.CapLLM, host.CapKV, host.CapHistory, host.CapAgent, host.CapMessage:
		return false
	case host.CapHTTP:
		var req wire.HTTPRequest
		return decode(raw, &req) == nil && !slices.Contains([]string{"", http.MethodGet, http.MethodHead}, req.Method)
	}
	return true
}

// earlier is the row that answers c, nil when c is to be made now.
func (b *Broker) earlier(ctx context.Context, c *call) (*host.CallRow, error) {
	p, e := &c.turn.past, &c.entry
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.scope.Attempt > 1 && !p.loaded {
		rows, err := b.cfg.Journal.Calls(ctx, c.row.Turn)
		if err != nil {
			return nil, err
		}
		p.loaded = true
		p.read(rows)
	}
	own := slices.ContainsFunc(p.live, func(place string) bool { return follows(e.Place, place) })
	old := p.answers[e.Place]
	if !own && old != nil && old.Print == e.Print {
		if old.State == host.CallBegun { // now it is settled, for this attempt and those after it
			no := notKnown()
			old.State, old.Status, old.Answer, old.Ended = host.CallUnknown, no.status, no.body(), time.Now()
			if err := b.cfg.Journal.PutCall(ctx, old); err != nil {
				return nil, err
			}
		}
		return old, nil
	}
	if p.loaded && !own {
		p.live = append(p.live, e.Place)
	}
	return nil, nil
}

func notKnown() *refusal {
	return &refusal{
		status: wire.StatusUnavailable, final: true,
		message: "the outcome of this request is not known: it may have happened; it is not repeated",
	}
}

// read sorts the rows of earlier attempts, oldest first.
func (p *past) read(rows []host.CallRow) {
	p.answers, p.unsure = make(map[string]*host.CallRow), make(map[string]bool)
	for i := range rows {
		r := &rows[i]
		if r.Outside && (r.State != host.CallDone || r.Acted && r.Answer == nil) {
			p.unsure[r.Print] = true
		}
		for place, old := range p.answers { // an attempt went its own way here, those after it with it
			if old.Attempt < r.Attempt && follows(place, r.Place) {
				delete(p.answers, place)
			}
		}
		p.answers[r.Place] = r
	}
	last := func(r *host.CallRow) bool {
		for place := range p.answers {
			if follows(place, r.Place) {
				return false
			}
		}
		return true
	}
	var gone []string
	for place, r := range p.answers {
		switch made := r.Outside && r.Acted; {
		case r.State == host.CallUnknown && last(r):
			r.State = host.CallBegun // what it was told was for a guest that ended with it
		case r.State != host.CallBegun && r.Answer == nil, r.Status != wire.StatusOK && !made && last(r):
			gone = append(gone, place)
		}
	}
	for _, place := range gone {
		delete(p.answers, place)
	}
}

// follows reports whether a guest that makes the call at place q has made the one at p before: both
// stand in the sequence of one guest, or q below a later call than p in it. Every second number of a
// place is that of a call in a batch, whose calls run beside each other: "2.1.0" does not follow "2.0.5".
func follows(q, p string) bool {
	qs, ps := strings.Split(q, "."), strings.Split(p, ".")
	for i := range min(len(qs), len(ps)) {
		if qs[i] != ps[i] {
			n, _ := strconv.Atoi(qs[i]) // checked by placePattern
			m, _ := strconv.Atoi(ps[i])
			return i%2 == 0 && n > m
		}
	}
	return len(qs) > len(ps)
}

// intend keeps the intent of a call with an effect outside, just before it is made: a question to
// the owner is over by then. One that another attempt may have made is not made again.
func (b *Broker) intend(ctx context.Context, c *call) error {
	if !c.entry.Outside || c.entry.N != 0 {
		return nil
	}
	c.turn.past.mu.Lock()
	unsure := c.turn.past.unsure[c.entry.Print]
	c.turn.past.mu.Unlock()
	if unsure {
		return notKnown()
	}
	if !c.turn.past.room() {
		return &refusal{status: wire.StatusRateLimited, message: "the turn has made too many requests"}
	}
	c.entry.Target = b.plain(c.row).Target
	failpoint.Hit(failpoint.BeforeIntent)
	if err := b.cfg.Journal.PutCall(ctx, &c.entry); err != nil {
		return failed("the journal", err)
	}
	failpoint.Hit(failpoint.AfterIntent)
	return nil
}

// room counts a row, unless there are too many.
func (p *past) room() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows++
	return p.rows <= maxCallRows
}

// keep keeps what came of c.
func (b *Broker) keep(ctx context.Context, c *call, body []byte, err error) {
	e := &c.entry
	if e.N == 0 && !c.turn.past.room() {
		return
	}
	e.State, e.Status, e.Answer, e.Ended = host.CallDone, wire.StatusOK, body, time.Now()
	e.Target, e.Acted = b.plain(c.row).Target, c.allowed
	if err != nil {
		no := refusalOf(err)
		e.Status, e.Answer = no.status, no.body()
		if e.Outside && c.allowed && slices.Contains(silent, no.status) {
			e.State = host.CallUnknown
		}
	}
	p := &c.turn.past
	p.mu.Lock()
	if p.bytes += len(e.Answer); len(e.Answer) > maxAnswer || p.bytes > maxAnswers {
		p.bytes -= len(e.Answer)
		e.Answer = nil
	}
	p.mu.Unlock()
	failpoint.Hit(failpoint.BeforeOutcome)
	if err := b.cfg.Journal.PutCall(ctx, e); err != nil {
		b.cfg.Log.Error("journal", "turn", e.Turn, "place", e.Place, "error", err)
	}
	failpoint.Hit(failpoint.AfterOutcome)
}
