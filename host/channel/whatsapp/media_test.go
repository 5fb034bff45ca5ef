//go:build !nowhatsapp

package whatsapp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mau.fi/whatsmeow"
	"go.mau.fi/whatsmeow/proto/waE2E"
	"google.golang.org/protobuf/proto"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/channel/whatsapp/fakewa"
)

func image(m fakewa.Media, caption string, says uint64) *waE2E.Message {
	return &waE2E.Message{ImageMessage: &waE2E.ImageMessage{
		Caption: proto.String(caption), Mimetype: proto.String("image/png"), URL: &m.URL, DirectPath: &m.DirectPath,
		MediaKey: m.Key, FileEncSHA256: m.EncSHA256, FileSHA256: m.SHA256, FileLength: proto.Uint64(says),
	}}
}

// TestFilesIn: a file is fetched, decrypted and checked when it is opened, and never more of it than a file
// may have, whatever the sender says of its length. Nothing of it stays in the directory of the state.
func TestFilesIn(t *testing.T) {
	r := started(t)
	data := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("pixels"), 9999)...)
	small := must(r.s.Upload(data, whatsmeow.MediaImage))
	must(r.alice.Send(r.owner, image(small, "look", small.Length)))
	m := r.message("look")
	if m.Below != "" || len(m.Files) != 1 || m.Files[0].Size != int64(len(data)) || m.Files[0].Type != "image/png" {
		t.Fatalf("got %+v", m)
	}
	in, err := m.Files[0].Open(r.ctx())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
	}
	large := must(r.s.Upload(make([]byte, host.MaxFile+1000), whatsmeow.MediaImage))
	must(r.alice.Send(r.owner, image(large, "a lie", 9)))
	if _, err := r.message("a lie").Files[0].Open(r.ctx()); !errors.Is(err, host.ErrLimit) {
		t.Errorf("of too many bytes: %v", err)
	}
	small.SHA256 = bytes.Repeat([]byte{1}, 32)
	must(r.alice.Send(r.owner, image(small, "another file", small.Length)))
	if _, err := r.message("another file").Files[0].Open(r.ctx()); err == nil {
		t.Error("a file of another hash was taken")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(r.cfg.Path), "whatsapp-*")); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	must(r.alice.Send(r.owner, image(must(r.s.Upload(data, whatsmeow.MediaImage)), "", 9)))
	if m := r.message(""); len(m.Files) != 1 || m.Text != "" {
		t.Errorf("without a caption: %+v", m)
	}
}

// TestFilesOut: pictures are shown as such, what else there is goes as a document with its name, and the
// phone that gets it can decrypt it.
func TestFilesOut(t *testing.T) {
	r := started(t)
	for i, tc := range []struct {
		file host.File
		kind whatsmeow.MediaType
	}{
		{host.File{Name: "a.png", Type: "image/png"}, whatsmeow.MediaImage},
		{host.File{Name: "b.mp4", Type: "video/mp4"}, whatsmeow.MediaVideo},
		{host.File{Name: "report 7.pdf", Type: "application/pdf"}, whatsmeow.MediaDocument},
		{host.File{Name: "d.ogg", Type: "audio/ogg"}, whatsmeow.MediaDocument},
	} {
		data := strings.Repeat(tc.file.Name, 1000)
		tc.file.Open = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(data)), nil }
		o := host.Outgoing{ID: host.MessageID(tc.file.Name), Chat: "+15550000002", Text: "here", Kind: host.OutReply, File: &tc.file}
		if err := r.w.Send(r.ctx(), o); err != nil {
			t.Fatal(err)
		}
		got := must(r.alice.WaitMessage(r.ctx(), i)).Msg
		var path, caption string
		var key []byte
		switch tc.kind {
		case whatsmeow.MediaImage:
			x := got.GetImageMessage()
			path, key, caption = x.GetDirectPath(), x.GetMediaKey(), x.GetCaption()
		case whatsmeow.MediaVideo:
			x := got.GetVideoMessage()
			path, key, caption = x.GetDirectPath(), x.GetMediaKey(), x.GetCaption()
		default:
			x := got.GetDocumentMessage()
			path, key, caption = x.GetDirectPath(), x.GetMediaKey(), x.GetCaption()
			if x.GetFileName() != tc.file.Name {
				t.Errorf("a document called %q", x.GetFileName())
			}
		}
		back, err := r.s.Download(path, key, tc.kind)
		if err != nil || string(back) != data || !strings.HasSuffix(caption, "here") {
			t.Errorf("%s: %d bytes, caption %q, %v", tc.file.Name, len(back), caption, err)
		}
	}
	gone := host.File{Name: "x", Open: func(context.Context) (io.ReadCloser, error) { return nil, os.ErrNotExist }}
	if err := r.w.Send(r.ctx(), host.Outgoing{ID: "x", Chat: "+15550000002", File: &gone}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
}
