package webpage

import (
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/skills/internal/html"
)

// Page is what Readable finds in HTML.
type Page struct {
	Title string
	Text  string // Markdown
}

const (
	maxPage    = 1 << 20 // bytes of text; the rest of a page is not looked at
	fewBytes   = 200     // of text: too few for it to be the main part of a page
	maxNesting = 10      // of lists and quotations that are indented
)

// Readable makes text of source, HTML that came from base. Navigation and the like are left
// out, unless there is hardly anything else; of a page with a main part only that is kept.
func Readable(source, base string) Page {
	r := reader{html: source, base: base, skipChrome: true}
	r.run()
	if len(r.out) < fewBytes {
		all := reader{html: source, base: base}
		if all.run(); len(all.out) > len(r.out) {
			r = all
		}
	}
	return Page{Title: r.title, Text: strings.TrimSpace(string(r.main()))}
}

// reader walks through html once and writes text to out. It keeps no tree: of
// elements that are open it knows what bears on how text is written.
type reader struct {
	html, base string
	i          int
	skipChrome bool

	title string
	out   []byte

	lines  int    // newlines to write before the next text
	space  bool   // whether a space comes before it
	mark   string // what the next text begins with on its line: "- ", "## "
	pre    bool
	inCell bool
	lists  []int // of each open list the next number, -1 when it has none
	quotes int
	link   int // where the text of the open link begins in out; or one of the constants below
	href   string

	parts [2]span // what <main> and <article> hold
}

// Values of reader.link that are no place.
const (
	linkNone = -1
	linkOpen = -2 // nothing was written since it began
)

// span is the part of reader.out that an element holds.
type span struct {
	count, depth, start, end int
}

func (r *reader) part(name string) *span {
	if name == "main" {
		return &r.parts[0]
	}
	return &r.parts[1]
}

// main is the part of a page that it is about: its <main>, or its only <article>.
func (r *reader) main() []byte {
	for _, p := range r.parts {
		if p.depth > 0 {
			p.end = len(r.out)
		}
		if p.count == 1 && p.end > p.start+fewBytes {
			return r.out[p.start:p.end]
		}
	}
	return r.out
}

func (r *reader) run() {
	r.link = linkNone
	for r.i < len(r.html) && len(r.out) < maxPage {
		next := strings.IndexByte(r.html[r.i:], '<')
		if next < 0 {
			r.text(r.html[r.i:])
			break
		}
		r.text(r.html[r.i : r.i+next])
		r.i += next
		r.markup()
	}
}

// Kinds of elements.
const (
	inline = iota
	block  // stands on lines of its own
	apart  // and has an empty line around it
	raw    // its content is no HTML and not for reading
	chrome // surrounds what a page is about
	gone   // never for reading
	void   // has no content
)

func kindOf(name string) int {
	switch name {
	case "div", "section", "header", "main", "article", "figure", "figcaption", "address", "details", "summary", "tr",
		"dl", "dt", "dd", "fieldset", "center", "body", "html", "li", "caption", "tbody", "thead", "tfoot":
		return block
	case "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "pre", "blockquote":
		return apart
	case "script", "style", "iframe", "noembed", "noframes", "xmp", "textarea", "title":
		return raw
	case "nav", "footer", "aside", "form", "dialog":
		return chrome
	case "svg", "math", "template", "object", "canvas", "audio", "video", "select", "button":
		return gone
	case "br", "hr", "img", "input", "meta", "link", "area", "base", "col", "embed", "source", "track", "wbr":
		return void
	}
	return inline
}

func (r *reader) start(t *tag) {
	kind := kindOf(t.name)
	switch {
	case kind == raw:
		content := r.raw(t.name)
		if t.name == "title" && r.title == "" {
			r.title = strings.Join(strings.Fields(html.Unescape(content)), " ")
			r.title = Shorten(r.title)
		}
		return
	case kind == gone && !t.closed, kind == chrome && r.skipChrome, t.hidden && kind != void && r.skipChrome:
		r.skip(t.name)
		return
	case kind == block || kind == chrome:
		r.lines = max(r.lines, 1)
	case kind == apart:
		r.lines = max(r.lines, 2)
	}
	r.open(t)
}

