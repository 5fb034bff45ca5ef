package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/host/schedule"
)

// TestOriginalTimezones is the original's table of time zones (behaviour.md section 4). want "" = refused;
// where we differ, doc.go says why.
func TestOriginalTimezones(t *testing.T) {
	for _, c := range []struct{ text, zone, want string }{
		{"2026-01-01 12:00", "America/New_York", "2026-01-01T17:00:00Z"},
		{"2026-01-01 12:00", "UTC", "2026-01-01T12:00:00Z"},
		{"2026-01-01 12:00", "Asia/Tokyo", "2026-01-01T03:00:00Z"},
		{"2026-01-01 12:00", "Asia/Jerusalem", "2026-01-01T10:00:00Z"},
		{"2026-01-01 12:00", "EST", "2026-01-01T17:00:00Z"},
		{"2026-01-01 12:00", "EST5EDT", "2026-01-01T17:00:00Z"},
		{"2026-01-01 12:00", "Etc/GMT+5", "2026-01-01T17:00:00Z"},
		{"2026-01-01 12:00", "GMT", "2026-01-01T12:00:00Z"},
		{"2026-01-01 12:00", "Europe/Kyiv", "2026-01-01T10:00:00Z"},
		{"2026-01-01 12:00", "+02:00", ""},
		{"2026-01-01 12:00", "IST-2", ""}, // differs: theirs is UTC
		{"2026-01-01 12:00", "XYZ+3", ""},
		{"2026-01-01 12:00", "NotATimezone", ""},
		{"2026-01-01 12:00", "", ""},
		{"2026-01-01 12:00", "Local", ""},

		{"2026-01-15T09:00:00Z", "America/New_York", "2026-01-15T09:00:00Z"},
		{"2026-01-15T09:00:00.000Z", "America/New_York", "2026-01-15T09:00:00Z"},
		{"2026-01-15T09:00:00+02:00", "America/New_York", "2026-01-15T07:00:00Z"},
		{"2026-06-15T09:00:00", "Asia/Tokyo", "2026-06-15T00:00:00Z"},
		{"2026-01-15T09:00:00", "NotATimezone", ""}, // differs: theirs is UTC
		{"2026-01-15", "Europe/Berlin", "2026-01-14T23:00:00Z"},
		{"2026-03-08T03:30:00", "America/New_York", "2026-03-08T07:30:00Z"}, // differs: theirs is an hour late
		{"2026-02-04 13:30", "America/New_York", "2026-02-04T18:30:00Z"},
		{"2026-06-15 08:00", "America/New_York", "2026-06-15T12:00:00Z"},
		{"not-a-date", "UTC", ""},

		{"2026-04-20 12:00:00", "UTC", "2026-04-20T12:00:00Z"},
		{"2026-04-20T12:00:00", "UTC", "2026-04-20T12:00:00Z"},
		{"2026-04-20T12:00:00.000", "UTC", "2026-04-20T12:00:00Z"},
		{"2026-04-20 12:00:00Z", "Asia/Tokyo", "2026-04-20T12:00:00Z"},
		{"2026-04-20t12:00:00z", "Asia/Tokyo", "2026-04-20T12:00:00Z"},
		{"2026-04-20T14:00:00+0200", "Asia/Tokyo", "2026-04-20T12:00:00Z"},
		{"2026-04-20 07:00:00-05:00", "Asia/Tokyo", "2026-04-20T12:00:00Z"},
	} {
		got := ""
		if w, err := schedule.Parse(c.text, c.zone); err == nil {
			if next, ok := w.Next(time.Unix(0, 0), time.Unix(0, 0)); ok {
				got = next.UTC().Format(time.RFC3339)
			}
		} else if !strings.Contains(err.Error(), "write") {
			t.Errorf("%q in %q: %v: no way out", c.text, c.zone, err)
		}
		if got != c.want {
			t.Errorf("%q in %q is %q, want %q", c.text, c.zone, got, c.want)
		}
	}
}
