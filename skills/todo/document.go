package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

// document is the file: all its lines, each with its end, and the tasks among them.
type document struct {
	lines []string
	tasks []task
}

// task is one line such as "- [ ] Buy milk (due 2026-11-27) <!-- 1a2b3c4d -->".
type task struct {
	at   int    // its line
	lead string // "- [ ] ", with its indentation
	end  string // of the line
	done bool
	text string
	due  string // "2026-11-27" or ""
	id   string // the one in the line, else made of the text: the owner wrote it
	list string // the heading above, of the second level or below
}

// parse finds the tasks of a file.
func parse(s string) *document {
	d := &document{}
	list, fence := "", ""
	count := map[string]int{}
	for line := range strings.Lines(s) {
		at := len(d.lines)
		d.lines = append(d.lines, line)
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
		default:
			if name, ok := headingOf(line); ok {
				list = name
			} else if t, ok := parseTask(line); ok {
				t.at, t.list = at, list
				if t.id == "" {
					t.id = workfile.Hash(t.text + "\x00" + strconv.Itoa(count[t.text]))
					count[t.text]++
				}
				d.tasks = append(d.tasks, t)
			}
		}
	}
	return d
}

// headingOf is the name of the list that a heading begins; "" for the title of the file.
func headingOf(line string) (name string, ok bool) {
	rest := strings.TrimLeft(line, "#")
	level := len(line) - len(rest)
	if level == 0 || strings.TrimLeft(rest, " \t\r\n") == rest {
		return "", false
	}
	if level == 1 {
		return "", true
	}
	return strings.TrimSpace(strings.TrimRight(strings.TrimSpace(rest), "#")), true
}

func parseTask(line string) (t task, ok bool) {
	body := strings.TrimRight(line, " \t\r\n")
	t.end = line[len(body):]
	s := strings.TrimLeft(body, " \t")
	if n := len(s) - len(strings.TrimLeft(s, "0123456789")); n > 0 && n < len(s) && (s[n] == '.' || s[n] == ')') {
		s = s[n+1:]
	} else if s != "" && strings.IndexByte("-*+", s[0]) >= 0 {
		s = s[1:]
	} else {
		return t, false
	}
	box := strings.TrimLeft(s, " ")
	if box == s || len(box) < len("[ ] x") || box[0] != '[' || box[2] != ']' || box[3] != ' ' ||
		strings.IndexByte(" xX", box[1]) < 0 {
		return t, false
	}
	t.done = box[1] != ' '
	t.lead = body[:len(body)-len(box)+len("[ ] ")]
	t.text = box[len("[ ] "):]
	if before, id, ok := strings.Cut(t.text, "<!-- "); ok && isID(strings.TrimSuffix(id, " -->")) {
		t.text, t.id = strings.TrimRight(before, " "), strings.TrimSuffix(id, " -->")
	}
	if i := strings.LastIndex(t.text, "(due "); i >= 0 {
		due, after, ok := strings.Cut(t.text[i+len("(due "):], ")")
		if _, isDate := clock.ParseDate(due); ok && isDate {
			t.due, t.text = due, strings.TrimSpace(t.text[:i]+strings.TrimLeft(after, " "))
		}
	}
	return t, true
}

func isID(s string) bool {
	return len(s) == workfile.IDLength && strings.Trim(s, "0123456789abcdef") == ""
}

// source is the line of the file, without its end.
func (t task) source() string { return t.lead + t.withDue() + " <!-- " + t.id + " -->" }

func (t task) withDue() string {
	if t.due != "" {
		return t.text + " (due " + t.due + ")"
	}
	return t.text
}

// show names a task in an answer.
func (t task) show() string {
	s := strings.ToValidUTF8(t.withDue(), "\uFFFD")
	if t.list != "" {
		s += " in " + strings.ToValidUTF8(t.list, "\uFFFD")
	}
	return s + " [" + t.id + "]"
}

// line is a task in a list, on the day now.
func (t task) line(now string) string {
	s := "- [ ] "
	if t.done {
		s = "- [x] "
	}
	s += t.text
	if t.due != "" {
		d, _ := clock.ParseDate(t.due) // parsed once already
		s += " (due " + d.Weekday() + " " + t.due
		switch {
		case t.done:
		case t.due < now:
			s += ", overdue"
		case t.due == now:
			s += ", today"
		}
		s += ")"
	}
	return s + " [" + t.id + "]"
}

// find returns the task that ref means: its ID, its whole text, or words that of the open
// tasks, or else of those done, only it has. A whole text goes before words even when it
// is done: a turn that is run again must not tick off the next best.
func (d *document) find(ref string) (task, error) {
	ref = strings.Trim(strings.TrimSpace(ref), "[]")
	words := strings.Fields(strings.ToLower(ref))
	if len(words) == 0 {
		return task{}, errors.New("which task? Give its ID or words of it")
	}
	var whole, wholeDone, open, closed []task
	for _, t := range d.tasks {
		lower := strings.ToLower(t.text)
		switch {
		case t.id == ref:
			return t, nil
		case lower == strings.Join(words, " ") && t.done:
			wholeDone = append(wholeDone, t)
		case lower == strings.Join(words, " "):
			whole = append(whole, t)
		case !containsAll(lower, words):
		case t.done:
			closed = append(closed, t)
		default:
			open = append(open, t)
		}
	}
	found := whole
	for _, more := range [][]task{wholeDone, open, closed} {
		if len(found) == 0 {
			found = more
		}
	}
	switch len(found) {
	case 0:
		return task{}, errors.New("there is no task " + strconv.Quote(cut(ref)))
	case 1:
		return found[0], nil
	}
	s := strconv.Itoa(len(found)) + " tasks match " + strconv.Quote(cut(ref)) + ", give an ID:"
	for _, t := range found[:min(len(found), 5)] {
		s += "\n" + t.show()
	}
	return task{}, errors.New(s)
}

func containsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 80)], "") }

// insert puts a task behind the last one of its list, with what is indented below that
// one; a list that is not there yet is begun at the end of the file.
func (d *document) insert(t task) {
	newline := "\n"
	if len(d.lines) > 0 && strings.HasSuffix(d.lines[0], "\r\n") {
		newline = "\r\n"
	}
	at := -1
	for _, o := range d.tasks {
		if strings.EqualFold(o.list, t.list) {
			at = o.at + 1
		}
	}
	for ; at > 0 && at < len(d.lines) && strings.TrimSpace(d.lines[at]) != "" && isIndented(d.lines[at]); at++ {
	}
	lines := []string{t.source() + newline}
	if at < 0 {
		at = d.heading(t.list)
		if at < 0 {
			at = len(d.lines)
			title := "## " + t.list
			if t.list == "" {
				title = "# To do"
			}
			lines = append([]string{title + newline, newline}, lines...)
			if at > 0 {
				lines = append([]string{newline}, lines...)
			}
		}
	}
	if at > 0 && !strings.HasSuffix(d.lines[at-1], "\n") {
		d.lines[at-1] += newline
	}
	d.lines = append(d.lines[:at:at], append(lines, d.lines[at:]...)...)
}

func isIndented(line string) bool { return line != "" && (line[0] == ' ' || line[0] == '\t') }

// heading is the line behind the heading of list and the empty lines below that, -1 when
// there is none.
func (d *document) heading(list string) int {
	for i, line := range d.lines {
		name, ok := headingOf(line)
		if !ok || !strings.EqualFold(name, list) {
			continue
		}
		for i++; i < len(d.lines) && strings.TrimSpace(d.lines[i]) == ""; i++ {
		}
		return i
	}
	return -1
}
