package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func (a *app) mcpCmd() *cobra.Command {
	var role string
	var sensitive bool
	c := &cobra.Command{
		Use: "mcp --role ROLE", Short: "Serve a role's tools to an MCP client over stdin and stdout", Args: cobra.NoArgs,
		Long: `Serve the tools of one role to any MCP client, such as Claude Code or an editor, which starts this
command and speaks with it over stdin and stdout.

A call is what a call in a turn of the role is: a container of its own, the role's grants and budgets, the
same audit log. The client gets the tools and nothing else: no prompt, no model, no chat, no key. What the
tools answer goes to the client and to its model, so a role that is sensitive or local_only needs --sensitive.

All calls of a role are those of one agent, which has a workspace, a memory and keys of its own that last;
its directory is on stderr. They come one after the other. Tools that need tasks or other agents are left out,
which stderr says too. Where a grant asks, the owner is asked as for any agent ("nanoclaw status" lists
what waits, /allow in "nanoclaw chat" answers), and the call waits for that.

It works through the host that "nanoclaw run" started on the same state directory, or starts one inside
itself when none runs, as "nanoclaw chat" does: then "nanoclaw run" is refused while the client is open.`,
		Example: `  claude mcp add nanoclaw -- nanoclaw --config ~/nanoclaw.toml mcp --role main
  {"mcpServers": {"nanoclaw": {"command": "nanoclaw", "args": ["mcp", "--role", "main"]}}}`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			if err := servable(cfg, role, sensitive); err != nil {
				return &exitError{exitUsage, err}
			}
			if isTerminal(a.stdin) {
				fmt.Fprintln(a.stderr, "nanoclaw: this speaks MCP on stdin and stdout: an MCP client starts it; Ctrl-C ends it")
			}
			return a.serveMCP(cmd.Context(), cfg, host.RoleName(role))
		},
	}
	f := c.Flags()
	f.StringVar(&role, "role", "", "the role whose tools are served")
	f.BoolVar(&sensitive, "sensitive", false, "serve a role with private data: what its tools answer leaves this machine")
	return c
}

// servable says why a role is not for clients.
func servable(cfg *config.Config, name string, sensitive bool) error {
	if name == "" {
		return fmt.Errorf("%w: say whose tools: --role ROLE; 'nanoclaw role list' lists the roles", host.ErrInvalid)
	}
	if _, err := reachOf(cfg.Examine(), name); err != nil {
		return err
	}
	switch r := cfg.Roles[host.RoleName(name)]; {
	case len(r.Skills) == 0:
		return fmt.Errorf("%w: role %s has no tools: it lists no skills in %s", host.ErrInvalid, name, cfg.Path)
	case (r.Sensitive || r.LocalOnly) && !sensitive:
		return fmt.Errorf("%w: role %s holds private data, and what its tools answer goes to the MCP client and its model; "+
			"say --sensitive if that is meant", host.ErrDenied, name)
	}
	return nil
}

// outward serves one role's tools to one client.
type outward struct {
	*app
	cfg  *config.Config
	role host.RoleName
	ctx  context.Context // of the program

	mu     sync.Mutex
	own    *daemon.Daemon       // the host inside this process; nil = another one's
	server *mcp.Server          //
	served map[string]wire.Tool // as the client was told last
}

func (a *app) serveMCP(ctx context.Context, cfg *config.Config, role host.RoleName) error {
	o := &outward{app: a, cfg: cfg, role: role, ctx: ctx}
	defer func() {
		if o.own != nil {
			o.own.Stop()
		}
	}()
	if _, err := o.client(); err != nil {
		return err
	}
	o.server = mcp.NewServer(&mcp.Implementation{Name: "nanoclaw", Version: Version}, &mcp.ServerOptions{
		Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{ListChanged: true}},
	})
	o.server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			if method == "tools/list" || method == "tools/call" && !o.offered() {
				if err := o.offer(ctx); err != nil {
					fmt.Fprintln(a.stderr, "nanoclaw:", printable(err.Error()))
					return nil, err
				}
			}
			return next(ctx, method, r)
		}
	})
	err := o.server.Run(ctx, &mcp.IOTransport{Reader: io.NopCloser(a.stdin), Writer: nopCloser{a.stdout}})
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		return nil // the client, or whoever started it, is done
	}
	return err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// startTogether is how long another program that starts a host at the same moment may take.
const startTogether = 15 * time.Second

