package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/host/daemon"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/host/skill"
)

// What is too little, and too far apart.
const (
	littleSpace = 1 << 30 // bytes: a warning
	noSpace     = 256 << 20
	clockOff    = 5 * time.Second // a warning: schedules and logs are off by as much
	clockWrong  = 2 * time.Minute // certificates and one-time codes fail

	tryTurn = 3 * time.Minute // it compiles two skills first
)

// checkReach is `nanoclaw check` in one line: with a problem, no host starts.
func (d *doctor) checkReach() {
	r := d.cfg.Examine()
	r.Warnings = append(r.Warnings, keyWarnings(d.cfg)...)
	switch {
	case len(r.Problems) > 0:
		d.add(failure("reach", "nanoclaw check", errors.New(strings.Join(r.Problems, "\n"))))
	case len(r.Warnings) > 0:
		d.add(warning("reach", "nanoclaw check", "%s", strings.Join(r.Warnings, "\n")))
	default:
		d.add(ok("reach", "no role holds private data, reads untrusted content and can send outward"))
	}
}

// checkSecrets looks at who can read them, and whether those that somebody uses are there. No
// command is run for it.
func (d *doctor) checkSecrets() {
	worst := ok("secrets", "%s", "none")
	dir := filepath.Dir(host.SecretFile(d.cfg.StateDir, "x"))
	if st, err := os.Stat(dir); err == nil && st.Mode().Perm()&0o077 != 0 {
		worst = failure("secrets", "nanoclaw doctor --fix",
			fmt.Errorf("%s has mode %v: others can look into it", dir, st.Mode().Perm()))
	}
	all := listSecrets(d.cfg)
	for _, s := range all {
		switch {
		case strings.HasPrefix(s.State, host.ErrDenied.Error()) && worst.State != stateFailure:
			worst = failure("secrets", "chmod 600 its file, or nanoclaw doctor --fix for those in the state directory",
				fmt.Errorf("%s: %s", s.Name, s.State))
		case s.State != "ok" && s.State != "not tried" && len(s.Used) > 0 && worst.State == stateOK:
			worst = warning("secrets", "nanoclaw secret set "+s.Name+", or mend where it is taken from", "%s, of %s: %s",
				s.Name, strings.Join(s.Used, ", "), s.State)
		}
	}
	if worst.State == stateOK && len(all) > 0 {
		worst.Detail = fmt.Sprintf("%d, for this user alone", len(all))
	}
	d.add(worst)
}

// fixModes takes away what others may do in the state directory. Nothing of it was meant for them.
func (d *doctor) fixModes() error {
	cfg, err := d.loadConfig()
	if err != nil {
		return nil // the check of the configuration says so
	}
	paths, _ := filepath.Glob(host.SecretFile(cfg.StateDir, "*"))
	for _, path := range append(paths, cfg.StateDir, filepath.Dir(host.SecretFile(cfg.StateDir, "x"))) {
		st, err := os.Lstat(path)
		if err != nil || st.Mode()&os.ModeSymlink != 0 || st.Mode().Perm()&0o077 == 0 {
			continue
		}
		fmt.Fprintf(d.stderr, "chmod go= %s\n", path)
		if err := os.Chmod(path, st.Mode().Perm()&0o700); err != nil {
			return err
		}
	}
	return nil
}

// daemonRows are what a daemon must be able to do.
func daemonRows(i container.Info, now time.Time) []check {
	return []check{apiRow(i), rootlessRow(i), cgroupRow(i), clockRow(i.Clock, now)}
}

func apiRow(i container.Info) check {
	if older(i.APIVersion, oldestAPI) {
		return failure("api", "install Docker 20.10 or newer",
			fmt.Errorf("version %s, needed is %s", i.APIVersion, oldestAPI))
	}
	return ok("api", "version %s", i.APIVersion)
}

// older compares versions like "1.41" by their numbers.
func older(a, b string) bool {
	number := func(s string) (n []int) {
		for part := range strings.SplitSeq(s, ".") {
			k, _ := strconv.Atoi(part)
			n = append(n, k)
		}
		return n
	}
	return slices.Compare(number(a), number(b)) < 0
}

func rootlessRow(i container.Info) check {
	switch {
	case !slices.Contains(i.Security, "name=rootless"):
		return ok("rootless", "no: whoever may use this daemon is root on its machine")
	case i.CgroupDriver == "none":
		return failure("rootless", "let systemd delegate cgroups to this user: "+
			"https://rootlesscontaine.rs/getting-started/common/cgroup2/",
			errors.New("a rootless daemon without cgroups bounds no agent"))
	}
	return ok("rootless", "yes: what breaks out of a container has this user's rights")
}

