package daemon

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// newBroker puts the host side of capability calls together. Keys are fetched at the
// moment of use and live no longer than it. change has the last word on parts; nil = none.
func newBroker(
	cfg *config.Config, vault *secret.Vault, parts broker.Config, change func(*broker.Config),
) *broker.Broker {
	vault.Use(func() map[string]host.SecretSource { return secrets(cfg) })
	models := model.New(model.Config{
		Choose: cfg.Choices, Endpoints: endpoints(cfg, vault), Transport: cfg.Network.Transport(),
		Log: parts.Log,
	})
	parts.Models = func(role *host.Role, name string) (broker.Model, error) { return models.Model(role, name) }
	parts.Upstream = func(role *host.Role) (broker.Upstream, error) {
		up, err := models.Upstream(role)
		return broker.Upstream(up), err
	}
	parts.Secrets = func(name string) (secret.Key, error) {
		src, ok := cfg.Secrets[name]
		if !ok {
			return secret.Key{}, fmt.Errorf("secret %s: %w", name, host.ErrNotFound)
		}
		return vault.Get(name, src)
	}
	parts.Leaks, parts.Proxy, parts.RootCAs = vault.Matcher, cfg.Network.ProxyFunc(), cfg.Network.RootCAs()
	if change != nil {
		change(&parts)
	}
	return broker.New(parts)
}

// endpoints are where models are asked, with their keys.
func endpoints(cfg *config.Config, vault *secret.Vault) map[string]model.Endpoint {
	ends := make(map[string]model.Endpoint)
	for name, p := range cfg.Providers {
		end := model.Endpoint{Kind: p.Kind, BaseURL: p.BaseURL}
		if p.APIKey != nil {
			end.Key = func() (string, error) {
				k, err := vault.Get(keyName(p), *p.APIKey)
				return k.Reveal(), err
			}
		}
		ends[name] = end
	}
	return ends
}

// TryModel asks the first model of a role for one word, without fallbacks, budgets and rows: can its
// provider be reached, does it take the key, and know the model? A key that is not "" is tried
// instead of the one that is configured.
func TryModel(ctx context.Context, cfg *config.Config, vault *secret.Vault, role *host.Role, key string) error {
	choice := cfg.Choices(role)[:1]
	ends := endpoints(cfg, vault)
	if end := ends[choice[0].Provider]; key != "" {
		end.Key = func() (string, error) { return key, nil }
		ends[choice[0].Provider] = end
	}
	m, err := model.New(model.Config{
		Choose: func(*host.Role) []host.ModelChoice { return choice }, Endpoints: ends, Transport: cfg.Network.Transport(),
		Silence: silence, Log: hclog.NewNullLogger(),
	}).Model(role, "")
	if err == nil {
		_, err = m.Complete(ctx, wire.LLMRequest{MaxTokens: 32, Messages: []wire.LLMMessage{{
			Role: wire.RoleUser, Content: []wire.Block{{Type: wire.BlockText, Text: "Answer with one word: ready"}},
		}}}, nil)
	}
	return err
}

// silence is how long a model that is only tried may say nothing.
const silence = 30 * time.Second

// keyName is the name of a provider's key, or else where it is configured.
func keyName(p config.Provider) string { return cmp.Or(p.Secret, "providers."+p.Name+".api_key") }

// secrets are all that the host may come to have: configured, of providers, and stored.
func secrets(cfg *config.Config) map[string]host.SecretSource {
	all := secret.Stored(cfg.StateDir)
	maps.Copy(all, cfg.Secrets)
	for _, p := range cfg.Providers {
		if p.APIKey != nil {
			all[keyName(p)] = *p.APIKey
		}
	}
	return all
}

// unsaid is an error whose words hold no secret.
type unsaid struct {
	error
	text string
}

func (e unsaid) Error() string { return e.text }
func (e unsaid) Unwrap() error { return e.error }

// harmless is what a chat may be told of the end of a turn: the secrets of the host, and whatever
// looks like a key, are left out before it is stored or cut.
func (d *Daemon) harmless(role host.RoleName, reply string, err error) (string, error) {
	m := d.opt.Vault.Matcher()
	reply, found := m.Redact(reply, true)
	if err != nil {
		text, more := m.Redact(fmt.Sprintf("%s: %v", role, err), true)
		err, found = unsaid{err, text}, append(found, more...)
	}
	if len(found) > 0 {
		d.log.Warn("left out of a reply", "role", role, "secrets", found)
	}
	return reply, err
}
