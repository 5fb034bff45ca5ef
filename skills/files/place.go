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

// place is a path that was asked for.
type place struct {
	real  string // as the system knows it
	root  string // the workspace or mount that it is in
	shown string // as the user and the model know it
}

func (p place) isWorkspace() bool { return p.real == sdk.Workspace() }

// find makes a place of a path: one of the workspace unless it begins with /mnt/NAME. What
// leads out of both is refused here with a sentence; the host would not follow it anyhow.
func find(asked string) (place, error) {
	p := strings.TrimSpace(asked)
	if len(p) > 1000 || strings.ContainsAny(p, "\x00\n") {
		return place{}, errors.New("the path is longer than 1000 bytes, or has a line break in it")
	}
	root := sdk.Workspace()
	if in, ok := below(p, "/mnt"); ok {
		name, rest, _ := strings.Cut(in, "/")
		if root = mount(name); root == "" {
			return place{}, errors.New("there is no " + strconv.Quote(path.Join("/mnt", name)) + ": " + mounts())
		}
		p = rest
	} else if in, ok := below(p, "/workspace"); ok {
		p = in
	} else if strings.HasPrefix(p, "/") {
		return place{}, errors.New(strconv.Quote(p) + " is neither of the workspace, whose paths begin without a slash, " +
			"nor of a mount: " + mounts())
	}
	p = path.Clean(p)
	if p == ".." || strings.HasPrefix(p, "../") || strings.HasPrefix(p, "/") {
		return place{}, errors.New(strconv.Quote(asked) + " leads out of the workspace")
	}
	at := place{real: path.Join(root, p), root: root, shown: p}
	if root != sdk.Workspace() {
		at.shown = path.Join(mountName(root), p)
	} else if p == "." {
		at.shown = "the workspace"
	}
	return at, nil
}

// below is the rest of p, when p is dir or in it.
func below(p, dir string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(p, dir)
	return strings.TrimPrefix(rest, "/"), ok && (rest == "" || rest[0] == '/')
}

func mountName(dir string) string { return "/mnt/" + path.Base(dir) }

func mount(name string) string {
	for _, m := range sdk.Mounts() {
		if name != "" && path.Base(m) == name {
			return m
		}
	}
	return ""
}

func mounts() string {
	var names []string
	for _, m := range sdk.Mounts() {
		names = append(names, mountName(m))
	}
	if len(names) == 0 {
		return "this role mounts nothing"
	}
	return "there are " + strings.Join(names, ", ")
}

// file is the size of a regular file.
func (p place) file() (size int64, err error) {
	st, err := disk.Stat(p.real)
	switch {
	case err != nil:
		return 0, p.fault(err)
	case st.Kind == disk.Dir:
		return 0, p.fault(syscall.EISDIR)
	case st.Kind != disk.File:
		return 0, errors.New(p.shown + " is no regular file")
	}
	return st.Size, nil
}

// fault says what is wrong with a place, without the words of the system.
func (p place) fault(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return errors.New(p.shown + " cannot be used")
	}
	switch errno {
	case syscall.ENOENT:
		return errors.New("there is no " + strconv.Quote(p.shown))
	case syscall.EEXIST:
		return errors.New(p.shown + " is there already")
	case syscall.EISDIR:
		return errors.New(p.shown + " is a directory")
	case syscall.ENOTDIR:
		return errors.New(p.shown + " is not a directory, or goes through a file")
	case syscall.ENOTEMPTY:
		return errors.New(p.shown + " is not empty: delete what is in it first")
	case syscall.EROFS:
		return errors.New(p.shown + " is read-only: the role mounts it so")
	case syscall.ENOSPC, syscall.EDQUOT:
		return errors.New("the workspace is full")
	case syscall.EXDEV:
		return errors.New(p.shown + " cannot be moved into or out of a mount: read it and write it there")
	}
	return errors.New(p.shown + " cannot be used: " + errno.Error())
}

// hidden are the files of this skill itself: what is half written, and its journal.
func hidden(name string) bool { return name == journal || strings.HasPrefix(name, tempPrefix) }
