package main

import (
	"errors"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/disk"
)

const (
	tempPrefix  = ".files-new-"
	journal     = ".files-appended" // in the workspace: what was appended where, see add
	maxJournal  = 200               // lines of it
	maxAppended = 8 << 20           // bytes of a file that can be appended to
)

func write(_ sdk.Context, in writeInput) (string, error) {
	at, err := writable(in)
	if err != nil {
		return "", err
	}
	if err := at.put(in.Content); err != nil {
		return "", err
	}
	return "Wrote " + size(int64(len(in.Content))) + " to " + at.shown + ".", nil
}

// writable is the place that in names, if a file may be there.
func writable(in writeInput) (place, error) {
	at, err := find(in.Path)
	switch {
	case err != nil:
		return at, err
	case at.real == at.root || strings.HasSuffix(in.Path, "/"):
		return at, errors.New(at.shown + " is a directory: name a file in it")
	case hidden(path.Base(at.real)):
		return at, errors.New(at.shown + " is a name that this skill keeps for itself")
	case len(in.Content) > maxWrite:
		return at, errors.New("the text has more than " + size(maxWrite) + ": write it in parts, with append")
	}
	return at, nil
}

// put puts a file in place in one step, so that a turn cut short leaves no half file.
func (p place) put(text string) error {
	if st, err := disk.Stat(p.real); err == nil && st.Kind != disk.File {
		return errors.New(p.shown + " is a directory, or no regular file")
	}
	dir := path.Dir(p.real)
	temp := dir + "/" + tempPrefix + hash(p.real+"\x00"+text)
	err := disk.MkdirAll(dir)
	if err == nil {
		err = disk.Write(temp, syscall.O_TRUNC, []byte(text))
	}
	if err == nil {
		err = syscall.Rename(temp, p.real)
	}
	if err != nil {
		_ = syscall.Unlink(temp)
		return p.fault(err)
	}
	return nil
}

// add appends once in a turn. The journal says, before the file is touched, where the text will
// begin; a call that finds its line there, and the text where it says, has been made before.
func add(c sdk.Context, in writeInput) (string, error) {
	at, err := writable(in)
	if err != nil {
		return "", err
	}
	before, err := at.text()
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(in.Content, "\n") + "\n"
	done := "Appended " + size(int64(len(text))) + " to " + at.shown + "."
	call := hash(c.Turn + "\x00" + at.real + "\x00" + text)
	log := place{real: sdk.Workspace() + "/" + journal, root: sdk.Workspace(), shown: journal}
	lines, err := log.text()
	if err != nil {
		return "", err
	}
	if before != "" && !strings.HasSuffix(before, "\n") {
		text = "\n" + text
	}
	n, err := strconv.Atoi(strings.TrimPrefix(lastWith(lines, call+" "), call+" "))
	if err == nil && n >= 0 && n <= len(before) &&
		strings.HasPrefix(strings.TrimPrefix(before[n:], "\n"), strings.TrimPrefix(text, "\n")) {
		return done, nil
	}
	kept := strings.SplitAfter(lines, "\n")
	kept = kept[max(0, len(kept)-maxJournal):]
	if err := log.put(strings.Join(kept, "") + call + " " + strconv.Itoa(len(before)) + "\n"); err != nil {
		return "", err
	}
	if err := at.put(before + text); err != nil {
		return "", err
	}
	return done, nil
}

// text is all of a file that can be appended to; "" when it is not there.
func (p place) text() (string, error) {
	st, err := disk.Stat(p.real)
	switch {
	case err == syscall.ENOENT:
		return "", nil
	case err != nil:
		return "", p.fault(err)
	case st.Kind != disk.File:
		return "", errors.New(p.shown + " is a directory, or no regular file")
	case st.Size > maxAppended:
		return "", errors.New(p.shown + " has more than " + size(maxAppended) + ": nothing can be appended to it")
	}
	b, err := disk.Read(p.real, 0, maxAppended)
	if err != nil {
		return "", p.fault(err)
	}
	return string(b), nil
}

// lastWith is the last line of text that begins with prefix.
func lastWith(text, prefix string) (found string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, prefix) {
			found = line
		}
	}
	return found
}

// move replaces nothing. When only the new path is there, it has been done before.
func move(_ sdk.Context, in moveInput) (string, error) {
	from, err := find(in.From)
	if err != nil {
		return "", err
	}
	to, err := find(in.To)
	if err != nil {
		return "", err
	}
	if st, err := disk.Stat(to.real); err == nil && st.Kind == disk.Dir {
		if to, err = find(in.To + "/" + path.Base(from.real)); err != nil {
			return "", err
		}
	}
	missing := disk.Exists(from.real)
	taken := disk.Exists(to.real)
	switch {
	case from.real == from.root:
		return "", errors.New(from.shown + " itself cannot be moved")
	case missing != nil && taken == nil && missing == syscall.ENOENT:
		return from.shown + " is at " + to.shown + " already.", nil
	case missing != nil:
		return "", from.fault(missing)
	case taken == nil:
		return "", errors.New(to.shown + " is there already: delete it first, or choose another name")
	}
	if err := disk.MkdirAll(path.Dir(to.real)); err != nil {
		return "", to.fault(err)
	}
	if err := syscall.Rename(from.real, to.real); err != nil {
		return "", from.fault(err)
	}
	return "Moved " + from.shown + " to " + to.shown + ".", nil
}

func remove(_ sdk.Context, in listInput) (string, error) {
	at, err := find(in.Path)
	if err != nil {
		return "", err
	}
	if at.real == at.root {
		return "", errors.New(at.shown + " itself cannot be deleted: name a file in it")
	}
	switch err := disk.Remove(at.real); {
	case err == syscall.ENOENT:
		return at.shown + " is not there, so there is nothing to delete.", nil
	case err != nil:
		return "", at.fault(err)
	}
	return "Deleted " + at.shown + ".", nil
}

// hash is FNV-1a of 64 bits, in hexadecimal digits.
func hash(s string) string {
	h := uint64(14695981039346656037)
	for _, c := range []byte(s) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return strconv.FormatUint(h, 16)
}
