package main

import (
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/skills/internal/workfile"
)

// maxRead bounds what is read of one file; another program may have put it there.
const maxRead = 4 * maxText

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
	if isOurs && len(n.id)-i-1 == workfile.IDLength {
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
	b, err := workfile.Head("notes/"+n.file, maxRead)
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "\uFFFD")), err
}

// readDir returns all notes, newest first; those of other programs come last.
func readDir() ([]note, error) {
	names, err := workfile.List("notes")
	if err != nil {
		return nil, err
	}
	var ours, others []note
	for _, name := range slices.Backward(names) {
		if !strings.HasSuffix(name, ".md") || name[0] == '.' {
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
