package wizard

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// Answers to the question for a provider. The first two are also names of tables.
const (
	anthropic = "anthropic"
	openai    = "openai"
	other     = "other"
	offline   = "offline"
	keep      = "keep"
)

// otherName is the table of the other server.
const otherName = "server"

// model asks until one real call goes well, or the person wants to go on without.
func (w *Wizard) model(ctx context.Context) (done bool, err error) {
	given := w.Given
	defer func() { w.Given = given }()
	for {
		before := len(w.edits)
		provider, err := w.pick(ctx)
		if err != nil {
			return false, err
		}
		cfg, err := w.draft()
		if err != nil {
			return false, err
		}
		choice := cfg.Choices(&host.Role{})[0]
		if w.offline = choice.Provider == offline; w.offline {
			w.Say("The offline model answers: no language model, it matches commands and example phrases.")
			return false, nil
		}
		w.Say(fmt.Sprintf("Asking %s, model %s …", choice.Provider, choice.Model))
		if err = w.Try(ctx, cfg, w.key); err == nil {
			w.Say("It answers.")
			return false, nil
		}
		if w.Ask == nil || ctx.Err() != nil {
			return false, err
		}
		then, e := w.Ask(ctx, Question{
			Title: "That did not work. What now?", Help: err.Error(), Default: "again",
			Options: []Option{{"again", "Ask me again"}, {"anyway", "Go on with " + provider + " all the same"}},
		})
		if e != nil || then == "anyway" {
			return false, e
		}
		w.edits, w.key, w.keyAs = w.edits[:before], "", ""
		w.Given = map[string]string{}
		if base := given["base-url"]; base != "" && provider != other { // of these nobody is asked
			w.Given["base-url"] = base
		}
	}
}

// pick asks for a provider and what it needs, and notes what that changes in the file.
func (w *Wizard) pick(ctx context.Context) (provider string, err error) {
	q := Question{
		Flag: "provider", Title: "Which model shall answer?", Default: anthropic,
		Help: "What a role reads is sent to its model.",
		Options: []Option{
			{anthropic, "Claude, by Anthropic's API"},
			{openai, "OpenAI's API"},
			{other, "Another server: Ollama, llama.cpp, vLLM, OpenRouter …"},
			{offline, "None yet: commands and example phrases only"},
		},
	}
	if w.Ask == nil {
		q.Default = offline
	}
	if was := w.answers(); was != offline {
		q.Options = append([]Option{{keep, "Keep what the file says: " + was}}, q.Options...)
		q.Default = keep
	}
	if provider, err = w.ask(ctx, q); err != nil {
		return "", err
	}
	switch provider {
	case keep:
		return provider, nil
	case offline:
		if w.answers() != offline {
			w.edits = append(w.edits, edit{"model", "provider", quote(offline)})
		}
		return provider, nil
	case other:
		return provider, w.otherServer(ctx)
	}
	return provider, w.known(ctx, provider)
}

// answers is the provider that answers by the file as it is.
func (w *Wizard) answers() string {
	if w.cfg == nil {
		return offline
	}
	return w.cfg.Choices(&host.Role{})[0].Provider
}

func (w *Wizard) known(ctx context.Context, provider string) error {
	table := "providers." + provider
	w.edits = append(w.edits, edit{"model", "provider", quote(provider)})
	if base := w.Given["base-url"]; base != "" {
		w.edits = append(w.edits, edit{table, "base_url", quote(base)})
	}
	_, given := w.Given["model"]
	if provider == openai || given {
		if err := w.modelName(ctx); err != nil {
			return err
		}
	} else if was := w.answers(); was != offline && was != provider {
		w.edits = append(w.edits, edit{"model", "name", ""}) // the other provider's
	}
	if w.Sandboxed {
		w.edits = append(w.edits, edit{table, "api_key", quote("proxy-managed")})
		return nil
	}
	usual := map[string]string{anthropic: "ANTHROPIC_API_KEY", openai: "OPENAI_API_KEY"}[provider]
	return w.askKey(ctx, provider, usual, false)
}

func (w *Wizard) otherServer(ctx context.Context) error {
	base, err := w.ask(ctx, Question{
		Flag: "base-url", Title: "Where is it?", Default: "http://127.0.0.1:11434/v1",
		Help: "The part before /chat/completions.", Check: func(s string) error {
			if u, err := url.Parse(strings.TrimSpace(s)); err != nil || u.Host == "" || u.User != nil {
				return errors.New("this is no URL, or one with a password")
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	table := "providers." + otherName
	w.edits = append(w.edits, edit{"model", "provider", quote(otherName)}, edit{table, "kind", quote(openai)},
		edit{table, "base_url", quote(strings.TrimSpace(base))}, edit{table, "api_key", ""})
	if err := w.modelName(ctx); err != nil {
		return err
	}
	return w.askKey(ctx, otherName, "", true)
}

func (w *Wizard) modelName(ctx context.Context) error {
	name, err := w.ask(ctx, Question{
		Flag: "model", Title: "Which of its models?", Help: "Its name, as the server knows it.", Check: plain(200),
	})
	w.edits = append(w.edits, edit{"model", "name", quote(strings.TrimSpace(name))})
	return err
}

// askKey takes the key of a provider without showing it. It is kept once everything is decided.
func (w *Wizard) askKey(ctx context.Context, provider, usual string, optional bool) error {
	env, given := w.Given["key-from-env"]
	if !given && w.Ask == nil {
		env = usual
	}
	var key string
	var err error
	switch {
	case given || w.Ask == nil:
		if key = w.Env(env); key == "" && (given || !optional) {
			return fmt.Errorf("%w: there is no key in the environment variable %s: name another with --key-from-env",
				host.ErrNotFound, env)
		}
	default:
		key, err = w.Ask(ctx, w.keyQuestion(provider, usual, optional))
		if key = strings.TrimSpace(key); key == "" && usual != "" {
			key = w.Env(usual)
		}
	}
	if err != nil || key == "" {
		return err
	}
	w.key, w.keyAs = key, provider
	w.edits = append(w.edits, edit{"providers." + provider, "api_key", "{ secret = " + quote(provider) + " }"})
	return nil
}

func (w *Wizard) keyQuestion(provider, usual string, optional bool) Question {
	q := Question{
		Title: "The key for " + provider, Hidden: true,
		Help: "It is not shown, and kept where only you can read it: as 'nanoclaw secret set " + provider + "' does.",
	}
	switch {
	case usual != "" && w.Env(usual) != "":
		q.Help += "\nNothing: the one in " + usual + "."
	case optional:
		q.Help += "\nNothing: it needs none."
	default:
		q.Check = plain(4096)
	}
	return q
}
