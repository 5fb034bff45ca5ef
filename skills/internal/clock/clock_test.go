package clock

import (
	"testing"
	"time"
)

// Package time is right about every day from the year 0 to 2600, and about how the last ones are written.
func TestDatesAgreeWithPackageTime(t *testing.T) {
	for at := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2600; at = at.AddDate(0, 0, 1) {
		days := int(at.Unix() / Day)
		want := Date{at.Year(), int(at.Month()), at.Day()}
		if got := Of(days); got != want || want.Days() != days {
			t.Fatalf("day %d is %v, want %v; back %d", days, got, want, want.Days())
		}
		if got := want.Weekday() + want.MonthName() + want.String(); got != at.Format("MonJan2006-01-02") {
			t.Fatalf("%v is %s, want %s", want, got, at.Format("MonJan2006-01-02"))
		}
	}
}

func TestParseDate(t *testing.T) {
	for _, s := range []string{
		"2026-11-24", "2024-02-29", "2026-02-29", "2026-04-31", "1900-02-29", "2026-12-32", "2026-00-10", "2026-13-01",
		"2026-01-00", "0000-01-01", "", "2026-1-2", "2026/01/02", "+026-01-02", "2026-01-02T", "99999-1-1", "2026-0x-01",
	} {
		want, err := time.Parse("2006-01-02", s)
		d, ok := ParseDate(s)
		if ok != (err == nil) || ok && d != (Date{want.Year(), int(want.Month()), want.Day()}) {
			t.Errorf("%q: %v, %v, want %s", s, d, ok, want)
		}
	}
}

func TestNowAndSleep(t *testing.T) {
	start := time.Now()
	if n := Now(); n < start.Unix() || n > start.Unix()+Minute {
		t.Errorf("Now is %d, want %d", n, start.Unix())
	}
	if Sleep(20); time.Since(start) < 20*time.Millisecond {
		t.Error("Sleep did not wait")
	}
}
