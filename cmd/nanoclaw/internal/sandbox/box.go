package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/config"
)

// Box is one sandbox, and how it is worked on from outside.
type Box struct {
	CLI       *CLI
	Name      string
	Workspace string // CheckWorkspace made it
	State     string // directory on this machine, outside of the workspace
	Shipped   string // nanoclaw.toml for a workspace without one
	Skills    string // directory of bundled skills; "" = none
	Programs  []string
	Arch      func(path string) (string, error) // GOARCH of a static Linux program
	WhatsApp  bool                              // its hosts are allowed before a phone is linked
	DryRun    bool                              // commands are shown; only those that ask are run

	Say     func(string)
	In      io.Reader // of commands that change something: they may ask for a login
	Out     io.Writer // what they say
	Confirm func(question string) (bool, error)

	asked bool // the host in it; shown once, and run often
}

// Status is what is known of a sandbox from outside.
type Status struct {
	CLI       string          `json:"cli"`
	Version   string          `json:"version"`
	Name      string          `json:"name"`
	Workspace string          `json:"workspace"`
	State     string          `json:"state"`            // as the CLI says it; "missing" when there is none
	Policy    []string        `json:"policy"`           // in force
	Add       []string        `json:"add,omitempty"`    // what the grants need besides
	Drop      []string        `json:"drop,omitempty"`   // what they need no more
	Beyond    []string        `json:"beyond,omitempty"` // allowed by this machine's own policy
	Problem   string          `json:"problem,omitempty"`
	Host      json.RawMessage `json:"host,omitempty"` // its `nanoclaw status`; none while it does not run
}

const (
	missing  = "missing"
	running  = "running"
	patience = 2 * time.Minute // for the host to start
)

// found is the sandbox as it is.
type found struct {
	version      string
	box          *Listed // nil = none
	have, beyond []string
}

func (f found) running() bool { return f.box != nil && f.box.Status == running }

// look asks how things stand, and changes nothing.
func (b *Box) look(ctx context.Context) (f found, err error) {
	out, err := b.ask(ctx, b.CLI.cmd("version"))
	if err != nil {
		return f, err
	}
	if f.version, err = b.CLI.checkVersion(out); err != nil {
		return f, err
	}
	if out, err = b.ask(ctx, b.CLI.list()); err != nil {
		return f, err
	}
	if f.box, err = b.CLI.readList(out, b.Name); err != nil || f.box == nil {
		return f, err
	}
	if w := f.box.Workspaces; len(w) > 0 && (len(w) > 1 || filepath.Clean(w[0]) != b.Workspace) {
		return f, fmt.Errorf("%w: sandbox %s shares %s, not %s alone; give this one another name with --name",
			host.ErrBusy, b.Name, strings.Join(w, " and "), b.Workspace)
	}
	f.have, f.beyond, err = b.inForce(ctx)
	return f, err
}

// inForce is the policy that the sandbox has: its own rules, and others that hold for it.
func (b *Box) inForce(ctx context.Context) (have, beyond []string, err error) {
	if argv := b.CLI.policy(b.Name); argv != nil {
		out, err := b.ask(ctx, argv)
		if err != nil {
			return nil, nil, err
		}
		return b.CLI.readPolicy(out, b.Name)
	}
	text, err := os.ReadFile(b.record())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &have)
	}
	return have, nil, err
}

// record is where the policy is that was given to a program that does not say it again.
func (b *Box) record() string { return filepath.Join(b.State, b.Name+".json") }

// log is what the host in the sandbox says on its way up.
func (b *Box) log() string { return filepath.Join(b.State, b.Name+".log") }

// config reads the workspace's nanoclaw.toml as the host in the sandbox will. Without one, as shipped, it
// is that which Up would write.
func (b *Box) config() (*config.Config, error) {
	path := filepath.Join(b.Workspace, configFile)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		dir, err := os.MkdirTemp("", "nanoclaw-sandbox-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		path = filepath.Join(dir, configFile)
		if err := os.WriteFile(path, []byte(b.Shipped), 0o600); err != nil {
			return nil, err
		}
	}
	return config.Load(path, config.Overrides{Sandboxed: true})
}

