package router

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/attach"
	"github.com/nanoclaw/nanoclaw/host/channel"
	"github.com/nanoclaw/nanoclaw/host/failpoint"
)

// takeFiles stores the files of m, and says in its text what came with it and what did not. done is
// called when m is committed, or is not. A message that is known brings nothing: nothing is fetched.
func (r *Router) takeFiles(ctx context.Context, a host.Agent, m *host.Message) (done func(), err error) {
	known, err := r.cfg.Store.Known(ctx, *m)
	if err != nil || known {
		m.Files = nil
		return func() {}, err
	}
	kept, lines, done, err := r.cfg.Files.Take(ctx, a.ID, m.Files)
	if err != nil {
		return nil, err
	}
	m.Files, m.Text = kept, withLines(m.Text, lines)
	failpoint.Hit(failpoint.FilesStored)
	return done, nil
}

// withoutFiles is m when what came with it is not fetched, which its text says.
func withoutFiles(m host.Message) host.Message {
	var lines []string
	for _, f := range m.Files[:min(len(m.Files), host.MaxFiles)] {
		lines = append(lines, fmt.Sprintf("[file %s was not taken]", attach.Safe(f.Name, f.Type)))
	}
	m.Files, m.Text = nil, withLines(m.Text, lines)
	return m
}

func withLines(text string, lines []string) string {
	if len(lines) == 0 {
		return text
	}
	return strings.TrimSpace(text + "\n\n" + strings.Join(lines, "\n"))
}

// withFile is o with a file that its channel can read, or with a sentence in its place.
func (r *Router) withFile(c channel.Channel, o host.Outgoing) host.Outgoing {
	if o.File == nil {
		return o
	}
	f, why := *o.File, "this channel cannot send files"
	if c, ok := c.(channel.Filer); ok {
		if f.Size <= c.MaxFile() {
			f.Open = func(context.Context) (io.ReadCloser, error) { return r.cfg.Files.Reader(f.Digest) }
			o.File = &f
			return o
		}
		why = "this channel sends files of at most " + attach.Size(c.MaxFile())
	}
	o.File = nil
	o.Text = withLines(o.Text, []string{fmt.Sprintf("[file %s (%s) was not sent: %s]", f.Name, attach.Size(f.Size), why)})
	return o
}
