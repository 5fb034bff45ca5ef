package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// maxFile bounds nanoclaw.toml and every prompt_file, in bytes.
const maxFile = 256 << 10

// Config is a checked nanoclaw.toml. Nobody changes it, the maps included.
type Config struct {
	Path          string        // absolute
	StateDir      string        // absolute; not made here
	SkillsDir     string        // absolute
	RequireSigned bool          // skills.require_signed
	KeepMessages  time.Duration // store.keep_messages; 0 = all of them, for ever
	Assistant     Assistant
	Model         host.ModelChoice            // [model]
	Models        map[string]host.ModelChoice // [models.NAME]
	Providers     map[string]Provider
	Secrets       map[string]host.SecretSource
	Engine        Engine
	Network       Network
	WhatsApp      WhatsApp
	Roles         map[host.RoleName]*host.Role
	Routes        []host.Route

	order []string // of Providers, as they stand in the file
	flags Overrides
}

// Reload reads the file again, under the same flags.
func (c *Config) Reload() (*Config, error) { return Load(c.Path, c.flags) }

// Assistant is who answers.
type Assistant struct {
	Name       string
	Timezone   string        // IANA name; "Local" is resolved
	StaleAfter time.Duration // older messages are not answered; 0 = all are
}

// Provider is a place models are asked.
type Provider struct {
	Name    string
	Kind    string             // "anthropic" or "openai": the protocol
	BaseURL string             // "" = the kind's own
	APIKey  *host.SecretSource // nil = none configured
	Secret  string             // the NAME that api_key names; "" = none
	Local   bool               // a loopback address
}

// Engine is what agents run on and how many.
type Engine struct {
	Runtime        string // OCI runtime, or "none"
	RequireSandbox bool
	MaxAgents      int
	MaxDelegates   int
	MaxSpares      int
	SpareIdle      time.Duration
	Limits         host.Limits // of a role that says nothing else
}

// Network is how the host itself reaches the internet.
type Network struct {
	Proxy string // "none", "env" or a URL
	CA    string // PEM: the authority of a Docker Sandbox's proxy, which looks into TLS; "" = none
}

// WhatsApp says whose number is linked.
type WhatsApp struct {
	OwnNumber bool     // the assistant's alone
	Owners    []string // numbers of the owner besides it: "+" and digits
}

// ProxyFunc is for http.Transport.Proxy; nil = direct.
func (n Network) ProxyFunc() func(*http.Request) (*url.URL, error) {
	switch n.Proxy {
	case "none":
		return nil
	case "env":
		return http.ProxyFromEnvironment
	}
	u, err := url.Parse(n.Proxy)
	return func(*http.Request) (*url.URL, error) { return u, err }
}

// Transport is a new way to servers that are trusted as such: of models and of WhatsApp.
func (n Network) Transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.TLSClientConfig = n.ProxyFunc(), &tls.Config{RootCAs: n.RootCAs()}
	return t
}

// RootCAs are the system's and that of the proxy; nil = the system's.
func (n Network) RootCAs() *x509.CertPool {
	if n.CA == "" {
		return nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM([]byte(n.CA))
	return pool
}

// defaultAskWait is how long the owner's answer is waited for.
const defaultAskWait = time.Hour

// DefaultLimits are those of a role when neither it nor [engine] says anything.
func DefaultLimits() host.Limits {
	return host.Limits{
		Memory: 256 << 20, CPUs: 1, PIDs: 128, TurnTimeout: 10 * time.Minute,
		Workspace: wire.Quota{Bytes: 1 << 30, Files: 100_000},
	}
}

// defaults is the file that says nothing.
func defaults() file {
	return file{
		Assistant: assistantTable{Name: "Andy", Timezone: "Local", StaleAfter: duration(24 * time.Hour)},
		Model:     modelTable{Provider: auto, Name: defaultModel},
		Skills:    skillsTable{Dir: "plugins"},
		Engine: engineTable{
			Runtime: "runc", MaxAgents: 8, MaxDelegates: 8, MaxSpares: 4, SpareIdle: duration(15 * time.Minute),
		},
		Network: networkTable{Proxy: "none"},
	}
}

// Overrides are the flags that win over the file.
type Overrides struct {
	StateDir  string // --state
	Runtime   string // --runtime
	Sandboxed bool   // as the host in a Docker Sandbox reads it, wherever this is
}

// Error is everything that is wrong with a file. It wraps host.ErrInvalid.
type Error struct {
	Path     string
	Problems []string // one sentence each, with the line where it is known
}

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return e.Path + ": " + e.Problems[0]
	}
	return fmt.Sprintf("%s has %d problems:\n  %s", e.Path, len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// Unwrap makes every Error an invalid one.
func (e *Error) Unwrap() error { return host.ErrInvalid }

// Load reads and checks the file at path. An error about what is in it is an *Error.
func Load(path string, o Overrides) (*Config, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: configuration %s: %w", kindOf(err), path, reason(err))
	}
	return parse(text, path, o)
}

func parse(text, path string, o Overrides) (*Config, error) {
	var plain map[string]any
	if err := tooDeep(text); err != nil {
		return nil, &Error{path, []string{err.Error()}}
	}
	if _, err := toml.Decode(text, &plain); err != nil {
		return nil, &Error{path, []string{strings.TrimPrefix(err.Error(), "toml: ")}}
	}
	f := defaults()
	b := &builder{decoder: &decoder{lines: lineNumbers(text)}, dir: filepath.Dir(path), flags: o}
	b.value("", plain, reflect.ValueOf(&f).Elem())
	b.silent = make(map[string]bool)
	for _, p := range b.problems {
		b.silent[p.path], b.silent[parent(p.path)] = true, true
	}
	c := &Config{Path: path, flags: o, RequireSigned: f.Skills.RequireSigned}
	b.build(c, &f)
	if len(b.problems) > 0 {
		return nil, &Error{path, b.sentences()}
	}
	return c, nil
}

// maxDepth and maxDots are far more than any setting or prompt needs. The library recurses
// into arrays of arrays, and long dotted keys cost it the square of their length.
const (
	maxDepth = 200
	maxDots  = 1000
)

// tooDeep refuses a file that opens more brackets at once, or has more dots before a "=". It
// counts those in strings and comments too, which is why it counts so far.
func tooDeep(text string) error {
	depth := 0
	for i, line := range strings.Split(text, "\n") {
		key, _, _ := strings.Cut(line, "=")
		deep := strings.Count(key, ".") > maxDots
		for _, c := range []byte(line) {
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(0, depth-1)
			}
			deep = deep || depth > maxDepth
		}
		if deep {
			return fmt.Errorf("line %d: nested deeper than anything that can be set", i+1)
		}
	}
	return nil
}

// readFile reads a regular file of at most maxFile bytes. It does not hang on a FIFO.
func readFile(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("is larger than %d KiB", maxFile>>10)
	}
	return string(b), err
}
