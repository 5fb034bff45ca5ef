package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// What a model's provider may be without a [providers.NAME].
const (
	auto    = "auto"
	offline = "offline"
)

// Kinds of providers: the protocol that they speak. A provider of this name is of this kind.
const (
	anthropic = "anthropic"
	openai    = "openai"
)

// defaultModel is anthropic's.
const defaultModel = "claude-sonnet-5-5"

func (b *builder) models(c *Config, f *file) {
	c.Providers = make(map[string]Provider)
	c.order = slices.Sorted(maps.Keys(f.Providers))
	for _, name := range c.order {
		c.Providers[name] = b.provider(c, name, f.Providers[name])
	}
	slices.SortStableFunc(c.order, func(x, y string) int { return b.lines["providers."+x] - b.lines["providers."+y] })
	if _, said := c.Providers[anthropic]; !said && b.sandboxed() { // which has the key, and puts it in
		c.Providers[anthropic] = Provider{Name: anthropic, Kind: anthropic, APIKey: &host.SecretSource{Managed: true}}
		c.order = append(c.order, anthropic)
	}
	c.Model = b.model(c, f, "model", "", f.Model)
	c.Models = make(map[string]host.ModelChoice)
	names := slices.Sorted(maps.Keys(f.Models))
	for _, name := range names {
		b.named(entryName, "models", name)
		c.Models[name] = b.model(c, f, "models."+name, name, f.Models[name])
	}
	for _, cycle := range cycles(names, func(n string) []string { return f.Models[n].Fallback }) {
		b.fail("models."+cycle[0]+".fallback", "fallbacks go in a circle: %s", strings.Join(cycle, " → "))
	}
}

func (b *builder) model(c *Config, f *file, path, name string, t modelTable) host.ModelChoice {
	known := append([]string{auto, offline, anthropic, openai}, c.order...)
	switch p := c.Providers[t.Provider]; {
	case t.Provider == "":
		slices.Sort(known)
		b.fail(path, "must say its provider: one of %s", strings.Join(slices.Compact(known), ", "))
	case !slices.Contains(known, t.Provider):
		b.fail(path+".provider", "unknown provider %q; the nearest known one is %q", t.Provider, nearest(t.Provider, known))
	case t.Provider != auto && t.Provider != offline && p.APIKey == nil && p.BaseURL == "":
		b.fail(path+".provider", "%s needs a key: say where it is as api_key in [providers.%[1]s]; a server that needs none "+
			"has a base_url there", t.Provider)
	}
	if strings.TrimSpace(t.Name) == "" && t.Provider != offline {
		b.fail(path, "must say its name: a model of the provider")
	}
	for i, other := range t.Fallback {
		if _, ok := f.Models[other]; !ok {
			b.fail(path+".fallback", "there is no [models.%s]", other)
		}
		if slices.Contains(t.Fallback[:i], other) {
			b.fail(path+".fallback", "%q is there twice", other)
		}
	}
	return host.ModelChoice{
		Name: name, Provider: t.Provider, Model: t.Name, Blind: t.Images != nil && !*t.Images,
		Fallback: append([]string(nil), t.Fallback...),
	}
}

