package daemon

import (
	"fmt"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/host/secret"
)

// newBroker puts the host side of capability calls together. Keys are fetched at the
// moment of use and live no longer than it. change has the last word on parts; nil = none.
func newBroker(cfg *config.Config, parts broker.Config, change func(*broker.Config)) *broker.Broker {
	ends := make(map[string]model.Endpoint)
	for name, p := range cfg.Providers {
		end := model.Endpoint{Kind: p.Kind, BaseURL: p.BaseURL}
		if p.APIKey != nil {
			end.Key = func() (string, error) {
				k, err := secret.Resolve("providers."+name+".api_key", *p.APIKey)
				return k.Reveal(), err
			}
		}
		ends[name] = end
	}
	models := model.New(model.Config{
		Choose: cfg.Choices, Endpoints: ends, Proxy: cfg.Network.ProxyFunc(), Log: parts.Log,
	})
	parts.Models = func(role *host.Role, name string) (broker.Model, error) { return models.Model(role, name) }
	parts.Secrets = func(name string) (secret.Key, error) {
		src, ok := cfg.Secrets[name]
		if !ok {
			return secret.Key{}, fmt.Errorf("secret %s: %w", name, host.ErrNotFound)
		}
		return secret.Resolve(name, src)
	}
	parts.Proxy = cfg.Network.ProxyFunc()
	if change != nil {
		change(&parts)
	}
	return broker.New(parts)
}
