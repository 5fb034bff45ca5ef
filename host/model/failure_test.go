package model_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/model"
	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// TestFailures: one clear sentence, the right kind, no key; tries says how often the server is asked.
func TestFailures(t *testing.T) {
	secret := "sk-hunter2"
	soon, late := http.Header{"Retry-After": {"0.01"}}, http.Header{"Retry-After": {"3600"}}
	uses := func(input string) []modeltest.Use { return []modeltest.Use{{ID: "1", Name: "calc", Input: input}} }
	never := make(chan struct{})
	for name, tc := range map[string]struct {
		key    string
		answer modeltest.Answer
		kind   error
		want   string // the whole sentence
		log    string // what the log says beyond it
		tries  int
	}{
		"wrong key": {
			key: secret, kind: host.ErrDenied, want: "the first key was refused; see api_key in [providers.first]", tries: 1,
		},
		"forbidden": {
			answer: modeltest.Answer{Status: 403, Message: "not in your country"}, kind: host.ErrDenied,
			want: `the first key may not use model "test-1"`, log: "not in your country", tries: 1,
		},
		"unknown model": {
			answer: modeltest.Answer{Status: 404, Message: "no model test-1"}, kind: host.ErrNotFound,
			want: `first does not know model "test-1"`, log: "no model test-1", tries: 1,
		},
		"bad request": {
			answer: modeltest.Answer{Status: 400, Message: "too\nmany " + modeltest.Key}, kind: host.ErrInvalid,
			want: "first refused the request; the log says why", log: "too many [key]", tries: 1,
		},
		"too large": {
			answer: modeltest.Answer{Status: 413}, kind: host.ErrInvalid, want: "the conversation is larger than first takes", tries: 1,
		},
		"too long": {
			answer: modeltest.Answer{Status: 400, Message: "prompt is too long: 9 tokens"}, kind: host.ErrInvalid,
			want: "the conversation is larger than first takes", tries: 1,
		},
		"no credit": {
			answer: modeltest.Answer{Status: 402}, kind: host.ErrLimit, want: "the first account has no credit left", tries: 1,
		},
		"rate limit, long": {
			answer: modeltest.Answer{Status: 429, Header: late}, kind: host.ErrLimit,
			want: "the first account is over its rate limit; it may be asked again in 1h0m0s", tries: 1,
		},
		"rate limit, short": {
			answer: modeltest.Answer{Status: 429, Header: soon}, kind: host.ErrLimit,
			want: "the first account is over its rate limit; it may be asked again in 0s", tries: 5,
		},
		"overloaded": {
			answer: modeltest.Answer{Status: 529, Header: soon}, kind: host.ErrBusy, want: "first is overloaded", tries: 5,
		},
		"server error": {
			answer: modeltest.Answer{Status: 500, Header: soon, Message: "oh no"}, kind: host.ErrUnavailable,
			want: "first failed with HTTP status 500", log: "oh no", tries: 5,
		},
		"overloaded midway": {
			answer: modeltest.Answer{Event: "overloaded_error"}, kind: host.ErrBusy, want: "first is overloaded", tries: 2,
		},
		"error midway": {
			answer: modeltest.Answer{Event: "oops", Message: "oh no"}, kind: host.ErrUnavailable,
			want: "the answer of first broke off with an error", log: "oh no", tries: 2,
		},
		"refused midway": {
			answer: modeltest.Answer{Event: "invalid_request_error"}, kind: host.ErrInvalid,
			want: "first refused the request; the log says why", tries: 1,
		},
		"cut": {
			answer: modeltest.Answer{Cut: true}, kind: host.ErrUnavailable, want: "the answer of first was cut off", log: "EOF", tries: 2,
		},
		"cut after text": {
			answer: modeltest.Answer{Text: "Hel", Cut: true}, kind: host.ErrUnavailable, want: "the answer of first was cut off", tries: 1,
		},
		"garbage": {
			answer: modeltest.Answer{Garbage: true}, kind: host.ErrUnavailable, want: "first gave an answer that makes no sense",
			log: "JSON", tries: 2,
		},
		"garbage after text": {
			answer: modeltest.Answer{Text: "Hel", Garbage: true}, kind: host.ErrUnavailable,
			want: "first gave an answer that makes no sense", tries: 1,
		},
		"arguments that are no JSON": {
			answer: modeltest.Answer{Uses: uses("6*7 " + modeltest.Key)}, kind: host.ErrUnavailable,
			want: "first gave an answer that makes no sense", tries: 2,
		},
		"arguments that are no object": {
			answer: modeltest.Answer{Uses: uses("[]")}, kind: host.ErrUnavailable, want: "first gave an answer that makes no sense",
			log: `it calls tool "calc"`, tries: 2,
		},
		"silent": {
			answer: modeltest.Answer{Mute: never}, kind: host.ErrUnavailable, want: "first said nothing for 200ms", tries: 1,
		},
		"silent midway": {
			answer: modeltest.Answer{Text: "Hel", Hang: never}, kind: host.ErrUnavailable, want: "first said nothing for 200ms", tries: 1,
		},
		"a web page": {
			answer: modeltest.Answer{Raw: "<html>"}, kind: host.ErrUnavailable,
			want: "this is no KIND API; see base_url in [providers.first]", log: `HTTP status 200 and "<html>"`, tries: 1,
		},
		"a page that is not there": {
			answer: modeltest.Answer{Status: 404, Body: "404 page not found"}, kind: host.ErrNotFound,
			want: "there is no API at base_url of [providers.first]", tries: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
				s := start(t, tc.answer)
				key := tc.key
				if key == "" {
					key = modeltest.Key
				}
				var log bytes.Buffer
				cfg := config(&log, model.Endpoint{Kind: kind, BaseURL: s.URL, Key: keyed(key)})
				cfg.Silence = 200 * time.Millisecond
				if tc.tries == 5 { // the SDKs wait for seconds without a Retry-After
					cfg.Silence = time.Minute
				}
				_, err := provider(t, cfg).Complete(t.Context(), request("hi"), nil)
				if want := strings.ReplaceAll(tc.want, "KIND", kind); !errors.Is(err, tc.kind) || sentence(err) != want {
					t.Errorf("error %q, want %v with %q", err, tc.kind, want)
				}
				if err == nil {
					t.Fatal("no error")
				}
				if !strings.Contains(err.Error(), tc.log) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q, want %q in it and one line", err, tc.log)
				}
				if all := err.Error() + log.String(); strings.Contains(all, key) {
					t.Errorf("the key is in %q", all)
				}
				if n := len(s.Requests()); n != tc.tries {
					t.Errorf("asked %d times, want %d", n, tc.tries)
				}
			})
		})
	}
}

