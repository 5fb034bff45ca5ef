package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/model/modeltest"
)

// recorded answers with a file that a skill's own tests use.
func recorded(t *testing.T, kind, path string) http.HandlerFunc {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../skills", path))
	if err != nil {
		t.Fatal(err)
	}
	return page(kind, string(b))
}

// askedOf lists what a host was asked.
func (w *fakeWeb) askedOf(host string) (out []webRequest) {
	for _, r := range w.requests() {
		if strings.HasPrefix(r.URL, host) {
			out = append(out, r)
		}
	}
	return out
}

// TestSearchSkill: with the role as shipped DuckDuckGo is asked, and Brave hears nothing.
func TestSearchSkill(t *testing.T) {
	w := newFakeWeb(t, map[string]http.Handler{
		"html.duckduckgo.com":  recorded(t, "text/html; charset=UTF-8", "search/testdata/duckduckgo.html"),
		"api.search.brave.com": recorded(t, "application/json", "search/testdata/brave.json"),
	})
	got := w.site("web").transcript("search the web for green tea brewing time")
	checkReadme(t, "search", got)
	if n := len(w.requests()); n != 1 || len(w.askedOf("html.duckduckgo.com/html/?q=green+tea+brewing+time")) != 1 {
		t.Errorf("the web was asked %+v", w.requests())
	}
}

// TestSearchWithAKey: Brave is asked with the key that the host puts in, and nobody else has it.
func TestSearchWithAKey(t *testing.T) {
	w := newFakeWeb(t, map[string]http.Handler{
		"api.search.brave.com": recorded(t, "application/json", "search/testdata/brave.json"),
	})
	const key = "BSA-test-0123456789"
	s := w.site("research", "# http = [ { hosts = [\"api.search.brave.com\"]", "http = [ { hosts = [\"api.search.brave.com\"]",
		"# [secrets.weather]", "[secrets.brave]\nenv = \"BRAVE_TEST_KEY\"", `agent = "websearch"`, "")
	s.env = append(s.env, "BRAVE_TEST_KEY="+key)
	got := s.chat("search for green tea brewing time")
	asked := w.askedOf("api.search.brave.com/res/v1/web/search?q=green+tea+brewing+time&count=8&offset=0")
	if !strings.Contains(got, "Brave Search finds for") || strings.Contains(got, key) {
		t.Errorf("chat said %q", got)
	}
	if len(asked) != 1 || asked[0].Header.Get("X-Subscription-Token") != key {
		t.Errorf("the web was asked %+v", w.requests())
	}
}

// TestWebsearchSkill: a model behind the real SDK, at the API's real address, searches, reads
// and forgets to name its source.
func TestWebsearchSkill(t *testing.T) {
	model := modeltest.NewAnthropic(t,
		modeltest.Answer{Uses: []modeltest.Use{{ID: "u1", Name: "search", Input: `{"query":"green tea brewing time"}`}}},
		modeltest.Answer{Uses: []modeltest.Use{{ID: "u2", Name: "fetch", Input: `{"url":"https://tea.example/green?a=1&b=2"}`}}},
		modeltest.Answer{Text: "Two minutes, in water of 80 °C."})
	w := newFakeWeb(t, map[string]http.Handler{
		"api.anthropic.com":   model,
		"html.duckduckgo.com": recorded(t, "text/html; charset=UTF-8", "search/testdata/duckduckgo.html"),
		"tea.example":         page("text/html", "<title>Green tea</title><p>Steep green tea at 80&deg;C for two minutes."),
	})
	s := w.site("research", "# [providers.anthropic]\n# api_key", "[providers.anthropic]\napi_key")
	s.env = append(s.env, "ANTHROPIC_API_KEY="+modeltest.Key)
	checkReadme(t, "websearch", s.transcript("How long does green tea take?"))
	asked := model.Requests()
	if len(asked) != 3 || !strings.Contains(string(asked[1].Raw), "DuckDuckGo finds") ||
		!strings.Contains(string(asked[2].Raw), "Steep green tea at 80°C") {
		t.Errorf("the model was asked %d times; at last %.2000s", len(asked), asked[len(asked)-1].Raw)
	}
}

// TestWeatherSkill: a place that is asked for, and the one of the role's settings.
func TestWeatherSkill(t *testing.T) {
	springfield := recorded(t, "application/json", "weather/testdata/springfield.json")
	berlin := recorded(t, "application/json", "weather/testdata/berlin.json")
	w := newFakeWeb(t, map[string]http.Handler{
		"geocoding-api.open-meteo.com": http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("name") == "Berlin" {
				berlin(rw, r)
			} else {
				springfield(rw, r)
			}
		}),
		"api.open-meteo.com": recorded(t, "application/json; charset=utf-8", "weather/testdata/forecast.json"),
	})
	const skills = `skills = ["fetch", "search", "weather", "feeds"]`
	s := w.site("web", skills, skills+"\n"+`settings = { weather = { place = "Berlin, Germany" } }`)
	checkReadme(t, "weather", s.transcript("what is the weather", "what is the weather in Springfield?"))
}

// TestFilesSkill: the workspace outlives the turn, a mount is read and not written.
func TestFilesSkill(t *testing.T) {
	papers := t.TempDir()
	write(t, filepath.Join(papers, "tea.txt"), "Green tea takes two minutes.\nBlack tea takes four.\n")
	write(t, filepath.Join(papers, "photo.jpg"), "\xff\xd8\xff\xe0\x00\x10JFIF")
	const skills = `skills = ["notes", "time", "calc", "files", "todo", "calendar", "pdf", "schedule", "memory", "history"]`
	s := newFakeWeb(t, nil).site("main", skills, skills+"\nmounts = [ { path = \""+papers+"\", name = \"papers\" } ]",
		"[mounts]\n", fmt.Sprintf("[mounts]\nallow = [%q]\n", papers))
	got := s.transcript("list files", "search my files for tea", "read file /mnt/papers/tea.txt", "read file /mnt/papers/photo.jpg",
		"save Buy green tea. to shopping/list.md", "append Buy a pot. to shopping/list.md", "read file shopping/list.md",
		"save nothing to /mnt/papers/tea.txt", "read file ../../etc/passwd")
	checkReadme(t, "files", got)
	if b, err := os.ReadFile(filepath.Join(papers, "tea.txt")); err != nil || !strings.HasPrefix(string(b), "Green tea") {
		t.Errorf("the mount has %q, %v", b, err)
	}
}
