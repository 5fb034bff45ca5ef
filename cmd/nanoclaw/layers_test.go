package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/yamux"

	"github.com/nanoclaw/nanoclaw/cmd/nanoclaw/internal/sandbox"
	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/container"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// The layers of one role, each as what really enforces it sees it: what the Docker daemon is asked to
// create, what the runner in it is told to load, what the broker answers, and the rules of a sandbox
// around it all. They are compiled from one text, and none may allow what another forbids.

// layers is one role, compiled.
type layers struct {
	cfg       *config.Config
	role      *host.Role
	skills    map[host.SkillName]*host.Skill // all that it lists
	workspace string
	created   created
	load      wire.Load
	file      func(s host.SkillName, guest string) bool // the host reads it for the skill
	http      func(s host.SkillName, p probe) bool      // the broker lets it out
	outer     []sandbox.Rule                            // around all roles of the configuration
}

// created is the part of the request to the Docker daemon that opens anything.
type created struct {
	Env, Entrypoint []string
	ExposedPorts    map[string]any
	HostConfig      struct {
		NetworkMode, IpcMode, PidMode, UTSMode, UsernsMode        string
		ReadonlyRootfs, Privileged, PublishAllPorts               bool
		Binds, VolumesFrom, Links, ExtraHosts, CapAdd, CapDrop    []string
		SecurityOpt, GroupAdd, DeviceCgroupRules, DNS, DNSOptions []string
		PortBindings, Sysctls                                     map[string]any
		Devices, DeviceRequests                                   []any
		Mounts                                                    []mounted
	}
}

type mounted struct {
	Type, Source, Target string
	ReadOnly             bool
}

// probe is a request that a skill may try.
type probe struct {
	scheme, host string
	port         int // 0 = the scheme's
	method, path string
}

func (p probe) url() string {
	at := p.host
	if p.port != 0 {
		at = fmt.Sprint(p.host, ":", p.port)
	}
	return p.scheme + "://" + at + p.path
}

// compiler compiles roles.
type compiler struct {
	t      testing.TB
	dir    string
	daemon *httptest.Server // of Docker: it notes what it is asked for, and makes nothing
	asked  created
	engine *container.Docker
}

func newCompiler(t testing.TB) *compiler {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &compiler{t: t, dir: dir}
	b.daemon = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		if strings.HasSuffix(r.URL.Path, "/containers/create") {
			b.asked = created{}
			if err := json.NewDecoder(r.Body).Decode(&b.asked); err != nil {
				t.Error(err)
			}
			http.Error(w, `{"message":"seen"}`, http.StatusInternalServerError)
		}
	}))
	t.Cleanup(b.daemon.Close)
	b.engine, err = container.NewDocker(t.Context(), container.DockerConfig{
		Endpoint: "tcp://" + b.daemon.Listener.Addr().String(), InstallID: "layers", UID: os.Getuid(), GID: os.Getgid(),
		Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.engine.Close() })
	for _, d := range []string{"a", "b", "c"} {
		b.file("mounts/" + d + "/deep/note")
	}
	return b
}

func (b *compiler) file(name string) {
	b.t.Helper()
	at := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		b.t.Fatal(err)
	}
	write(b.t, at, "x")
}

// watched is an engine that shows the Docker daemon what it starts, and starts a runner that only notes
// what it is told to load.
type watched struct {
	*container.Docker
	load *wire.Load
}

func (e watched) Start(ctx context.Context, s host.Spec) (host.Container, error) {
	if _, err := e.Docker.Start(ctx, s); err == nil || !strings.Contains(err.Error(), "seen") {
		return nil, fmt.Errorf("the daemon did not see the container: %w", err)
	}
	near, far := net.Pipe()
	session, err := yamux.Server(far, nil)
	if err != nil {
		return nil, err
	}
	go http.Serve(session, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(e.load); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		http.Error(w, "that is all", http.StatusTeapot)
	}))
	return &piped{Conn: near, done: make(chan struct{})}, nil
}

type piped struct {
	net.Conn
	done chan struct{}
}

func (p *piped) ID() string            { return strings.Repeat("0", 64) }
func (p *piped) Done() <-chan struct{} { return p.done }
func (p *piped) Exit() host.Exit       { return host.Exit{} }

func (p *piped) Close() error {
	if p.Conn.Close() == nil {
		close(p.done)
	}
	return nil
}

// free is a budget that nothing exceeds.
type free struct{}

