package main

import (
	"strconv"
	"strings"
)

// vtimezone is what a calendar says about a zone of its own, such as Outlook's "W. Europe
// Standard Time": of its standard and its summer time the latest description.
type vtimezone struct {
	standard, summer half
}

type half struct {
	start  string // DTSTART: the latest wins, and its clock time is when the change is
	offset string // "+0100"
	rule   string
}

// readZones keeps the VTIMEZONEs of a calendar.
func (r *reader) readZones(text string) {
	var zone *vtimezone
	var part *half
	var now half
	lines(text, func(p property) bool {
		value := strings.ToUpper(strings.TrimSpace(p.value))
		switch {
		case p.name == "BEGIN" && value == "VTIMEZONE":
			zone = &vtimezone{}
		case p.name == "END" && value == "VTIMEZONE":
			zone = nil
		case zone == nil:
		case p.name == "TZID" && len(r.custom) < 100:
			r.custom[strings.TrimSpace(p.value)] = zone
		case p.name == "BEGIN" && value == "STANDARD":
			part, now = &zone.standard, half{}
		case p.name == "BEGIN" && value == "DAYLIGHT":
			part, now = &zone.summer, half{}
		case p.name == "END" && part != nil:
			if now.start >= part.start {
				*part = now
			}
			part = nil
		case p.name == "DTSTART":
			now.start = value
		case p.name == "TZOFFSETTO":
			now.offset = value
		case p.name == "RRULE":
			now.rule = value
		}
		return true
	})
}

// rule is the zone as a POSIX rule: "<S>-1<D>-2,M3.5.0/2:00,M10.5.0/3:00". A zone whose
// halves do not change every year has its standard time only.
func (z *vtimezone) rule() string {
	s := "<STD>" + posixOffset(z.standard.offset)
	to, back := z.summer.change(), z.standard.change()
	if to == "" || back == "" {
		return s
	}
	return s + "<DST>" + posixOffset(z.summer.offset) + "," + to + "," + back
}

// posixOffset is "+0130" with the sign that POSIX gives it: "-1:30".
func posixOffset(s string) string {
	if len(s) < 5 || s[0] != '+' && s[0] != '-' || strings.Trim(s[1:], "0123456789") != "" {
		return "0"
	}
	sign := "-"
	if s[0] == '-' {
		sign = "+"
	}
	return sign + s[1:3] + ":" + s[3:5]
}

// change is when a half begins, as POSIX writes it: "M10.5.0/3:00", from RRULE
// FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU and the clock time of DTSTART.
func (h half) change() string {
	r, err := parseRule(h.rule)
	if err != nil || r.freq != yearly || len(r.months) != 1 || len(r.days) != 1 || len(h.start) < len("20060102T1504") {
		return ""
	}
	n := r.days[0].nth
	if n == -1 {
		n = 5
	}
	clock := h.start[9:11] + ":" + h.start[11:13]
	if n < 1 || n > 5 || strings.Trim(clock, "0123456789:") != "" {
		return ""
	}
	return "M" + strconv.Itoa(r.months[0]) + "." + strconv.Itoa(n) + "." + strconv.Itoa(r.days[0].weekday) + "/" + clock
}
