package main

import (
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
)

// parseDate reads the dates of feeds: RFC 822 and 3339, and what people make of them. It
// goes by the kinds of words and not by layouts, of which there would be dozens; 0 when
// there is no day in s.
func parseDate(s string) int64 {
	if len(s) > 60 {
		return 0
	}
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) > 10 && s[4] == '-' && (s[10] == 't' || s[10] == '_') {
		s = s[:10] + " " + s[11:]
	}
	var d date
	isBetween := func(r rune) bool { return r == ' ' || r == ',' || r == '(' || r == ')' }
	for _, word := range strings.FieldsFunc(s, isBetween) {
		d.word(word)
	}
	if d.month == 0 || d.day < 1 || d.day > 31 || d.year == 0 {
		return 0
	}
	days := clock.Date{Year: d.year, Month: d.month, Day: d.day}.Days()
	return int64(days*clock.Day + d.hour*clock.Hour + d.minute*clock.Minute + d.second - d.offset)
}

type date struct {
	year, month, day     int
	hour, minute, second int
	timed                bool
	offset               int // seconds
}

const months = " jan feb mar apr may jun jul aug sep oct nov dec"

// zones are those of RFC 822 and a few more, with their hours.
const zones = " gmt+0 utc+0 z+0 ut+0 est-5 edt-4 cst-6 cdt-5 mst-7 mdt-6 pst-8 pdt-7 cet+1 cest+2 bst+1 eet+2 jst+9 "

func (d *date) word(w string) {
	digits := len(w) - len(strings.TrimLeft(w, "0123456789"))
	switch {
	case digits == 4 && len(w) >= 10 && w[4] == '-':
		d.year, d.month, d.day = atoi(w[:4]), atoi(w[5:7]), atoi(w[8:10])
		if d.month < 1 || d.month > 12 || w[7] != '-' {
			d.month = 0
		}
	case strings.Contains(w, ":") && digits > 0 && !d.timed:
		d.clock(w)
	case w[0] == '+' || w[0] == '-':
		d.zone(w)
	case digits == len(w) && len(w) <= 2 && d.day == 0:
		d.day = atoi(w)
	case digits == len(w) && len(w) == 4:
		d.year = atoi(w)
	case digits == len(w) && len(w) == 2 && d.year == 0:
		d.year = 1900 + atoi(w)
		if d.year < 1970 {
			d.year += 100
		}
	case w == "pm" && d.hour < 12:
		d.hour += 12
	case w == "am" && d.hour == 12:
		d.hour = 0
	case len(w) >= 3 && d.month == 0 && strings.Contains(months, " "+w[:3]):
		d.month = strings.Index(months, " "+w[:3])/4 + 1
	default:
		if _, after, ok := strings.Cut(zones, " "+w+"+"); ok {
			d.offset = atoi(after[:1]) * clock.Hour
		} else if _, after, ok := strings.Cut(zones, " "+w+"-"); ok {
			d.offset = -atoi(after[:1]) * clock.Hour
		}
	}
}

// clock reads 15:04:05.999+01:00 and its beginnings.
func (d *date) clock(w string) {
	end := strings.IndexAny(w, "+-z")
	if end < 0 {
		end = len(w)
	}
	w, zone := w[:end], w[end:]
	w, _, _ = strings.Cut(w, ".")
	parts := strings.SplitN(w, ":", 4)
	if len(parts) < 2 {
		return
	}
	h, m := atoi(parts[0]), atoi(parts[1])
	sec := 0
	if len(parts) > 2 {
		sec = atoi(parts[2])
	}
	if h > 24 || m > 59 || sec > 60 {
		return
	}
	d.hour, d.minute, d.second, d.timed = h, m, sec, true
	d.zone(zone)
}

// zone reads +0100 and -01:00.
func (d *date) zone(w string) {
	digits := strings.ReplaceAll(w, ":", "")
	if len(digits) != 5 {
		return
	}
	offset := atoi(digits[1:3])*clock.Hour + atoi(digits[3:])*clock.Minute
	if offset > 15*clock.Hour {
		return
	}
	if digits[0] == '-' {
		offset = -offset
	}
	d.offset = offset
}

// atoi is 0 for what is no number.
func atoi(s string) int {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}
