package skill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// ABI is the only version of the skill ABI there is.
const ABI = 1

// Bounds of a manifest; lengths are in characters where not said otherwise.
const (
	MaxManifest    = 64 << 10 // bytes; of skill.toml too
	maxDescription = 1024
	maxLicense     = 100
	maxReason      = 200
	maxTools       = 64
	maxExamples    = 16
	maxHosts       = 64
	maxPublicName  = 64

	defaultMemoryMiB, maxMemoryMiB = 64, 512
	defaultTimeoutMS, maxTimeoutMS = 30_000, 300_000
)

var (
	skillName   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	toolName    = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	versionText = regexp.MustCompile(`^[0-9A-Za-z.+-]{1,64}$`)
	httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
)

// ParseManifest decodes and checks the JSON of a nanoclaw.manifest.v1 section and fills in defaults.
func ParseManifest(b []byte) (host.Manifest, error) {
	var m host.Manifest
	if len(b) > MaxManifest {
		return m, fmt.Errorf("%w: manifest has %d bytes, at most %d", host.ErrInvalid, len(b), MaxManifest)
	}
	if !utf8.Valid(b) {
		return m, fmt.Errorf("%w: manifest is not UTF-8", host.ErrInvalid)
	}
	if err := wire.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%w: manifest: %w", host.ErrInvalid, Known(err))
	}
	return m, CheckManifest(&m)
}

var manifestKeys = strings.Fields("abi name version kind adapter description license limits capabilities tools build " +
	"memory_mib timeout_ms reason optional mode path hosts methods public_web " +
	"title inputSchema outputSchema annotations examples")

// Known adds the nearest known key to the error about an unknown one.
func Known(err error) error {
	key, ok := strings.CutPrefix(err.Error(), `json: unknown field "`)
	if !ok {
		return err
	}
	key = strings.TrimSuffix(key, `"`)
	best := slices.MinFunc(manifestKeys, func(a, b string) int { return host.Edits(key, a) - host.Edits(key, b) })
	if host.Edits(key, best) > 3 {
		return fmt.Errorf("unknown key %.64q", key)
	}
	return fmt.Errorf("unknown key %q, did you mean %q?", key, best)
}

// problems collects everything wrong with a manifest, so that one look mends it.
type problems []string

