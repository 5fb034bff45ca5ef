package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	daily = iota + 1
	weekly
	monthly
	yearly
)

// rule is an RRULE, or what of it is known here.
type rule struct {
	freq, interval, count int
	until                 string // as it stands: a day or an instant
	weekStart             int    // 0 = Sunday
	months, monthDays     []int
	days                  []nthDay
	positions             []int // BYSETPOS
}

// nthDay is a weekday, 0 = Sunday; nth is which of them, from the end when it is
// negative, and 0 for every one.
type nthDay struct{ nth, weekday int }

const weekdays = "SUMOTUWETHFRSA"

// parseRule reads an RRULE in upper case. Parts that are not known make it an error: a
// rule that is read in part would show events on days that they are not on.
func parseRule(s string) (*rule, error) {
	r := &rule{interval: 1, weekStart: 1}
	for part := range strings.SplitSeq(s, ";") {
		key, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		ok := true
		switch key {
		case "FREQ":
			r.freq = slices.Index([]string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}, v) + 1
		case "INTERVAL":
			r.interval, ok = number(v, 1, 10_000)
		case "COUNT":
			r.count, ok = number(v, 1, 1_000_000)
		case "UNTIL":
			r.until, ok = v, len(v) >= len("20060102") && len(v) <= len("20060102T150405Z") &&
				strings.Trim(v, "0123456789TZ") == ""
		case "WKST":
			r.weekStart, ok = weekday(v)
		case "BYMONTH":
			r.months, ok = numbers(v, 1, 12)
		case "BYMONTHDAY":
			r.monthDays, ok = numbers(v, -31, 31)
		case "BYSETPOS":
			r.positions, ok = numbers(v, -366, 366)
		case "BYDAY":
			r.days, ok = nthDays(v)
		case "":
		default:
			ok = false
		}
		if !ok {
			return nil, errors.New("the rule " + strconv.Quote(cut(s, 100)) + " cannot be read at " +
				strconv.Quote(cut(part, 40)))
		}
	}
	if r.freq == 0 {
		return nil, errors.New("the rule " + strconv.Quote(cut(s, 100)) + " does not repeat by day, week, month or year")
	}
	return r, nil
}

func number(s string, lo, hi int) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= lo && n <= hi
}

