package model

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of the search: tools and examples come from skills.
const (
	maxTokens   = 256  // of a message; the last one reaches to its end
	maxElements = 40   // of an example
	maxPatterns = 4096 // of all tools
	maxSpan     = 4    // words of an example that may stand for an argument
)

// schema is what matters here of a tool's inputSchema.
type schema struct {
	Required   []string            `json:"required"`
	Properties map[string]property `json:"properties"`
}

type property struct {
	Type json.RawMessage `json:"type"` // a name, or a list of names
}

func schemaOf(t wire.Tool) (s schema) {
	if json.Unmarshal(t.InputSchema, &s) != nil {
		return schema{}
	}
	return s
}

// single is the property that a plain text is meant for; "" when that is not clear: the one
// required, else the only string, else the only one.
func (s schema) single() string {
	var names, texts []string
	for name := range s.Properties {
		names = append(names, name)
		if s.is(name, "string") {
			texts = append(texts, name)
		}
	}
	for _, set := range [][]string{s.Required, texts, names} {
		if len(set) == 1 {
			return set[0]
		}
		if len(set) > 1 {
			return ""
		}
	}
	return ""
}

func (s schema) is(prop, typ string) bool {
	return strings.Contains(string(s.Properties[prop].Type), `"`+typ+`"`)
}

// convert makes text what prop's type asks for.
func (s schema) convert(prop, text string) (any, error) {
	switch {
	case s.is(prop, "string") || len(s.Properties[prop].Type) == 0:
		return text, nil
	case s.is(prop, "integer"):
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("must be a whole number")
		}
		return n, nil
	case s.is(prop, "number"):
		n, err := strconv.ParseFloat(text, 64)
		if _, e := json.Marshal(n); err != nil || e != nil {
			return nil, errors.New("must be a number")
		}
		return n, nil
	case s.is(prop, "boolean"):
		switch strings.ToLower(text) {
		case "true", "yes", "on":
			return true, nil
		case "false", "no", "off":
			return false, nil
		}
		return nil, errors.New("must be yes or no")
	}
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return nil, errors.New("must be JSON")
	}
	return v, nil
}

// token is one word of a message: a run of letters and digits, one sign of a script that
// writes no spaces, or a run of symbols that stands alone.
type token struct {
	text       string // lower case
	start, end int    // bytes of the message
}

func tokenize(s string) (out []token) {
	for i := 0; i < len(s) && len(out) < maxTokens; {
		i += runOf(s[i:], unicode.IsSpace)
		end, before := i+runOf(s[i:], func(r rune) bool { return !unicode.IsSpace(r) }), len(out)
		for j := i; j < end && len(out) < maxTokens; {
			r, n := utf8.DecodeRuneInString(s[j:])
			if inWord(r) && !spaceless(r) {
				n = runOf(s[j:end], func(r rune) bool { return inWord(r) && !spaceless(r) })
			}
			if inWord(r) {
				out = append(out, token{strings.ToLower(s[j : j+n]), j, j + n})
			}
			j += n
		}
		if len(out) == before && strings.Trim(s[i:end], `?!.,;:…"'“”‘’«»`) != "" {
			out = append(out, token{s[i:end], i, end})
		}
		i = end
	}
	if len(out) == maxTokens {
		out[maxTokens-1].end = len(s)
	}
	return out
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

func spaceless(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer)
}

// runOf is the length in bytes of the runes at the front of s that are in.
func runOf(s string, in func(rune) bool) int {
	for i, r := range s {
		if !in(r) {
			return i
		}
	}
	return len(s)
}

// pattern is one example of a tool, or a guess at what in it stands for an argument.
type pattern struct {
	tool     *wire.Tool
	schema   schema
	elements []element
}

type element struct {
	word   string
	prop   string // set: an argument of one word or more
	weight float64
}

var placeholder = regexp.MustCompile(`\{[^{}\s]+\}`)

// patterns of all tools. A word that several tools use tells less, so it weighs less.
func patterns(tools []wire.Tool) (out []pattern) {
	used := make(map[string]map[string]bool)
	for i := range tools {
		t := &tools[i]
		s := schemaOf(*t)
		named := slices.ContainsFunc(t.Examples, placeholder.MatchString)
		for _, ex := range t.Examples {
			if len(out) >= maxPatterns {
				break
			}
			p := pattern{t, s, elements(ex, s)}
			for _, e := range p.elements {
				if e.prop == "" {
					if used[e.word] == nil {
						used[e.word] = make(map[string]bool)
					}
					used[e.word][t.Name] = true
				}
			}
			if p.complete() {
				out = append(out, p)
			}
			if !named && s.single() != "" {
				out = append(out, p.guesses()...)
			}
		}
	}
	for i := range out {
		weigh(out[i].elements, used)
	}
	return out
}

