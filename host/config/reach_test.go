package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestTrifecta: which roles make a problem. Letters: p sensitive, m mount, w public_web,
// h http, s another sender, a accept_risk; then what it delegates to.
func TestTrifecta(t *testing.T) {
	home := clean(t)
	data := filepath.Join(home, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		roles string // "name:letters>delegate,delegate …"
		want  string // part of the only problem; "" = none
	}{
		"nothing":                         {"a:", ""},
		"the web alone":                   {"a:w", ""},
		"private alone":                   {"a:pm", ""},
		"private and others' messages":    {"a:ps", ""}, // nothing but the chat it came from
		"private and web":                 {"a:pw", "role a by itself"},
		"mount and web":                   {"a:mw", "private data: a (mount " + data + ")"},
		"another's memory and web":        {"a:wf b:", "private data: a (memory of role b)"},
		"http is both other legs":         {"a:ph", "untrusted content: a (answers of http x.example.com); a way out: a (http x.example.com)"},
		"accepted":                        {"a:pwa", ""},
		"private asks web":                {"a:p>b b:w", "roles a, b, which work together,"},
		"web asks private":                {"a:w>b b:p", "roles a, b, which work together,"},
		"both asked by a third":           {"a:>b,c b:p c:w", "roles a, b, c, which work together,"},
		"both ask a third":                {"a:p>c b:w>c c:", "roles a, b, c, which work together,"},
		"far apart":                       {"a:p>b b:>c c:>d d:h", "write accept_risk = \"why\" in a"},
		"not connected":                   {"a:p b:w", ""},
		"accepted by whose data it is":    {"a:pa>b b:w", ""},
		"accepted by another":             {"a:p>b b:wa", "in a"},
		"accepted by one of two":          {"a:pa>b,c b:w c:m", "in c"},
		"legs of three roles":             {"a:p>b b:s>c c:w", "b (messages of +1)"},
		"two groups, one of them at odds": {"a:p b:w c:pw", "role c by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for _, r := range strings.Fields(tc.roles) {
				name, rest, _ := strings.Cut(r, ":")
				letters, delegates, _ := strings.Cut(rest, ">")
				fmt.Fprintf(&text, "[roles.%s]\n", name)
				for letter, line := range map[string]string{
					"p": "sensitive = true", "m": "mounts = [ { path = '~/data' } ]", "w": "public_web = true",
					"h": "http = [ { hosts = ['x.example.com'] } ]", "a": "accept_risk = 'because'", "f": "memory_from = 'b'",
				} {
					if strings.Contains(letters, letter) {
						text.WriteString(line + "\n")
					}
				}
				if delegates != "" {
					fmt.Fprintf(&text, "delegates = ['%s']\n", strings.ReplaceAll(delegates, ",", "','"))
				}
				if strings.Contains(letters, "s") {
					fmt.Fprintf(&text, "[[routes]]\nchannel = 'whatsapp'\nchat = '%s'\nrole = '%[1]s'\nsenders = ['+1']\n", name)
				}
			}
			got := load(t, text.String()).Examine().Problems
			if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], tc.want)) {
				t.Errorf("problems %q, want %q", got, tc.want)
			}
		})
	}
}

func TestReachIsCarriedBothWays(t *testing.T) {
	clean(t)
	r := load(t, "[roles.main]\ndelegates = ['web', 'vault']\n[roles.web]\npublic_web = true\n[roles.vault]\nsensitive = true\n"+
		"accept_risk = 'x'\n[roles.alone]\n").Examine()
	for _, role := range r.Roles {
		legs := len(role.Private) + len(role.Untrusted) + len(role.Outward)
		if want := map[host.RoleName]int{"main": 3, "web": 3, "vault": 3}[role.Role]; legs != want {
			t.Errorf("role %s: %+v", role.Role, role)
		}
	}
	if web := r.Roles[3]; web.Role != "web" || !slices.Equal(web.Asked, []host.RoleName{"main"}) {
		t.Errorf("last role %+v", web)
	}
}

