package model

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Names of providers in a host.ModelChoice.
const (
	Offline   = "offline"
	Anthropic = "anthropic"
)

// Provider answers model requests.
type Provider interface {
	// Complete answers one request and calls onText with each piece of text as it comes. An
	// answer beside an error holds the usage so far and nothing else.
	Complete(ctx context.Context, req wire.LLMRequest, onText func(string)) (*wire.LLMResponse, error)
}

// Endpoint is how a provider is reached.
type Endpoint struct {
	BaseURL string                 // "" = the provider's own
	Key     func() (string, error) // called for each request, so that a changed key is taken up
}

// Config is what a Set works with.
type Config struct {
	// Choose is the model of a role with "auto" decided: config.Config.Choice.
	Choose    func(role *host.Role) host.ModelChoice
	Endpoints map[string]Endpoint                   // by provider
	Proxy     func(*http.Request) (*url.URL, error) // nil = never
}

// Set finds the provider of a role.
type Set struct {
	cfg    Config
	client *http.Client
}

// New returns a Set. It opens no connection.
func New(cfg Config) *Set { return &Set{cfg: cfg, client: newClient(cfg.Proxy)} }

// Model is what answers for role. name is a model that a skill asked for by name: a role may
// name its own, by the name in nanoclaw.toml or the provider's ID, and no other.
func (s *Set) Model(role *host.Role, name string) (Provider, error) {
	choice := s.cfg.Choose(role)
	if name != "" && name != choice.Name && name != choice.Model {
		return nil, fmt.Errorf("%w: role %s may not use model %q", host.ErrDenied, role.Name, name)
	}
	switch choice.Provider {
	case Offline:
		return offline{}, nil
	case Anthropic:
		end, ok := s.cfg.Endpoints[Anthropic]
		if !ok || end.Key == nil {
			return nil, fmt.Errorf("%w: there is no api_key in [providers.anthropic]", host.ErrUnavailable)
		}
		return &anthropicModel{model: choice.Model, end: end, client: s.client}, nil
	}
	return nil, fmt.Errorf("%w: provider %s, the model of role %s, comes with a later version",
		host.ErrUnavailable, choice.Provider, role.Name)
}
