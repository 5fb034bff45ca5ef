package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // known to image.DecodeConfig
	_ "image/jpeg"
	_ "image/png"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// Bounds of what a model is shown of an agent's files: those of the APIs. base64 makes four bytes of three.
const (
	maxImage   = 5 << 20 * 3 / 4
	maxPixels  = 8000 // on a side
	maxPDF     = 10 << 20
	maxShow    = 16 << 20 // in one request
	fileTokens = 1600     // reserved for each
	attached   = host.AttachDir + "/"
	workspace  = "/workspace"
)

// Files are the files of agents; host/daemon has them.
type Files interface {
	// Attached opens a file that came to the agent of s; host.ErrNotFound when none of that name did.
	Attached(ctx context.Context, s host.Scope, name string) (host.File, io.ReadCloser, error)
	// Read reads a file that a skill with the need fs sees at path, at most max bytes.
	Read(s host.Scope, fs host.Need, path string, max int64) ([]byte, error)
	// Send queues o with a file called name, once for each ID of o.
	Send(ctx context.Context, o host.Outgoing, name string, data []byte) error
}

// show puts the files that a request names into it, or a sentence in the place of each that cannot be shown.
func (b *Broker) show(ctx context.Context, c *call, req *wire.LLMRequest) (files int, bytes int64, err error) {
	room := int64(maxShow)
	put := func(kind, name string) (out wire.Block, is bool) {
		if kind != wire.BlockFile || err != nil {
			return out, false
		}
		files++
		out, err = b.shown(ctx, c, name, &room)
		return out, true
	}
	for i := range req.Messages {
		for j := range req.Messages[i].Content {
			k := &req.Messages[i].Content[j]
			if out, is := put(k.Type, k.Path); is {
				*k = out
			}
			for n := range k.Content {
				if out, is := put(k.Content[n].Type, k.Content[n].Path); is {
					k.Content[n] = wire.Content{Type: out.Type, Text: out.Text, Data: out.Data, MIMEType: out.MIMEType}
				}
			}
		}
	}
	return files, maxShow - room, err
}

// shown is one file as a block. Its name says nothing yet about whose it is: only those of the agent
// on whose connection the call came are found.
func (b *Broker) shown(ctx context.Context, c *call, name string, room *int64) (wire.Block, error) {
	short := plainWords(name, maxShown)
	not := func(why string) (wire.Block, error) {
		return wire.Block{Type: wire.BlockText, Text: "[" + short + " cannot be shown: " + why + "]"}, nil
	}
	in, ok := strings.CutPrefix(strings.TrimPrefix(path.Clean(name), workspace+"/"), attached)
	if !ok || b.cfg.Files == nil {
		return not("it is no attachment, whose names begin with " + attached)
	}
	f, r, err := b.cfg.Files.Attached(ctx, c.scope, in)
	if errors.Is(err, host.ErrNotFound) {
		return not("no such file came, or it is no longer kept")
	}
	if err != nil {
		return wire.Block{}, failed("the file", err)
	}
	defer r.Close()
	kind, max := wire.BlockImage, int64(maxImage)
	if f.Type == "application/pdf" {
		kind, max = wire.BlockDocument, maxPDF
	}
	switch {
	case kind == wire.BlockImage && !strings.HasPrefix(f.Type, "image/"):
		return not("it is neither an image nor a PDF but " + f.Type)
	case f.Size > max:
		return not(fmt.Sprintf("it has %d bytes, and models take %d", f.Size, max))
	case f.Size > *room:
		return not("there are too many files in this conversation")
	}
	data, err := wire.ReadLimited(r, max)
	if err != nil {
		return wire.Block{}, failed("the file", err)
	}
	if kind == wire.BlockImage {
		// What is broken, or is said to be huge, would make the model's server refuse the whole conversation.
		size, _, err := image.DecodeConfig(bytes.NewReader(data))
		if f.Type != "image/webp" && (err != nil || size.Width > maxPixels || size.Height > maxPixels) {
			return not(fmt.Sprintf("it is broken, or has more than %d pixels on a side", maxPixels))
		}
	}
	*room -= f.Size
	return wire.Block{Type: kind, MIMEType: f.Type, Data: base64.StdEncoding.EncodeToString(data)}, nil
}

// sendFile sends a file that the skill may read to the chat of its agent: where its replies go, so no
// grant is needed but fs.
func (b *Broker) sendFile(ctx context.Context, c *call, req wire.MessageRequest) (any, error) {
	fs, _ := c.scope.Skills[c.row.Skill].Manifest.Need(host.CapFS)
	c.row.Target = "own chat"
	switch {
	case !host.Grants(c.scope.Role, &c.scope.Skills[c.row.Skill].Manifest).Has(host.CapFS):
		return nil, deny("only a skill with fs sends files")
	case c.scope.Depth > 0:
		return nil, deny("the agent has no chat of its own: it works for another one, or for an MCP client")
	case b.cfg.Files == nil:
		return nil, failed("sending files here", host.ErrUnavailable)
	case len(req.Text) > wire.MaxCaption || len(req.Path) > wire.MaxPath:
		return nil, tooLarge("a caption has at most %d bytes, and a path %d", wire.MaxCaption, wire.MaxPath)
	case strings.Contains(req.Text, "\x00"):
		return nil, invalid("the caption holds a zero byte")
	}
	at := path.Clean(req.Path)
	if !path.IsAbs(at) {
		at = path.Join(workspace, at)
	}
	data, err := b.cfg.Files.Read(c.scope, fs, at, host.MaxFile)
	switch {
	case errors.Is(err, host.ErrLimit):
		return nil, tooLarge("a file that is sent has at most %d bytes", host.MaxFile)
	case errors.Is(err, host.ErrDenied):
		return nil, deny("the skill has no such file")
	case err != nil:
		return nil, &refusal{status: wire.StatusNotFound, message: "there is no such regular file", cause: err}
	case len(data) == 0:
		return nil, invalid("the file is empty")
	}
	// Bytes that are no text look like keys by chance; the host's own secrets are looked for in all.
	if err := b.guard("the file", utf8.Valid(data), string(data), req.Text, path.Base(at)); err != nil {
		return nil, err
	}
	if err := b.spend(ctx, c.scope.Role, host.BudgetMessages, 1); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	digest, a := hex.EncodeToString(sum[:]), c.scope.Agent
	reason := fmt.Sprintf("the agent's own chat; sha256:%s, %d bytes", digest, len(data))
	if err := b.allow(ctx, c, "own chat", reason, int64(len(data))); err != nil {
		return nil, err
	}
	o := host.Outgoing{
		ID: c.messageID(printOf("send_file", at, digest, req.Text)), Turn: c.row.Turn, Channel: a.Channel,
		Account: a.Account, Chat: a.Chat, Text: req.Text, Kind: host.OutReply,
	}
	if err := b.cfg.Files.Send(ctx, o, path.Base(at), data); err != nil {
		return nil, failed("the file", err)
	}
	c.row.Reason = "queued as " + string(o.ID)
	return wire.MessageResponse{ID: string(o.ID)}, nil
}

// messageID is the same when the turn is run again: a call sends once, which is why the journal need
// not know of it.
func (c *call) messageID(print string) host.MessageID {
	sum := sha256.Sum256([]byte(string(c.row.Turn) + "\x00" + c.row.Call + "\x00" + print))
	return host.MessageID("m" + hex.EncodeToString(sum[:16]))
}
