package host

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Effective is what one skill gets in one role: role grant ∩ manifest.
type Effective struct {
	Granted []Capability // linked
	Stubbed []Capability // declared optional, not granted: answers denied
	Missing []Capability // required, not granted: the skill is not loaded
}

// Grants computes what role gives a skill with manifest m. A role gives fs (its own
// workspace), kv, history (its own), llm and tool to every listed skill that asks; http needs a grant of
// the role, agent needs delegates, message a chat or the key chats or ModeOwn, task needs tasks = true.
func Grants(role *Role, m *Manifest) Effective {
	var e Effective
	for _, n := range m.Capabilities {
		switch {
		case granted(role, n):
			e.Granted = append(e.Granted, n.Name)
		case n.Optional:
			e.Stubbed = append(e.Stubbed, n.Name)
		default:
			e.Missing = append(e.Missing, n.Name)
		}
	}
	return e
}

func granted(role *Role, n Need) bool {
	switch n.Name {
	case CapFS, CapKV, CapLLM, CapTool, CapHistory:
		return !role.withheld(n.Name)
	case CapHTTP:
		return len(role.HTTP) > 0 || role.PublicWeb && (n.PublicWeb || len(n.Hosts) > 0)
	case CapAgent:
		return len(role.Delegates) > 0
	case CapTask:
		return role.Tasks
	case CapMessage:
		return n.Mode == ModeOwn || len(role.Messages) > 0 || role.Chats
	}
	return false
}

func (r *Role) withheld(c Capability) bool { return slices.Contains(r.Withhold, c) }

// Has reports whether e links c.
func (e Effective) Has(c Capability) bool { return slices.Contains(e.Granted, c) }

// MatchHost reports whether canonical host matches pattern: equal, or any depth
// below "*.example.com" and never its apex.
func MatchHost(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return pattern == host
}

// CheckHostPattern refuses every pattern that is not a lower-case ASCII host name,
// an IP literal, or "*." before a name of at least two labels. Nothing is normalised silently.
func CheckHostPattern(p string) error {
	name := strings.TrimPrefix(p, "*.")
	wild := name != p
	if name == "" || len(p) > 253 {
		return fmt.Errorf("host %q: empty or longer than 253 bytes", p)
	}
	if !wild && strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		return nil
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if err := checkLabel(l); err != nil {
			return fmt.Errorf("host %q: %w", p, err)
		}
	}
	if wild && len(labels) < 2 {
		return fmt.Errorf("host %q: a wildcard needs at least two labels after it", p)
	}
	return nil
}

func checkLabel(l string) error {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return errors.New("labels are 1 to 63 characters and do not begin or end with a hyphen or dot")
	}
	for _, c := range []byte(l) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errors.New("write the bare host name: lower-case letters, digits, hyphens and dots, no scheme, port or path")
		}
	}
	return nil
}

// CheckWorkspacePath refuses a path that is not a clean relative path inside the workspace.
func CheckWorkspacePath(p string) error {
	if p == "" || p == "." {
		return nil
	}
	outside := path.IsAbs(p) || p == ".." || strings.HasPrefix(p, "../")
	if outside || path.Clean(p) != p || strings.ContainsAny(p, "\\\x00") {
		return fmt.Errorf("path %q: must be a clean relative path below the workspace", p)
	}
	return nil
}

var (
	secretName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	placeholder = regexp.MustCompile(`\{([A-Za-z0-9][A-Za-z0-9_-]{0,63})\}`)
)

// CheckSecretName refuses what is no name of a secret, and so no file beside the stored ones.
func CheckSecretName(name string) error {
	if !secretName.MatchString(name) {
		return fmt.Errorf("%w: %q is no name of a secret: letters, digits, _ and -, at most 64", ErrInvalid, name)
	}
	return nil
}

// SecretFile is where `nanoclaw secret set` keeps the secret called name.
func SecretFile(state, name string) string { return filepath.Join(state, "secrets", name) }

// Placeholders are the secrets that a path names, as in /bot{telegram}/, in their order.
func Placeholders(path string) (names []string) {
	for _, m := range placeholder.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	return names
}

// EscapePlaceholders writes them as a URL does: %7Btelegram%7D.
func EscapePlaceholders(path string) string { return placeholder.ReplaceAllString(path, "%7B$1%7D") }

// Secrets names the secrets of a grant, each once, sorted.
func (g *HTTPGrant) Secrets() []string {
	names := slices.Concat(slices.Collect(maps.Values(g.Headers)), slices.Collect(maps.Values(g.Query)),
		[]string{g.Bearer, g.Basic.Secret}, Placeholders(strings.Join(g.Paths, " ")))
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "" })
}
