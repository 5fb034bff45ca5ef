package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const rss = `<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://x/rss.dtd">
<rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/"><channel><title>Tea &amp; News</title><link>https://tea.example/</link>
<image><title>logo</title></image><atom:link href="https://tea.example/feed" rel="self"/>
<item><title>Old &lt;b&gt;tea&lt;/b&gt;</title><link>/old?a=1&amp;b=2</link><pubDate>Mon, 02 Nov 2026 10:00:00 GMT</pubDate>
<description><![CDATA[<p>First &amp; <a href="x">last</a>]]></description><guid isPermaLink="false">1</guid><media:title>no</media:title></item>
<item><!-- <title>no</title> --><title><![CDATA[New <i>tea</i>]]></title><guid>https://tea.example/new</guid><pubDate>Tue, 03 Nov 2026 10:00:00 +0200</pubDate>
<description>unclosed <br> &lt;i&gt;html&lt;/i&gt;</description></item>
</channel></rss>`

const rdf = `<rdf:RDF xmlns="http://purl.org/rss/1.0/" xmlns:rdf="x" xmlns:dc="y"><channel rdf:about="a"><title>Old style</title><items><rdf:Seq><rdf:li resource="b"/></rdf:Seq></items></channel>
<item rdf:about="https://rdf.example/1"><title>One</title><link>https://rdf.example/1</link><dc:date>2026-11-03T10:00:00Z</dc:date><description>Text</description></item></rdf:RDF>`

const atom = `<feed xmlns="http://www.w3.org/2005/Atom"><title type="html">At&amp;amp;om</title><link rel="self" href="https://a.example/feed"/>
<entry><id>urn:1</id><title type="text">a &lt; b</title><link rel="edit" href="no"/><link href="post/1"/><author><name>Ann</name></author>
<updated>2026-11-04T00:00:00Z</updated><published>2026-11-03T23:00:00.123+01:00</published>
<content type="xhtml"><div xmlns="x"><p>Hello <b>you</b></p></div></content></entry></feed>`

const jsonFeed = `{"version":"https://jsonfeed.org/version/1.1","title":"Json","items":[{"id":"1","url":"https://j.example/1","title":"One","content_html":"<p>Hi</p>","date_published":"2026-11-03T10:00:00Z"},{"id":2,"content_text":"two < three"}]}`

