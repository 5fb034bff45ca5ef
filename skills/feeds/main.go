// Skill feeds follows RSS, Atom and JSON feeds. It has the capabilities http, to GET
// public pages, and kv, where it keeps what it follows and what of it was shown.
package main

import (
	"cmp"
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/webpage"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

const (
	maxFeeds  = 50
	maxSeen   = 1000 // items of a feed that are remembered
	fewItems  = 20   // of a digest, unless another number is asked for
	mostItems = 100
	summary   = 240  // bytes of an item in a digest
	article   = 1500 // and where one feed is read
	patience  = 80   // seconds
	accept    = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"
)

type (
	addInput struct {
		URL  string `json:"url"`
		Name string `json:"name"`
	}
	nameInput struct {
		Name string `json:"name"`
	}
	digestInput struct {
		SinceHours int `json:"since_hours"`
		Limit      int `json:"limit"`
	}
	readInput struct {
		Feed  string `json:"feed"`
		Limit int    `json:"limit"`
	}
)

// subscription is what kv keeps under "feed/" and its name; under "seen/" are the keys of
// the items that were shown, oldest first.
type subscription struct {
	URL   string `json:"url"`
	Title string `json:"title"`

	name string
}

func init() {
	sdk.Tool("add", add)
	sdk.Tool("list", list)
	sdk.Tool("remove", remove)
	sdk.Tool("digest", digest)
	sdk.Tool("read", read)
}

func main() {}

// get asks for a feed.
func get(url string) (feed, error) {
	r, err := webpage.Get(url, accept)
	if err != nil {
		return feed{}, err
	}
	f, err := parse(r)
	if err != nil {
		return feed{}, errors.New(r.URL + ": " + err.Error())
	}
	return f, nil
}

func add(_ sdk.Context, in addInput) (string, error) {
	url, err := webpage.Address(in.URL)
	if err != nil {
		return "", err
	}
	all, err := subscriptions()
	if err != nil {
		return "", err
	}
	f, err := get(url)
	if err != nil {
		return "", err
	}
	_, host, _ := strings.Cut(url, "://")
	s := subscription{URL: url, Title: f.title}
	s.name = workfile.Slug(cmp.Or(strings.TrimSpace(in.Name), f.title, host), 30)
	if s.name == "" {
		s.name = "feed-" + workfile.Hash(url)
	}
	for _, other := range all {
		if other.URL == url {
			return "Already followed: " + other.show() + ".", nil
		}
		if other.name == s.name {
			return "", errors.New("another feed is called " + s.name + ": " + other.URL + "; give a name")
		}
	}
	if len(all) >= maxFeeds {
		return "", errors.New("there are " + strconv.Itoa(len(all)) + " feeds, no more can be followed")
	}
	b, err := sdk.Marshal(s)
	if err != nil {
		return "", err
	}
	for _, kv := range [][2]string{{"seen/" + s.name, ""}, {"feed/" + s.name, string(b)}} {
		if err := sdk.KVPut(kv[0], kv[1]); err != nil {
			return "", err
		}
	}
	return "Following " + s.show() + ", which has " + strconv.Itoa(len(f.items)) + " entries now.", nil
}

func (s subscription) show() string {
	if s.Title == "" {
		return s.name + " (" + s.URL + ")"
	}
	return s.name + ": " + s.Title + " (" + s.URL + ")"
}

func subscriptions() (all []subscription, err error) {
	keys, err := sdk.KVList("feed/", maxFeeds)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		v, err := sdk.KVGet(k)
		if err != nil {
			return nil, err
		}
		s := subscription{name: strings.TrimPrefix(k, "feed/")}
		if err := sdk.Unmarshal([]byte(v), &s); err != nil {
			return nil, errors.New("what is kept of the feed " + s.name + " cannot be read: " + err.Error())
		}
		all = append(all, s)
	}
	return all, nil
}

func list(sdk.Context, struct{}) (string, error) {
	all, err := subscriptions()
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "No feed is followed yet.", nil
	}
	lines := make([]string, len(all))
	for i, s := range all {
		lines[i] = "- " + s.show()
	}
	return strings.Join(lines, "\n"), nil
}

// remove ends a subscription; that there was none is no error, for a turn that is run again.
func remove(_ sdk.Context, in nameInput) (string, error) {
	name := workfile.Slug(strings.TrimSpace(in.Name), 30)
	for _, key := range []string{"feed/" + name, "seen/" + name} {
		if err := sdk.KVDelete(key); err != nil {
			return "", err
		}
	}
	return "The feed " + strconv.Quote(name) + " is not followed any more.", nil
}

func limit(n int) int {
	if n <= 0 {
		return fewItems
	}
	return min(n, mostItems)
}

