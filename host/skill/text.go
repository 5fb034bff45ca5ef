package skill

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
)

// textName is what makes a folder of plugins/ a skill of instructions only.
const textName = "SKILL.md"

// ReadText reads a folder with SKILL.md and no code, as written for Claude and others: its
// head names and describes it, the rest is text for the model. It has no tools and no
// capabilities, and nothing of the folder but this one file is read.
func ReadText(dir string) (*File, error) {
	if st, err := os.Lstat(dir); err != nil || !st.IsDir() {
		return nil, refuse("%s: not a directory of its own", dir)
	}
	b, err := readRegular(filepath.Join(dir, textName), maxText)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(b) {
		return nil, refuse("%s is not UTF-8", textName)
	}
	head, text, err := frontMatter(string(b))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	f := &File{
		Path: dir, Size: int64(len(b)), Digest: host.Digest("sha256:" + hex.EncodeToString(sum[:])), Text: text,
		Manifest: host.Manifest{
			ABI: ABI, Kind: host.KindText, Name: host.SkillName(head["name"]), Version: "0",
			Description: head["description"], License: head["license"],
		},
	}
	if len(f.Manifest.License) > maxLicense { // often a sentence about another file
		f.Manifest.License = ""
	}
	if err := CheckManifest(&f.Manifest); err != nil {
		return nil, refuse("%s: %w", textName, err)
	}
	return f, nil
}

// frontMatter splits the YAML head from the text. Of YAML it takes what such heads are made
// of: a key, a colon and a value on one line, quoted or not, or going on in indented lines.
func frontMatter(s string) (head map[string]string, text string, err error) {
	rest, ok := strings.CutPrefix(strings.ReplaceAll(s, "\r\n", "\n"), "---\n")
	block, text, ends := strings.Cut(rest, "\n---\n")
	if !ok || !ends {
		return nil, "", refuse("%s does not begin with '---', name and description, and '---'", textName)
	}
	head = map[string]string{}
	key := ""
	for sc := bufio.NewScanner(strings.NewReader(block)); sc.Scan(); {
		line := sc.Text()
		name, value, isKey := strings.Cut(line, ":")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
		case line[0] == ' ' || line[0] == '\t':
			head[key] = strings.TrimSpace(head[key] + " " + strings.TrimSpace(line))
		case isKey:
			key = name
			head[key] = unquote(strings.TrimSpace(value))
		default:
			return nil, "", refuse("%s: %.80q is no 'key: value'", textName, line)
		}
	}
	return head, strings.TrimSpace(text), nil
}

func unquote(s string) string {
	switch {
	case s == ">" || s == ">-" || s == "|" || s == "|-":
		return ""
	case len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"':
		return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
	case len(s) > 1 && s[0] == '\'' && s[len(s)-1] == '\'':
		return strings.ReplaceAll(s[1:len(s)-1], "''", "'")
	}
	return s
}
