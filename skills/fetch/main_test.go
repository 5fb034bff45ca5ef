package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/sdk/sdktest"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

const article = `<!DOCTYPE html>
<html><head><meta charset="utf-8"><title> Tea &amp; co. </title><style>p { color: red }</style>
<script>if (a < b) document.write("<p>no</p>")</script></head>
<body><!-- a comment <p>no</p> -->
<nav><ul><li><a href="/">Home</a></li></ul></nav>
<main>
<h1>On tea</h1>
<p>Tea is a <b>drink</b>,
   see <a href="../wiki/Tea?x=1&amp;y=2#top">the article</a> &mdash; caf&eacute; &#8364;&#x20ac;&unknown;.</p>
<ul><li>green</li><li>black<ol><li>Assam<li>Darjeeling</ol></li><li>white</li></ul>
<a href="/more"><h2>More <i>tea</i></h2></a>
<blockquote><p>Quoted</p><p>twice</p></blockquote>
<pre>if a &lt; b {
    c()
}</pre>
<table><tr><th>Sort</th><th>Price</th></tr><tr><td>Green</td><td>3</td></tr></table>
<p>x &lt;y> <img src="a.png" alt="A cup"> line<br>break 1 < 2 <span hidden>gone</span><a href="javascript:x()">plain</a></p>
<svg><title>icon</title><p>no</p></svg><select><option>no</select>
<p>` + "Padding so that the main part is long enough to be taken for the page's own text, which it is.</p>" + `
</main><footer>Imprint</footer></body></html>`

const articleText = `# Tea & co.
https://example.com/a/b.html

# On tea

Tea is a drink, see [the article](https://example.com/wiki/Tea?x=1&y=2) — café €€&unknown;.

- green
- black
  1. Assam
  2. Darjeeling
- white

## [More tea](https://example.com/more)

> Quoted

> twice

` + "```\nif a < b {\n    c()\n}\n```" + `

Sort | Price
Green | 3

x <y> [image: A cup] line
break 1 < 2 plain

Padding so that the main part is long enough to be taken for the page's own text, which it is.`

// serve makes every request be answered with a body of a content type.
func serve(t *testing.T, contentType, body string) *sdktest.Host {
	h := sdktest.New(t)
	h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
		return &sdk.Response{Status: 200, URL: r.URL, Header: map[string]string{"content-type": contentType}, Body: []byte(body)}, nil
	}
	return h
}

func TestArticle(t *testing.T) {
	h := serve(t, "text/html", article)
	got := h.Call("fetch", input{URL: "example.com/a/b.html"}).Text()
	if got != articleText {
		t.Errorf("got\n%s\n\nwant\n%s", got, articleText)
	}
}

func TestKindsOfAnswers(t *testing.T) {
	for name, c := range map[string]struct{ kind, body, want string }{
		"plain":            {"text/plain; charset=utf-8", "a <b> é\n", "https://x/\n\na <b> é"},
		"json":             {"application/json", `{"a": "<p>"}`, "https://x/\n\n{\"a\": \"<p>\"}"},
		"json by suffix":   {"application/problem+json", `{}`, "https://x/\n\n{}"},
		"latin-1":          {"text/plain; charset=ISO-8859-1", "caf\xe9 \x80", "https://x/\n\ncafé €"},
		"latin-1 in meta":  {"text/html", "<meta http-equiv=x content='text/html; charset=latin1'><p>caf\xe9", "https://x/\n\ncafé"},
		"nobody says":      {"text/html", "<p>caf\xe9", "https://x/\n\ncafé"},
		"said wrong":       {"text/html; charset=utf-8", "<p>caf\xe9!", "https://x/\n\ncaf\ufffd!"},
		"byte order mark":  {"text/plain", "\ufeffx", "https://x/\n\nx"},
		"unknown charset":  {"text/plain; charset=shift_jis", "a\x83\x5c", "https://x/\n\n(The page is written in shift_jis, of which only the plain letters can be read.)\n\na\ufffd\\"},
		"no kind, html":    {"", "<!doctype html><p>x", "https://x/\n\nx"},
		"no kind, text":    {"", "a < b", "https://x/\n\na < b"},
		"no kind, binary":  {"", "a\x00b", "error: https://x/ is application/octet-stream of 3 bytes, which is no text"},
		"picture":          {"image/png", "\x89PNG", "error: https://x/ is image/png of 4 bytes, which is no text"},
		"no text":          {"text/html", "<html><script>x()</script>", "https://x/\n\n(The page has no text. It may need a browser that runs its scripts.)"},
		"only navigation":  {"text/html", "<nav><a href=/a>A</a></nav>", "https://x/\n\n[A](https://x/a)"},
		"several articles": {"text/html", "<article>one " + strings.Repeat("x", 300) + "</article><article>two</article>", "https://x/\n\none " + strings.Repeat("x", 300) + "\ntwo"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, c.kind, c.body).Call("fetch", input{URL: "https://x/"})
			got := r.Text()
			if r.IsError {
				got = "error: " + got
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLongPagesComeInParts(t *testing.T) {
	var long strings.Builder
	for i := range 20_000 {
		long.WriteString(strings.Repeat("é", i%9) + " line\n")
	}
	h := serve(t, "text/plain; charset=utf-8", long.String())
	all, offset := "", 0
	for range 20 {
		r := h.Call("fetch", input{URL: "https://x/", Offset: offset})
		text, note, isCut := strings.Cut(r.Text(), "\n\n[cut here: ")
		if len(text) > maxText || !utf8.ValidString(text) || r.IsError {
			t.Fatalf("a part of %d bytes: %.100s", len(text), text)
		}
		all += text
		if !isCut {
			break
		}
		if !strings.HasSuffix(note, "]") {
			t.Fatalf("note %q", note)
		}
		offset = len(all)
	}
	if want := "https://x/\n\n" + strings.TrimSpace(long.String()); all != want {
		t.Errorf("%d bytes came of %d", len(all), len(want))
	}
	if r := h.Call("fetch", input{URL: "https://x/", Offset: 1 << 30}); !r.IsError {
		t.Error("an offset behind the end is no error")
	}
}

func TestFailures(t *testing.T) {
	if r := sdktest.Call(t, "fetch", input{URL: "https://x/"}); r.Text() != "fetching https://x/: denied: http is not granted" || !r.IsError {
		t.Errorf("got %+v", r)
	}
	h := sdktest.New(t)
	h.HTTP = func(r sdk.Request) (*sdk.Response, error) {
		if r.Method != "GET" {
			return nil, &sdk.Error{Status: wire.StatusDenied, Message: r.Method}
		}
		return &sdk.Response{Status: 404, Body: []byte("<p>no")}, nil
	}
	if r := h.Call("fetch", input{URL: "https://x/"}); r.Text() != "https://x/ answered with status 404" || !r.IsError {
		t.Errorf("got %+v", r)
	}
}
