package skill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	Dir           string // plugins/
	State         string // holds skills/, admitted/ and the trusted keys
	RequireSigned bool   // refuse what no trusted key signed
	Admit         Admitter
	Log           hclog.Logger
	Progress      func(string) // may be nil
	Notice        func(string) // what the owner should know of, one line each; may be nil
}

// State is where a file stands.
type State string

// States.
const (
	Admitting State = "admitting"
	Ready     State = "ready"
	Held      State = "held" // waits for 'nanoclaw skill approve'; the version before it goes on, if there is one
	Refused   State = "refused"
)

// Status is one file of plugins/ and why it is as it is.
type Status struct {
	File    string         `json:"file"`
	Name    host.SkillName `json:"name,omitempty"` // as its manifest says
	Version string         `json:"version,omitempty"`
	Kind    string         `json:"kind,omitempty"`
	Digest  host.Digest    `json:"digest,omitempty"`
	Signer  string         `json:"signer,omitempty"` // public key
	State   State          `json:"state"`
	Why     string         `json:"why,omitempty"`
	Runs    host.Digest    `json:"runs,omitempty"` // what calls get now: while it is held or compiled, what was before it
}

// Registry knows every file of plugins/.
type Registry struct {
	cfg Config
	log hclog.Logger

	refresh sync.Mutex // one Refresh at a time
	mu      sync.Mutex
	entries []*entry      // by file name; nil before they were read once
	changed chan struct{} // closed when an entry changes
	told    []string      // files and why they are not used, so that each is said once; belongs to refresh
}

type entry struct {
	Status
	file  *File       // while it is being admitted; without Bytes
	rule  string      // by which the lock takes it; "" = it stands there already
	skill *host.Skill // what Get answers
	fresh bool        // nothing answered by this name before
}

// NewRegistry knows nothing before its first Refresh.
func NewRegistry(cfg Config) *Registry {
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
	for _, f := range []*func(string){&cfg.Progress, &cfg.Notice} {
		if *f == nil {
			*f = func(string) {}
		}
	}
	return &Registry{cfg: cfg, log: cfg.Log, changed: make(chan struct{})}
}

