package main

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func expand(t *testing.T, rule, start string, from, last int) (out []string) {
	t.Helper()
	r, err := parseRule(rule)
	if err != nil {
		t.Fatal(err)
	}
	first, err := time.Parse("2006-01-02", start)
	if err != nil {
		t.Fatal(err)
	}
	steps := maxSteps
	x := expansion{rule: r, first: localDay(first), d: first.Day(), steps: &steps}
	x.y, x.m, _ = civil(x.first)
	x.each(from, last, func(day int) bool {
		if day >= from {
			y, m, d := civil(day)
			out = append(out, time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Format("2006-01-02"))
		}
		return true
	})
	return out
}

// Examples of RFC 5545, section 3.8.5.3, by their days.
func TestRulesOfTheRFC(t *testing.T) {
	for _, c := range []struct{ start, rule, want string }{
		{"1997-09-02", "FREQ=DAILY;COUNT=3", "1997-09-02 1997-09-03 1997-09-04"},
		{"1997-09-02", "FREQ=DAILY;INTERVAL=10;COUNT=3", "1997-09-02 1997-09-12 1997-09-22"},
		{"1997-09-02", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;WKST=SU", "1997-09-02 1997-09-16 1997-09-30 1997-10-14"},
		{"1997-09-02", "FREQ=WEEKLY;INTERVAL=2;COUNT=5;WKST=SU;BYDAY=TU,TH", "1997-09-02 1997-09-04 1997-09-16 1997-09-18 1997-09-30"},
		{"1997-08-05", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO", "1997-08-05 1997-08-10 1997-08-19 1997-08-24"},
		{"1997-08-05", "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU", "1997-08-05 1997-08-17 1997-08-19 1997-08-31"},
		{"1997-09-05", "FREQ=MONTHLY;COUNT=3;BYDAY=1FR", "1997-09-05 1997-10-03 1997-11-07"},
		{"1997-09-07", "FREQ=MONTHLY;INTERVAL=2;COUNT=4;BYDAY=1SU,-1SU", "1997-09-07 1997-09-28 1997-11-02 1997-11-30"},
		{"1997-09-22", "FREQ=MONTHLY;COUNT=3;BYDAY=-2MO", "1997-09-22 1997-10-20 1997-11-17"},
		{"1997-09-28", "FREQ=MONTHLY;BYMONTHDAY=-3;COUNT=3", "1997-09-28 1997-10-29 1997-11-28"},
		{"1997-09-30", "FREQ=MONTHLY;COUNT=4;BYMONTHDAY=1,-1", "1997-09-30 1997-10-01 1997-10-31 1997-11-01"},
		{"1998-02-13", "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;COUNT=4", "1998-02-13 1998-03-13 1998-11-13 1999-08-13"},
		{"1997-06-10", "FREQ=YEARLY;COUNT=4;BYMONTH=6,7", "1997-06-10 1997-07-10 1998-06-10 1998-07-10"},
		{"1997-05-19", "FREQ=YEARLY;BYDAY=20MO;COUNT=3", "1997-05-19 1998-05-18 1999-05-17"},
		{"1997-03-13", "FREQ=YEARLY;BYMONTH=3;BYDAY=TH;COUNT=4", "1997-03-13 1997-03-20 1997-03-27 1998-03-05"},
		{"1996-11-05", "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8;COUNT=3", "1996-11-05 2000-11-07 2004-11-02"},
		{"1997-09-04", "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06"},
		{"1997-09-29", "FREQ=MONTHLY;COUNT=3;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 1997-10-30 1997-11-27"},
		{"2007-01-15", "FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5", "2007-01-15 2007-01-30 2007-02-15 2007-03-15 2007-03-30"},
		{"2024-02-29", "FREQ=YEARLY;COUNT=2", "2024-02-29 2028-02-29"},
		{"2026-01-31", "FREQ=MONTHLY;COUNT=3", "2026-01-31 2026-03-31 2026-05-31"},
	} {
		first, _ := time.Parse("2006-01-02", c.start)
		got := expand(t, c.rule, c.start, localDay(first), localDay(first)+4000)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s %s: got %v, want %s", c.start, c.rule, got, c.want)
		}
	}
}

// slow says of a day alone whether a rule names it, by the words of the RFC and with no
// arithmetic that the fast way uses. Positions are counted by going through the period.
func slow(r *rule, first, day time.Time) bool {
	if !named(r, first, day) {
		return false
	}
	if len(r.positions) == 0 {
		return true
	}
	before, behind := 0, 0
	for d := day.AddDate(0, 0, -1); distance(r, first, d) == distance(r, first, day); d = d.AddDate(0, 0, -1) {
		if named(r, first, d) {
			before++
		}
	}
	for d := day.AddDate(0, 0, 1); distance(r, first, d) == distance(r, first, day); d = d.AddDate(0, 0, 1) {
		if named(r, first, d) {
			behind++
		}
	}
	return slices.Contains(r.positions, before+1) || slices.Contains(r.positions, -behind-1)
}

// distance is how many days, weeks, months or years lie between the periods of two days.
func distance(r *rule, first, day time.Time) int {
	switch r.freq {
	case daily:
		return int(day.Sub(first).Hours() / 24)
	case weekly:
		for int(first.Weekday()) != r.weekStart {
			first = first.AddDate(0, 0, -1)
		}
		for int(day.Weekday()) != r.weekStart {
			day = day.AddDate(0, 0, -1)
		}
		return int(day.Sub(first).Hours() / 24 / 7)
	case monthly:
		return 12*day.Year() + int(day.Month()) - 12*first.Year() - int(first.Month())
	}
	return day.Year() - first.Year()
}

func named(r *rule, first, day time.Time) bool {
	if distance(r, first, day)%r.interval != 0 {
		return false
	}
	if len(r.months) > 0 && !slices.Contains(r.months, int(day.Month())) {
		return false
	}
	fromEnd := day.Day() - day.AddDate(0, 0, 1-day.Day()).AddDate(0, 1, -1).Day() - 1
	if len(r.monthDays) > 0 && !slices.Contains(r.monthDays, day.Day()) && !slices.Contains(r.monthDays, fromEnd) {
		return false
	}
	if len(r.days) > 0 && !slices.ContainsFunc(r.days, func(d nthDay) bool {
		if d.weekday != int(day.Weekday()) {
			return false
		}
		if d.nth == 0 || r.freq < monthly || len(r.monthDays) > 0 {
			return true
		}
		inYear := r.freq == yearly && len(r.months) == 0
		same := func(o time.Time) bool {
			return o.Year() == day.Year() && (inYear || o.Month() == day.Month())
		}
		n, step := 0, -7
		if d.nth < 0 {
			step = 7
		}
		for o := day; same(o); o = o.AddDate(0, 0, step) {
			n++
		}
		return n == max(d.nth, -d.nth)
	}) {
		return false
	}
	switch { // what DTSTART fills in
	case r.freq == weekly && len(r.days) == 0:
		return day.Weekday() == first.Weekday()
	case r.freq == monthly && len(r.days)+len(r.monthDays) == 0:
		return day.Day() == first.Day()
	case r.freq == yearly && len(r.days)+len(r.monthDays) == 0:
		return day.Day() == first.Day() && (len(r.months) > 0 || day.Month() == first.Month())
	}
	return true
}

func randomRule(r *rand.Rand) string {
	freq := []string{"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}[r.IntN(4)]
	s := "FREQ=" + freq
	list := func(n int, f func() string) string {
		parts := make([]string, 1+r.IntN(n))
		for i := range parts {
			parts[i] = f()
		}
		return strings.Join(parts, ",")
	}
	if r.IntN(2) == 0 {
		s += ";INTERVAL=" + strconv.Itoa(1+r.IntN(5))
	}
	if r.IntN(4) == 0 {
		s += ";BYMONTH=" + list(3, func() string { return strconv.Itoa(1 + r.IntN(12)) })
	}
	if freq != "WEEKLY" && r.IntN(3) == 0 {
		s += ";BYMONTHDAY=" + list(4, func() string { return []string{"", "-"}[r.IntN(2)] + strconv.Itoa(1+r.IntN(31)) })
	}
	if r.IntN(2) == 0 {
		s += ";BYDAY=" + list(3, func() string {
			i := 2 * r.IntN(7)
			nth := ""
			if freq == "MONTHLY" || freq == "YEARLY" {
				nth = []string{"", "", "1", "2", "-1", "5", "-3"}[r.IntN(7)]
			}
			return nth + weekdays[i:i+2]
		})
	}
	if r.IntN(4) == 0 {
		s += ";BYSETPOS=" + list(2, func() string { return []string{"1", "-1", "2"}[r.IntN(3)] })
	}
	if r.IntN(3) == 0 {
		i := 2 * r.IntN(7)
		s += ";WKST=" + weekdays[i:i+2]
	}
	if r.IntN(3) == 0 {
		s += ";COUNT=" + strconv.Itoa(1+r.IntN(20))
	}
	return s
}

// TestAgainstSlowReference compares the fast way with slow, for random rules and windows.
func TestAgainstSlowReference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	n := 1500
	if testing.Short() {
		n = 300
	}
	for range n {
		text := randomRule(rnd)
		r, err := parseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		first := time.Date(1999+rnd.IntN(6), time.Month(1+rnd.IntN(12)), 1+rnd.IntN(31), 0, 0, 0, 0, time.UTC)
		from := first.AddDate(0, 0, rnd.IntN(1200))
		to := from.AddDate(0, 0, rnd.IntN(800))
		var want []string
		count := 0
		for d := first; !d.After(to); d = d.AddDate(0, 0, 1) {
			if d.Equal(first) || slow(r, first, d) {
				if count++; r.count > 0 && count > r.count {
					break
				}
				if !d.Before(from) {
					want = append(want, d.Format("2006-01-02"))
				}
			}
		}
		got := expand(t, text, first.Format("2006-01-02"), localDay(from), localDay(to))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s %s, %s to %s:\ngot  %v\nwant %v", first.Format("2006-01-02"), text, from.Format("2006-01-02"), to.Format("2006-01-02"), got, want)
		}
	}
}

