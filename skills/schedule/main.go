// Skill schedule makes and changes the tasks of its agent: reminders, and work that begins by
// itself. It has the capability task, and turns what people say ("tomorrow at 9:00", "every
// friday at 17:00") into what the host understands; the host decides, keeps and starts.
package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/day"
	"github.com/nanoclaw/nanoclaw/skills/internal/zone"
)

type (
	createInput struct {
		Prompt   string         `json:"prompt"`
		Schedule string         `json:"schedule"`
		Timezone string         `json:"timezone"`
		Misfire  string         `json:"misfire"`
		Gate     string         `json:"gate"`
		GateArgs sdk.RawMessage `json:"gate_arguments"`
	}
	updateInput struct {
		ID int64 `json:"id"`
		createInput
	}
	listInput struct {
		All bool `json:"all"`
	}
	taskInput struct {
		ID int64 `json:"id"`
	}
)

func init() {
	sdk.Tool("create", create)
	sdk.Tool("list", list)
	sdk.Tool("update", update)
	for op, said := range map[string]string{
		"pause": "Paused: ", "resume": "Resumed: ", "cancel": "Cancelled: ", "run": "Runs now: ",
	} {
		sdk.Tool(op, func(_ sdk.Context, in taskInput) (string, error) {
			return do(said, sdk.TaskRequest{Op: op, ID: in.ID})
		})
	}
}

func main() {}

// create makes a task, unless one with the same words and times is there: when the turn is run
// again, it was made before.
func create(c sdk.Context, in createInput) (string, error) {
	r, err := request(c, "create", in)
	if err != nil {
		return "", err
	}
	have, err := sdk.Tasks(sdk.TaskRequest{Op: "list"})
	if err != nil {
		return "", plain(err)
	}
	for _, t := range have {
		if t.State == "active" && t.Prompt == strings.TrimSpace(r.Prompt) && t.Schedule == r.Schedule {
			return "It is there already: " + show(t), nil
		}
	}
	return do("Scheduled: ", r)
}

func update(c sdk.Context, in updateInput) (string, error) {
	r, err := request(c, "update", in.createInput)
	if err != nil {
		return "", err
	}
	r.ID = in.ID
	return do("Changed: ", r)
}

func request(c sdk.Context, op string, in createInput) (r sdk.TaskRequest, err error) {
	r = sdk.TaskRequest{Op: op, Prompt: in.Prompt, Timezone: in.Timezone, Misfire: in.Misfire}
	if in.Timezone == "" {
		in.Timezone = c.Timezone
	}
	if in.Gate != "" || len(in.GateArgs) > 0 {
		r.Gate = &sdk.TaskGate{Tool: strings.TrimPrefix(in.Gate, "none"), Arguments: in.GateArgs}
	}
	if in.Schedule != "" {
		r.Schedule, err = when(in.Schedule, zone.Now(in.Timezone))
	}
	return r, err
}

func do(said string, r sdk.TaskRequest) (string, error) {
	tasks, err := sdk.Tasks(r)
	if err != nil {
		return "", plain(err)
	}
	return said + show(tasks[0]), nil
}

func list(_ sdk.Context, in listInput) (string, error) {
	tasks, err := sdk.Tasks(sdk.TaskRequest{Op: "list"})
	if err != nil {
		return "", plain(err)
	}
	var lines []string
	for _, t := range tasks {
		if in.All || t.State != "done" {
			lines = append(lines, show(t))
		}
	}
	if lines == nil {
		return "Nothing is scheduled.", nil
	}
	return strings.Join(lines, "\n"), nil
}

// plain is the host's sentence alone: it names what is wrong and the way out.
func plain(err error) error {
	var e *sdk.Error
	if errors.As(err, &e) && e.Message != "" {
		return errors.New(e.Message)
	}
	return err
}

