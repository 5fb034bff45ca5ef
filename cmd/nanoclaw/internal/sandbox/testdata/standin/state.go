package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// box is what is kept of one sandbox, in dir()/NAME.json.
type box struct {
	Name, Agent, Status string
	Workspaces          []string
	Deny                bool     // docker sandbox: --policy deny
	Allow, Bypass       []string // of this sandbox
	CA, Key             []byte   // PEM
	Secrets             map[string]string
}

// dir is where all of it is.
func dir() string {
	d := os.Getenv("STANDIN_DIR")
	if d == "" {
		fmt.Fprintln(os.Stderr, "ERROR: $STANDIN_DIR is not set")
		os.Exit(1)
	}
	return d
}

func load(name string) (b box, err error) {
	text, err := os.ReadFile(filepath.Join(dir(), name+".json"))
	if err != nil {
		return b, fmt.Errorf("sandbox %q not found", name)
	}
	return b, json.Unmarshal(text, &b)
}

func (b box) save() error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir(), "."+b.Name)
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir(), b.Name+".json"))
}

func (b box) socket() string { return filepath.Join(dir(), b.Name+".sock") }

func create(c call) error {
	agent, paths := c.Args[0], c.Args[1:]
	if agent != "shell" && agent != "claude" {
		return fmt.Errorf("unknown agent %q", agent)
	}
	for _, p := range paths {
		if st, err := os.Stat(strings.TrimSuffix(p, ":ro")); err != nil || !st.IsDir() {
			return fmt.Errorf("workspace %s is no directory", p)
		}
	}
	b := box{Name: c.flag("--name"), Agent: agent, Status: "stopped", Workspaces: paths, Secrets: map[string]string{}}
	if b.Name == "" {
		b.Name = agent + "-" + filepath.Base(paths[0])
	}
	if _, err := load(b.Name); err == nil {
		return fmt.Errorf("sandbox %q exists already", b.Name)
	}
	if err := b.newCA(); err != nil {
		return err
	}
	fmt.Println("created", b.Name)
	return b.save()
}

