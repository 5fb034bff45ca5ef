//go:build !nowhatsapp

package whatsapp

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	signal "go.mau.fi/libsignal/logger"
	"go.mau.fi/whatsmeow"
	waBinary "go.mau.fi/whatsmeow/binary"
	"go.mau.fi/whatsmeow/store"
	"go.mau.fi/whatsmeow/store/sqlstore"
	waLog "go.mau.fi/whatsmeow/util/log"
	"google.golang.org/protobuf/proto"
	_ "modernc.org/sqlite" // the driver

	"github.com/nanoclaw/nanoclaw/host"
)

// tables are ours, beside the library's.
const tables = `
CREATE TABLE IF NOT EXISTS nanoclaw_names (
	jid TEXT PRIMARY KEY, id TEXT NOT NULL, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS nanoclaw_names_by_id ON nanoclaw_names(id);`

// keys is the open database: of the library's keys and of our names.
type keys struct {
	db     *sql.DB
	device *store.Device // ID is nil when no phone is linked
}

// exists reports whether anybody ever began to link a phone.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func openKeys(ctx context.Context, path string, log hclog.Logger) (_ *keys, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("whatsapp: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("whatsapp: %w", err)
	}
	st, err := f.Stat()
	f.Close()
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("%w: others can read the keys: chmod 600 it", host.ErrDenied)
	}
	if err != nil {
		return nil, fmt.Errorf("whatsapp: %s: %w", path, err)
	}
	journal := "WAL"
	if host.InSandbox() {
		journal = "DELETE" // as the host's own database
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)"+
		"&_pragma=journal_mode("+journal+")&_pragma=foreign_keys(1)&_pragma=synchronous(FULL)")
	if err != nil {
		return nil, fmt.Errorf("whatsapp: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path)) // the library makes its tables in steps: one process at a time
	if err == nil {
		defer dir.Close()
		err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("whatsapp: %w", err)
	}
	k := &keys{db: db}
	c := sqlstore.NewWithDB(db, "sqlite", logger{Logger: log})
	if err = c.Upgrade(ctx); err == nil {
		if _, err = db.ExecContext(ctx, tables); err == nil {
			k.device, err = c.GetFirstDevice(ctx)
		}
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("whatsapp: %s: %w", path, err)
	}
	return k, nil
}

func (k *keys) close() { k.db.Close() }

var once sync.Once // what the libraries have one of

// client makes a client of the linked device, or of one that is to be linked. seen, which may be nil, is
// shown all that comes from WhatsApp.
func (k *keys) client(cfg Config, seen func(*waBinary.Node)) (*whatsmeow.Client, error) {
	once.Do(func() {
		signal.Logger = silent{}
		store.DeviceProps.Os = proto.String("NanoClaw")
	})
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	if cfg.Transport != nil {
		t = cfg.Transport()
	}
	if err := hook(t); err != nil {
		return nil, err
	}
	cli := whatsmeow.NewClient(k.device, logger{cfg.Log, seen})
	h := &http.Client{Transport: t}
	cli.SetPreLoginHTTPClient(h)
	cli.SetWebsocketHTTPClient(h)
	cli.SetMediaHTTPClient(h)
	cli.SynchronousAck, cli.EnableDecryptedEventBuffer = true, true
	cli.UseRetryMessageStore, cli.AutomaticMessageRerequestFromPhone = true, true
	cli.InitialAutoReconnect = true
	cli.ManualHistorySyncDownload = true // what was said before is not read
	return cli, nil
}

// connect connects cli; hangUp ends that. The connection has a context of its own: the library has a
// data race when one is cancelled while it disconnects (FrameSocket.OnDisconnect).
func connect(ctx context.Context, cli *whatsmeow.Client) (hangUp func(), err error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	hangUp = func() {
		late := time.AfterFunc(time.Second, cancel) // it may be dialling
		cli.Disconnect()
		late.Stop()
		cancel()
	}
	return hangUp, cli.ConnectContext(own)
}

// logger is the library's log in ours, a level lower: it warns of what it mends. Its debug lines hold
// whole messages; one for each node that comes is handed to seen, for that of which there is no event.
type logger struct {
	hclog.Logger
	seen func(*waBinary.Node)
}

func (l logger) Errorf(f string, a ...any)    { l.Warn(fmt.Sprintf(f, a...)) }
func (l logger) Warnf(f string, a ...any)     { l.Logger.Debug(fmt.Sprintf(f, a...)) }
func (l logger) Infof(f string, a ...any)     { l.Logger.Debug(fmt.Sprintf(f, a...)) }
func (l logger) Sub(name string) waLog.Logger { return logger{l.Named(name), l.seen} }
func (l logger) Debugf(_ string, a ...any) {
	if l.seen == nil || len(a) != 1 {
		return
	}
	if n, ok := a[0].(*waBinary.Node); ok {
		l.seen(n)
	}
}

// silent keeps libsignal, which logs to stdout, quiet: whatsmeow says what went wrong.
type silent struct{}

func (silent) Debug(string, string)   {}
func (silent) Info(string, string)    {}
func (silent) Warning(string, string) {}
func (silent) Error(string, string)   {}
func (silent) Configure(string)       {}