func cgroupRow(i container.Info) check {
	const fix = "turn the controllers on (on a Raspberry Pi: cgroup_enable=memory in cmdline.txt)"
	about := fmt.Sprintf("version %s, driver %s", i.CgroupVersion, i.CgroupDriver)
	switch {
	case len(i.Unlimited) == 0:
		return ok("cgroup", "%s", about)
	case slices.Equal(i.Unlimited, []string{"swap"}):
		return warning("cgroup", "boot with swapaccount=1, or without swap",
			"%s; agents may use swap beyond their memory", about)
	}
	return failure("cgroup", fix, fmt.Errorf("%s; it cannot limit %s", about, strings.Join(i.Unlimited, ", ")))
}

// clockRow compares with the daemon's machine, which in a virtual one stands still while a laptop sleeps.
func clockRow(daemons string, now time.Time) check {
	const fix = "set the clock (timedatectl set-ntp true), or restart Docker's virtual machine"
	there, err := time.Parse(time.RFC3339Nano, daemons)
	if err != nil {
		return warning("clock", "", "the daemon does not say its time")
	}
	off := there.Sub(now).Abs().Round(time.Second)
	switch {
	case off >= clockWrong:
		return failure("clock", fix,
			fmt.Errorf("it is %s here and %s on the daemon's machine", now.UTC().Format(time.RFC3339), daemons))
	case off >= clockOff:
		return warning("clock", fix, "%s apart from the daemon's machine", off)
	}
	return ok("clock", "that of the daemon's machine; %s", now.Format("2006-01-02 15:04 -0700"))
}

// checkLock compares the skills with what was accepted, as a host would at its start.
func (d *doctor) checkLock() {
	lock, err := skill.ReadLock(d.cfg.SkillsDir)
	keys, keysErr := skill.TrustedKeys(d.cfg.StateDir)
	if err = errors.Join(err, keysErr); err != nil {
		d.add(failure("lock", "mend the file, or restore it from where you keep your configuration", err))
		return
	}
	var held, unsigned []string
	locked := 0
	for _, f := range d.files {
		signer, err := f.Verify(keys)
		if err != nil || d.cfg.RequireSigned && signer == "" {
			unsigned = append(unsigned, string(f.Manifest.Name))
		}
		rule, why := lock.Judge(f, signer)
		if len(why) > 0 {
			held = append(held, fmt.Sprintf("%s: %s", f.Manifest.Name, strings.Join(why, "; ")))
		} else if rule == "" {
			locked++
		}
	}
	switch {
	case len(unsigned) > 0:
		d.add(failure("lock", "nanoclaw skill sign, nanoclaw skill trust, or another file",
			fmt.Errorf("no trusted key signed %s", strings.Join(unsigned, ", "))))
	case len(held) > 0:
		d.add(failure("lock", "nanoclaw skill diff NAME FILE, then nanoclaw skill approve NAME",
			fmt.Errorf("held, because more is wanted than was accepted:\n%s", strings.Join(held, "\n"))))
	default:
		d.add(ok("lock", "%d of %d skills as accepted; the others are accepted at the next start", locked, len(d.files)))
	}
}

// checkModel makes one real call to each model that a role asks first.
func (d *doctor) checkModel(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tryModel)
	defer cancel()
	tried, answers := map[string]bool{}, []string{}
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Roles)) {
		role := d.cfg.Roles[name]
		choice := d.cfg.Choices(role)[0]
		about := choice.Provider + ", model " + choice.Model
		if choice.Provider == offlineModel || tried[about] {
			continue
		}
		tried[about] = true
		if err := daemon.TryModel(ctx, d.cfg, d.vault, role, ""); err != nil {
			d.add(failure("model", "nanoclaw setup tries another key or model",
				fmt.Errorf("%s, of role %s: %w", about, name, err)))
			return
		}
		answers = append(answers, about)
	}
	if len(answers) == 0 {
		d.add(warning("model", "nanoclaw setup", "offline: no language model, only commands and example phrases"))
		return
	}
	d.add(ok("model", "%s: answers", strings.Join(answers, "; ")))
}

const offlineModel = "offline"

// checkChannels says who listens, and of which routes nobody does.
func (d *doctor) checkChannels(ctx context.Context) {
	have, err := d.channels(ctx, d.cfg)
	if err != nil {
		d.add(failure("channels", "nanoclaw channel list; where a host runs, stop and start it", err))
		return
	}
	about := strings.Join(have, ", ")
	for _, r := range d.cfg.Routes {
		if slices.ContainsFunc(have, func(c string) bool { return strings.HasPrefix(c, r.Channel+" ("+notLinked) }) {
			d.add(warning("channels", "nanoclaw channel add "+r.Channel,
				"%s; a route is for channel %q, which is %s", about, r.Channel, notLinked))
			return
		}
	}
	d.add(ok("channels", "%s", about))
}

