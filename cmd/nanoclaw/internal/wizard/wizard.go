// Package wizard leads from nothing to a first reply: it asks at most ten questions, makes or
// changes nanoclaw.toml, and has the rest done by other commands of this program.
//
// In reading order: wizard.go is the way through the steps; model.go is the longest of them; file.go
// changes a nanoclaw.toml without losing a word of it; form.go asks on a terminal.
//
// It owns the questions and their flags. It must never write a key into the configuration, never
// replace a file that it has not shown the difference of, and never ask where nobody answers. What it
// does to the machine are functions that cmd/nanoclaw gives it.
//
// Rationale: the file is changed as text, line by line, because what people wrote into it, comments
// included, is theirs. Whether the change did what it should is then read back with the strict parser
// of host/config; where it did not, the person is told which lines to write.
package wizard

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// Skill is a SKILL.md by which Claude Code sets NanoClaw up.
//
//go:embed SKILL.md
var Skill string

// Question is asked once. Flag answers it beforehand.
type Question struct {
	Flag, Title, Help string
	Default           string
	Options           []Option // nil = a line of text
	Hidden            bool     // not shown while it is typed
	Check             func(string) error
}

// Option is one answer to choose.
type Option struct{ Value, Label string }

// Flags are the answers that can be given beforehand, with what they say.
var Flags = []Option{
	{"sandbox", "run it in a Docker Sandbox: yes or no"},
	{"fix-docker", "make Docker answer where it does not, installing it where needed: yes or no"},
	{"provider", "anthropic, openai, other (any server that speaks OpenAI's protocol), offline, or keep"},
	{"base-url", "where the other server is, such as http://127.0.0.1:11434/v1"},
	{"model", "a model of the provider"},
	{"key-from-env", "the environment variable that holds the key; it is stored as by 'nanoclaw secret set'"},
	{"name", "what the assistant is called"},
	{"write", "write the file though it changes one that is there: yes or no"},
	{"whatsapp", "pair WhatsApp: yes or no"},
	{"phone", "number of the phone to pair: shows a code to type there in place of one to scan"},
	{"main-chat", "the WhatsApp chat that the main role answers"},
	{"service", "install the service: yes or no"},
	{"message", "the first message"},
}

// Wizard is one run.
type Wizard struct {
	Config    string            // the file to make or change; absolute
	Plugins   string            // where the bundled skills are; "" = nowhere
	Sandboxed bool              // in a Docker Sandbox already
	Sandboxes bool              // a program that makes them is here
	Given     map[string]string // answers by flag

	Ask     func(context.Context, Question) (string, error) // nil: nobody is there; defaults are taken
	Say     func(string)
	Env     func(string) string
	Has     func(command ...string) bool                           // does this program have such a command?
	Program func(ctx context.Context, args ...string) error        // runs it, at the same terminal
	Chat    func(ctx context.Context, text string) (string, error) // says it to the assistant
	Docker  func(context.Context) error                            // nil: it answers, or is not needed
	Fix     func(ctx context.Context, yes bool) error              // says what it will do, and asks unless yes
	Load    func(path string) (*config.Config, error)
	Try     func(ctx context.Context, cfg *config.Config, key string) error // one call of the model
	Keep    func(cfg *config.Config, name, key string) error                // as a secret
	Linked  func(context.Context) (number string, err error)                // of the phone; "" = none

	had   bool // there was a file
	old   string
	edits []edit
	cfg   *config.Config // as the file is now; nil while there is none
	key   string         // to keep; "" = none
	keyAs string

	offline bool // that model answers
}

var errStopped = errors.New("stopped by you")