func TestMainIsWarnedOf(t *testing.T) {
	clean(t)
	for text, want := range map[string]int{"": 0, "public_web = true": 1, "http = [ { hosts = ['a.b'] } ]": 1} {
		if got := load(t, "[roles.main]\n"+text).Examine().Warnings; len(got) != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := load(t, "").Examine().Problems; len(got) != 1 {
		t.Errorf("without roles: %q", got)
	}
}

// TestChoices: which providers answer, in turn, and that check names all of them.
func TestChoices(t *testing.T) {
	home := clean(t)
	key := write(t, filepath.Join(home, "key"), "k")
	t.Setenv("THERE", "k")
	anth := func(s string) string { return "[providers.anthropic]\napi_key = " + s + "\n" }
	const (
		named  = "[model]\nname = 'm'\n"
		openai = "[providers.openai]\napi_key = { env = 'THERE' }\n"
		ollama = "[providers.ollama]\nkind = 'openai'\nbase_url = 'http://127.0.0.1:11434/v1'\n"
		lists  = "[models.b]\nprovider = 'ollama'\nname = 'b'\nfallback = ['c']\n[models.c]\nprovider = 'offline'\n"
	)
	for name, tc := range map[string]struct{ text, role, want string }{
		"nothing":            {"", "", "offline"},
		"variable there":     {anth("{ env = 'THERE' }"), "", "anthropic"},
		"variable not there": {anth("{ env = 'NOT_THERE' }"), "", "offline"},
		"file there":         {anth("{ file = '" + key + "' }"), "", "anthropic"},
		"file not there":     {anth("{ file = 'nowhere' }"), "", "offline"},
		"command":            {anth("{ command = ['x'] }"), "", "anthropic"},
		"managed":            {anth("'proxy-managed'"), "", "anthropic"},
		"second":             {named + anth("{ env = 'NOT_THERE' }") + openai, "", "openai"},
		"first of two":       {anth("{ env = 'THERE' }") + openai, "", "anthropic"},
		"first in the file":  {named + openai + anth("{ env = 'THERE' }"), "", "openai"},
		"needs no key":       {named + ollama + anth("{ env = 'THERE' }"), "", "ollama"},
		"local only":         {anth("{ env = 'THERE' }"), "model.local_only = true", "offline"},
		"local":              {anth("{ env = 'THERE' }") + "base_url = 'http://127.0.0.1:1/'", "model.local_only = true", "anthropic"},
		"local, not first":   {named + anth("{ env = 'THERE' }") + ollama, "model.local_only = true", "ollama"},
		"written":            {"[model]\nprovider = 'offline'\n" + anth("{ env = 'THERE' }"), "", "offline"},
		"by name":            {"[models.x]\nprovider = 'offline'\n" + anth("{ env = 'THERE' }"), "model = 'x'", "offline"},
		"fallback":           {"[model]\nfallback = ['b']\n" + anth("{ env = 'THERE' }") + ollama + lists, "", "anthropic ollama offline"},
		"fallback's first":   {"[model]\nfallback = ['b', 'c']\n" + anth("{ env = 'THERE' }") + ollama + lists, "", "anthropic ollama offline"},
		"fallback by name":   {ollama + lists, "model = { name = 'b', local_only = true }", "ollama offline"},
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, tc.text+"\n[roles.r]\n"+tc.role)
			var got []string
			for _, m := range c.Choices(c.Roles["r"]) {
				got = append(got, m.Provider)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("chose %q, want %s", got, tc.want)
			}
			said := c.Examine().Roles[0].Model
			for i, part := range strings.Split(said, "; if that fails, ") {
				if i >= len(got) || !strings.HasPrefix(part, got[i]) {
					t.Errorf("check says %q", said)
				}
			}
			if away := strings.Contains(said, "is sent there"); away == (strings.Trim(tc.want, " ") == "offline") {
				t.Errorf("check says %q", said)
			}
		})
	}
}

func TestImages(t *testing.T) {
	clean(t)
	c := load(t, "[models.a]\nprovider='offline'\nimages=false\n[models.b]\nprovider='offline'\nimages=true\n[models.c]\nprovider='offline'")
	if !c.Models["a"].Blind || c.Models["b"].Blind || c.Models["c"].Blind || c.Model.Blind {
		t.Errorf("models %+v", c.Models)
	}
}
