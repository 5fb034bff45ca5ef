package wire

// AgentCall gives a task to an agent of another role. nanoclaw_agent_1 takes one, or an array of
// at most MaxAgentCalls, which are worked on at once and answered in order.
type AgentCall struct {
	Role string `json:"role"`
	Task string `json:"task"` // all that the other agent is told: it does not see the conversation
}

// AgentOutcome is what came of an AgentCall.
type AgentOutcome struct {
	Role    string `json:"role"`
	Outcome string `json:"outcome"`           // Outcome…
	Message string `json:"message,omitempty"` // one sentence when not ok
	Text    string `json:"text,omitempty"`    // the answer: another agent's words, and so data
}

// AgentResponse answers nanoclaw_agent_1.
type AgentResponse struct {
	Results []AgentOutcome `json:"results"`
}

// HTTPRequest is the guest's nanoclaw_http_1 call.
type HTTPRequest struct {
	Method     string            `json:"method"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
	BodyBase64 string            `json:"body_base64,omitempty"` // instead of Body
}

// HTTPResponse is its answer. Body is used when it is valid UTF-8.
type HTTPResponse struct {
	Status     int               `json:"status"`
	URL        string            `json:"url,omitempty"` // after redirects
	Headers    map[string]string `json:"headers,omitempty"`
	Body       string            `json:"body,omitempty"`
	BodyBase64 string            `json:"body_base64,omitempty"`
}

// KVRequest is the guest's nanoclaw_kv_1 call on the agent's own keys for this skill.
type KVRequest struct {
	Op    string `json:"op"` // get | put | delete | list
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
	Limit int    `json:"limit,omitempty"` // list; Key is the prefix
}

// KVResponse answers it. A get of a missing key is StatusNotFound.
type KVResponse struct {
	Value string   `json:"value,omitempty"`
	Keys  []string `json:"keys,omitempty"`
}

// TaskRequest is the guest's nanoclaw_task_1 call on the tasks of its own agent.
type TaskRequest struct {
	Op       string    `json:"op"`                 // create | list | update | pause | resume | cancel | run
	ID       int64     `json:"id,omitempty"`       // of all but create; list: 0 = every task
	Prompt   string    `json:"prompt,omitempty"`   // what the agent is asked when it is due
	Schedule string    `json:"schedule,omitempty"` // "0 9 * * 1-5", "every 15m" or "2026-12-01 09:00"
	Timezone string    `json:"timezone,omitempty"` // IANA name; "" = the owner's
	Misfire  string    `json:"misfire,omitempty"`  // skip | run-once (the default): for times when the host was not there
	Gate     *TaskGate `json:"gate,omitempty"`     // asked before the model; update: a tool of "" takes it away
}

// TaskGate is a tool of the agent that decides whether a due task is worth a turn. The last
// line of its text is JSON: {"wake": false}, or {"wake": true, "data": …} for the turn to see.
type TaskGate struct {
	Tool      string     `json:"tool"` // public name
	Arguments RawMessage `json:"arguments,omitempty"`
}

// TaskResponse answers it with the tasks as they are now: those listed, or the one of the call.
type TaskResponse struct {
	Tasks []Task `json:"tasks"`
}

// Task is one task.
type Task struct {
	ID       int64     `json:"id"`
	Prompt   string    `json:"prompt"`
	Schedule string    `json:"schedule"`
	Timezone string    `json:"timezone"`
	Next     string    `json:"next,omitempty"` // RFC 3339 in Timezone
	State    string    `json:"state"`          // active | paused | done
	Why      string    `json:"why,omitempty"`  // it is paused or done
	Misfire  string    `json:"misfire"`
	Gate     *TaskGate `json:"gate,omitempty"`
	Failures int       `json:"failures,omitempty"` // in a row; it is paused at 5
}

// HistoryRequest is the guest's nanoclaw_history_1 call on what was said to and by its agent.
type HistoryRequest struct {
	Query  string `json:"query,omitempty"`  // words, each the beginning of one in the message; "" = the latest messages
	Before string `json:"before,omitempty"` // RFC 3339; "" = now
	Limit  int    `json:"limit,omitempty"`
}

// HistoryResponse answers it, newest first. Text is what stands around the words, or the beginning.
type HistoryResponse struct {
	Messages []ChatMessage `json:"messages"`
}
