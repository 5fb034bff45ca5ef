package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
)

// attachWord begins a line that sends a file.
const attachWord = "/file"

// inputOf is what a line of chat says: a text, or "/file PATH [caption]". A path with blanks stands in
// quotes or has a backslash before them, as terminals write one that is dropped on them.
func inputOf(id, line string) (console.Input, error) {
	in := console.Input{ID: id, Text: line}
	rest, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), attachWord)
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return in, nil
	}
	path, caption, err := firstWord(strings.TrimSpace(rest))
	if err != nil || path == "" {
		return in, fmt.Errorf("%w: write %s PATH, then what you want to say about it; quote a path with blanks",
			host.ErrInvalid, attachWord)
	}
	if in, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return console.Input{}, err
		}
		path = filepath.Join(home, in)
	}
	if path, err = filepath.Abs(path); err != nil {
		return in, err
	}
	in.Files, in.Text = []string{path}, strings.TrimSpace(caption)
	return in, nil
}

// firstWord reads one word as a shell would, and returns what stands after it.
func firstWord(s string) (word, rest string, err error) {
	var b strings.Builder
	quote := rune(0)
	escaped := false
	for i, r := range s {
		switch {
		case escaped:
			escaped = false
			b.WriteRune(r)
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case quote == 0 && (r == ' ' || r == '\t'):
			return b.String(), s[i:], nil
		default:
			b.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return "", "", fmt.Errorf("%w: a quote is not closed", host.ErrInvalid)
	}
	return b.String(), "", nil
}