func (free) Spend(context.Context, host.RoleName, host.Budget, int64, int64) error { return nil }
func (free) Spent(context.Context, host.RoleName, host.Budget) (int64, error)      { return 0, nil }

// rows counts what the broker allowed.
type rows struct{ allowed int }

func (r *rows) Record(_ context.Context, d host.Decision) error {
	if d.Verdict == "allow" {
		r.allowed++
	}
	return nil
}

// compile takes a role of a configuration through all layers, by the code that a host runs.
func (b *compiler) compile(cfg *config.Config, name host.RoleName, skills map[host.SkillName]*host.Skill) *layers {
	b.t.Helper()
	role := cfg.Roles[name]
	l := &layers{cfg: cfg, role: role, skills: skills, outer: sandbox.Policy(cfg, false)}
	workspaces := filepath.Join(b.t.TempDir(), "workspaces")
	scope := host.Scope{
		Turn: host.NewTurnID(), Role: role, Brain: role.Brain, Emit: func(host.Event) {},
		Agent: host.Agent{ID: host.NewAgentID(name, "console", "", "c"), Role: name}, Skills: map[host.SkillName]*host.Skill{},
	}
	for n, k := range skills {
		if (n == role.Brain || slices.Contains(role.Skills, n)) && len(host.Grants(role, &k.Manifest).Missing) == 0 {
			scope.Skills[n] = k
		}
	}
	l.workspace = filepath.Join(workspaces, string(scope.Agent.ID))
	for _, f := range []string{"note", "notes/note", "notes/deep/note"} {
		at := filepath.Join(l.workspace, f)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte("x"), 0o644)); err != nil {
			b.t.Fatal(err)
		}
	}
	m := agent.New(agent.Config{
		Engine: watched{b.engine, &l.load}, Image: "sha256:" + strings.Repeat("a", 64), Runner: "/opt/nanoclaw-runner",
		Handler: func(host.Scope) http.Handler { return http.NotFoundHandler() }, Workspaces: workspaces,
		MaxAgents: 1, Log: hclog.NewNullLogger(),
	})
	b.asked = created{}
	_, err := m.Turn(b.t.Context(), agent.Job{Scope: scope, Image: "sha256:" + strings.Repeat("b", 64)})
	if l.created = b.asked; err == nil || !strings.Contains(err.Error(), "that is all") {
		b.t.Fatalf("the turn did not get to its container: %v", err)
	}
	m.Close(context.WithoutCancel(b.t.Context()))
	l.file = func(s host.SkillName, guest string) bool {
		need, fs := skills[s].Manifest.Need(host.CapFS)
		if k := scope.Skills[s]; k == nil || !fs || !host.Grants(role, &k.Manifest).Has(host.CapFS) {
			return false
		}
		_, err := m.File(scope, need, guest, 10)
		return err == nil
	}
	seen := &rows{}
	handler := broker.New(broker.Config{
		Audit: seen, Budgets: free{}, Log: hclog.NewNullLogger(),
		Send: func(http.RoundTripper, *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody}, nil
		},
	}).Handler(scope)
	l.http = func(s host.SkillName, p probe) bool {
		seen.allowed = 0
		body, _ := json.Marshal(wire.HTTPRequest{Method: p.method, URL: p.url()})
		r := httptest.NewRequest(http.MethodPost, wire.PathCap+"http", bytes.NewReader(body))
		r.Header.Set(wire.HeaderSkill, string(s))
		handler.ServeHTTP(httptest.NewRecorder(), r)
		return seen.allowed > 0
	}
	return l
}

// loaded are the role's skills that run, by name.
func (l *layers) loaded() map[host.SkillName]wire.LoadSkill {
	out := make(map[host.SkillName]wire.LoadSkill)
	for _, s := range l.load.Skills {
		out[host.SkillName(s.Name)] = s
	}
	return out
}

// disagree says where one layer allows what another forbids.
func (l *layers) disagree(probes []probe) (out []string) {
	return slices.Concat(l.containerOpen(), l.containerFiles(), l.hostFiles(), l.network(probes), l.sandbox(probes))
}

