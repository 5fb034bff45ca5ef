// Skill notes keeps notes: one Markdown file each, in the directory notes of the
// agent's workspace. It has the capability fs for that directory and no other.
package main

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

const (
	maxText    = 64 << 10 // bytes of a note
	maxNotes   = 5000     // notes of an agent
	maxMatches = 20       // results of a search
	listLimit  = 50       // notes of a list, unless asked for another number
)

type (
	addInput struct {
		Text string `json:"text"`
	}
	listInput struct {
		Limit int `json:"limit"`
	}
	searchInput struct {
		Query string `json:"query"`
	}
	readInput struct {
		Note string `json:"note"`
	}
)

func init() {
	sdk.Tool("add", add)
	sdk.Tool("list", list)
	sdk.Tool("search", search)
	sdk.Tool("read", read)
}

func main() {}

// add writes a note under an ID made of the turn and the text: when the turn is
// run again, the note is there already and the answer is the same.
func add(c sdk.Context, in addInput) (string, error) {
	text := strings.TrimSpace(strings.ToValidUTF8(in.Text, "\uFFFD"))
	if text == "" {
		return "", errors.New("the note is empty")
	}
	if len(text) > maxText {
		return "", errors.New("the note is longer than " + strconv.Itoa(maxText) + " bytes")
	}
	id := workfile.Hash(c.Turn + "\x00" + text)
	all, err := readDir()
	if err != nil {
		return "", err
	}
	if find(all, id) == nil {
		if len(all) >= maxNotes {
			return "", errors.New("there are " + strconv.Itoa(len(all)) + " notes, no more can be kept")
		}
		slug := cmp.Or(workfile.Slug(title(text), 40), "note")
		name := stamp(clock.Now()) + "-" + slug + "-" + id + ".md"
		if err := workfile.Write("notes/"+name, []byte(text+"\n")); err != nil {
			return "", err
		}
	}
	return "Noted: " + title(text) + " (" + id + ")", nil
}

// stamp is a time that Now tells as file names have it, 20261124-150405.
func stamp(now int64) string {
	d, s := clock.At(now), int(now%clock.Day)
	hms := strconv.Itoa(1e6 + s/clock.Hour*10_000 + s/clock.Minute%60*100 + s%60)
	return strings.ReplaceAll(d.String(), "-", "") + "-" + hms[1:]
}

func list(_ sdk.Context, in listInput) (string, error) {
	all, err := readDir()
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "There are no notes yet.", nil
	}
	limit := in.Limit
	if limit <= 0 {
		limit = listLimit
	}
	var b strings.Builder
	for i, n := range all {
		if i == limit {
			b.WriteString("and " + strconv.Itoa(len(all)-limit) + " older ones\n")
			break
		}
		text, err := n.text()
		if err != nil {
			return "", err
		}
		b.WriteString(n.line(title(text)))
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func search(_ sdk.Context, in searchInput) (string, error) {
	found, err := matches(in.Query)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "No note contains " + strconv.Quote(in.Query) + ".", nil
	}
	var b strings.Builder
	for i, m := range found {
		if i == maxMatches {
			b.WriteString("and " + strconv.Itoa(len(found)-maxMatches) + " older ones\n")
			break
		}
		line := title(m.text)
		if m.line != line {
			line += ": " + m.line
		}
		b.WriteString(m.note.line(line))
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func read(_ sdk.Context, in readInput) (string, error) {
	all, err := readDir()
	if err != nil {
		return "", err
	}
	if n := find(all, strings.TrimSuffix(strings.TrimSpace(in.Note), ".md")); n != nil {
		return n.text()
	}
	found, err := matches(in.Note)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0:
		return "", errors.New("there is no note " + strconv.Quote(in.Note))
	case len(found) > 1:
		return "", errors.New(strconv.Itoa(len(found)) + " notes match " + strconv.Quote(in.Note) +
			": search for it and give an ID")
	}
	return found[0].text, nil
}

// match is a note that contains every word of a query.
type match struct {
	note note
	text string
	line string // the first that contains the first word
}

func matches(query string) ([]match, error) {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 {
		return nil, errors.New("there is no word to search for")
	}
	all, err := readDir()
	if err != nil {
		return nil, err
	}
	var out []match
	for _, n := range all {
		text, err := n.text()
		if err != nil {
			return nil, err
		}
		if containsAll(strings.ToLower(text), words) {
			out = append(out, match{n, text, lineWith(text, words[0])})
		}
	}
	return out, nil
}

func containsAll(s string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}

func lineWith(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(strings.ToLower(line), word) {
			return short(line)
		}
	}
	return ""
}

// title is the first line of a text, without Markdown's marks.
func title(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimLeft(strings.TrimSpace(line), "#-*> "); line != "" {
			return short(line)
		}
	}
	return "untitled"
}

// short cuts a line to 80 characters.
func short(line string) string {
	line = strings.TrimSpace(line)
	n := 0
	for i := range line {
		if n == 80 {
			return line[:i] + "…"
		}
		n++
	}
	return line
}
