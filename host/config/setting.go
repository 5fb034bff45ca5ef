package config

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of what a role says to one of its skills.
const (
	maxSettings = 16
	maxSetting  = 1024 // bytes of a value
)

// settingName keeps to lower case: what a runtime looks for in its environment (GODEBUG, PATH) does not.
var settingName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// keyLike are parts of names under which keys are kept. A skill must not be told one: the
// broker puts it into requests.
var keyLike = []string{"key", "token", "secret", "passw", "credential", "auth", "cookie"}

// keyValue is how well-known keys begin.
var keyValue = regexp.MustCompile(`^(sk-|gh[a-z]_|github_pat_|xox[a-z]-|AKIA|AIza)`)

// settings checks what a role says to its skills.
func (b *builder) settings(at string, r *host.Role, tables map[string]wire.Settings) {
	if len(tables) > 0 {
		r.Settings = make(map[host.SkillName]wire.Settings)
	}
	for _, skill := range slices.Sorted(maps.Keys(tables)) {
		at, name := join(at, skill), host.SkillName(skill)
		if name != r.Brain && !slices.Contains(r.Skills, name) {
			b.fail(at, "%q is not among the role's skills", skill)
		}
		if len(tables[skill]) > maxSettings {
			b.fail(at, "has more than %d settings", maxSettings)
		}
		for _, key := range slices.Sorted(maps.Keys(tables[skill])) {
			b.setting(join(at, key), key, tables[skill][key])
		}
		r.Settings[name] = tables[skill]
	}
}

func (b *builder) setting(at, name, value string) {
	u, err := url.Parse(value)
	isKey := slices.ContainsFunc(keyLike, func(part string) bool { return strings.Contains(name, part) })
	switch {
	case !settingName.MatchString(name):
		b.fail(at, "is no name of a setting: lower-case letters, digits and underscores, at most 32")
	case isKey || keyValue.MatchString(value) || err == nil && u.User != nil: // what was written is not repeated
		b.fail(at, "a key itself is never written here, and a skill never gets one: name a [secrets.NAME] "+
			"in the headers of an http grant")
	case len(value) > maxSetting || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		b.fail(at, "must be one line of at most %d bytes", maxSetting)
	}
}
