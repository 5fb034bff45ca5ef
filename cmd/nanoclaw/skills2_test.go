package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ids are identities that are another in each run; a README shows one.
var ids = regexp.MustCompile(`\[[0-9a-f]{8}\]`)

// workspace is where the host keeps the files of the one agent of a site.
func (s site) workspace() string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.state, "workspaces", "*"))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("workspaces %v: %v", found, err)
	}
	return found[0]
}

func TestTodoChat(t *testing.T) {
	s := newSite(t, "")
	got := ids.ReplaceAllString(s.transcript(
		"add buy oat milk to my todo list", "add eggs to my shopping list", `/todo_add {"text": "renew the passport", "due": "2020-02-03"}`,
		"show my todo list", "buy oat milk is done", "show my todo list"), "[0c7f21ab]")
	checkReadme(t, "todo", got)
	file, err := os.ReadFile(filepath.Join(s.workspace(), "todo/todo.md"))
	want := "# To do\n\n- [x] buy oat milk\n- [ ] renew the passport (due 2020-02-03)\n\n## shopping\n\n- [ ] eggs\n"
	if text := regexp.MustCompile(` <!-- [0-9a-f]{8} -->`).ReplaceAllString(string(file), ""); err != nil || text != want {
		t.Errorf("the file: %v\n%s", err, text)
	}
}

// TestCalendarChat: main has a calendar of its own, without any network; a role of its own
// follows one elsewhere, and reaches that host alone.
func TestCalendarChat(t *testing.T) {
	s := newSite(t, strings.Replace(installed(t).config(""), `# timezone = "Local"`, `timezone = "Europe/Berlin"`, 1))
	got := s.transcript(
		"add the dentist to my calendar on 2027-03-01 15:00",
		`/calendar_add {"title": "Choir", "start": "2027-03-01 19:30", "duration": "90m", "repeat": "FREQ=WEEKLY;BYDAY=MO"}`,
		"what is planned for 2027-03-01", `/calendar_agenda {"from": "2027-03-22", "days": 10}`)
	if refused := s.chat("subscribe to the calendar https://calendar.example.com/"); !strings.Contains(refused, "denied") {
		t.Errorf("main reached the network: %s", refused)
	}
	w := newFakeWeb(t, map[string]http.Handler{"calendar.example.com": page("text/calendar",
		"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:20270301T100000Z\r\nDTEND:20270301T110000Z\r\nSUMMARY:Review\r\n"+
			"RRULE:FREQ=WEEKLY;UNTIL=20270401T000000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")})
	other := w.site("calendar", `# timezone = "Local"`, `timezone = "Europe/Berlin"`, "[roles.web]\n", `[roles.calendar]
description = "Knows what is planned at work"
skills = ["calendar"]
http = [ { hosts = ["calendar.example.com"] } ]

[roles.web]
`)
	checkReadme(t, "calendar", got+"\n"+other.transcript(
		"subscribe to calendar https://calendar.example.com/private-6f1d/basic.ics as work", "what is planned for 2027-03-29"))
	for _, r := range w.requests() {
		if r.Refused || r.Method != "GET" || r.URL != "calendar.example.com/private-6f1d/basic.ics" {
			t.Errorf("asked: %+v", r)
		}
	}
}

func TestFeedsChat(t *testing.T) {
	const tea = `<rss version="2.0"><channel><title>Tea News</title><item><title>Green tea is back</title>` +
		`<link>https://tea.example.com/green</link><pubDate>Mon, 02 Nov 2026 10:00:00 GMT</pubDate>` +
		`<description>&lt;p&gt;After a &lt;b&gt;dry&lt;/b&gt; summer.&lt;/p&gt;</description></item></channel></rss>`
	const laughs = `<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><rss><channel><title>&b;</title></channel></rss>`
	served := tea
	w := newFakeWeb(t, map[string]http.Handler{
		"tea.example.com": http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { page("application/rss+xml", served)(rw, r) }),
		"bad.example.com": page("application/rss+xml", laughs),
	})
	s := w.site("web")
	got := s.transcript("follow the feed https://tea.example.com/rss", "follow the feed https://bad.example.com/rss",
		"what is new in my feeds", "what is new in my feeds")
	served = "gone"
	checkReadme(t, "feeds", got+"\n"+"you> what is new in my feeds\n"+s.chat("what is new in my feeds"))
}

func TestPDFChat(t *testing.T) {
	s := newSite(t, "")
	s.chat("/calc 1+1") // makes the agent's workspace
	b, err := os.ReadFile("../../skills/pdf/testdata/pdfkit.pdf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.workspace(), "inbox"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.workspace(), "inbox/invoice.pdf"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	got := s.transcript("read the pdf inbox/invoice.pdf", `/pdf {"path": "inbox/invoice.pdf", "from": 2}`)
	checkReadme(t, "pdf", got)
	if refused := s.chat("read the pdf https://x.example.com/a.pdf"); !strings.Contains(refused, "denied") {
		t.Errorf("main reached the network: %s", refused)
	}
}
