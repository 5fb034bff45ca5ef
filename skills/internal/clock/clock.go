// Package clock is the time of day, a pause and the calendar in UTC for skills that need no
// more: package time adds 0.25 MB to a module, even for one call, and this next to nothing.
//
// It must never know a time zone: skills that need one have packages time and zone.
package clock

import (
	"strconv"
	"strings"
	"syscall"
)

// Lengths of time in seconds.
const (
	Minute = 60
	Hour   = 60 * Minute
	Day    = 24 * Hour
)

// Now is how many seconds have passed since the beginning of 1970.
func Now() int64 {
	var tv syscall.Timeval
	_ = syscall.Gettimeofday(&tv) // fails for a bad pointer only
	return int64(tv.Sec)
}

// Date is a day of the Gregorian calendar.
type Date struct{ Year, Month, Day int }

// At is the day of a time that Now tells.
func At(seconds int64) Date { return Of(floor(int(seconds), Day)) }

// ParseDate reads a day of the calendar that is written like 2026-11-24.
func ParseDate(s string) (d Date, ok bool) {
	if len(s) != len("2026-11-24") || s[4] != '-' || s[7] != '-' {
		return d, false
	}
	for _, part := range []struct {
		to   *int
		text string
	}{{&d.Year, s[:4]}, {&d.Month, s[5:7]}, {&d.Day, s[8:]}} {
		n, err := strconv.ParseUint(part.text, 10, 16)
		if err != nil {
			return d, false
		}
		*part.to = int(n)
	}
	return d, d.Month >= 1 && d.Month <= 12 && Of(d.Days()) == d
}

// Days is how many days d is after the first of 1970. A day that its month does not have
// counts on into the next.
func (d Date) Days() int {
	y, m := d.Year, d.Month-3 // a year that begins in March has its leap day at the end
	if m < 0 {
		y, m = y-1, m+12
	}
	return y*365 + floor(y, 4) - floor(y, 100) + floor(y, 400) + (153*m+2)/5 + d.Day - 719469
}

// Of is the day that is so many after the first of 1970.
func Of(days int) Date {
	// The first guess is a day off at most once in a few centuries.
	d := Date{1970 + floor(days*400, 146097), 1, 1}
	for d.Days() > days {
		d.Year--
	}
	for (Date{d.Year + 1, 1, 1}).Days() <= days {
		d.Year++
	}
	for d.Month < 12 && (Date{d.Year, d.Month + 1, 1}).Days() <= days {
		d.Month++
	}
	d.Day += days - d.Days()
	return d
}

// String is d as ParseDate reads it.
func (d Date) String() string {
	pad := func(n, width int) string {
		s := strconv.Itoa(n)
		return strings.Repeat("0", max(0, width-len(s))) + s
	}
	return pad(d.Year, 4) + "-" + pad(d.Month, 2) + "-" + pad(d.Day, 2)
}

// Weekday is "Mon" for a Monday.
func (d Date) Weekday() string {
	n := d.Days() + 3 // the first of 1970 was a Thursday
	n = 3 * (n - 7*floor(n, 7))
	return "MonTueWedThuFriSatSun"[n : n+3]
}

// MonthName is "Jan" for January.
func (d Date) MonthName() string {
	return "JanFebMarAprMayJunJulAugSepOctNovDec"[3*d.Month-3 : 3*d.Month]
}

// floor is n / by, rounded down.
func floor(n, by int) int {
	if n < 0 {
		n -= by - 1
	}
	return n / by
}