// Run goes through the steps. It says after an error how to go on.
func (w *Wizard) Run(ctx context.Context) error {
	for _, f := range slices.Sorted(maps.Keys(w.Given)) {
		if !slices.ContainsFunc(Flags, func(o Option) bool { return o.Value == f }) {
			return fmt.Errorf("%w: there is no question %q", host.ErrInvalid, f)
		}
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) (done bool, err error)
		goOn string
	}{
		{"file", w.read, "mend the file, or name another with --config"},
		{"sandbox", w.sandbox, "say --sandbox=no to go on without"},
		{"docker", w.docker, "'nanoclaw doctor --fix' tries again; --runtime none needs no Docker, and has no containers"},
		{"model", w.model, "say --provider=offline to go on without a model"},
		{"name", w.name, "give another with --name"},
		{"file", w.write, "the file is as it was"},
		{"whatsapp", w.whatsapp, "'nanoclaw channel add whatsapp' tries again; --whatsapp=no goes on without"},
		{"service", w.service, "'nanoclaw service install' tries again; without it, 'nanoclaw run' is the host"},
		{"first message", w.hello, "'nanoclaw doctor' looks for the reason; 'nanoclaw chat' asks again"},
	} {
		done, err := step.do(ctx)
		if ctx.Err() != nil && err != nil {
			err = errStopped
		}
		if err != nil {
			return fmt.Errorf("setup, %s: %w\nWhat was done stays, and 'nanoclaw setup' can be run again: %s",
				step.name, err, step.goOn)
		}
		if done {
			return nil
		}
	}
	w.Say("\nThat is all. 'nanoclaw chat' talks to it, 'nanoclaw check' says what each role can reach,\n" +
		"'nanoclaw doctor' looks after it; everything else is in " + w.Config)
	return nil
}

// ask gives the answer of the flag, of the person, or else the default.
func (w *Wizard) ask(ctx context.Context, q Question) (answer string, err error) {
	answer, given := w.Given[q.Flag]
	switch {
	case given:
	case w.Ask != nil:
		return w.Ask(ctx, q)
	case q.Default == "":
		return "", fmt.Errorf("%w: nobody is there to ask for it: give --%s", host.ErrInvalid, q.Flag)
	default:
		answer = q.Default
	}
	if q.Options != nil && !slices.ContainsFunc(q.Options, func(o Option) bool { return o.Value == answer }) {
		var all []string
		for _, o := range q.Options {
			all = append(all, o.Value)
		}
		return "", fmt.Errorf("%w: --%s must be one of %s", host.ErrInvalid, q.Flag, strings.Join(all, ", "))
	}
	if q.Check != nil {
		if err := q.Check(answer); err != nil {
			return "", fmt.Errorf("--%s: %w", q.Flag, err)
		}
	}
	return answer, nil
}

func (w *Wizard) confirm(ctx context.Context, flag, title, help, unasked string) (bool, error) {
	answer, err := w.ask(ctx, Question{
		Flag: flag, Title: title, Help: help, Default: unasked, Options: []Option{{"yes", "Yes"}, {"no", "No"}},
	})
	return answer == "yes", err
}

// sandbox comes first: what is set up outside of one would have to be set up again in it.
func (w *Wizard) sandbox(ctx context.Context) (done bool, err error) {
	if w.Sandboxed || !w.Sandboxes {
		return false, nil
	}
	yes, err := w.confirm(ctx, "sandbox", "Run NanoClaw in a Docker Sandbox?",
		"A microVM of its own around everything: not even the host process is on your machine then.", "no")
	if err != nil || !yes {
		return false, err
	}
	if err := w.Program(ctx, "sandbox", "up"); err != nil {
		return false, err
	}
	w.Say("\nThe rest is set up in it: 'nanoclaw sandbox shell', and there 'bin/nanoclaw setup'.")
	return true, nil
}

