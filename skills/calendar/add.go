package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/day"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

type addInput struct {
	Title    string `json:"title"`
	Start    string `json:"start"`
	End      string `json:"end"`
	Duration string `json:"duration"`
	Location string `json:"location"`
	Notes    string `json:"notes"`
	Repeat   string `json:"repeat"`
}

const (
	maxTitle  = 300  // bytes; a location has as many
	maxNotes  = 4000 // bytes
	maxOwn    = 2 << 20
	noEvents  = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//NanoClaw//calendar//EN\r\nEND:VCALENDAR\r\n"
	endOfFile = "END:VCALENDAR"
)

// add writes an event under a UID made of the turn and of what is asked for: when the
// turn is run again, the event is there already.
func add(c sdk.Context, in addInput) (string, error) {
	e, err := in.event(now(c))
	if err != nil {
		return "", err
	}
	what := []string{c.Turn, e.title, in.Start, in.End, in.Duration, e.rule}
	e.uid = workfile.Hash(strings.Join(what, "\x00")) + "@nanoclaw"
	err = workfile.Update(c.Turn, own, maxOwn, func(old []byte) ([]byte, error) {
		text := string(old)
		if strings.Contains(text, "UID:"+e.uid) {
			return old, nil
		}
		if strings.TrimSpace(text) == "" {
			text = noEvents
		}
		at := strings.LastIndex(text, endOfFile)
		if at < 0 {
			return nil, errors.New(own + " is no calendar: it has no line " + endOfFile)
		}
		return []byte(text[:at] + e.source() + text[at:]), nil
	})
	if err != nil {
		return "", err
	}
	o := occurrence{event: e, start: e.start, end: e.end}
	text := "Added: " + e.start.Format("Monday, 2 January 2006") + ", " + o.when(e.start.Location()) + " " + o.what()
	if e.rule != "" {
		text += ", repeats " + e.rule
	}
	return text, nil
}

// event checks what is to be added.
func (in addInput) event(now time.Time) (*event, error) {
	e := &event{
		title: strings.TrimSpace(in.Title), place: strings.TrimSpace(in.Location), notes: strings.TrimSpace(in.Notes),
	}
	switch {
	case e.title == "":
		return nil, errors.New("the event has no title")
	case len(e.title) > maxTitle || len(e.place) > maxTitle || len(e.notes) > maxNotes:
		return nil, errors.New("the title or location is longer than " + strconv.Itoa(maxTitle) +
			" bytes, or the notes than " + strconv.Itoa(maxNotes))
	}
	start, timed, err := day.Parse(in.Start, now)
	if err != nil {
		return nil, err
	}
	e.start, e.allDay = start, !timed
	if err := in.setEnd(e, now); err != nil {
		return nil, err
	}
	if days(e.start, e.end) > mostDays {
		return nil, errors.New("the event is longer than a year")
	}
	e.rule = strings.ToUpper(strings.TrimSpace(in.Repeat))
	switch e.rule {
	case "":
		return e, nil
	case "DAILY", "WEEKLY", "MONTHLY", "YEARLY":
		e.rule = "FREQ=" + e.rule
	}
	e.rule = strings.TrimPrefix(e.rule, "RRULE:")
	if _, err := parseRule(e.rule); err != nil {
		return nil, err
	}
	return e, nil
}

// setEnd takes the end as a time, a time of the same day, a day, or a duration. Without
// one an event has an hour, or the whole day.
func (in addInput) setEnd(e *event, now time.Time) error {
	switch {
	case strings.TrimSpace(in.End) != "":
		end, timed, err := day.Parse(in.End, now)
		if sameDay, _, err2 := day.Parse(e.start.Format("2006-01-02 ")+in.End, now); err != nil && err2 == nil {
			end, timed, err = sameDay, true, nil
		}
		if err != nil {
			return err
		}
		if e.allDay && !timed {
			end = end.AddDate(0, 0, 1) // the last day is one of the event's
		}
		e.end = end
		if timed == e.allDay {
			return errors.New("start and end must both have a time, or neither")
		}
		if !end.After(e.start) {
			return errors.New("the event ends before it begins")
		}
	case strings.TrimSpace(in.Duration) != "":
		text := strings.ToUpper(strings.ReplaceAll(strings.TrimSpace(in.Duration), " ", ""))
		days, d, ok := duration(text)
		if !ok {
			var err error
			if strings.Trim(text, "0123456789") == "" {
				text += "m"
			}
			d, err = time.ParseDuration(strings.ToLower(text))
			ok = err == nil
		}
		e.end = e.start.AddDate(0, 0, days).Add(d)
		if !ok || !e.end.After(e.start) || e.allDay && d != 0 {
			return errors.New("the duration " + strconv.Quote(cut(in.Duration, 40)) +
				" is none: write it like 90m, 1h30m or P2D for days")
		}
	case e.allDay:
		e.end = e.start.AddDate(0, 0, 1)
	default:
		e.end = e.start.Add(time.Hour)
	}
	return nil
}

// source is the event as a VEVENT.
func (e *event) source() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			b.WriteString(fold(name + value))
		}
	}
	line("BEGIN:", "VEVENT")
	line("UID:", e.uid)
	line("DTSTAMP:", time.Now().UTC().Format("20060102T150405Z"))
	line("DTSTART", stamp(e.start, e.allDay))
	line("DTEND", stamp(e.end, e.allDay))
	line("RRULE:", e.rule)
	line("SUMMARY:", escape(e.title))
	line("LOCATION:", escape(e.place))
	line("DESCRIPTION:", escape(e.notes))
	line("END:", "VEVENT")
	return b.String()
}

// stamp is a time in its zone, or a day.
func stamp(t time.Time, isDay bool) string {
	switch zone := t.Location().String(); {
	case isDay:
		return ";VALUE=DATE:" + t.Format("20060102")
	case zone == "UTC" || zone == "":
		return ":" + t.UTC().Format("20060102T150405Z")
	default:
		return ";TZID=" + zone + ":" + t.Format("20060102T150405")
	}
}

// escape writes a text value; every control character but a new line is a space.
func escape(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "\uFFFD") {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\\', r == ';', r == ',':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ', r == 0x7f:
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fold breaks a line at 75 bytes, between characters.
func fold(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		size := len(string(r))
		if n+size > 75 {
			b.WriteString("\r\n ")
			n = 1
		}
		b.WriteRune(r)
		n += size
	}
	return b.String() + "\r\n"
}