// checkDisk looks at the state, and at Docker's own directory where it is on this machine.
func (d *doctor) checkDisk() {
	dir := d.cfg.StateDir
	for _, err := os.Stat(dir); err != nil && dir != filepath.Dir(dir); _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	worst := diskRow(dir)
	if _, err := os.Stat(d.info.Root); d.info.Root != "" && err == nil {
		if c := diskRow(d.info.Root); worst.State == stateOK || c.State == stateFailure {
			worst = c
		}
	}
	d.add(worst)
}

func diskRow(dir string) check {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return failure("disk", "make "+dir+" readable for this user", err)
	}
	return spaceRow(dir, uint64(s.Bavail)*uint64(s.Bsize), s.Files > 0 && s.Ffree == 0)
}

func spaceRow(dir string, free uint64, noFiles bool) check {
	const fix = "free space; 'docker system prune' removes what Docker no longer uses"
	about := fmt.Sprintf("%d MiB free at %s", free>>20, dir)
	switch {
	case noFiles:
		return failure("disk", fix, fmt.Errorf("no file can be made at %s: it has no inodes left", dir))
	case free < noSpace:
		return failure("disk", fix, errors.New(about))
	case free < littleSpace:
		return warning("disk", fix, "%s", about)
	}
	return ok("disk", "%s", about)
}

// checkTurn has a message answered: by a host of its own with a state of its own, the skill agent of
// the role that answers the console, and the offline model. So it costs nothing, and leaves nothing.
func (d *doctor) checkTurn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tryTurn)
	defer cancel()
	began := time.Now()
	reply, err := d.turn(ctx)
	if err != nil {
		d.add(failure("turn", "the rows above say what it needs; 'nanoclaw logs' and --verbose say more", err))
		return
	}
	through := "a container and WASM"
	if d.cfg.Engine.Runtime == daemon.RuntimeNone {
		through = "WASM"
	}
	reply, _, _ = strings.Cut(reply, "\n")
	d.add(ok("turn", "a message was answered through %s in %.1f s: %.40q", through, time.Since(began).Seconds(), reply))
}

func (d *doctor) turn(ctx context.Context) (reply string, err error) {
	if err := os.MkdirAll(d.cfg.StateDir, 0o700); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(d.cfg.StateDir, "doctor-") // where Docker can mount from
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	cfg, say, err := d.turnConfig(dir)
	if err != nil {
		return "", err
	}
	h, err := daemon.Start(ctx, daemon.Options{
		Config: cfg, Log: hclog.NewNullLogger(), Vault: secret.NewVault(), Version: Version,
	})
	if err != nil {
		return "", err
	}
	defer h.Stop()
	cl, err := daemon.Dial(ctx, cfg.StateDir)
	if err != nil {
		return "", err
	}
	s, err := openSession(ctx, cl, "doctor")
	if err != nil {
		return "", err
	}
	var out, stderr bytes.Buffer
	answered, err := (&app{stdout: &out, stderr: &stderr}).ask(ctx, s, say)
	if err == nil && !answered {
		err = errors.New(strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(out.String()), err
}

// turnConfig is a file and a plugins folder for one turn, and what to say.
func (d *doctor) turnConfig(dir string) (cfg *config.Config, say string, err error) {
	role := d.cfg.Roles[slices.Min(slices.Collect(maps.Keys(d.cfg.Roles)))]
	for _, r := range d.cfg.Routes {
		if r.Channel == "console" {
			role = d.cfg.Roles[r.Role]
		}
	}
	say, skills := "Are you there?", []string{}
	if slices.Contains(role.Skills, "calc") {
		say, skills = "/calc 6*7", []string{"calc"}
	}
	plugins := filepath.Join(dir, "plugins")
	if err := os.Mkdir(plugins, 0o700); err != nil {
		return nil, "", err
	}
	for _, name := range append([]string{string(role.Brain)}, skills...) {
		f, err := skill.Find(d.cfg.SkillsDir, host.SkillName(name))
		if err == nil {
			err = os.WriteFile(filepath.Join(plugins, name+".wasm"), f.Bytes, 0o600)
		}
		if err != nil {
			return nil, "", err
		}
	}
	text := fmt.Sprintf("[model]\nprovider = \"offline\"\n[skills]\ndir = %q\n[engine]\nmax_spares = 0\n[roles.main]\n"+
		"description = \"of doctor\"\nprompt = \"Answer.\"\nagent = %q\nskills = [%s]\n"+
		"[[routes]]\nchannel = \"console\"\nchat = \"*\"\nrole = \"main\"\n", plugins, role.Brain, quoted(skills))
	if role.Runtime != "" {
		text = strings.Replace(text, "agent = ", fmt.Sprintf("runtime = %q\nagent = ", role.Runtime), 1)
	}
	path := filepath.Join(dir, "nanoclaw.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	cfg, err = config.Load(path, config.Overrides{StateDir: filepath.Join(dir, "state"), Runtime: d.cfg.Engine.Runtime})
	return cfg, say, err
}

func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strconv.Quote(w)
	}
	return strings.Join(out, ", ")
}
