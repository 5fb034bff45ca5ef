package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
)

// CLI is one of the two programs that make sandboxes.
type CLI struct {
	Name string // as it is typed
	argv []string
	// oldest is the version whose documentation these command lines are from.
	oldest [3]int
	any    string // every host, in a rule
	below  string // any depth below a name
}

var (
	// sbx: https://docs.docker.com/reference/cli/sbx/
	sbx = &CLI{Name: "sbx", argv: []string{"sbx"}, oldest: [3]int{0, 42, 0}, any: Any, below: "**."}
	// Deprecated: https://docs.docker.com/reference/cli/docker/sandbox/
	dockerSandbox = &CLI{
		Name: "docker sandbox", argv: []string{"docker", "sandbox"}, oldest: [3]int{0, 7, 0}, any: "*", below: "*.",
	}
)

// Find is the program of this machine, sbx where both are. look finds programs, and plugins of docker.
func Find(look func(string) (string, error)) (*CLI, error) {
	if _, err := look("sbx"); err == nil {
		return sbx, nil
	}
	_, docker := look("docker")
	if _, err := look("docker-sandbox"); err == nil && docker == nil {
		return dockerSandbox, nil
	}
	return nil, fmt.Errorf("%w: neither sbx nor docker sandbox is here; https://docs.docker.com/ai/sandboxes/ says "+
		"how to install sbx; without a sandbox, 'nanoclaw run' is the host", host.ErrNotFound)
}

func (c *CLI) cmd(args ...string) []string { return append(slices.Clone(c.argv), args...) }

// Both print it with their name and a commit: "sbx version: v0.42.0 c022b14…", and
// "github.com/docker/sandboxes/cli-plugin v0.7.1 f00f0d6…".
var version = regexp.MustCompile(`(?m)\bv?(\d+)\.(\d+)(?:\.(\d+))?`)

// checkVersion finds the version in what the program says, and refuses one whose grammar is another.
func (c *CLI) checkVersion(out []byte) (string, error) {
	m := version.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("%w: %s does not say its version: %.200q", host.ErrInvalid, c.Name, out)
	}
	var have [3]int
	for i := range have {
		have[i], _ = strconv.Atoi(string(m[i+1]))
	}
	text := fmt.Sprintf("%d.%d.%d", have[0], have[1], have[2])
	if slices.Compare(have[:], c.oldest[:]) < 0 {
		return text, fmt.Errorf("%w: %s %s is too old: its commands are others; update it to %d.%d.%d or later",
			host.ErrInvalid, c.Name, text, c.oldest[0], c.oldest[1], c.oldest[2])
	}
	return text, nil
}

// create shares workspace, under the same path, and nothing else.
func (c *CLI) create(name, workspace string) []string {
	return c.cmd("create", "--name", name, "shell", workspace)
}

// exec runs a command in dir. flags: "-i", "-t".
func (c *CLI) exec(name, dir string, flags []string, command ...string) []string {
	args := append([]string{"exec"}, flags...)
	return c.cmd(append(append(args, "-w", dir, name), command...)...)
}

// Listed is one sandbox that there is.
type Listed struct {
	Name       string   `json:"name"`
	Status     string   `json:"status"`
	Workspaces []string `json:"workspaces"`
}

func (c *CLI) list() []string { return c.cmd("ls", "--json") }

// readList finds a sandbox in the answer; nil = there is none of this name.
func (c *CLI) readList(out []byte, name string) (*Listed, error) {
	var all struct {
		Sandboxes *[]Listed `json:"sandboxes"` // sbx
		VMs       *[]Listed `json:"vms"`       // docker sandbox
	}
	err := json.Unmarshal(object(out), &all)
	if all.Sandboxes == nil {
		all.Sandboxes = all.VMs
	}
	if err != nil || all.Sandboxes == nil {
		return nil, fmt.Errorf("%w: '%s' answered no list: %.200q", host.ErrInvalid, strings.Join(c.list(), " "), out)
	}
	for _, s := range *all.Sandboxes {
		if s.Name == name {
			return &s, nil
		}
	}
	return nil, nil
}

// object is the JSON in out: a daemon that starts may be announced before.
func object(out []byte) []byte {
	if i := bytes.Index(out, []byte("\n{")); i >= 0 && !bytes.HasPrefix(out, []byte("{")) {
		return out[i+1:]
	}
	return out
}

// bypass begins an item that is no allowed host but one whose TLS passes uninspected.
const bypass = "bypass "

// items are rules as this program writes them: what it is given, and what it says is in force.
func (c *CLI) items(rules []Rule) (items []string) {
	for _, r := range rules {
		name := r.Host
		if rest, ok := strings.CutPrefix(name, "*."); ok {
			name = c.below + rest
		} else if name == Any {
			name = c.any
		}
		items = append(items, name+":"+strconv.Itoa(r.Port))
		// sbx has no such setting: it looks only into connections that it puts a credential into, and says
		// forward-bypass of the others. https://docs.docker.com/ai/sandboxes/governance/monitoring/
		if r.Bypass && c == dockerSandbox {
			items = append(items, bypass+name)
		}
	}
	slices.Sort(items)
	return items
}

