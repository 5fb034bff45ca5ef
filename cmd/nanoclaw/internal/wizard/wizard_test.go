package wizard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// lab is a machine for the wizard: what is there, what people answer, and what was done.
type lab struct {
	*Wizard
	t     *testing.T
	asked []Question
	did   []string
	said  strings.Builder
	kept  string
	tried []string // keys
}

func newLab(t *testing.T, given map[string]string) *lab {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "calc.wasm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t}
	do := func(what string) error { l.did = append(l.did, what); return nil }
	l.Wizard = &Wizard{
		Config: filepath.Join(t.TempDir(), "etc", "nanoclaw.toml"), Plugins: dir, Given: given,
		Say: func(s string) { fmt.Fprintln(&l.said, s) },
		Env: func(string) string { return "" },
		Has: func(...string) bool { return false },
		Program: func(_ context.Context, args ...string) error {
			return do(strings.Join(args, " "))
		},
		Chat:   func(_ context.Context, text string) (string, error) { return "Hello, I am here.\n", do("say " + text) },
		Docker: func(context.Context) error { return nil },
		Fix:    func(_ context.Context, yes bool) error { return do(fmt.Sprintf("fix %v", yes)) },
		Load: func(path string) (*config.Config, error) {
			return config.Load(path, config.Overrides{StateDir: filepath.Join(dir, "state")})
		},
		Try: func(_ context.Context, cfg *config.Config, key string) error {
			l.tried = append(l.tried, key)
			return nil
		},
		Keep: func(_ *config.Config, name, key string) error { l.kept = name + "=" + key; return nil },
		Linked: func(context.Context) (string, error) {
			if slices.ContainsFunc(l.did, func(s string) bool { return strings.HasPrefix(s, "channel add") }) {
				return "+15550000001", nil
			}
			return "", nil
		},
	}
	return l
}

// people makes somebody answer, by what the question's flag or title is.
func (l *lab) people(answers map[string]string) {
	l.Ask = func(_ context.Context, q Question) (string, error) {
		l.asked = append(l.asked, q)
		answer, ok := answers[q.Flag]
		if !ok {
			answer, ok = answers[q.Title]
		}
		if !ok {
			answer = q.Default
		}
		if q.Check != nil {
			if err := q.Check(answer); err != nil {
				l.t.Errorf("%s: %v", q.Title, err)
			}
		}
		return answer, nil
	}
}

