package kit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const (
	maxRecordedBody = 1 << 20  // bytes of one answer
	maxTape         = 16 << 20 // bytes of a file
)

// tape is the recording of one case's calls of one kind: while it records, what was
// answered, and else the answers that were not given yet.
type tape struct {
	path   string
	record bool
	mu     sync.Mutex
	held   []exchange
	err    error // the first reason why the case cannot be judged
}

type exchange struct {
	Request  json.RawMessage `json:"request"`
	Response json.RawMessage `json:"response"`
}

func openTape(path string, record bool) (*tape, error) {
	t := &tape{path: path, record: record}
	b, err := readBounded(path, maxTape)
	if record || errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		err = wire.Unmarshal(b, &t.held)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is no recording: %w; make it anew with --record", path, err)
	}
	return t, nil
}

// answer puts the answer to question into to: the next one that is recorded, or what live
// puts there, which it records.
func (t *tape) answer(what string, question, to any, live func() error) (err error) {
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.err = cmp.Or(t.err, err)
	}()
	asked, err := reviewable(question)
	if err != nil {
		return err
	}
	if t.record {
		if err := live(); err != nil {
			return fmt.Errorf("%s has no answer that can be recorded: %w", what, err)
		}
		said, err := reviewable(to)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.held = append(t.held, exchange{asked, said})
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.held, func(e exchange) bool { return sameJSON(e.Request, asked) })
	if i < 0 {
		return fmt.Errorf("%s has no recorded answer (left): record it with --record", what)
	}
	said := t.held[i].Response
	t.held = slices.Delete(t.held, i, i+1)
	return wire.Unmarshal(said, to)
}

// reviewable is JSON without the escapes that make HTML hard to read.
func reviewable(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

func sameJSON(a, b []byte) bool {
	x, errX := canonical(a)
	y, errY := canonical(b)
	return x == y && errX == nil && errY == nil
}

// end writes what was recorded, if that is whole, and says why the case cannot be judged, if so.
func (t *tape) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.record || t.err != nil {
		return t.err
	}
	if len(t.held) > 0 {
		b, err := reviewable(t.held)
		return errors.Join(err, skill.WriteAtomic(t.path, b, 0o644))
	}
	if err := os.Remove(t.path); !errors.Is(err, os.ErrNotExist) { // it may be an old one
		return err
	}
	return nil
}

// recorder answers the http and llm calls of one case by its tapes. The broker's checks come
// before it either way.
type recorder struct{ http, llm *tape }

// into puts r into the parts of a broker.
func (r recorder) into(parts *broker.Config) {
	parts.Send = r.send
	models := parts.Models
	parts.Models = func(role *host.Role, name string) (broker.Model, error) {
		m, err := models(role, name)
		if errors.Is(err, host.ErrDenied) { // a model that the role may not use
			return nil, err
		}
		return recordedModel{r.llm, m, err}, nil
	}
}

// send answers with the same response whether it was recorded now or before. Nothing of the
// request's header is kept: the broker has put credentials there.
func (r recorder) send(by http.RoundTripper, req *http.Request) (*http.Response, error) {
	q := wire.HTTPRequest{Method: req.Method, URL: req.URL.String()}
	sent, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(sent) // the broker bounded it
	if err != nil {
		return nil, err
	}
	q.Body, q.BodyBase64 = asText(body)
	var a wire.HTTPResponse
	err = r.http.answer(fmt.Sprintf("%s %.300s", q.Method, q.URL), q, &a, func() (err error) {
		a, err = ask(by, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	if body = []byte(a.Body); a.BodyBase64 != "" {
		body, err = base64.StdEncoding.DecodeString(a.BodyBase64)
	}
	resp := &http.Response{StatusCode: a.Status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}
	for k, v := range a.Headers {
		resp.Header.Set(k, v)
	}
	return resp, err
}

// ask really sends req.
func ask(by http.RoundTripper, req *http.Request) (a wire.HTTPResponse, err error) {
	resp, err := by.RoundTrip(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := wire.ReadLimited(resp.Body, maxRecordedBody)
	a.Status, a.Headers = resp.StatusCode, map[string]string{}
	a.Body, a.BodyBase64 = asText(body)
	for k, v := range resp.Header {
		if kept(k) {
			a.Headers[k] = strings.Join(v, ", ")
		}
	}
	return a, err
}

// Headers of an answer that are not kept: those with credentials, by parts of their names,
// and those that only say when and how the answer came.
var (
	secretParts = strings.Fields("cookie auth token secret session credential csrf api-key")
	ofTheMoment = strings.Fields("date age server connection keep-alive content-length transfer-encoding")
)

func kept(header string) bool {
	h := strings.ToLower(header)
	return !slices.Contains(ofTheMoment, h) &&
		!slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(h, part) })
}

func asText(b []byte) (text, b64 string) {
	if utf8.Valid(b) {
		return string(b), ""
	}
	return "", base64.StdEncoding.EncodeToString(b)
}

// recordedModel is the model of a role as its tape lets it speak.
type recordedModel struct {
	tape *tape
	live broker.Model
	err  error // why there is none
}

// Complete implements broker.Model.
func (m recordedModel) Complete(
	ctx context.Context, req wire.LLMRequest, onText func(string),
) (a *wire.LLMResponse, err error) {
	last, _ := json.Marshal(req.Messages[max(len(req.Messages)-1, 0):])
	err = m.tape.answer(fmt.Sprintf("the model, asked %.200s,", last), req, &a, func() (err error) {
		if err = m.err; err == nil {
			a, err = m.live.Complete(ctx, req, onText)
		}
		return err
	})
	return a, err
}
