package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// The credential proxy: the model's API for a program (host.Exec) that speaks it by itself. The
// program holds no key. What it sends is checked and counted like a call of llm, and sent on with
// nothing of its own but what the tables here name.
const (
	maxProxied     = 4        // requests of one turn at once; more wait
	maxModelAnswer = 32 << 20 // bytes of an answer
	maxModelLine   = 8 << 20  // bytes of one line of a stream
	streamPerToken = 24       // bytes of a stream that nobody counted; few, so that the guess is high
)

// Upstream is where the model of a role is asked; host/model knows.
type Upstream struct {
	Provider  string
	Kind      string // the protocol: "anthropic" or "openai"
	BaseURL   string
	Models    []string                // that may be named
	Authorize func(http.Header) error // puts the host's credentials in the place of all others
	Transport http.RoundTripper
}

// endpoint is what a program may ask of an API. Bodies name the model.
type endpoint struct {
	path string   // below Upstream.BaseURL
	max  []string // fields that bound the answer's tokens; none: it costs none
}

// endpoints are all that there are, by kind, method and path.
var endpoints = map[string]endpoint{
	"anthropic POST /v1/messages":              {"/v1/messages", []string{"max_tokens"}},
	"anthropic POST /v1/messages/count_tokens": {"/v1/messages/count_tokens", nil},
	"openai POST /v1/chat/completions":         {"/chat/completions", []string{"max_completion_tokens", "max_tokens"}},
	"openai POST /v1/responses":                {"/responses", []string{"max_output_tokens"}},
}

// probes ask whether the API is there. They are answered here: nothing leaves.
var probes = []string{"HEAD /", "HEAD /api/hello", "GET /api/hello"}

// Headers that pass, or begin so. Credentials, cookies and whom an answer is for are none of them.
var (
	askHeaders    = []string{"Accept", "Content-Type", "User-Agent", "Anthropic-", "Openai-Beta", "X-Stainless-", "X-App"}
	answerHeaders = []string{
		"Content-Type", "Request-Id", "X-Request-Id", "Retry-After", "X-Should-Retry", "Anthropic-Ratelimit-", "X-Ratelimit-",
	}
)

func pass(to, from http.Header, names []string) {
	for name, values := range from {
		if slices.ContainsFunc(names, func(n string) bool {
			return n == name || strings.HasSuffix(n, "-") && strings.HasPrefix(name, n)
		}) {
			to[name] = values
		}
	}
}

// askModel answers one request of the program. Whatever happens there is a row of it.
func (b *Broker) askModel(w http.ResponseWriter, r *http.Request, s host.Scope, shared *turn) {
	c := &call{scope: s, turn: shared, row: host.Decision{
		Agent: s.Agent.ID, Role: s.Role.Name, Turn: s.Turn, Skill: host.ExecSkill, Capability: host.CapLLM, Target: "-",
	}}
	a := &answer{w: w, leaks: b.cfg.Leaks()}
	err := b.finish(r.Context(), c, b.proxy(r.Context(), c, a, r))
	if err != nil && !a.begun {
		no := refusalOf(err)
		w.Header().Set("Content-Type", "application/json")
		if no.status != wire.StatusRateLimited || no.final {
			w.Header().Set("X-Should-Retry", "false")
		}
		w.WriteHeader(httpStatus[no.status])
		body, _ := encode(map[string]any{"type": "error", "error": map[string]string{ // what both kinds understand
			"type": no.status.String(), "message": "NanoClaw: " + no.message,
		}})
		_, _ = w.Write(body)
	}
}

var httpStatus = map[wire.Status]int{
	wire.StatusDenied: 403, wire.StatusInvalid: 400, wire.StatusNotFound: 404, wire.StatusTimeout: 504,
	wire.StatusCancelled: 503, wire.StatusTooLarge: 413, wire.StatusRateLimited: 429, wire.StatusUnavailable: 502,
	wire.StatusInternal: 500,
}

