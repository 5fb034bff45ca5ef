//go:build !nowhatsapp

package whatsapp

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/nanoclaw/nanoclaw/host"
)

// MaxFile implements channel.Filer.
func (*WhatsApp) MaxFile() int64 { return host.MaxFile }

// attached is what messages with a file have in common.
type attached interface {
	whatsmeow.DownloadableMessage
	GetMimetype() string
	GetFileLength() uint64
	GetContextInfo() *waE2E.ContextInfo
}

// file reads a message that came with a file: its caption, or where there is none what it is.
func file(x attached, caption, kind, name string) content {
	c := content{context: x.GetContextInfo(), caption: caption}
	c.text = fmt.Sprintf("[%s, %d bytes]", strings.TrimSpace(kind+" "+oneLine(name, maxName)), x.GetFileLength())
	if strings.TrimSpace(caption) != "" {
		c.text, c.about = caption, c.text
	}
	if x.GetDirectPath() != "" && len(x.GetFileSHA256()) > 0 {
		c.file, c.name = x, cmp.Or(name, kind)
	}
	return c
}

// fileOf is the file of a message, which is fetched when somebody may have it.
func (s *session) fileOf(c content) host.File {
	return host.File{
		Name: c.name, Type: c.file.GetMimetype(), Size: int64(min(c.file.GetFileLength(), 1<<40)),
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			f, err := os.CreateTemp(filepath.Dir(s.w.cfg.Path), "whatsapp-*")
			if err != nil {
				return nil, err
			}
			err = os.Remove(f.Name()) // nobody else needs its name, nor does anything stay after a crash
			if err == nil {
				err = s.cli.DownloadToFile(ctx, c.file, &capped{f})
			}
			if err == nil {
				_, err = f.Seek(0, io.SeekStart)
			}
			if err != nil {
				f.Close()
				s.w.cfg.Log.Warn("a file could not be fetched", "error", err)
				return nil, err
			}
			return f, nil
		},
	}
}

// slack is by how much an encrypted file is larger: its padding, and the MAC.
const slack = 64

// capped takes no more bytes than a file may have: what a message says of its length is the sender's word.
type capped struct{ *os.File }

func (c *capped) Write(p []byte) (int, error) {
	at, err := c.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if at+int64(len(p)) > host.MaxFile+slack {
		return 0, host.ErrLimit
	}
	return c.File.Write(p)
}

// ReadFrom hides the one of os.File, which would go past Write.
func (c *capped) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// uploadWait is after what a file is tried again that took too long.
const uploadWait = time.Minute

// upload gives the file of o to WhatsApp and makes the message of it. Nothing was sent when it fails.
func (s *session) upload(ctx context.Context, f *host.File, caption string) (*waE2E.Message, error) {
	in, err := f.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, host.MaxFile+1))
	if err != nil || len(data) > host.MaxFile {
		return nil, cmp.Or(err, host.ErrInvalid)
	}
	kind := whatsmeow.MediaDocument
	switch {
	case slices.Contains([]string{"image/jpeg", "image/png"}, f.Type):
		kind = whatsmeow.MediaImage
	case f.Type == "video/mp4":
		kind = whatsmeow.MediaVideo
	case strings.HasPrefix(f.Type, "audio/") && caption == "": // which have none
		kind = whatsmeow.MediaAudio
	}
	up, err := s.cli.UploadReader(ctx, bytes.NewReader(data), nil, kind)
	switch {
	case err != nil && (ctx.Err() != nil || !s.cli.IsConnected()):
		time.AfterFunc(uploadWait, s.w.signal)
		return nil, fmt.Errorf("%w: the file is not uploaded: %w", host.ErrUnavailable, err)
	case err != nil:
		return nil, fmt.Errorf("the file is not taken by WhatsApp: %w", err)
	}
	text := proto.String(caption)
	if caption == "" {
		text = nil
	}
	switch kind {
	case whatsmeow.MediaImage:
		return &waE2E.Message{ImageMessage: &waE2E.ImageMessage{
			Caption: text, Mimetype: &f.Type, URL: &up.URL, DirectPath: &up.DirectPath, MediaKey: up.MediaKey,
			FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256, FileLength: &up.FileLength,
		}}, nil
	case whatsmeow.MediaVideo:
		return &waE2E.Message{VideoMessage: &waE2E.VideoMessage{
			Caption: text, Mimetype: &f.Type, URL: &up.URL, DirectPath: &up.DirectPath, MediaKey: up.MediaKey,
			FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256, FileLength: &up.FileLength,
		}}, nil
	case whatsmeow.MediaAudio:
		return &waE2E.Message{AudioMessage: &waE2E.AudioMessage{
			Mimetype: &f.Type, URL: &up.URL, DirectPath: &up.DirectPath, MediaKey: up.MediaKey,
			FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256, FileLength: &up.FileLength,
		}}, nil
	}
	return &waE2E.Message{DocumentMessage: &waE2E.DocumentMessage{
		Caption: text, FileName: &f.Name, Title: &f.Name, Mimetype: &f.Type, URL: &up.URL, DirectPath: &up.DirectPath,
		MediaKey: up.MediaKey, FileEncSHA256: up.FileEncSHA256, FileSHA256: up.FileSHA256, FileLength: &up.FileLength,
	}}, nil
}
