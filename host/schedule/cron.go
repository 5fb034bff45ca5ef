package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cron is the five fields as sets of bits.
type cron struct {
	minute, hour, day, month, weekday uint64
	// either is crontab(5)'s rule: when neither day field begins with "*", one of them is enough.
	either bool
}

type field struct {
	name     string
	min, max int
	words    []string // the first stands for min
}

var fields = []field{
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
	{"weekday", 0, 7, strings.Fields("sun mon tue wed thu fri sat")},
}

var macros = map[string]string{
	"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
	"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}

func parseCron(words []string) (c cron, err error) {
	sets := make([]uint64, len(fields))
	for i, f := range fields {
		for item := range strings.SplitSeq(words[i], ",") {
			set, err := f.item(item)
			if err != nil {
				return c, fmt.Errorf("the %s is %q: %w", f.name, words[i], err)
			}
			sets[i] |= set
		}
	}
	if sets[4]&(1<<7) != 0 { // Sunday is 0 and 7
		sets[4] |= 1
	}
	c = cron{sets[0], sets[1], sets[2], sets[3], sets[4], words[2][0] != '*' && words[4][0] != '*'}
	if _, ok := c.match(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
		return c, fmt.Errorf("no month it names has a day %s, so it would never be due", words[2])
	}
	return c, nil
}

// item is one of "*", "5", "1-5", "mon-fri", each with or without "/2".
func (f field) item(s string) (set uint64, err error) {
	span, step, stepped := strings.Cut(s, "/")
	by := 1
	if stepped {
		if by, err = strconv.Atoi(step); err != nil || by < 1 || by > f.max {
			return 0, fmt.Errorf("a step is a number from 1 to %d", f.max)
		}
	}
	lo, hi := f.min, f.max
	if span != "*" {
		first, last, ranged := strings.Cut(span, "-")
		if lo, err = f.value(first); err != nil {
			return 0, err
		}
		if ranged {
			if hi, err = f.value(last); err != nil {
				return 0, err
			}
		} else if !stepped {
			hi = lo
		}
	}
	if f.words != nil && hi == 0 && lo > 0 { // fri-sun
		hi = 7
	}
	if hi < lo {
		return 0, fmt.Errorf("%q ends before it begins; write two ranges with a comma", span)
	}
	for n := lo; n <= hi; n += by {
		set |= 1 << n
	}
	return set, nil
}

func (f field) value(s string) (int, error) {
	if i := slices.Index(f.words, strings.ToLower(s)); i >= 0 {
		return f.min + i, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < f.min || n > f.max || s[0] == '+' || s[0] == '-' {
		hint := ""
		if f.words != nil {
			hint = fmt.Sprintf(" or %s to %s", f.words[0], f.words[len(f.words)-1])
		}
		return 0, fmt.Errorf("write *, or numbers from %d to %d%s, such as %q", f.min, f.max, hint, "1,3-5,*/2")
	}
	return n, nil
}

// match is the first minute from m on whose fields are in the sets. m is a wall clock's time,
// whole minutes, as if it were UTC.
func (c cron) match(m time.Time) (time.Time, bool) {
	for end := m.AddDate(9, 0, 0); m.Before(end); { // 29 February is at most 8 years away
		switch year, month, day := m.Date(); {
		case c.month>>month&1 == 0:
			m = time.Date(year, month+1, 1, 0, 0, 0, 0, time.UTC)
		case !c.on(m):
			m = time.Date(year, month, day+1, 0, 0, 0, 0, time.UTC)
		case c.hour>>m.Hour()&1 == 0:
			m = m.Truncate(time.Hour).Add(time.Hour)
		case c.minute>>m.Minute()&1 == 0:
			m = m.Add(time.Minute)
		default:
			return m, true
		}
	}
	return m, false
}

func (c cron) on(m time.Time) bool {
	day, weekday := c.day>>m.Day()&1 != 0, c.weekday>>m.Weekday()&1 != 0
	if c.either {
		return day || weekday
	}
	return day && weekday
}
