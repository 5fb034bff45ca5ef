package html

import (
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"a <b>bold</b>\n  word": "a bold word", "caf&eacute; &amp; &#8364; &unknown; &lt;b&gt;": "café & € &unknown; <b>",
		"1 < 2 <3": "1 < 2 <3", "x<br>y<p>z</p>": "x y z", `<a title="x > y">in</a>`: "in", "<!-- no --><?no?>yes": "yes",
		"": "", "<": "<", "</": "</", "<b": "", "a<!": "a", "a<!-- x > y -->b": "ab", "<i class='": "", "a</b>c": "ac",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTag(t *testing.T) {
	text, tag, rest, ok := Next(`x <A class = "r one" href='/?a=1&amp;b=2' data-x=y/z disabled>in</a>`)
	if !ok || text != "x " || tag.Name != "a" || tag.End || rest != "in</a>" {
		t.Errorf("got %q %+v %q", text, tag, rest)
	}
	for name, want := range map[string]string{"href": "/?a=1&b=2", "CLASS": "r one", "data-x": "y/z", "disabled": "", "none": ""} {
		if got := tag.Attr(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if !tag.HasClass("one") || tag.HasClass("on") {
		t.Error("classes")
	}
	if _, tag, _, _ := Next(rest); tag.Name != "a" || !tag.End {
		t.Errorf("end tag %+v", tag)
	}
}

// TestHostile: an attribute that is looked for many times over in what never ends.
func TestHostile(t *testing.T) {
	for _, unit := range []string{"<", "<a", "<!", "</", "<a b='", "&", "&#", "<a =", "<a ='x'", "<b/"} {
		start := time.Now()
		s := strings.Repeat(unit, 1<<20/len(unit))
		Text(s)
		_, tag, _, _ := Next(s)
		tag.Attr("href")
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s takes %v", unit, d)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add(`<a href="x">a&amp;b</a><!-- c`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, tag, rest, ok := Next(s); ok; _, tag, rest, ok = Next(rest) {
			tag.Attr("href")
		}
		if out := Text(s); strings.ContainsAny(out, "\n\t") {
			t.Errorf("%q makes %q", s, out)
		}
	})
}