// show is one line: [3] call Ann (2026-12-01 09:00, next Tue 2026-12-01 09:00).
func show(t sdk.Task) string {
	state := t.State
	if t.Why != "" {
		state += ": " + t.Why
	}
	if next, err := time.Parse(time.RFC3339, t.Next); err == nil {
		state = "next " + next.Format("Mon 2006-01-02 15:04")
	}
	prompt := strings.Join(strings.Fields(t.Prompt), " ")
	if r := []rune(prompt); len(r) > 80 {
		prompt = string(r[:80]) + "…"
	}
	return "[" + strconv.FormatInt(t.ID, 10) + "] " + prompt + " (" + t.Schedule + " " + t.Timezone + ", " + state + ")"
}

// when is the host's form of what somebody said. What it does not know it leaves to the host,
// whose error says what there is.
func when(said string, now time.Time) (string, error) {
	words := strings.Fields(strings.ToLower(strings.ReplaceAll(said, ",", " ")))
	for len(words) > 1 && (words[0] == "at" || words[0] == "on") {
		words = words[1:]
	}
	text := strings.Join(words, " ")
	switch {
	case len(words) == 0 || words[0][0] == '@' || len(words) == 5 && strings.ContainsAny(words[0], "*0123456789"):
		return strings.TrimSpace(said), nil
	case len(text) >= 10 && text[4] == '-':
		if t, timed, err := day.Parse(text, now); err == nil && timed && !strings.ContainsAny(text[10:], "+-z") {
			return t.Format("2006-01-02 15:04"), nil
		}
		return strings.TrimSpace(said), nil
	case words[0] == "every" || words[0] == "daily" || words[0] == "weekdays":
		return every(words, text, now), nil
	}
	if d, ok := span(words); ok { // "in 10 minutes": whatever the clock does meanwhile
		return now.Add(d).Truncate(time.Second).Format(time.RFC3339), nil
	}
	if t, timed, err := day.Parse("today "+text, now); err == nil && timed { // a time alone is the next one
		if !t.After(now) {
			t = t.AddDate(0, 0, 1)
		}
		return t.Format("2006-01-02 15:04"), nil
	}
	t, timed, err := day.Parse(text, now)
	if err != nil {
		return said, nil
	}
	if !timed {
		day := t.Format("Mon 2006-01-02")
		return "", errors.New("say at what time on " + day + ", such as " + strconv.Quote(text+" 9:00"))
	}
	return t.Format("2006-01-02 15:04"), nil
}

// every is cron for "every day at 9:00", "every friday 17:00" and "weekdays at 8:30".
func every(words []string, text string, now time.Time) string {
	if words[0] == "every" {
		words = words[1:]
	}
	if len(words) < 2 {
		return text
	}
	t, timed, err := day.Parse("today "+strings.Join(words[1:], " "), now)
	weekday, known := map[string]string{"day": "*", "daily": "*", "weekday": "1-5", "weekdays": "1-5"}[words[0]]
	if d, _, e := day.Parse(words[0], now); e == nil && !known && words[0][0] > '9' {
		weekday, known = strconv.Itoa(int(d.Weekday())), words[0] != "today" && words[0] != "tomorrow"
	}
	if err != nil || !timed || !known {
		return text
	}
	return strconv.Itoa(t.Minute()) + " " + strconv.Itoa(t.Hour()) + " * * " + weekday
}

// span reads "10 minutes", "2 hours" and "an hour".
func span(words []string) (time.Duration, bool) {
	if words[0] == "in" {
		words = words[1:]
	}
	if len(words) != 2 {
		return 0, false
	}
	n, err := strconv.Atoi(words[0])
	if words[0] == "a" || words[0] == "an" {
		n, err = 1, nil
	}
	unit := map[string]time.Duration{
		"m": time.Minute, "min": time.Minute, "minute": time.Minute, "h": time.Hour, "hour": time.Hour,
		"second": time.Second, "sec": time.Second,
	}[strings.TrimSuffix(words[1], "s")]
	return time.Duration(n) * unit, err == nil && unit > 0 && n > 0 && n < 100_000
}
