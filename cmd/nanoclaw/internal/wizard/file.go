package wizard

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// Shipped is the nanoclaw.toml at the top of the source, which a file of a package cannot embed from
// there; a test fails when they differ.
//
//go:embed shipped.toml
var Shipped string

// edit sets a key of a table of nanoclaw.toml to a value in TOML; "" makes a comment of it.
type edit struct{ table, key, value string }

// quote writes a string in TOML. What it is used for has no control characters.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

var header = regexp.MustCompile(`^\s*(#\s*)?\[\[?[A-Za-z0-9_.-]+\]\]?\s*(#.*)?$`)

// apply makes an edit in a text: in place of the key where it stands, or of the comment that shows it,
// in its table or in the comment that shows that; else at the table's beginning or the text's end.
func (e edit) apply(text string) string {
	lines := strings.Split(text, "\n")
	is := func(line, prefix string) bool {
		return regexp.MustCompile(`^\s*` + prefix + regexp.QuoteMeta("["+e.table+"]") + `\s*(#.*)?$`).MatchString(line)
	}
	begin := slices.IndexFunc(lines, func(s string) bool { return is(s, "") })
	if begin < 0 && e.value == "" {
		return text
	}
	if begin < 0 {
		if begin = slices.IndexFunc(lines, func(s string) bool { return is(s, `#\s*`) }); begin >= 0 {
			lines[begin] = "[" + e.table + "]"
		}
	}
	if begin < 0 {
		return strings.TrimRight(text, "\n") + fmt.Sprintf("\n\n[%s]\n%s = %s\n", e.table, e.key, e.value)
	}
	end := begin + 1
	for end < len(lines) && !header.MatchString(lines[end]) {
		end++
	}
	at := func(prefix string) int {
		key := regexp.MustCompile(`^\s*` + prefix + regexp.QuoteMeta(e.key) + `\s*=`)
		if i := slices.IndexFunc(lines[begin:end], key.MatchString); i >= 0 {
			return begin + i
		}
		return -1
	}
	set, shown := at(""), at(`#\s*`)
	line := e.key + " = " + e.value
	switch {
	case e.value == "" && set >= 0:
		lines[set] = "# " + lines[set]
	case e.value == "":
	case set >= 0:
		lines[set] = line
	case shown >= 0:
		lines[shown] = line
	default:
		lines = slices.Insert(lines, begin+1, line)
	}
	return strings.Join(lines, "\n")
}

// read looks at what is there, before anything is asked.
func (w *Wizard) read(context.Context) (done bool, err error) {
	b, err := os.ReadFile(w.Config)
	if errors.Is(err, fs.ErrNotExist) {
		w.old = Shipped
		return false, w.findPlugins("plugins")
	}
	if err != nil {
		return false, err
	}
	w.had, w.old = true, string(b)
	if w.cfg, err = w.Load(w.Config); err != nil {
		return false, err
	}
	return false, w.findPlugins(w.cfg.SkillsDir)
}

// findPlugins points the file at the bundled skills where the directory that it names has none.
func (w *Wizard) findPlugins(dir string) error {
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(w.Config), dir)
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "*.wasm")); len(found) > 0 {
		return nil
	}
	if w.Plugins == "" {
		return fmt.Errorf("%w: there are no skills in %s nor beside this program; 'make build' makes them",
			host.ErrNotFound, dir)
	}
	w.edits = append(w.edits, edit{"skills", "dir", quote(w.Plugins)})
	return nil
}

func (w *Wizard) text() string {
	text := w.old
	for _, e := range w.edits {
		text = e.apply(text)
	}
	return text
}

// draft is the file as it would be. An error in it is told with the lines that are wanted.
func (w *Wizard) draft() (*config.Config, error) {
	path, err := w.beside(w.text())
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	cfg, err := w.Load(path)
	if err != nil {
		return nil, w.byHand(strings.ReplaceAll(err.Error(), path, w.Config))
	}
	for _, e := range w.edits {
		if e.table == "assistant" && quote(cfg.Assistant.Name) != e.value ||
			e.table == "model" && e.key == "provider" && quote(cfg.Model.Provider) != e.value ||
			e.table == "model" && e.key == "name" && e.value != "" && quote(cfg.Model.Model) != e.value {
			return nil, w.byHand("the change did not take")
		}
	}
	return cfg, nil
}

func (w *Wizard) byHand(why string) error {
	var lines []string
	for _, e := range w.edits {
		if e.value != "" {
			lines = append(lines, fmt.Sprintf("  [%s] %s = %s", e.table, e.key, e.value))
		}
	}
	return fmt.Errorf("%w: %s cannot be changed by itself: %s\n"+
		"these are wanted in it; write them, and choose \"keep\":\n%s",
		host.ErrInvalid, w.Config, why, strings.Join(lines, "\n"))
}

// beside writes a file of mode 0600 into the directory of the configuration.
func (w *Wizard) beside(text string) (path string, err error) {
	if err := os.MkdirAll(filepath.Dir(w.Config), 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(w.Config), ".nanoclaw-*.toml")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// write shows what changes and, where a file was there, asks. The key is kept before the file names it.
func (w *Wizard) write(ctx context.Context) (done bool, err error) {
	cfg, err := w.draft()
	if err != nil {
		return false, err
	}
	text := w.text()
	d := diff.Diff("as shipped", []byte(w.old), w.Config, []byte(text))
	if w.had {
		d = diff.Diff(w.Config, []byte(w.old), "as it would be", []byte(text))
	}
	if len(d) > 0 {
		w.Say(string(d))
	}
	if w.had && len(d) > 0 {
		yes, err := w.confirm(ctx, "write", "Change "+w.Config+" so?", "", "no")
		if err == nil && !yes {
			err = fmt.Errorf("%w: not written; unattended, --write=yes agrees to it", errStopped)
		}
		if err != nil {
			return false, err
		}
	}
	if w.key != "" {
		if err := w.Keep(cfg, w.keyAs, w.key); err != nil {
			return false, err
		}
	}
	if w.had && len(d) == 0 {
		w.Say(w.Config + " stays as it is.")
		return false, nil
	}
	return false, w.replace(text)
}

// replace puts the file there whole or not at all, in a mode as strict as it had.
func (w *Wizard) replace(text string) error {
	path, err := w.beside(text)
	if err != nil {
		return err
	}
	if st, err := os.Stat(w.Config); err == nil {
		if err := os.Chmod(path, st.Mode().Perm()); err != nil {
			return errors.Join(err, os.Remove(path))
		}
		now, err := os.ReadFile(w.Config)
		if err != nil || string(now) != w.old {
			return errors.Join(fmt.Errorf("%w: %s was changed meanwhile", host.ErrBusy, w.Config), err, os.Remove(path))
		}
	} else if w.had {
		return errors.Join(err, os.Remove(path))
	}
	if err := os.Rename(path, w.Config); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	w.Say("wrote " + w.Config + " (" + strconv.Itoa(strings.Count(text, "\n")) + " lines, every setting explained)")
	return nil
}
