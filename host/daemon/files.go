package daemon

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/attach"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// files is broker.Files.
type files struct{ d *Daemon }

func (f files) Attached(ctx context.Context, s host.Scope, name string) (host.File, io.ReadCloser, error) {
	file, err := f.d.store.AgentFile(ctx, s.Agent.ID, name)
	if err != nil {
		return file, nil, err
	}
	r, err := f.d.files.Reader(file.Digest)
	return file, r, err
}

func (f files) Read(s host.Scope, fs host.Need, path string, max int64) ([]byte, error) {
	return f.d.agents.File(s, fs, path, max)
}

func (f files) Send(ctx context.Context, o host.Outgoing, name string, data []byte) error {
	file, done, err := f.d.files.Put(name, data)
	if err != nil {
		return err
	}
	defer done()
	o.File = &file
	return f.d.router.Notify(ctx, o)
}

// attachedFiles are the files of all messages.
func attachedFiles(ms []host.Message) (out []host.File) {
	for _, m := range ms {
		out = append(out, m.Files...)
	}
	return out
}

// maxShown is how many files of one turn are shown to the model without being asked for: the last ones.
const maxShown = 8

// showFiles names the files of the turn's messages and says whether the agent ever got one.
func (d *Daemon) showFiles(ctx context.Context, a host.AgentID, ms []host.Message, in *wire.Turn) error {
	left := maxShown
	for i, m := range slices.Backward(ms) {
		for _, f := range slices.Backward(m.Files) {
			if left > 0 && attach.Seen(f.Type) {
				in.Messages[i].Files = append([]string{host.AttachDir + "/" + f.Name}, in.Messages[i].Files...)
				left--
			}
		}
	}
	bytes, err := d.store.AgentBytes(ctx, a)
	in.Attached = bytes > 0
	return err
}

// sweepFiles removes what no message names any more, from the state and from the agents' workspaces.
func (d *Daemon) sweepFiles(ctx context.Context) {
	n, err := d.files.Sweep(ctx)
	if err != nil {
		d.log.Error("attachments without a message not removed", "error", err)
	} else if n > 0 {
		d.log.Info("attachments without a message removed", "files", n)
	}
	agents, err := d.store.Agents(ctx)
	for _, a := range agents {
		e := d.agents.KeepAttachments(a.ID, func() ([]host.File, error) { return d.store.AgentFiles(ctx, a.ID) })
		err = errors.Join(err, e)
	}
	if err != nil {
		d.log.Error("attachments not removed from a workspace", "error", err)
	}
}