func (b *builder) provider(c *Config, name string, t providerTable) Provider {
	path, kinds := "providers."+name, []string{anthropic, openai}
	b.named(entryName, "providers", name)
	p := Provider{Name: name, Kind: t.Kind, BaseURL: t.BaseURL}
	if slices.Contains(kinds, name) {
		p.Kind = cmp.Or(p.Kind, name)
	}
	switch {
	case name == auto || name == offline:
		b.fail(path, "%q is no name for a provider: it means something else in [model]", name)
	case p.Kind == "":
		b.fail(path, `must say its kind: "anthropic" or "openai", the protocol that it speaks; most servers speak openai's`)
	case !slices.Contains(kinds, p.Kind):
		b.fail(path+".kind", "unknown kind %q; the nearest known one is %q", p.Kind, nearest(p.Kind, kinds))
	}
	if t.APIKey != nil {
		s := b.source(c, path+".api_key", *t.APIKey)
		p.APIKey, p.Secret = &s, t.APIKey.Secret
	}
	if t.BaseURL == "" {
		if !slices.Contains(kinds, name) {
			b.fail(path, "must say its base_url")
		}
		return p
	}
	u, err := url.Parse(t.BaseURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
		u.User != nil || u.RawQuery+u.Fragment != "" {
		b.fail(path+".base_url", "must be an https or http URL without password, query and fragment")
		return p
	}
	p.Local = loopback(u.Hostname())
	if u.Scheme == "http" && !p.Local && t.APIKey != nil {
		b.fail(path+".base_url", "would send the key in the clear; use https, or http on this machine only")
	}
	return p
}

func loopback(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// roleModel checks that the role's model exists and that it and its fallbacks, where they must,
// stay on this machine.
func (b *builder) roleModel(c *Config, at string, r *host.Role) {
	if r.Model != "" && c.Models[r.Model].Provider == "" {
		b.fail(at+".model", "there is no [models.%s]", r.Model)
		return
	}
	for _, m := range c.Choices(r) {
		p := c.Providers[m.Provider]
		if r.LocalOnly && m.Provider != offline && !p.Local {
			b.fail(at+".model", "local_only is set, but provider %s is not on this machine", m.Provider)
		}
		if m.Name == "" && m.Model == defaultModel && p.Kind == openai && b.lines["model.name"] == 0 {
			b.fail("model", "must say its name: a model of provider %s, which answers for role %s", m.Provider, r.Name)
		}
	}
}

// Choices are the model that answers for a role, then its fallbacks and theirs, each once, with
// "auto" decided.
func (c *Config) Choices(r *host.Role) (out []host.ModelChoice) {
	var add func(m host.ModelChoice)
	add = func(m host.ModelChoice) {
		if m.Provider == "" || slices.ContainsFunc(out, func(have host.ModelChoice) bool { return have.Name == m.Name }) {
			return
		}
		out = append(out, c.decide(m, r.LocalOnly))
		for _, name := range m.Fallback {
			add(c.Models[name])
		}
	}
	if r.Model == "" {
		add(c.Model)
	}
	add(c.Models[r.Model])
	return out
}

// decide makes "auto" the first provider of the file that can be asked, else offline.
func (c *Config) decide(m host.ModelChoice, localOnly bool) host.ModelChoice {
	if m.Provider != auto {
		return m
	}
	m.Provider = offline
	for _, name := range c.order {
		if p := c.Providers[name]; p.ready() && (p.Local || !localOnly) {
			m.Provider = name
			break
		}
	}
	return m
}

// ready reports whether a key can be expected, without reading it, or whether none is needed.
func (p Provider) ready() bool {
	k := p.APIKey
	switch {
	case k == nil:
		return p.BaseURL != ""
	case k.Env != "":
		return os.Getenv(k.Env) != ""
	case k.File != "":
		_, err := os.Stat(k.File)
		return err == nil
	}
	return true
}

// away are the providers on other machines that may answer for a role.
func (c *Config) away(r *host.Role) []string {
	out := []string{}
	for _, m := range c.Choices(r) {
		if m.Provider != offline && !c.Providers[m.Provider].Local && !slices.Contains(out, m.Provider) {
			out = append(out, m.Provider)
		}
	}
	return out
}

// modelOf says where what a role reads is sent.
func (c *Config) modelOf(r *host.Role) string {
	var out []string
	suffix := ": nothing leaves this machine"
	for _, m := range c.Choices(r) {
		if m.Provider == offline {
			out = append(out, offline)
			continue
		}
		place := cmp.Or(c.Providers[m.Provider].BaseURL, "its own address")
		out = append(out, fmt.Sprintf("%s, model %s, at %s", m.Provider, m.Model, place))
		suffix = ": everything this role reads is sent there"
	}
	if out[0] == offline && c.Model.Provider == auto && r.Model == "" {
		out[0] = "offline, because no provider has a key"
	}
	if r.LocalOnly {
		suffix += "; local_only: no other machine is asked"
	}
	return strings.Join(out, "; if that fails, ") + suffix
}
