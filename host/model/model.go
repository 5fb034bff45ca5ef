package model

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Offline is the provider that needs no Endpoint.
const Offline = "offline"

// Kinds of an Endpoint: the protocol that it speaks.
const (
	Anthropic = "anthropic" // Messages
	OpenAI    = "openai"    // Chat Completions
)

// Provider answers model requests.
type Provider interface {
	// Complete answers one request and calls onText with each piece of text as it comes. An
	// answer beside an error holds the usage so far and nothing else.
	Complete(ctx context.Context, req wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error)
}

// Endpoint is where a provider's models are asked.
type Endpoint struct {
	Kind    string
	BaseURL string                 // "" = the kind's own
	Key     func() (string, error) // called for each request, so that a changed key is taken up; nil = none is sent
}

// Config is what a Set works with.
type Config struct {
	// Choose is the model of a role, then its fallbacks, with "auto" decided: config.Config.Choices.
	Choose    func(role *host.Role) []host.ModelChoice
	Endpoints map[string]Endpoint // by provider
	Transport *http.Transport     // nil = one without a proxy
	Silence   time.Duration       // a server that says nothing for so long is given up; 0 = 5 minutes
	Log       hclog.Logger
}

// Set finds the models of a role.
type Set struct {
	cfg    Config
	client *http.Client
	direct *http.Transport // without what client knows of the SDKs
}

// New returns a Set. It opens no connection.
func New(cfg Config) *Set {
	if cfg.Silence == 0 {
		cfg.Silence = defaultSilence
	}
	direct := newTransport(cfg)
	return &Set{cfg, newClient(direct), direct}
}

// Model is what answers for role. name is a model that a skill asked for by name: a role may
// name its own, by the name in nanoclaw.toml or the provider's ID, and no other.
func (s *Set) Model(role *host.Role, name string) (Provider, error) {
	choices := s.cfg.Choose(role)
	if first := choices[0]; name != "" && name != first.Name && name != first.Model {
		return nil, fmt.Errorf("%w: role %s may not use model %q", host.ErrDenied, role.Name, name)
	}
	c := chain{log: s.cfg.Log}
	for i, choice := range choices {
		p, err := s.provider(choice, i == len(choices)-1)
		if err != nil {
			return nil, err
		}
		c.models = append(c.models, p)
	}
	return c, nil
}

// provider asks the model of one choice. last: no other stands ready when it fails.
func (s *Set) provider(choice host.ModelChoice, last bool) (Provider, error) {
	if choice.Provider == Offline {
		return offline{}, nil
	}
	end, ok := s.cfg.Endpoints[choice.Provider]
	ask := map[string]asker{Anthropic: askAnthropic, OpenAI: askOpenAI}[end.Kind]
	if !ok || ask == nil {
		return nil, fmt.Errorf("%w: there is no [providers.%s]", host.ErrUnavailable, choice.Provider)
	}
	r := &remote{
		ModelChoice: choice, end: end, ask: ask, client: s.client, silence: s.cfg.Silence,
		retries: maxRetries, patience: maxPatience,
	}
	if !last {
		r.retries, r.patience = fewRetries, littlePatience
	}
	return r, nil
}

// chain asks models in turn until one answers.
type chain struct {
	models []Provider
	log    hclog.Logger
}

// Complete goes on to the next model when one cannot answer, and asks the same one again when
// its answer broke off; never once text of an answer was passed on, which nobody could take
// back. The usage is that of all attempts.
func (c chain) Complete(ctx context.Context, req wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error) {
	var spent wire.Usage
	var said []*failure
	shown := false
	text := func(s string) {
		if shown = shown || s != ""; onText != nil {
			onText(s)
		}
	}
	for i, again := 0, true; ; {
		resp, err := c.models[i].Complete(ctx, req, text)
		if resp != nil {
			spent.InputTokens += resp.Usage.InputTokens
			spent.OutputTokens += resp.Usage.OutputTokens
			resp.Usage = spent
		}
		if err == nil {
			return resp, nil
		}
		f, known := err.(*failure)
		switch {
		case !known || shown:
			return &wire.LLMResponse{Usage: spent}, err
		case f.broken && again:
			again = false
		case i+1 < len(c.models) && f.passes():
			i, again, said = i+1, true, append(said, f)
		default:
			return &wire.LLMResponse{Usage: spent}, f.after(said)
		}
		c.log.Warn("a model is asked again, or its fallback is", "error", err)
	}
}