func (b *Broker) proxy(ctx context.Context, c *call, a *answer, r *http.Request) error {
	raw, err := wire.ReadLimited(r.Body, wire.MaxModelRequest)
	if err != nil {
		return tooLarge("the request has more than %d bytes, or cannot be read", wire.MaxModelRequest)
	}
	up, err := b.cfg.Upstream(c.scope.Role)
	if err != nil {
		return failed("the model", err)
	}
	c.row.Target = up.Provider
	asked := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), wire.PathModel)
	if slices.Contains(probes, asked) {
		c.row.Reason = "a probe, answered by the host"
		return nil
	}
	end, known := endpoints[up.Kind+" "+asked]
	if q := r.URL.RawQuery; !known || q != "" && q != "beta=true" {
		return &refusal{status: wire.StatusNotFound, message: "this is no endpoint that a program may ask for"}
	}
	raw, hidden, err := b.redactJSON(raw)
	if err != nil {
		return err
	}
	fields, model, err := readRequest(raw, up)
	if err != nil {
		return err
	}
	if err := b.spend(ctx, c.scope.Role, host.BudgetRequests, 1); err != nil {
		return err
	}
	if end.max != nil {
		settle, err := b.bound(ctx, c.scope.Role, fields, end, len(raw))
		if err != nil {
			return err
		}
		defer func() { settle(a.in + a.out) }()
	}
	body, err := marshal(fields) // each field once, whichever of two the server would have read
	if err != nil {
		return err
	}
	why := "model of role " + string(c.scope.Role.Name) + hidden
	if err := b.allow(ctx, c, model, why, int64(len(body))); err != nil {
		return err
	}
	c.scope.Emit(host.Event{Turn: c.row.Turn, Stage: host.StageModel})
	err = b.forward(ctx, up, end, r, body, a)
	if end.max != nil {
		a.guess(len(raw))
		c.row.Reason = fmt.Sprintf("%d tokens in, %d out", a.in, a.out)
	}
	return err
}

// readRequest checks what a request says, and gives its fields.
func readRequest(raw []byte, up Upstream) (fields map[string]json.RawMessage, model string, err error) {
	var all any
	if wire.Unmarshal(raw, &fields) != nil || json.Unmarshal(raw, &all) != nil || fields == nil ||
		json.Unmarshal(fields["model"], &model) != nil {
		return nil, "", invalid("the request is not one of the API's")
	}
	if !slices.Contains(up.Models, model) {
		no := deny("the role may not use this model")
		no.grant = "name the model as the role's, or as a fallback of it with the same provider"
		return nil, "", no
	}
	if what := reaches(all); what != "" {
		return nil, "", deny("%s would let the model's server reach out for this agent", what)
	}
	return fields, model, nil
}

// ownTools are types of tools that the program runs by itself; others run at the server, where
// neither a container nor a grant holds them.
var ownTools = []string{"function", "custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_"}

// reaches names what in a request makes the model's server connect to somewhere, "" when nothing does.
func reaches(v any) string {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if what := reaches(e); what != "" {
				return what
			}
		}
	case map[string]any:
		kind, _ := v["type"].(string)
		for name, e := range v {
			if kind == "tool_use" && name == "input" || name == "input_schema" || name == "parameters" {
				continue // words of the model, and schemas
			}
			if inner, ok := e.(map[string]any); ok && name == "image_url" {
				e = inner["url"]
			}
			link, isText := e.(string)
			switch {
			case name == "mcp_servers" || name == "web_search_options" || name == "server_url" || name == "container":
				return name
			case isText && slices.Contains([]string{"url", "image_url", "file_url"}, name) && !strings.HasPrefix(link, "data:"):
				return "a link"
			case name == "tools" && !ownToolsOnly(e):
				return "a tool of the server"
			}
			if what := reaches(e); what != "" {
				return what
			}
		}
	}
	return ""
}

func ownToolsOnly(tools any) bool {
	list, _ := tools.([]any)
	return !slices.ContainsFunc(list, func(t any) bool {
		tool, _ := t.(map[string]any)
		kind, _ := tool["type"].(string)
		return kind != "" && !slices.ContainsFunc(ownTools, func(own string) bool {
			return kind == own || strings.HasSuffix(own, "_") && strings.HasPrefix(kind, own)
		})
	})
}

// bound reserves the answer's tokens as reserve does, and writes into fields what is left for it.
func (b *Broker) bound(
	ctx context.Context, role *host.Role, fields map[string]json.RawMessage, end endpoint, size int,
) (settle func(int64), err error) {
	name := end.max[0]
	for _, n := range end.max {
		if fields[n] != nil {
			name = n
		}
	}
	var req wire.LLMRequest
	if m := fields[name]; m != nil && json.Unmarshal(m, &req.MaxTokens) != nil {
		return nil, invalid("%s is not a number", name)
	}
	asked := req.MaxTokens
	if settle, err = b.reserve(ctx, role, &req, size); err != nil {
		return nil, err
	}
	if req.MaxTokens != asked {
		for _, n := range end.max {
			delete(fields, n)
		}
		fields[name] = fmt.Append(nil, req.MaxTokens)
	}
	if bytes.Equal(fields["stream"], []byte("true")) && end.path == "/chat/completions" { // else nobody counts
		fields["stream_options"] = json.RawMessage(`{"include_usage":true}`)
	}
	return settle, nil
}