func (w *Wizard) docker(ctx context.Context) (done bool, err error) {
	why := w.Docker(ctx)
	if why == nil {
		return false, nil
	}
	w.Say("Docker does not answer: " + why.Error())
	_, given := w.Given["fix-docker"]
	if unattended := given || w.Ask == nil; unattended {
		yes, err := w.confirm(ctx, "fix-docker", "", "", "yes")
		if err != nil || !yes {
			return false, errors.Join(why, err)
		}
		err = w.Fix(ctx, true)
		return false, errors.Join(err, w.Docker(ctx))
	}
	if err := w.Fix(ctx, false); err != nil { // it asks itself
		return false, err
	}
	return false, w.Docker(ctx)
}

func (w *Wizard) name(ctx context.Context) (done bool, err error) {
	if _, given := w.Given["name"]; w.had && !given {
		return false, nil
	}
	name, err := w.ask(ctx, Question{
		Flag: "name", Title: "What is the assistant called?",
		Help: "@ and this name calls it in groups.", Default: "Andy", Check: plain(40),
	})
	was := "Andy"
	if w.cfg != nil {
		was = w.cfg.Assistant.Name
	}
	if name = strings.TrimSpace(name); err == nil && name != was {
		w.edits = append(w.edits, edit{"assistant", "name", quote(name)})
	}
	return false, err
}

// plain is a check of one line of text.
func plain(most int) func(string) error {
	return func(s string) error {
		if s = strings.TrimSpace(s); s == "" || len(s) > most || strings.ContainsFunc(s, unicode.IsControl) {
			return fmt.Errorf("%w: it must be one line of 1 to %d bytes", host.ErrInvalid, most)
		}
		return nil
	}
}

// whatsapp is the one place that knows of that channel; it is skipped by a program without it.
func (w *Wizard) whatsapp(ctx context.Context) (done bool, err error) {
	if !w.Has("channel", "add") {
		if w.Given["whatsapp"] == "yes" {
			return false, fmt.Errorf("%w: this program has no WhatsApp in it", host.ErrUnavailable)
		}
		return false, nil
	}
	yes, err := w.confirm(ctx, "whatsapp", "Pair WhatsApp now?", "You scan a code with your phone.", "no")
	if err != nil || !yes {
		return false, err
	}
	number, err := w.Linked(ctx)
	if err == nil && number == "" {
		args := []string{"channel", "add", "whatsapp"}
		if phone := w.Given["phone"]; phone != "" {
			args = append(args, "--phone", phone)
		}
		if err = w.Program(ctx, args...); err == nil {
			number, err = w.Linked(ctx)
		}
	} else if err == nil {
		w.Say("WhatsApp is linked as " + number + " already.")
	}
	if err != nil {
		return false, err
	}
	chat, err := w.ask(ctx, Question{
		Flag: "main-chat", Title: "Which chat is the main one?", Default: number,
		Help: "The number that was linked is what you write to yourself there. Else an ID of 'nanoclaw channel chats', " +
			"or \"later\": 'nanoclaw route add whatsapp CHAT main' does it then.",
		Check: plain(200),
	})
	if chat = strings.TrimSpace(chat); err != nil || chat == "later" {
		return false, err
	}
	return false, w.Program(ctx, "route", "add", "whatsapp", chat, "main")
}

func (w *Wizard) service(ctx context.Context) (done bool, err error) {
	yes, err := w.confirm(ctx, "service", "Install it as a service?",
		"It then starts at boot. Without one, 'nanoclaw run' is the host, or 'nanoclaw chat' by itself.", "no")
	if err != nil || !yes {
		return false, err
	}
	return false, w.Program(ctx, "service", "install")
}

// hello ends with what everything is for. A first start compiles the skills.
func (w *Wizard) hello(ctx context.Context) (done bool, err error) {
	text := w.Given["message"]
	if text == "" && w.offline {
		text = "what is 6*7"
	} else if text == "" {
		text = "Hello! What can you do?"
	}
	w.Say("\nThe first message; a first start compiles the skills, which takes a minute.\nyou> " + text)
	reply, err := w.Chat(ctx, text)
	if err != nil {
		return false, err
	}
	w.Say(strings.TrimSpace(reply))
	return false, nil
}