func (l *lab) file() string {
	b, err := os.ReadFile(l.Config)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

func (l *lab) fails(want ...string) {
	l.t.Helper()
	err := l.Run(l.t.Context())
	if err == nil {
		l.t.Fatalf("it went well: %s", l.said.String())
	}
	for _, s := range append(want, "'nanoclaw setup' can be run again") {
		if !strings.Contains(err.Error(), s) {
			l.t.Errorf("%v\nwant %q", err, s)
		}
	}
}

// TestShippedIsTheShippedFile: the copy that travels in the program.
func TestShippedIsTheShippedFile(t *testing.T) {
	b, err := os.ReadFile("../../../../nanoclaw.toml")
	if err != nil || string(b) != Shipped {
		t.Fatalf("%v; nanoclaw.toml was changed: cp nanoclaw.toml cmd/nanoclaw/internal/wizard/shipped.toml", err)
	}
}

// TestAtMostTenAnswers: everything that can be asked is asked.
func TestAtMostTenAnswers(t *testing.T) {
	l := newLab(t, nil)
	l.Sandboxes = true
	l.Has = func(command ...string) bool { return command[0] == "channel" }
	up := false
	l.Docker = func(context.Context) error {
		if !up {
			return errors.New("connection refused")
		}
		return nil
	}
	fixes := 0 // each of them is a question too
	l.Fix = func(context.Context, bool) error { fixes++; up = true; return nil }
	l.people(map[string]string{
		"sandbox": "no", "provider": other, "model": "qwen3", "The key for server": "sk-test-123456", "name": "Bo", "whatsapp": "yes",
		"main-chat": "123@g.us", "service": "yes",
	})
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(l.asked) + fixes; n > 10 || n < 9 {
		t.Errorf("%d questions: %v", n, l.asked)
	}
	want := []string{
		"channel add whatsapp", "route add whatsapp 123@g.us main", "service install", "say Hello! What can you do?",
	}
	if !slices.Equal(l.did, want) || l.kept != "server=sk-test-123456" || !slices.Equal(l.tried, []string{"sk-test-123456"}) {
		t.Errorf("did %q, kept %q, tried %q", l.did, l.kept, l.tried)
	}
	text := l.file()
	cfg, err := config.Load(l.Config, config.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.Providers[otherName]
	if cfg.Assistant.Name != "Bo" || cfg.Model.Provider != otherName || cfg.Model.Model != "qwen3" ||
		p.Secret != otherName || p.BaseURL != "http://127.0.0.1:11434/v1" || strings.Contains(text, "sk-test") {
		t.Errorf("%+v %+v\n%s", cfg.Model, p, text)
	}
	if strings.Count(text, "\n# ") < 100 {
		t.Error("the comments are gone")
	}
	if !strings.Contains(l.said.String(), "Hello, I am here.") {
		t.Error("no reply was shown")
	}
}

// TestUnattended: what each set of flags makes of nothing.
func TestUnattended(t *testing.T) {
	keys := map[string]string{"ANTHROPIC_API_KEY": "sk-a", "MINE": "sk-m"}
	for name, tc := range map[string]struct {
		given    map[string]string
		provider string
		kept     string
		err      string
	}{
		"nothing":      {nil, offline, "", ""},
		"usual key":    {map[string]string{"provider": anthropic}, anthropic, "anthropic=sk-a", ""},
		"named key":    {map[string]string{"provider": anthropic, "key-from-env": "MINE"}, anthropic, "anthropic=sk-m", ""},
		"no key":       {map[string]string{"provider": openai, "model": "gpt"}, "", "", "environment variable OPENAI_API_KEY"},
		"no model":     {map[string]string{"provider": openai}, "", "", "give --model"},
		"no such key":  {map[string]string{"provider": anthropic, "key-from-env": "NONE"}, "", "", "variable NONE"},
		"server":       {map[string]string{"provider": other, "model": "m"}, otherName, "", ""},
		"server + key": {map[string]string{"provider": other, "model": "m", "key-from-env": "MINE"}, otherName, "server=sk-m", ""},
		"bad url":      {map[string]string{"provider": other, "base-url": "127.0.0.1", "model": "m"}, "", "", "--base-url: this is no URL"},
		"bad provider": {map[string]string{"provider": "gpt"}, "", "", "--provider must be one of anthropic, openai, other, offline"},
		"bad name":     {map[string]string{"name": "a\nb"}, "", "", "--name: invalid"},
		"no whatsapp":  {map[string]string{"whatsapp": "yes"}, "", "", "no WhatsApp in it"},
		"a secret url": {map[string]string{"provider": other, "base-url": "http://u:p@h/v1", "model": "m"}, "", "", "with a password"},
		"clear key":    {map[string]string{"provider": other, "base-url": "http://h.example/v1", "model": "m", "key-from-env": "MINE"}, "", "", "would send the key in the clear"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tc.given)
			l.Env = func(k string) string { return keys[k] }
			if tc.err != "" {
				l.fails(tc.err)
				if _, err := os.Stat(l.Config); err == nil && name != "no whatsapp" {
					t.Error("a file was written")
				}
				return
			}
			if err := l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(l.Config, config.Overrides{StateDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if got := cfg.Choices(&host.Role{})[0].Provider; got != tc.provider || l.kept != tc.kept {
				t.Errorf("provider %s, kept %q; want %s, %q", got, l.kept, tc.provider, tc.kept)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(l.Config), ".*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// TestWhatsAppUnattended: the main chat is what the owner writes to himself unless a flag says otherwise, and
// a phone that is linked already is no failure.
func TestWhatsAppUnattended(t *testing.T) {
	for _, tc := range []struct {
		given map[string]string
		want  []string
	}{
		{map[string]string{"phone": "+15550000001"}, []string{"channel add whatsapp --phone +15550000001", "route add whatsapp +15550000001 main"}},
		{map[string]string{"main-chat": "1@g.us"}, []string{"channel add whatsapp", "route add whatsapp 1@g.us main"}},
		{map[string]string{"main-chat": "later"}, []string{"channel add whatsapp"}},
	} {
		tc.given["whatsapp"] = "yes"
		l := newLab(t, tc.given)
		l.Has = func(c ...string) bool { return c[0] == "channel" }
		if err := l.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := append(tc.want, "say what is 6*7"); !slices.Equal(l.did, want) {
			t.Errorf("did %q, want %q", l.did, want)
		}
		before := len(l.did)
		if err := l.Run(t.Context()); err != nil { // again
			t.Fatal(err)
		}
		if did := strings.Join(l.did[before:], ", "); strings.Contains(did, "channel add") || !strings.Contains(l.said.String(), "linked as +15550000001 already") {
			t.Errorf("the second time: %s\n%s", did, l.said.String())
		}
	}
}

// TestFailuresSayHowToGoOn: one at each step. What was done before stays done.
func TestFailuresSayHowToGoOn(t *testing.T) {
	bad := errors.New("no luck")
	for name, tc := range map[string]struct {
		given  map[string]string
		change func(*lab)
		want   []string
		wrote  bool
	}{
		"file": {nil, func(l *lab) { l.Plugins = "" }, []string{"setup, file: ", "make build", "--config"}, false},
		"docker": {nil, func(l *lab) {
			l.Docker = func(context.Context) error { return bad }
			l.Fix = l.fix(bad)
		}, []string{"setup, docker: no luck", "doctor --fix"}, false},
		"docker, no": {map[string]string{"fix-docker": "no"}, func(l *lab) {
			l.Docker = func(context.Context) error { return bad }
		}, []string{"setup, docker: no luck", "--runtime none"}, false},
		"model": {map[string]string{"provider": anthropic, "key-from-env": "K"}, func(l *lab) {
			l.Env = func(string) string { return "sk-x" }
			l.Try = func(context.Context, *config.Config, string) error {
				return errors.New("the anthropic key was refused")
			}
		}, []string{"setup, model: the anthropic key was refused", "--provider=offline"}, false},
		"keep": {map[string]string{"provider": anthropic, "key-from-env": "K"}, func(l *lab) {
			l.Env = func(string) string { return "sk-x" }
			l.Keep = func(*config.Config, string, string) error { return bad }
		}, []string{"setup, file: no luck", "the file is as it was"}, false},
		"whatsapp": {map[string]string{"whatsapp": "yes"}, func(l *lab) {
			l.Has = func(c ...string) bool { return c[0] == "channel" }
			l.Program = func(context.Context, ...string) error { return bad }
		}, []string{"setup, whatsapp: no luck", "channel add whatsapp"}, true},
		"service": {map[string]string{"service": "yes"}, func(l *lab) {
			l.Program = func(context.Context, ...string) error { return bad }
		}, []string{"setup, service: no luck", "nanoclaw run"}, true},
		"hello": {nil, func(l *lab) {
			l.Chat = func(context.Context, string) (string, error) { return "", bad }
		}, []string{"setup, first message: no luck", "nanoclaw doctor"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, tc.given)
			tc.change(l)
			l.fails(tc.want...)
			if _, err := os.Stat(l.Config); (err == nil) != tc.wrote {
				t.Errorf("file written: %v, want %v", err == nil, tc.wrote)
			}
		})
	}
	l := newLab(t, map[string]string{"colour": "red"})
	if err := l.Run(t.Context()); !errors.Is(err, host.ErrInvalid) {
		t.Errorf("an unknown answer: %v", err)
	}
}

func (l *lab) fix(err error) func(context.Context, bool) error {
	return func(context.Context, bool) error { return err }
}

// TestRefusedKeyIsAskedAgain: the person corrects it; nothing was kept in between.
func TestRefusedKeyIsAskedAgain(t *testing.T) {
	l := newLab(t, map[string]string{"provider": anthropic})
	l.people(map[string]string{"provider": anthropic})
	ask, keys := l.Ask, []string{"sk-wrong", "sk-right"}
	l.Ask = func(ctx context.Context, q Question) (string, error) {
		if q.Hidden {
			key := keys[0]
			keys = keys[1:]
			return key, nil
		}
		return ask(ctx, q)
	}
	l.Try = func(_ context.Context, _ *config.Config, key string) error {
		if l.kept != "" {
			t.Error("kept before it was tried")
		}
		if key == "sk-wrong" {
			return errors.New("refused")
		}
		return nil
	}
	if err := l.Run(t.Context()); err != nil || l.kept != "anthropic=sk-right" {
		t.Errorf("%v, kept %q", err, l.kept)
	}
}

// TestRunAgain: on its own file it changes nothing; with another answer it shows the difference and
// asks, and "no" leaves file and key alone.
func TestRunAgain(t *testing.T) {
	l := newLab(t, map[string]string{"provider": anthropic, "key-from-env": "K"})
	l.Env = func(string) string { return "sk-x" }
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := l.file()
	again := newLab(t, nil)
	again.Config = l.Config
	if err := again.Run(t.Context()); err != nil || again.file() != first || again.kept != "" {
		t.Fatalf("%v\n%s", err, again.said.String())
	}
	if !strings.Contains(again.said.String(), "stays as it is") || len(again.tried) != 1 {
		t.Errorf("said %s", again.said.String())
	}

	change := newLab(t, map[string]string{"provider": other, "model": "qwen3", "key-from-env": "K", "name": "Bo"})
	change.Config, change.Env = l.Config, l.Env
	change.fails("not written; unattended, --write=yes")
	if change.file() != first || change.kept != "" || !strings.Contains(change.said.String(), "+name = \"qwen3\"") {
		t.Errorf("kept %q; said %s", change.kept, change.said.String())
	}
	change.Given["write"] = "yes"
	change.edits = nil
	if err := change.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(l.Config, config.Overrides{})
	if err != nil || cfg.Model.Model != "qwen3" || cfg.Assistant.Name != "Bo" {
		t.Errorf("%v %+v", err, cfg)
	}

	back := newLab(t, map[string]string{"provider": offline, "write": "yes"})
	back.Config = l.Config
	if err := back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if cfg, err = config.Load(l.Config, config.Overrides{}); err != nil || cfg.Model.Provider != offline {
		t.Errorf("%v %+v", err, cfg.Model)
	}
}

// TestOwnFiles: comments and order of a person's file stay; what cannot be changed is told.
func TestOwnFiles(t *testing.T) {
	plugins := t.TempDir()
	if err := os.WriteFile(filepath.Join(plugins, "a.wasm"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rest := fmt.Sprintf("[skills] # mine\ndir = %q\n[roles.main]\ndescription = \"x\"\nprompt = \"x\"\n", plugins)
	for name, tc := range map[string]struct{ file, has, err string }{
		"small":       {"# my own\n" + rest, "# my own\n[skills] # mine\n", ""},
		"key in use":  {"[model] # the best\nname = \"x\" # yes\n" + rest, "[model] # the best\n", ""},
		"inline":      {"model = { name = \"x\" }\n" + rest, "", "cannot be changed by itself"},
		"dotted":      {"model.name = \"x\"\n" + rest, "", `[model] name = "qwen3"`},
		"not valid":   {"[modle]\n" + rest, "", "mend the file"},
		"in a string": {"[roles.other]\ndescription = \"y\"\nprompt = \"\"\"\n[model]\n\"\"\"\n" + rest, "", "cannot be changed by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, map[string]string{"provider": other, "model": "qwen3", "write": "yes"})
			if err := os.MkdirAll(filepath.Dir(l.Config), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(l.Config, []byte(tc.file), 0o640); err != nil {
				t.Fatal(err)
			}
			if tc.err != "" {
				l.fails(tc.err)
				if l.file() != tc.file {
					t.Errorf("it was changed:\n%s", l.file())
				}
				return
			}
			if err := l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(l.Config, config.Overrides{})
			if err != nil || cfg.Model.Model != "qwen3" || !strings.Contains(l.file(), tc.has) {
				t.Errorf("%v\n%s", err, l.file())
			}
			if st, err := os.Stat(l.Config); err != nil || st.Mode().Perm() != 0o640 {
				t.Errorf("%v %v", st.Mode(), err)
			}
		})
	}
}

// TestSandbox: offered first where there is one; the rest is set up in it.
func TestSandbox(t *testing.T) {
	for name, tc := range map[string]struct {
		here, inside bool
		say, did     string
	}{
		"there is one": {here: true, did: "sandbox up", say: "nanoclaw sandbox shell"},
		"none":         {did: "say what is 6*7"},
		"inside":       {here: true, inside: true, did: "say what is 6*7"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, map[string]string{"sandbox": "yes"})
			l.Sandboxed, l.Sandboxes = tc.inside, tc.here
			if err := l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if did := strings.Join(l.did, ", "); did != tc.did || !strings.Contains(l.said.String(), tc.say) {
				t.Errorf("did %q, said %s", did, l.said.String())
			}
		})
	}
	l := newLab(t, map[string]string{"provider": anthropic})
	l.Sandboxed = true
	if err := l.Run(t.Context()); err != nil || !strings.Contains(l.file(), `api_key = "proxy-managed"`) || l.kept != "" {
		t.Errorf("%v, kept %q: in a sandbox its proxy has the key", err, l.kept)
	}
}