// forward sends the request on, under the host's credentials, and passes the answer back.
func (b *Broker) forward(
	ctx context.Context, up Upstream, end endpoint, r *http.Request, body []byte, a *answer,
) error {
	to, err := url.Parse(strings.TrimSuffix(up.BaseURL, "/") + end.path)
	if err != nil {
		return failed("the model", err)
	}
	to.RawQuery = r.URL.RawQuery
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return failed("the model", err)
	}
	pass(req.Header, r.Header, askHeaders)
	if err := b.guard("the request", false, fmt.Sprint(req.Header)); err != nil {
		return err
	}
	if err := up.Authorize(req.Header); err != nil {
		return failed("the model", err)
	}
	resp, err := up.Transport.RoundTrip(req)
	if err != nil {
		return failed("the model", errors.Join(host.ErrUnavailable, err))
	}
	defer resp.Body.Close()
	if s := resp.StatusCode; s < 200 || s >= 300 && s < 400 { // no redirect is followed, or passed on
		return failed("the model", fmt.Errorf("%w: its server answers with HTTP status %d", host.ErrUnavailable, s))
	}
	return a.copy(resp)
}

// answer is what goes back to the program, and what it cost.
type answer struct {
	w     http.ResponseWriter
	leaks interface {
		Redact(string, bool) (string, []string)
	}
	begun   bool
	refused bool // by the API: it costs nothing
	counted bool // to the end
	sent    int
	in, out int64
}

// copy passes an answer on, line by line, without secrets of the host in it.
func (a *answer) copy(resp *http.Response) error {
	a.begun, a.refused = true, resp.StatusCode >= 400
	pass(a.w.Header(), resp.Header, answerHeaders)
	for _, values := range a.w.Header() {
		for i := range values {
			values[i], _ = a.leaks.Redact(values[i], false)
		}
	}
	a.w.WriteHeader(resp.StatusCode)
	flush := http.NewResponseController(a.w).Flush
	lines := bufio.NewScanner(io.LimitReader(resp.Body, maxModelAnswer))
	lines.Buffer(make([]byte, 0, 64<<10), maxModelLine)
	for lines.Scan() {
		a.count(lines.Bytes())
		line, _ := a.leaks.Redact(lines.Text(), false)
		n, err := io.WriteString(a.w, line+"\n")
		if a.sent += n; err == nil {
			err = flush()
		}
		if err != nil {
			return failed("the program", errors.Join(host.ErrStopped, err))
		}
	}
	if err := lines.Err(); err != nil {
		return failed("the model", errors.Join(host.ErrUnavailable, err))
	}
	return nil
}

// usage is how both kinds count.
type usage struct {
	Input      int64 `json:"input_tokens"`
	Written    int64 `json:"cache_creation_input_tokens"`
	Read       int64 `json:"cache_read_input_tokens"`
	Prompt     int64 `json:"prompt_tokens"`
	Output     int64 `json:"output_tokens"`
	Completion int64 `json:"completion_tokens"`
}

// count reads the usage in a line: a whole answer, or an event of a stream.
func (a *answer) count(line []byte) {
	line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("data:")))
	if !bytes.HasPrefix(line, []byte("{")) || !bytes.Contains(line, []byte(`"usage"`)) {
		return
	}
	var e struct {
		Usage    *usage
		Message  struct{ Usage *usage } // at the beginning of a stream
		Response struct{ Usage *usage }
	}
	if json.Unmarshal(line, &e) != nil {
		return
	}
	a.counted = a.counted || e.Usage != nil || e.Response.Usage != nil
	for _, u := range []*usage{e.Usage, e.Message.Usage, e.Response.Usage} {
		if u != nil {
			a.in = max(a.in, u.Input+u.Written+u.Read+u.Prompt)
			a.out = max(a.out, u.Output+u.Completion)
		}
	}
}

// guess fills in what nobody counted, rather too high: a budget must bite then, too.
func (a *answer) guess(size int) {
	if a.begun && !a.refused && !a.counted {
		a.in, a.out = max(a.in, int64(size/bytesPerToken)), max(a.out, int64(a.sent/streamPerToken))
	}
}
