package host

import (
	"errors"
	"fmt"
	"path"
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
// workspace), kv, llm and tool to every listed skill that asks; http needs a grant of
// the role, agent needs delegates, task needs tasks = true; message is not granted yet.
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
	case CapFS, CapKV, CapLLM, CapTool:
		return !role.withheld(n.Name)
	case CapHTTP:
		return len(role.HTTP) > 0 || role.PublicWeb && (n.PublicWeb || len(n.Hosts) > 0)
	case CapAgent:
		return len(role.Delegates) > 0
	case CapTask:
		return role.Tasks
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
