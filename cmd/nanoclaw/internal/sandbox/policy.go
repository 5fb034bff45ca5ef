package sandbox

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// Any is the Host of a rule for every name.
const Any = "**"

// Rule lets what runs in the sandbox connect to a host and port. What no rule allows is refused.
type Rule struct {
	Host   string `json:"host"` // as in a grant: exact, or "*.example.com" for any depth below and never the apex; or Any
	Port   int    `json:"port"`
	Bypass bool   `json:"bypass,omitempty"` // TLS passes uninspected
	Why    string `json:"why"`              // for people: which grants need it
}

func (r Rule) String() string { return r.Host + ":" + strconv.Itoa(r.Port) }

// Covers reports whether r allows all that other allows.
func (r Rule) Covers(other Rule) bool {
	return r.Port == other.Port && (r.Host == Any || host.MatchHost(r.Host, other.Host) || r.Host == other.Host)
}

// whatsappHosts are those of WhatsApp Web. Its own encryption is inside TLS that is not inspected: the
// client refuses another certificate's server.
var whatsappHosts = []string{"web.whatsapp.com", "*.whatsapp.com", "*.whatsapp.net"}

// Policy is what the roles of cfg may reach, and the host for them, as rules of the sandbox around it.
// It is the outer wall: it knows hosts and ports, not methods, paths and skills, which the broker inside
// goes on to check. So it never allows a host that no grant names, and never forbids one that a grant
// does. public_web is Any on port 443: the one grant that names no host.
//
// Loopback needs no rule: in the sandbox that is the sandbox itself. whatsapp: the channel is used, or
// is to be.
func Policy(cfg *config.Config, whatsapp bool) []Rule {
	p := policy{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Roles)) {
		p.role(cfg, cfg.Roles[name])
	}
	if whatsapp || slices.ContainsFunc(cfg.Routes, func(r host.Route) bool { return r.Channel == "whatsapp" }) {
		for _, h := range whatsappHosts {
			p.add(Rule{Host: h, Port: 443, Bypass: true, Why: "WhatsApp"})
		}
	}
	return slices.SortedFunc(maps.Values(p), func(a, b Rule) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
	})
}

// policy is rules by host and port.
type policy map[string]Rule

func (p policy) role(cfg *config.Config, r *host.Role) {
	for _, m := range cfg.Choices(r) {
		if prov, ok := cfg.Providers[m.Provider]; ok {
			p.url(address(prov), "model provider "+prov.Name)
		}
	}
	for _, g := range r.HTTP {
		for _, h := range g.Hosts {
			p.add(Rule{Host: h, Port: cmp.Or(g.Port, portOf(g.Scheme)), Why: "http of role " + string(r.Name)})
		}
	}
	if r.PublicWeb {
		p.add(Rule{Host: Any, Port: 443, Why: "public_web of role " + string(r.Name)})
	}
}

func (p policy) url(text, why string) {
	u, err := url.Parse(text)
	if err != nil {
		return // config.Load refused it
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		port = portOf(u.Scheme)
	}
	p.add(Rule{Host: bracketed(strings.ToLower(u.Hostname())), Port: port, Why: why})
}

func (p policy) add(r Rule) {
	ip, err := netip.ParseAddr(strings.Trim(r.Host, "[]"))
	if r.Host == "localhost" || err == nil && ip.Unmap().IsLoopback() {
		return
	}
	// The machine outside is reached by this name, which the proxies write as localhost before they
	// look at their rules: https://docs.docker.com/ai/sandboxes/network-policies/
	if r.Host == "host.docker.internal" {
		r.Host = "localhost"
	}
	if old, ok := p[r.String()]; ok {
		r.Bypass = r.Bypass || old.Bypass
		if whys := strings.Split(old.Why, ", "); !slices.Contains(whys, r.Why) {
			r.Why = old.Why + ", " + r.Why
		} else {
			r.Why = old.Why
		}
	}
	p[r.String()] = r
}

// ruleHost is what is written into a command line: nothing in it is an option, a list or a pattern.
var ruleHost = regexp.MustCompile(`^(\*\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])$`)

// check refuses what is no host. Grants are checked where they are read, the addresses of providers are not.
func check(rules []Rule) error {
	for _, r := range rules {
		if !ruleHost.MatchString(r.Host) {
			return fmt.Errorf("%w: %q, of %s, is no host that a sandbox could have a rule for", host.ErrInvalid, r.Host, r.Why)
		}
	}
	return nil
}

// services are those of the programs' keychains by the hosts that they put a key in for:
// https://docs.docker.com/ai/sandboxes/security/credentials/
var services = map[string]string{
	"api.anthropic.com": "anthropic", "api.openai.com": "openai", "openrouter.ai": "openrouter",
	"api.groq.com": "groq", "api.mistral.ai": "mistral", "api.x.ai": "xai",
}

// Keys says which services' keys must be given to the sandbox's program: providers have "proxy-managed" in
// their place. unknown are the hosts of such providers that no service is known for.
func Keys(cfg *config.Config) (known, unknown []string) {
	for _, name := range slices.Sorted(maps.Keys(cfg.Roles)) {
		for _, m := range cfg.Choices(cfg.Roles[name]) {
			prov := cfg.Providers[m.Provider]
			if prov.APIKey == nil || !prov.APIKey.Managed {
				continue
			}
			u, _ := url.Parse(address(prov)) // config.Load has read it
			if s, ok := services[u.Hostname()]; ok {
				known = append(known, s)
			} else {
				unknown = append(unknown, u.Hostname())
			}
		}
	}
	slices.Sort(known)
	slices.Sort(unknown)
	return slices.Compact(known), slices.Compact(unknown)
}

// address is where a provider is asked.
func address(p config.Provider) string {
	own := map[string]string{"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com"}
	return cmp.Or(p.BaseURL, own[p.Kind])
}

func portOf(scheme string) int {
	if scheme == "http" {
		return 80
	}
	return 443
}

// bracketed is name, which is put into brackets when it is an address of IPv6, as in grants.
func bracketed(name string) string {
	if strings.Contains(name, ":") {
		return strings.TrimSuffix(net.JoinHostPort(name, ""), ":")
	}
	return name
}
