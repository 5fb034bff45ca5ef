package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// The role's tools as an MCP server over HTTP: the requests of the protocol that a client of tools
// makes, each answered by one JSON object. With the official SDK (1.8.0: 2.2 MB) the agents' image would be
// larger than its 10 MB.

// rpc is a JSON-RPC request, or a notification when it has no ID.
type rpc struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// mcpVersion is what is spoken with a client that does not say what it speaks.
const mcpVersion = "2025-06-18"

func (p *program) mcp(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost { // no stream of the server's own, no session to end
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "post JSON-RPC here", http.StatusMethodNotAllowed)
		return
	}
	body, err := wire.ReadLimited(r.Body, wire.MaxToolArgs+64<<10)
	var in rpc
	if err != nil || json.Unmarshal(body, &in) != nil || in.Version != "2.0" {
		http.Error(w, "this is no JSON-RPC request", http.StatusBadRequest)
		return
	}
	if len(in.ID) == 0 {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	out := map[string]any{"jsonrpc": "2.0", "id": in.ID}
	if result, failed := p.answer(r.Context(), in); failed != nil {
		out["error"] = failed
	} else {
		out["result"] = result
	}
	write(w, out)
}

func (p *program) answer(ctx context.Context, in rpc) (any, *rpcError) {
	var params struct {
		ProtocolVersion string `json:"protocolVersion"`
		Name            string
		Arguments       wire.RawMessage
	}
	if len(in.Params) > 0 && json.Unmarshal(in.Params, &params) != nil {
		return nil, &rpcError{-32602, "the parameters have another shape"}
	}
	t := p.now.Load()
	switch {
	case in.Method == "initialize":
		version := mcpVersion
		if params.ProtocolVersion != "" {
			version = params.ProtocolVersion // of tools, all say the same
		}
		return map[string]any{
			"protocolVersion": version, "capabilities": map[string]any{"tools": struct{}{}},
			"serverInfo": map[string]string{"name": "nanoclaw", "version": version},
		}, nil
	case in.Method == "ping":
		return struct{}{}, nil
	case in.Method == "tools/list" && t != nil:
		tools := []wire.Tool{}
		for _, tool := range t.in.Tools {
			if tool.Examples = nil; len(tool.InputSchema) == 0 {
				tool.InputSchema = wire.RawMessage(`{"type":"object"}`)
			}
			tools = append(tools, tool)
		}
		return map[string]any{"tools": tools}, nil
	case in.Method == "tools/call" && t != nil:
		return t.call(ctx, wire.ToolCall{Name: params.Name, Arguments: params.Arguments}), nil
	}
	return nil, &rpcError{-32601, fmt.Sprintf("there is no method %.64q", in.Method)}
}

// call makes a tool call, at a place of its own in the turn, within the turn's time.
func (t *programTurn) call(client context.Context, c wire.ToolCall) wire.ToolResult {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	defer context.AfterFunc(client, cancel)()
	t.emit(wire.Event{Type: wire.EventProgress, Stage: "tool", Name: c.Name})
	out := t.Tool(ctx, fmt.Sprintf("%d.0", t.calls.Add(1)), c)
	switch {
	case out.Outcome == wire.OutcomeOK:
	case out.Outcome == wire.OutcomeToolError && len(out.Result.Content) > 0:
		out.Result.IsError = true
	default:
		out.Result = wire.TextResult(out.Message)
		out.Result.IsError = true
	}
	if out.Result.Content == nil {
		out.Result.Content = []wire.Content{}
	}
	return out.Result
}