// containerOpen: a container has no way out of its own, whatever the role may do through the broker.
func (l *layers) containerOpen() (out []string) {
	h := l.created.HostConfig
	if h.NetworkMode != "none" {
		out = append(out, "the container has a network: "+h.NetworkMode)
	}
	open := slices.Concat(h.Binds, h.VolumesFrom, h.Links, h.ExtraHosts, h.CapAdd, h.GroupAdd, h.DeviceCgroupRules, h.DNS)
	if len(open) > 0 || len(h.PortBindings)+len(h.Sysctls)+len(h.Devices)+len(h.DeviceRequests)+len(l.created.ExposedPorts) > 0 ||
		h.Privileged || h.PublishAllPorts || h.IpcMode != "private" || h.PidMode+h.UTSMode+h.UsernsMode != "" {
		out = append(out, fmt.Sprintf("the container is open: %+v", h))
	}
	if !h.ReadonlyRootfs || !slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.Contains(h.SecurityOpt, "no-new-privileges") {
		out = append(out, "the container is not closed")
	}
	if !slices.Equal(l.created.Env, []string{"PATH=/"}) {
		out = append(out, fmt.Sprintf("the container is given %v", l.created.Env))
	}
	return out
}

// containerFiles: a directory is mounted because a grant says so, as writable as the grant and
// somebody's need make it, and is seen by those that may see it.
func (l *layers) containerFiles() (out []string) {
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	reads, writes := l.role.Exec != nil, l.role.Exec != nil // somebody in the container
	for name := range l.loaded() {
		need, fs := l.skills[name].Manifest.Need(host.CapFS)
		reads, writes = reads || fs, writes || fs && need.Mode != "ro"
	}
	type dir struct {
		source  string
		write   bool
		granted bool
	}
	want := map[string]dir{"/workspace": {l.workspace, writes, reads}}
	for _, m := range l.role.Mounts {
		want["/mnt/"+m.Name] = dir{m.Path, m.Write && writes, reads}
	}
	have := make(map[string]mounted)
	for _, m := range l.created.HostConfig.Mounts {
		have[m.Target] = m
		w, ok := want[m.Target]
		own := m.ReadOnly && (m.Target == "/runner" && m.Source == "/opt/nanoclaw-runner" ||
			slices.ContainsFunc(l.load.Skills, func(s wire.LoadSkill) bool { return s.Dir == m.Target }))
		switch {
		case own:
		case !ok || !w.granted || m.Source != w.source || m.Type != "bind":
			wrong("%s is mounted at %s, which no grant says", m.Source, m.Target)
		case m.ReadOnly == w.write:
			wrong("%s is read-only: %v, and may be written: %v", m.Target, m.ReadOnly, w.write)
		}
	}
	for target, w := range want {
		if _, ok := have[target]; w.granted && !ok {
			wrong("%s is granted and not there", target)
		}
	}
	for name, s := range l.loaded() {
		need, fs := l.skills[name].Manifest.Need(host.CapFS)
		if !fs && len(s.Preopens) > 0 {
			wrong("skill %s sees %v without asking for files", name, s.Preopens)
		}
		for _, p := range s.Preopens {
			at := p.Path
			for have[at].Target == "" && at != "/" {
				at = path.Dir(at)
			}
			w := want[at]
			if have[at].Target == "" || !w.granted || p.Guest != p.Path {
				wrong("skill %s sees %+v, which is not mounted", name, p)
			} else if !p.ReadOnly && (have[at].ReadOnly || !w.write || need.Mode == "ro") {
				wrong("skill %s may write %s, and its grant or container does not let it", name, p.Guest)
			}
		}
	}
	return out
}

// hostFiles: the host reads for a skill what the skill could read itself, and nothing else.
func (l *layers) hostFiles() (out []string) {
	guests := []string{"/workspace/note", "/workspace/notes/note", "/workspace/notes/deep/note", "/etc/hostname", "/workspace/../etc/hostname"}
	for _, n := range []string{"a", "b", "c"} {
		guests = append(guests, "/mnt/"+n+"/deep/note", "/mnt/"+n+"/../"+n+"/deep/note")
	}
	for name := range l.skills {
		for _, g := range guests {
			sees := slices.ContainsFunc(l.loaded()[name].Preopens, func(p wire.Preopen) bool {
				return strings.HasPrefix(path.Clean(g), p.Guest+"/")
			})
			if reads := l.file(name, g); reads != sees {
				out = append(out, fmt.Sprintf("skill %s: the host reads %s: %v, the container has it: %v", name, g, reads, sees))
			}
		}
	}
	return out
}

