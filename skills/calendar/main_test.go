package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
)

func ok(t *testing.T, h *sdktest.Host, tool string, args any) string {
	t.Helper()
	r := h.Call(tool, args)
	if r.IsError {
		t.Fatalf("%s: %s", tool, r.Text())
	}
	return r.Text()
}

func berlin(t *testing.T) *sdktest.Host {
	h := sdktest.New(t)
	h.Timezone = "Europe/Berlin"
	return h
}

func put(t *testing.T, h *sdktest.Host, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(h.Workspace(), dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Workspace(), dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ics is a calendar of events, each a few lines.
func ics(events ...string) string {
	s := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n"
	for _, e := range events {
		s += "BEGIN:VEVENT\r\n" + strings.ReplaceAll(e, "\n", "\r\n") + "\r\nEND:VEVENT\r\n"
	}
	return s + "END:VCALENDAR\r\n"
}

func TestKindsOfEvents(t *testing.T) {
	const outlook = "BEGIN:VTIMEZONE\nTZID:W. Europe Standard Time\nBEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n" +
		"RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\nBEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0100\n" +
		"TZOFFSETTO:+0200\nRRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\nEND:VTIMEZONE\n"
	for name, c := range map[string]struct{ ics, from, want string }{
		"UTC":         {ics("DTSTART:20260701T120000Z\nDTEND:20260701T130000Z\nSUMMARY:A"), "2026-07-01", "- 14:00–15:00 A"},
		"floating":    {ics("DTSTART:20260701T120000\nSUMMARY:A"), "2026-07-01", "- 12:00 A"},
		"other zone":  {ics("DTSTART;TZID=America/New_York:20260701T180000\nDURATION:PT1H30M\nSUMMARY:A"), "2026-07-02", "- 00:00–01:30 A"},
		"quoted zone": {ics("DTSTART;X=\"a;b:c\";TZID=\"Asia/Tokyo\":20260701T180000\nSUMMARY:A"), "2026-07-01", "- 11:00 A"},
		"Mozilla's":   {ics("DTSTART;TZID=/mozilla.org/2007_1/Asia/Tokyo:20260701T180000\nSUMMARY:A"), "2026-07-01", "- 11:00 A"},
		"Outlook's": {
			strings.Replace(ics("DTSTART;TZID=W. Europe Standard Time:20260701T180000\nSUMMARY:A"), "BEGIN:VEVENT", outlook+"BEGIN:VEVENT", 1),
			"2026-07-01", "- 18:00 A",
		},
		"unknown zone":  {ics("DTSTART;TZID=Mars:20260701T180000\nSUMMARY:A"), "2026-07-01", "- 18:00 A [x]\n\nNote: x: its time zone \"Mars\" is not known: its times are taken for yours."},
		"all day":       {ics("DTSTART;VALUE=DATE:20260701\nSUMMARY:A"), "2026-07-01", "- all day: A"},
		"not the next":  {ics("DTSTART;VALUE=DATE:20260701\nSUMMARY:A"), "2026-07-02", ""},
		"several days":  {ics("DTSTART;VALUE=DATE:20260630\nDTEND;VALUE=DATE:20260703\nSUMMARY:A"), "2026-07-02", "- all day, Tue 30 Jun to Thu 2 Jul: A"},
		"over midnight": {ics("DTSTART:20260630T200000Z\nDURATION:P1D\nSUMMARY:A"), "2026-07-01", "- Tue 30 Jun 22:00 to Wed 1 Jul 22:00 A"},
		"weekly, summer time ends": {
			ics("DTSTART;TZID=Europe/Berlin:20261005T090000\nRRULE:FREQ=WEEKLY\nSUMMARY:A"), "2026-10-26", "- 09:00 A",
		},
		"weekly of New York": {
			ics("DTSTART;TZID=America/New_York:20261005T090000\nRRULE:FREQ=WEEKLY\nSUMMARY:A"), "2026-10-26", "- 14:00 A",
		},
		"until a day":          {ics("DTSTART:20260701T120000\nRRULE:FREQ=DAILY;UNTIL=20260702\nSUMMARY:A"), "2026-07-02", "- 12:00 A"},
		"until a day, over":    {ics("DTSTART:20260701T120000\nRRULE:FREQ=DAILY;UNTIL=20260702\nSUMMARY:A"), "2026-07-03", ""},
		"until an instant":     {ics("DTSTART;TZID=Europe/Berlin:20260701T120000\nRRULE:FREQ=DAILY;UNTIL=20260702T100000Z\nSUMMARY:A"), "2026-07-02", "- 12:00 A"},
		"until before it":      {ics("DTSTART;TZID=Europe/Berlin:20260701T120000\nRRULE:FREQ=DAILY;UNTIL=20260702T095959Z\nSUMMARY:A"), "2026-07-02", ""},
		"all day, yearly":      {ics("DTSTART;VALUE=DATE:19800701\nRRULE:FREQ=YEARLY\nSUMMARY:A"), "2026-07-01", "- all day: A"},
		"exception":            {ics("DTSTART;TZID=Europe/Berlin:20260701T120000\nRRULE:FREQ=DAILY\nEXDATE:20260702T100000Z,20260703T100000Z\nSUMMARY:A"), "2026-07-02", ""},
		"exception, whole day": {ics("DTSTART;VALUE=DATE:20260701\nRRULE:FREQ=DAILY\nEXDATE;VALUE=DATE:20260702\nSUMMARY:A"), "2026-07-02", ""},
		"also":                 {ics("DTSTART:20260701T120000\nRDATE:20260705T130000\nSUMMARY:A"), "2026-07-05", "- 13:00 A"},
		"override": {
			ics("UID:u\nDTSTART:20260701T120000\nRRULE:FREQ=DAILY\nSUMMARY:A", "UID:u\nRECURRENCE-ID:20260702T120000\nDTSTART:20260702T150000\nSUMMARY:B"),
			"2026-07-02", "- 15:00 B",
		},
		"cancelled once": {
			ics("UID:u\nDTSTART:20260701T120000\nRRULE:FREQ=DAILY\nSUMMARY:A", "UID:u\nRECURRENCE-ID:20260702T120000\nDTSTART:20260702T120000\nSTATUS:CANCELLED"),
			"2026-07-02", "",
		},
		"cancelled":    {ics("DTSTART:20260701T120000\nSTATUS:CANCELLED\nSUMMARY:A"), "2026-07-01", ""},
		"alarm":        {ics("DTSTART:20260701T120000\nBEGIN:VALARM\nSUMMARY:no\nDTSTART:20200101T000000\nEND:VALARM\nSUMMARY:A"), "2026-07-01", "- 12:00 A"},
		"folded":       {ics("DTSTART:20260701T120000\nSUMMARY:A lo\n ng one\\, with\\nsigns\\; \\\\\nLOCATION:\tHere "), "2026-07-01", `- 12:00 A long one, with signs; \ (Here)`},
		"odd rule":     {ics("DTSTART:20260701T120000\nRRULE:FREQ=HOURLY\nSUMMARY:A"), "2026-07-01", "- 12:00 A [x]\n\nNote: x: 1 events repeat by rules that are not known and are shown once."},
		"no title":     {ics("DTSTART:20260701T120000"), "2026-07-01", "- 12:00 (no title)"},
		"no date":      {ics("SUMMARY:A", "DTSTART:x\nSUMMARY:B"), "2026-07-01", "\n\nNote: x: 2 of its events have no date that can be read."},
		"no calendar":  {"<html>", "2026-07-01", "\n\nNote: x: it is no calendar in the format iCalendar."},
		"bare newline": {strings.ReplaceAll(ics("DTSTART:20260701T120000\nSUMMARY:A"), "\r", ""), "2026-07-01", "- 12:00 A"},
		"Latin-1":      {ics("DTSTART:20260701T120000\nSUMMARY:Caf\xe9"), "2026-07-01", "- 12:00 Café"},
	} {
		t.Run(name, func(t *testing.T) {
			h := berlin(t)
			put(t, h, "x.ics", c.ics)
			got := ok(t, h, "agenda", agendaInput{From: c.from})
			day, _ := time.Parse("2006-01-02", c.from)
			want := day.Format("Monday, 2 January 2006") + "\n" + c.want + " [x]"
			if c.want == "" || c.want[0] == '\n' {
				want = "Nothing is planned on " + day.Format("Monday, 2 January 2006") + "." + c.want
			} else if strings.Contains(c.want, "[x]") {
				want = strings.TrimSuffix(want, " [x]")
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestAgendaIsInOrder(t *testing.T) {
	h := berlin(t)
	put(t, h, "b.ics", ics("DTSTART:20260702T120000\nSUMMARY:two", "DTSTART:20260701T130000\nSUMMARY:one"))
	put(t, h, "a.ics", ics("DTSTART;VALUE=DATE:20260702\nSUMMARY:whole", "DTSTART:20260702T080000\nRRULE:FREQ=DAILY\nSUMMARY:early"))
	want := "Wednesday, 1 July 2026\n- 13:00 one [b]\n\nThursday, 2 July 2026\n- all day: whole [a]\n- 08:00 early [a]\n- 12:00 two [b]\n\n" +
		"Friday, 3 July 2026\n- 08:00 early [a]"
	if got := ok(t, h, "agenda", agendaInput{From: "2026-07-01", Days: 3}); got != want {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "agenda", nil); !strings.Contains(got, "- 08:00 early [a]") {
		t.Errorf("from today: %q", got)
	}
}

func TestAdd(t *testing.T) {
	h := berlin(t)
	for _, c := range []struct {
		in   addInput
		want string
	}{
		{addInput{Title: "Dentist, \"Dr. No\"; 1\nfloor", Start: "2026-07-01 15:00", Duration: "90m", Location: "Main St. 5"}, `Added: Wednesday, 1 July 2026, 15:00–16:30 Dentist, "Dr. No"; 1 floor (Main St. 5)`},
		{addInput{Title: "Lunch", Start: "2026-07-02T12:00", End: "13:30"}, "Added: Thursday, 2 July 2026, 12:00–13:30 Lunch"},
		{addInput{Title: "Fair", Start: "2026-07-03", End: "2026-07-05"}, "Added: Friday, 3 July 2026, all day, Fri 3 Jul to Sun 5 Jul: Fair"},
		{addInput{Title: "Gym", Start: "2026-07-06 07:00", Repeat: "FREQ=WEEKLY;BYDAY=MO,TH"}, "Added: Monday, 6 July 2026, 07:00–08:00 Gym, repeats FREQ=WEEKLY;BYDAY=MO,TH"},
		{addInput{Title: "Ann", Start: "2026-07-07", Repeat: "yearly"}, "Added: Tuesday, 7 July 2026, all day: Ann, repeats FREQ=YEARLY"},
	} {
		for range 2 { // the turn is run again
			if got := ok(t, h, "add", c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		}
	}
	want := "Wednesday, 1 July 2026\n- 15:00–16:30 Dentist, \"Dr. No\"; 1 floor (Main St. 5)\n\nThursday, 2 July 2026\n- 12:00–13:30 Lunch\n\n" +
		"Friday, 3 July 2026\n- all day, Fri 3 Jul to Sun 5 Jul: Fair\n\nMonday, 6 July 2026\n- 07:00–08:00 Gym\n\nTuesday, 7 July 2026\n" +
		"- all day: Ann\n\nThursday, 9 July 2026\n- 07:00–08:00 Gym"
	if got := ok(t, h, "agenda", agendaInput{From: "2026-07-01", Days: 10}); got != want {
		t.Errorf("agenda: %q", got)
	}
	file, err := os.ReadFile(filepath.Join(h.Workspace(), own))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"DTSTART;TZID=Europe/Berlin:20260701T150000\r\n", "DTSTART;VALUE=DATE:20260703\r\nDTEND;VALUE=DATE:20260706\r\n",
		`SUMMARY:Dentist\, "Dr. No"\; 1\nfloor` + "\r\n",
	} {
		if !strings.Contains(string(file), want) {
			t.Errorf("the file lacks %q: %s", want, file)
		}
	}
	h.Turn = "t2"
	ok(t, h, "add", addInput{Title: "Lunch", Start: "2026-07-02T12:00", End: "13:30"})
	if file, _ = os.ReadFile(filepath.Join(h.Workspace(), own)); strings.Count(string(file), "SUMMARY:Lunch") != 2 {
		t.Error("another turn added nothing")
	}
	for line := range strings.Lines(string(file)) {
		if len(line) > 77 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func TestRefusals(t *testing.T) {
	h := berlin(t)
	put(t, h, "calendar.ics", "my notes")
	for _, c := range []struct {
		tool string
		args any
		want string
	}{
		{"add", addInput{Start: "today"}, "no title"},
		{"add", addInput{Title: "x"}, "cannot read the day"},
		{"add", addInput{Title: strings.Repeat("x", 999), Start: "today"}, "longer than 300 bytes"},
		{"add", addInput{Title: "x", Start: "today 15:00", End: "14:00"}, "ends before it begins"},
		{"add", addInput{Title: "x", Start: "today 15:00", End: "tomorrow"}, "both have a time"},
		{"add", addInput{Title: "x", Start: "today 15:00", Duration: "long"}, "the duration \"long\" is none"},
		{"add", addInput{Title: "x", Start: "today 15:00", Duration: "P9999D"}, "longer than a year"},
		{"add", addInput{Title: "x", Start: "today 15:00", Repeat: "hourly"}, "cannot be read"},
		{"add", addInput{Title: "x", Start: "today 15:00", Repeat: "FREQ=DAILY;UNTIL=20260101\nATTENDEE:y"}, "cannot be read"},
		{"add", addInput{Title: "x", Start: "today"}, "is no calendar"},
		{"agenda", agendaInput{From: "soon"}, "cannot read the day"},
		{"search", searchInput{" "}, "no word"},
		{"subscribe", subscribeInput{URL: "ftp://x"}, "only http and https"},
		{"subscribe", subscribeInput{URL: "https://x/", Name: "work"}, "http is not granted"},
	} {
		if r := h.Call(c.tool, c.args); !r.IsError || !strings.Contains(r.Text(), c.want) {
			t.Errorf("%s %.80v: %+v", c.tool, c.args, r)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	h := berlin(t)
	body, status := ics("DTSTART:20260701T120000Z\nSUMMARY:Review"), 200
	h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
		if strings.Contains(r.URL, "broken") {
			return &sdk.Response{Status: 200, URL: r.URL, Body: []byte("<html>")}, nil
		}
		return &sdk.Response{Status: status, URL: r.URL, Body: []byte(body)}, nil
	}
	put(t, h, "mine.ics", ics("DTSTART:20260701T080000\nSUMMARY:Mine"))
	if got := ok(t, h, "subscribe", subscribeInput{"webcal://cal.example.com/x.ics", "My Work!"}); got != "Subscribed to my-work: 1 events." {
		t.Errorf("got %q", got)
	}
	ok(t, h, "subscribe", subscribeInput{"https://cal.example.com/y.ics", "my work"}) // another address in its place
	if r := h.Call("subscribe", subscribeInput{"https://broken.example.com/", ""}); !r.IsError || r.Text() != "what its server answers is no calendar" {
		t.Errorf("got %+v", r)
	}
	want := "Wednesday, 1 July 2026\n- 08:00 Mine [mine]\n- 14:00 Review [my-work]"
	if got := ok(t, h, "agenda", agendaInput{From: "2026-07-01"}); got != want {
		t.Errorf("got %q", got)
	}
	status = 503
	if got := ok(t, h, "agenda", agendaInput{From: "2026-07-01"}); got != want+
		"\n\nNote: my-work: https://cal.example.com/y.ics answered with status 503; its last copy is shown." {
		t.Errorf("got %q", got)
	}
	ok(t, h, "unsubscribe", unsubscribeInput{"my work"})
	if got := ok(t, h, "agenda", agendaInput{From: "2026-07-01"}); strings.Contains(got, "Review") {
		t.Errorf("got %q", got)
	}
}

func TestSearch(t *testing.T) {
	h := berlin(t)
	today := time.Now()
	put(t, h, "x.ics", ics(
		"DTSTART:"+today.AddDate(0, 0, -3).Format("20060102T150405Z")+"\nSUMMARY:Old dentist",
		"DTSTART:"+today.AddDate(0, 0, 3).Format("20060102T150405Z")+"\nSUMMARY:Dentist\nDESCRIPTION:bring the x-ray",
		"DTSTART:20200101T120000\nRRULE:FREQ=DAILY\nSUMMARY:Tea"))
	if got := ok(t, h, "search", searchInput{"DENTIST x-ray"}); !strings.Contains(got, today.AddDate(0, 0, 3).Format("2 January")) {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "search", searchInput{"dentist"}); strings.Contains(got, "Old") {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "search", searchInput{"old"}); !strings.HasPrefix(got, "Past:") {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "search", searchInput{"tea"}); strings.Count(got, "Tea") != maxHits || !strings.Contains(got, "more within a year") {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "search", searchInput{"coffee"}); got != `No event of the last or the next year has "coffee".` {
		t.Errorf("got %q", got)
	}
}

// Calendars made to take long, or much, end.
func TestHostileCalendars(t *testing.T) {
	h := berlin(t)
	for name, text := range map[string]string{
		"rules":     ics(strings.Repeat("DTSTART:00010101T000000\nRRULE:FREQ=DAILY;COUNT=1000000\nEND:VEVENT\nBEGIN:VEVENT\n", 5000)),
		"dense":     ics(strings.Repeat("DTSTART:20200101T000000\nRRULE:FREQ=DAILY\nEND:VEVENT\nBEGIN:VEVENT\n", 5000)),
		"dates":     ics("DTSTART:20260101T000000\n" + strings.Repeat("RDATE:"+strings.Repeat("20260701T000000,", 100)+"\n", 500)),
		"folds":     "BEGIN:VCALENDAR\nSUMMARY:" + strings.Repeat("\n x", 1<<20),
		"begins":    "BEGIN:VCALENDAR\n" + strings.Repeat("BEGIN:VEVENT\n", 200_000),
		"zones":     strings.Repeat("BEGIN:VTIMEZONE\nTZID:x\n", 100_000),
		"names":     ics(strings.Repeat("DTSTART;TZID=a/b/c"+strings.Repeat("x", 30)+":20260701T000000\n", 20_000)),
		"durations": ics("DTSTART:20260101T000000\nDURATION:P1048575W\nRRULE:FREQ=DAILY"),
	} {
		put(t, h, "x.ics", text[:min(len(text), maxICS)])
		start := time.Now()
		got := ok(t, h, "agenda", agendaInput{From: "2026-07-01", Days: 400})
		if d := time.Since(start); d > 20*time.Second || len(got) > 64<<10 {
			t.Errorf("%s: %v, %d bytes", name, d, len(got))
		}
	}
}

func FuzzICS(f *testing.F) {
	f.Add(ics("UID:u\nDTSTART;TZID=Europe/Berlin:20260701T120000\nRRULE:FREQ=MONTHLY;BYDAY=-1SU;COUNT=3\nEXDATE:20260701\nDURATION:P1DT2H\nSUMMARY:a\\nb"))
	f.Add(ics("RECURRENCE-ID:20260701T120000Z\nDTSTART;VALUE=DATE:20260701\nRDATE;VALUE=PERIOD:20260701T120000Z/PT1H"))
	f.Add("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:x\nBEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETTO:+0100\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD")
	f.Fuzz(func(t *testing.T, text string) {
		s := window(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC), 30, func(*event) bool { return true })
		s.text("x", []byte(text))
		found := s.sorted()
		for i, o := range found {
			if o.start.After(s.to) || o.end.Before(s.from) || i > 0 && s.dayIn(o) < s.dayIn(found[i-1]) {
				t.Errorf("%q: %v to %v", text, o.start, o.end)
			}
		}
		s.finish(s.show(found))
	})
}

// What add writes, whatever is in it, is one event that says the same when it is read.
func FuzzAdd(f *testing.F) {
	f.Add("title", "place", "notes\r\nEND:VEVENT")
	f.Add(strings.Repeat("é", 80), "\\n", ";,\x00")
	f.Fuzz(func(t *testing.T, title, place, notes string) {
		start := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
		in := event{uid: "u", start: start, end: start.Add(time.Hour), title: title, place: place, notes: notes}
		r := reader{own: time.UTC}
		got := r.read("BEGIN:VCALENDAR\r\n" + in.source() + "END:VCALENDAR\r\n")
		if len(got) != 1 || len(title)+len(place)+len(notes) < 1000 && escape(got[0].title) != escape(title) || !got[0].end.Equal(in.end) {
			t.Errorf("%q became %+v", in.source(), got)
		}
	})
}

func TestTimesOfCalendars(t *testing.T) {
	for _, v := range []string{
		"20261124", "20261124T090000", "20261124T090000Z", "20261124t235959z", "20260229", "20261301", "20261124T240000",
		"20261124T096000", "20261124T090060", "20261124X090000", "20261124Z", "2026112", "", "00000101", "20261124T0900000",
		"2026-1124", "2026112409000000", "20261124T+90000",
	} {
		want := time.Time{}
		for _, layout := range []string{"20060102", "20060102T150405", "20060102T150405Z"} {
			if at, err := time.Parse(layout, strings.ToUpper(v)); err == nil && at.Year() > 0 {
				want = at
			}
		}
		r := &reader{own: time.UTC}
		if got, isDate := r.time(property{}, v); !got.Equal(want) || isDate != (len(v) == 8 && !want.IsZero()) {
			t.Errorf("%q: %v, %v, want %v", v, got, isDate, want)
		}
	}
}