// numbers reads a list of numbers other than 0.
func numbers(s string, lo, hi int) (out []int, ok bool) {
	for v := range strings.SplitSeq(s, ",") {
		n, ok := number(strings.TrimPrefix(v, "+"), lo, hi)
		if !ok || n == 0 || len(out) == 400 {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

func weekday(s string) (int, bool) {
	i := strings.Index(weekdays, s)
	return i / 2, len(s) == 2 && i >= 0 && i%2 == 0
}

func nthDays(s string) (out []nthDay, ok bool) {
	for v := range strings.SplitSeq(s, ",") {
		if len(v) < 2 || len(out) == 400 {
			return nil, false
		}
		d := nthDay{}
		if d.weekday, ok = weekday(v[len(v)-2:]); !ok {
			return nil, false
		}
		if n := strings.TrimPrefix(v[:len(v)-2], "+"); n != "" {
			if d.nth, ok = number(n, -53, 53); !ok || d.nth == 0 {
				return nil, false
			}
		}
		out = append(out, d)
	}
	return out, true
}

// A day is counted from 1 January 1970.

func dayOf(y, m, d int) int {
	return int(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func civil(day int) (y, m, d int) {
	t := time.Unix(int64(day)*86400, 0).UTC()
	return t.Year(), int(t.Month()), t.Day()
}

func weekdayOf(day int) int { return ((day+4)%7 + 7) % 7 }

// expansion is one run of a rule.
type expansion struct {
	rule  *rule
	first int // the day of DTSTART
	y, m  int // its year and month
	d     int
	steps *int // left, of all rules of a call
}

// each calls f with the days of the rule from its first on, in order, until f returns
// false or one is after last. Days before from may be left out when the rule does not
// count. It reports whether it came to its end.
func (x *expansion) each(from, last int, f func(day int) bool) bool {
	count := 0
	emit := func(day int) bool {
		count++
		return f(day) && (x.rule.count == 0 || count < x.rule.count)
	}
	if !emit(x.first) { // DTSTART is the first one, whatever the rule says
		return true
	}
	period := 0
	if x.rule.count == 0 {
		period = max(x.periodOf(from)-1, 0)
	}
	for ; ; period++ {
		if x.begin(period) > last {
			return true
		}
		days := x.period(period)
		if *x.steps -= 1 + len(days); *x.steps < 0 {
			return false
		}
		for _, day := range days {
			if day > x.first && (day > last || !emit(day)) {
				return true
			}
		}
	}
}

// periodOf is the number of the period that day is in.
func (x *expansion) periodOf(day int) int {
	y, m, _ := civil(day)
	n := 0
	switch x.rule.freq {
	case daily:
		n = day - x.first
	case weekly:
		n = (day - x.begin(0)) / 7
	case monthly:
		n = (y-x.y)*12 + m - x.m
	case yearly:
		n = y - x.y
	}
	return n / x.rule.interval
}

// begin is the first day of a period.
func (x *expansion) begin(period int) int {
	n := period * x.rule.interval
	switch x.rule.freq {
	case daily:
		return x.first + n
	case weekly:
		return x.first - (weekdayOf(x.first)-x.rule.weekStart+7)%7 + 7*n
	case monthly:
		return dayOf(x.y, x.m+n, 1)
	}
	return dayOf(x.y+n, 1, 1)
}

// period is the days of one period, in order.
func (x *expansion) period(n int) (days []int) {
	r, begin := x.rule, x.begin(n)
	y, m, _ := civil(begin)
	switch r.freq {
	case daily:
		days = []int{begin}
	case weekly:
		for day := begin; day < begin+7; day++ {
			if len(r.days) > 0 || weekdayOf(day) == weekdayOf(x.first) {
				days = append(days, day)
			}
		}
	case monthly:
		days = x.month(y, m)
	case yearly:
		days = x.year(y)
	}
	days = slices.DeleteFunc(days, func(day int) bool { return !x.allows(day) })
	if len(r.positions) == 0 {
		return days
	}
	var chosen []int
	for i, day := range days {
		if slices.Contains(r.positions, i+1) || slices.Contains(r.positions, i-len(days)) {
			chosen = append(chosen, day)
		}
	}
	return chosen
}

// month is the days of a month that monthDays or days name, or the one of DTSTART.
func (x *expansion) month(y, m int) (days []int) {
	r, begin, end := x.rule, dayOf(y, m, 1), dayOf(y, m+1, 1)
	for day := begin; day < end; day++ {
		switch {
		case len(r.monthDays) > 0, len(r.days) > 0 && r.nth(day, begin, end):
			days = append(days, day)
		case len(r.days) == 0 && day-begin+1 == x.d:
			days = append(days, day)
		}
	}
	return days
}

func (x *expansion) year(y int) (days []int) {
	r := x.rule
	if len(r.days) > 0 && len(r.months) == 0 && len(r.monthDays) == 0 {
		begin, end := dayOf(y, 1, 1), dayOf(y+1, 1, 1)
		for day := begin; day < end; day++ {
			if r.nth(day, begin, end) {
				days = append(days, day)
			}
		}
		return days
	}
	for m := 1; m <= 12; m++ {
		if slices.Contains(r.months, m) || len(r.months) == 0 && (len(r.monthDays) > 0 || m == x.m) {
			days = append(days, x.month(y, m)...)
		}
	}
	return days
}

// nth reports whether day is one of r.days within the month or year from begin to end.
func (r *rule) nth(day, begin, end int) bool {
	return slices.ContainsFunc(r.days, func(d nthDay) bool {
		return d.weekday == weekdayOf(day) &&
			(d.nth == 0 || d.nth == (day-begin)/7+1 || d.nth == -((end-1-day)/7+1))
	})
}

// allows holds a day against the lists that only take away.
func (x *expansion) allows(day int) bool {
	r := x.rule
	y, m, d := civil(day)
	if len(r.months) > 0 && !slices.Contains(r.months, m) {
		return false
	}
	if len(r.monthDays) > 0 && !slices.Contains(r.monthDays, d) &&
		!slices.Contains(r.monthDays, d-(dayOf(y, m+1, 1)-dayOf(y, m, 1))-1) {
		return false
	}
	return len(r.days) == 0 ||
		slices.ContainsFunc(r.days, func(n nthDay) bool { return n.weekday == weekdayOf(day) })
}
