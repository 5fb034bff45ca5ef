package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/zone"
)

// Bounds of one calendar; files come from anywhere.
const (
	maxICS    = 5 << 20
	maxEvents = 20_000
	maxLine   = 32 << 10 // bytes of a line once it is unfolded; the rest is dropped
	maxDates  = 5_000    // of EXDATE or RDATE in one event
)

// property is one line of a calendar: NAME;PARAM=x:value.
type property struct {
	name, params, value string
}

// param is the value of a parameter in upper-case name, without quotes.
func (p property) param(name string) string {
	for s := p.params; s != ""; {
		one := s
		if i := outside(s, ';'); i >= 0 {
			one, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		if key, v, ok := strings.Cut(one, "="); ok && strings.EqualFold(key, name) {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}

// outside finds the first c that is not in quotes, -1 when there is none.
func outside(s string, c byte) int {
	quoted := false
	for i := range len(s) {
		if s[i] == '"' {
			quoted = !quoted
		}
		if s[i] == c && !quoted {
			return i
		}
	}
	return -1
}

// lines calls f with each property of a calendar until it returns false.
func lines(text string, f func(property) bool) {
	var folded []string
	size := 0
	flush := func() bool {
		line := strings.Join(folded, "")
		folded, size = folded[:0], 0
		i := outside(line, ':')
		if i < 0 {
			return true
		}
		name, params, _ := strings.Cut(line[:i], ";")
		return f(property{strings.ToUpper(name), params, line[i+1:]})
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			line = line[1:]
		} else if !flush() {
			return
		}
		if line = line[:min(len(line), maxLine-size)]; line != "" {
			folded, size = append(folded, line), size+len(line)
		}
	}
	flush()
}

// unescape reads the value of a text property.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			if c = s[i]; c == 'n' || c == 'N' {
				c = '\n'
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// event is one VEVENT: a single event, one that repeats, or an override of one time of such.
type event struct {
	uid, title, place, notes string
	start, end               time.Time
	allDay, cancelled        bool
	rule                     string // RRULE as it stands
	except, also             []time.Time
	instead                  time.Time // RECURRENCE-ID; zero when this is no override
	duration                 string
}

// reader makes events of properties.
type reader struct {
	own    *time.Location // the owner's
	zones  map[string]*time.Location
	custom map[string]*vtimezone
	notes  []string // what could not be read
}

// read makes events of a calendar.
func (r *reader) read(text string) (events []event) {
	r.zones, r.custom = map[string]*time.Location{}, map[string]*vtimezone{}
	r.readZones(text)
	var e *event
	depth, isCalendar, bad := 0, false, 0 // depth: of components inside the event
	lines(text, func(p property) bool {
		value := strings.ToUpper(strings.TrimSpace(p.value))
		switch {
		case p.name == "BEGIN" && value == "VCALENDAR":
			isCalendar = true
		case p.name == "BEGIN" && e != nil:
			depth++
		case p.name == "END" && e != nil && depth > 0:
			depth--
		case p.name == "BEGIN" && value == "VEVENT":
			e = &event{}
		case p.name == "END" && e != nil:
			if e.finish() {
				events = append(events, *e)
			} else {
				bad++
			}
			e = nil
		case e != nil && depth == 0:
			r.property(e, p, value)
		}
		return len(events) < maxEvents
	})
	switch {
	case !isCalendar:
		r.notes = append(r.notes, "it is no calendar in the format iCalendar")
	case len(events) == maxEvents:
		r.notes = append(r.notes, "only its first "+strconv.Itoa(maxEvents)+" events are read")
	case bad > 0:
		r.notes = append(r.notes, strconv.Itoa(bad)+" of its events have no date that can be read")
	}
	return events
}

func (r *reader) property(e *event, p property, upper string) {
	switch p.name {
	case "UID":
		e.uid = p.value
	case "SUMMARY":
		e.title = unescape(p.value)
	case "LOCATION":
		e.place = unescape(p.value)
	case "DESCRIPTION":
		e.notes = unescape(p.value)
	case "STATUS":
		e.cancelled = upper == "CANCELLED"
	case "DTSTART":
		e.start, e.allDay = r.time(p, p.value)
	case "DTEND":
		e.end, _ = r.time(p, p.value)
	case "DURATION":
		e.duration = upper
	case "RRULE":
		e.rule = upper
	case "RECURRENCE-ID":
		e.instead, _ = r.time(p, p.value)
	case "EXDATE":
		e.except = r.times(p, e.except)
	case "RDATE":
		e.also = r.times(p, e.also)
	}
}

func (r *reader) times(p property, out []time.Time) []time.Time {
	for v := range strings.SplitSeq(p.value, ",") {
		v, _, _ = strings.Cut(v, "/") // of a period, its beginning
		if t, _ := r.time(p, v); !t.IsZero() && len(out) < maxDates {
			out = append(out, t)
		}
	}
	return out
}

// finish sets the end, and reports whether the event has a time.
func (e *event) finish() bool {
	if e.start.IsZero() {
		return false
	}
	if e.end.IsZero() && e.duration != "" {
		if days, d, ok := duration(e.duration); ok {
			e.end = e.start.AddDate(0, 0, days).Add(d)
		}
	}
	if !e.end.After(e.start) {
		e.end = e.start
		if e.allDay {
			e.end = e.start.AddDate(0, 0, 1)
		}
	}
	return true
}

// time reads a DATE or DATE-TIME; the zero time when it is none.
func (r *reader) time(p property, v string) (t time.Time, isDate bool) {
	v = strings.ToUpper(strings.TrimSpace(v))
	in := r.own
	if tzid := p.param("TZID"); tzid != "" && len(v) > len("20060102") {
		in = r.zone(tzid)
	}
	if len(v) == len("20060102T150405Z") && v[15] == 'Z' {
		v, in = v[:15], time.UTC
	}
	if isDate = len(v) == len("20060102"); isDate {
		v += "T000000"
	}
	if len(v) != len("20060102T150405") || v[8] != 'T' {
		return t, false
	}
	d, ok := clock.ParseDate(v[:4] + "-" + v[4:6] + "-" + v[6:8])
	n, err := strconv.ParseUint(v[9:], 10, 32)
	hour, minute, second := int(n/10_000), int(n/100%100), int(n%100)
	if !ok || err != nil || d.Year < 1 || hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	return time.Date(d.Year, time.Month(d.Month), d.Day, hour, minute, second, 0, in), isDate
}

// zone finds the zone that a calendar calls tzid: by its IANA name, as the calendar
// itself describes it, by the end of its name. One that is not known is the owner's.
func (r *reader) zone(tzid string) *time.Location {
	if l := r.zones[tzid]; l != nil {
		return l
	}
	l := zone.Named(tzid)
	if l == nil && r.custom[tzid] != nil {
		l = zone.Ruled(tzid, r.custom[tzid].rule())
	}
	if parts := strings.Split(tzid, "/"); l == nil && len(parts) > 2 {
		l = zone.Named(strings.Join(parts[len(parts)-2:], "/"))
	}
	if l == nil {
		l = r.own
		if len(r.notes) < 5 {
			r.notes = append(r.notes, "its time zone "+strconv.Quote(cut(tzid, 60))+
				" is not known: its times are taken for yours")
		}
	}
	if len(r.zones) < 500 {
		r.zones[tzid] = l
	}
	return l
}

// duration reads P1DT2H30M: days, which may have 23 or 25 hours, and the rest.
func duration(s string) (days int, d time.Duration, ok bool) {
	s, ok = strings.CutPrefix(strings.TrimPrefix(s, "+"), "P")
	inTime := false
	for s != "" && ok {
		if s[0] == 'T' {
			inTime, s = true, s[1:]
			continue
		}
		n := len(s) - len(strings.TrimLeft(s, "0123456789"))
		count, err := strconv.ParseUint(s[:n], 10, 20)
		if err != nil || n == len(s) {
			return 0, 0, false
		}
		switch unit := s[n]; {
		case unit == 'W' && !inTime:
			days += 7 * int(count)
		case unit == 'D' && !inTime:
			days += int(count)
		case unit == 'H' && inTime:
			d += time.Duration(count) * time.Hour
		case unit == 'M' && inTime:
			d += time.Duration(count) * time.Minute
		case unit == 'S' && inTime:
			d += time.Duration(count) * time.Second
		default:
			return 0, 0, false
		}
		s = s[n+1:]
	}
	return min(days, 40_000), d, ok
}

// cut shortens s, of others' making, to n bytes.
func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}
