package schedule_test

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/schedule"
)

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse("2006-01-02T15:04:05Z07:00", s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t testing.TB, text, zone string) schedule.When {
	t.Helper()
	w, err := schedule.Parse(text, zone)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestNext(t *testing.T) {
	const ny, berlin = "America/New_York", "Europe/Berlin"
	for _, c := range []struct{ text, zone, from, want string }{ // want: the next times, UTC
		{"0 9 * * *", ny, "2026-01-15T13:59:59Z", "2026-01-15T14:00 2026-01-16T14:00"},
		{"0 9 * * *", ny, "2026-01-15T14:00:00Z", "2026-01-16T14:00"}, // strictly after
		{"0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00 2032-02-29T00:00"},
		{"0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00"},
		{"0 0 31 * *", "UTC", "2026-01-31T00:00:00Z", "2026-03-31T00:00 2026-05-31T00:00"},
		{"0 0 * * 0", "UTC", "2026-01-15T00:00:00Z", "2026-01-18T00:00"},
		{"0 0 * * 7", "UTC", "2026-01-15T00:00:00Z", "2026-01-18T00:00"},
		{"0 0 * * SUN", "UTC", "2026-01-15T00:00:00Z", "2026-01-18T00:00"},
		{"0 0 13 * 5", "UTC", "2026-01-10T00:00:00Z", "2026-01-13T00:00 2026-01-16T00:00"},  // either day
		{"0 0 */2 * 1", "UTC", "2026-01-10T00:00:00Z", "2026-01-19T00:00 2026-02-09T00:00"}, // both: one begins with *
		{"0 9 * * fri-sun", "UTC", "2026-01-15T00:00:00Z", "2026-01-16T09:00 2026-01-17T09:00 2026-01-18T09:00 2026-01-23T09:00"},
		{"0 0 1 JAN,jul *", "UTC", "2026-01-15T00:00:00Z", "2026-07-01T00:00 2027-01-01T00:00"},
		{"5/20 8 * * *", "UTC", "2026-01-15T00:00:00Z", "2026-01-15T08:05 2026-01-15T08:25 2026-01-15T08:45 2026-01-16T08:05"},
		{"0-10/5,59 8 * * *", "UTC", "2026-01-15T00:00:00Z", "2026-01-15T08:00 2026-01-15T08:05 2026-01-15T08:10 2026-01-15T08:59"},
		{"@daily", "UTC", "2026-01-15T05:00:00Z", "2026-01-16T00:00"},
		{"@Hourly", "UTC", "2026-01-15T05:00:00Z", "2026-01-15T06:00"},

		// The night that leaves 02:00 to 03:00 out: the first valid instant is 03:00, 07:00Z.
		{"30 2 * * *", ny, "2026-03-07T12:00:00Z", "2026-03-08T07:00 2026-03-09T06:30"},
		{"0 2 * * *", ny, "2026-03-07T12:00:00Z", "2026-03-08T07:00 2026-03-09T06:00"},
		{"15,45 2-3 * * *", ny, "2026-03-08T05:00:00Z", "2026-03-08T07:00 2026-03-08T07:15 2026-03-08T07:45"},
		{"*/30 * * * *", ny, "2026-03-08T06:00:00Z", "2026-03-08T06:30 2026-03-08T07:00 2026-03-08T07:30"},
		// The night that has 01:00 to 02:00 twice: the first time only.
		{"30 1 * * *", ny, "2026-10-31T12:00:00Z", "2026-11-01T05:30 2026-11-02T06:30"},
		{"30 1 * * *", ny, "2026-11-01T06:00:00Z", "2026-11-02T06:30"},
		{"*/30 * * * *", ny, "2026-11-01T05:00:00Z", "2026-11-01T05:30 2026-11-01T07:00"},
		{"30 2 * * *", berlin, "2026-03-28T12:00:00Z", "2026-03-29T01:00 2026-03-30T00:30"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", "2026-04-04T14:45 2026-04-05T15:15"}, // half an hour
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "2026-10-03T15:30 2026-10-04T15:15"},
		{"0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2011-12-29T19:00 2011-12-30T10:00 2011-12-30T19:00"}, // no 30 December
		{"30 1 * * *", "Europe/Dublin", "2026-10-24T12:00:00Z", "2026-10-25T00:30 2026-10-26T01:30"},                // negative summer time

		{"2026-12-01 09:00", berlin, "2026-01-01T00:00:00Z", "2026-12-01T08:00"},
		{"2026-12-01t09:00:00+02:00", berlin, "2026-01-01T00:00:00Z", "2026-12-01T07:00"},
		{"2026-12-01T09:00Z", berlin, "2026-01-01T00:00:00Z", "2026-12-01T09:00"},
		{"2026-04-20 14:00:00+0200", ny, "2026-01-01T00:00:00Z", "2026-04-20T12:00"},
		{"2026-06-15T09:00:00", "Asia/Tokyo", "2026-01-01T00:00:00Z", "2026-06-15T00:00"},
		{"2026-01-15", berlin, "2026-01-01T00:00:00Z", "2026-01-14T23:00"},
		{"2026-03-08T03:30:00", ny, "2026-01-01T00:00:00Z", "2026-03-08T07:30"},
		{"2026-03-08T02:30:00", ny, "2026-01-01T00:00:00Z", "2026-03-08T07:00"},
		{"2026-11-01 01:30", ny, "2026-01-01T00:00:00Z", "2026-11-01T05:30"},
		{"2026-01-15 09:00", "UTC", "2026-01-15T09:00:00Z", ""}, // gone
	} {
		w, next := parse(t, c.text, c.zone), at(t, c.from)
		for _, want := range strings.Fields(c.want) {
			var ok bool
			if next, ok = w.Next(next, next); !ok || next.Format("2006-01-02T15:04:05") != want+":00" {
				t.Errorf("%q in %s from %s: %v %v, want %s", c.text, c.zone, c.from, next, ok, want)
				break
			}
		}
		if after, ok := w.Next(next, next); c.want == "" && ok {
			t.Errorf("%q in %s from %s: %v, want none", c.text, c.zone, c.from, after)
		}
	}
}

// TestEvery: intervals are counted from the time before, whatever the clock did.
func TestEvery(t *testing.T) {
	due := at(t, "2026-01-15T09:00:00Z")
	for _, c := range []struct {
		text      string
		late, add time.Duration
	}{
		{"every 1m", 2 * time.Second, time.Minute},
		{"every 1 minute", 10*time.Minute + 3*time.Second, 11 * time.Minute},
		{"Every 2h", 2 * time.Hour, 4 * time.Hour}, // strictly after now
		{"every 1 h 30 min", 0, 90 * time.Minute},
		{"every 15m", -time.Hour, 15 * time.Minute}, // the clock was put back: not twice
	} {
		if got, ok := parse(t, c.text, "UTC").Next(due, due.Add(c.late)); !ok || got.Sub(due) != c.add {
			t.Errorf("%q, %v late: %v %v, want %v after due", c.text, c.late, got.Sub(due), ok, c.add)
		}
	}
}

func TestWrongSchedules(t *testing.T) {
	for _, c := range []struct{ text, zone, want string }{
		{"", "UTC", "empty"},
		{"* * * *", "UTC", "it has 4 fields; write cron's five fields"},
		{"30 0 9 * * *", "UTC", "it has 6 fields"},
		{"tomorrow", "UTC", "it has 1 fields; write"},
		{"60 * * * *", "UTC", `the minute is "60": write *, or numbers from 0 to 59`},
		{"0 24 * * *", "UTC", `the hour is "24"`},
		{"0 0 0 * *", "UTC", `the day of month is "0"`},
		{"0 0 * 13 *", "UTC", "from 1 to 12 or jan to dec"},
		{"0 0 * * 8", "UTC", "from 0 to 7 or sun to sat"},
		{"0 0 * * L", "UTC", `the weekday is "L"`},
		{"0 0 ? * 1", "UTC", `the day of month is "?"`},
		{"*/0 * * * *", "UTC", "a step is a number from 1"},
		{"30-10 * * * *", "UTC", "ends before it begins"},
		{"1,,2 * * * *", "UTC", "the minute"},
		{"+5 * * * *", "UTC", "the minute"},
		{"0 0 30 feb *", "UTC", "never be due"},
		{"0 0 31 4,6 *", "UTC", "never be due"},
		{"@reboot", "UTC", "there are @hourly"},
		{"@daily 5", "UTC", "there are @hourly"},
		{"every", "UTC", `write "every 15m"`},
		{"every day", "UTC", "for a time of day cron's fields"},
		{"every 30s", "UTC", "at least 1 minute"},
		{"every -5m", "UTC", "at least 1 minute"},
		{"every 99999h", "UTC", "at most 366 days"},
		{"2026-13-01 09:00", "UTC", "a time is written"},
		{"2026-02-30 09:00", "UTC", "a time is written"},
		{"2026-12-01 9 pm", "UTC", "a time is written"},
		{"1234-12-01 09:00", "UTC", "the year is from"},
		{strings.Repeat("1,", 150) + "1 * * * *", "UTC", "longer than 200 bytes"},
		{"* * * * *", "", "no time zone"},
		{"* * * * *", "Local", "no time zone"},
		{"* * * * *", "IST-2", `"IST-2" is no time zone; write a name such as "Europe/Berlin"`},
		{"* * * * *", "+02:00", "no time zone"},
		{"* * * * *", "../../etc/passwd", "no time zone"},
	} {
		_, err := schedule.Parse(c.text, c.zone)
		if !errors.Is(err, host.ErrInvalid) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q in %q: %v, want %q", c.text, c.zone, err, c.want)
		}
	}
}