// open does what a start tag means beyond its lines.
func (r *reader) open(t *tag) {
	switch name := t.name; name {
	case "h1", "h2", "h3", "h4", "h5", "h6":
		r.mark = strings.Repeat("#", int(name[1]-'0')) + " "
	case "br":
		r.lines = max(r.lines, 1)
	case "hr":
		r.lines = max(r.lines, 2)
	case "ul":
		r.list(-1)
	case "ol":
		r.list(1)
	case "li":
		r.item()
	case "blockquote":
		r.quotes++
	case "pre":
		r.write("```")
		r.lines, r.pre = 1, true
	case "td", "th":
		if r.inCell && r.lines == 0 {
			r.write(" |")
			r.space = true
		}
		r.inCell = true
	case "tr":
		r.inCell = false
	case "a":
		r.link, r.href = linkOpen, t.href
	case "img":
		if alt := strings.Join(strings.Fields(t.alt), " "); alt != "" {
			r.text("[image: " + Shorten(alt) + "]")
		}
	case "main", "article":
		p := r.part(name)
		if p.depth++; p.depth == 1 {
			p.count++
			p.start = len(r.out)
		}
	}
}

// list opens a list; one inside another follows its item without an empty line.
func (r *reader) list(first int) {
	if len(r.lists) > 0 {
		r.lines = 1
	}
	r.lists = append(r.lists, first)
}

func (r *reader) item() {
	r.mark = "- "
	if n := len(r.lists); n > 0 && r.lists[n-1] > 0 {
		r.mark = strconv.Itoa(r.lists[n-1]) + ". "
		r.lists[n-1]++
	}
}

func (r *reader) end(name string) {
	switch kindOf(name) {
	case block, chrome:
		r.lines = max(r.lines, 1)
	case apart:
		r.lines = max(r.lines, 2)
	}
	switch name {
	case "h1", "h2", "h3", "h4", "h5", "h6", "li":
		r.mark = ""
	case "ul", "ol":
		if n := len(r.lists); n > 0 {
			r.lists = r.lists[:n-1]
		}
		if len(r.lists) > 0 {
			r.lines = 1
		}
	case "blockquote":
		r.quotes = max(r.quotes-1, 0)
	case "pre":
		if r.pre {
			r.pre, r.lines = false, 1
			r.write("```")
			r.lines = 2
		}
	case "a":
		r.endLink()
	case "main", "article":
		p := r.part(name)
		if p.depth--; p.depth <= 0 {
			p.depth, p.end = 0, len(r.out)
		}
	}
}

// endLink puts the address behind the text written since the link began.
func (r *reader) endLink() {
	start := r.link
	r.link = linkNone
	to := Resolve(r.base, r.href)
	if start < 0 || to == "" || r.pre {
		return
	}
	text := strings.Join(strings.Fields(string(r.out[start:])), " ")
	if text != to {
		text = "[" + text + "](" + to + ")"
	}
	r.out = append(r.out[:start], text...)
}

// text writes character data, white space made single spaces but in pre.
func (r *reader) text(s string) {
	s = html.Unescape(s)
	if r.pre {
		r.verbatim(s)
		return
	}
	for s != "" {
		n := 0
		for n < len(s) && !isSpace(s[n]) {
			n++
		}
		if n > 0 {
			r.write(s[:n])
		}
		s = s[n:]
		for s != "" && isSpace(s[0]) {
			r.space = true
			s = s[1:]
		}
	}
}

func (r *reader) verbatim(s string) {
	for i, line := range strings.Split(strings.ReplaceAll(s, "\r", ""), "\n") {
		if i > 0 {
			r.lines++
		}
		if line != "" {
			r.write(line)
		}
	}
}

// write writes a piece of text, after the white space and marks that are due.
func (r *reader) write(s string) {
	if len(r.out) == 0 {
		r.lines = 0
	}
	if r.lines > 0 {
		for ; r.lines > 0; r.lines-- {
			r.out = append(r.out, '\n')
		}
		for range min(r.quotes, maxNesting) {
			r.out = append(r.out, "> "...)
		}
		for range min(len(r.lists), maxNesting) - 1 {
			r.out = append(r.out, "  "...)
		}
		if len(r.lists) > 0 && r.mark == "" {
			r.out = append(r.out, "  "...)
		}
	} else if r.space && len(r.out) > 0 && !r.pre {
		r.out = append(r.out, ' ')
	}
	r.out = append(r.out, r.mark...)
	if r.link == linkOpen {
		r.link = len(r.out)
	}
	r.out = append(r.out, s...)
	r.mark, r.space = "", false
}
