package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// internet answers by the beginning of an address; what it does not know is denied. It keeps
// what it was asked.
type internet struct {
	answers map[string]sdk.Response
	asked   []sdk.Request
}

func (n *internet) get(r sdk.Request) (*sdk.Response, error) {
	n.asked = append(n.asked, r)
	for at, a := range n.answers {
		if strings.HasPrefix(r.URL, at) {
			return &a, nil
		}
	}
	return nil, &sdk.Error{Status: wire.StatusDenied, Message: "host not granted"}
}

func ok(body string) sdk.Response { return sdk.Response{Status: 200, Body: []byte(body)} }

const (
	atBrave = "https://api.search.brave.com/res/v1/web/search?"
	atDuck  = "https://html.duckduckgo.com/html/?"
	atSearx = "https://searx.example/search?"
)

// try asks once, in a test of its own, since there is one host at a time.
func try(t *testing.T, settings map[string]string, in input, answers map[string]sdk.Response) (r sdk.ToolResult, _ []sdk.Request) {
	t.Helper()
	n := &internet{answers: answers}
	t.Run("ask", func(t *testing.T) {
		h := sdktest.New(t)
		h.Settings, h.HTTP = settings, n.get
		r = h.Call("search", in)
	})
	return r, n.asked
}

const (
	apiText = " finds for \"green tea brewing time\":\n\n1. How to brew green tea & not spoil it\n   https://tea.example/green\n" +
		"   Steep green tea at 80°C for two minutes.\n\n2. Green tea - Wikipedia\n   https://en.wikipedia.org/wiki/Green_tea"
	duckText = "DuckDuckGo finds for \"green tea brewing time\":\n\n1. How to brew green tea & not spoil it\n" +
		"   https://tea.example/green?a=1&b=2\n   Steep green tea at 80°C for two minutes … it turns bitter after three.\n\n" +
		"2. Green tea - Wikipedia\n   https://en.wikipedia.org/wiki/Green_tea"
)

func TestEngines(t *testing.T) {
	all := map[string]sdk.Response{
		atBrave: ok(file(t, "brave.json")), atSearx: ok(file(t, "searxng.json")), atDuck: ok(file(t, "duckduckgo.html")),
	}
	less := func(at ...string) map[string]sdk.Response {
		out := map[string]sdk.Response{}
		for _, a := range at {
			out[a] = all[a]
		}
		return out
	}
	searx := map[string]string{"searxng_url": "https://searx.example/"}
	for name, c := range map[string]struct {
		settings map[string]string
		web      map[string]sdk.Response
		want     string
		asked    string // the last address
	}{
		"auto, all":            {searx, all, "Brave Search" + apiText, atBrave + "q=green+tea+brewing+time&count=8&offset=0"},
		"auto, no brave":       {searx, less(atSearx, atDuck), "SearXNG" + apiText, atSearx + "q=green+tea+brewing+time&format=json&pageno=1"},
		"auto, only duck":      {map[string]string{"engine": "auto"}, less(atSearx, atDuck), duckText, atDuck + "q=green+tea+brewing+time"},
		"brave":                {map[string]string{"engine": "brave"}, all, "Brave Search" + apiText, atBrave + "q=green+tea+brewing+time&count=8&offset=0"},
		"brave, denied":        {map[string]string{"engine": "brave"}, less(atDuck), "error: Brave Search cannot be asked: denied: host not granted", ""},
		"searxng":              {map[string]string{"engine": "searxng", "searxng_url": "https://searx.example"}, all, "SearXNG" + apiText, ""},
		"searxng without url":  {map[string]string{"engine": "searxng"}, all, "error: SearXNG has no address: the role's setting searxng_url says it", ""},
		"duckduckgo":           {map[string]string{"engine": "duckduckgo"}, all, duckText, ""},
		"nothing granted":      {nil, nil, "error: DuckDuckGo cannot be asked: denied: host not granted", ""},
		"an engine of its own": {map[string]string{"engine": "bing"}, all, `error: the role's setting engine is "bing"; it must be auto, brave, searxng or duckduckgo`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, asked := try(t, c.settings, input{Query: " green tea\nbrewing time "}, c.web)
			got := r.Text()
			if r.IsError {
				got = "error: " + got
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if c.asked != "" && asked[len(asked)-1].URL != c.asked {
				t.Errorf("asked %s, want %s", asked[len(asked)-1].URL, c.asked)
			}
			for _, q := range asked { // public_web must refuse this, so that nothing goes to Brave without a key
				if strings.HasPrefix(q.URL, atBrave) != (q.Header["Cache-Control"] == "no-cache") {
					t.Errorf("header %v of %s", q.Header, q.URL)
				}
			}
		})
	}
}