// slow is the reference: it looks at every minute, and at what the zone's clock shows then. A
// time of the clock is due when the clock comes to it for the first time, or has gone past it.
func slow(matches func(wall time.Time) bool, zone *time.Location, after, until time.Time) (time.Time, bool) {
	for t := range slowly(matches, zone, after, until) {
		return t, true
	}
	return until, false
}

// slowly is all the times of the reference.
func slowly(matches func(wall time.Time) bool, zone *time.Location, after, until time.Time) iter.Seq[time.Time] {
	shows := func(t time.Time) time.Time {
		y, mo, d := t.In(zone).Date()
		h, mi, _ := t.In(zone).Clock()
		return time.Date(y, mo, d, h, mi, 0, 0, time.UTC)
	}
	return func(yield func(time.Time) bool) {
		t := after.Truncate(time.Minute).Add(-48 * time.Hour)
		furthest := shows(t)
		for ; t.Before(until); t = t.Add(time.Minute) {
			due := false
			for now := shows(t); furthest.Before(now); {
				furthest = furthest.Add(time.Minute)
				due = due || matches(furthest)
			}
			if due && t.After(after) && !yield(t) {
				return
			}
		}
	}
}

// reading is a second way to read five fields of "*", "n" and "*/n".
func reading(text string) func(time.Time) bool {
	f := strings.Fields(text)
	one := func(i, v, min int) bool {
		if step, ok := strings.CutPrefix(f[i], "*/"); ok {
			n, _ := strconv.Atoi(step)
			return (v-min)%n == 0
		}
		return f[i] == "*" || f[i] == strconv.Itoa(v) || i == 4 && v == 0 && f[i] == "7"
	}
	return func(w time.Time) bool {
		day, weekday := one(2, w.Day(), 1), one(4, int(w.Weekday()), 0)
		days := day && weekday
		if f[2][0] != '*' && f[4][0] != '*' {
			days = day || weekday
		}
		return one(0, w.Minute(), 0) && one(1, w.Hour(), 0) && days && one(3, int(w.Month()), 1)
	}
}

