// Package workfile keeps files of a skill in the agent's workspace: whole files, read
// within a bound, replaced in one step. Its errors name no path.
//
// It must never be told a name by others that its caller has not checked.
package workfile

import (
	"errors"
	"strconv"
	"strings"
	"syscall"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/clock"
	"github.com/nanoclaw/nanoclaw/skills/internal/disk"
)

// Path is where name, below the workspace, is.
func Path(name string) string { return sdk.Workspace() + "/" + name }

// Read returns the file called name, nil when there is none; one of more than limit
// bytes is an error.
func Read(name string, limit int) ([]byte, error) {
	b, err := Head(name, limit+1)
	if err == nil && len(b) > limit {
		return nil, errors.New(name + " has more than " + strconv.Itoa(limit) + " bytes")
	}
	return b, err
}

// Head returns the first limit bytes of the file called name, nil when there is none.
func Head(name string, limit int) ([]byte, error) {
	b, err := disk.Read(Path(name), 0, limit)
	if err == syscall.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, Plain(name, err)
	}
	return b, nil
}

// List returns the names of the regular files in dir, in order; none when there is no dir.
func List(dir string) ([]string, error) {
	entries, err := disk.ReadDir(Path(dir))
	if err == syscall.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, Plain(dir, err)
	}
	var names []string
	for _, e := range entries {
		if e.Kind == disk.File {
			names = append(names, e.Name)
		}
	}
	return names, nil
}

// Write puts a file in place in one step, so that a turn cut short leaves no half file.
func Write(name string, b []byte) error {
	temp := Path(name) + ".new"
	mkdir(name)
	err := disk.Write(temp, syscall.O_TRUNC, b)
	if err == nil {
		err = syscall.Rename(temp, Path(name))
	}
	if err != nil {
		_ = syscall.Unlink(temp)
		return Plain(name, err)
	}
	return nil
}

// mkdir makes the directory of name, which in a container is there already.
func mkdir(name string) {
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		_ = syscall.Mkdir(Path(name[:i]), 0o700) // what is wrong shows when the file is made
	}
}

const (
	lockPause = 10               // milliseconds
	lockWait  = 2000 / lockPause // a change takes milliseconds: a lock held for longer was left by a call cut short
)

// Update changes the file called name: change gets what is in it and returns what shall
// be. Calls of one turn run at once, each in an instance of its own, so they take turns
// by a lock file. An agent has one turn at a time: the lock of another turn is a left one.
func Update(turn, name string, limit int, change func(old []byte) ([]byte, error)) error {
	lock := Path(name) + ".lock"
	mkdir(name)
	for pauses := 0; ; pauses++ {
		err := disk.Write(lock, syscall.O_EXCL, []byte(turn))
		if err == nil {
			break
		}
		if err != syscall.EEXIST {
			return Plain(name, err)
		}
		owner, err := Head(name+".lock", 200)
		if err == nil && len(owner) > 0 && string(owner) != turn || pauses > lockWait {
			_ = syscall.Unlink(lock)
		}
		clock.Sleep(lockPause)
	}
	defer syscall.Unlink(lock)
	old, err := Read(name, limit)
	if err != nil {
		return err
	}
	b, err := change(old)
	if err != nil || string(b) == string(old) {
		return err
	}
	if len(b) > limit {
		return errors.New(name + " is full: it holds " + strconv.Itoa(limit) + " bytes")
	}
	return Write(name, b)
}

// Plain says what went wrong with what.
func Plain(what string, err error) error { return errors.New(what + " cannot be used: " + err.Error()) }

// IDLength is how many characters Hash has.
const IDLength = 8

// Hash is FNV-1a folded to eight hexadecimal digits: an identity for what is written
// once in a turn, however often the turn is run.
func Hash(s string) string {
	h := uint64(14695981039346656037)
	for _, c := range []byte(s) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h ^= h >> 32
	b := make([]byte, IDLength)
	for i := range b {
		b[i] = "0123456789abcdef"[h&15]
		h >>= 4
	}
	return string(b)
}

// Slug keeps at most n letters, digits and single hyphens of s: a name that is safe on
// every file system and in every list. It is "" when s has none.
func Slug(s string, n int) string {
	var b []byte
	for _, c := range []byte(strings.ToLower(s)) {
		switch {
		case len(b) == n:
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b = append(b, c)
		case len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	return strings.Trim(string(b), "-")
}