// granted is the rule of http grants in other words than the broker's.
func (p probe) granted(r *host.Role) bool {
	standard := map[string]int{"https": 443, "http": 80}[p.scheme]
	port := p.port
	if port == 0 {
		port = standard
	}
	near := p.host == "127.0.0.1" || p.host == "10.0.0.7"
	safe := p.method == "GET" || p.method == "HEAD"
	if r.PublicWeb && p.scheme == "https" && port == 443 && safe && !near {
		return true
	}
	for _, g := range r.HTTP {
		onHost := slices.ContainsFunc(g.Hosts, func(h string) bool {
			return h == p.host || h[0] == '*' && strings.HasSuffix(p.host, h[1:])
		})
		onPort := g.Port == port || g.Port == 0 && port == standard
		by := slices.Contains(g.Methods, p.method) || len(g.Methods) == 0 && safe
		under := len(g.Paths) == 0 || slices.ContainsFunc(g.Paths, func(at string) bool {
			return strings.HasPrefix(p.path+"/", strings.TrimSuffix(at, "/")+"/")
		})
		if g.Scheme == p.scheme && onHost && onPort && by && under {
			return !near || g.Private // the first grant that fits decides, whatever a later one says
		}
	}
	return false
}

// network: the broker lets out what is granted and nothing else, for skills that asked for it alone.
func (l *layers) network(probes []probe) (out []string) {
	for name, k := range l.skills {
		_, asks := k.Manifest.Need(host.CapHTTP)
		_, runs := l.loaded()[name]
		for _, p := range probes {
			if got, want := l.http(name, p), asks && runs && p.granted(l.role); got != want {
				out = append(out, fmt.Sprintf("skill %s: the broker allows %+v: %v, the grant: %v", name, p, got, want))
			}
		}
	}
	return out
}

// sandbox: what the broker lets out passes the sandbox around it, but for loopback, which is inside; and
// the sandbox opens nothing that no grant of any role and no model names.
func (l *layers) sandbox(probes []probe) (out []string) {
	for _, p := range probes {
		at := sandbox.Rule{Host: p.host, Port: p.port}
		if at.Port == 0 {
			at.Port = map[string]int{"https": 443, "http": 80}[p.scheme]
		}
		passes := slices.ContainsFunc(l.outer, func(r sandbox.Rule) bool { return r.Covers(at) })
		if p.host != "127.0.0.1" && l.http("web", p) && !passes {
			out = append(out, fmt.Sprintf("the sandbox holds back %+v, which the broker allows", p))
		}
	}
	for _, r := range l.outer {
		named := l.cfg.Choices(l.role)[0].Provider == "mine" && r.Host == "llm.example.net" && r.Port == 443
		for _, role := range l.cfg.Roles {
			named = named || role.PublicWeb && r.Host == sandbox.Any && r.Port == 443
			for _, g := range role.HTTP {
				port := map[string]int{"https": 443, "http": 80}[g.Scheme]
				if g.Port != 0 {
					port = g.Port
				}
				named = named || slices.Contains(g.Hosts, r.Host) && r.Port == port
			}
		}
		if !named || r.Bypass {
			out = append(out, fmt.Sprintf("the sandbox opens %+v, which nobody was granted", r))
		}
	}
	return out
}

// dice make roles.
type dice struct{ *rand.Rand }

func (d dice) half() bool { return d.IntN(2) == 0 }

func some[T any](d dice, of ...T) (out []T) {
	for _, x := range of {
		if d.half() {
			out = append(out, x)
		}
	}
	return out
}

