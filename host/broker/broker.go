package broker

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// maxCalls is how many calls of one turn are worked on at once; more wait. It bounds the
// memory that their bodies take.
const maxCalls = 16

// Auditor keeps the rows; host/audit is one. A row that allows an act must be as durable
// as the act needs when Record returns nil.
type Auditor interface {
	Record(ctx context.Context, d host.Decision) error
}

// Model answers one request and streams its text. A response beside an error carries the usage so far.
type Model interface {
	Complete(ctx context.Context, req wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error)
}

// KV keeps the keys of a skill in an agent; host/store does. A missing key is host.ErrNotFound.
type KV interface {
	KVGet(ctx context.Context, agent host.AgentID, skill host.SkillName, key string) (string, error)
	KVPut(ctx context.Context, agent host.AgentID, skill host.SkillName, key, value string) error
	KVDelete(ctx context.Context, agent host.AgentID, skill host.SkillName, key string) error
	KVList(ctx context.Context, agent host.AgentID, skill host.SkillName, prefix string, limit int) ([]string, error)
}

// Config is what a Broker works with. Audit, Models, Upstream, KV, History, Budgets, Secrets and Log are
// required.
type Config struct {
	Audit    Auditor
	Models   func(role *host.Role, name string) (Model, error) // name "" = the role's default
	Upstream func(role *host.Role) (Upstream, error)           // of programs that ask models themselves
	KV       KV
	History  History
	Budgets  Budgets
	Journal  Journal // of turns; nil = none is kept, and nothing can be run again
	Secrets  func(name string) (secret.Key, error)
	Leaks    func() *secret.Matcher // of the secrets that the host has; nil = it has none
	Log      hclog.Logger
	Notice   func(s host.Scope, what string)         // tells the owner of a refusal; may be nil
	Owner    *Approvals                              // who is asked; nil = nobody: what must be asked is denied
	Tasks    Tasks                                   // nil = there are none here
	Delegate Delegator                               // nil = tasks cannot be given
	Messages Messenger                               // nil = there are no chats
	Files    Files                                   // nil = there are none
	Proxy    func(r *http.Request) (*url.URL, error) // [network] proxy; nil = never
	RootCAs  *x509.CertPool                          // nil = the system's
	// Lookup resolves a name, which ends in a dot when it is absolute; nil = the system's resolver.
	Lookup func(ctx context.Context, network, name string) ([]netip.Addr, error)
	// Dial connects d to an address that was vetted; d checks the socket's address once more.
	Dial func(ctx context.Context, d *net.Dialer, vetted netip.AddrPort) (net.Conn, error)
	// Send sends a request that passed all checks and has its row, credentials included, by the
	// transport chosen for it; nil = as it is. For `skill test`, which records and replays.
	Send func(by http.RoundTripper, r *http.Request) (*http.Response, error)
}

// Broker answers the capability calls of all agents.
type Broker struct {
	cfg                      Config
	public, private, proxied *http.Transport
}

// New returns a Broker. It holds no goroutine; idle connections end by themselves.
func New(cfg Config) *Broker {
	if cfg.Lookup == nil {
		cfg.Lookup = net.DefaultResolver.LookupNetIP
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, d *net.Dialer, to netip.AddrPort) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", to.String())
		}
	}
	if cfg.Send == nil {
		cfg.Send = http.RoundTripper.RoundTrip
	}
	if cfg.Notice == nil {
		cfg.Notice = func(host.Scope, string) {}
	}
	if cfg.Leaks == nil {
		none := secret.NewMatcher(nil)
		cfg.Leaks = func() *secret.Matcher { return none }
	}
	b := &Broker{cfg: cfg}
	b.public, b.private = b.transport(b.dial(false)), b.transport(b.dial(true))
	b.proxied = b.transport((&net.Dialer{Timeout: dialTimeout}).DialContext)
	b.proxied.Proxy = cfg.Proxy
	return b
}

// call is one capability call on its way.
type call struct {
	scope   host.Scope
	need    host.Need     // what the skill's manifest asks for
	row     host.Decision // what its next row says
	allowed bool          // the act may have happened
	turn    *turn
	entry   host.CallRow        // its row of the journal
	replay  bool                // answered from the journal
	w       http.ResponseWriter // until the runner knows that it waits
}

// turn is what the calls of one turn share.
type turn struct {
	asking chan struct{} // held by the call that asks the owner
	http   atomic.Int64  // requests made
	tasks  atomic.Int64  // given to other agents
	past   past          // what earlier attempts did
}

// act is a capability: it checks raw, calls Broker.allow before it acts, and answers.
type act func(ctx context.Context, c *call, raw []byte) (any, error)

// Handler serves wire.PathCap, and wire.PathModel for a program, for the agent at the other end of one connection.
func (b *Broker) Handler(s host.Scope) http.Handler {
	mux, slots := http.NewServeMux(), make(chan struct{}, maxCalls)
	shared := &turn{asking: make(chan struct{}, 1)}
	for name, a := range map[host.Capability]act{
		host.CapHTTP: b.http, host.CapLLM: b.llm, host.CapKV: b.kv, host.CapHistory: b.history,
		host.CapMessage: b.message, host.CapTask: b.task, host.CapAgent: b.agent,
	} {
		mux.HandleFunc("POST "+wire.PathCap+string(name), func(w http.ResponseWriter, r *http.Request) {
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				row := host.Decision{Agent: s.Agent.ID, Role: s.Role.Name, Turn: s.Turn, Capability: name, Target: "-"}
				b.serve(w, r, &call{scope: s, row: row, turn: shared, w: w}, a)
			case <-r.Context().Done():
			}
		})
	}
	if s.Role.Exec == nil { // a role without a program has no proxy
		return mux
	}
	models := make(chan struct{}, maxProxied)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, wire.PathModel+"/") {
			mux.ServeHTTP(w, r)
			return
		}
		select {
		case models <- struct{}{}:
			defer func() { <-models }()
			b.askModel(w, r, s, shared)
		case <-r.Context().Done():
		}
	})
}