// want is the policy that the grants need.
func (b *Box) want(cfg *config.Config) ([]Rule, error) {
	_, err := os.Stat(filepath.Join(cfg.StateDir, "whatsapp.db"))
	rules := Policy(cfg, b.WhatsApp || err == nil)
	return rules, check(rules)
}

// Up makes the sandbox what the workspace's configuration says, and starts the host in it. What is so
// already is left alone.
func (b *Box) Up(ctx context.Context) error {
	f, err := b.look(ctx)
	if err != nil {
		return err
	}
	if err := b.prepare(); err != nil {
		return err
	}
	cfg, err := b.config()
	if err != nil {
		return err
	}
	rules, err := b.want(cfg)
	if err != nil {
		return err
	}
	if f.box != nil {
		b.Say("sandbox " + b.Name + " is there already")
	} else if err := b.create(ctx, &f); err != nil {
		return err
	}
	changed, err := b.fill(ctx, cfg)
	if err != nil {
		return err
	}
	if err := b.setPolicy(ctx, f, rules); err != nil {
		return err
	}
	if err := b.start(ctx, changed); err != nil {
		return err
	}
	b.tellRest(cfg, f)
	return nil
}

// create makes the sandbox. One of the same name may have left rules behind.
func (b *Box) create(ctx context.Context, f *found) error {
	err := b.do(ctx, b.CLI.create(b.Name, b.Workspace))
	if err == nil && !b.DryRun && b.CLI == sbx {
		f.have, f.beyond, err = b.inForce(ctx)
	}
	return err
}

