package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// mcpSite has a role with tools, one of which reaches a single server, and roles that are not served.
func mcpSite(t *testing.T, web http.Handler, more string) (s site, page string) {
	t.Helper()
	server := httptest.NewServer(web)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, fmt.Sprintf(`
[skills]
dir = %q
[model]
provider = "offline"
[secrets.pin]
env = "NANOCLAW_TEST_PIN"
[roles.main]
skills = ["calc", "todo", "schedule", "fetch"]
tasks = true
http = [{ scheme = "http", hosts = ["127.0.0.1"], port = %s, private = true%s }]
[roles.bare]
[roles.late]
skills = ["schedule", "fetch"]
tasks = true
[roles.diary]
skills = ["todo"]
sensitive = true
`, installed(t).plugins, at.Port(), more)), server.URL
}

// client is the official SDK's, at the other end of the program that it started.
type client struct {
	*mcp.ClientSession
	t       *testing.T
	program *exec.Cmd
	stdin   io.Closer
	stderr  *strings.Builder // to be read after the end
	ended   chan error
	changed chan struct{}
}

func (s site) mcp(args ...string) *client {
	s.t.Helper()
	c := s.cmd(append([]string{"mcp"}, args...)...)
	out := &client{
		t: s.t, program: c, stderr: new(strings.Builder), ended: make(chan error, 1), changed: make(chan struct{}, 8),
	}
	c.Stderr = out.stderr
	stdin, err1 := c.StdinPipe()
	stdout, w, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		s.t.Fatal(err)
	}
	c.Stdout, out.stdin = w, stdin
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	w.Close()
	go func() { out.ended <- c.Wait() }()
	s.t.Cleanup(func() { _ = c.Process.Kill() })
	var err error
	out.ClientSession, err = mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { out.changed <- struct{}{} },
	}).Connect(s.t.Context(), &mcp.IOTransport{Reader: stdout, Writer: stdin}, nil)
	if err != nil {
		s.t.Fatalf("%v: %s", err, out.stderr)
	}
	return out
}

// call returns the text of an answer, after "error: " where it is one.
func (c *client) call(tool string, args map[string]any) string {
	c.t.Helper()
	r, err := c.CallTool(c.t.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		c.t.Fatalf("%s: %v", tool, err)
	}
	text := ""
	for _, b := range r.Content {
		text += b.(*mcp.TextContent).Text
	}
	if r.IsError {
		return "error: " + text
	}
	return text
}