var zones = []string{
	"UTC", "America/New_York", "Europe/Berlin", "Europe/Dublin", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu",
	"Africa/Casablanca", "America/Sao_Paulo", "Asia/Tehran", "Pacific/Chatham", "America/Scoresbysund", "Antarctica/Troll",
	"Pacific/Kwajalein", "America/St_Johns", "Asia/Gaza", "Africa/El_Aaiun", "America/Caracas", "Asia/Pyongyang",
}

// compare checks the next times after start against the reference, for days days.
func compare(t *testing.T, text, zone string, start time.Time, days int) {
	t.Helper()
	w := parse(t, text, zone)
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	until := start.AddDate(0, 0, days)
	for i, now := 0, start; i < 4; i++ {
		want, due := slow(reading(text), loc, now, until)
		got, ok := w.Next(now, now)
		if due && (!ok || !got.Equal(want)) || !due && ok && got.Before(until) {
			t.Fatalf("%q in %s after %s: %v %v, the reference says %v %v", text, zone, now.UTC(), got, ok, want, due)
		}
		if !due {
			return
		}
		now = want
	}
}

// TestAgainstReference compares around changes of many zones' clocks, and anywhere.
func TestAgainstReference(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	number := func(min, max int) string {
		switch n := r.IntN(4); {
		case n == 0:
			return "*"
		case n == 1 && max > 2:
			return fmt.Sprintf("*/%d", 1+r.IntN(max-1))
		}
		return strconv.Itoa(min + r.IntN(max-min+1))
	}
	for i := range 300 {
		zone := zones[i%len(zones)]
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Date(1975+r.IntN(65), 1, 1+r.IntN(365), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC)
		_, change := start.In(loc).ZoneBounds()
		if near := i%4 != 0 && !change.IsZero(); near {
			start = change.Add(time.Duration(r.IntN(30*60*60)-28*60*60) * time.Second)
		}
		text := strings.Join([]string{number(0, 59), number(0, 4), number(1, 28), "*", number(0, 7)}, " ")
		if r.IntN(3) > 0 {
			text = strings.Join([]string{number(0, 59), number(0, 23), "*", "*", "*"}, " ")
		}
		compare(t, text, zone, start, 3)
	}
}

