package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/agent"
	"github.com/nanoclaw/nanoclaw/host/attach"
	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/host/channel"
	"github.com/nanoclaw/nanoclaw/host/channel/console"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/router"
	"github.com/nanoclaw/nanoclaw/host/schedule"
	"github.com/nanoclaw/nanoclaw/host/secret"
	"github.com/nanoclaw/nanoclaw/host/skill"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// grace is how long a stopping host waits for running turns.
const grace = 10 * time.Second

// Options start a host.
type Options struct {
	Config  *config.Config
	Log     hclog.Logger
	Vault   *secret.Vault // whose matcher the log passes
	Version string
	Retry   []time.Duration // after what a failed turn is tried again
	Notice  func(string)    // what the owner must know at start; nil = nobody listens
}

// Daemon is one running host.
type Daemon struct {
	opt     Options
	log     hclog.Logger
	started time.Time
	current atomic.Pointer[inForce]

	engine  *Engine
	admit   *agent.Admitter // for the runtimes in force; belongs to watch
	store   *store.Store
	files   *attach.Box
	audit   *audit.Log
	skills  *skill.Registry
	ready   chan struct{} // closed when the plugins were read once
	agents  *agent.Manager
	console *console.Console
	wa      *whatsapp.WhatsApp
	router  *router.Router
	owner   *broker.Approvals
	tasks   *schedule.Scheduler
	book    *schedule.Book
	admin   *http.Server

	poke      chan struct{} // look at plugins and configuration now
	once      sync.Once     // closes ready
	badConfig string        // what is wrong with the file now, told already; belongs to watch

	mu        sync.Mutex
	notices   map[host.TurnID]int            // refusals shown so far, of turns that run
	working   map[host.AgentID]bool          // agents that work on a task of another one
	summaries map[host.AgentID]time.Time     // when one may be written by itself again
	outsiders map[host.AgentID]chan struct{} // held by the one call of tools that runs

	ctx        context.Context // ends with background
	background context.CancelFunc
	wg         sync.WaitGroup
	closers    []func() error // run backwards at the end
}

// inForce is a configuration and the broker made of it. Turns keep what they began with.
type inForce struct {
	cfg    *config.Config
	broker *broker.Broker
}

func (d *Daemon) config() *config.Config { return d.current.Load().cfg }

// use puts cfg in force for what begins from now on.
func (d *Daemon) use(cfg *config.Config) {
	d.current.Store(&inForce{cfg, newBroker(cfg, d.opt.Vault, broker.Config{
		Audit: d.audit, KV: d.store, History: d.store, Budgets: d.store, Journal: d.store, Notice: d.refused, Owner: d.owner,
		Delegate: d.delegate, Tasks: d.book, Messages: messenger{d}, Files: files{d},
		Log: d.log.Named("broker"),
	}, nil)})
	d.wa.Use(whatsapp.Settings{
		Assistant: cfg.Assistant.Name, OwnNumber: cfg.WhatsApp.OwnNumber, Owners: cfg.WhatsApp.Owners,
	})
	d.router.SetStale(cfg.Assistant.StaleAfter)
	d.useRoutes(context.Background())
}

// Start brings a host up. It returns once messages are taken; plugins that need compiling
// may still be on their way, and turns wait for them.
func Start(ctx context.Context, opt Options) (_ *Daemon, err error) {
	if opt.Notice == nil {
		opt.Notice = func(string) {}
	}
	d := &Daemon{
		opt: opt, log: opt.Log, started: time.Now(), ready: make(chan struct{}), poke: make(chan struct{}, 1),
		notices: make(map[host.TurnID]int), working: make(map[host.AgentID]bool),
		summaries: make(map[host.AgentID]time.Time), outsiders: make(map[host.AgentID]chan struct{}),
		console: console.New(filepath.Join(opt.Config.StateDir, "received")),
	}
	d.ctx, d.background = context.WithCancel(context.WithoutCancel(ctx))
	d.current.Store(&inForce{cfg: opt.Config})
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if err := safe(opt.Config); err != nil {
		return nil, err
	}
	if err := d.openState(ctx); err != nil {
		return nil, err
	}
	if err := d.openEngine(ctx); err != nil {
		return nil, err
	}
	d.openAgents()
	return d, d.serve(ctx)
}