// client finds the host of the state directory, or starts it here. It is asked for each call: a host
// that this one worked through may be gone.
func (o *outward) client() (*daemon.Client, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for end := time.Now().Add(startTogether); ; {
		cl, err := daemon.Dial(o.ctx, o.cfg.StateDir)
		if err == nil || o.own != nil {
			return cl, err
		}
		o.own, err = o.startHost(o.ctx, o.cfg)
		if err != nil && (!errors.Is(err, host.ErrBusy) || time.Now().After(end)) {
			return nil, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-o.ctx.Done():
			return nil, o.ctx.Err()
		}
	}
}

func (o *outward) offered() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.served != nil
}

// offer makes the server's tools those that the role has now. The client hears of a change.
func (o *outward) offer(ctx context.Context) error {
	cl, err := o.client()
	if err != nil {
		return err
	}
	now, err := cl.Offer(ctx, o.role)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.served == nil {
		fmt.Fprintf(o.stderr, "nanoclaw: %d tools of role %s; they work in %s\n", len(now.Tools), o.role, now.Workspace)
		for _, why := range now.LeftOut {
			fmt.Fprintln(o.stderr, "nanoclaw: left out:", printable(why))
		}
	}
	gone := o.served
	o.served = make(map[string]wire.Tool)
	for _, t := range now.Tools {
		if was, ok := gone[t.Name]; !ok || !same(was, t) {
			if err := o.add(t); err != nil {
				fmt.Fprintln(o.stderr, "nanoclaw: left out:", printable(err.Error()))
				continue
			}
		}
		delete(gone, t.Name)
		o.served[t.Name] = t
	}
	for name := range gone {
		o.server.RemoveTools(name)
	}
	return nil
}

func same(a, b wire.Tool) bool {
	return a.Title == b.Title && a.Description == b.Description && bytes.Equal(a.InputSchema, b.InputSchema) &&
		bytes.Equal(a.Annotations, b.Annotations)
}

// add offers one tool. The SDK panics at a schema that it does not like, and a schema is a stranger's.
func (o *outward) add(t wire.Tool) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", host.ErrInvalid, p)
		}
	}()
	tool := &mcp.Tool{
		Name: t.Name, Title: t.Title, Description: t.Description, InputSchema: json.RawMessage(t.InputSchema),
	}
	if len(t.Annotations) > 0 {
		if err := json.Unmarshal(t.Annotations, &tool.Annotations); err != nil {
			return fmt.Errorf("%w: annotations of tool %s: %w", host.ErrInvalid, t.Name, err)
		}
	}
	o.server.AddTool(tool, o.call)
	return nil
}

// call makes one call. What goes wrong is an answer that the client's model reads, not an error of the
// protocol.
func (o *outward) call(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	args := cmp.Or(string(r.Params.Arguments), "{}")
	if err := checkArguments([]byte(args)); err != nil {
		return failed(err.Error()), nil
	}
	cl, err := o.client()
	if err != nil {
		return failed(err.Error()), nil
	}
	out, err := cl.Call(ctx, o.role, wire.ToolCall{Name: r.Params.Name, Arguments: []byte(args)})
	if err != nil {
		return failed(err.Error()), nil
	}
	switch {
	case out.Outcome == wire.OutcomeOK, out.Outcome == wire.OutcomeToolError && len(out.Result.Content) > 0:
	default:
		return failed(cmp.Or(out.Message, out.Outcome)), nil
	}
	result := &mcp.CallToolResult{Content: []mcp.Content{}, IsError: out.Outcome != wire.OutcomeOK}
	if len(out.Result.StructuredContent) > 0 {
		result.StructuredContent = json.RawMessage(out.Result.StructuredContent)
	}
	for _, c := range out.Result.Content {
		result.Content = append(result.Content, content(c))
	}
	if i := slices.IndexFunc(out.Denied, func(s string) bool {
		return strings.HasPrefix(s, string(host.CapTask)) || strings.HasPrefix(s, string(host.CapAgent))
	}); i >= 0 {
		result.Content = append(result.Content, &mcp.TextContent{Text: "Over MCP a tool has no tasks and no other agents."})
	}
	return result, nil
}

func failed(why string) *mcp.CallToolResult {
	return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: why}}}
}

// content is a block as MCP has it. A file of the workspace is named: MCP's links are to what a client can open.
func content(c wire.Content) mcp.Content {
	switch data, err := base64.StdEncoding.DecodeString(c.Data); {
	case c.Type == "image" && err == nil:
		return &mcp.ImageContent{Data: data, MIMEType: c.MIMEType}
	case c.Type == wire.BlockFile:
		return &mcp.TextContent{Text: fmt.Sprintf("(the file %s of the agent's workspace)", c.Path)}
	}
	return &mcp.TextContent{Text: c.Text}
}