// rule is what an item allows.
func (c *CLI) rule(item string) Rule {
	name, port := item, 0
	if i := strings.LastIndexByte(item, ':'); i >= 0 {
		if n, err := strconv.Atoi(item[i+1:]); err == nil {
			name, port = item[:i], n
		}
	}
	if rest, ok := strings.CutPrefix(name, c.below); ok {
		name = "*." + rest
	} else if name == c.any {
		name = Any
	}
	return Rule{Host: name, Port: port}
}

// apply changes a policy from have to want. Both have no rule by which one host only is taken away, so
// docker sandbox blocks what it may not reach any more.
func (c *CLI) apply(name string, have, want []string) (commands [][]string) {
	add, drop := without(want, have), without(have, want)
	if c == sbx {
		if len(drop) > 0 {
			rm := c.cmd("policy", "rm", "network", "--sandbox", name, "--force", "--resource", strings.Join(drop, ","))
			commands = append(commands, rm)
		}
		if len(add) > 0 {
			commands = append(commands, c.cmd("policy", "allow", "network", "--sandbox", name, strings.Join(add, ",")))
		}
		return commands
	}
	if len(add)+len(drop) == 0 && have != nil {
		return nil
	}
	// All of it each time: whether a second call adds or replaces is not documented.
	args := []string{"network", "proxy", name, "--policy", "deny"}
	for _, item := range want {
		if h, ok := strings.CutPrefix(item, bypass); ok {
			args = append(args, "--bypass-host", h)
		} else {
			args = append(args, "--allow-host", item)
		}
	}
	for _, item := range drop {
		args = append(args, "--block-host", strings.TrimPrefix(item, bypass))
	}
	return [][]string{c.cmd(args...)}
}

func without(items, other []string) []string {
	return slices.DeleteFunc(slices.Clone(items), func(s string) bool { return slices.Contains(other, s) })
}

// policy asks which rules are in force; nil = this program does not say.
func (c *CLI) policy(name string) []string {
	if c == dockerSandbox {
		return nil
	}
	return c.cmd("policy", "ls", name, "--type", "network", "--json")
}

// readPolicy splits what the sandbox may reach into its own rules, which are all ours, and beyond: those
// of the machine, its organization and the sandbox's kit, which hold besides.
func (c *CLI) readPolicy(out []byte, name string) (own, beyond []string, err error) {
	var all struct {
		Rules *[]struct {
			AppliesTo string   `json:"applies_to"` // "all" or "sandbox:NAME"
			Type      string   `json:"resource_type"`
			Decision  string   `json:"decision"`
			Status    string   `json:"status"`
			Editable  bool     `json:"editable"`
			Resources []string `json:"resources"`
		} `json:"rules"`
	}
	if err := json.Unmarshal(object(out), &all); err != nil || all.Rules == nil {
		asked := strings.Join(c.policy(name), " ")
		return nil, nil, fmt.Errorf("%w: '%s' answered no rules: %.200q", host.ErrInvalid, asked, out)
	}
	for _, r := range *all.Rules {
		switch {
		case r.Type != "network" || r.Decision != "allow" || r.Status == "inactive":
		case r.AppliesTo == "sandbox:"+name && r.Editable:
			own = append(own, r.Resources...)
		case r.AppliesTo == "all" || r.AppliesTo == "sandbox:"+name:
			beyond = append(beyond, r.Resources...)
		}
	}
	slices.Sort(own)
	slices.Sort(beyond)
	return slices.Compact(own), slices.Compact(beyond), nil
}

// remove takes the sandbox away with all that is in it but the workspace.
func (c *CLI) remove(name string) []string {
	if c == sbx {
		return c.cmd("rm", "--force", name) // it would ask again
	}
	return c.cmd("rm", name)
}

// secret says how the key of a service is given to the program, outside of the sandbox.
func (c *CLI) secret(name, service string) string {
	if c == sbx {
		return strings.Join(c.cmd("secret", "set", service, "--sandbox", name), " ")
	}
	// https://docs.docker.com/ai/sandboxes/agents/claude-code/ of that time
	return "export " + strings.ToUpper(service) + "_API_KEY=… in ~/.zshrc or ~/.bashrc, then restart Docker Desktop: " +
		"its proxy has the key from there"
}

var sandboxName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}$`)

// CheckName refuses what either program takes for no name.
func CheckName(name string) error {
	if !sandboxName.MatchString(name) {
		return errors.New("the name of a sandbox is letters, digits and hyphens, at most 63")
	}
	return nil
}
