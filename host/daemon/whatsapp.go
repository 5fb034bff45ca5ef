package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp"
	"github.com/nanoclaw/nanoclaw/host/config"
	"github.com/nanoclaw/nanoclaw/host/store"
)

// WhatsApp is what the channel needs to link a phone and talk through it, in a host or beside one.
func WhatsApp(cfg *config.Config, log hclog.Logger) whatsapp.Config {
	return whatsapp.Config{
		Path: filepath.Join(cfg.StateDir, "whatsapp.db"), Log: log.Named("whatsapp"),
		Transport: cfg.Network.Transport,
	}
}

func (d *Daemon) openWhatsApp() {
	c := WhatsApp(d.config(), d.log)
	c.Transport = func() *http.Transport { return WhatsApp(d.config(), d.log).Transport() }
	c.Notice = d.tell
	d.wa = whatsapp.New(c)
}

// joinChats gives what was known in chats that turned out to be other names of older ones to the agents of
// those. It is called before anything runs, and does what a host that died left undone.
func (d *Daemon) joinChats(ctx context.Context) error {
	ids, err := whatsapp.Renamed(ctx, WhatsApp(d.config(), d.log))
	if err != nil || len(ids) == 0 {
		return err
	}
	agents, err := d.store.Agents(ctx)
	for _, a := range agents {
		to := a
		to.Chat = ids[a.Chat]
		to.ID = host.NewAgentID(to.Role, to.Channel, to.Account, to.Chat)
		if a.Channel == whatsapp.Name && to.Chat != "" && a.ID == host.NewAgentID(a.Role, a.Channel, a.Account, a.Chat) {
			err = errors.Join(err, d.join(ctx, a, to))
		}
	}
	return err
}

// join: files that both agents have stay apart.
func (d *Daemon) join(ctx context.Context, from, to host.Agent) error {
	dir := workspaces(d.config())
	was, is := filepath.Join(dir, string(from.ID)), filepath.Join(dir, string(to.ID))
	err := os.Rename(was, is)
	if errors.Is(err, fs.ErrExist) { // it is not empty
		is = filepath.Join(is, "joined-"+string(from.ID))
		err = os.Rename(was, is)
	}
	if err == nil {
		d.tell(fmt.Sprintf("chat %s is chat %s: its history goes on there, its files are in %s", from.Chat, to.Chat, is))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(d.store.EnsureAgent(ctx, to), d.store.Join(ctx, from.ID, to.ID))
}

// channels says where each channel stands.
func (d *Daemon) channels() []string {
	text, _ := d.wa.State()
	return []string{d.console.Name(), whatsapp.Name + " (" + text + ")"}
}

func (d *Daemon) serveUnlink(w http.ResponseWriter, r *http.Request) {
	if err := d.wa.Unlink(r.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// UnlinkWhatsApp makes the host take itself off the phone's list.
func (c *Client) UnlinkWhatsApp(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodPost, "/v1/whatsapp/unlink", nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Chats lists the chats that messages came from, at most max, the last one active first.
func Chats(ctx context.Context, cfg *config.Config, max int) (chats []host.Chat, err error) {
	err = withStore(ctx, cfg.StateDir, func(s *store.Store) error {
		if s != nil {
			chats, err = s.Chats(ctx, max)
		}
		return err
	})
	return chats, err
}
