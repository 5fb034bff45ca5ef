package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

var winter = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func TestTell(t *testing.T) {
	for place, want := range map[string]string{
		"Tokyo":                    "It is 21:00 on Thursday, 15 January 2026 in Tokyo (Asia/Tokyo, UTC+09:00).",
		"tokyo?":                   "It is 21:00 on Thursday, 15 January 2026 in tokyo (Asia/Tokyo, UTC+09:00).",
		"":                         "It is 13:00 on Thursday, 15 January 2026 (Europe/Berlin, UTC+01:00).",
		"New York":                 "07:00 on Thursday, 15 January 2026 in New York (America/New_York, UTC-05:00)",
		"Kathmandu":                "(Asia/Kathmandu, UTC+05:45)",
		"São Paulo, Brazil":        "(America/Sao_Paulo, UTC-03:00)",
		"the Netherlands":          "(Europe/Amsterdam, UTC+01:00)",
		"the hague":                "(Europe/Amsterdam, UTC+01:00)",
		"San Francisco":            "04:00 on Thursday, 15 January 2026 in San Francisco (America/Los_Angeles, UTC-08:00)",
		"America/St_Johns":         "(America/St_Johns, UTC-03:30)",
		"europe/berlin":            "(Europe/Berlin, UTC+01:00)",
		"UTC":                      "12:00 on Thursday, 15 January 2026 in UTC (UTC, UTC+00:00)",
		"gmt-3":                    "09:00 on Thursday, 15 January 2026 in gmt-3 (UTC-03:00)",
		"UTC+5:30":                 "17:30 on Thursday, 15 January 2026 in UTC+5:30 (UTC+05:30)",
		"+0530":                    "(UTC+05:30)",
		"PST":                      "(America/Los_Angeles, UTC-08:00)",
		"Washington D.C.":          "(America/New_York, UTC-05:00)",
		"Auckland":                 "01:00 on Friday, 16 January 2026 in Auckland (Pacific/Auckland, UTC+13:00)",
		"Kiritimati":               "(Pacific/Kiritimati, UTC+14:00)",
		"Buenos Aires":             "(America/Argentina/Buenos_Aires, UTC-03:00)",
		"Hong Kong":                "(Asia/Hong_Kong, UTC+08:00)",
		"Tokyo right now":          "(Asia/Tokyo, UTC+09:00)",
		"Nowhere":                  `no city or time zone called "Nowhere" is known`,
		"UTC+99":                   "no city or time zone",
		strings.Repeat("x,", 9999): "no city or time zone",
	} {
		o, err := tell(winter, place, "Europe/Berlin")
		got := o.text
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%.30s: got %.200s, want %s", place, got, want)
		}
	}
}

func TestUnknownZoneOfTheUser(t *testing.T) {
	for _, zone := range []string{"", "Local", "Mars/Olympus"} {
		if o, err := tell(winter, "", zone); err != nil || o.Zone != "UTC" {
			t.Errorf("%s: %+v, %v", zone, o, err)
		}
	}
}

func TestTool(t *testing.T) {
	h := sdktest.New(t)
	h.Timezone = "Asia/Tokyo"
	r := h.Call("time", map[string]any{})
	if r.IsError || !strings.Contains(r.Text(), "Asia/Tokyo, UTC+09:00") ||
		!strings.Contains(string(r.StructuredContent), `"offset":"UTC+09:00"`) {
		t.Errorf("got %+v", r)
	}
	if r := h.Call("time", input{"Atlantis"}); !r.IsError {
		t.Errorf("got %+v", r)
	}
}
