package markup

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestPublic is the original's table, and where it leaked.
func TestPublic(t *testing.T) {
	for in, want := range map[string]string{
		"hello <internal>secret</internal> world":            "hello  world",
		"hello <internal>\nsecret\nstuff\n</internal> world": "hello  world",
		"<internal>only this</internal>":                     "",
		"<internal>thinking</internal>The answer is 42":      "The answer is 42",
		"before <internal>unclosed text":                     "before ", // the original lets it out
		"<INTERNAL>x</Internal>y":                            "y",       // and this
		"<internal>a<internal>b</internal>c</internal>d":     "d",       // and says "c</internal>d" here
		"a</internal>b":              "ab",
		"< b and <i>x</i> and 1 <":   "< b and <i>x</i> and 1 <",
		"<internal >x</internal\n>y": "y",
		"<internally>x":              "<internally>x",
		"<intern":                    "<intern",
		"<internal" + strings.Repeat(" ", 50) + ">x":           "<internal" + strings.Repeat(" ", 50) + ">x",
		"<<internal>x</internal>>":                             "<>",
		"<internal>1</internal>a<internal>2</internal>b<inter": "ab<inter",
	} {
		if got := Public(in); got != want {
			t.Errorf("Public(%q) = %q, want %q", in, got, want)
		}
		var s Stripper
		got := ""
		for i := range len(in) { // byte by byte
			got += s.Next(in[i : i+1])
		}
		if got += s.End(); got != want {
			t.Errorf("in pieces %q is %q, want %q", in, got, want)
		}
	}
}

func TestWhatsApp(t *testing.T) {
	for in, want := range map[string]string{
		"**hello**":                             "*hello*",
		"__hello__":                             "*hello*",
		"say *this* now":                        "say _this_ now",
		"say _this_ now":                        "say _this_ now",
		"~~gone~~":                              "~gone~",
		"a * b * c":                             "a * b * c",
		"# Top":                                 "*Top*",
		"### Section ###":                       "*Section*",
		"# **Bold** and *it*":                   "*Bold and _it_*",
		"#hashtag":                              "#hashtag",
		"[Link](https://example.com)":           "Link (https://example.com)",
		"[https://a.b](https://a.b)":            "https://a.b",
		"[x](not a link)":                       "[x](not a link)",
		"above\n***\nbelow":                     "above\n\nbelow",
		"above\n- - -\nbelow":                   "above\n\nbelow",
		"**bold** and `*code*` and *italic*":    "*bold* and `*code*` and _italic_",
		"***both***":                            "*_both_*", // the original: **both**
		"a*b*c":                                 "a*b*c",    // the original: a_b_c, and so 2_3_4
		"![img](u)":                             "img (u)",  // the original: !img (u)
		"snake_case_name and __init__.py":       "snake_case_name and *init*.py",
		"https://x.y/__init__.py?a=*b*":         "https://x.y/__init__.py?a=*b*",
		"* one\n* **two**\n+ three":             "- one\n- *two*\n- three",
		"> quoted **text**":                     "> quoted *text*",
		"```go\na := **p\n# no heading\n```\nx": "```\na := **p\n# no heading\n```\nx",
		"~~~\n*a*\n~~~":                         "```\n*a*\n```",
		`\*not italic\*`:                        "*not italic*",
		"**小明** and *José*":                     "*小明* and _José_",
		"**open":                                "**open",
		"**a `**` b**":                          "*a `**` b*",
		"":                                      "",
	} {
		if got := WhatsApp(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		max  int
		want []string
	}{
		"fits":      {"short", 30, []string{"short"}},
		"no limit":  {strings.Repeat("a", 100), 0, []string{strings.Repeat("a", 100)}},
		"hard cut":  {strings.Repeat("a", 100), 30, []string{strings.Repeat("a", 30), strings.Repeat("a", 30), strings.Repeat("a", 30), strings.Repeat("a", 10)}},
		"paragraph": {"one one\n\ntwo\nthree four", 14, []string{"one one", "two\nthree four"}},
		"line":      {"one\ntwo three\nfour", 15, []string{"one\ntwo three", "four"}},
		"word":      {"one two three", 9, []string{"one two", "three"}},
		"just fits": {"one two three", 7, []string{"one two", "three"}},
		"runes":     {strings.Repeat("é", 5), 2, []string{"éé", "éé", "é"}},
		"code, a line": {"look:\n```go\n" + strings.Repeat("a b\n", 20) + "```\nend", 64, []string{
			"look:\n```go\n" + strings.Repeat("a b\n", 11) + "a b\n```",
			"```go\n" + strings.Repeat("a b\n", 8) + "```\nend",
		}},
	} {
		if got := Split(tc.text, tc.max); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// FuzzMarkup: parts fit, lose nothing but space and marks of code, leave no block of code open, and
// rendering lengthens none of them.
func FuzzMarkup(f *testing.F) {
	f.Add("# Title\n\nsome **bold** [x](http://y)\n```go\ncode here\n```\nend", 64)
	f.Add("~~~a\n"+strings.Repeat("x ", 100), 70)
	f.Add(strings.Repeat("```a\nb\n```\n\n", 30), 65)
	f.Add("[a[b](c) ![](d) *_**_*~~`", 3)
	f.Fuzz(func(t *testing.T, text string, max int) {
		if !utf8.ValidString(text) || max < 1 || max > 1<<20 {
			return
		}
		letters := func(s string) string {
			return strings.Map(func(r rune) rune {
				if strings.ContainsRune(" \n`~", r) {
					return -1
				}
				return r
			}, s)
		}
		all, rendered := "", ""
		for _, part := range Split(text, max) {
			if n := utf8.RuneCountInString(part); n > max {
				t.Fatalf("a part of %d characters, max %d: %q", n, max, part)
			}
			if max >= minFenced && utf8.RuneCountInString(text) > max && fence(part, "") != "" && !strings.HasSuffix(text, part) {
				if fence(text, "") == "" {
					t.Errorf("a block of code is open at the end of %q", part)
				}
			}
			out := WhatsApp(part)
			if len(out) > len(part) {
				t.Errorf("%q became longer: %q", part, out)
			}
			all, rendered = all+part, rendered+out
		}
		if max < minFenced && letters(all) != letters(text) {
			t.Errorf("%q came back as %q", text, all)
		}
	})
}

// TestHostileMarkup: what is made to be slow.
func TestHostileMarkup(t *testing.T) {
	for _, unit := range []string{"*a ", "*", "[", "`", "_*", "[a](", "**a**", "<internal", "*_", "\n```\n", "a*", "![", "~~ ", "*a* "} {
		text := strings.Repeat(unit, 256<<10/len(unit))
		begin := time.Now()
		for _, part := range Split(Public(text), 4096) {
			WhatsApp(part)
		}
		if d := time.Since(begin); d > 20*time.Second {
			t.Errorf("%q costs %s", unit, d)
		}
	}
}