func (d *Daemon) openState(ctx context.Context) error {
	unlock, err := lockState(d.config().StateDir)
	if err != nil {
		return err
	}
	d.onClose(func() error { unlock(); return nil })
	if d.store, err = store.Open(ctx, database(d.config().StateDir)); err != nil {
		return err
	}
	d.onClose(d.store.Close)
	if d.files, err = attach.Open(filepath.Join(d.config().StateDir, "files"), d.store); err != nil {
		return err
	}
	if d.audit, err = audit.Open(AuditDir(d.config().StateDir, false), d.store); err != nil {
		return err
	}
	d.onClose(d.audit.Close)
	return nil
}

func (d *Daemon) openEngine(ctx context.Context) (err error) {
	if d.config().Engine.RequireSandbox && !host.InSandbox() {
		return fmt.Errorf("%w: engine.require_sandbox is true and this is not a microVM sandbox; "+
			"'nanoclaw sandbox up' makes one", host.ErrDenied)
	}
	if d.engine, err = OpenEngine(ctx, d.config(), d.log); err != nil {
		return err
	}
	d.onClose(d.engine.Close)
	if !d.engine.Isolated() {
		d.opt.Notice(NoContainers)
	} else if err := d.leaveNothing(); err != nil {
		d.log.Warn("a container may stay behind if this host is killed while it starts one", "error", err)
	}
	n, err := d.engine.Reap(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		d.log.Warn("removed containers that a host before this one left behind", "count", n)
	}
	return nil
}

// workspaces is where each agent has a directory.
func workspaces(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "workspaces") }

func (d *Daemon) openAgents() {
	cfg := d.config()
	e := cfg.Engine
	d.agents = agent.New(agent.Config{
		Engine: d.engine.Engine, Image: d.engine.Image, Runner: d.engine.File,
		Workspaces: workspaces(cfg),
		Attached:   d.files.Reader,
		Handler:    func(s host.Scope) http.Handler { return d.current.Load().broker.Handler(s) },
		MaxAgents:  e.MaxAgents, MaxDelegates: e.MaxDelegates, MaxSpares: e.MaxSpares, SpareIdle: e.SpareIdle,
		Timezone: cfg.Assistant.Timezone, Log: d.log.Named("agent"),
	})
	d.onClose(func() error { d.agents.Close(context.Background()); return nil })
	d.admit = d.engine.Admitter(d.log.Named("admit"))
	d.skills = skill.NewRegistry(skill.Config{
		Dir: cfg.SkillsDir, State: cfg.StateDir, RequireSigned: cfg.RequireSigned,
		Admit: d.admit, Log: d.log.Named("skill"), Notice: d.tell,
	})
}