// FuzzParse: whatever is written is an error of one sentence, or has a next time that is later.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"0 9 * * 1-5", "every 15m", "2026-12-01 09:00", "@daily", "*/5,1-3 sun * jan *", "* * * *", "2026-03-08T02:30:00Z"} {
		f.Add(s, "America/New_York", int64(1_772_900_000))
	}
	f.Fuzz(func(t *testing.T, text, zone string, unix int64) {
		now := time.Unix(unix%(1<<33), 0)
		w, err := schedule.Parse(text, zone)
		if err != nil {
			if !errors.Is(err, host.ErrInvalid) || strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 4000 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if next, ok := w.Next(now, now); ok && !next.After(now) {
			t.Fatalf("%q in %q after %v: %v", text, zone, now, next)
		}
	})
}

// FuzzNext compares with the reference.
func FuzzNext(f *testing.F) {
	f.Add(byte(1), int64(1_772_900_000), byte(30), byte(2), byte(0), byte(0))
	f.Add(byte(5), int64(1_325_100_000), byte(0), byte(9), byte(0), byte(0))
	f.Fuzz(func(t *testing.T, zone byte, unix int64, minute, hour, day, weekday byte) {
		one := func(b byte, min, max int) string { // 0 is any
			return append([]string{"*"}, slices.Collect(func(yield func(string) bool) {
				for n := min; n <= max && yield(strconv.Itoa(n)); n++ {
				}
			})...)[int(b)%(max-min+2)]
		}
		text := strings.Join([]string{one(minute, 0, 59), one(hour, 0, 23), one(day, 1, 28), "*", one(weekday, 0, 7)}, " ")
		start := time.Unix(157_766_400+(unix&(1<<62-1))%2_000_000_000, 0)
		compare(t, text, zones[int(zone)%len(zones)], start, 2)
	})
}