// digest shows what is new in all feeds: not shown before, or of the last hours. A feed
// that fails does not spoil the others: it is named with its reason.
func digest(_ sdk.Context, in digestInput) (string, error) {
	all, err := subscriptions()
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "No feed is followed yet.", nil
	}
	var text, failed strings.Builder
	start, left, more := clock.Now(), limit(in.Limit), 0
	for i, s := range all {
		if clock.Now()-start > patience {
			failed.WriteString("- " + strconv.Itoa(len(all)-i) + " more feeds: no time was left to ask for them\n")
			break
		}
		// A feed takes at most its share, so that a loud one leaves room for the others.
		share := (left + len(all) - i - 1) / (len(all) - i)
		shown, rest, err := s.news(&text, in.SinceHours, share)
		if err != nil {
			failed.WriteString("- " + s.name + ": " + err.Error() + "\n")
		}
		left, more = left-shown, more+rest
	}
	out := strings.TrimSpace(text.String())
	if out == "" {
		out = "Nothing is new."
	}
	if more > 0 {
		out += "\n\nand " + strconv.Itoa(more) + " more entries: ask again, or with a larger limit"
	}
	if failed.Len() > 0 {
		out += "\n\nNot read:\n" + strings.TrimSuffix(failed.String(), "\n")
	}
	return out, nil
}

// news writes at most n new items of one feed and remembers them.
func (s subscription) news(b *strings.Builder, hours, n int) (shown, rest int, err error) {
	seen, err := sdk.KVGet("seen/" + s.name)
	if err != nil && !errors.Is(err, sdk.ErrNotFound) {
		return 0, 0, err
	}
	f, err := get(s.URL)
	if err != nil {
		return 0, 0, err
	}
	before := seen
	for _, it := range f.newest() {
		key := it.key()
		isNew := !strings.Contains(seen, key)
		if hours > 0 {
			isNew = it.date != 0 && clock.Now()-it.date < int64(hours)*clock.Hour
		}
		switch {
		case !isNew:
			continue
		case shown == n:
			rest++
			continue
		case shown == 0:
			b.WriteString("\n## " + cmp.Or(f.title, s.name) + "\n")
		}
		b.WriteString(it.entry(s.URL, summary))
		shown++
		if !strings.Contains(seen, key) {
			seen += key + "\n"
		}
	}
	if size := maxSeen * (workfile.IDLength + 1); len(seen) > size {
		seen = seen[len(seen)-size:]
	}
	if seen == before {
		return shown, rest, nil
	}
	return shown, rest, sdk.KVPut("seen/"+s.name, seen)
}

// newest is the items by date, newest first; those without one stay where they are, behind.
func (f feed) newest() []item {
	out := make([]item, 0, len(f.items))
	for _, it := range f.items {
		at := len(out)
		for at > 0 && out[at-1].date < it.date {
			at--
		}
		out = append(out, item{})
		copy(out[at+1:], out[at:])
		out[at] = it
	}
	return out
}

// entry is one item in an answer, with at most n bytes of its text.
func (it item) entry(base string, n int) string {
	title := cmp.Or(it.title, "(no title)")
	if it.link != "" {
		title = "[" + title + "](" + it.link + ")"
	}
	s := "- " + title
	if it.date != 0 {
		d := clock.At(it.date)
		s += ", " + strconv.Itoa(d.Day) + " " + d.MonthName() + " " + strconv.Itoa(d.Year)
	}
	text := it.text(base, n)
	if n == summary {
		text = strings.Join(strings.Fields(text), " ")
	}
	if text != "" && text != it.title {
		s += "\n  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	return s + "\n"
}

// read shows the newest items of one feed at length, whether they were shown or not. An
// address is read without following it.
func read(_ sdk.Context, in readInput) (string, error) {
	all, err := subscriptions()
	if err != nil {
		return "", err
	}
	asked, url := strings.TrimSpace(in.Feed), ""
	for _, s := range all {
		if s.name == workfile.Slug(asked, 30) || s.URL == asked || asked != "" && strings.EqualFold(s.Title, asked) {
			url = s.URL
		}
	}
	if url == "" && strings.Contains(asked, ".") {
		if url, err = webpage.Address(asked); err != nil {
			return "", err
		}
	}
	if url == "" {
		return "", errors.New("no feed is called " + strconv.Quote(webpage.Shorten(asked)))
	}
	f, err := get(url)
	if err != nil {
		return "", err
	}
	items := f.newest()
	n := min(len(items), limit(in.Limit))
	if in.Limit <= 0 {
		n = min(n, 5)
	}
	var b strings.Builder
	b.WriteString("# " + cmp.Or(f.title, url) + "\n")
	for _, it := range items[:n] {
		b.WriteString(it.entry(url, article))
	}
	if len(items) == 0 {
		b.WriteString("It has no entries.")
	}
	return strings.TrimSpace(b.String()), nil
}
