// Package modeltest has fake servers of the Messages and the Chat Completions API that the
// unmodified SDKs talk to: real HTTP, real server-sent events, scripted answers, and the ways
// in which the real ones fail. It is for tests, and must never be linked into a program.
package modeltest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Key is the only one that the servers take.
const Key = "sk-ant-test-0123456789"

// Answer is what the server says to one request. The zero Answer is an empty text.
type Answer struct {
	Text string // streamed in pieces of a few bytes
	Uses []Use  // tool calls, after the text
	Stop string // stop reason; "" = that of the API for tool calls with Uses, else for the end

	Thought                   string // thinking, or reasoning_content, before the text
	InputTokens, OutputTokens int64  // 0 = 10 and 5

	// Ways of servers that only speak like OpenAI's.
	Uncounted bool // no usage, though it was asked for
	Open      bool // no key is wanted

	// Failures. The first that is set is what happens.
	Status  int           // this HTTP status, with the API's error body, or Body; Header beside it
	Body    string        //
	Header  http.Header   //
	Message string        // of the error body
	Raw     string        // this body with status 200 and no event stream
	Garbage bool          // an event that is no JSON, after the beginning of an answer
	Cut     bool          // the connection breaks in the middle of the answer
	Event   string        // an error event of this type in the middle of the answer
	Mute    chan struct{} // waits before the first byte until it is closed, or the client goes
	Hang    chan struct{} // waits so in the middle of the answer
}

// Use is a call of a tool; its arguments are streamed as partial JSON.
type Use struct {
	ID, Name string
	Input    string // JSON; "" = no arguments at all
}

// Request is what the server was asked.
type Request struct {
	Header http.Header
	Body   map[string]any
	Raw    []byte
}

// Server is a fake server.
type Server struct {
	URL string // base_url

	api      api
	mu       sync.Mutex
	answers  []Answer
	requests []Request
}

// api is one protocol.
type api interface {
	path() string
	key(r *http.Request) string
	complaint(r *http.Request, body map[string]any) string // what the real API would refuse the request for
	failure(status int, message string) any                // the body
	begin(a Answer, model string, send sender)             // the answer up to its last piece
	broken(kind, message string) (event, data string)      // an error in the middle of it
	end(a Answer, body map[string]any, send sender)
}

type sender func(event, data string)

// NewAnthropic starts a Messages server that gives the answers in turn, and the last one again
// and again. It stops with the test.
func NewAnthropic(t testing.TB, answers ...Answer) *Server {
	t.Helper()
	return start(t, messages{}, answers)
}

// NewOpenAI starts a Chat Completions server likewise.
func NewOpenAI(t testing.TB, answers ...Answer) *Server {
	t.Helper()
	s := start(t, completions{}, answers)
	s.URL += "/v1"
	return s
}

func start(t testing.TB, api api, answers []Answer) *Server {
	t.Helper()
	s := &Server{api: api, answers: answers}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	t.Cleanup(h.CloseClientConnections)
	s.URL = h.URL
	return s
}

// Script replaces the answers still to come.
func (s *Server) Script(answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = answers
}

// Requests are those so far, refused ones included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// next records a request and takes its answer.
func (s *Server) next(r Request) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	if len(s.answers) == 0 {
		return Answer{}
	}
	out := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return out
}

// ServeHTTP is the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, 32<<20))
	req := Request{Header: r.Header.Clone(), Raw: raw}
	if err == nil {
		err = json.Unmarshal(raw, &req.Body)
	}
	answer, problem := s.next(req), "the body is not JSON"
	if err == nil {
		problem = s.api.complaint(r, req.Body)
	}
	wait := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		case <-r.Context().Done():
			return false
		}
	}
	switch {
	case r.Method != http.MethodPost || r.URL.Path != s.api.path():
		http.Error(w, "404 page not found", http.StatusNotFound)
	case s.api.key(r) != Key && !(answer.Open && s.api.key(r) == ""):
		s.fail(w, http.StatusUnauthorized, "invalid key "+s.api.key(r))
	case problem != "":
		s.fail(w, http.StatusBadRequest, problem)
	case answer.Mute != nil && !wait(answer.Mute):
	case answer.Status != 0:
		for k, v := range answer.Header {
			w.Header()[k] = v
		}
		if answer.Body == "" {
			s.fail(w, answer.Status, answer.Message)
			return
		}
		w.WriteHeader(answer.Status)
		_, _ = io.WriteString(w, answer.Body)
	case answer.Raw != "":
		_, _ = io.WriteString(w, answer.Raw)
	default:
		s.stream(w, answer, req.Body, wait)
	}
}

// stream sends the answer as events.
func (s *Server) stream(w http.ResponseWriter, a Answer, body map[string]any, wait func(chan struct{}) bool) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	a.InputTokens, a.OutputTokens = cmp.Or(a.InputTokens, 10), cmp.Or(a.OutputTokens, 5)
	send := func(event, data string) {
		if event != "" {
			fmt.Fprintf(w, "event: %s\n", event)
		}
		fmt.Fprintf(w, "data: %s\n\n", data)
		w.(http.Flusher).Flush()
	}
	s.api.begin(a, fmt.Sprint(body["model"]), send)
	switch event, data := s.api.broken(a.Event, a.Message); {
	case a.Garbage:
		send("content_block_delta", `{"type":`)
	case a.Cut:
		panic(http.ErrAbortHandler)
	case a.Event != "":
		send(event, data)
	case a.Hang == nil || wait(a.Hang):
		s.api.end(a, body, send)
	}
}

func (s *Server) fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(s.api.failure(status, message))
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

// pieces cuts s into runs of a few runes.
func pieces(s string) (out []string) {
	r := []rune(s)
	for len(r) > 0 {
		n := min(3, len(r))
		out, r = append(out, string(r[:n])), r[n:]
	}
	return out
}
