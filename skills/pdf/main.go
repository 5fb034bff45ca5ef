// Skill pdf reads the text of PDF files: those of the workspace, and of the public web
// where the role grants http. It draws nothing and runs nothing that is in a file; it
// reads objects, streams and fonts as far as text needs them, within bounds (file.go)
// that a real file does not reach.
package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/webpage"
	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

const (
	maxFile = 16 << 20
	maxText = 40_000 // bytes of text of one answer
)

type input struct {
	Path string `json:"path"`
	From int    `json:"from"`
	To   int    `json:"to"`
}

func init() { sdk.Tool("pdf", read) }

func main() {}

func read(_ sdk.Context, in input) (string, error) {
	label, b, err := load(strings.TrimSpace(in.Path))
	if err != nil {
		return "", err
	}
	text, err := extract(label, b, in.From, in.To)
	if err != nil {
		return "", errors.New(label + ": " + err.Error())
	}
	return text, nil
}

// load gets a file: of the web by its address, else of the workspace.
func load(path string) (label string, b []byte, err error) {
	if strings.Contains(path, "://") {
		url, err := webpage.Address(path)
		if err != nil {
			return "", nil, err
		}
		r, err := webpage.Get(url, "application/pdf")
		if err != nil {
			return "", nil, err
		}
		return url, r.Body, nil
	}
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/workspace/"), "./")
	label = webpage.Shorten(strings.ToValidUTF8(path, "\uFFFD"))
	if path == "" || path[0] == '/' || strings.Contains("/"+path+"/", "/../") || strings.Contains(path, "\x00") {
		return "", nil, errors.New(strconv.Quote(label) + " is no path of the workspace")
	}
	if b, err = workfile.Read(path, maxFile); err != nil {
		return "", nil, err
	}
	if b == nil {
		return "", nil, errors.New("there is no file " + strconv.Quote(label) + " in the workspace")
	}
	return label, b, nil
}

// extract is the text of pages from to to, as many as fit into one answer.
func extract(label string, b []byte, from, to int) (string, error) {
	f, err := open(b)
	if err != nil {
		return "", err
	}
	pages := f.pages()
	if len(pages) == 0 {
		return "", errBroken
	}
	from = max(from, 1)
	if to <= 0 || to > len(pages) {
		to = len(pages)
	}
	if from > to {
		return "", errors.New("it has " + strconv.Itoa(len(pages)) + " pages, none from " + strconv.Itoa(from) +
			" to " + strconv.Itoa(to))
	}
	var out strings.Builder
	fonts := map[any]*font{}
	isCut := false
	for n := from; n <= to; n++ {
		p := &page{f: f, fonts: fonts, limit: maxText, state: state{ctm: identity, scale: 1}}
		p.run(f.contents(pages[n-1]), f.dict(pages[n-1]["Resources"]))
		if f.spent() && n == from {
			return "", errMuch
		}
		if n > from && (f.spent() || out.Len()+len(p.out) > maxText) {
			to, isCut = n-1, true
			break
		}
		out.WriteString("\n\n[page " + strconv.Itoa(n) + "]\n" + p.said())
	}
	head := label
	if title := f.title(); title != "" {
		head = "# " + webpage.Shorten(title) + "\n" + label
	}
	head += ", " + span(from, to, len(pages))
	if isCut {
		out.WriteString("\n\n[cut here: go on with from " + strconv.Itoa(to+1) + "]")
	}
	return strings.ToValidUTF8(head+out.String(), "\uFFFD"), nil
}

func span(from, to, all int) string {
	switch {
	case all == 1:
		return "1 page"
	case from == to:
		return "page " + strconv.Itoa(from) + " of " + strconv.Itoa(all)
	}
	return "pages " + strconv.Itoa(from) + " to " + strconv.Itoa(to) + " of " + strconv.Itoa(all)
}

// contents is what a page draws.
func (f *pdf) contents(page dict) (b []byte) {
	for _, o := range f.list(page["Contents"], nil) {
		if s, ok := f.resolve(o).(*stream); ok && len(b) < maxStream {
			b = append(append(b, f.decode(s)...), '\n')
		}
	}
	return b
}

// said is the text of a page, with a note where it is not all that people see.
func (p *page) said() string {
	text := strings.TrimSpace(string(p.out))
	switch {
	case p.placed == 0:
		return "(No text: a picture or a scan, perhaps.)"
	case len(p.out) >= p.limit:
		return text + "\n(The rest of this page is left out.)"
	case p.lost*2 > p.placed:
		return text + "\n(Most of this page is in fonts that do not say which characters they show.)"
	}
	return text
}
