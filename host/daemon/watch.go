package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/nanoclaw/nanoclaw/host/config"
)

const (
	settle   = 300 * time.Millisecond // of quiet after a change: a file is copied in many writes
	maxWait  = 3 * time.Second        // but a busy folder is read too
	lookOver = 5 * time.Second        // for folders that send no news: network mounts, made after the start
)

// watch takes up what changes in plugins/ and in the configuration, until ctx ends.
func (d *Daemon) watch(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		d.log.Warn("changes of files are seen late: no file watcher", "error", err)
		w = &fsnotify.Watcher{} // whose channels are nil
	} else {
		defer w.Close()
	}
	follow := func() {
		if err == nil {
			d.follow(w)
		}
	}
	var first time.Time // of changes not taken up yet
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	look := time.NewTicker(lookOver)
	defer look.Stop()
	seen := ""
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-w.Errors:
			d.log.Warn("file watcher", "error", err)
		case e := <-w.Events:
			if strings.HasPrefix(filepath.Base(e.Name), ".") {
				continue // somebody's temporary file
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(min(settle, max(0, time.Until(first.Add(maxWait)))))
		case <-d.poke:
			quiet.Reset(0)
		case <-look.C:
			follow()
			if now := d.fingerprint(); now != seen {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			first = time.Time{}
			seen = d.fingerprint()
			follow()
			d.reload(ctx)
			d.useRoutes(ctx)
			d.refresh(ctx)
		}
	}
}

// follow asks for news of every folder that matters. Asking twice changes nothing.
func (d *Daemon) follow(w *fsnotify.Watcher) {
	dirs := []string{d.config().SkillsDir, filepath.Dir(d.config().Path)}
	texts, _ := filepath.Glob(filepath.Join(d.config().SkillsDir, "*", "SKILL.md"))
	for _, t := range texts {
		dirs = append(dirs, filepath.Dir(t))
	}
	for _, dir := range dirs {
		if err := w.Add(dir); err != nil {
			d.log.Debug("not watched", "dir", dir, "error", err)
		}
	}
}

// fingerprint changes with the files that are followed: names, sizes and times.
func (d *Daemon) fingerprint() string {
	var b strings.Builder
	cfg := d.config()
	files, _ := filepath.Glob(filepath.Join(cfg.SkillsDir, "*"))
	texts, _ := filepath.Glob(filepath.Join(cfg.SkillsDir, "*", "SKILL.md"))
	for _, path := range append(append(files, texts...), cfg.Path) {
		if st, err := os.Stat(path); err == nil {
			fmt.Fprintln(&b, path, st.Size(), st.ModTime().UnixNano())
		}
	}
	return b.String()
}

// refresh reads plugins/. Spares that hold what was before are given up.
func (d *Daemon) refresh(ctx context.Context) {
	before := d.skills.List()
	if err := d.skills.Refresh(ctx); err != nil && ctx.Err() == nil {
		d.log.Error("plugins", "dir", d.config().SkillsDir, "error", err)
		d.tell("plugins cannot be read: " + err.Error())
	}
	if !reflect.DeepEqual(before, d.skills.List()) {
		d.agents.DropSpares()
	}
	d.once.Do(func() { close(d.ready) })
}

// reload takes up a changed, valid configuration for the turns that begin from now on. An
// invalid one is reported once and ignored.
func (d *Daemon) reload(ctx context.Context) {
	was := d.config()
	now, err := was.Reload()
	if err == nil {
		err = safe(now)
	}
	later := ""
	if err == nil {
		later = fixedParts(was, now)
		err = d.engine.take(ctx, now)
	}
	if err != nil {
		if text := err.Error(); text != d.badConfig {
			d.badConfig = text
			d.log.Error("changed configuration not taken up", "error", err)
			d.tell("the changed configuration is not taken up, the one before stays in force: " + text)
		}
		return
	}
	d.badConfig = ""
	if reflect.DeepEqual(was, now) {
		return
	}
	if d.admit.Runtimes = d.engine.runtimes; !slices.Equal(Runtimes(was), Runtimes(now)) {
		d.tell("the changed configuration has other runtimes: it is in force once the plugins are compiled for them")
		d.refresh(ctx)
	}
	d.use(now)
	d.agents.DropSpares()
	d.log.Info("changed configuration taken up", "config", now.Path)
	d.tell("the changed configuration is in force from the next turn" + later)
}

// fixedParts keeps in now what only a start can change, and says so.
func fixedParts(was, now *config.Config) (later string) {
	var names []string
	keep := func(name string, same bool) {
		if !same {
			names = append(names, name)
		}
	}
	keep("state_dir", was.StateDir == now.StateDir)
	keep("[skills]", was.SkillsDir == now.SkillsDir && was.RequireSigned == now.RequireSigned)
	keep("[engine]", was.Engine == now.Engine)
	keep("assistant.timezone", was.Assistant.Timezone == now.Assistant.Timezone)
	now.StateDir, now.SkillsDir, now.RequireSigned, now.Engine = was.StateDir, was.SkillsDir, was.RequireSigned, was.Engine
	now.Assistant.Timezone = was.Assistant.Timezone
	if names == nil {
		return ""
	}
	return "; at the next start: " + strings.Join(names, ", ")
}

// tell says something to the owner: in the open chats, or where the host was started.
func (d *Daemon) tell(text string) {
	if !d.console.Announce(text) {
		d.opt.Notice(text)
	}
}
