package main

import (
	"strconv"
	"strings"
	"time"
)

// Bounds of one call.
const (
	maxSteps = 1_000_000 // of all rules
	maxFound = 5_000     // occurrences
)

// occurrence is one time of an event.
type occurrence struct {
	*event
	start, end time.Time
	calendar   string
}

// search collects occurrences within [from, to).
type search struct {
	from, to time.Time
	match    func(*event) bool
	steps    int
	found    []occurrence
	cut      bool
	notes    []string
}

// add looks through the events of one calendar.
func (s *search) add(calendar string, events []event) {
	overrides := map[string]bool{}
	for i := range events {
		if e := &events[i]; !e.instead.IsZero() {
			overrides[timeKey(e.uid, e.instead)] = true
		}
	}
	odd := 0
	for i := range events {
		e := &events[i]
		if e.cancelled || !s.match(e) {
			continue
		}
		take := func(start time.Time) {
			if e.instead.IsZero() && overrides[timeKey(e.uid, start)] {
				return
			}
			s.take(calendar, e, start)
		}
		if e.rule == "" && len(e.also) == 0 || !e.instead.IsZero() {
			take(e.start)
		} else if !s.repeat(e, take) {
			odd++
		}
	}
	if odd > 0 {
		s.notes = append(s.notes, calendar+": "+strconv.Itoa(odd)+
			" events repeat by rules that are not known and are shown once")
	}
}

func timeKey(uid string, t time.Time) string { return uid + "\x00" + strconv.FormatInt(t.Unix(), 10) }

// take keeps an occurrence that lies in the window, at least with a part.
func (s *search) take(calendar string, e *event, start time.Time) {
	end := start.Add(e.end.Sub(e.start))
	if e.allDay {
		end = start.AddDate(0, 0, days(e.start, e.end))
	}
	if !start.Before(s.to) || end.Before(s.from) || end.Equal(s.from) && !start.Equal(end) {
		return
	}
	if len(s.found) >= maxFound {
		s.cut = true
		return
	}
	s.found = append(s.found, occurrence{e, start, end, calendar})
}

// days is how many days an event over whole days has.
func days(start, end time.Time) int { return localDay(end) - localDay(start) }

func localDay(t time.Time) int { return dayOf(t.Year(), int(t.Month()), t.Day()) }

// repeat calls take with the times of an event that repeats; of a rule that is not known
// it is the first, and the answer is false.
func (s *search) repeat(e *event, take func(time.Time)) bool {
	gone := map[int64]bool{}
	for _, t := range e.except {
		gone[t.Unix()] = true
	}
	once := func(t time.Time) {
		if !gone[t.Unix()] {
			gone[t.Unix()] = true
			take(t)
		}
	}
	for _, t := range e.also {
		once(t)
	}
	if e.rule == "" {
		once(e.start)
		return true
	}
	rule, err := parseRule(e.rule)
	if err != nil {
		once(e.start)
		return false
	}
	x := expansion{rule: rule, first: localDay(e.start), d: e.start.Day(), steps: &s.steps}
	x.y, x.m, _ = civil(x.first)
	hour, minute, second := e.start.Clock()
	from := localDay(s.from.In(e.start.Location())) - days(e.start, e.end) - 1
	last := localDay(s.to.In(e.start.Location()))
	done := x.each(from, last, func(day int) bool {
		if day < from && rule.until == "" {
			return true
		}
		y, m, d := civil(day)
		t := time.Date(y, time.Month(m), d, hour, minute, second, 0, e.start.Location())
		if rule.until != "" && after(t, rule.until) {
			return false
		}
		once(t)
		return true
	})
	s.cut = s.cut || !done
	return true
}

// after reports whether t is behind UNTIL: a day, an instant, or a time in t's own zone.
func after(t time.Time, until string) bool {
	if strings.HasSuffix(until, "Z") {
		return t.UTC().Format("20060102T150405Z") > until
	}
	return t.Format("20060102T150405")[:min(len(until), 15)] > until
}

// sorted returns the occurrences by day and time, whole days first. It is a merge sort of
// its own, because an instance of package slices' would add 60 KB to the module.
func (s *search) sorted() []occurrence { return s.mergeSort(s.found) }

func (s *search) mergeSort(all []occurrence) []occurrence {
	if len(all) < 2 {
		return all
	}
	a, b := s.mergeSort(all[:len(all)/2]), s.mergeSort(all[len(all)/2:])
	out := make([]occurrence, 0, len(all))
	for len(a) > 0 && len(b) > 0 {
		if s.before(b[0], a[0]) {
			out, b = append(out, b[0]), b[1:]
		} else {
			out, a = append(out, a[0]), a[1:]
		}
	}
	return append(append(out, a...), b...)
}

func (s *search) before(a, b occurrence) bool {
	if d := s.dayIn(a) - s.dayIn(b); d != 0 {
		return d < 0
	}
	if a.allDay != b.allDay {
		return a.allDay
	}
	if !a.start.Equal(b.start) {
		return a.start.Before(b.start)
	}
	return a.title < b.title
}

// dayIn is the day that an occurrence is listed on: that of its start, or the first of
// the window for what began before.
func (s *search) dayIn(o occurrence) int {
	return max(localDay(o.start.In(s.from.Location())), localDay(s.from))
}

// show writes occurrences below their days.
func (s *search) show(found []occurrence) string {
	var b strings.Builder
	last := -1 << 60
	for _, o := range found {
		if day := s.dayIn(o); day != last {
			last = day
			y, m, d := civil(day)
			b.WriteString("\n" + time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Format("Monday, 2 January 2006") + "\n")
		}
		b.WriteString("- " + o.when(s.from.Location()) + " " + o.what() + "\n")
	}
	return b.String()
}

// when is "15:00–16:00" in the owner's zone, with the day of what begins or ends on another.
func (o occurrence) when(in *time.Location) string {
	const day = "Mon 2 Jan"
	if o.allDay {
		if n := days(o.start, o.end); n > 1 {
			return "all day, " + o.start.Format(day) + " to " + o.end.AddDate(0, 0, -1).Format(day) + ":"
		}
		return "all day:"
	}
	start, end := o.start.In(in), o.end.In(in)
	switch {
	case end.Equal(start):
		return start.Format("15:04")
	case localDay(start) != localDay(end):
		return start.Format(day+" 15:04") + " to " + end.Format(day+" 15:04")
	}
	return start.Format("15:04") + "–" + end.Format("15:04")
}

func (o occurrence) what() string {
	s := oneLine(o.title, 200)
	if s == "" {
		s = "(no title)"
	}
	if place := oneLine(o.place, 100); place != "" {
		s += " (" + place + ")"
	}
	if o.calendar != "" {
		s += " [" + o.calendar + "]"
	}
	return s
}

func oneLine(s string, n int) string {
	return cut(strings.Join(strings.Fields(strings.ToValidUTF8(s[:min(len(s), 8*n)], "\uFFFD")), " "), n)
}
