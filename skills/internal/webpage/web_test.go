package webpage

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "https://example.com", " <https://example.com/a?b=c#d>. ": "https://example.com/a?b=c#d",
		"HTTP://Example.com": "http://Example.com", "example.com:8080/x": "https://example.com:8080/x",
		"ftp://x": "", "file:///etc/passwd": "", "": "", "https://": "", "what is this": "", "https://" + strings.Repeat("x", 3000): "",
	} {
		got, err := Address(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%.40s: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestResolve(t *testing.T) {
	const base = "https://h.example/a/b/c.html?q=1#f"
	for ref, want := range map[string]string{
		"d.html": "https://h.example/a/b/d.html", "../d": "https://h.example/a/d", "../../../../d": "https://h.example/d",
		"./": "https://h.example/a/b/", "..": "https://h.example/a/", "/x/./y": "https://h.example/x/y", "?z": "https://h.example/a/b/c.html?z",
		"//o.example/p": "https://o.example/p", "http://o/": "http://o/", "mailto:a@b": "mailto:a@b", "#top": "", "": "",
		"javascript:alert(1)": "", "data:text/html,x": "", "x y": "", "a?u=http://b/../c": "https://h.example/a/b/a?u=http://b/../c",
		"a:b": "", "x/y:z": "https://h.example/a/b/x/y:z",
	} {
		if got := Resolve(base, ref); got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
	if got := Resolve("https://h.example", "x"); got != "https://h.example/x" {
		t.Errorf("got %q", got)
	}
}

func TestHostilePagesEnd(t *testing.T) {
	const n = 1 << 20
	for _, unit := range []string{
		"<", "<a", "<a href=", "<!--", "</", "</a>", "<script>", "<ul><li>", "<blockquote>x", "<nav>", "<svg>", "<svg><script>",
		"<title>", "<pre>\n", "&", "&#", "&#x", "<a href='/x'>y", "<p hidden>", "<td>x", "<main>", "</main>", "<h6>x", "<a/", "<a x=\"",
		"<br>", "<a href=/>" + "x</a>", "&nbsp", "<a href=\"https://x/" + strings.Repeat("y", 1900) + "\">z</a>", "<wbr6>", "<h>",
	} {
		start := time.Now()
		p := Readable(strings.Repeat(unit, n/len(unit)), "https://"+strings.Repeat("b", 1900)+"/")
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%.20s takes %v", unit, d)
		}
		if len(p.Text) > 4*n {
			t.Errorf("%.20s makes %d bytes", unit, len(p.Text))
		}
	}
}

func FuzzReadable(f *testing.F) {
	f.Add("<html><title>a</title><main><h1>b</h1><ul><li>c<pre>d</pre><table><tr><td>e<td>f</table><a href='../x'>g</a>")
	f.Add("<a href=x><li><h1>&#x0;&#99999999;</a></ol></pre></blockquote><td><!--><?")
	f.Fuzz(func(t *testing.T, html string) {
		p := Readable(html, "https://example.com/")
		if utf8.ValidString(html) && !utf8.ValidString(p.Text) {
			t.Errorf("%q makes %q", html, p.Text)
		}
	})
}
