package model

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	managed       = "proxy-managed"    // a Docker Sandbox puts the key in its place
	oauthKey      = "sk-ant-oat"       // how the token of a Claude subscription begins
	oauthBeta     = "oauth-2025-04-20" // without which it is refused
	anthropicBeta = "Anthropic-Beta"
)

// authorize puts key in the place of all credentials. The sentinel goes where a key and where a
// token would be, as Claude Code has it: which of them is replaced is the sandbox's affair.
func authorize(h http.Header, kind, key string) {
	h.Del("X-Api-Key")
	h.Del("Authorization")
	if key == "" {
		return
	}
	token := strings.HasPrefix(key, oauthKey)
	if kind == OpenAI || token || key == managed {
		h.Set("Authorization", "Bearer "+key)
	}
	if kind == Anthropic && !token {
		h.Set("X-Api-Key", key)
	}
	if beta := h.Get(anthropicBeta); kind == Anthropic && token && !strings.Contains(beta, oauthBeta) {
		h.Set(anthropicBeta, strings.TrimPrefix(beta+","+oauthBeta, ","))
	}
}

// Upstream is where the model of a role is asked, for a program that speaks the protocol itself.
type Upstream struct {
	Provider  string
	Kind      string
	BaseURL   string
	Models    []string
	Authorize func(http.Header) error
	Transport http.RoundTripper
}

// Upstream is that of the role's model. Fallbacks of the same provider may be asked too, by name.
func (s *Set) Upstream(role *host.Role) (Upstream, error) {
	choices := s.cfg.Choose(role)
	first := choices[0]
	end, ok := s.cfg.Endpoints[first.Provider]
	if !ok {
		return Upstream{}, fmt.Errorf("%w: role %s runs a program, which needs the model of a provider: "+
			"%s cannot answer it", host.ErrUnavailable, role.Name, first.Provider)
	}
	own := map[string]string{Anthropic: "https://api.anthropic.com", OpenAI: "https://api.openai.com/v1"}
	up := Upstream{
		Provider: first.Provider, Kind: end.Kind, BaseURL: cmp.Or(end.BaseURL, own[end.Kind]), Transport: s.direct,
		Authorize: func(h http.Header) error {
			key, err := end.key(first.Provider)
			if err != nil {
				return err
			}
			authorize(h, end.Kind, key)
			return nil
		},
	}
	for _, c := range choices {
		if c.Provider == first.Provider && !slices.Contains(up.Models, c.Model) {
			up.Models = append(up.Models, c.Model)
		}
	}
	return up, nil
}
