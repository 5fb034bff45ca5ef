package broker

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// inject adds the grant's credentials to req, which must not have them yet. A secret that is
// missing stops the request. What h says is left as it is: the answer's URL is made of it.
func (b *Broker) inject(req *http.Request, g *host.HTTPGrant, h *hop) error {
	if err := h.clash(g); err != nil || h.away || len(g.Secrets()) == 0 {
		return err
	}
	if h.to.url.Scheme != "https" && h.to.host != "localhost" && !h.to.addr.IsLoopback() {
		return deny("%s: a credential is not sent in the clear", h.to.host)
	}
	value := make(map[string]string)
	for _, name := range g.Secrets() {
		key, err := b.cfg.Secrets(name)
		if value[name] = key.Reveal(); err != nil || value[name] == "" {
			return &refusal{
				status: wire.StatusDenied, message: h.to.host + ": authentication is required and its secret is not set",
				grant: "nanoclaw secret set " + name,
			}
		}
		if !httpguts.ValidHeaderFieldValue(value[name]) {
			return deny("%s: the secret holds characters that cannot be sent", h.to.host)
		}
	}
	for name, secret := range g.Headers {
		req.Header.Set(name, value[secret])
	}
	if g.Bearer != "" {
		req.Header.Set("Authorization", "Bearer "+value[g.Bearer])
	}
	if g.Basic.Secret != "" {
		req.SetBasicAuth(g.Basic.User, value[g.Basic.Secret])
	}
	u := *h.to.url
	for _, name := range slices.Sorted(maps.Keys(g.Query)) {
		pair := url.Values{name: {value[g.Query[name]]}}.Encode()
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+pair, "&")
	}
	prefix, _ := h.to.prefix(g)
	for _, name := range host.Placeholders(prefix) {
		u.RawPath = strings.Replace(u.EscapedPath(), "%7B"+name+"%7D", url.PathEscape(value[name]), 1)
		u.Path = strings.Replace(u.Path, "{"+name+"}", value[name], 1)
	}
	req.URL = &u
	return checkPath("", u.Path) // "." as a secret would lead elsewhere
}

// clash refuses a request that names a credential by itself. Other secrets than the grant's are
// not for it to name, and a parameter given twice is read by some servers as the first one.
func (h *hop) clash(g *host.HTTPGrant) error {
	for name := range g.Headers {
		for set := range h.header {
			if asServers(set) == asServers(name) {
				return deny("%s: the host sets a header that the skill set", h.to.host)
			}
		}
	}
	for pair := range strings.FieldsFuncSeq(h.to.url.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		if injected(pair, g) {
			return deny("%s: the host sets a parameter that the skill set", h.to.host)
		}
	}
	prefix, _ := h.to.prefix(g)
	switch granted := host.Placeholders(prefix); {
	case len(h.names) > 0 && granted == nil:
		return invalid("the URL is not spelled as it would be sent")
	case len(h.names) > 0 && !slices.Equal(h.names, granted):
		return deny("%s: the path names a secret that is not granted for it", h.to.host)
	}
	return nil
}

// withoutQuery drops from a redirect the parameters that the host put in: servers like to repeat
// the query, and the next request gets its own.
func withoutQuery(u *url.URL, g *host.HTTPGrant) {
	u.RawQuery = strings.Join(slices.DeleteFunc(strings.Split(u.RawQuery, "&"), func(pair string) bool {
		return injected(pair, g)
	}), "&")
}

// injected reports whether a pair of a query names a parameter that the host puts in.
func injected(pair string, g *host.HTTPGrant) bool {
	name, _, _ := strings.Cut(pair, "=")
	name, err := url.QueryUnescape(name)
	return err == nil && g.Query[name] != ""
}