func (c *client) tools() map[string]*mcp.Tool {
	c.t.Helper()
	list, err := c.ListTools(c.t.Context(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	out := make(map[string]*mcp.Tool)
	for _, tool := range list.Tools {
		out[tool.Name] = tool
	}
	return out
}

// hangUp ends the program as a client does that is gone, whatever it waits for.
func (c *client) hangUp() {
	c.t.Helper()
	c.stdin.Close()
	if err := c.wait(); err != nil {
		c.t.Errorf("the end: %v: %s", err, c.stderr)
	}
}

func (c *client) wait() error {
	c.t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(15 * time.Second):
		c.t.Fatal("the program goes on without its client")
	}
	return nil
}

func (s site) noContainers() {
	s.t.Helper()
	if left := s.containers(); len(left) > 0 {
		s.t.Errorf("left behind: %v", left)
	}
}

// TestMCP: a role's tools for an MCP client, without a running host.
func TestMCP(t *testing.T) {
	s, page := mcpSite(t, page("text/plain", "Tea, brewed cool."), "")
	s.env = []string{"NANOCLAW_TEST_PIN=correct-horse-battery"}
	c := s.mcp("--role", "main")
	tools := c.tools()
	for _, name := range []string{"calc", "todo_add", "todo_list", "fetch"} {
		schema, _ := tools[name].InputSchema.(map[string]any)
		if tools[name].Description == "" || schema["type"] != "object" || schema["properties"] == nil {
			t.Errorf("tool %s: %+v", name, tools[name])
		}
	}
	if !tools["fetch"].Annotations.ReadOnlyHint || tools["schedule_create"] != nil {
		t.Errorf("tools: %v", tools)
	}
	for _, tc := range []struct {
		tool, want string
		args       map[string]any
	}{
		{"calc", "42", map[string]any{"expression": "6*7"}},
		{"calc", "error: ", map[string]any{"expression": "6*"}},
		{"calc", "error: ", map[string]any{"number": 1}},
		{"fetch", "Tea, brewed cool.", map[string]any{"url": page}},
		{"fetch", "error: ", map[string]any{"url": "https://example.com/"}},
		{"fetch", "error: ", map[string]any{"url": strings.Replace(page, "127.0.0.1", "localhost", 1)}},
		{"todo_add", "buy tea", map[string]any{"text": "buy tea"}},
		{"todo_add", "say [secret pin]", map[string]any{"text": "say correct-horse-battery"}},
	} {
		if got := c.call(tc.tool, tc.args); !strings.Contains(got, tc.want) || strings.Count(got, "\n") > 3 {
			t.Errorf("%s %v: %q", tc.tool, tc.args, got)
		}
	}
	if _, err := c.CallTool(t.Context(), &mcp.CallToolParams{Name: "schedule_create"}); err == nil {
		t.Error("a tool that is not offered answers")
	}
	c.hangUp()
	s.noContainers()
	if said := c.stderr.String(); !strings.Contains(said, "left out: schedule: tasks and other agents are for chats alone") {
		t.Errorf("stderr: %s", said)
	}

	rows, err := s.cmd("audit", "show").CombinedOutput()
	if err != nil || !strings.Contains(string(rows), "127.0.0.1") || !strings.Contains(string(rows), "deny") ||
		!strings.Contains(string(rows), "example.com") {
		t.Errorf("audit: %v: %s", err, rows)
	}
	if out, err := s.cmd("audit", "verify").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	again := s.mcp("--role", "main") // the workspace is still there
	if got := again.call("todo_list", nil); !strings.Contains(got, "buy tea") {
		t.Errorf("the list: %q", got)
	}
	again.hangUp()
	kept, err := filepath.Glob(filepath.Join(s.state, "workspaces", "main-mcp-*", "todo", "todo.md"))
	if err != nil || len(kept) != 1 {
		t.Errorf("%q, %v", kept, err)
	}
}

func TestMCPRefusals(t *testing.T) {
	s, _ := mcpSite(t, http.NotFoundHandler(), "")
	for _, tc := range []struct {
		args []string
		want string
	}{
		{nil, "say whose tools: --role ROLE"},
		{[]string{"--role", "nobody"}, `role "nobody"; there are bare, diary, late, main`},
		{[]string{"--role", "bare"}, "role bare has no tools: it lists no skills"},
		{[]string{"--role", "diary"}, "role diary holds private data"},
	} {
		out, err := s.cmd(append([]string{"mcp"}, tc.args...)...).Output()
		stderr := exitOf(t, err, exitUsage)
		if len(out) > 0 || !strings.Contains(stderr, tc.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: stdout %q, stderr %q", tc.args, out, stderr)
		}
	}
	out, err := s.cmd("mcp", "--role", "main").Output() // stdin is empty: the client is gone at once
	if err != nil || len(out) > 0 {
		t.Errorf("without a client: %v: %q", err, out)
	}
	late := s.mcp("--role", "late")
	_, err = late.ListTools(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "role late has no tools here (schedule: tasks and other agents are for chats "+
		"alone; fetch: denied: it needs [http], which role late does not grant)") {
		t.Errorf("a role of tasks, and without http: %v", err)
	}
	late.hangUp()
	if diary := s.mcp("--role", "diary", "--sensitive"); diary.tools()["todo_add"] == nil {
		t.Error("--sensitive serves nothing")
	}
}

// hanging is a server that holds what it is asked, and tells.
func hanging(t *testing.T) (h http.HandlerFunc, asked chan struct{}) {
	asked, over := make(chan struct{}, 8), make(chan struct{})
	t.Cleanup(func() { close(over) })
	return func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}, asked
}

