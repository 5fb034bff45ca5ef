package skill

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// judge asks the lock.
func (e *entry) judge(lock Lock) {
	rule, held := lock.Judge(e.file, e.Signer)
	if e.rule = rule; held == nil {
		return
	}
	e.State, e.file = Held, nil
	e.Why = oneLine(fmt.Errorf("it goes beyond what was accepted as %q: %s; look with 'nanoclaw skill diff %s %s', "+
		"accept with 'nanoclaw skill approve %s'", e.Name, strings.Join(held, "; "), e.Name, e.File, e.Name))
}

// goOn keeps the version at work that the lock knows, as long as its copy is there.
func (r *Registry) goOn(ctx context.Context, e *entry, was Locked) {
	if e.skill != nil || was.Kind == host.KindText {
		return
	}
	f, err := Read(Stored(r.cfg.State, was.Digest))
	if err != nil || f.Digest != was.Digest {
		return
	}
	k, err := r.AdmitFile(ctx, f)
	if err != nil {
		r.log.Warn("the accepted version of a held skill", "skill", e.Name, "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.skill, e.Runs = k, k.Digest
}

// tell logs what became of the files, and says it to the owner: what is new, and what cannot be used.
func (r *Registry) tell(entries []*entry, gone []host.SkillName) {
	var first []string
	for _, e := range entries {
		switch {
		case e.State == Held || e.State == Refused:
			if !slices.Contains(r.told, e.File+e.Why) {
				r.log.Warn("plugin not used", "file", e.File, "state", e.State, "why", e.Why)
				r.cfg.Notice(fmt.Sprintf("plugin %s is %s: %s", filepath.Base(e.File), e.State, e.Why))
			}
		case e.rule == firstDrop:
			first = append(first, string(e.Name)+" "+e.Version)
		case e.rule != "":
			r.cfg.Notice(fmt.Sprintf("skill %s %s takes the place of the one before it from the next turn: %s",
				e.Name, e.Version, e.rule))
		case e.fresh && e.State == Ready:
			r.cfg.Notice(fmt.Sprintf("skill %s %s is ready again, for roles that list it", e.Name, e.Version))
		}
		if e.rule != "" {
			r.log.Info("skill accepted", "skill", e.Name, "version", e.Version, "digest", e.Digest, "rule", e.rule)
		}
	}
	if len(first) > 0 {
		r.cfg.Notice("new skills are ready, for roles that list them: " + strings.Join(first, ", "))
	}
	for _, name := range gone {
		r.log.Info("skill gone", "skill", name)
		r.cfg.Notice(fmt.Sprintf("skill %s is gone: no usable file in %s says it is that", name, r.cfg.Dir))
	}
	r.told = nil
	for _, e := range entries {
		r.told = append(r.told, e.File+e.Why)
	}
}
