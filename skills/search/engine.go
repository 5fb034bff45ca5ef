package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/html"
	"github.com/nanoclaw/nanoclaw/skills/internal/web"
)

// engine is a place that can be asked.
type engine struct {
	setting, name string
	ask           func(input) ([]result, error)
}

const braveName = "Brave Search"

var (
	braveEngine = engine{"brave", braveName, brave}
	searxEngine = engine{"searxng", "SearXNG", searxng}
	duckEngine  = engine{"duckduckgo", "DuckDuckGo", duckduckgo}
)

// ask asks the engine that the role chose, or the first that it allows.
func ask(in input) (engine, []result, error) {
	setting := sdk.Setting("engine")
	for _, e := range []engine{braveEngine, searxEngine, duckEngine} {
		if e.setting == setting {
			found, err := e.ask(in)
			return e, found, err
		}
	}
	if setting != "" && setting != "auto" {
		return engine{}, nil, errors.New("the role's setting engine is " + strconv.Quote(setting) +
			"; it must be auto, brave, searxng or duckduckgo")
	}
	found, err := brave(in)
	switch {
	case !errors.Is(err, sdk.ErrDenied):
		return braveEngine, found, err
	case sdk.Setting("searxng_url") != "":
		found, err = searxng(in)
		return searxEngine, found, err
	}
	found, err = duckduckgo(in)
	return duckEngine, found, err
}

// brave asks the API of Brave Search. The role grants it together with its key. The header
// Cache-Control, which the API knows, is there for roles that do not: public_web refuses it, so
// that nothing is sent to Brave without a key.
func brave(in input) ([]result, error) {
	var a struct {
		Web struct {
			Results []struct {
				Title       string `json:"title"`
				URL         string `json:"url"`
				Description string `json:"description"`
			} `json:"results"`
		} `json:"web"`
	}
	query := web.Query("q", in.Query, "count", strconv.Itoa(in.Count), "offset", strconv.Itoa(in.Page-1))
	header := map[string]string{"Accept": "application/json", "Cache-Control": "no-cache"}
	err := web.JSON(braveName, "https://api.search.brave.com/res/v1/web/search?"+query, header, &a)
	var status *web.StatusError
	if errors.As(err, &status) && status.Status == 422 { // a key that it does not know, too
		return nil, &web.Failure{Service: braveName, Err: errors.New("status 422: its key is wrong, or the query is")}
	}
	if err != nil {
		return nil, err
	}
	found := make([]result, len(a.Web.Results))
	for i, r := range a.Web.Results {
		found[i] = result{r.Title, r.URL, r.Description}
	}
	return found, nil
}

// searxng asks the server of the role's setting searxng_url.
func searxng(in input) ([]result, error) {
	base := strings.TrimRight(sdk.Setting("searxng_url"), "/")
	if base == "" {
		return nil, errors.New("SearXNG has no address: the role's setting searxng_url says it")
	}
	var a struct {
		Results []struct {
			Title   string `json:"title"`
			URL     string `json:"url"`
			Content string `json:"content"`
		} `json:"results"`
	}
	query := web.Query("q", in.Query, "format", "json", "pageno", strconv.Itoa(in.Page))
	err := web.JSON("SearXNG", base+"/search?"+query, map[string]string{"Accept": "application/json"}, &a)
	var status *web.StatusError
	if errors.As(err, &status) && status.Status == 403 {
		return nil, errors.New("SearXNG refuses (status 403): its settings.yml must list json under search.formats")
	}
	if err != nil {
		return nil, err
	}
	found := make([]result, len(a.Results))
	for i, r := range a.Results {
		found[i] = result{r.Title, r.URL, r.Content}
	}
	return found, nil
}

// duckduckgo asks the page of DuckDuckGo that works without scripts: there is no API.
func duckduckgo(in input) ([]result, error) {
	start, next := "", ""
	if in.Page > 1 { // its first page has 10 results, the others 15
		n := 10 + 15*(in.Page-2)
		start, next = strconv.Itoa(n), strconv.Itoa(n+1)
	}
	query := web.Query("q", in.Query, "s", start, "dc", next)
	r, err := web.Get("DuckDuckGo", "https://html.duckduckgo.com/html/?"+query, map[string]string{"Accept": "text/html"})
	var status *web.StatusError
	if errors.As(err, &status) && (status.Status == 202 || status.Status == 403) {
		return nil, errNotHuman
	}
	if err != nil {
		return nil, err
	}
	return results(string(r.Body))
}

var errNotHuman = errors.New("DuckDuckGo takes this for a program and wants a human to answer a riddle: " +
	"try again later, or let the role use Brave or SearXNG")

// results reads DuckDuckGo's page: a link of class result__a each, and one of class
// result__snippet behind it. Advertisements lead through y.js.
func results(page string) (found []result, err error) {
	known := false
	for len(found) < 3*maxCount {
		_, t, rest, ok := html.Next(page)
		if !ok {
			break
		}
		page = rest
		switch {
		case t.End:
		case t.HasClass("anomaly-modal__title"):
			return nil, errNotHuman
		case t.HasClass("no-results") || t.HasClass("results"):
			known = true
		case t.HasClass("result__a"):
			found = append(found, result{Title: content(page, t.Name), URL: target(t.Attr("href"))})
		case t.HasClass("result__snippet") && len(found) > 0:
			found[len(found)-1].Snippet = content(page, t.Name)
		}
	}
	if len(found) == 0 && !known {
		return nil, errors.New("DuckDuckGo answered with a page that has no results on it")
	}
	return found, nil
}

// content is the HTML up to the end of the element, of bounded length.
func content(page, element string) string {
	page = page[:min(len(page), 8<<10)]
	if i := strings.Index(page, "</"+element); i >= 0 {
		return page[:i]
	}
	return ""
}

// target is where a link of a result leads: "//duckduckgo.com/l/?uddg=ADDRESS" to ADDRESS. It
// is "" for an advertisement.
func target(href string) string {
	if strings.Contains(href, "duckduckgo.com/y.js") {
		return ""
	}
	if strings.Contains(href, "duckduckgo.com/l/?") {
		return web.Param(href, "uddg")
	}
	return href
}