// TestMCPEnds: a call ends with its client's patience, and everything with the client, however that goes.
func TestMCPEnds(t *testing.T) {
	h, asked := hanging(t)
	s, page := mcpSite(t, h, "")
	begin := func(ctx context.Context, c *client) chan error {
		done := make(chan error, 1)
		go func() {
			_, err := c.CallTool(ctx, &mcp.CallToolParams{Name: "fetch", Arguments: map[string]any{"url": page}})
			done <- err
		}()
		select {
		case <-asked:
		case <-time.After(time.Minute):
			t.Fatal("the page was not asked for")
		}
		return done
	}
	c := s.mcp("--role", "main")
	ctx, cancel := context.WithCancel(t.Context())
	done := begin(ctx, c)
	cancel()
	if err := <-done; err == nil {
		t.Error("a cancelled call answers")
	}
	eventually(t, 10*time.Second, "the container of a cancelled call is gone", func() bool { return len(s.containers()) == 0 })
	if got := c.call("calc", map[string]any{"expression": "6*7"}); got != "42" {
		t.Errorf("after that: %q", got)
	}
	done = begin(t.Context(), c)
	c.hangUp()
	<-done
	s.noContainers()

	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, os.Kill} {
		c := s.mcp("--role", "main")
		done := begin(t.Context(), c)
		if err := c.program.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil {
			t.Errorf("after %v: a call answers", sig)
		}
		if err := c.wait(); (err == nil) != (sig != os.Kill) {
			t.Errorf("after %v: %v", sig, err)
		}
		eventually(t, 25*time.Second, fmt.Sprintf("no container after %v", sig), func() bool { return len(s.containers()) == 0 })
	}
}

// TestMCPBesideAHost: the host that runs makes the calls, asks its owner, and knows of changes.
func TestMCPBesideAHost(t *testing.T) {
	s, page := mcpSite(t, page("text/plain", "Tea, brewed cool."), ", ask = true")
	run := s.start()
	c, other := s.mcp("--role", "main"), s.mcp("--role", "main")
	if c.tools()["calc"] == nil || other.call("calc", map[string]any{"expression": "6*7"}) != "42" {
		t.Error("two clients, one of which lists nothing, or calculates badly")
	}
	answer := make(chan string, 1)
	go func() { answer <- c.call("fetch", map[string]any{"url": page}) }()
	eventually(t, time.Minute, "the owner is asked", func() bool { return s.pending() == 1 })
	s.say("default", "/allow 1")
	if got := <-answer; !strings.Contains(got, "Tea, brewed cool.") {
		t.Errorf("allowed: %q", got)
	}
	go func() { answer <- c.call("fetch", map[string]any{"url": page}) }()
	eventually(t, time.Minute, "the owner is asked again", func() bool { return s.pending() == 1 })
	s.say("default", "/deny 2")
	if got := <-answer; !strings.Contains(got, "error: ") || !strings.Contains(got, "the owner did not allow this") {
		t.Errorf("denied: %q", got)
	}

	text, err := os.ReadFile(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg, strings.Replace(string(text), `"calc", "todo"`, `"todo"`, 1))
	eventually(t, time.Minute, "calc is gone", func() bool { return c.tools()["calc"] == nil })
	select {
	case <-c.changed:
	case <-time.After(time.Minute):
		t.Error("the client was not told of the change")
	}
	if got := other.call("calc", nil); !strings.Contains(got, "error: ") { // it was not told yet
		t.Errorf("a tool that the role lost: %q", got)
	}

	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := run.Wait(); err != nil {
		t.Error(err)
	}
	if got := c.call("todo_list", nil); strings.Contains(got, "error: ") { // it starts a host itself
		t.Errorf("after the host went: %q", got)
	}
	if got := other.call("todo_list", nil); strings.Contains(got, "error: ") {
		t.Errorf("the other one: %q", got)
	}
	c.hangUp()
	if got := other.call("todo_list", nil); strings.Contains(got, "error: ") {
		t.Errorf("after the one with the host went: %q", got)
	}
	other.hangUp()
	s.noContainers()
}

// exitOf is what a program said on stderr that ended with code.
func exitOf(t *testing.T, err error, code int) string {
	t.Helper()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.ExitCode() != code {
		t.Errorf("exit: %v, want code %d", err, code)
		return ""
	}
	return string(exit.Stderr)
}

// TestMCPOddSchema: what the SDK panics at is left out, and nothing else.
func TestMCPOddSchema(t *testing.T) {
	o := &outward{server: mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)}
	for schema, ok := range map[string]bool{
		`{"type":"object"}`: true, ``: false, `{"type":"array"}`: false,
		`{"type":"object","properties":{"a":{"type":"object","x-mcp-header":"A"}}}`: false,
	} {
		if err := o.add(wire.Tool{Name: "odd", InputSchema: []byte(schema)}); (err == nil) != ok {
			t.Errorf("%s: %v", schema, err)
		}
	}
}
