// Package day reads the days and times that people and models write. It knows English
// and ISO 8601, and must never guess: what it does not know is an error.
package day

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
)

// Parse reads "tomorrow", "friday", "in 3 days" or "2026-05-03", with or without a time
// ("15:00", "at 3pm"), or RFC 3339. What has no zone is in now's; a weekday is the next
// one after today. Without a time it is the beginning of the day, and timed is false.
func Parse(s string, now time.Time) (t time.Time, timed bool, err error) {
	bad := errors.New("cannot read the day " + strconv.Quote(cut(s)) +
		": write it like 2026-05-03, 2026-05-03 15:00, tomorrow or friday")
	text := strings.ToLower(strings.TrimSpace(s))
	if len(text) > 10 && text[4] == '-' && text[10] == 't' {
		if t, ok := zoned(text[:10], text[11:]); ok {
			return t.In(now.Location()), true, nil
		}
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
	at, ok := timeOfDay(rest)
	if !ok {
		return t, false, bad
	}
	return time.Date(d.Year(), d.Month(), d.Day(), at.hour, at.minute, 0, 0, d.Location()), true, nil
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
		d, ok := clock.ParseDate(w)
		if !ok {
			return t, 0
		}
		return time.Date(d.Year, time.Month(d.Month), d.Day, 0, 0, 0, 0, now.Location()), n + 1
	}
}

func took(n int, err error) int {
	if err != nil {
		return 0
	}
	return n
}

// zoned reads the rest of an RFC 3339 time behind its date: "15:00:00z", "15:00+02:00".
func zoned(date, rest string) (t time.Time, ok bool) {
	d, isDate := clock.ParseDate(date)
	i := strings.IndexAny(rest, "z+-")
	if i < 0 || !isDate {
		return t, false
	}
	at, ok := iso(rest[:i])
	east, isOffset := hms{}, rest[i:] == "z"
	if len(rest)-i == len("+02:00") {
		east, isOffset = iso(rest[i+1:])
	}
	if rest[i] == '-' {
		east.hour, east.minute = -east.hour, -east.minute
	}
	t = time.Date(d.Year, time.Month(d.Month), d.Day, at.hour-east.hour, at.minute-east.minute, at.second, 0, time.UTC)
	return t, ok && isOffset
}

// hms is a time of the day.
type hms struct{ hour, minute, second int }

// timeOfDay reads "15:00", "15:00:00", "3pm", "3:30pm" and "noon".
func timeOfDay(s string) (t hms, ok bool) {
	switch s {
	case "noon":
		return hms{hour: 12}, true
	case "midnight":
		return t, true
	}
	half := s[max(0, len(s)-2):]
	if half != "am" && half != "pm" {
		return iso(s)
	}
	s = s[:len(s)-2]
	if !strings.Contains(s, ":") {
		s += ":00"
	}
	if t, ok = iso(s); t.hour > 12 || strings.Count(s, ":") > 1 {
		return t, false
	}
	t.hour %= 12
	if half == "pm" {
		t.hour += 12
	}
	return t, ok
}

// iso reads "15:00" and "15:00:00". Parts of a second are passed over.
func iso(s string) (t hms, ok bool) {
	parts := strings.Split(s, ":")
	if len(parts) == 3 {
		parts[2], _, _ = strings.Cut(parts[2], ".")
	}
	if len(parts) < 2 || len(parts) > 3 {
		return t, false
	}
	for i, to := range []*int{&t.hour, &t.minute, &t.second}[:len(parts)] {
		n, err := strconv.ParseUint(parts[i], 10, 8)
		if err != nil || n > 59 || len(parts[i]) > 2 || i > 0 && len(parts[i]) < 2 {
			return t, false
		}
		*to = int(n)
	}
	return t, t.hour < 24
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 60)], "") }
