package main

import (
	"errors"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/webpage"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

// Bounds of one feed.
const (
	maxItems = 500
	maxText  = 64 << 10 // bytes of one element
	maxTitle = 200      // bytes
)

// feed is what a document says, whatever its format.
type feed struct {
	title string
	items []item
}

type item struct {
	id, title, link string
	date            int64  // seconds since 1970, 0 when it has none that can be read
	html            string // summary or content, as it came
	isText          bool   // html is none
}

// key tells an item from the others of its feed.
func (it item) key() string {
	for _, s := range []string{it.id, it.link, it.title + "\x00" + it.html} {
		if s != "" && s != "\x00" {
			return workfile.Hash(s)
		}
	}
	return ""
}

// text is what an item says, at most n bytes.
func (it item) text(base string, n int) string {
	s := it.html
	if !it.isText {
		s = webpage.Readable(it.html, base).Text
	}
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// parse reads RSS 2.0, RSS 1.0, Atom or JSON Feed.
func parse(r *sdk.Response) (feed, error) {
	_, params, _ := strings.Cut(strings.ToLower(r.Get("Content-Type")), ";")
	charset := webpage.Charset(params, nil, false)
	if charset == "" {
		charset = declared(r.Body)
	}
	text, _ := webpage.Decode(r.Body, charset)
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return parseJSON(text, r.URL)
	}
	p := parser{xml: xml{s: text}, base: r.URL}
	err := p.run()
	return p.feed, err
}

// declared is the encoding that the first line of a document names.
func declared(b []byte) string {
	head, _, _ := strings.Cut(string(b[:min(len(b), 200)]), "?>")
	_, rest, _ := strings.Cut(head, "encoding=")
	if len(rest) < 2 {
		return ""
	}
	name, _, _ := strings.Cut(rest[1:], rest[:1])
	return strings.ToLower(name)
}

type parser struct {
	xml
	base string
	feed feed
	item *item // that is being read
}

var errNoFeed = errors.New("it is no RSS, Atom or JSON feed")

func (p *parser) run() error {
	start, ok, err := p.next()
	if err != nil {
		return err
	}
	if !ok || !start || p.name != "rss" && p.name != "rdf" && p.name != "feed" {
		return errNoFeed
	}
	for len(p.feed.items) < maxItems {
		start, ok, err := p.next()
		if err != nil || !ok {
			p.finish()
			return err
		}
		switch {
		case p.name == "item" || p.name == "entry":
			p.finish()
			if start {
				p.item = &item{id: p.attribute("rdf:about")}
			}
		case !start || p.name == "channel" || p.name == "items" && p.pre == "":
		default:
			if err := p.element(); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish keeps the item that was read.
func (p *parser) finish() {
	if p.item != nil && p.item.key() != "" {
		p.feed.items = append(p.feed.items, *p.item)
	}
	p.item = nil
}

// element reads what is neither a feed nor an item. Of prefixes only those are looked
// at that say the same as a name without one; media:title is another title.
func (p *parser) element() error {
	name, href, rel, kind := p.name, p.attribute("href"), p.attribute("rel"), p.attribute("type")
	switch p.pre {
	case "", "rss", "atom", "a10":
	case "dc", "content", "dcterms":
		name = p.pre + ":" + name
	default:
		name = ""
	}
	text, raw, err := p.inner()
	if err != nil {
		return err
	}
	text = strings.TrimSpace(text)
	if p.item == nil {
		if name == "title" && p.feed.title == "" {
			p.feed.title = heading(text, kind)
		}
		return nil
	}
	p.field(name, text, raw, kind, href, rel)
	return nil
}

func (p *parser) field(name, text, raw, kind, href, rel string) {
	it := p.item
	switch name {
	case "title":
		it.title = heading(text, kind)
	case "link":
		if href != "" && (rel == "" || rel == "alternate") && it.link == "" {
			it.link = webpage.Resolve(p.base, href)
		} else if href == "" && it.link == "" {
			it.link = webpage.Resolve(p.base, text)
		}
	case "guid", "id":
		it.id = text
		if it.link == "" && strings.HasPrefix(text, "http") && name == "guid" {
			it.link = webpage.Resolve(p.base, text)
		}
	case "pubdate", "published", "dc:date", "dcterms:created", "updated", "modified", "issued":
		if t := parseDate(text); t != 0 && (it.date == 0 || name == "pubdate" || name == "published") {
			it.date = t
		}
	case "description", "summary", "content", "content:encoded":
		if kind == "xhtml" {
			text = raw
		}
		if len(text) > maxText {
			text = text[:maxText]
		}
		if it.html == "" || name == "description" || name == "summary" {
			it.html, it.isText = text, kind == "text"
		}
	}
}

// heading makes one line of a title, in which HTML may hide.
func heading(s, kind string) string {
	if kind != "text" && strings.ContainsAny(s, "<&") {
		s = webpage.Readable(s[:min(len(s), 4*maxTitle)], "").Text
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if len(s) > maxTitle {
		s = strings.ToValidUTF8(s[:maxTitle], "") + "…"
	}
	return s
}

func parseJSON(text, base string) (f feed, err error) {
	var doc struct {
		Version string `json:"version"`
		Title   string `json:"title"`
		Items   []struct {
			ID      any    `json:"id"`
			URL     string `json:"url"`
			Title   string `json:"title"`
			Summary string `json:"summary"`
			HTML    string `json:"content_html"`
			Text    string `json:"content_text"`
			Date    string `json:"date_published"`
		} `json:"items"`
	}
	if err := sdk.Unmarshal([]byte(text), &doc); err != nil || !strings.Contains(doc.Version, "jsonfeed.org") {
		return f, errNoFeed
	}
	f.title = heading(doc.Title, "")
	for _, d := range doc.Items[:min(len(doc.Items), maxItems)] {
		it := item{
			title: heading(d.Title, "text"), link: webpage.Resolve(base, d.URL), date: parseDate(d.Date), html: d.HTML,
		}
		it.id, _ = d.ID.(string)
		if plain := d.Summary + d.Text; d.Summary != "" || d.HTML == "" {
			if it.html, it.isText = plain, true; d.Summary != "" {
				it.html = d.Summary
			}
		}
		it.html = it.html[:min(len(it.html), maxText)]
		if it.key() != "" {
			f.items = append(f.items, it)
		}
	}
	return f, nil
}
