package skill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	maxFiles   = 1000 // in plugins/
	maxAtOnce  = 2    // admissions side by side: each is one busy container
	wasmSuffix = ".wasm"
)

// Config makes a Registry.
type Config struct {
	Dir      string // plugins/
	State    string // holds skills/ and admitted/
	Admit    Admitter
	Allow    func(*File) error // last word before admission, for the lock; nil allows
	Log      hclog.Logger
	Progress func(string) // may be nil
}

// State is where a file stands.
type State string

// States.
const (
	Admitting State = "admitting"
	Ready     State = "ready"
	Refused   State = "refused"
)

// Status is one file of plugins/ and why it is as it is.
type Status struct {
	File    string         `json:"file"`
	Name    host.SkillName `json:"name,omitempty"` // as its manifest says
	Version string         `json:"version,omitempty"`
	Digest  host.Digest    `json:"digest,omitempty"`
	State   State          `json:"state"`
	Why     string         `json:"why,omitempty"`
}

// Registry knows every file of plugins/.
type Registry struct {
	cfg Config
	log hclog.Logger

	refresh sync.Mutex // one Refresh at a time
	mu      sync.Mutex
	entries []*entry // by file name
}

type entry struct {
	Status
	file  *File // while it is being admitted; without Bytes
	skill *host.Skill
}

// NewRegistry knows nothing before its first Refresh.
func NewRegistry(cfg Config) *Registry {
	log := cfg.Log
	if log == nil {
		log = hclog.NewNullLogger()
	}
	return &Registry{cfg: cfg, log: log}
}

func (r *Registry) progress(s string) {
	if r.cfg.Progress != nil {
		r.cfg.Progress(s)
	}
}

// Refresh reads plugins/ and admits what is new. A bad file is refused by itself; the
// error is about the directory or the context. What was ready stays so meanwhile.
func (r *Registry) Refresh(ctx context.Context) error {
	r.refresh.Lock()
	defer r.refresh.Unlock()
	r.sweep()
	paths, err := r.files()
	if err != nil {
		return err
	}
	entries := make([]*entry, len(paths))
	parallel(len(paths), func(i int) { entries[i] = r.read(paths[i]) })
	refuseTwins(entries)
	r.take(entries)
	parallel(len(entries), func(i int) {
		if e := entries[i]; e.file != nil {
			r.admit(ctx, e)
		}
	})
	return ctx.Err()
}

// parallel runs f for 0 to n-1, two at a time.
func parallel(n int, f func(i int)) {
	var g errgroup.Group
	g.SetLimit(maxAtOnce)
	for i := range n {
		g.Go(func() error { f(i); return nil })
	}
	_ = g.Wait() // f reports by itself
}

func (r *Registry) files() ([]string, error) {
	all, err := os.ReadDir(r.cfg.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("plugins: %w", err)
	}
	var paths []string
	for _, e := range all {
		if strings.HasSuffix(e.Name(), wasmSuffix) && !strings.HasPrefix(e.Name(), ".") {
			paths = append(paths, filepath.Join(r.cfg.Dir, e.Name()))
		}
	}
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("%w: %d files in %s, at most %d", host.ErrLimit, len(paths), r.cfg.Dir, maxFiles)
	}
	return paths, nil
}

// read checks one file and keeps it in the content store, so that its bytes can be let go.
func (r *Registry) read(path string) *entry {
	e := &entry{Status: Status{File: path, State: Admitting}}
	f, err := Read(path)
	if err == nil {
		e.Name, e.Version, e.Digest = f.Manifest.Name, f.Manifest.Version, f.Digest
		err = store(r.stored(f.Digest), f)
	}
	if err != nil {
		e.refuse(err)
		return e
	}
	f.Bytes = nil
	e.file = f
	return e
}

func (e *entry) refuse(err error) {
	e.State, e.Why, e.skill, e.file = Refused, oneLine(err), nil, nil
}

// oneLine is an error as one bounded line without the file's own path, which is shown beside it.
func oneLine(err error) string {
	s := []rune(strings.Join(strings.Fields(err.Error()), " "))
	return string(s[:min(len(s), 1000)])
}

// refuseTwins refuses all files that claim the same name: which one is meant is for a human to say.
func refuseTwins(entries []*entry) {
	byName := map[host.SkillName][]*entry{}
	for _, e := range entries {
		if e.file != nil {
			byName[e.Name] = append(byName[e.Name], e)
		}
	}
	for name, twins := range byName {
		if len(twins) < 2 {
			continue
		}
		var files []string
		for _, e := range twins {
			files = append(files, filepath.Base(e.File))
		}
		for _, e := range twins {
			e.refuse(refuse("%s all say they are %q; keep one of them", strings.Join(files, " and "), name))
		}
	}
}

// take puts the new entries in place. What was ready and is the same file stays ready.
func (r *Registry) take(entries []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		i := slices.IndexFunc(r.entries, func(o *entry) bool { return o.File == e.File && o.Digest == e.Digest })
		if e.file != nil && i >= 0 && r.entries[i].State == Ready {
			e.State, e.skill = Ready, r.entries[i].skill
		}
		if e.State == Refused {
			r.log.Warn("plugin refused", "file", e.File, "why", e.Why)
		}
	}
	r.entries = entries
}

func (r *Registry) admit(ctx context.Context, e *entry) {
	skill, err := r.AdmitFile(ctx, e.file)
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil && err != nil {
		return // the host is stopping; nothing was decided
	}
	if err != nil {
		e.refuse(err)
		r.log.Warn("plugin refused", "file", e.File, "why", e.Why)
		return
	}
	e.State, e.Why, e.skill, e.file = Ready, "", skill, nil
	r.log.Debug("plugin ready", "file", e.File, "digest", e.Digest)
}

// Get returns the admitted skill called name.
func (r *Registry) Get(name host.SkillName) (*host.Skill, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := fmt.Errorf("%w: skill %q: no file in %s says it is that", host.ErrNotFound, name, r.cfg.Dir)
	for _, e := range r.entries {
		if e.Name != name {
			continue
		}
		switch e.State {
		case Ready:
			return e.skill, nil
		case Admitting:
			return nil, fmt.Errorf("%w: skill %q is still being admitted", host.ErrBusy, name)
		case Refused:
			err = fmt.Errorf("%w: skill %q: %s", host.ErrDenied, name, e.Why)
		}
	}
	return nil, err
}

// List says where every file stands, by file name.
func (r *Registry) List() []Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Status, 0, len(r.entries))
	for _, e := range r.entries {
		out = append(out, e.Status)
	}
	return out
}
