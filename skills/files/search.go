package main

import (
	"errors"
	"path"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/disk"
)

// Bounds of a search.
const (
	maxMatches  = 50
	maxEntries  = 10_000   // files and directories that are looked at
	maxSearched = 32 << 20 // bytes that are read
	maxFile     = 2 << 20  // bytes of one file; of a longer one only the name is looked at
	maxDepth    = 20
	maxLine     = 160 // bytes of a line that is shown
)

type searchInput struct {
	Query string `json:"query"`
	Path  string `json:"path"`
}

// walk is a search under way.
type walk struct {
	query   string // lower case
	matches []string
	entries int
	bytes   int64
	cut     bool
}

func search(_ sdk.Context, in searchInput) (string, error) {
	w := walk{query: strings.ToLower(strings.TrimSpace(in.Query))}
	if w.query == "" || len(w.query) > 200 {
		return "", errors.New("the query must have 1 to 200 bytes")
	}
	at, err := find(in.Path)
	if err != nil {
		return "", err
	}
	if err := w.dir(at.real, in.shownDir(at), 0); err != nil {
		return "", at.fault(err)
	}
	if strings.TrimSpace(in.Path) == "" {
		for _, m := range sdk.Mounts() {
			if err := w.dir(m, mountName(m), 0); err != nil {
				return "", place{shown: mountName(m)}.fault(err)
			}
		}
	}
	text := strings.Join(w.matches, "\n")
	if text == "" {
		text = "No file has " + strconv.Quote(in.Query) + " in its name or text."
	}
	if w.cut {
		text += "\n(There is more than can be searched at once: name a directory, or a longer query.)"
	}
	return text, nil
}

// shownDir is what stands before the names of files in at.
func (in searchInput) shownDir(at place) string {
	if at.isWorkspace() {
		return ""
	}
	return at.shown
}

// dir searches a directory and those below it. Links are not followed.
func (w *walk) dir(real, shown string, depth int) error {
	entries, err := disk.ReadDir(real)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if w.entries++; w.entries > maxEntries || len(w.matches) >= maxMatches || depth > maxDepth {
			w.cut = true
			return nil
		}
		name := path.Join(shown, e.Name)
		switch {
		case hidden(e.Name):
		case e.Kind == disk.Dir:
			w.name(e.Name, name+"/")
			if err := w.dir(real+"/"+e.Name, name, depth+1); err != nil {
				w.cut = true // one directory that cannot be read is no reason to find nothing
			}
		case e.Kind == disk.File:
			w.file(real+"/"+e.Name, name, w.name(e.Name, name))
		}
	}
	return nil
}

func (w *walk) name(base, shown string) bool {
	found := strings.Contains(strings.ToLower(base), w.query)
	if found {
		w.matches = append(w.matches, shown)
	}
	return found
}

// file looks for the first line that matches; a file that is named already is not shown twice.
func (w *walk) file(real, shown string, named bool) {
	st, err := disk.Stat(real)
	if err != nil || named || st.Size > maxFile {
		return
	}
	if w.bytes += st.Size; w.bytes > maxSearched {
		w.cut = true
		return
	}
	b, err := disk.Read(real, 0, maxFile)
	if err != nil || !isPlain(b) {
		return
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if strings.Contains(strings.ToLower(line), w.query) {
			line = strings.TrimSpace(line)
			line = strings.ToValidUTF8(line[:min(len(line), maxLine)], "")
			w.matches = append(w.matches, shown+":"+strconv.Itoa(n)+": "+line)
			return
		}
	}
}
