// Skill calendar reads calendars in the format iCalendar (RFC 5545) and keeps one of its
// own. It has the capability fs for its directory of the workspace, and http where the
// role subscribes to calendars elsewhere.
//
// Recurrence is expanded by days (rule.go), for rules by day, week, month and year; time
// zones are those of skills/internal/zone and of the calendars themselves. A rule without
// an end is only followed within the window that is asked for.
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
	agendaInput struct {
		Days int    `json:"days"`
		From string `json:"from"`
	}
	searchInput struct {
		Query string `json:"query"`
	}
)

const (
	usualDays = 7
	mostDays  = 366
	maxLines  = 200 // occurrences of an agenda
	maxHits   = 20  // of a search
)

func init() {
	sdk.Tool("agenda", agenda)
	sdk.Tool("search", find)
	sdk.Tool("add", add)
	sdk.Tool("subscribe", subscribe)
	sdk.Tool("unsubscribe", unsubscribe)
}

func main() {}

// now is the present in the owner's zone.
func now(c sdk.Context) time.Time { return zone.Now(c.Timezone) }

// window is the search for n days from a day on.
func window(from time.Time, n int, match func(*event) bool) *search {
	from = time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, from.Location())
	return &search{from: from, to: from.AddDate(0, 0, n), match: match, steps: maxSteps}
}

func agenda(c sdk.Context, in agendaInput) (string, error) {
	from := now(c)
	if strings.TrimSpace(in.From) != "" {
		var err error
		if from, _, err = day.Parse(in.From, from); err != nil {
			return "", err
		}
	}
	n := in.Days
	if n <= 0 {
		n = usualDays
		if in.From != "" {
			n = 1
		}
	}
	s := window(from, min(n, mostDays), func(*event) bool { return true })
	if err := s.calendars(c); err != nil {
		return "", err
	}
	found := s.sorted()
	text := s.show(found[:min(len(found), maxLines)])
	if len(found) == 0 {
		text = "Nothing is planned " + s.span() + "."
	}
	if more := len(found) - maxLines; more > 0 {
		text += "and " + strconv.Itoa(more) + " more\n"
	}
	return s.finish(text), nil
}

// span names the window.
func (s *search) span() string {
	const layout = "Monday, 2 January 2006"
	last := s.to.AddDate(0, 0, -1)
	if localDay(last) == localDay(s.from) {
		return "on " + s.from.Format(layout)
	}
	return "from " + s.from.Format(layout) + " to " + last.Format(layout)
}

// finish adds to an answer what could not be read.
func (s *search) finish(text string) string {
	text = strings.Trim(text, "\n")
	if s.cut {
		s.notes = append(s.notes, "there is more than can be looked through: some events are missing here")
	}
	if len(s.notes) > 0 {
		text += "\n"
	}
	for _, n := range s.notes[:min(len(s.notes), 20)] {
		text += "\nNote: " + n + "."
	}
	return text
}

// find shows the next times of events that have every word, or without such the last ones.
func find(c sdk.Context, in searchInput) (string, error) {
	words := strings.Fields(strings.ToLower(in.Query))
	if len(words) == 0 {
		return "", errors.New("there is no word to search for")
	}
	matches := func(e *event) bool {
		text := strings.ToLower(e.title + "\n" + e.place + "\n" + e.notes)
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	}
	today := now(c)
	s := window(today.AddDate(0, 0, -mostDays), 2*mostDays, matches)
	if err := s.calendars(c); err != nil {
		return "", err
	}
	found := s.sorted()
	next := 0
	for next < len(found) && found[next].end.Before(today) {
		next++
	}
	what, end := "", min(len(found), next+maxHits)
	switch {
	case len(found) == 0:
		return s.finish("No event of the last or the next year has " + strconv.Quote(cut(in.Query, 80)) + "."), nil
	case next == len(found):
		what, next = "Past:\n", max(0, len(found)-maxHits)
	}
	text := what + s.show(found[next:end])
	if end < len(found) {
		text += "and " + strconv.Itoa(len(found)-end) + " more within a year\n"
	}
	return s.finish(text), nil
}
