package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"github.com/nanoclaw/nanoclaw/host"
)

// maxDetail bounds what a server said, in bytes, for the log.
const maxDetail = 300

// failure is why a model gave no answer.
type failure struct {
	kind     error
	sentence string // for everybody, skills included
	detail   string // for the log: the words of a server, or of an error
	broken   bool   // the answer broke off: the same request may go well
}

func (f *failure) Error() string {
	s := f.kind.Error() + ": " + f.sentence
	if f.detail != "" {
		s += ": " + f.detail
	}
	return s
}

func (f *failure) Unwrap() error { return f.kind }

// Sentence is what a user may read of it.
func (f *failure) Sentence() string { return f.sentence }

// passes reports whether another model may do better: not with a request that is wrong, nor
// when a key is, which somebody must see to.
func (f *failure) passes() bool {
	return slices.Contains([]error{host.ErrUnavailable, host.ErrBusy, host.ErrLimit, host.ErrNotFound}, f.kind)
}

// after is f with what the models before it said.
func (f *failure) after(said []*failure) error {
	var all []string
	for _, s := range append(said, f) {
		all = append(all, s.sentence)
	}
	return &failure{kind: f.kind, sentence: strings.Join(all, "; "), detail: f.detail}
}

// garbled is an answer that is none, though the protocol was kept.
type garbled string

func (g garbled) Error() string { return string(g) }

// explain makes one sentence of what went wrong. The key is in none: not in a URL, which
// never held it, and not in what the server says back.
func (r *remote) explain(err error, x *exchange, key string) *failure {
	f := &failure{kind: host.ErrUnavailable, detail: safe(fmt.Sprint(err), key)}
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	var none garbled
	body := errorEvent(err)
	switch {
	case x.stranger:
		f.sentence = fmt.Sprintf("this is no %s API; see base_url in [providers.%s]", r.end.Kind, r.Provider)
		f.detail = fmt.Sprintf("it answers with HTTP status %d and %q", x.status, safe(string(x.body), key))
	case x.status >= 400:
		r.explainStatus(f, x, x.status, x.body, key)
	case body != nil:
		r.explainStatus(f, x, 0, body, key)
		f.broken = f.kind == host.ErrUnavailable || f.kind == host.ErrBusy
	case errors.As(err, &syntax), errors.As(err, &typ), errors.As(err, &none):
		f.sentence, f.broken = r.Provider+" gave an answer that makes no sense", true
	case x.began:
		f.sentence, f.broken = fmt.Sprintf("the answer of %s was cut off", r.Provider), true
	default:
		f.sentence = r.Provider + " cannot be reached"
	}
	return f
}

// errorEvent is the body of an error that came in the middle of an answer, nil when err is none.
func errorEvent(err error) []byte {
	var a *anthropic.Error
	var o *ssestream.StreamError
	switch {
	case errors.As(err, &a):
		return []byte(a.RawJSON())
	case errors.As(err, &o):
		return o.Event.Data
	}
	return nil
}

// explainStatus reads an error of the API. Servers of one protocol agree on its shape no more
// than on its statuses.
func (r *remote) explainStatus(f *failure, x *exchange, status int, body []byte, key string) {
	e := readError(body)
	if status == 0 {
		status = e.status
	}
	f.detail = safe(e.message, key)
	is := func(code int, words ...string) bool {
		return status == code || slices.ContainsFunc(words, func(w string) bool { return strings.Contains(e.kind, w) })
	}
	switch name := r.Provider; {
	case is(http.StatusUnauthorized, "authentication", "invalid_api_key"):
		// What the server says may hold parts of the key.
		f.kind, f.detail = host.ErrDenied, ""
		f.sentence = fmt.Sprintf("the %s key was refused; see api_key in [providers.%[1]s]", name)
		if key == "" {
			f.sentence = fmt.Sprintf("%s wants a key; say where it is as api_key in [providers.%[1]s]", name)
		}
	case is(http.StatusPaymentRequired, "billing", "insufficient_quota"):
		f.kind, f.sentence = host.ErrLimit, fmt.Sprintf("the %s account has no credit left", name)
	case is(http.StatusForbidden, "permission"):
		f.kind, f.sentence = host.ErrDenied, fmt.Sprintf("the %s key may not use model %q", name, r.Model)
	case is(http.StatusNotFound, "not_found") || strings.Contains(e.message, "not a valid model"):
		f.kind, f.sentence = host.ErrNotFound, fmt.Sprintf("%s does not know model %q", name, r.Model)
		if e.kind == "" && e.message == "" { // a server's page, not the API's word
			f.sentence = fmt.Sprintf("there is no API at base_url of [providers.%s]", name)
		}
	case is(http.StatusTooManyRequests, "rate_limit"):
		f.kind, f.sentence = host.ErrLimit, fmt.Sprintf("the %s account is over its rate limit", name)
		if x.after > 0 {
			f.sentence += fmt.Sprintf("; it may be asked again in %s", x.after.Round(second))
		}
	case is(529, "overloaded"):
		f.kind, f.sentence = host.ErrBusy, name+" is overloaded"
	case is(http.StatusRequestEntityTooLarge, "request_too_large", "context_length", "exceed_context") ||
		strings.Contains(e.message, "prompt is too long") || strings.Contains(e.message, "maximum context length"):
		f.kind, f.sentence = host.ErrInvalid, fmt.Sprintf("the conversation is larger than %s takes", name)
	case is(http.StatusBadRequest, "invalid_request") || status == http.StatusUnprocessableEntity:
		f.kind, f.sentence = host.ErrInvalid, name+" refused the request; the log says why"
	case status == 0:
		f.sentence = fmt.Sprintf("the answer of %s broke off with an error", name)
	default:
		f.sentence = fmt.Sprintf("%s failed with HTTP status %d", name, status)
	}
}

// apiError is what matters of the body of an error.
type apiError struct {
	kind    string // type and code, where there are any
	message string
	status  int // a code that is a number
}

// readError takes {"error":{…}}, {"error":"…"} and what has no "error" around it.
func readError(body []byte) (e apiError) {
	var in map[string]any
	if json.Unmarshal(body, &in) != nil {
		return e
	}
	if inner, ok := in["error"].(map[string]any); ok {
		in = inner
	} else if s, ok := in["error"].(string); ok {
		in["message"] = s
	}
	code, _ := in["code"].(float64)
	typ, _ := in["type"].(string)
	word, _ := in["code"].(string)
	e.message, _ = in["message"].(string)
	e.kind, e.status = strings.TrimSpace(typ+" "+word), int(code)
	return e
}

// safe is s on one line, short, and without the key.
func safe(s, key string) string {
	if key != "" {
		s = strings.ReplaceAll(s, key, "[key]")
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}