// prepare makes the workspace and its configuration.
func (b *Box) prepare() error {
	path := filepath.Join(b.Workspace, configFile)
	_, err := os.Lstat(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b.Say("writing " + path + ", as shipped")
	if b.DryRun {
		return nil
	}
	if err := os.MkdirAll(b.Workspace, 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(b.Shipped), 0o600)
}

// machine is the GOARCH of the sandbox, which runs by the time it answers.
func (b *Box) machine(ctx context.Context) (string, error) {
	out, err := b.ask(ctx, b.CLI.exec(b.Name, b.Workspace, nil, "uname", "-m"))
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(out))
	arch, ok := map[string]string{"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[name]
	if !ok {
		return "", fmt.Errorf("%w: the sandbox is a %.40q, for which there is no nanoclaw", host.ErrInvalid, name)
	}
	return arch, nil
}

// fill puts into the workspace what the host in the sandbox is made of.
func (b *Box) fill(ctx context.Context, cfg *config.Config) (changed bool, err error) {
	if b.DryRun {
		b.Say("then the programs for its processor are copied to " + filepath.Join(b.Workspace, binDir))
		return false, nil
	}
	arch, err := b.machine(ctx)
	if err != nil {
		return false, err
	}
	root, err := os.OpenRoot(b.Workspace)
	if err != nil {
		return false, err
	}
	defer root.Close()
	if changed, err = b.place(root, arch); err != nil {
		return changed, err
	}
	return changed, b.skills(root, cfg.SkillsDir)
}

// setPolicy changes what differs. A sandbox that was there may have written the configuration itself, so
// what makes it reach more is asked for.
func (b *Box) setPolicy(ctx context.Context, f found, rules []Rule) error {
	want := b.CLI.items(rules)
	commands := b.CLI.apply(b.Name, f.have, want)
	if len(commands) == 0 {
		b.Say("its network policy is what the grants need already")
		return nil
	}
	b.Say("its network policy, from the grants; whatever else is refused:")
	for _, r := range rules {
		b.Say(fmt.Sprintf("  %-30s %s%s", r, r.Why, map[bool]string{true: ", TLS not inspected"}[r.Bypass]))
	}
	for _, gone := range without(f.have, want) {
		b.Say("  no longer: " + gone)
	}
	wider := slices.DeleteFunc(without(want, f.have), func(item string) bool {
		return slices.ContainsFunc(f.have, func(old string) bool { return b.CLI.rule(old).Covers(b.CLI.rule(item)) })
	})
	if f.box != nil && len(wider) > 0 && !b.DryRun {
		ok, err := b.Confirm("Its configuration, which it can write itself, now needs " +
			strings.Join(wider, ", ") + ". Allow that?")
		if err == nil && !ok {
			err = fmt.Errorf("%w: the policy is as it was; take the grants out of %s, or allow them",
				host.ErrDenied, filepath.Join(b.Workspace, configFile))
		}
		if err != nil {
			return err
		}
	}
	for _, c := range commands {
		if err := b.do(ctx, c); err != nil {
			return err
		}
	}
	if b.DryRun || b.CLI.policy(b.Name) != nil {
		return nil
	}
	text, err := json.Marshal(want)
	if err == nil {
		err = os.MkdirAll(b.State, 0o700)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(b.record(), text, 0o600)
}

// tellRest says what is left to people.
func (b *Box) tellRest(cfg *config.Config, f found) {
	known, unknown := Keys(cfg)
	for _, s := range known {
		b.Say("the key of " + s + " stays outside; give it to " + b.CLI.Name + " once: " + b.CLI.secret(b.Name, s))
	}
	for _, h := range unknown {
		b.Say(b.CLI.Name + " knows no service at " + h + " and puts no key in there: see 'sbx secret set-custom'")
	}
	b.tellBeyond(f.beyond)
	b.Say("'nanoclaw sandbox shell --chat' talks to it, 'bin/nanoclaw setup' in 'nanoclaw sandbox shell' sets it up;\n" +
		"'nanoclaw sandbox rm' removes it, and leaves " + b.Workspace + ": " + kept)
}

func (b *Box) tellBeyond(beyond []string) {
	if len(beyond) > 0 {
		b.Say("this machine's own policy lets it reach more than its grants need: " + some(beyond, 5) +
			"; 'sbx policy reset' and \"Locked Down\" end that, for all sandboxes")
	}
}

func some(list []string, n int) string {
	if len(list) > n {
		return strings.Join(list[:n], ", ") + fmt.Sprintf(" and %d more", len(list)-n)
	}
	return strings.Join(list, ", ")
}

// kept is what of a workspace outlives its sandbox.
const kept = "nanoclaw.toml, plugins/, bin/, and state/ with messages, the audit log, stored secrets and the " +
	"agents' files"

// Status says how things stand. It starts nothing.
func (b *Box) Status(ctx context.Context) (Status, error) {
	s := Status{CLI: b.CLI.Name, Name: b.Name, Workspace: b.Workspace, State: missing, Policy: []string{}}
	f, err := b.look(ctx)
	s.Version = f.version
	if err != nil || f.box == nil {
		return s, err
	}
	s.State, s.Beyond = f.box.Status, f.beyond
	s.Policy = append(s.Policy, f.have...)
	cfg, err := b.config()
	var rules []Rule
	if err == nil {
		rules, err = b.want(cfg)
	}
	if err != nil {
		s.Problem = err.Error()
	} else {
		want := b.CLI.items(rules)
		s.Add, s.Drop = without(want, f.have), without(f.have, want)
	}
	if f.running() { // otherwise asking would start it
		s.Host = b.status(ctx)
	}
	return s, nil
}

// Remove takes the sandbox and its policy away.
func (b *Box) Remove(ctx context.Context) error {
	f, err := b.look(ctx)
	if err != nil {
		return err
	}
	if f.box == nil {
		b.Say("there is no sandbox " + b.Name)
	} else {
		b.Say("This stops NanoClaw and removes sandbox " + b.Name + " with its policy, its Docker daemon and all that " +
			"is in it.\nIt leaves " + b.Workspace + ": " + kept + ".")
		if !b.DryRun {
			if ok, err := b.Confirm("Remove it?"); err != nil || !ok {
				return err
			}
		}
		if b.CLI == sbx && len(f.have) > 0 { // docker sandbox keeps the policy with the sandbox
			if err := b.do(ctx, b.CLI.apply(b.Name, f.have, nil)[0]); err != nil {
				return err
			}
		}
		if err := b.do(ctx, b.CLI.remove(b.Name)); err != nil {
			return err
		}
	}
	if b.DryRun {
		return nil
	}
	for _, p := range []string{b.record(), b.log()} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
