package broker

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
)

const maxURL = 8 << 10 // bytes

// target is a URL in the one form that is matched, dialled and sent.
type target struct {
	url  *url.URL   // host canonical, no user, no fragment; its RequestURI is what the guest wrote
	host string     // canonical ASCII, IPv6 in brackets
	port int        // never 0
	addr netip.Addr // valid when host is an address
}

func (t *target) origin() string { return t.url.Scheme + "://" + t.host + ":" + strconv.Itoa(t.port) }

func defaultPort(scheme string) int { return map[string]int{"https": 443, "http": 80}[scheme] }

// parseURL takes no spelling that two parsers could read in two ways.
func parseURL(raw string) (*target, error) {
	if len(raw) > maxURL {
		return nil, tooLarge("the URL is longer than %d bytes", maxURL)
	}
	plain, _, fragment := strings.Cut(raw, "#") // a fragment is never sent
	u, err := url.Parse(plain)
	switch {
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }):
		return nil, invalid("the URL holds a space, a backslash, a control or a non-ASCII character")
	case err != nil || u.String() != plain || fragment && u.Path == "":
		return nil, invalid("the URL is not spelled as it would be sent")
	case defaultPort(u.Scheme) == 0:
		return nil, deny("only https and http URLs are granted")
	case u.User != nil:
		return nil, invalid("the URL names a user")
	}
	if _, err := url.QueryUnescape(u.RawQuery); err != nil {
		return nil, invalid("the URL has a bad escape in its query")
	}
	if err := checkPath(u.EscapedPath(), u.Path); err != nil {
		return nil, err
	}
	t := &target{url: u, port: defaultPort(u.Scheme)}
	return t, t.setHost()
}

// setHost makes the host canonical, in url too.
func (t *target) setHost() error {
	t.host = strings.ToLower(t.url.Hostname())
	if a, err := netip.ParseAddr(t.host); err == nil && a.Zone() == "" {
		if t.addr, t.host = a.Unmap(), a.Unmap().String(); t.addr.Is6() {
			t.host = "[" + t.host + "]"
		}
	} else if strings.Contains(t.host, "*") || host.CheckHostPattern(t.host) != nil || endsInNumber(t.host) {
		return invalid("the URL's host is neither a plain ASCII name nor an address")
	}
	port := t.url.Port()
	if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 && port[0] != '0' {
		t.port = int(n)
	} else if port != "" || strings.HasSuffix(t.url.Host, ":") {
		return invalid("the URL's port is not a number from 1 to 65535")
	}
	if t.url.Host = t.host; t.port != defaultPort(t.url.Scheme) {
		t.url.Host += ":" + strconv.Itoa(t.port)
	}
	if t.url.Path == "" {
		t.url.Path = "/"
	}
	return nil
}

// endsInNumber is how browsers tell an address from a name. Some resolvers take 127.1,
// 2130706433, 0x7f000001 and 0177.0.0.1 for addresses.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	hex, isHex := strings.CutPrefix(last, "0x")
	return strings.Trim(last, "0123456789") == "" || isHex && strings.Trim(hex, "0123456789abcdef") == ""
}

// Escapes that servers are known to undo once more, or to take for a separator or a dot.
var badEscapes = strings.Fields("%2e %2f %5c %252e %252f %255c %2525 %00")

// checkPath refuses what a server could resolve to another path than the one matched.
func checkPath(escaped, plain string) error {
	lower := strings.ToLower(escaped)
	if slices.ContainsFunc(badEscapes, func(e string) bool { return strings.Contains(lower, e) }) {
		return invalid("the URL has an encoded separator or dot in its path")
	}
	if !utf8.ValidString(plain) || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return invalid("the URL has a control character or a bad escape in its path")
	}
	for s := range strings.SplitSeq(plain, "/") {
		if s, _, _ = strings.Cut(s, ";"); s == "." || s == ".." { // "..;" is ".." to some servers
			return invalid("the URL has a dot segment in its path")
		}
	}
	return nil
}

// Parts of a grant in the order they are compared; the furthest part reached is the reason
// of a refusal.
var grantParts = []string{"host", "scheme", "port", "method", "path"}

// match reports how many grantParts of g fit: all of them when the request is granted.
func (t *target) match(g *host.HTTPGrant, method string) int {
	scheme, methods := cmp.Or(g.Scheme, "https"), g.Methods
	_, underPrefix := t.prefix(g)
	if len(methods) == 0 {
		methods = []string{"GET", "HEAD"}
	}
	for i, fits := range []bool{
		t.hostIn(g.Hosts),
		t.url.Scheme == scheme,
		t.port == cmp.Or(g.Port, defaultPort(scheme)),
		slices.Contains(methods, method),
		underPrefix,
	} {
		if !fits {
			return i
		}
	}
	return len(grantParts)
}

// prefix is the path of g that t is under: "" when g has none.
func (t *target) prefix(g *host.HTTPGrant) (string, bool) {
	for _, p := range g.Paths {
		if underPath(host.EscapePlaceholders(p), t.url.EscapedPath()) {
			return p, true
		}
	}
	return "", len(g.Paths) == 0
}

func (t *target) hostIn(patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return host.MatchHost(p, t.host) })
}

// underPath reports whether path is prefix or below it; a prefix ends on a segment.
func underPath(prefix, path string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.HasSuffix(prefix, "/") || rest[0] == '/')
}

// ParseHTTPGrant reads "[METHOD,…] URL [private]", as in --grant "http=GET https://api.example.com/v1/".
// The host may be a "*." pattern; without methods it is GET and HEAD.
func ParseHTTPGrant(s string) (g host.HTTPGrant, err error) {
	usage := fmt.Errorf("%w: write METHODS URL, such as GET,POST https://api.example.com/v1/", host.ErrInvalid)
	words := strings.Fields(s)
	if n := len(words); n > 1 && words[n-1] == "private" {
		g.Private, words = true, words[:n-1]
	}
	if len(words) == 2 {
		g.Methods, words = strings.Split(words[0], ","), words[1:]
	}
	if len(words) != 1 || slices.ContainsFunc(g.Methods, func(m string) bool { return checkMethod(m) != nil }) {
		return host.HTTPGrant{}, usage
	}
	// A pattern is checked by putting a plain label in the place of its star.
	t, err := parseURL(strings.Replace(words[0], "://*.", "://any.", 1))
	if err != nil {
		return host.HTTPGrant{}, fmt.Errorf("%w: http grant: %w", host.ErrInvalid, err)
	}
	name := t.host
	if strings.Contains(words[0], "://*.") {
		name = "*" + strings.TrimPrefix(name, "any")
	}
	if strings.ContainsAny(words[0], "?#") || !strings.HasPrefix(words[0], t.url.Scheme+"://"+name) {
		return host.HTTPGrant{}, usage
	}
	g.Scheme, g.Hosts, g.Port = t.url.Scheme, []string{name}, t.port
	if p := t.url.EscapedPath(); p != "/" {
		g.Paths = []string{p}
	}
	return g, host.CheckHostPattern(name)
}
