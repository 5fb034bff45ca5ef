package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
)

// TestTrifecta: which roles make a problem. Letters: p sensitive, m mount, o the same to write,
// w public_web, h http, s another sender, a accept_risk; then what it delegates to.
func TestTrifecta(t *testing.T) {
	home := clean(t)
	data := filepath.Join(home, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		roles string // "name:letters>delegate,delegate …"
		want  string // the beginning of the only problem, after "private data of role "; "" = none
	}{
		"nothing":                         {"a:", ""},
		"the web alone":                   {"a:w", ""},
		"private alone":                   {"a:pm", ""},
		"private and others' messages":    {"a:ps", "a can leak to whoever tricks the model: a (sensitive, answers to +1); untrusted content comes in by a (messages of +1);"},
		"private and web":                 {"a:pw", "a can leak to whoever tricks the model: a (sensitive, public_web); untrusted content comes in by a (public_web);"},
		"mount and web":                   {"a:mw", "a can leak to whoever tricks the model: a (mount " + data + ", public_web); "},
		"http is both other legs":         {"a:ph", "a can leak to whoever tricks the model: a (sensitive, http x.example.com); untrusted content comes in by a (answers of http x.example.com)"},
		"another's memory and web":        {"a:wf b:", "a can leak to whoever tricks the model: a (memory of role b, public_web); untrusted content comes in by a (public_web);"},
		"accepted":                        {"a:pwa", ""},
		"private asks web":                {"a:p>b b:w", "a can leak to whoever tricks the model: a (sensitive) → b (public_web); untrusted content comes in by b (public_web); keep"},
		"web asks private":                {"a:w>b b:p", "b can leak to whoever tricks the model: b (sensitive) → a (public_web); "},
		"both asked by a third":           {"a:>b,c b:p c:w", "b can leak to whoever tricks the model: b (sensitive) → a → c (public_web); "},
		"both ask a third":                {"a:p>c b:w>c c:", "a can leak to whoever tricks the model: a (sensitive) → c → b (public_web); "},
		"far apart":                       {"a:p>b b:>c c:>d d:h", "a can leak to whoever tricks the model: a (sensitive) → b → c → d (http x.example.com); "},
		"the shortest of two ways":        {"a:p>b,c b:>d c:w d:w", "a can leak to whoever tricks the model: a (sensitive) → c (public_web); "},
		"the first of two ways as short":  {"a:p>c,b b:w c:w", "a can leak to whoever tricks the model: a (sensitive) → b (public_web); "},
		"not connected":                   {"a:p b:w", ""},
		"accepted by whose data it is":    {"a:pa>b b:w", ""},
		"accepted by another":             {"a:p>b b:wa", "a can leak"},
		"accepted by one of two":          {"a:pa>b,c b:w c:m", "c can leak to whoever tricks the model: c (mount " + data + ") → a → b (public_web); "},
		"legs of three roles":             {"a:p>b b:s>c c:", "a can leak to whoever tricks the model: a (sensitive) → b (answers to +1); untrusted content comes in by b (messages of +1); "},
		"two groups, one of them at odds": {"a:p b:w c:pw", "c can leak"},
		"writes what the web reads":       {"a:po b:mwa", "a can leak to whoever tricks the model: a (mount " + data + ", sensitive) → " + data + " → b (public_web); "},
		"reads what the web writes":       {"a:pm b:owa", ""}, // nothing of a's comes to b
		"reads what the web reads":        {"a:pm b:mwa", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			for _, r := range strings.Fields(tc.roles) {
				name, rest, _ := strings.Cut(r, ":")
				letters, delegates, _ := strings.Cut(rest, ">")
				fmt.Fprintf(&text, "[roles.%s]\n", name)
				for letter, line := range map[string]string{
					"p": "sensitive = true", "m": "mounts = [ { path = '~/data' } ]",
					"o": "mounts = [ { path = '~/data', mode = 'rw' } ]", "w": "public_web = true",
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
			want := "private data of role " + tc.want
			if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
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

// TestWarnings: what is no error, and must be known.
func TestWarnings(t *testing.T) {
	clean(t)
	t.Setenv("KEY", "k")
	const cloud = "[providers.anthropic]\napi_key = { env = 'KEY' }\n"
	for _, tc := range []struct{ text, want string }{
		{"[roles.main]", ""},
		{"[roles.main]\npublic_web = true", "role main orchestrates"},
		{"[roles.main]\nhttp = [ { hosts = ['a.b'] } ]", "role main orchestrates"},
		{cloud + "[roles.main]", ""},
		{cloud + "[roles.a]\nsensitive = true", "private data is sent to the model of role a, at anthropic: a (sensitive); model.local_only = true in [roles.a]"},
		{cloud + "[roles.a]\nsensitive = true\nmodel.local_only = true", ""},
		{cloud + "[roles.a]\nsensitive = true\nmodel.local_only = true\n[roles.b]\ndelegates = ['a']", "the model of role b, at anthropic: a (sensitive) → b; "},
		{"[providers.ollama]\nkind = 'openai'\nbase_url = 'http://127.0.0.1:1/v1'\n[model]\nname = 'm'\n[roles.a]\nsensitive = true", ""},
		{"[roles.a]\nhttp = [ { hosts = ['nas.lan.example'], private = true } ]", "role a reaches private addresses (nas.lan.example)"},
		{"[roles.a]\nhttp = [ { hosts = ['nas.lan.example'], private = true } ]\nsensitive = true\naccept_risk = 'x'", ""},
		{"[roles.a]\naccept_risk = 'x'", "accept_risk in [roles.a] says nothing"},
	} {
		r := load(t, tc.text).Examine()
		if got := strings.Join(r.Warnings, "\n"); len(r.Problems) > 0 || !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") {
			t.Errorf("%q: warnings %q, want %q; problems %q", tc.text, got, tc.want, r.Problems)
		}
	}
	if got := load(t, "").Examine().Problems; len(got) != 1 {
		t.Errorf("without roles: %q", got)
	}
}

// variant is the shipped file after edits: what it says, and what it shall say.
func variant(t *testing.T, edits ...string) string {
	t.Helper()
	text := shipped(t)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("the shipped file does not say %q", edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return text
}

// TestShippedVariants: one or two lines less careful, and the shipped file is refused by name.
func TestShippedVariants(t *testing.T) {
	home := clean(t)
	money, share := filepath.Join(home, "finance"), filepath.Join(home, "share")
	for _, d := range []string{money, share} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Edits of the shipped file.
	finance := []string{
		"# [roles.finance]", "[roles.finance]", "# mounts = [ { path = \"~/finance\"", "mounts = [ { path = \"~/finance\"",
	}
	asks := func(roles string) []string { return []string{"# delegates = [\"web\"]", "delegates = [" + roles + "]"} }
	in := func(role, lines string) []string {
		return []string{"[roles." + role + "]\n", "[roles." + role + "]\n" + lines + "\n"}
	}
	sender := []string{"# senders", "senders"}
	http := []string{"\n# http = [ { hosts = [\"api.search", "\nhttp = [ { hosts = [\"api.search", "# [secrets.weather]\n# env", "[secrets.brave]\nenv"}
	const (
		rw      = `mounts = [ { path = "~/share", mode = "rw" } ]`
		private = "sensitive = true"
		risk    = `accept_risk = "why"`
		mount   = `mounts = [ { path = "~/share" } ]`
	)
	for name, tc := range map[string]struct {
		edits [][]string
		want  string // the way; "" = none
	}{
		"as shipped":                         {nil, ""},
		"finance":                            {[][]string{finance}, ""},
		"main asks web":                      {[][]string{asks("'web'")}, ""},
		"main asks finance":                  {[][]string{finance, asks("'finance'")}, ""},
		"others ask main":                    {[][]string{sender}, ""},
		"finance with http":                  {[][]string{finance, in("finance", `http = [ { hosts = ["bank.example.com"] } ]`)}, "finance (mount " + money + ", http bank.example.com); untrusted content comes in by finance (answers of http bank.example.com)"},
		"finance with the web":               {[][]string{finance, in("finance", "public_web = true")}, "finance (mount " + money + ", public_web)"},
		"main asks both":                     {[][]string{finance, asks("'web', 'finance'")}, "finance (mount " + money + ") → main → web (public_web); untrusted content comes in by web (public_web)"},
		"finance asks research":              {[][]string{finance, in("finance", "delegates = ['research']")}, "finance (mount " + money + ") → research (public_web)"},
		"web asks finance":                   {[][]string{finance, in("web", "delegates = ['finance']")}, "finance (mount " + money + ") → web (public_web)"},
		"main with mounts asks web":          {[][]string{in("main", mount), asks("'web'")}, "main (mount " + share + ") → web (public_web)"},
		"others ask main with mounts":        {[][]string{in("main", mount), sender}, "main (mount " + share + ", answers to +15551234567); untrusted content comes in by main (messages of +15551234567)"},
		"others ask main that asks finance":  {[][]string{finance, asks("'finance'"), sender}, "finance (mount " + money + ") → main (answers to +15551234567)"},
		"anyone asks sensitive main":         {[][]string{in("main", private), {`# senders = ["+15551234567"]`, `senders = ["*"]`}}, "main (sensitive, answers to anyone)"},
		"sensitive web":                      {[][]string{in("web", private)}, "web (sensitive, public_web)"},
		"research with its key, and mounts":  {[][]string{http, in("research", mount), {"public_web = true\n# With", "# With"}}, "research (mount " + share + ", http api.search.brave.com)"},
		"finance writes what web reads":      {[][]string{finance, {`name = "finance", mode = "ro" }`, `mode = "ro" }, { path = "~/share", mode = "rw" }`}, in("web", mount+"\n"+risk)}, "finance (mount " + money + ", mount " + share + ") → " + share + " → web (public_web)"},
		"finance reads what web writes":      {[][]string{finance, {`name = "finance", mode = "ro" }`, `mode = "ro" }, { path = "~/share" }`}, in("web", rw+"\n"+risk)}, ""},
		"main and web share through finance": {[][]string{finance, {`"~/finance", name = "finance", mode = "ro"`, `"~/share", mode = "rw"`}, in("main", mount), asks("'web'"), in("main", risk)}, "finance (mount " + share + ") → " + share + " → main → web (public_web)"},
		"accepted by main alone":             {[][]string{finance, asks("'web', 'finance'"), in("main", risk)}, "finance (mount " + money + ") → main → web (public_web)"},
		"accepted by web alone":              {[][]string{finance, asks("'web', 'finance'"), in("web", risk)}, "finance (mount " + money + ") → main → web (public_web)"},
		"accepted by finance":                {[][]string{finance, asks("'web', 'finance'"), in("finance", risk)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := load(t, variant(t, slices.Concat(tc.edits...)...)).Examine().Problems
			if tc.want == "" && len(got) > 0 ||
				tc.want != "" && (len(got) != 1 || !strings.Contains(got[0], "the model: "+tc.want+";")) {
				t.Errorf("problems %q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestLeaksAreFound compares the search with all shortest ways of Floyd and Warshall: a role is
// named if and only if it leaks, the way is made of steps that are there, and none is shorter.
func TestLeaksAreFound(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	leaks, safe, through := 0, 0, 0
	for range 3000 {
		c := randomRoles(rnd)
		said, entry := make(map[host.RoleName]string), make(map[host.RoleName]string)
		for _, p := range c.Examine().Problems {
			name, rest, _ := strings.Cut(strings.TrimPrefix(p, "private data of role "), " can leak to whoever tricks the model: ")
			out, in, _ := strings.Cut(rest, "; untrusted content comes in by ")
			in, _, _ = strings.Cut(in, "; keep")
			said[host.RoleName(name)], entry[host.RoleName(name)] = out, in
		}
		d := distances(c)
		for n, r := range c.Roles {
			want := far
			for out, o := range c.Roles {
				for in, u := range c.Roles {
					if d[[2]host.RoleName{in, out}] < far && u.PublicWeb && (o.PublicWeb || routed(c, out)) ||
						d[[2]host.RoleName{in, out}] < far && routed(c, in) && (o.PublicWeb || routed(c, out)) {
						want = min(want, d[[2]host.RoleName{n, out}])
					}
				}
			}
			if !r.Sensitive && r.Mounts == nil || r.AcceptRisk != "" {
				want = far
			}
			if got := length(t, d, said[n]); got != want {
				t.Fatalf("role %s: %q, a way of %d steps; want %d (%d: none)\nroles %+v\nroutes %+v", n, said[n], got, want, far, c.Roles, c.Routes)
			}
			if want < far {
				leaks++
				if got := length(t, d, entry[n]); got != 0 { // today all that sends outward reads untrusted content too
					t.Fatalf("role %s: %q, untrusted content from %d steps away", n, entry[n], got)
				}
			} else {
				safe++
			}
			if strings.Contains(said[n], " → /d") {
				through++
			}
		}
	}
	if leaks < 1000 || safe < 1000 || through < 100 {
		t.Errorf("%d leaks, %d through directories, and %d that are none: the test says little", leaks, through, safe)
	}
}

const far = 1 << 20

func randomRoles(rnd *rand.Rand) *Config {
	c := &Config{Model: host.ModelChoice{Provider: offline}, Roles: make(map[host.RoleName]*host.Role)}
	n := 2 + rnd.IntN(6)
	for i := range n {
		r := &host.Role{
			Name: host.RoleName(fmt.Sprint("r", i)), PublicWeb: rnd.IntN(6) == 0, Sensitive: rnd.IntN(5) == 0,
		}
		for j := i + 1; j < n; j++ { // a circle is no valid configuration
			if rnd.IntN(n) == 0 {
				r.Delegates = append(r.Delegates, host.RoleName(fmt.Sprint("r", j)))
			}
		}
		for _, path := range []string{"/d", "/d/x", "/dx", "/e"} {
			if rnd.IntN(8) == 0 {
				r.Mounts = append(r.Mounts, host.Mount{Path: path, Write: rnd.IntN(2) == 0})
			}
		}
		if rnd.IntN(4) == 0 {
			r.AcceptRisk = "x"
		}
		if rnd.IntN(8) == 0 {
			c.Routes = append(c.Routes, host.Route{Role: r.Name, Senders: []string{"+1"}})
		}
		c.Roles[r.Name] = r
	}
	return c
}

func routed(c *Config, n host.RoleName) bool {
	return slices.ContainsFunc(c.Routes, func(t host.Route) bool { return t.Role == n })
}

// distances are the numbers of steps between all roles.
func distances(c *Config) map[[2]host.RoleName]int {
	d := make(map[[2]host.RoleName]int)
	meet := map[string]bool{"/d /d": true, "/d /d/x": true, "/d/x /d": true, "/d/x /d/x": true, "/dx /dx": true, "/e /e": true}
	for a, ra := range c.Roles {
		for b, rb := range c.Roles {
			near := slices.Contains(ra.Delegates, b) || slices.Contains(rb.Delegates, a)
			for _, x := range ra.Mounts {
				for _, y := range rb.Mounts {
					near = near || x.Write && meet[x.Path+" "+y.Path]
				}
			}
			switch k := [2]host.RoleName{a, b}; {
			case a == b:
				d[k] = 0
			case near:
				d[k] = 1
			default:
				d[k] = far
			}
		}
	}
	for k := range c.Roles {
		for a := range c.Roles {
			for b := range c.Roles {
				d[[2]host.RoleName{a, b}] = min(d[[2]host.RoleName{a, b}], d[[2]host.RoleName{a, k}]+d[[2]host.RoleName{k, b}], far)
			}
		}
	}
	return d
}

// length counts the steps of a way that is told, each of which must be one; far when there is no way.
func length(t *testing.T, d map[[2]host.RoleName]int, told string) int {
	t.Helper()
	if told == "" {
		return far
	}
	var roles []host.RoleName
	for _, part := range strings.Split(told, " → ") {
		if name, _, _ := strings.Cut(part, " ("); !strings.HasPrefix(name, "/") {
			roles = append(roles, host.RoleName(name))
		}
	}
	for i := range roles[1:] {
		if d[[2]host.RoleName{roles[i], roles[i+1]}] != 1 {
			t.Errorf("%q: there is no step from %s to %s", told, roles[i], roles[i+1])
		}
	}
	return len(roles) - 1
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
