// Skill files works with files: those of the agent's workspace, and those of the directories
// that the role mounts, and sends them to the agent's own chat. It has the capability fs, and message for
// that alone; what is writable is decided by the host.
//
// Calls may be made again with the turn they belong to, so each of them leaves the same files
// however often it runs: what is not so by nature (append, move) looks first.
package main

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/sdk"
	"github.com/nanoclaw/nanoclaw/skills/internal/disk"
)

// Bounds of what one call returns or takes.
const (
	maxRead  = 30_000 // bytes; a model reads 32 KB of a result
	maxWrite = 512 << 10
	maxList  = 300 // entries
)

type (
	listInput struct {
		Path string `json:"path"`
	}
	readInput struct {
		Path   string `json:"path"`
		Offset int64  `json:"offset"`
		Limit  int64  `json:"limit"`
	}
	writeInput struct {
		Path    string `json:"path"`
		Content string `json:"content"`
	}
	moveInput struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	sendInput struct {
		Path    string `json:"path"`
		Caption string `json:"caption"`
	}
)

func init() {
	sdk.Tool("list", list)
	sdk.Tool("read", read)
	sdk.Tool("write", write)
	sdk.Tool("append", add)
	sdk.Tool("move", move)
	sdk.Tool("delete", remove)
	sdk.Tool("search", search)
	sdk.Tool("send", send)
}

func main() {}

func list(_ sdk.Context, in listInput) (string, error) {
	at, err := find(in.Path)
	if err != nil {
		return "", err
	}
	entries, err := disk.ReadDir(at.real)
	if err != nil {
		return "", at.fault(err)
	}
	var lines []string
	for _, e := range entries {
		if !hidden(e.Name) {
			lines = append(lines, line(at.real, e))
		}
	}
	if at.isWorkspace() {
		for _, m := range sdk.Mounts() {
			lines = append(lines, mountName(m)+"/")
		}
	}
	if len(lines) == 0 {
		return at.shown + " is empty.", nil
	}
	if more := len(lines) - maxList; more > 0 {
		lines = append(lines[:maxList], "and "+strconv.Itoa(more)+" more; list a directory in it, or search")
	}
	return strings.Join(lines, "\n"), nil
}

// line is how a list shows an entry.
func line(dir string, e disk.Entry) string {
	if e.Kind == disk.Dir {
		return e.Name + "/"
	}
	info, err := disk.Stat(dir + "/" + e.Name)
	if err != nil || e.Kind != disk.File {
		return e.Name + "  (no file)"
	}
	return e.Name + "  " + size(info.Size)
}

func size(n int64) string {
	switch {
	case n >= 10<<20:
		return strconv.FormatInt(n>>20, 10) + " MB"
	case n >= 10<<10:
		return strconv.FormatInt(n>>10, 10) + " KB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// read returns a part of a file. It begins and ends at whole characters.
func read(_ sdk.Context, in readInput) (string, error) {
	at, err := find(in.Path)
	if err != nil {
		return "", err
	}
	whole, err := at.file()
	if err != nil {
		return "", err
	}
	if in.Offset < 0 || in.Offset > 0 && in.Offset >= whole {
		return "", errors.New(at.shown + " has " + strconv.FormatInt(whole, 10) + " bytes, none at offset " +
			strconv.FormatInt(in.Offset, 10))
	}
	if in.Limit <= 0 || in.Limit > maxRead {
		in.Limit = maxRead
	}
	b, err := disk.Read(at.real, in.Offset, int(min(in.Limit+2*utf8.UTFMax, whole-in.Offset)))
	if err != nil {
		return "", at.fault(err)
	}
	text, start, isText := window(b, in.Offset, int(in.Limit))
	if !isText {
		return "", errors.New(at.shown + " holds no text (UTF-8): a binary file of " + size(whole))
	}
	if whole == 0 {
		return at.shown + " is empty.", nil
	}
	end := in.Offset + int64(start+len(text))
	if end < whole {
		text += "\n\n[cut here: " + strconv.FormatInt(whole-end, 10) + " of " + strconv.FormatInt(whole, 10) +
			" bytes follow; go on with offset " + strconv.FormatInt(end, 10) + "]"
	}
	return text, nil
}

// window is what of b, which was read at offset, is shown: whole characters and, where the
// limit cuts, whole lines. start is how much of b is left out before it.
func window(b []byte, offset int64, limit int) (text string, start int, isText bool) {
	if offset > 0 {
		for start < len(b) && start < utf8.UTFMax && !utf8.RuneStart(b[start]) {
			start++
		}
	}
	b = b[start:]
	if len(b) > limit {
		_, first := utf8.DecodeRune(b)
		end := max(limit, first) // something at least, or there is no going on
		for end > first && !utf8.RuneStart(b[end]) {
			end--
		}
		b = b[:end]
		if i := strings.LastIndexByte(string(b), '\n'); i > limit/2 {
			b = b[:i+1]
		}
	}
	return string(b), start, isPlain(b)
}

// isPlain reports whether b is text: UTF-8 without the control characters of binary files.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c == 0 || c < ' ' && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b {
			return false
		}
	}
	return utf8.Valid(b)
}

// send has the host read the file and queue it: no byte of it passes through here.
func send(_ sdk.Context, in sendInput) (string, error) {
	at, err := find(in.Path)
	if err != nil {
		return "", err
	}
	if _, err := at.file(); err != nil {
		return "", err
	}
	if _, err := sdk.SendFile(at.shown, in.Caption); err != nil {
		return "", err
	}
	return "Sent " + at.shown + ".", nil
}
