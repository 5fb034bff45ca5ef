package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
)

// maxRead bounds what is read of one file; another program may have put it there.
const maxRead = 4 * maxText

func dir() string { return sdk.Workspace() + "/notes" }

// note is one file. Files of this skill are called TIME-SLUG-ID.md, others are
// known by their names.
type note struct {
	file string
	id   string
	day  string // "2026-11-23", "" for files that are not of this skill
}

// parseName makes a note of a file name.
func parseName(file string) note {
	n := note{file: file, id: strings.TrimSuffix(file, ".md")}
	i := strings.LastIndexByte(n.id, '-')
	isOurs := len(n.id) > len("20060102-150405-") && n.id[8] == '-' && n.id[15] == '-' && isDigits(n.id[:8])
	if isOurs && len(n.id)-i-1 == idLength {
		n.day = n.id[:4] + "-" + n.id[4:6] + "-" + n.id[6:8]
		n.id = n.id[i+1:]
	}
	return n
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// line is how lists show a note.
func (n note) line(title string) string {
	s := n.id + "  "
	if n.day != "" {
		s += n.day + "  "
	}
	return s + title + "\n"
}

func (n note) text() (string, error) {
	f, err := os.Open(dir() + "/" + n.file)
	if err != nil {
		return "", plain(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRead))
	if err != nil {
		return "", plain(err)
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "\uFFFD")), nil
}

// readDir returns all notes, newest first; those of other programs come last.
func readDir() ([]note, error) {
	entries, err := os.ReadDir(dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, plain(err)
	}
	var ours, others []note
	for i := len(entries) - 1; i >= 0; i-- {
		name := entries[i].Name()
		if !entries[i].Type().IsRegular() || !strings.HasSuffix(name, ".md") || name[0] == '.' {
			continue
		}
		if n := parseName(name); n.day != "" {
			ours = append(ours, n)
		} else {
			others = append(others, n)
		}
	}
	return append(ours, others...), nil
}

func find(all []note, id string) *note {
	for i := range all {
		if all[i].id == id {
			return &all[i]
		}
	}
	return nil
}

// write puts a file in place in one step, so that a turn cut short leaves no half note.
func write(name, id, text string) error {
	if err := os.MkdirAll(dir(), 0o700); err != nil {
		return plain(err)
	}
	temp := dir() + "/.new-" + id // two notes of a turn may be written at once
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		os.Remove(temp)
		return plain(err)
	}
	if err := os.Rename(temp, dir()+"/"+name); err != nil {
		os.Remove(temp)
		return plain(err)
	}
	return nil
}

// plain says what went wrong without the path.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		err = l.Err
	}
	return errors.New("the notes cannot be used: " + err.Error())
}

const idLength = 8

// hash is FNV-1a folded to eight hexadecimal digits.
func hash(s string) string {
	h := uint64(14695981039346656037)
	for _, c := range []byte(s) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 32
	b := make([]byte, idLength)
	for i := range b {
		b[i] = "0123456789abcdef"[h&15]
		h >>= 4
	}
	return string(b)
}

// slug keeps at most 40 letters, digits and single hyphens of s: a name that is
// safe on every file system.
func slug(s string) string {
	var b []byte
	for _, c := range []byte(strings.ToLower(s)) {
		switch {
		case len(b) == 40:
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b = append(b, c)
		case len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	if s := strings.Trim(string(b), "-"); s != "" {
		return s
	}
	return "note"
}
