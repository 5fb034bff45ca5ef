// Package day reads the days and times that people and models write. It knows English
// and ISO 8601, and must never guess: what it does not know is an error.
package day

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Parse reads "tomorrow", "friday", "in 3 days" or "2026-05-03", with or without a time
// ("15:00", "at 3pm"), or RFC 3339. What has no zone is in now's; a weekday is the next
// one after today. Without a time it is the beginning of the day, and timed is false.
func Parse(s string, now time.Time) (t time.Time, timed bool, err error) {
	bad := errors.New("cannot read the day " + strconv.Quote(cut(s)) +
		": write it like 2026-05-03, 2026-05-03 15:00, tomorrow or friday")
	text := strings.ToLower(strings.TrimSpace(s))
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, strings.ToUpper(text)); err == nil {
			return t.In(now.Location()), true, nil
		}
	}
	if len(text) > 10 && text[4] == '-' && text[10] == 't' {
		text = text[:10] + " " + text[11:]
	}
	words := strings.Fields(strings.ReplaceAll(text, ",", " "))
	d, n := date(words, now)
	if n == 0 {
		return t, false, bad
	}
	rest := strings.TrimPrefix(strings.Join(words[n:], ""), "at")
	if rest == "" {
		return d, false, nil
	}
	hour, minute, ok := clock(rest)
	if !ok {
		return t, false, bad
	}
	return time.Date(d.Year(), d.Month(), d.Day(), hour, minute, 0, 0, d.Location()), true, nil
}

// date reads the day that words begin with, and says how many of them it took.
func date(words []string, now time.Time) (t time.Time, n int) {
	for n < len(words) && (words[n] == "on" || words[n] == "next" || words[n] == "this") {
		n++
	}
	if n == len(words) {
		return t, 0
	}
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch w := words[n]; w {
	case "today":
		return today, n + 1
	case "tomorrow":
		return today.AddDate(0, 0, 1), n + 1
	case "in":
		if len(words) < n+3 {
			return t, 0
		}
		count, err := strconv.ParseUint(words[n+1], 10, 10)
		switch strings.TrimSuffix(words[n+2], "s") {
		case "day":
			return today.AddDate(0, 0, int(count)), took(n+3, err)
		case "week":
			return today.AddDate(0, 0, 7*int(count)), took(n+3, err)
		}
		return t, 0
	default:
		for ahead := 1; ahead <= 7; ahead++ {
			d := today.AddDate(0, 0, ahead)
			if name := strings.ToLower(d.Weekday().String()); w == name || w == name[:3] {
				return d, n + 1
			}
		}
		t, err := time.ParseInLocation("2006-01-02", w, now.Location())
		return t, took(n+1, err)
	}
}

func took(n int, err error) int {
	if err != nil {
		return 0
	}
	return n
}

// clock reads "15:00", "15:00:00", "3pm" and "noon".
func clock(s string) (hour, minute int, ok bool) {
	switch s {
	case "noon":
		return 12, 0, true
	case "midnight":
		return 0, 0, true
	}
	for _, layout := range []string{"15:04", "15:04:05", "3PM", "3:04PM"} {
		if t, err := time.Parse(layout, strings.ToUpper(s)); err == nil {
			return t.Hour(), t.Minute(), true
		}
	}
	return 0, 0, false
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 60)], "") }
