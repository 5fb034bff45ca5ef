package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const maxClaudeLine = 16 << 20

// sessionID is what a session is called; the file that holds it is the agent's to write.
var sessionID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// claude runs Claude Code for one turn of the agent's conversation.
//
// A turn goes on in a copy of the session, and the copy becomes the session when the turn has
// succeeded: an attempt that fails leaves nothing in the conversation, so that another one says
// nothing twice.
func (p *program) claude(ctx context.Context, t *programTurn) (string, error) {
	kept := filepath.Join(p.home, "session")
	b, _ := os.ReadFile(kept)
	old := strings.TrimSpace(string(b))
	if !sessionID.MatchString(old) {
		old = ""
	}
	r, err := p.claudeOnce(ctx, t, old)
	if err != nil && old != "" && strings.Contains(err.Error(), "No conversation found") {
		old = "" // its files are gone: begin anew, with what the host knows was said
		r, err = p.claudeOnce(ctx, t, "")
	}
	if err != nil {
		return "", err
	}
	if !sessionID.MatchString(r.Session) {
		return r.Result, nil
	}
	err = errors.Join(os.WriteFile(kept+".new", []byte(r.Session), 0o600), os.Rename(kept+".new", kept))
	if err == nil && old != "" && old != r.Session {
		past, _ := filepath.Glob(filepath.Join(p.home, "claude", "projects", "*", old+".jsonl"))
		for _, f := range past {
			_ = os.Remove(f)
		}
	}
	return r.Result, err
}

// claudeResult is the last line of an answer.
type claudeResult struct {
	Type    string `json:"type"`
	Subtype string `json:"subtype"`
	IsError bool   `json:"is_error"`
	Result  string `json:"result"`
	Session string `json:"session_id"`
	Errors  []string
}

func (p *program) claudeOnce(ctx context.Context, t *programTurn, resume string) (r claudeResult, err error) {
	system := filepath.Join(os.TempDir(), "system.md")
	if err := os.WriteFile(system, []byte(t.in.System+memory(t.in)), 0o600); err != nil {
		return r, err
	}
	c, err := p.start(ctx, append(p.spec.Command, p.claudeArgs(system, resume)...), p.claudeEnv(t)...)
	if err != nil {
		return r, err
	}
	said := texts(t.in.Messages)
	if past := transcript(t.in.History); resume == "" && past != "" {
		said = append([]string{past + "\n\nAnswer what comes now."}, said...)
	}
	go func() { // stdin stays open until the result: its end would be taken for a goodbye
		_, _ = io.WriteString(c.in, raw(map[string]any{"type": "user", "message": map[string]any{
			"role": wire.RoleUser, "content": []wire.Block{{Type: wire.BlockText, Text: strings.Join(said, "\n\n")}},
		}})+"\n")
	}()
	lines := bufio.NewScanner(c.out)
	lines.Buffer(make([]byte, 0, 64<<10), maxClaudeLine)
	for r.Type != "result" && lines.Scan() {
		r = claudeResult{}
		_ = json.Unmarshal(lines.Bytes(), &r) // a line of another shape is none of ours
	}
	ended := c.end()
	switch {
	case r.Type == "result" && (r.IsError || r.Subtype != "success"):
		why := strings.TrimSpace(strings.Join(append(r.Errors, r.Result), " "))
		return r, fmt.Errorf("the program answers: %s (%s)", why, r.Subtype)
	case r.Type == "result":
		return r, nil
	case ended != nil:
		return r, ended
	}
	return r, errors.New("the program ended without a result")
}

// claudeArgs are those of Claude Code 2.1.
func (p *program) claudeArgs(system, resume string) []string {
	mode := "acceptEdits"
	if p.spec.Bypass {
		mode = "bypassPermissions"
	}
	servers := map[string]any{"nanoclaw": map[string]string{"type": "http", "url": p.base + "/mcp"}}
	args := []string{
		"-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--model", p.spec.Model,
		"--mcp-config", raw(map[string]any{"mcpServers": servers}), "--strict-mcp-config",
		"--settings", raw(map[string]string{"apiKeyHelper": "echo " + managed}),
		"--permission-mode", mode, "--permission-prompts", "none", "--allowedTools", "mcp__nanoclaw",
		"--disallowedTools", "WebSearch,WebFetch", // nothing is reached from here
		"--append-system-prompt-file", system, "--system-prompt-snapshot", "off",
	}
	if resume != "" {
		args = append(args, "--resume", resume, "--fork-session")
	}
	return args
}

func (p *program) claudeEnv(t *programTurn) []string {
	env := []string{
		"CLAUDE_CONFIG_DIR=" + filepath.Join(p.home, "claude"), "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"DISABLE_AUTOUPDATER=1", "DISABLE_TELEMETRY=1", "DISABLE_ERROR_REPORTING=1",
		"ENABLE_TOOL_SEARCH=false", "MCP_TIMEOUT=10000", // the role's tools stand in the first request
		fmt.Sprintf("MCP_TOOL_TIMEOUT=%d", t.in.DeadlineMS),
	}
	for _, name := range []string{
		"ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL",
		"ANTHROPIC_DEFAULT_OPUS_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL",
	} {
		env = append(env, name+"="+p.spec.Model) // the role has no other
	}
	return env
}

// memory is what the agent wrote for itself, and what comes with the role's skills.
func memory(in wire.Turn) string {
	var b strings.Builder
	for _, s := range in.Skills {
		fmt.Fprintf(&b, "\n\n# Skill %s\n\n%s", s.Name, s.Text)
	}
	if in.Memory != "" {
		fmt.Fprintf(&b, "\n\n# MEMORY.md, which you wrote\n\n%s", in.Memory)
	}
	return b.String()
}
