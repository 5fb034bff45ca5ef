package skill

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/nanoclaw/nanoclaw/host"
)

// LockName is the lock's file in plugins/.
const LockName = "skills.lock"

const maxLock = 1 << 20 // bytes

// firstDrop is the rule by which a name is accepted that the lock does not know.
const firstDrop = "first drop"

const lockHead = `# Which skills this installation has accepted, kept by nanoclaw: a file of the same name that wants
# more than stands here, or has another signer, is held until 'nanoclaw skill approve NAME'.

`

// Locked is what was accepted under one name.
type Locked struct {
	Name         host.SkillName `toml:"name"`
	Version      string         `toml:"version,omitempty"`
	Kind         string         `toml:"kind"`
	Digest       host.Digest    `toml:"digest"`
	Signer       string         `toml:"signer,omitempty"` // public key; "" = unsigned
	When         time.Time      `toml:"when"`
	By           string         `toml:"by"` // who or what rule accepted it
	Capabilities []host.Need    `toml:"capabilities,omitempty"`
}

// Lock is plugins/skills.lock, by name.
type Lock map[host.SkillName]Locked

type lockFile struct {
	Skills []Locked `toml:"skill"`
}

// ReadLock reads the lock of a plugins directory; there is none before the first skill.
func ReadLock(dir string) (Lock, error) {
	b, err := readRegular(filepath.Join(dir, LockName), maxLock)
	if errors.Is(err, host.ErrNotFound) {
		return Lock{}, nil
	}
	var in lockFile
	if err == nil {
		var meta toml.MetaData
		if meta, err = toml.Decode(string(b), &in); err == nil && len(meta.Undecoded()) > 0 {
			err = fmt.Errorf("unknown key %q", meta.Undecoded()[0])
		}
	}
	out := Lock{}
	for _, l := range in.Skills {
		if _, twice := out[l.Name]; twice && err == nil {
			err = fmt.Errorf("%q stands twice", l.Name)
		}
		out[l.Name] = l
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w; mend it, or remove it to accept the files as they are now",
			host.ErrInvalid, LockName, err)
	}
	return out, nil
}

// record writes entries into the lock of dir. Another process may do so at the same time.
func record(dir string, entries ...Locked) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() // and with it the lock
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	lock, err := ReadLock(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		e.When = time.Now().UTC().Truncate(time.Second)
		lock[e.Name] = e
	}
	var out lockFile
	for _, name := range slices.Sorted(maps.Keys(lock)) {
		out.Skills = append(out.Skills, lock[name])
	}
	b := bytes.NewBufferString(lockHead)
	if err := toml.NewEncoder(b).Encode(out); err != nil {
		return err
	}
	return WriteAtomic(filepath.Join(dir, LockName), b.Bytes(), 0o644)
}

func lockedOf(f *File, signer, by string) Locked {
	return Locked{
		Name: f.Manifest.Name, Version: f.Manifest.Version, Kind: f.Manifest.Kind, Digest: f.Digest,
		Signer: signer, By: by, Capabilities: f.Manifest.Capabilities,
	}
}

// Widened says in what now goes beyond was; nothing when it is the same or narrower.
func Widened(was, now []host.Need) (out []string) {
	for _, n := range now {
		i := slices.IndexFunc(was, func(w host.Need) bool { return w.Name == n.Name })
		if i < 0 {
			out = append(out, fmt.Sprintf("%s is new", n.Name))
			continue
		}
		out = append(out, widenedNeed(was[i], n)...)
	}
	return out
}

func widenedNeed(was, now host.Need) (out []string) {
	if was.Mode == "ro" && now.Mode != "ro" {
		out = append(out, "fs: writes, where it only read")
	}
	if was.Mode == host.ModeOwn && now.Mode != host.ModeOwn {
		out = append(out, "message: other chats, where it only sent files to its own")
	}
	if was.Path != "" && was.Path != "." && now.Path != was.Path && !strings.HasPrefix(now.Path, was.Path+"/") {
		out = append(out, fmt.Sprintf("fs: %q in place of %q", now.Path, was.Path))
	}
	if now.PublicWeb && !was.PublicWeb {
		out = append(out, "http: the public web")
	}
	anyHost := len(now.Hosts) == 0 && !now.PublicWeb
	if wasAny := len(was.Hosts) == 0 && !was.PublicWeb; !wasAny {
		if anyHost {
			out = append(out, "http: whatever hosts its role allows")
		}
		for _, h := range now.Hosts {
			if !slices.ContainsFunc(was.Hosts, func(p string) bool { return p == h || host.MatchHost(p, h) }) {
				out = append(out, "http: host "+h)
			}
		}
	}
	for _, m := range now.Methods {
		if len(was.Methods) > 0 && !slices.Contains(was.Methods, m) {
			out = append(out, "http: method "+m)
		}
	}
	if len(now.Methods) == 0 && len(was.Methods) > 0 {
		out = append(out, "http: whatever methods its role allows")
	}
	return out
}

// Judge says whether f may take the place of what is locked under its name: by which rule,
// "" when it is that very file, or in what it needs somebody's approval.
func (l Lock) Judge(f *File, signer string) (rule string, held []string) {
	was, known := l[f.Manifest.Name]
	switch {
	case !known:
		return firstDrop, nil
	case was.Digest == f.Digest && was.Signer == signer:
		return "", nil
	}
	if was.Kind != f.Manifest.Kind {
		held = append(held, fmt.Sprintf("it is of kind %s, before %s", f.Manifest.Kind, was.Kind))
	}
	if was.Signer != signer {
		held = append(held, fmt.Sprintf("signed by %s, before by %s", signerText(signer), signerText(was.Signer)))
	}
	if held = append(held, Widened(was.Capabilities, f.Manifest.Capabilities)...); len(held) > 0 {
		return "", held
	}
	return "same or narrower capabilities", nil
}

func signerText(key string) string {
	if key == "" {
		return "nobody"
	}
	return key
}

// Approve accepts f, by name or rule, whatever the lock says.
func Approve(dir string, f *File, signer, by string) error {
	return record(dir, lockedOf(f, signer, by))
}
