// Skill todo keeps tasks in one Markdown file of the agent's workspace, todo/todo.md, in
// the syntax of GitHub's task lists. The file is the owner's as much as the skill's: what
// is no task stays as it is, byte for byte. It has the capability fs for that directory.
package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/day"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
	"github.com/nanoclaw/nanoclaw/skills/internal/zone"
)

const (
	file    = "todo/todo.md"
	maxFile = 1 << 20
	maxText = 500 // bytes of a task
	maxName = 60  // bytes of a list's name
	maxShow = 200 // tasks of an answer
)

type (
	addInput struct {
		Text string `json:"text"`
		Due  string `json:"due"`
		List string `json:"list"`
	}
	listInput struct {
		List string `json:"list"`
		Due  string `json:"due"`
		Done bool   `json:"done"`
	}
	taskInput struct {
		Task string `json:"task"`
	}
	editInput struct {
		Task string `json:"task"`
		Text string `json:"text"`
		Due  string `json:"due"`
		List string `json:"list"`
	}
)

func init() {
	sdk.Tool("add", add)
	sdk.Tool("list", list)
	sdk.Tool("done", done)
	sdk.Tool("remove", remove)
	sdk.Tool("edit", edit)
}

func main() {}

// today is the user's day.
func today(c sdk.Context) time.Time { return zone.Now(c.Timezone) }

// change runs f on the file's tasks and returns the sentence it makes.
func change(c sdk.Context, f func(*document) (string, error)) (said string, err error) {
	err = workfile.Update(c.Turn, file, maxFile, func(old []byte) ([]byte, error) {
		d := parse(string(old))
		said, err = f(d)
		return []byte(strings.Join(d.lines, "")), err
	})
	return said, err
}

// add writes a task under an ID made of the turn and what is asked for: when the turn is
// run again, the task is there already and the answer is the same.
func add(c sdk.Context, in addInput) (string, error) {
	text, err := cleaned("task", in.Text, maxText)
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", errors.New("the task is empty")
	}
	list, err := cleaned("name of the list", strings.TrimLeft(in.List, "# "), maxName)
	if err != nil {
		return "", err
	}
	due, err := dueDay(c, in.Due)
	if err != nil {
		return "", err
	}
	id := workfile.Hash(c.Turn + "\x00" + list + "\x00" + text + "\x00" + in.Due)
	return change(c, func(d *document) (string, error) {
		for _, t := range d.tasks {
			if t.id == id {
				return "Added: " + t.show(), nil
			}
		}
		t := task{id: id, text: text, due: due, list: list, lead: "- [ ] "}
		d.insert(t)
		return "Added: " + t.show(), nil
	})
}

func list(c sdk.Context, in listInput) (string, error) {
	by, err := dueDay(c, in.Due)
	if err != nil {
		return "", err
	}
	b, err := workfile.Read(file, maxFile)
	if err != nil {
		return "", err
	}
	now := date(today(c))
	var out strings.Builder
	heading, shown, left := "", 0, 0
	for _, t := range parse(string(b)).tasks {
		switch {
		case t.done && !in.Done, in.List != "" && !strings.EqualFold(t.list, strings.TrimSpace(in.List)),
			by != "" && (t.due == "" || t.due > by):
			continue
		case shown == maxShow:
			left++
			continue
		}
		if t.list != heading {
			heading = t.list
			out.WriteString("\n## " + heading + "\n")
		}
		out.WriteString(t.line(now) + "\n")
		shown++
	}
	if shown == 0 {
		return "There is nothing to do" + where(in, by) + ".", nil
	}
	if left > 0 {
		out.WriteString("\nand " + strconv.Itoa(left) + " more\n")
	}
	return strings.ToValidUTF8(strings.Trim(out.String(), "\n"), "\uFFFD"), nil
}

func where(in listInput, by string) (s string) {
	if in.List != "" {
		s = " in " + strings.TrimSpace(in.List)
	}
	if by != "" {
		s += " by " + by
	}
	return s
}

func done(c sdk.Context, in taskInput) (string, error) {
	return change(c, func(d *document) (string, error) {
		t, err := d.find(in.Task)
		if err != nil || t.done {
			return "Done: " + t.show(), err
		}
		line := d.lines[t.at]
		n := len(t.lead) - len("x] ")
		d.lines[t.at] = line[:n] + "x" + line[n+1:]
		return "Done: " + t.show(), nil
	})
}

// remove takes a task out. That an ID is not there is no error: a turn that is run again
// has removed it before.
func remove(c sdk.Context, in taskInput) (string, error) {
	return change(c, func(d *document) (string, error) {
		t, err := d.find(in.Task)
		if err != nil && isID(in.Task) {
			return "There is no task " + in.Task + " (any more).", nil
		}
		if err != nil {
			return "", err
		}
		d.lines[t.at] = ""
		return "Removed: " + t.show(), nil
	})
}

func edit(c sdk.Context, in editInput) (string, error) {
	text, err := cleaned("task", in.Text, maxText)
	if err != nil {
		return "", err
	}
	list, err := cleaned("name of the list", strings.TrimLeft(in.List, "# "), maxName)
	if err != nil {
		return "", err
	}
	due := ""
	isNone := strings.EqualFold(in.Due, "none")
	if !isNone {
		if due, err = dueDay(c, in.Due); err != nil {
			return "", err
		}
	}
	if text == "" && list == "" && in.Due == "" {
		return "", errors.New("nothing to change: give text, due or list")
	}
	return change(c, func(d *document) (string, error) {
		t, err := d.find(in.Task)
		if err != nil {
			return "", err
		}
		if text != "" {
			t.text = text
		}
		if due != "" || isNone {
			t.due = due
		}
		if list != "" && !strings.EqualFold(list, t.list) {
			d.lines[t.at] = ""
			t.list, t.lead = list, "- "+strings.TrimLeft(t.lead[len(t.lead)-4:], " ")
			d.insert(t)
		} else {
			d.lines[t.at] = t.source() + t.end
		}
		return "Changed: " + t.show(), nil
	})
}

// dueDay is the day that due names as it is written in the file; "" when there is none.
func dueDay(c sdk.Context, due string) (string, error) {
	if strings.TrimSpace(due) == "" {
		return "", nil
	}
	t, _, err := day.Parse(due, today(c))
	if err != nil {
		return "", err
	}
	return date(t), nil
}

// date is the day of t as a list has it, 2026-11-24.
func date(t time.Time) string {
	return clock.Date{Year: t.Year(), Month: int(t.Month()), Day: t.Day()}.String()
}

// cleaned makes one line of s that cannot be read as anything but text.
func cleaned(what, s string, limit int) (string, error) {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "<!--", "<! --")), " ")
	if len(s) > limit {
		return "", errors.New("the " + what + " is longer than " + strconv.Itoa(limit) + " bytes")
	}
	return s, nil
}