// Rules that hardly ever or never name a day end, and soon.
func TestEndlessRules(t *testing.T) {
	for _, text := range []string{
		"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;COUNT=1000000", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=2", "FREQ=DAILY",
		"FREQ=MONTHLY;BYDAY=MO;BYSETPOS=40;COUNT=5", "FREQ=YEARLY;INTERVAL=10000;COUNT=1000000",
	} {
		start := time.Now()
		expand(t, text, "0001-01-01", localDay(time.Now()), localDay(time.Now())+366)
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s takes %v", text, d)
		}
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "FREQ=HOURLY", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;INTERVAL=-1", "FREQ=DAILY;COUNT=x", "FREQ=DAILY;BYHOUR=3",
		"FREQ=YEARLY;BYWEEKNO=20", "FREQ=WEEKLY;BYDAY=", "FREQ=WEEKLY;BYDAY=XX", "FREQ=WEEKLY;BYDAY=0MO", "FREQ=WEEKLY;BYDAY=UM",
		"FREQ=MONTHLY;BYMONTHDAY=0", "FREQ=MONTHLY;BYMONTHDAY=32", "FREQ=DAILY;BYMONTH=" + strings.Repeat("1,", 500) + "1",
	} {
		if r, err := parseRule(text); err == nil || len(err.Error()) > 300 {
			t.Errorf("%.60s: %+v, %v", text, r, err)
		}
	}
}