func elements(example string, s schema) (out []element) {
	text := func(part string) {
		for _, t := range tokenize(part) {
			out = append(out, element{word: t.text})
		}
	}
	at := 0
	for _, m := range placeholder.FindAllStringIndex(example, -1) {
		text(example[at:m[0]])
		prop := example[m[0]+1 : m[1]-1]
		if _, ok := s.Properties[prop]; !ok {
			prop = s.single()
		}
		if prop != "" {
			out = append(out, element{prop: prop})
		}
		at = m[1]
	}
	text(example[at:])
	return out[:min(len(out), maxElements)]
}

// complete reports whether p has words, and everything that the tool requires.
func (p pattern) complete() bool {
	for _, r := range p.schema.Required {
		if !slices.ContainsFunc(p.elements, func(e element) bool { return e.prop == r }) {
			return false
		}
	}
	return slices.ContainsFunc(p.elements, func(e element) bool { return e.word != "" })
}

// guesses puts the argument in the place of every few words of an example without a placeholder.
func (p pattern) guesses() (out []pattern) {
	prop := p.schema.single()
	for from := len(p.elements) - 1; from >= 0; from-- { // later words first: of equals, the first wins
		for to := from + 1; to <= min(from+maxSpan, len(p.elements)); to++ {
			g := pattern{p.tool, p.schema, slices.Concat(p.elements[:from], []element{{prop: prop}}, p.elements[to:])}
			if g.complete() {
				out = append(out, g)
			}
		}
	}
	return out
}

func weigh(es []element, used map[string]map[string]bool) {
	total := 0.0
	for i, e := range es {
		if e.prop == "" {
			es[i].weight = 1 / float64(len(used[e.word]))
			total += es[i].weight
		}
	}
	for i := range es {
		es[i].weight /= total
	}
}

// match is a tool with the arguments found in a message.
type match struct {
	tool *wire.Tool
	args map[string]any
	rank float64
}

// byPhrase is the best match of text, nil when none is good enough.
func byPhrase(ctx context.Context, text string, tools []wire.Tool) (best *match, err error) {
	text = strings.ToValidUTF8(strings.NewReplacer("’", "'", "‘", "'").Replace(text), "\uFFFD")
	tokens := tokenize(text)
	for _, p := range patterns(tools) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a, ok := align(p.elements, tokens)
		rank := a.score * float64(a.words)
		if !ok || best != nil && rank <= best.rank {
			continue
		}
		if args, ok := arguments(p, text, tokens, a.spans); ok {
			best = &match{p.tool, args, rank}
		}
	}
	return best, nil
}

// arguments are the texts of the spans, as the schema wants them.
func arguments(p pattern, text string, tokens []token, spans map[int][2]int) (map[string]any, bool) {
	args := make(map[string]any)
	for i, span := range spans {
		from, to := 0, len(text)
		if span[0] > 0 {
			from = tokens[span[0]-1].end
		}
		if span[1] < len(tokens) {
			to = tokens[span[1]].start
		}
		start, end := tokens[span[0]].start, tokens[span[1]-1].end
		from += strings.LastIndexFunc(text[from:start], unicode.IsSpace) + 1 // signs stuck to the words belong to them
		if n := strings.IndexFunc(text[end:to], unicode.IsSpace); n >= 0 {
			to = end + n
		}
		value := text[from:to]
		if span[1] < len(tokens) && to == tokens[span[1]].start { // what holds "France" and "s" together is of neither
			value = strings.TrimRight(value, `'"-`)
		}
		v, err := p.schema.convert(p.elements[i].prop, tidy(value))
		if err != nil || v == "" {
			return nil, false
		}
		args[p.elements[i].prop] = v
	}
	return args, true
}

// tidy takes the end of a sentence and quotes off an argument. "5!" keeps its sign.
func tidy(s string) string {
	s = strings.TrimLeft(strings.TrimSpace(s), ":,;")
	for {
		t := strings.TrimRight(s, "?.,;:… ？。")
		if b, ok := strings.CutSuffix(t, "!"); ok && !strings.ContainsAny(b[max(len(b)-1, 0):], "0123456789)") {
			t = b
		}
		if t == s {
			break
		}
		s = t
	}
	for _, q := range []string{`""`, `''`, "“”", "«»", "``"} {
		r := []rune(q)
		if in, ok := strings.CutPrefix(s, string(r[0])); ok {
			if in, ok = strings.CutSuffix(in, string(r[1])); ok {
				s = in
			}
		}
	}
	return strings.TrimSpace(s)
}
