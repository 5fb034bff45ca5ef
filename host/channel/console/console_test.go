package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// serve runs a console whose messages go to deliver, and its HTTP face.
func serve(t *testing.T, deliver func(context.Context, host.Message) error) (*Console, string) {
	t.Helper()
	c := New(t.TempDir())
	mux := http.NewServeMux()
	c.Register(mux)
	s := httptest.NewServer(mux)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx, deliver) }()
	t.Cleanup(func() { cancel(); <-done; s.CloseClientConnections(); s.Close() })
	return c, s.URL
}

// listen opens a client and returns its frames after the hello.
func listen(t *testing.T, url, chat string) <-chan Frame {
	t.Helper()
	resp, err := http.Get(url + "/v1/chat/" + chat + "/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	frames := make(chan Frame, 100)
	go func() {
		defer close(frames)
		for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
			var f Frame
			if json.Unmarshal(sc.Bytes(), &f) == nil {
				frames <- f
			}
		}
	}()
	if f := next(t, frames); f.Type != "hello" {
		t.Fatalf("first frame %+v", f)
	}
	return frames
}

func next(t *testing.T, frames <-chan Frame) Frame {
	t.Helper()
	select {
	case f := <-frames:
		return f
	case <-time.After(30 * time.Second):
		t.Fatal("no frame")
		return Frame{}
	}
}

func post(t *testing.T, url, chat, body string) int {
	t.Helper()
	resp, err := http.Post(url+"/v1/chat/"+chat+"/messages", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestMessageIsTheOwnersAndAcknowledgedAfterDelivery(t *testing.T) {
	var got host.Message
	fail := error(nil)
	_, url := serve(t, func(_ context.Context, m host.Message) error { got = m; return fail })
	if code := post(t, url, "default", `{"id":"1","text":"hi"}`); code != http.StatusAccepted {
		t.Fatalf("code %d", code)
	}
	if !got.Owner || got.Text != "hi" || got.Chat != "default" || got.ExternalID != "1" || got.Channel != Name {
		t.Fatalf("delivered %+v", got)
	}
	fail = errors.New("disk full")
	if code := post(t, url, "default", `{"id":"2","text":"hi"}`); code != http.StatusServiceUnavailable {
		t.Fatalf("not stored, yet code %d", code)
	}
	fail = host.ErrInvalid
	if code := post(t, url, "default", `{"id":"3","text":"hi"}`); code != http.StatusUnprocessableEntity {
		t.Fatalf("refused, yet code %d", code)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	_, url := serve(t, func(context.Context, host.Message) error { t.Error("delivered"); return nil })
	for name, body := range map[string]string{
		"no id": `{"text":"hi"}`, "claims": `{"id":"1","text":"hi","owner":false}`, "garbage": `{`,
		"two": `{"id":"1","text":"a"}{"id":"2","text":"b"}`,
		"big": `{"id":"1","text":"` + strings.Repeat("x", MaxMessage) + `"}`,
	} {
		if code := post(t, url, "default", body); code != http.StatusBadRequest {
			t.Errorf("%s: code %d", name, code)
		}
	}
	if code := post(t, url, "*", `{"id":"1","text":"hi"}`); code != http.StatusBadRequest {
		t.Errorf("chat *: code %d", code)
	}
}

func TestSendNeedsAReader(t *testing.T) {
	c, url := serve(t, func(context.Context, host.Message) error { return nil })
	o := host.Outgoing{ID: "m1", Chat: "default", Text: "hello", Kind: host.OutReply, ReplyTo: "1"}
	if err := c.Send(t.Context(), o); !errors.Is(err, host.ErrUnavailable) {
		t.Fatalf("nobody reads: %v", err)
	}
	frames := listen(t, url, "default")
	select {
	case <-c.Ready():
	case <-time.After(30 * time.Second):
		t.Fatal("a reader came and Ready said nothing")
	}
	c.Show("default", host.Event{Stage: host.StageTool, Name: "calc"})
	c.Show("other", host.Event{Stage: host.StageModel})
	if err := c.Send(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if f := next(t, frames); f.Type != "progress" || f.Name != "calc" {
		t.Fatalf("progress %+v", f)
	}
	if f := next(t, frames); f.Type != "message" || f.Text != "hello" || f.ReplyTo != "1" {
		t.Fatalf("message %+v", f)
	}
}

func TestASlowReaderBlocksNobody(t *testing.T) {
	c, url := serve(t, func(context.Context, host.Message) error { return nil })
	listen(t, url, "default")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100_000 {
			c.Show("default", host.Event{Stage: host.StageModel, Text: strings.Repeat("x", 1000)})
		}
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("Show blocked")
	}
}

// TestFiles: the user's own files come by their paths; those of agents are where the user is told, and replace
// nothing; one that reached nobody is not left there.
func TestFiles(t *testing.T) {
	var got host.Message
	c, url := serve(t, func(_ context.Context, m host.Message) error { got = m; return nil })
	path := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(Input{ID: "1", Files: []string{path}})
	if code := post(t, url, "default", string(body)); code != http.StatusAccepted || len(got.Files) != 1 || got.Files[0].Size != 5 {
		t.Fatalf("code %d, delivered %+v", code, got)
	}
	r, err := got.Files[0].Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "hello" {
		t.Errorf("read %q", b)
	}
	for _, bad := range []string{"a.txt", filepath.Dir(path), path + "x", "/dev/null"} {
		body, _ := json.Marshal(Input{ID: "1", Files: []string{bad}})
		if code := post(t, url, "default", string(body)); code != http.StatusUnprocessableEntity {
			t.Errorf("%s: code %d", bad, code)
		}
	}
	received := func() (names []string) {
		entries, _ := os.ReadDir(c.received)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	o := host.Outgoing{ID: "m1", Chat: "default", Text: "Here.", File: &host.File{
		Name: "r-1.md", Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("text")), nil },
	}}
	if err := c.Send(t.Context(), o); !errors.Is(err, host.ErrUnavailable) || received() != nil {
		t.Fatalf("nobody reads: %v, %q", err, received())
	}
	frames := listen(t, url, "default")
	for _, name := range []string{"r-1.md", "r-1-2.md"} {
		if err := c.Send(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if f := next(t, frames); f.Text != "Here.\n[file: "+filepath.Join(c.received, name)+"]" {
			t.Errorf("told %q", f.Text)
		}
	}
	o.File.Open = func(context.Context) (io.ReadCloser, error) { return nil, host.ErrNotFound }
	if err := c.Send(t.Context(), o); !errors.Is(err, host.ErrNotFound) || len(received()) != 2 {
		t.Errorf("a file that is gone: %v, %q", err, received())
	}
}
