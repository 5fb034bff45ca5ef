package daemon

import (
	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/secret"
)

func newModels(cfg *config.Config, log hclog.Logger) (func(*host.Role, string) (broker.Model, error), error) {
	return func(*host.Role, string) (broker.Model, error) { return nil, host.ErrUnavailable }, nil
}

// secrets resolves [secrets.NAME] for the broker, at the time of use.
func secrets(cfg *config.Config) func(string) (secret.Key, error) {
	return func(name string) (secret.Key, error) {
		src, ok := cfg.Secrets[name]
		if !ok {
			return secret.Key{}, host.ErrNotFound
		}
		return secret.Resolve(name, src)
	}
}