// wake starts the proxy of a sandbox that is stopped.
func (b *box) wake() error {
	if b.Status == "running" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := exec.Command(self, "proxy", b.Name)
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p.Stderr, err = os.OpenFile(filepath.Join(dir(), b.Name+".proxylog"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	b.note(p.Process.Pid)
	for range 100 {
		if _, err := os.Stat(b.socket()); err == nil {
			b.Status = "running"
			return b.save()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the proxy does not start")
}

// note keeps the process group of what runs in or for the sandbox.
func (b box) note(pid int) {
	_ = os.MkdirAll(filepath.Join(dir(), b.Name+".pids"), 0o700)
	_ = os.WriteFile(filepath.Join(dir(), b.Name+".pids", fmt.Sprint(pid)), nil, 0o600)
}

// halt ends all of it, first politely.
func (b *box) halt() error {
	pids, _ := filepath.Glob(filepath.Join(dir(), b.Name+".pids", "*"))
	alive := func() (any bool) {
		for _, p := range pids {
			var n int
			fmt.Sscan(filepath.Base(p), &n)
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
			any = any || err == nil && !strings.Contains(string(stat), ") Z ") // which nobody waits for
		}
		return any
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for _, p := range pids {
			var n int
			fmt.Sscan(filepath.Base(p), &n)
			_ = syscall.Kill(-n, sig)
		}
		for range 200 {
			if !alive() {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	_ = os.RemoveAll(filepath.Join(dir(), b.Name+".pids"))
	_ = os.Remove(b.socket())
	b.Status = "stopped"
	return b.save()
}

func stop(c call) error {
	for _, name := range c.Args {
		b, err := load(name)
		if err == nil {
			err = b.halt()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func remove(c call) error {
	if !plugin && !c.has("--force") && !c.has("-f") {
		return errors.New("not removed: nobody is here to confirm it")
	}
	if err := stop(c); err != nil {
		return err
	}
	for _, name := range c.Args {
		if err := os.Remove(filepath.Join(dir(), name+".json")); err != nil {
			return err
		}
		if b, err := load(name + "-rules"); err == nil { // outlive their sandbox
			fmt.Println("rules are left:", b.Allow)
		}
		fmt.Println(name)
	}
	return nil
}

func list(c call) error {
	files, err := filepath.Glob(filepath.Join(dir(), "*.json"))
	if err != nil {
		return err
	}
	all := []map[string]any{}
	for _, f := range files {
		b, err := load(strings.TrimSuffix(filepath.Base(f), ".json"))
		if err != nil {
			return err
		}
		if b.Agent == "" {
			continue // rules alone
		}
		all = append(all, map[string]any{"name": b.Name, "agent": b.Agent, "status": b.Status, "workspaces": b.Workspaces})
	}
	key := "sandboxes"
	if plugin {
		key = "vms"
	}
	if !c.has("--json") {
		return errors.New("the stand-in lists in JSON alone")
	}
	fmt.Println("sandboxd: starting") // as a daemon that was not there
	return json.NewEncoder(os.Stdout).Encode(map[string]any{key: all})
}

// rules are those scoped to a sandbox, which sbx keeps apart from it.
func rules(name string) box {
	b, err := load(name + "-rules")
	if err != nil {
		b = box{Name: name + "-rules"}
	}
	return b
}

func policyAllow(c call) error {
	name := c.flag("--sandbox")
	if name == "" {
		return errors.New("a rule for all sandboxes is nothing that NanoClaw should add")
	}
	if _, err := load(name); err != nil {
		return err
	}
	b := rules(name)
	b.Allow = append(b.Allow, strings.Split(c.Args[0], ",")...)
	return b.save()
}

func policyRemove(c call) error {
	name, gone := c.flag("--sandbox"), strings.Split(c.flag("--resource"), ",")
	if name == "" || !c.has("--force") {
		return errors.New("not of one sandbox, or nobody is here to confirm it")
	}
	b := rules(name)
	for _, g := range gone {
		i := slices.Index(b.Allow, g)
		if i < 0 {
			return fmt.Errorf("no rule for %q", g)
		}
		b.Allow = slices.Delete(b.Allow, i, i+1)
	}
	if len(b.Allow) == 0 {
		return os.Remove(filepath.Join(dir(), b.Name+".json"))
	}
	return b.save()
}

func policyList(c call) error {
	type rule map[string]any
	all := []rule{
		{"id": "1", "applies_to": "all", "resource_type": "network", "decision": "deny", "resources": []string{"ads.example.com"}, "status": "active", "editable": true},
		{"id": "2", "applies_to": "sandbox:other", "resource_type": "network", "decision": "allow", "resources": []string{"other.example.com"}, "status": "active", "editable": true},
	}
	if g := os.Getenv("STANDIN_GLOBAL"); g != "" {
		all = append(all, rule{"id": "3", "applies_to": "all", "resource_type": "network", "decision": "allow", "resources": strings.Split(g, ","), "status": "active", "editable": true})
	}
	for _, name := range c.Args {
		for i, r := range rules(name).Allow {
			all = append(all, rule{"id": fmt.Sprint(10 + i), "scope": "sandbox:" + name, "applies_to": "sandbox:" + name, "resource_type": "network", "decision": "allow", "resources": []string{r}, "origin": "scoped", "status": "active", "editable": true})
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"rules": all})
}

func networkProxy(c call) error {
	b, err := load(c.Args[0])
	if err != nil {
		return err
	}
	if b.Status != "running" {
		return errors.New("the sandbox must be running when you apply policy changes")
	}
	switch p := c.flag("--policy"); p {
	case "":
	case "allow", "deny":
		b.Deny = p == "deny"
	default:
		return fmt.Errorf("no policy %q", p)
	}
	for _, h := range c.Flags["--block-host"] {
		b.Allow = slices.DeleteFunc(b.Allow, func(a string) bool { return a == h })
		b.Bypass = slices.DeleteFunc(b.Bypass, func(a string) bool { return a == h })
	}
	b.Allow = slices.Compact(slices.Sorted(slices.Values(append(b.Allow, c.Flags["--allow-host"]...))))
	b.Bypass = slices.Compact(slices.Sorted(slices.Values(append(b.Bypass, c.Flags["--bypass-host"]...))))
	return b.save()
}

func secretSet(c call) error {
	b, err := load(c.flag("--sandbox"))
	if err != nil || len(c.Args) != 1 {
		return errors.Join(err, errors.New("say a sandbox and a service"))
	}
	value, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	b.Secrets[c.Args[0]] = strings.TrimSpace(string(value))
	return b.save()
}
