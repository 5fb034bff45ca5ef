package day

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 24, 22, 30, 0, 0, berlin) // a Tuesday
	for in, want := range map[string]string{
		"today": "2026-11-24", "Tomorrow": "2026-11-25", "friday": "2026-11-27", "next Fri": "2026-11-27", "tuesday": "2026-12-01",
		"on 2026-05-03": "2026-05-03", "in 3 days": "2026-11-27", "in 1 week": "2026-12-01",
		"2026-05-03 15:00": "2026-05-03 15:00", "2026-05-03T15:00": "2026-05-03 15:00", "2026-05-03T15:00:00": "2026-05-03 15:00",
		"2026-05-03T15:00:00Z": "2026-05-03 16:00", "2026-05-03T15:00+02:00": "2026-05-03 14:00",
		"tomorrow at 3pm": "2026-11-25 15:00", "friday, 3:30 pm": "2026-11-27 15:30", "today noon": "2026-11-24 12:00",
		"today 9:05": "2026-11-24 09:05", "today 12am": "2026-11-24 00:00", "today 12:10pm": "2026-11-24 12:10",
		"2026-05-03T23:30:00.5-02:30": "2026-05-04 03:00", "2026-05-03T9:00:00+01:00": "2026-05-03 09:00",
		"today 13pm": "", "today 15": "", "today 15:0": "", "today 24:00": "", "today 3:00:00pm": "", "today 1pmam": "",
		"2026-05-03T15:00+2:00": "", "2026-05-03T15:00z1": "", "today 10:60": "", "today +1:00": "", "2026-02-30T10:00z": "",
		"today pm": "", "today 0pm": "2026-11-24 12:00", "today 1:2:3:4": "",
		"": "", "soon": "", "2026-02-30": "", "in x days": "", "in 3 moons": "", "in": "", "tomorrow 25:00": "", "on": "",
		"in 99999999999 days": "", "2026-05-03T": "2026-05-03", strings.Repeat("x", 9999): "",
	} {
		got, timed, err := Parse(in, now)
		text := ""
		if err == nil {
			text = got.Format("2006-01-02")
			if timed {
				text = got.Format("2006-01-02 15:04")
			}
		} else if len(err.Error()) > 200 {
			t.Errorf("a long error: %v", err)
		}
		if text != want {
			t.Errorf("%.40s: got %q, %v, want %q", in, text, err, want)
		}
	}
}