func parsed(t *testing.T, kind, body string) feed {
	t.Helper()
	f, err := parse(&sdk.Response{URL: "https://x.example/dir/feed.xml", Header: map[string]string{"content-type": kind}, Body: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFormats(t *testing.T) {
	for name, c := range map[string]struct{ kind, body, title, want string }{
		"rss":  {"application/rss+xml", rss, "Tea & News", "- [New tea](https://tea.example/new), 3 Nov 2026\n  unclosed html\n- [Old tea](https://x.example/old?a=1&b=2), 2 Nov 2026\n  First & [last](https://x.example/dir/x)\n"},
		"rdf":  {"", rdf, "Old style", "- [One](https://rdf.example/1), 3 Nov 2026\n  Text\n"},
		"atom": {"", atom, "At&om", "- [a < b](https://x.example/dir/post/1), 3 Nov 2026\n  Hello you\n"},
		"json": {"", jsonFeed, "Json", "- [One](https://j.example/1), 3 Nov 2026\n  Hi\n- (no title)\n  two < three\n"},
		"latin-1 by declaration": {
			"", "<?xml version='1.0' encoding='ISO-8859-1'?><rss><channel><title>Caf\xe9</title><item><title>\x80</title></item></channel></rss>", "Café", "- €\n",
		},
		"latin-1 by header": {"text/xml; charset=iso-8859-1", "<rss><channel><title>Caf\xe9</title></channel></rss>", "Café", ""},
		"script in a link":  {"", "<rss><item><title>x</title><link>javascript:alert(1)</link></item></rss>", "", "- x\n"},
		"cut short":         {"", "<rss><channel><title>T</title><item><title>x</title><description>y", "T", "- x\n  y\n"},
		"other entities":    {"", "<rss><item><title>a&nbsp;&eacute;&bogus;</title></item></rss>", "", "- a é&bogus;\n"},
	} {
		f := parsed(t, c.kind, c.body)
		got := ""
		for _, it := range f.newest() {
			got += it.entry("https://x.example/dir/", summary)
		}
		if f.title != c.title || got != c.want {
			t.Errorf("%s: title %q, want %q; entries %q, want %q", name, f.title, c.title, got, c.want)
		}
	}
}

func TestDates(t *testing.T) {
	for in, want := range map[string]string{
		"Mon, 02 Jan 2006 15:04:05 GMT": "2006-01-02T15:04:05Z", "Mon, 2 Jan 2006 15:04:05 -0700": "2006-01-02T22:04:05Z",
		"02 Jan 06 15:04 EST": "2006-01-02T20:04:00Z", "Monday, 02 January 2006 15:04 PDT": "2006-01-02T22:04:00Z",
		"2006-01-02T15:04:05Z": "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.999+05:30": "2006-01-02T09:34:05Z",
		"2006-01-02 15:04:05": "2006-01-02T15:04:05Z", "2006-01-02": "2006-01-02T00:00:00Z", "2006-01-02T15:04-0100": "2006-01-02T16:04:00Z",
		"Jan 2, 2006 3:04 PM": "2006-01-02T15:04:00Z", "Mon Jan  2 15:04:05 2006": "2006-01-02T15:04:05Z",
		"Mon, 02 Jan 2006 15:04:05 +0000 (UTC)": "2006-01-02T15:04:05Z", "Fri, 31 Dec 99 23:59:60 GMT": "2000-01-01T00:00:00Z",
		"": "", "yesterday": "", "2006-13-45": "", "99/99/99": "", "Jan": "", "2006": "", "::": "", "1:": "", "2 Jan 2006 2-1:1": "2006-01-02T00:00:00Z", strings.Repeat("1 ", 99): "",
	} {
		got := ""
		if d := parseDate(in); d != 0 {
			got = time.Unix(d, 0).UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%.40q: got %s, want %s", in, got, want)
		}
	}
}

func TestRefusedDocuments(t *testing.T) {
	const laughs = `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]><rss><item><title>&lol2;</title></item></rss>`
	for body, want := range map[string]string{
		laughs: "a document type of its own", "<rss><!ENTITY x SYSTEM 'file:///etc/passwd'>": "a document type of its own",
		"<rss><item><title><!DOCTYPE a [": "a document type of its own",
		"<html><body>no</body></html>":    "no RSS, Atom or JSON feed", "": "no RSS", "{}": "no RSS", `{"version":7}`: "no RSS", "plain": "no RSS",
	} {
		if f, err := parse(&sdk.Response{Body: []byte(body)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %+v, %v", body, f, err)
		}
	}
}

// web serves feeds by their addresses; others are not found.
func serve(t *testing.T, pages map[string]string) *sdktest.Host {
	h := sdktest.New(t)
	h.KV = map[string]string{}
	h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
		if r.Method != "GET" {
			return nil, &sdk.Error{Status: wire.StatusDenied, Message: r.Method}
		}
		body, ok := pages[r.URL]
		if !ok {
			return &sdk.Response{Status: 404, URL: r.URL}, nil
		}
		return &sdk.Response{Status: 200, URL: r.URL, Body: []byte(body)}, nil
	}
	return h
}

func ok(t *testing.T, h *sdktest.Host, tool string, args any) string {
	t.Helper()
	r := h.Call(tool, args)
	if r.IsError {
		t.Fatalf("%s: %s", tool, r.Text())
	}
	return r.Text()
}

func TestLifeOfAFeed(t *testing.T) {
	pages := map[string]string{"https://tea.example/feed": rss, "https://a.example/feed": atom, "https://j.example/feed": jsonFeed}
	h := serve(t, pages)
	if got := ok(t, h, "digest", nil); got != "No feed is followed yet." {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "add", addInput{URL: "tea.example/feed"}); got != "Following tea-news: Tea & News (https://tea.example/feed), which has 2 entries now." {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "add", addInput{URL: "https://tea.example/feed"}); got != "Already followed: tea-news: Tea & News (https://tea.example/feed)." {
		t.Errorf("got %q", got)
	}
	ok(t, h, "add", addInput{URL: "https://a.example/feed", Name: "Atoms!"})
	ok(t, h, "add", addInput{URL: "https://j.example/feed"})
	delete(pages, "https://j.example/feed") // it fails from now on
	want := "## At&om\n- [a < b](https://a.example/post/1), 3 Nov 2026\n  Hello you\n\n" +
		"## Tea & News\n- [New tea](https://tea.example/new), 3 Nov 2026\n  unclosed html\n" +
		"\nand 1 more entries: ask again, or with a larger limit\n\nNot read:\n- json: https://j.example/feed answered with status 404"
	if got := ok(t, h, "digest", digestInput{Limit: 2}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := ok(t, h, "digest", nil); !strings.HasPrefix(got, "## Tea & News\n- [Old tea]") || strings.Contains(got, "New tea") {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "digest", nil); !strings.HasPrefix(got, "Nothing is new.") {
		t.Errorf("got %q", got)
	}
	pages["https://a.example/feed"] = strings.Replace(atom, "2026-11-03T23:00:00.123+01:00", time.Now().Format(time.RFC3339), 1)
	if got := ok(t, h, "digest", digestInput{SinceHours: 24}); !strings.Contains(got, "[a < b]") || strings.Contains(got, "Tea") {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "read", readInput{Feed: "Tea-News", Limit: 1}); got != "# Tea & News\n- [New tea](https://tea.example/new), 3 Nov 2026\n  unclosed html" {
		t.Errorf("got %q", got)
	}
	if got := ok(t, h, "list", nil); got != "- atoms: At&om (https://a.example/feed)\n- json: Json (https://j.example/feed)\n- tea-news: Tea & News (https://tea.example/feed)" {
		t.Errorf("got %q", got)
	}
	ok(t, h, "remove", nameInput{"json"})
	ok(t, h, "remove", nameInput{"json"})
	if got := ok(t, h, "list", nil); strings.Contains(got, "json") {
		t.Errorf("got %q", got)
	}
}

func TestRefusals(t *testing.T) {
	h := serve(t, map[string]string{"https://a/": atom, "https://b/": atom, "https://html/": "<html>"})
	ok(t, h, "add", addInput{URL: "https://a/", Name: "x"})
	for _, c := range []struct {
		tool string
		args any
		want string
	}{
		{"add", addInput{URL: "ftp://x"}, "only http and https"},
		{"add", addInput{URL: "https://none/"}, "https://none/ answered with status 404"},
		{"add", addInput{URL: "https://html/"}, "https://html/: it is no RSS, Atom or JSON feed"},
		{"add", addInput{URL: "https://b/", Name: "X"}, "another feed is called x: https://a/"},
		{"read", readInput{Feed: "nothing"}, `no feed is called "nothing"`},
	} {
		if r := h.Call(c.tool, c.args); !r.IsError || !strings.Contains(r.Text(), c.want) {
			t.Errorf("%s %+v: %+v", c.tool, c.args, r)
		}
	}
	h.HTTP = nil
	if got := ok(t, h, "digest", nil); !strings.Contains(got, "x: fetching https://a/: denied: http is not granted") {
		t.Errorf("got %q", got)
	}
	h.KV = nil
	if r := h.Call("digest", nil); !r.IsError || !strings.Contains(r.Text(), "kv is not granted") {
		t.Errorf("got %+v", r)
	}
}

// What is remembered of a feed is bounded, however much it publishes.
func TestSeenIsBounded(t *testing.T) {
	pages := map[string]string{}
	h := serve(t, pages)
	for round := range 15 {
		var b strings.Builder
		for i := range mostItems {
			b.WriteString("<item><guid>" + strings.Repeat("g", round+1) + strings.Repeat("i", i) + "</guid></item>")
		}
		pages["https://x/"] = "<rss>" + b.String() + "</rss>"
		if round == 0 {
			ok(t, h, "add", addInput{URL: "https://x/", Name: "x"})
		}
		if got := ok(t, h, "digest", digestInput{Limit: mostItems}); strings.Count(got, "- (no title)") != mostItems {
			t.Fatalf("round %d: %d entries", round, strings.Count(got, "- (no title)"))
		}
	}
	if n := len(h.KV["seen/x"]); n != 9*maxSeen {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestHostileFeedsEnd(t *testing.T) {
	const n = 2 << 20
	for _, unit := range []string{
		"<item>", "<title>", "<item><title>", "<![CDATA[", "<!--", "<a b='", "<a b=\"c\" ", "<item><description><![CDATA[<p>]]>", "&amp;", "<x:y/>",
		"<item><title>x</title></item>", "<item><link href='", "<description>&lt;ul&gt;&lt;li&gt;", "<![CDATA[<!--]]>", "</item>", "<",
		"<item a='b' c='d' e='f' g='h'>",
	} {
		start := time.Now()
		f, _ := parse(&sdk.Response{URL: "https://x/", Body: []byte("<rss>" + strings.Repeat(unit, n/len(unit)))})
		out := 0
		for _, it := range f.newest() {
			out += len(it.entry("https://x/", summary))
		}
		if d := time.Since(start); d > 20*time.Second || len(f.items) > maxItems || out > n {
			t.Errorf("%s: %v, %d items, %d bytes", unit, d, len(f.items), out)
		}
	}
}

func FuzzFeed(f *testing.F) {
	for _, s := range []string{rss, rdf, atom, jsonFeed, "<rss><item><title><![CDATA[x]]]]><![CDATA[>]]></title>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parse(&sdk.Response{URL: "https://x/", Body: []byte(s)})
		if err != nil {
			return
		}
		for _, it := range got.newest() {
			if e := it.entry("https://x/", summary); !utf8.ValidString(e) || len(e) > 10_000 || strings.Contains(e, "](javascript") {
				t.Errorf("%q makes %q", s, e)
			}
		}
	})
}
