package markup

import (
	"strings"
	"unicode/utf8"
)

// Split cuts text into parts of at most max characters (runes; 0 = no limit), at the end of a
// paragraph where it can, else of a line, else of a word. A block of code that is cut is closed in
// one part and opened again in the next.
func Split(text string, max int) (parts []string) {
	open := ""
	for max > 0 {
		lead := ""
		if open != "" {
			lead = open + "\n"
		}
		if utf8.RuneCountInString(lead)+utf8.RuneCountInString(text) <= max {
			text = lead + text
			break
		}
		var part string
		part, text, open = cut(text, open, lead, max)
		if strings.TrimSpace(part) != "" {
			parts = append(parts, part)
		}
	}
	if strings.TrimSpace(text) != "" || len(parts) == 0 {
		parts = append(parts, text)
	}
	return parts
}

// cut takes one part off text, in a block of code when open says how it began.
func cut(text, open, lead string, max int) (part, rest, stillOpen string) {
	room := max - utf8.RuneCountInString(lead)
	for {
		window := text[:prefix(text, room)]
		part, rest = window, text[len(window):]
		for _, sep := range []string{"\n\n", "\n", " "} {
			i := strings.LastIndex(text[:min(len(text), len(window)+len(sep))], sep)
			if i > len(window)/4 { // a short part is worse than a cut at a lesser place
				part, rest = text[:i], text[i+len(sep):]
				break
			}
		}
		if max >= minFenced {
			stillOpen = fence(part, open)
		}
		if stillOpen == "" {
			return lead + part, strings.TrimLeft(rest, "\n"), ""
		}
		end := "\n" + marks(stillOpen)
		over := utf8.RuneCountInString(lead+part+end) - max
		if over <= 0 {
			return lead + part + end, rest, stillOpen
		}
		room -= over
	}
}

// prefix is the length in bytes of the first n runes of s.
func prefix(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// Blocks of code with longer marks, or in parts too short for them, are cut as text is.
const (
	maxMarks  = 10
	maxInfo   = 20
	minFenced = 64
)

// fence follows the blocks of code in text: it returns the line that began the one which is open at
// its end, "" when none is.
func fence(text, open string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		m := marks(line)
		switch {
		case m == "":
		case open == "":
			open = line[:prefix(line, len(m)+maxInfo)]
		case m[0] == open[0] && len(m) >= len(marks(open)) && m == line:
			open = ""
		}
	}
	return open
}

// marks are those that a line of CommonMark begins a block of code with, or ends it.
func marks(line string) string {
	for _, c := range []string{"`", "~"} {
		n := len(line) - len(strings.TrimLeft(line, c))
		if n >= 3 && n <= maxMarks && !strings.Contains(line[n:], "`") {
			return line[:n]
		}
	}
	return ""
}