// TestShapesOfErrors are bodies that servers of the Chat Completions API really send.
func TestShapesOfErrors(t *testing.T) {
	for body, want := range map[string]struct {
		status int
		said   string
		kind   error
	}{
		`{"error":{"message":"model \"x\" not found, try pulling it first","type":"not_found_error","param":null,"code":null}}`: {404, "does not know", host.ErrNotFound},
		`{"object":"error","message":"The model x does not exist.","type":"NotFoundError","param":null,"code":404}`:             {404, "does not know", host.ErrNotFound},
		`{"error":{"message":"x is not a valid model ID","code":400}}`:                                                          {400, "does not know", host.ErrNotFound},
		`{"error":{"code":401,"message":"Invalid API Key","type":"authentication_error"}}`:                                      {401, "key was refused", host.ErrDenied},
		`{"error":{"message":"You exceeded your quota","type":"insufficient_quota","code":"insufficient_quota"}}`:               {429, "no credit left", host.ErrLimit},
		`{"error":{"message":"","code":"context_length_exceeded"}}`:                                                             {400, "larger than", host.ErrInvalid},
		`{"error":{"code":400,"message":"too many","type":"exceed_context_size_error","n_ctx":4096}}`:                           {400, "larger than", host.ErrInvalid},
		`{"error":"model is required"}`:                        {400, "refused the request", host.ErrInvalid},
		`{"detail":[{"loc":["body"],"msg":"field required"}]}`: {422, "refused the request", host.ErrInvalid},
		`{"error":{"code":503,"message":"Loading model"}}`:     {503, "HTTP status 503", host.ErrUnavailable},
		`<html>502 Bad Gateway</html>`:                         {502, "HTTP status 502", host.ErrUnavailable},
	} {
		s := modeltest.NewOpenAI(t, modeltest.Answer{
			Status: want.status, Body: body, Header: http.Header{"X-Should-Retry": {"false"}},
		})
		_, err := one(t, model.OpenAI, s.URL, modeltest.Key).Complete(t.Context(), request("hi"), nil)
		if !errors.Is(err, want.kind) || !strings.Contains(sentence(err), want.said) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestRetriesUntilItAnswers(t *testing.T) {
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		busy := modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"0.01"}}}
		s := start(t, busy, busy, modeltest.Answer{Cut: true}, modeltest.Answer{Text: "here"})
		got, err := one(t, kind, s.URL, modeltest.Key).Complete(t.Context(), request("hi"), nil)
		if err != nil || got.Content[0].Text != "here" || len(s.Requests()) != 4 {
			t.Errorf("%+v, %v after %d requests", got, err, len(s.Requests()))
		}
	})
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	each(t, func(t *testing.T, kind string, start func(testing.TB, ...modeltest.Answer) *modeltest.Server) {
		t.Parallel()
		ready := start(t, modeltest.Answer{Text: "here"})
		_, err := one(t, kind, s.URL, modeltest.Key).Complete(t.Context(), request("hi"), nil)
		if !errors.Is(err, host.ErrUnavailable) || sentence(err) != "first cannot be reached" {
			t.Errorf("error %v", err)
		}
		end := model.Endpoint{Kind: kind, BaseURL: s.URL} // with a fallback it is tried less often
		cfg := config(new(bytes.Buffer), end, model.Endpoint{Kind: kind, BaseURL: ready.URL, Key: keyed(modeltest.Key)})
		if got, err := provider(t, cfg).Complete(t.Context(), request("hi"), nil); err != nil || got.Content[0].Text != "here" {
			t.Errorf("fallback %+v, %v", got, err)
		}
	})
}

