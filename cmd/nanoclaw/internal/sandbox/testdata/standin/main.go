// Command standin stands for sbx and for the docker CLI's plugin docker-sandbox in tests: it takes the
// documented grammar and nothing else, keeps what it is told, and runs commands behind a proxy that looks
// into TLS, cut off from every other way out. As "nanoclaw" it is a host that only runs.
//
//	https://docs.docker.com/reference/cli/sbx/
//	https://docs.docker.com/reference/cli/docker/sandbox/
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// command is one line of the documentation: its options, and how many arguments it takes.
type command struct {
	bare, valued string // options without and with a value, short and long
	min, max     int    // arguments; max < 0 = any
	rest         bool   // what follows the first argument is somebody else's command line
	do           func(call) error
}

// call is a command line that was understood.
type call struct {
	Verb  string              `json:"verb"`
	Flags map[string][]string `json:"flags"`
	Args  []string            `json:"args"`
}

func (c call) flag(names ...string) string {
	for _, n := range names {
		if v := c.Flags[n]; v != nil {
			return v[len(v)-1]
		}
	}
	return ""
}

func (c call) has(name string) bool { return c.Flags[name] != nil }

const execFlags = "-e --env --env-file -u --user -w --workdir --detach-keys"

var sbx = map[string]command{
	"version": {bare: "--json", do: func(call) error {
		fmt.Println("sbx version:", env("STANDIN_VERSION", "v0.42.0"), "c022b14634c4bea846ca12870d1d5e97d5868b54")
		return nil
	}},
	"ls":                   {bare: "--json -q --quiet", do: list},
	"create":               {bare: "-q --quiet --clone", valued: "--name --cpus -m --memory -t --template --kit --mcp --deny-network -e --env --env-file --publish", min: 1, max: -1, do: create},
	"run":                  {bare: "--clone", valued: "--name --cpus -m --memory -t --template --kit --mcp --deny-network -e --env --env-file --publish", max: -1, rest: true, do: nothing},
	"exec":                 {bare: "-d --detach -i --interactive -t --tty --privileged", valued: execFlags, min: 2, max: -1, rest: true, do: run},
	"stop":                 {min: 1, max: -1, do: stop},
	"rm":                   {bare: "--all -f --force", max: -1, do: remove},
	"policy ls":            {bare: "--json --wide --include-inactive", valued: "--type --source --decision --protocol --created-via", max: 1, do: policyList},
	"policy allow network": {valued: "--sandbox --method --path --protocol", min: 1, max: 1, do: policyAllow},
	"policy deny network":  {valued: "--sandbox --method --path --protocol", min: 1, max: 1, do: nothing},
	"policy rm network":    {bare: "-f --force", valued: "--sandbox --id --resource --method --path --protocol", do: policyRemove},
	"policy log":           {bare: "--json -q --quiet", valued: "--limit --type", max: 1, do: nothing},
	"policy check network": {bare: "--json --verbose", valued: "--sandbox --protocol", min: 1, max: 1, do: nothing},
	"policy init":          {min: 1, max: 1, do: nothing},
	"policy reset":         {bare: "-f --force", do: nothing},
	"secret set":           {bare: "-f --force --oauth --all-sandboxes --password-stdin --no-verify --show-error", valued: "--sandbox -t --token --registry --username --ref --command --refresh", max: 1, do: secretSet},
	"secret ls":            {bare: "--json", max: 1, do: nothing},
	"cp":                   {bare: "-L --follow-link", min: 2, max: 2, do: nothing},
}

