package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/webpage"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

// What lies in the directory of the workspace: the calendar that add writes to, others
// that the owner has put there, the list of subscriptions (lines of a name and an address),
// and of each the last copy, which is shown when its server does not answer.
const (
	dir      = "calendar/"
	own      = dir + "calendar.ics"
	subsFile = dir + "subscriptions.txt"
	maxFiles = 20
	maxSubs  = 10
)

type (
	subscribeInput struct {
		URL  string `json:"url"`
		Name string `json:"name"`
	}
	unsubscribeInput struct {
		Name string `json:"name"`
	}
	subscription struct{ name, url string }
)

func (s subscription) copyFile() string { return dir + ".copy-" + s.name + ".ics" }

// calendars looks through all of them. One that fails does not spoil the others: it is
// named in the notes.
func (s *search) calendars(c sdk.Context) error {
	names, err := workfile.List(strings.TrimSuffix(dir, "/"))
	if err != nil {
		return err
	}
	read := 0
	for _, name := range names {
		label, ok := strings.CutSuffix(name, ".ics")
		if !ok || name[0] == '.' {
			continue
		}
		if read++; read > maxFiles {
			s.notes = append(s.notes, "only "+strconv.Itoa(maxFiles)+" calendar files are read")
			break
		}
		if dir+name == own {
			label = ""
		}
		b, err := workfile.Read(dir+name, maxICS)
		if err != nil {
			s.notes = append(s.notes, err.Error())
			continue
		}
		s.text(label, b)
	}
	subs, err := subscriptions()
	if err != nil {
		return err
	}
	for _, sub := range subs {
		b, err := sub.fetch()
		if err != nil {
			old, _ := workfile.Read(sub.copyFile(), maxICS)
			note := sub.name + ": " + err.Error()
			if old != nil {
				note += "; its last copy is shown"
			}
			s.notes = append(s.notes, note)
			b = old
		}
		if b != nil {
			s.text(sub.name, b)
		}
	}
	return nil
}

// text looks through one calendar.
func (s *search) text(label string, b []byte) {
	text, _ := webpage.Decode(b, "")
	r := reader{own: s.from.Location()}
	s.add(label, r.read(text))
	if label == "" {
		label = own
	}
	for _, n := range r.notes {
		s.notes = append(s.notes, label+": "+n)
	}
}

// fetch gets a calendar and keeps a copy.
func (s subscription) fetch() ([]byte, error) {
	r, err := webpage.Get(s.url, "text/calendar, text/*;q=0.5")
	if err != nil {
		return nil, err
	}
	if len(r.Body) > maxICS {
		return nil, errors.New("it has more than " + strconv.Itoa(maxICS) + " bytes")
	}
	if !strings.Contains(strings.ToUpper(string(r.Body[:min(len(r.Body), 2048)])), "BEGIN:VCALENDAR") {
		return nil, errors.New("what its server answers is no calendar")
	}
	_ = workfile.Write(s.copyFile(), r.Body) // without room for a copy it is as good
	return r.Body, nil
}

func subscriptions() (subs []subscription, err error) {
	b, err := workfile.Read(subsFile, 64<<10)
	for line := range strings.Lines(string(b)) {
		name, url, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && name[0] != '#' && len(subs) < maxSubs {
			subs = append(subs, subscription{label(name), strings.TrimSpace(url)})
		}
	}
	return subs, err
}

// label makes of a name what may stand in a file's name and in brackets.
func label(s string) string { return workfile.Slug(s, 30) }

// subscribe adds a calendar, or changes the address of one; it must answer once.
func subscribe(c sdk.Context, in subscribeInput) (string, error) {
	text := strings.TrimSpace(in.URL)
	if rest, ok := strings.CutPrefix(text, "webcal://"); ok {
		text = "https://" + rest
	}
	url, err := webpage.Address(text)
	if err != nil {
		return "", err
	}
	if in.Name == "" {
		_, host, _ := strings.Cut(url, "://")
		in.Name, _, _ = strings.Cut(host, "/")
	}
	s := subscription{label(in.Name), url}
	if s.name == "" {
		return "", errors.New("the name has no letter or digit")
	}
	body, err := s.fetch()
	if err != nil {
		return "", err
	}
	err = workfile.Update(c.Turn, subsFile, 64<<10, func(old []byte) ([]byte, error) {
		out, kept := without(string(old), s.name)
		if kept >= maxSubs {
			return nil, errors.New("there are " + strconv.Itoa(kept) + " subscriptions, no more can be kept")
		}
		return []byte(out + s.name + " " + s.url + "\n"), nil
	})
	if err != nil {
		return "", err
	}
	r := reader{own: now(c).Location()}
	n := len(r.read(string(body)))
	return "Subscribed to " + s.name + ": " + strconv.Itoa(n) + " events.", nil
}

// without is the list of subscriptions without one of them, and how many are left.
func without(list, name string) (out string, kept int) {
	for line := range strings.Lines(list) {
		n, _, isOne := strings.Cut(strings.TrimSpace(line), " ")
		if isOne && n[0] != '#' {
			if label(n) == name {
				continue
			}
			kept++
		}
		out += strings.TrimRight(line, "\r\n") + "\n"
	}
	return out, kept
}

func unsubscribe(c sdk.Context, in unsubscribeInput) (string, error) {
	name := label(strings.TrimSpace(in.Name))
	err := workfile.Update(c.Turn, subsFile, 64<<10, func(old []byte) ([]byte, error) {
		out, _ := without(string(old), name)
		return []byte(out), nil
	})
	if err != nil {
		return "", err
	}
	if name != "" {
		_ = workfile.Write(subscription{name: name}.copyFile(), nil)
	}
	return "There is no subscription " + strconv.Quote(name) + " any more.", nil
}