func one[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

var probeHosts = []string{"api.example.com", "deep.api.example.com", "example.com", "example.org", "93.184.216.34", "127.0.0.1", "10.0.0.7"}

func (d dice) probes(n int) (out []probe) {
	for range n {
		out = append(out, probe{
			scheme: one(d, "https", "http"), host: one(d, probeHosts...), port: one(d, 0, 0, 443, 80, 8443),
			method: one(d, "GET", "HEAD", "POST", "DELETE"), path: one(d, "/", "/v1", "/v1/things", "/v1x", "/v2/"),
		})
	}
	return out
}

func tomlList(list []string) string {
	if len(list) == 0 {
		return "[]"
	}
	return `["` + strings.Join(list, `", "`) + `"]`
}

// role writes a role, and whether a skill agent or a program answers for it.
func (d dice) role(name, dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[roles.%s]\nskills = %s\n", name, tomlList(some(d, "plain", "reader", "writer", "deep", "web", "both")))
	if d.IntN(4) == 0 {
		b.WriteString("engine = \"exec\"\nimage = \"x\"\ncommand = [\"x\"]\n")
	}
	if d.IntN(3) == 0 {
		b.WriteString("public_web = true\n")
	}
	var grants, mounts []string
	for range d.IntN(3) {
		hosts := some(d, append([]string{"*.example.com", "*.api.example.com"}, probeHosts...)...)
		if len(hosts) == 0 {
			continue
		}
		g := fmt.Sprintf("{ hosts = %s, scheme = %q, methods = %s, paths = %s, private = %v", tomlList(hosts),
			one(d, "https", "http"), tomlList(some(d, "GET", "POST")), tomlList(some(d, "/v1", "/v2/")), d.half())
		if d.half() {
			g += fmt.Sprint(", port = ", one(d, 443, 80, 8443))
		}
		grants = append(grants, g+" }")
	}
	for _, m := range some(d, "a", "b", "c") {
		mounts = append(mounts, fmt.Sprintf("{ path = %q, mode = %q }", filepath.Join(dir, "mounts", m), one(d, "ro", "rw")))
	}
	fmt.Fprintf(&b, "http = [%s]\nmounts = [%s]\n", strings.Join(grants, ", "), strings.Join(mounts, ", "))
	return b.String()
}

// layerSkills are what the roles list: their needs cover what skills can ask for of files and of the web.
func layerSkills(d dice) map[host.SkillName]*host.Skill {
	out := make(map[host.SkillName]*host.Skill)
	add := func(name host.SkillName, kind string, needs ...host.Need) {
		out[name] = &host.Skill{
			Dir: "/admitted/" + string(name), Digest: host.Digest("sha256:" + strings.Repeat(fmt.Sprintf("%x", len(out)), 64)),
			Manifest: host.Manifest{Name: name, Kind: kind, Capabilities: needs},
		}
	}
	web := host.Need{Name: host.CapHTTP, PublicWeb: true, Optional: d.half()}
	add("assistant", host.KindAgent, host.Need{Name: host.CapLLM})
	add("plain", "")
	add("reader", "", host.Need{Name: host.CapFS, Mode: "ro"})
	add("writer", "", host.Need{Name: host.CapFS, Mode: "rw", Path: "notes"})
	add("deep", "", host.Need{Name: host.CapFS, Mode: one(d, "ro", "rw"), Path: "notes/deep"})
	add("web", "", web)
	add("both", "", web, host.Need{Name: host.CapFS, Mode: one(d, "ro", "rw")})
	return out
}

// TestLayersAgree compiles some hundred roles, made by chance.
func TestLayersAgree(t *testing.T) {
	b := newCompiler(t)
	seed := rand.Uint64()
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	counts := map[string]int{}
	for n := range 150 {
		text := fmt.Sprintf("[model]\nname = \"m\"\nprovider = %q\n[mounts]\nallow = [%q]\n", one(d, "offline", "mine"), b.dir) +
			"[providers.mine]\nkind = \"openai\"\nbase_url = \"https://llm.example.net/v1\"\n" +
			d.role("main", b.dir) + d.role("other", b.dir)
		l := b.compile(b.config(text), "main", layerSkills(d))
		for _, why := range l.disagree(d.probes(40)) {
			t.Errorf("%s", why)
		}
		if t.Failed() {
			t.Fatalf("seed %d, role %d:\n%s", seed, n, text)
		}
		l.count(counts, d.probes(10))
	}
	for _, what := range []string{"mounts read-only", "mounts writable", "files of the host", "requests let out", "requests refused"} {
		if counts[what] < 20 {
			t.Errorf("%d %s: the roles say too little", counts[what], what)
		}
	}
}

func (b *compiler) config(text string) *config.Config {
	b.t.Helper()
	at := filepath.Join(b.t.TempDir(), "nanoclaw.toml")
	write(b.t, at, text)
	cfg, err := config.Load(at, config.Overrides{StateDir: filepath.Join(filepath.Dir(at), "state")})
	if err != nil {
		b.t.Fatalf("%v\n%s", err, text)
	}
	return cfg
}

// count adds up what the roles were good for: a test of roles that may do nothing shows nothing.
func (l *layers) count(n map[string]int, probes []probe) {
	for _, m := range l.created.HostConfig.Mounts {
		if strings.HasPrefix(m.Target, "/mnt/") {
			n[map[bool]string{true: "mounts read-only", false: "mounts writable"}[m.ReadOnly]]++
		}
	}
	if l.file("reader", "/workspace/note") {
		n["files of the host"]++
	}
	for _, p := range probes {
		n[map[bool]string{true: "requests let out", false: "requests refused"}[l.http("web", p)]]++
	}
}

// TestLayersDisagree widens one layer of a role at a time: the comparison must find each.
func TestLayersDisagree(t *testing.T) {
	b := newCompiler(t)
	cfg := b.config(fmt.Sprintf(`
[model]
provider = "offline"
[mounts]
allow = [%[1]q]
[roles.main]
skills = ["plain", "reader", "writer", "web"]
http = [{ hosts = ["api.example.com"] }]
mounts = [{ path = "%[1]s/mounts/a", mode = "ro" }, { path = "%[1]s/mounts/b", mode = "rw" }]
`, b.dir))
	probes := []probe{
		{scheme: "https", host: "api.example.com", method: "GET", path: "/"},
		{scheme: "https", host: "example.org", method: "GET", path: "/"},
	}
	compile := func() *layers { return b.compile(cfg, "main", layerSkills(dice{rand.New(rand.NewPCG(1, 1))})) }
	if found := compile().disagree(probes); len(found) > 0 {
		t.Fatalf("as it is: %q", found)
	}
	mount := func(l *layers, target string) *mounted {
		i := slices.IndexFunc(l.created.HostConfig.Mounts, func(m mounted) bool { return m.Target == target })
		return &l.created.HostConfig.Mounts[i]
	}
	skill := func(l *layers, name string) *wire.LoadSkill {
		return &l.load.Skills[slices.IndexFunc(l.load.Skills, func(s wire.LoadSkill) bool { return s.Name == name })]
	}
	for what, widen := range map[string]func(l *layers){
		"a network":           func(l *layers) { l.created.HostConfig.NetworkMode = "bridge" },
		"a name":              func(l *layers) { l.created.HostConfig.ExtraHosts = []string{"h:host-gateway"} },
		"a key":               func(l *layers) { l.created.Env = append(l.created.Env, "KEY=x") },
		"a device":            func(l *layers) { l.created.HostConfig.Devices = []any{"/dev/fuse"} },
		"a capability":        func(l *layers) { l.created.HostConfig.CapDrop = nil },
		"a writable mount":    func(l *layers) { mount(l, "/mnt/a").ReadOnly = false },
		"a mount that is not": func(l *layers) { mount(l, "/mnt/b").ReadOnly = true },
		"another directory":   func(l *layers) { mount(l, "/mnt/a").Source = "/etc" },
		"one more": func(l *layers) {
			l.created.HostConfig.Mounts = append(l.created.HostConfig.Mounts, mounted{"bind", "/etc", "/mnt/etc", true})
		},
		"the socket": func(l *layers) { l.created.HostConfig.Binds = []string{"/var/run/docker.sock:/d"} },
		"a mount too few": func(l *layers) {
			l.created.HostConfig.Mounts = slices.DeleteFunc(l.created.HostConfig.Mounts, func(m mounted) bool { return m.Target == "/mnt/a" })
		},
		"a skill that writes":   func(l *layers) { skill(l, "writer").Preopens[1].ReadOnly = false },
		"a reader that writes":  func(l *layers) { skill(l, "reader").Preopens[0].ReadOnly = false },
		"files of no use":       func(l *layers) { skill(l, "plain").Preopens = skill(l, "reader").Preopens },
		"files not mounted":     func(l *layers) { skill(l, "reader").Preopens[0].Path = "/etc" },
		"a blind skill":         func(l *layers) { skill(l, "reader").Preopens = nil },
		"a host that reads all": func(l *layers) { l.file = func(host.SkillName, string) bool { return true } },
		"a host that is blind":  func(l *layers) { l.file = func(host.SkillName, string) bool { return false } },
		"an open broker":        func(l *layers) { l.http = func(host.SkillName, probe) bool { return true } },
		"a closed broker":       func(l *layers) { l.http = func(host.SkillName, probe) bool { return false } },
		"an open sandbox":       func(l *layers) { l.outer = append(l.outer, sandbox.Rule{Host: sandbox.Any, Port: 443}) },
		"another host":          func(l *layers) { l.outer = append(l.outer, sandbox.Rule{Host: "example.org", Port: 443}) },
		"another port":          func(l *layers) { l.outer = append(l.outer, sandbox.Rule{Host: "api.example.com", Port: 80}) },
		"TLS that passes":       func(l *layers) { l.outer[0].Bypass = true },
		"a closed sandbox":      func(l *layers) { l.outer = nil },
		"a broker of another role": func(l *layers) {
			l.role = &host.Role{Name: "main", Brain: "assistant", Skills: l.role.Skills, Mounts: l.role.Mounts}
		},
	} {
		l := compile()
		if widen(l); len(l.disagree(probes)) == 0 {
			t.Errorf("%s is not found", what)
		}
	}
}
