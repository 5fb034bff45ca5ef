package schedule

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

// Bounds of a schedule.
const (
	maxText  = 200 // bytes
	minEvery = time.Minute
	maxEvery = 366 * 24 * time.Hour
)

const forms = `write cron's five fields "minute hour day month weekday" such as "0 9 * * 1-5", ` +
	`"every 15m", or one time such as "2026-12-01 09:00"`

// When is a schedule that was understood: exactly one of its three kinds.
type When struct {
	zone  *time.Location
	cron  cron
	every time.Duration
	once  time.Time
}

// Parse understands text, of which wall-clock times are those of the named zone.
func Parse(text, zone string) (w When, err error) {
	if w.zone, err = time.LoadLocation(zone); err != nil || zone == "" || zone == "Local" {
		return w, fmt.Errorf(`%w: %.64q is no time zone; write a name such as "Europe/Berlin"`, host.ErrInvalid, zone)
	}
	words := strings.Fields(text)
	switch {
	case len(words) == 0 || len(text) > maxText:
		err = fmt.Errorf("it is empty or longer than %d bytes; %s", maxText, forms)
	case strings.EqualFold(words[0], "every"):
		w.every, err = parseEvery(strings.Join(words[1:], ""))
	case isDate.MatchString(words[0]):
		w.once, err = parseTime(strings.Join(words, " "), w.zone)
	case words[0][0] == '@' && (len(words) > 1 || macros[strings.ToLower(words[0])] == ""):
		err = fmt.Errorf("of the words with @ there are @hourly, @daily, @weekly, @monthly and @yearly")
	case words[0][0] == '@':
		w.cron, err = parseCron(strings.Fields(macros[strings.ToLower(words[0])]))
	case len(words) != len(fields):
		err = fmt.Errorf("it has %d fields; %s", len(words), forms)
	default:
		w.cron, err = parseCron(words)
	}
	if err != nil {
		return w, fmt.Errorf("%w: schedule %.200q: %w", host.ErrInvalid, text, err)
	}
	return w, nil
}

var longUnits = strings.NewReplacer("minutes", "m", "minute", "m", "mins", "m", "min", "m", "hours", "h", "hour", "h")

func parseEvery(s string) (time.Duration, error) {
	d, err := time.ParseDuration(longUnits.Replace(strings.ToLower(s)))
	switch {
	case err != nil:
		return 0, fmt.Errorf(`write "every 15m" or "every 2h"; for a time of day cron's fields, such as "0 9 * * *"`)
	case d < minEvery || d > maxEvery || d%time.Second != 0:
		return 0, fmt.Errorf("the interval is at least 1 minute and at most 366 days, in whole seconds")
	}
	return d, nil
}

var (
	isDate  = regexp.MustCompile(`^[0-9]{4}-`)
	layouts = []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"}
	offsets = []string{"", "Z07:00", "Z0700"}
)

// parseTime reads a time with an offset, or one of the zone's wall clock.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	s = strings.Replace(strings.ToUpper(s), " ", "T", 1)
	for _, layout := range layouts {
		for _, offset := range offsets {
			t, err := time.Parse(layout+offset, s)
			switch {
			case err != nil:
			case t.Year() < 1970 || t.Year() > 9998:
				return t, fmt.Errorf("the year is from 1970 to 9998")
			case offset == "":
				return reach(t, zone), nil
			default:
				return t.UTC(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf(`a time is written "2026-12-01 09:00", or with an offset "2026-12-01T09:00:00+02:00"`)
}

// Next is the first due time after both due, the one before it, and now; false when there is
// none. Intervals are counted from due, so they never drift. For a new schedule due is now.
func (w When) Next(due, now time.Time) (time.Time, bool) {
	after := due
	if now.After(due) {
		after = now
	}
	switch {
	case !w.once.IsZero():
		return w.once, w.once.After(after)
	case w.every > 0:
		return due.Add((after.Sub(due)/w.every + 1) * w.every).UTC(), true
	}
	m, ok := w.cron.match(wall(after.In(w.zone)).Truncate(time.Minute))
	for ok { // what the clock showed before is no later than after
		if t := reach(m, w.zone); t.After(after) {
			return t, true
		}
		m, ok = w.cron.match(m.Add(time.Minute))
	}
	return m, false
}

// wall is what the clock at t shows, as if it were UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// reach is the first instant at which the clock of zone shows m or is past it. m is a wall
// clock's time as if it were UTC.
func reach(m time.Time, zone *time.Location) time.Time {
	t := m.Add(-24 * time.Hour).In(zone) // no offset is that large
	for {
		_, offset := t.Zone()
		at := m.Add(-time.Duration(offset) * time.Second)
		_, end := t.ZoneBounds()
		switch {
		case at.Before(t): // the clock jumped over m at t
			return t.UTC()
		case end.IsZero() || at.Before(end):
			return at
		}
		t = end
	}
}
