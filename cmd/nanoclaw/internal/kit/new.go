package kit

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/nanoclaw/nanoclaw/host"
)

//go:embed templates
var templates embed.FS

// New makes the folder of a skill to begin from: one tool that works, its test, and the guest
// API of its language beside it.
type New struct {
	Name  string
	Lang  string // one of Langs
	Agent bool   // a skill agent in the place of a tool
	Dir   string // "" = ./NAME; must not be there
}

var skillName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// Run answers the names of the files it made, without those of the guest API.
func (n *New) Run() (names []string, err error) {
	if len(n.Name) > 64 || !skillName.MatchString(n.Name) {
		return nil, fmt.Errorf("%w: name %.80q: 1 to 64 of a-z, 0-9 and single hyphens between them", host.ErrInvalid, n.Name)
	}
	i := slices.Index(Langs(), n.Lang)
	if i < 0 {
		return nil, fmt.Errorf("%w: --lang %.80q: one of %s", host.ErrInvalid, n.Lang, strings.Join(Langs(), ", "))
	}
	if n.Dir == "" {
		n.Dir = n.Name
	}
	files, err := n.render(langs[i])
	if err != nil {
		return nil, err
	}
	api, err := guestAPI(n.Lang)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(n.Dir, 0o755); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s is there already: take another name, or -o DIR", host.ErrInvalid, n.Dir)
	} else if err != nil {
		return nil, err
	}
	for path := range files {
		names = append(names, path)
	}
	slices.Sort(names)
	return names, errors.Join(put(n.Dir, files), put(filepath.Join(n.Dir, sdkDir), api))
}

// render fills in the templates of all skills and of the language.
func (n *New) render(l lang) (map[string][]byte, error) {
	files := map[string][]byte{}
	if l.name == "go" {
		files["go.mod"] = []byte(goMod("module skill/" + n.Name + "\n"))
	}
	data := map[string]any{"Name": n.Name, "Agent": n.Agent, "Test": l.test}
	err := fs.WalkDir(templates, "templates", func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(path, "templates/")
		own, ofLang := strings.CutPrefix(rel, l.name+"/")
		if err != nil || d.IsDir() || strings.Contains(rel, "/") && !ofLang {
			return err
		}
		text, err := templates.ReadFile(path)
		if err != nil {
			return err
		}
		t, err := template.New(rel).Delims("<%", "%>").Parse(string(text))
		if err != nil {
			return err
		}
		var out bytes.Buffer
		err = t.Execute(&out, data)
		files[strings.TrimSuffix(own, ".tmpl")] = out.Bytes()
		return err
	})
	return files, err
}
