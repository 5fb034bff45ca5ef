// Package zone is time zones for skills: a table of their present rules (zones.go, 10 KB)
// and not package time/tzdata, which would add 450 KB for the history that nobody asks
// for. Times of the past are told by the rules of today.
package zone

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

//go:generate go run gen.go

// accented and plain are letters and what the tables write for them.
const (
	accented = "ãáàâäåéèêëíîóòôõöøúüçñłś_"
	plain    = "aaaaaaeeeeiioooooouucnls "
)

// fold is s in the spelling of the tables: lower case, no accents, no dots and quotes.
func fold(s string) string {
	var b []byte
	for _, r := range strings.ToLower(strings.TrimSpace(s)) {
		at := 0
		for _, a := range accented {
			if a == r {
				r = rune(plain[at])
				break
			}
			at++
		}
		if r != '.' && r != '\'' && r != '’' {
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// Of finds the zone of place: a city, country, abbreviation, zone or offset.
func Of(place string) (*time.Location, error) {
	name := fold(strings.TrimRight(place, " ?!.,"))
	for _, end := range []string{" right now", " now", " today", " please", " at the moment", " currently"} {
		name = strings.TrimSuffix(name, end)
	}
	name = strings.TrimPrefix(name, "the ")
	if l := offset(name); l != nil {
		return l, nil
	}
	first, _, _ := strings.Cut(name, ",") // Paris, France
	for _, n := range []string{name, strings.TrimSpace(first), "the " + name} {
		if l := Named(n); l != nil {
			return l, nil
		}
	}
	return nil, errors.New("no city or time zone called " + strconv.Quote(place) +
		" is known; try a larger city in the same zone, or an IANA name such as Europe/Berlin")
}

// Now is the present in the zone called name, the owner's in most cases; UTC when it is not known.
func Now(name string) time.Time {
	in := Named(name)
	if in == nil {
		in = time.UTC
	}
	return time.Now().In(in)
}

// Named looks a name up: as a place, as a zone, as the last part of a zone.
func Named(name string) *time.Location {
	name = fold(name)
	if name == "" {
		return nil
	}
	for line := range strings.Lines(places) {
		zone, names, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		for n := range strings.SplitSeq(names, ",") {
			if n == name && names != "" {
				return zoneNamed(func(z string) bool { return z == zone })
			}
		}
	}
	if l := zoneNamed(func(z string) bool { return fold(z) == name }); l != nil {
		return l
	}
	return zoneNamed(func(z string) bool { return fold(z[strings.LastIndexByte(z, '/')+1:]) == name })
}

// zoneNamed returns the first zone of the table that matches.
func zoneNamed(match func(string) bool) *time.Location {
	for line := range strings.Lines(zones) {
		rule, names, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		for z := range strings.SplitSeq(names, " ") {
			if names != "" && match(z) {
				return Ruled(z, rule)
			}
		}
	}
	return nil
}

// Ruled makes a location of a POSIX rule, nil when it is none. Package time reads such rules only at the
// end of a zone file, so it is given the shortest file there is: two headers, each
// with one type and no transition, and the rule.
func Ruled(name, rule string) *time.Location {
	header := "TZif2" + strings.Repeat("\x00", 15+4*4) + "\x00\x00\x00\x01" + "\x00\x00\x00\x01"
	block := header + "\x00\x00\x00\x00\x00\x00" + "\x00" // offset 0, no summer time, abbreviation ""
	l, err := time.LoadLocationFromTZData(name, []byte(block+block+"\n"+rule+"\n"))
	if err != nil {
		return nil
	}
	return l
}

// offset reads "utc", "gmt+2", "utc-3:30" and "+05:30"; anything else is nil.
func offset(s string) *time.Location {
	s = strings.ReplaceAll(s, " ", "")
	rest := strings.TrimPrefix(strings.TrimPrefix(s, "utc"), "gmt")
	if rest == "" && s != "" || s == "z" || s == "zulu" {
		return time.UTC
	}
	if rest == "" || rest[0] != '+' && rest[0] != '-' {
		return nil
	}
	h, m, _ := strings.Cut(rest[1:], ":")
	if len(h) == 4 {
		h, m = h[:2], h[2:]
	}
	hours, err := strconv.ParseUint(h, 10, 8)
	if err != nil || hours > 14 {
		return nil
	}
	minutes := uint64(0)
	if m != "" {
		if minutes, err = strconv.ParseUint(m, 10, 8); err != nil || minutes > 59 {
			return nil
		}
	}
	seconds := int(hours*3600 + minutes*60)
	if rest[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone(OffsetName(seconds), seconds)
}

// OffsetName is "UTC+05:30".
func OffsetName(seconds int) string {
	sign := "+"
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	two := func(n int) string { return strconv.Itoa(100 + n)[1:] }
	return "UTC" + sign + two(seconds/3600) + ":" + two(seconds/60%60)
}
