// Skill search asks a search engine. Brave, SearXNG and DuckDuckGo are behind one tool; a
// setting of the role chooses, or "auto" takes the first that the role allows.
//
// It has the capability http and no key: where an engine needs one, the host puts it in.
package main

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/html"
)

// Bounds of a question and of what is answered.
const (
	maxQuery     = 400 // bytes; Brave takes no more
	defaultCount = 8
	maxCount     = 20
	maxPage      = 10
	maxTitle     = 200 // bytes
	maxSnippet   = 500
	maxURL       = 1000
)

type input struct {
	Query string `json:"query"`
	Count int    `json:"count"`
	Page  int    `json:"page"`
}

type output struct {
	Query   string   `json:"query"`
	Engine  string   `json:"engine"`
	Results []result `json:"results"`
}

type result struct {
	Title   string `json:"title"`
	URL     string `json:"url"`
	Snippet string `json:"snippet,omitempty"`
}

func init() { sdk.Tool("search", search) }

func main() {}

func search(_ sdk.Context, in input) (output, error) {
	in.Query = strings.Join(strings.Fields(strings.ToValidUTF8(in.Query, "")), " ")
	if in.Query == "" || len(in.Query) > maxQuery {
		return output{}, errors.New("the query must have 1 to " + strconv.Itoa(maxQuery) + " bytes")
	}
	if in.Count <= 0 {
		in.Count = defaultCount
	}
	in.Count, in.Page = min(in.Count, maxCount), min(max(in.Page, 1), maxPage)
	e, found, err := ask(in)
	if err != nil {
		return output{}, err
	}
	out := output{Query: in.Query, Engine: e.name}
	for _, r := range found {
		if len(out.Results) == in.Count {
			break
		}
		if r = r.tidy(); r.URL != "" {
			out.Results = append(out.Results, r)
		}
	}
	return out, nil
}

// tidy makes text of what an engine says of a page, within bounds. Its URL is "" when it is
// no address of the web.
func (r result) tidy() result {
	r.URL = strings.TrimSpace(r.URL)
	isWeb := strings.HasPrefix(r.URL, "https://") || strings.HasPrefix(r.URL, "http://")
	if !isWeb || len(r.URL) > maxURL || strings.ContainsAny(r.URL, " \t\r\n<>\"") {
		r.URL = ""
	}
	r.Title, r.Snippet = text(r.Title, maxTitle), text(r.Snippet, maxSnippet)
	if r.Title == "" {
		r.Title = r.URL
	}
	return r
}

// text is at most n bytes of a fragment of HTML, of which no more is looked at than that takes.
func text(fragment string, n int) string {
	fragment = strings.ToValidUTF8(fragment[:min(len(fragment), 10*n)], "")
	return short(html.Text(fragment), n)
}

// short cuts s to n bytes, at a word where there is one.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	if i := strings.LastIndexByte(s[:n], ' '); i > n/2 {
		n = i
	}
	return s[:n] + "…"
}

// Text is the answer as a model reads it.
func (o output) Text() string {
	if len(o.Results) == 0 {
		return o.Engine + " finds nothing for " + strconv.Quote(o.Query) + "."
	}
	var b strings.Builder
	b.WriteString(o.Engine + " finds for " + strconv.Quote(o.Query) + ":\n")
	for i, r := range o.Results {
		b.WriteString("\n" + strconv.Itoa(i+1) + ". " + r.Title + "\n   " + r.URL + "\n")
		if r.Snippet != "" {
			b.WriteString("   " + r.Snippet + "\n")
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