func (p *problems) unless(ok bool, format string, args ...any) {
	if !ok && len(*p) < 20 {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

// CheckManifest finds all bad entries and fills in defaults.
func CheckManifest(m *host.Manifest) error {
	if m.Kind == "" {
		m.Kind = host.KindSkill
	}
	if m.Limits.MemoryMiB == 0 {
		m.Limits.MemoryMiB = defaultMemoryMiB
	}
	if m.Limits.TimeoutMS == 0 {
		m.Limits.TimeoutMS = defaultTimeoutMS
	}
	var p problems
	p.unless(m.ABI == ABI, "abi is %d, only %d is known", m.ABI, ABI)
	p.unless(len(m.Name) <= 64 && skillName.MatchString(string(m.Name)),
		"name %.80q: 1 to 64 of a-z, 0-9 and single hyphens between them", m.Name)
	p.unless(versionText.MatchString(m.Version), "version %.80q: 1 to 64 of letters, digits, '.', '+' and '-'", m.Version)
	p.unless(slices.Contains([]string{host.KindSkill, host.KindAgent, host.KindText}, m.Kind),
		"kind %.80q: %q or %q", m.Kind, host.KindSkill, host.KindAgent)
	p.unless(slices.Contains([]string{"", wire.AdapterCommand, wire.AdapterExtism}, m.Adapter),
		"adapter %.80q: %q or %q, or nothing", m.Adapter, wire.AdapterCommand, wire.AdapterExtism)
	p.unless(text(m.Description, 1, maxDescription, "\n"), "description: 1 to %d printable characters", maxDescription)
	p.unless(text(m.License, 0, maxLicense, ""), "license: at most %d printable characters", maxLicense)
	p.unless(m.Limits.MemoryMiB > 0 && m.Limits.MemoryMiB <= maxMemoryMiB, "limits.memory_mib: 1 to %d", maxMemoryMiB)
	p.unless(m.Limits.TimeoutMS > 0 && m.Limits.TimeoutMS <= maxTimeoutMS, "limits.timeout_ms: 1 to %d", maxTimeoutMS)
	for i, n := range m.Capabilities {
		seen := slices.ContainsFunc(m.Capabilities[:i], func(o host.Need) bool { return o.Name == n.Name })
		p.unless(!seen, "capability %q stands twice", n.Name)
		p.need(n)
	}
	p.unless(len(m.Tools) <= maxTools, "%d tools, at most %d", len(m.Tools), maxTools)
	p.unless(len(m.Tools) > 0 || m.Kind != host.KindSkill, "tools: at least one")
	for i, t := range m.Tools {
		seen := slices.ContainsFunc(m.Tools[:i], func(o wire.Tool) bool { return o.Name == t.Name })
		p.unless(!seen, "tool %.80q stands twice", t.Name)
		p.unless(m.Kind != host.KindAgent || t.Name == "turn",
			"tool %.80q: a skill agent has the tool \"turn\" alone", t.Name)
		p.tool(string(m.Name), t)
	}
	if len(p) > 0 {
		return fmt.Errorf("%w: manifest: %s", host.ErrInvalid, strings.Join(p, "; "))
	}
	return nil
}

func (p *problems) need(n host.Need) {
	p.unless(slices.Contains(host.Capabilities, n.Name), "capability %.80q is unknown", n.Name)
	p.unless(text(n.Reason, 1, maxReason, ""),
		"capability %.80q: a reason of 1 to %d printable characters", n.Name, maxReason)
	if n.Name == host.CapFS {
		p.unless(n.Mode == "" || n.Mode == "ro" || n.Mode == "rw", `capability "fs": mode %.80q: "ro" or "rw"`, n.Mode)
		err := host.CheckWorkspacePath(n.Path)
		p.unless(err == nil, `capability "fs": %.200v`, err)
	} else {
		own := n.Name == host.CapMessage && n.Mode == host.ModeOwn
		p.unless((n.Mode == "" || own) && n.Path == "", "capability %.80q: mode and path are for fs", n.Name)
	}
	if n.Name != host.CapHTTP {
		p.unless(len(n.Hosts)+len(n.Methods) == 0 && !n.PublicWeb,
			"capability %.80q: hosts, methods and public_web are for http", n.Name)
		return
	}
	p.unless(len(n.Hosts) <= maxHosts, `capability "http": %d hosts, at most %d`, len(n.Hosts), maxHosts)
	for _, h := range n.Hosts {
		err := host.CheckHostPattern(h)
		p.unless(err == nil, `capability "http": %.300v`, err)
	}
	for _, m := range n.Methods {
		p.unless(slices.Contains(httpMethods, m),
			`capability "http": method %.80q: one of %s`, m, strings.Join(httpMethods, ", "))
	}
}

func (p *problems) tool(skill string, t wire.Tool) {
	name := fmt.Sprintf("tool %.80q", t.Name)
	public := wire.PublicName(skill, t.Name)
	p.unless(toolName.MatchString(t.Name) && len(public) <= maxPublicName,
		"%s: letters, digits, '_' and '-', at most %d with the skill's name", name, maxPublicName)
	p.unless(text(t.Title, 0, 100, ""), "%s: title of at most 100 printable characters", name)
	p.unless(text(t.Description, 1, maxDescription, "\n"),
		"%s: description of 1 to %d printable characters", name, maxDescription)
	p.unless(objectSchema(t.InputSchema), `%s: inputSchema must be a JSON schema with "type": "object"`, name)
	p.unless(t.OutputSchema == nil || objectSchema(t.OutputSchema),
		`%s: outputSchema must be one with "type": "object"`, name)
	p.unless(t.Annotations == nil || isObject(t.Annotations), "%s: annotations must be a JSON object", name)
	p.unless(len(t.Examples) <= maxExamples, "%s: %d examples, at most %d", name, len(t.Examples), maxExamples)
	for _, e := range t.Examples {
		p.unless(text(e, 1, maxReason, ""), "%s: examples of 1 to %d printable characters", name, maxReason)
	}
}

func isObject(b []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) }

func objectSchema(b []byte) bool {
	var s struct {
		Type any `json:"type"`
	}
	return isObject(b) && json.Unmarshal(b, &s) == nil && s.Type == "object"
}

// text reports whether s has lo to hi characters, all of them printable or in also.
func text(s string, lo, hi int, also string) bool {
	n := utf8.RuneCountInString(s)
	return n >= lo && n <= hi && utf8.ValidString(s) && strings.TrimSpace(s) == s &&
		!strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune(also, r) })
}
