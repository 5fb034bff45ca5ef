package secret

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
)

const (
	lookAgain = time.Minute // for values that changed
	maxKept   = 4           // values of one name: one that was replaced may still be valid
)

// Vault fetches secrets and remembers the values that it has seen, so that a Matcher can look for
// them. Every value that it gives away is in its Matcher first. It is safe for concurrent use.
type Vault struct {
	mu      sync.Mutex
	sources func() map[string]host.SecretSource
	seen    []Key
	looked  time.Time
	matcher *Matcher
}

// NewVault returns an empty one.
func NewVault() *Vault {
	return &Vault{matcher: NewMatcher(nil), sources: func() map[string]host.SecretSource { return nil }}
}

// Use says which secrets there are from now on, by name. Values seen before are looked for still.
func (v *Vault) Use(sources func() map[string]host.SecretSource) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sources, v.looked = sources, time.Time{}
}

// Get fetches the secret called name at src.
func (v *Vault) Get(name string, src host.SecretSource) (Key, error) {
	k, err := Resolve(name, src)
	if err == nil && !src.Managed { // that value is a public word
		v.mu.Lock()
		defer v.mu.Unlock()
		v.learn(k)
	}
	return k, err
}

// Matcher looks for every value that Get has returned, and for those of environment and files,
// read again once a minute. Commands are not run for it: they may be slow, or ask somebody, and
// the host does not have what they would print.
func (v *Vault) Matcher() *Matcher {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Since(v.looked) > lookAgain {
		v.looked = time.Now()
		sources := v.sources()
		for _, name := range slices.Sorted(maps.Keys(sources)) {
			src := sources[name]
			if src.Env+src.File == "" {
				continue
			}
			if k, err := Resolve(name, src); err == nil { // one that is not there cannot leak
				v.learn(k)
			}
		}
	}
	return v.matcher
}

func (v *Vault) learn(k Key) {
	value := k.Reveal()
	if slices.ContainsFunc(v.seen, func(have Key) bool { return have.name == k.name && have.Reveal() == value }) {
		return
	}
	v.seen = append(v.seen, k)
	same := 0
	for i := len(v.seen) - 1; i >= 0; i-- {
		if v.seen[i].name == k.name {
			same++
		}
		if same > maxKept {
			v.seen = slices.Delete(v.seen, i, i+1)
			break
		}
	}
	v.matcher = NewMatcher(v.seen)
}