func (d *Daemon) serve(ctx context.Context) error {
	cfg := d.config()
	d.openWhatsApp()
	if err := d.joinChats(ctx); err != nil {
		d.log.Error("chats of one person stay apart", "error", err)
	}
	d.router = router.New(router.Config{
		Store: d.store, Files: d.files, Channels: []channel.Channel{d.console, d.wa},
		Turn: d.turn, Commands: d.commands(), Ended: d.turnEnded, Notice: d.tell, Retry: d.opt.Retry, Grace: grace,
		Log: d.log.Named("router"),
	})
	d.owner = &broker.Approvals{Rows: d.store, Audit: d.audit, Tell: d.tellOwner}
	d.openTasks()
	d.use(cfg)
	l, err := listen(cfg.StateDir)
	if err != nil {
		return err
	}
	if err := d.router.Start(ctx); err != nil {
		l.Close()
		return err
	}
	mux := http.NewServeMux()
	d.console.Register(mux)
	mux.HandleFunc("GET /v1/status", d.serveStatus)
	mux.HandleFunc("POST /v1/reload", func(http.ResponseWriter, *http.Request) { d.Reload() })
	mux.HandleFunc("POST /v1/turns/{id}/retry", d.serveRetry)
	mux.HandleFunc("GET /v1/roles/{role}/tools", d.serveOffer)
	mux.HandleFunc("POST /v1/roles/{role}/tools", d.serveCall)
	mux.HandleFunc("POST /v1/whatsapp/unlink", d.serveUnlink)
	d.admin = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	d.wg.Go(func() { d.serveAdmin(l) })
	d.wg.Go(func() { d.watch(d.ctx) }) // reads plugins/ at once: compiling a new file takes seconds
	d.wg.Go(func() { d.tasks.Run(d.ctx) })
	d.wg.Go(func() { d.retain(d.ctx) })
	return nil
}

// Reload makes the host look at its configuration, at plugins/, at the tasks and for a linked phone now.
func (d *Daemon) Reload() {
	d.tasks.Poke()
	d.wa.Look()
	select {
	case d.poke <- struct{}{}:
	default:
	}
}

func (d *Daemon) serveAdmin(l net.Listener) {
	if err := d.admin.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		d.log.Error("admin socket", "error", err)
	}
}

// Stop ends the host: running turns finish or are put back, containers are removed.
func (d *Daemon) Stop() {
	d.background()
	d.router.Stop()
	d.close()
}

func (d *Daemon) close() {
	d.background()
	if d.admin != nil {
		d.admin.Close()
	}
	d.wg.Wait()
	for i := len(d.closers) - 1; i >= 0; i-- {
		if err := d.closers[i](); err != nil {
			d.log.Warn("stopping", "error", err)
		}
	}
	d.closers = nil
}

// maxNotices is how many refusals of one turn the owner is told of: a skill can cause any number.
const maxNotices = 3

// refused tells the owner, and nobody else, what a skill was refused and how to grant it.
func (d *Daemon) refused(s host.Scope, what string) {
	d.mu.Lock()
	d.notices[s.Turn]++
	n := d.notices[s.Turn]
	d.mu.Unlock()
	if n > maxNotices {
		return
	}
	if err := d.tellConsole(context.Background(), s.Agent, what); err != nil {
		d.log.Warn("notice", "error", err)
	}
}

func (d *Daemon) onClose(f func() error) { d.closers = append(d.closers, f) }

// safe refuses a configuration by which private data can leak, as `nanoclaw check` does.
func safe(cfg *config.Config) error {
	if p := cfg.Examine().Problems; len(p) > 0 {
		return fmt.Errorf("%w: %s: %s", host.ErrDenied, cfg.Path, strings.Join(p, "; "))
	}
	return nil
}

// IsState reports whether dir was made by this program.
func IsState(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "install-id"))
	return err == nil
}

// Reset deletes everything in a state directory. The caller has asked.
func Reset(dir string) error {
	unlock, err := lockState(dir)
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// StateEntry says what a file of the state directory is.
func StateEntry(name string) string {
	about := map[string]string{
		"nanoclaw.db": "messages, turns, outbox, keys of skills", "audit": "what the broker decided",
		"audit-calls": "the same for skill call",
		"workspaces":  "files of the agents", "skills": "copies of plugins, by digest",
		"admitted": "compiled plugins", "chat_history": "lines typed in chat", "install-id": "label of containers",
		"files": "attachments, by digest", "received": "files that agents sent to chat",
		"secrets": "what nanoclaw secret set stored", "nanoclaw.log": "what the host logged",
		"whatsapp.db": "keys of the linked phone: first nanoclaw channel rm whatsapp",
	}
	if strings.Contains(name, "-schema-") {
		return "the database from before an upgrade"
	}
	return about[name]
}
