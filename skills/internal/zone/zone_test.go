package zone

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the database that the table is checked against
)

var winter = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// Every zone of the table agrees with the database from now on for a year.
func TestTableAgreesWithDatabase(t *testing.T) {
	n := 0
	for line := range strings.Lines(zones) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		for _, name := range fields[1:] {
			want, err := time.LoadLocation(name)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := Ruled(name, fields[0])
			if name == "Africa/Casablanca" || name == "Africa/El_Aaiun" {
				continue // Ramadan is not a rule; SKILL.md says so
			}
			for day := range 366 {
				at := winter.AddDate(0, 0, day)
				if g, w := at.In(got).Format(time.RFC3339), at.In(want).Format(time.RFC3339); g != w {
					t.Errorf("%s: %s, want %s", name, g, w)
					break
				}
			}
			n++
		}
	}
	if n < 500 {
		t.Errorf("the table has %d zones only", n)
	}
}

func TestEveryPlaceIsFound(t *testing.T) {
	for line := range strings.Lines(places) {
		zone, names, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		for _, name := range strings.Split(names, ",") {
			if l, err := Of(name); err != nil || l.String() != zone {
				t.Errorf("%s: %v, %v, want %s", name, l, err, zone)
			}
			if fold(name) != name {
				t.Errorf("%s is not folded", name)
			}
		}
	}
}