var dockerSandbox = map[string]command{
	"version": {do: func(call) error {
		fmt.Println("github.com/docker/sandboxes/cli-plugin", env("STANDIN_VERSION", "v0.7.1"), "f00f0d6473647c2201cd0507ce31613345c48ae6")
		return nil
	}},
	"ls":            {bare: "--json --no-trunc -q --quiet", do: list},
	"create":        {bare: "-q --quiet --load-local-template", valued: "--name -t --template --pull-template", min: 2, max: -1, do: create},
	"run":           {bare: "-q --quiet --load-local-template", valued: "--name -t --template --pull-template", min: 1, max: -1, rest: true, do: nothing},
	"exec":          {bare: "-d --detach -i --interactive -t --tty --privileged", valued: execFlags, min: 2, max: -1, rest: true, do: run},
	"inspect":       {min: 1, max: -1, do: nothing},
	"stop":          {min: 1, max: -1, do: stop},
	"rm":            {min: 1, max: -1, do: remove},
	"reset":         {bare: "-f --force", do: nothing},
	"save":          {valued: "-o --output", min: 2, max: 2, do: nothing},
	"network log":   {bare: "--json -q --quiet", valued: "--limit", do: nothing},
	"network proxy": {valued: "--allow-host --block-host --bypass-host --allow-cidr --block-cidr --bypass-cidr --policy", min: 1, max: 1, do: networkProxy},
}

func nothing(call) error { return nil }

func env(name, other string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return other
}

// parse understands a command line, or says what is wrong with it.
func parse(grammar map[string]command, argv []string) (command, call, error) {
	for n := min(3, len(argv)); n > 0; n-- {
		verb := strings.Join(argv[:n], " ")
		if cmd, ok := grammar[verb]; ok {
			c, err := cmd.parse(verb, argv[n:])
			return cmd, c, err
		}
	}
	return command{}, call{}, fmt.Errorf("unknown command %q", strings.Join(argv, " "))
}

func (cmd command) parse(verb string, argv []string) (call, error) {
	c := call{Verb: verb, Flags: map[string][]string{}}
	bare, valued := strings.Fields(cmd.bare+" -D --debug"), strings.Fields(cmd.valued)
	for i := 0; i < len(argv); i++ {
		a := argv[i]
		if cmd.rest && len(c.Args) > 0 || a == "--" {
			c.Args = append(c.Args, argv[i:]...)
			break
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			c.Args = append(c.Args, a)
			continue
		}
		name, value, with := strings.Cut(a, "=")
		switch {
		case slices.Contains(bare, a):
			c.Flags[a] = append(c.Flags[a], "true")
		case !strings.HasPrefix(a, "--") && len(a) == 3 && slices.Contains(bare, a[:2]) && slices.Contains(bare, "-"+a[2:]): // -it
			c.Flags[a[:2]], c.Flags["-"+a[2:]] = []string{"true"}, []string{"true"}
		case !slices.Contains(valued, name):
			return c, fmt.Errorf("unknown flag: %s", name)
		case with:
			c.Flags[name] = append(c.Flags[name], value)
		case i+1 == len(argv):
			return c, fmt.Errorf("flag needs an argument: %s", name)
		default:
			i++
			c.Flags[name] = append(c.Flags[name], argv[i])
		}
	}
	if n := len(c.Args); n < cmd.min || cmd.max >= 0 && n > cmd.max {
		return c, fmt.Errorf("%s takes other arguments than %q", verb, c.Args)
	}
	return c, nil
}

// plugin is whether this is docker's; its grammar then is the other.
var plugin = filepath.Base(os.Args[0]) == "docker-sandbox"

func main() {
	switch base := filepath.Base(os.Args[0]); {
	case base == "nanoclaw":
		os.Exit(host())
	case len(os.Args) > 1 && os.Args[1] == "inner":
		os.Exit(inner(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == "proxy":
		serveProxy(os.Args[2])
	}
	grammar, argv := sbx, os.Args[1:]
	if plugin {
		if len(argv) == 1 && argv[0] == "docker-cli-plugin-metadata" {
			fmt.Println(`{"SchemaVersion":"0.1.0","Vendor":"test","Version":"v0.7.1","ShortDescription":"Docker Sandbox"}`)
			return
		}
		grammar = dockerSandbox
		if len(argv) > 0 && argv[0] == "sandbox" {
			argv = argv[1:]
		}
	}
	if f, err := os.OpenFile(filepath.Join(dir(), "calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
		fmt.Fprintln(f, strings.Join(argv, " "))
		f.Close()
	}
	cmd, c, err := parse(grammar, argv)
	if err == nil && os.Getenv("STANDIN_PARSE") != "" {
		err = json.NewEncoder(os.Stdout).Encode(c)
	} else if err == nil {
		err = cmd.do(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ERROR:", err)
		os.Exit(1)
	}
}