// serve answers one call. Whatever happens there is a row of it.
func (b *Broker) serve(w http.ResponseWriter, r *http.Request, c *call, a act) {
	ctx := r.Context()
	body, err := b.perform(ctx, c, r, a)
	status := wire.StatusOK
	if err = b.finish(ctx, c, err); err != nil {
		no := refusalOf(err)
		status, body = no.status, no.body()
	}
	w.Header().Set(wire.HeaderStatus, strconv.Itoa(int(status)))
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the runner is gone, or not
}

var placePattern = regexp.MustCompile(`^([0-9]{1,9}(\.[0-9]{1,9}){0,9})?$`)

// perform makes the checks that all capabilities share, and the act. The body is read
// first: the wire is not full duplex.
func (b *Broker) perform(ctx context.Context, c *call, r *http.Request, a act) ([]byte, error) {
	claimed, place := r.Header.Get(wire.HeaderSkill), r.Header.Get(wire.HeaderCall)
	c.row.Skill = host.SkillName(strings.ToValidUTF8(claimed[:min(len(claimed), 64)], "?"))
	raw, err := wire.ReadLimited(r.Body, wire.MaxCapRequest)
	if errors.Is(err, wire.ErrTooLarge) {
		return nil, tooLarge("the request has more than %d bytes", wire.MaxCapRequest)
	}
	k := c.scope.Skills[host.SkillName(claimed)]
	switch {
	case err != nil || !utf8.Valid(raw):
		return nil, invalid("the request cannot be read")
	case !placePattern.MatchString(place):
		return nil, invalid("the place of the call is not a list of numbers")
	case k == nil:
		return nil, deny("the calling skill is not one of this agent's")
	}
	c.row.Digest, c.row.Call = k.Digest, place
	if name := c.row.Capability; !host.Grants(c.scope.Role, &k.Manifest).Has(name) {
		no := deny("%s is not granted to skill %s", name, c.row.Skill)
		no.grant = fmt.Sprintf("grant %s to role %s, if the skill's manifest asks for it", name, c.row.Role)
		return nil, no
	}
	c.need, _ = k.Manifest.Need(c.row.Capability)
	return b.journaled(ctx, c, raw, a)
}

// allow writes the row that must exist before the act. bytes is what the act sends.
func (b *Broker) allow(ctx context.Context, c *call, target, reason string, bytes int64) error {
	c.row.Target, c.row.Reason, c.row.Bytes = target, reason, bytes
	if err := b.record(ctx, c, "allow"); err != nil {
		return err
	}
	if err := b.intend(ctx, c); err != nil {
		return err
	}
	c.allowed, c.row.Reason, c.row.Bytes = true, "", 0
	return nil
}

// finish writes the last row of a call and returns what the guest is told.
func (b *Broker) finish(ctx context.Context, c *call, err error) error {
	ctx = context.WithoutCancel(ctx)
	if c.replay {
		c.row.Reason = fmt.Sprintf("as in attempt %d of this turn", c.entry.Attempt)
		if e := b.record(ctx, c, "replay"); e != nil {
			return e
		}
		return err
	}
	if err == nil {
		return b.record(ctx, c, "outcome")
	}
	no, verdict := refusalOf(err), "deny"
	if c.allowed && no.status != wire.StatusDenied {
		verdict = "outcome"
	}
	level := hclog.Warn
	if c.row.Capability == host.CapKV && no.status == wire.StatusNotFound { // a key that is not there is an answer
		level = hclog.Debug
	}
	b.cfg.Log.Log(level, "capability call refused", "role", c.row.Role, "agent", c.row.Agent, "skill", c.row.Skill,
		"capability", c.row.Capability, "target", c.row.Target, "reason", no.message, "secrets", no.secrets,
		"to_allow", no.grant, "error", no.cause)
	if no.grant != "" {
		notice := fmt.Sprintf("role %s, skill %s: %s. To allow it: %s", c.row.Role, c.row.Skill, no.message, no.grant)
		notice, _ = b.cfg.Leaks().Redact(notice, false)
		b.cfg.Notice(c.scope, notice)
	}
	c.row.Reason = no.status.String() + ": " + no.message
	if no.secrets != "" {
		c.row.Reason += ": " + no.secrets
	}
	if err := b.record(ctx, c, verdict); err != nil {
		return err
	}
	return no
}

func (b *Broker) record(ctx context.Context, c *call, verdict string) error {
	c.row.Time, c.row.Verdict = time.Now().UTC(), verdict
	if err := b.cfg.Audit.Record(ctx, b.plain(c.row)); err != nil {
		b.cfg.Log.Error("audit row not written", "error", err)
		return &refusal{status: wire.StatusInternal, message: "the audit log cannot be written"}
	}
	return nil
}

// decode reads the guest's JSON. The decoder's error is dropped: it quotes the request.
func decode(raw []byte, v any) error {
	if err := wire.Unmarshal(raw, v); err != nil {
		return invalid("the request does not have the shape of the capability's call")
	}
	return nil
}

// encode fits an answer into the wire's limit.
func encode(v any) ([]byte, error) {
	b, err := marshal(v)
	if len(b) > wire.MaxCapResponse {
		return nil, tooLarge("the answer has more than %d bytes", wire.MaxCapResponse)
	}
	return b, err
}

func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // pages are full of <, six bytes each otherwise
	err := e.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}