// Refresh reads plugins/, its lock and the trusted keys, and admits what is new. A bad file is
// refused by itself; the error is about the directory or the context. What was ready stays so
// meanwhile.
func (r *Registry) Refresh(ctx context.Context) error {
	r.refresh.Lock()
	defer r.refresh.Unlock()
	r.sweep()
	paths, err := files(r.cfg.Dir)
	if err != nil {
		return err
	}
	lock, lockErr := ReadLock(r.cfg.Dir)
	keys, keysErr := TrustedKeys(r.cfg.State)
	entries := make([]*entry, len(paths))
	parallel(len(paths), func(i int) { entries[i] = r.read(paths[i], keys) })
	refuseTwins(entries)
	for _, e := range entries {
		if err := cmp.Or(lockErr, keysErr); err != nil && e.file != nil {
			e.refuse(err)
		} else if e.file != nil {
			e.judge(lock)
		}
	}
	gone := r.take(entries)
	parallel(len(entries), func(i int) {
		if e := entries[i]; e.State == Held {
			r.goOn(ctx, e, lock[e.Name])
		} else if e.file != nil {
			r.admit(ctx, e)
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.tell(entries, gone)
	return nil
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

// files are what may be a skill: *.wasm of any kind, so that each is refused by name, and
// folders with SKILL.md.
func files(dir string) ([]string, error) {
	all, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("plugins: %w", err)
	}
	var paths []string
	for _, e := range all {
		path := filepath.Join(dir, e.Name())
		if !strings.HasPrefix(e.Name(), ".") && (strings.HasSuffix(path, wasmSuffix) || isText(path, e)) {
			paths = append(paths, path)
		}
	}
	if len(paths) > maxFiles {
		return nil, fmt.Errorf("%w: %d files in %s, at most %d", host.ErrLimit, len(paths), dir, maxFiles)
	}
	return paths, nil
}

// Find reads the file of dir that says it is name; host.ErrNotFound when none does.
func Find(dir string, name host.SkillName) (*File, error) {
	paths, err := files(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if f, err := readAny(path); err == nil && f.Manifest.Name == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%w: no readable file in %s says it is skill %q; see 'nanoclaw skill list'",
		host.ErrNotFound, dir, name)
}

// readAny reads a .wasm file, or a folder with SKILL.md.
func readAny(path string) (*File, error) {
	if strings.HasSuffix(path, wasmSuffix) {
		return Read(path)
	}
	return ReadText(path)
}

func isText(path string, e fs.DirEntry) bool {
	if !e.IsDir() {
		return false
	}
	_, err := os.Lstat(filepath.Join(path, textName))
	return err == nil
}

// read checks one file and keeps it in the content store, so that its bytes can be let go.
func (r *Registry) read(path string, keys []TrustedKey) *entry {
	e := &entry{Status: Status{File: path, State: Admitting}}
	f, err := readAny(path)
	if err == nil {
		e.Name, e.Version, e.Kind, e.Digest = f.Manifest.Name, f.Manifest.Version, f.Manifest.Kind, f.Digest
		e.Signer, err = f.Verify(keys)
	}
	if err == nil && r.cfg.RequireSigned && e.Signer == "" {
		err = refuse("nobody signed it, and skills.require_signed is true")
	}
	if err == nil && f.Bytes != nil {
		err = store(Stored(r.cfg.State, f.Digest), f)
	}
	if err != nil {
		e.refuse(err)
		return e
	}
	f.Bytes, f.message = nil, nil
	e.file = f
	return e
}

func (e *entry) refuse(err error) {
	e.State, e.Why, e.Runs, e.skill, e.file = Refused, oneLine(err), "", nil, nil
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

// take puts the new entries in place, and says which names went. What was ready and is the same
// file stays ready; what is to be compiled or waits leaves what was there before at work.
func (r *Registry) take(entries []*entry) (gone []host.SkillName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		e.fresh = r.entries != nil
	}
	for _, o := range r.entries {
		i := slices.IndexFunc(entries, func(e *entry) bool { return e.Name == o.Name && e.State != Refused })
		if i < 0 && o.skill != nil {
			gone = append(gone, o.Name)
		} else if i >= 0 {
			e := entries[i]
			e.skill, e.Runs, e.fresh = o.skill, o.Runs, e.fresh && o.skill == nil
			if o.skill != nil && o.skill.Digest == e.Digest && e.file != nil {
				e.State = Ready
			}
		}
	}
	r.entries = append([]*entry{}, entries...) // not nil: it was read once
	r.change()
	return gone
}

func (r *Registry) admit(ctx context.Context, e *entry) {
	skill, err := r.AdmitFile(ctx, e.file)
	if err == nil && e.rule != "" { // what cannot be written into the lock is not accepted
		if err = record(r.cfg.Dir, lockedOf(e.file, e.Signer, e.rule)); err != nil {
			err = fmt.Errorf("%s cannot be written: %w", LockName, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil && err != nil {
		return // the host is stopping; nothing was decided
	}
	defer r.change()
	if err != nil {
		e.refuse(err)
		return
	}
	e.State, e.Why, e.skill, e.Runs = Ready, "", skill, skill.Digest
}

// change tells those who wait. r.mu is held.
func (r *Registry) change() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Settled reports whether it is known of all names what becomes of them. If not, the channel is
// closed when that may have changed.
func (r *Registry) Settled(names []host.SkillName) (bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waits := slices.ContainsFunc(r.entries, func(e *entry) bool {
		return e.State == Admitting && e.skill == nil && slices.Contains(names, e.Name)
	})
	return r.entries != nil && !waits, r.changed
}

// Stored is where the copy of a skill with digest d is kept below the state directory.
func Stored(state string, d host.Digest) string {
	return filepath.Join(state, "skills", hexOf(d)+wasmSuffix)
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
		switch {
		case e.skill != nil:
			return e.skill, nil
		case e.State == Admitting:
			return nil, fmt.Errorf("%w: skill %q is still being admitted", host.ErrBusy, name)
		default:
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