// TestUsageIsWhatWasSpent: failed attempts count, and so does what a server does not count.
func TestUsageIsWhatWasSpent(t *testing.T) {
	long := strings.Repeat("three ", 100) // 600 bytes: guessed to be 200 tokens
	for name, tc := range map[string]struct {
		kind    string
		answers []modeltest.Answer
		in, out int64
		fails   bool
	}{
		"cut, counted":   {model.Anthropic, []modeltest.Answer{{Text: long, Cut: true, InputTokens: 70}}, 70, 200, true},
		"cut, guessed":   {model.OpenAI, []modeltest.Answer{{Text: long, Cut: true}}, 200, 200, true},
		"twice":          {model.Anthropic, []modeltest.Answer{{Cut: true, InputTokens: 70}, {Text: "a", InputTokens: 70, OutputTokens: 3}}, 140, 4, false},
		"twice, guessed": {model.OpenAI, []modeltest.Answer{{Cut: true}, {Text: "a", InputTokens: 70, OutputTokens: 3}}, 270, 3, false},
		"uncounted":      {model.OpenAI, []modeltest.Answer{{Text: long, Uncounted: true}}, 200, 200, false},
		"thought":        {model.OpenAI, []modeltest.Answer{{Text: long, Thought: "hm", Uncounted: true}}, 200, 202, false},
		"no answer":      {model.OpenAI, []modeltest.Answer{{Status: 400}}, 0, 0, true},
	} {
		s := protocols[tc.kind](t, tc.answers...)
		got, err := one(t, tc.kind, s.URL, modeltest.Key).Complete(t.Context(), request(long), nil)
		if got == nil || got.Usage.InputTokens != tc.in || got.Usage.OutputTokens != tc.out || (err != nil) != tc.fails {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if err != nil && len(got.Content) > 0 {
			t.Errorf("%s: %+v beside an error", name, got)
		}
	}
}

// TestFallback: who is asked after whom, and when nobody is.
func TestFallback(t *testing.T) {
	soon := http.Header{"Retry-After": {"0.01"}}
	for name, tc := range map[string]struct {
		first   modeltest.Answer
		asked   int // the second model: how often
		want    string
		perhaps string // the sentence
	}{
		"answers":       {modeltest.Answer{Text: "one"}, 0, "one", ""},
		"overloaded":    {modeltest.Answer{Status: 529, Header: soon}, 1, "two", ""},
		"not patient":   {modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"30"}}}, 1, "two", ""},
		"server error":  {modeltest.Answer{Status: 500, Header: soon}, 1, "two", ""},
		"rate limit":    {modeltest.Answer{Status: 429, Header: soon}, 1, "two", ""},
		"no credit":     {modeltest.Answer{Status: 402}, 1, "two", ""},
		"unknown model": {modeltest.Answer{Status: 404}, 1, "two", ""},
		"a web page":    {modeltest.Answer{Raw: "<html>"}, 1, "two", ""},
		"cut":           {modeltest.Answer{Cut: true}, 1, "two", ""},
		"silent":        {modeltest.Answer{Mute: make(chan struct{})}, 1, "two", ""},
		"after text":    {modeltest.Answer{Text: "one", Cut: true}, 0, "", "the answer of first was cut off"},
		"wrong key":     {modeltest.Answer{Status: 401}, 0, "", "the first key was refused; see api_key in [providers.first]"},
		"forbidden":     {modeltest.Answer{Status: 403}, 0, "", `the first key may not use model "test-1"`},
		"bad request":   {modeltest.Answer{Status: 400}, 0, "", "first refused the request; the log says why"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, two := modeltest.NewAnthropic(t, tc.first), modeltest.NewOpenAI(t, modeltest.Answer{Text: "two", Open: true})
			var log bytes.Buffer
			cfg := config(&log, model.Endpoint{Kind: model.Anthropic, BaseURL: one.URL, Key: keyed(modeltest.Key)},
				model.Endpoint{Kind: model.OpenAI, BaseURL: two.URL})
			cfg.Silence = 2 * time.Second
			got, err := provider(t, cfg).Complete(t.Context(), request("hi"), func(string) {})
			if n := len(two.Requests()); n != tc.asked || sentence(err) != tc.perhaps {
				t.Errorf("asked %d times, %v", n, err)
			}
			if err == nil && got.Content[0].Text != tc.want {
				t.Errorf("answer %+v", got)
			}
			if tc.asked > 0 && !strings.Contains(log.String(), "first") {
				t.Errorf("the log says %q", log.String())
			}
		})
	}
}

// TestNobodyAnswers: one sentence about all that were asked.
func TestNobodyAnswers(t *testing.T) {
	one := modeltest.NewAnthropic(t, modeltest.Answer{Status: 404})
	two := modeltest.NewOpenAI(t, modeltest.Answer{Status: 529, Header: http.Header{"Retry-After": {"3600"}}})
	cfg := config(new(bytes.Buffer), model.Endpoint{Kind: model.Anthropic, BaseURL: one.URL, Key: keyed(modeltest.Key)},
		model.Endpoint{Kind: model.OpenAI, BaseURL: two.URL, Key: keyed(modeltest.Key)})
	_, err := provider(t, cfg).Complete(t.Context(), request("hi"), nil)
	if !errors.Is(err, host.ErrBusy) || sentence(err) != `first does not know model "test-1"; second is overloaded` {
		t.Errorf("error %v", err)
	}
}