func TestPages(t *testing.T) {
	for page, want := range map[int]string{
		1: "q=x", 2: "q=x&s=10&dc=11", 3: "q=x&s=25&dc=26", -4: "q=x", 99: "q=x&s=130&dc=131",
	} {
		_, asked := try(t, nil, input{Query: "x", Page: page}, map[string]sdk.Response{atDuck: ok("")})
		if got := asked[len(asked)-1].URL; got != atDuck+want {
			t.Errorf("page %d: %s", page, got)
		}
	}
}

func TestStructured(t *testing.T) {
	r, _ := try(t, nil, input{Query: "x", Count: 1}, map[string]sdk.Response{atBrave: ok(file(t, "brave.json"))})
	want := `{"query":"x","engine":"Brave Search","results":[{"title":"How to brew green tea & not spoil it",` +
		`"url":"https://tea.example/green","snippet":"Steep green tea at 80°C for two minutes."}]}`
	if string(r.StructuredContent) != want {
		t.Errorf("got %s", r.StructuredContent)
	}
}

func TestBadAnswers(t *testing.T) {
	brave, searx := map[string]string{"engine": "brave"}, map[string]string{"engine": "searxng", "searxng_url": "https://searx.example"}
	duck := map[string]string{"engine": "duckduckgo"}
	status := func(n int) sdk.Response { return sdk.Response{Status: n, Body: []byte("<html>no")} }
	for name, c := range map[string]struct {
		settings map[string]string
		answer   sdk.Response
		want     string
	}{
		"brave: nothing":      {brave, ok(`{"type":"search","query":{"original":"x"}}`), `Brave Search finds nothing for "x".`},
		"brave: garbage":      {brave, ok(`{"web":{"results":[{"title"`), "error: Brave Search gave an answer that cannot be read"},
		"brave: other types":  {brave, ok(`{"web":{"results":[{"title":3}]}}`), "error: Brave Search gave an answer that cannot be read: web.results[0].title"},
		"brave: page":         {brave, ok("<html>"), "error: Brave Search answered with a web page instead of data"},
		"brave: empty":        {brave, ok(""), "error: Brave Search gave an empty answer"},
		"brave: 401":          {brave, status(401), "error: Brave Search refused the request (status 401): its key is missing or wrong"},
		"brave: 422":          {brave, status(422), "error: Brave Search cannot be asked: status 422: its key is wrong"},
		"brave: 429":          {brave, status(429), "error: Brave Search has had too many requests (status 429); try again later"},
		"brave: no fields":    {brave, ok(`{"web":{"results":[{},{"url":"javascript:alert(1)"},{"url":"https://a b/"},{"url":"https://x/"}]}}`), "Brave Search finds for \"x\":\n\n1. https://x/\n   https://x/"},
		"brave: null":         {brave, ok(`null`), `Brave Search finds nothing for "x".`},
		"searxng: no json":    {searx, status(403), "error: SearXNG refuses (status 403): its settings.yml must list json under search.formats"},
		"searxng: page":       {searx, ok("<!doctype html>"), "error: SearXNG answered with a web page instead of data"},
		"searxng: nothing":    {searx, ok(`{"results":[]}`), `SearXNG finds nothing for "x".`},
		"duck: nothing":       {duck, ok(`<div id="links" class="results"><div class="no-results">No results.</div></div>`), `DuckDuckGo finds nothing for "x".`},
		"duck: riddle":        {duck, ok(`<div class="anomaly-modal__title">Unfortunately, bots use DuckDuckGo too.</div>`), "error: DuckDuckGo takes this for a program"},
		"duck: riddle, 202":   {duck, status(202), "error: DuckDuckGo takes this for a program"},
		"duck: another page":  {duck, ok("<html><h1>Welcome to the hotel's network</h1>"), "error: DuckDuckGo answered with a page that has no results on it"},
		"duck: json":          {duck, ok(`{"a":1}`), "error: DuckDuckGo answered with a page that has no results on it"},
		"duck: broken off":    {duck, ok(`<div class=results><a class="result__a" href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fa%2F">Ti`), "DuckDuckGo finds for \"x\":\n\n1. https://a/\n   https://a/"},
		"duck: bad redirect":  {duck, ok(`<div class=results><a class=result__a href="//duckduckgo.com/l/?uddg=%zz">T</a>`), `DuckDuckGo finds nothing for "x".`},
		"duck: out of order":  {duck, status(502), "error: DuckDuckGo is out of order (status 502); try again later"},
		"duck: lone snippets": {duck, ok(`<div class=results><a class=result__snippet>S</a>`), `DuckDuckGo finds nothing for "x".`},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := try(t, c.settings, input{Query: "x"}, map[string]sdk.Response{"https://": c.answer})
			got := r.Text()
			if r.IsError {
				got = "error: " + got
			}
			if !strings.HasPrefix(got, c.want) || !r.IsError && got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestBadQueries(t *testing.T) {
	for _, q := range []string{"", " \n", strings.Repeat("x", maxQuery+1)} {
		if r, asked := try(t, nil, input{Query: q}, nil); !r.IsError || len(asked) > 0 {
			t.Errorf("%.10q: %+v", q, r)
		}
	}
}

// TestHuge: whatever comes, the answer is short and there soon.
func TestHuge(t *testing.T) {
	one := `{"title":"` + strings.Repeat("é <b>", 5000) + `","url":"https://x/","description":"` + strings.Repeat("word ", 20_000) + `"}`
	for name, c := range map[string][2]string{
		"many results": {"brave", `{"web":{"results":[` + strings.Repeat(one+",", 30) + one + `]}}`},
		"duck, links":  {"duckduckgo", `<div class=results>` + strings.Repeat(`<a class="result__a" href="https://x/">`, 100_000)},
		"duck, tags":   {"duckduckgo", `<div class=results>` + strings.Repeat(`<a class="`, 400_000)},
	} {
		start := time.Now()
		r, _ := try(t, map[string]string{"engine": c[0]}, input{Query: "x", Count: 1000}, map[string]sdk.Response{"https://": ok(c[1])})
		if text := r.Text(); len(text) > 20*(maxTitle+maxSnippet+maxURL) || time.Since(start) > 30*time.Second {
			t.Errorf("%s: %d bytes after %v: %.80s", name, len(text), time.Since(start), text)
		}
	}
}

func FuzzResults(f *testing.F) {
	f.Add(`<div class=results><a class="result__a" href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fa%2F">T</a><a class=result__snippet>S</a>`)
	f.Fuzz(func(t *testing.T, page string) {
		found, _ := results(page)
		for _, r := range found {
			if r = r.tidy(); len(r.URL) > maxURL || len(r.Title) > max(maxTitle+4, maxURL) || strings.ContainsAny(r.Title+r.Snippet+r.URL, "\n\t") {
				t.Errorf("%q: %+v", page, r)
			}
		}
	})
}
