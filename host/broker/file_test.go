package broker_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"strings"
	"testing"

	"github.com/nanoclaw/nanoclaw/host"
	"github.com/nanoclaw/nanoclaw/host/broker"
	"github.com/nanoclaw/nanoclaw/sdk/wire"
)

// ownFiles is broker.Files: what came to agents, what they wrote, and what was sent.
type ownFiles struct {
	came  map[string]host.File // agent and name
	bytes map[string]string    // the same, and paths of skills
	sent  []host.Outgoing
	name  string
}

func (k *ownFiles) Attached(_ context.Context, s host.Scope, name string) (host.File, io.ReadCloser, error) {
	key := string(s.Agent.ID) + "/" + name
	f, ok := k.came[key]
	if !ok {
		return f, nil, host.ErrNotFound
	}
	return f, io.NopCloser(strings.NewReader(k.bytes[key])), nil
}

func (k *ownFiles) Read(_ host.Scope, _ host.Need, path string, max int64) ([]byte, error) {
	b, ok := k.bytes[path]
	if !ok {
		return nil, fmt.Errorf("%w: /var/lib/secret/place", host.ErrDenied)
	}
	if int64(len(b)) > max {
		return nil, host.ErrLimit
	}
	return []byte(b), nil
}

func (k *ownFiles) Send(_ context.Context, o host.Outgoing, name string, _ []byte) error {
	k.sent, k.name = append(k.sent, o), name
	return nil
}

func pngOf(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// bomb says that it has 60,000 pixels on a side.
func bomb(t *testing.T) string {
	b := []byte(pngOf(t))
	copy(b[16:24], []byte{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60})
	sum := crc32.ChecksumIEEE(b[12:29])
	copy(b[29:33], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return string(b)
}

// TestModelsAreShownFiles: a reference becomes the file when it came to the agent on whose connection
// the call came, and else a sentence. The model's server never sees a reference.
func TestModelsAreShownFiles(t *testing.T) {
	k := &ownFiles{came: map[string]host.File{}, bytes: map[string]string{}}
	add := func(agent, name, mimeType, data string) {
		k.came[agent+"/"+name] = host.File{Name: name, Type: mimeType, Size: int64(len(data))}
		k.bytes[agent+"/"+name] = data
	}
	pic := pngOf(t)
	add("agent-1", "a.png", "image/png", pic)
	add("agent-1", "a.pdf", "application/pdf", "%PDF-1.4")
	add("agent-1", "a.ogg", "audio/ogg", "OggS")
	add("agent-1", "broken.png", "image/png", "\x89PNG\r\n\x1a\nxx")
	add("agent-1", "bomb.png", "image/png", bomb(t))
	add("agent-1", "big.png", "image/png", pic+strings.Repeat("x", 4<<20))
	add("agent-2", "b.png", "image/png", pic)
	for i := range 20 {
		add("agent-1", fmt.Sprintf("large%d.pdf", i), "application/pdf", strings.Repeat("x", 9<<20))
	}
	var asked wire.LLMRequest
	l := newLab(t).stored().need(host.Need{Name: host.CapLLM})
	l.cfg.Files = k
	l.cfg.Models = func(*host.Role, string) (broker.Model, error) {
		return modelFunc(func(r wire.LLMRequest, _ func(string)) (*wire.LLMResponse, error) {
			asked = r
			return &wire.LLMResponse{Content: []wire.Block{}}, nil
		}), nil
	}
	shown := base64.StdEncoding.EncodeToString([]byte(pic))
	for i, c := range []struct{ path, kind, say string }{
		{"attachments/a.png", wire.BlockImage, shown},
		{"/workspace/attachments/a.png", wire.BlockImage, shown},
		{"attachments/a.pdf", wire.BlockDocument, base64.StdEncoding.EncodeToString([]byte("%PDF-1.4"))},
		{"attachments/a.ogg", wire.BlockText, "neither an image nor a PDF"},
		{"attachments/broken.png", wire.BlockText, "broken"},
		{"attachments/bomb.png", wire.BlockText, "8000 pixels"},
		{"attachments/big.png", wire.BlockText, "models take"},
		{"attachments/b.png", wire.BlockText, "no such file"},
		{"attachments/../../agent-2/attachments/b.png", wire.BlockText, "no attachment"},
		{"attachments/../agent-2/b.png", wire.BlockText, "no attachment"},
		{"/etc/passwd", wire.BlockText, "no attachment"},
		{"MEMORY.md", wire.BlockText, "no attachment"},
		{"", wire.BlockText, "no attachment"},
		{"attachments/x\u202e\n" + strings.Repeat("y", 3000), wire.BlockText, "no such file"},
	} {
		l.callAs(string(skillName), fmt.Sprint(i), host.CapLLM, wire.LLMRequest{Messages: []wire.LLMMessage{{
			Role: wire.RoleUser, Content: []wire.Block{
				{Type: wire.BlockFile, Path: c.path},
				{Type: wire.BlockToolResult, ToolUseID: "u", Content: []wire.Content{{Type: wire.BlockFile, Path: c.path}}},
			},
		}}}).want(wire.StatusOK, "")
		b := asked.Messages[0].Content[0]
		in := asked.Messages[0].Content[1].Content[0]
		if b.Type != c.kind || in.Type != c.kind || b.Path+in.Path != "" || b.Data != in.Data || b.Text != in.Text ||
			!strings.Contains(b.Text+b.Data, c.say) || len(b.Text) > 500 || strings.ContainsAny(b.Text, "\n\u202e") {
			t.Errorf("%.60q: %s %.300q and %s %.300q", c.path, b.Type, b.Text, in.Type, in.Text)
		}
	}
	var many []wire.Block
	for i := range 20 {
		many = append(many, wire.Block{Type: wire.BlockFile, Path: fmt.Sprintf("attachments/large%d.pdf", i)})
	}
	l.callAs(string(skillName), "99", host.CapLLM, wire.LLMRequest{Messages: []wire.LLMMessage{{Role: wire.RoleUser, Content: many}}}).
		want(wire.StatusOK, "")
	n := 0
	for _, b := range asked.Messages[0].Content {
		n += len(b.Data)
	}
	if n == 0 || n > 24<<20 {
		t.Errorf("%d bytes of files in one request", n)
	}
}

// TestSendFile: a skill with fs sends what it may read to its agent's own chat and nowhere else, once for
// each place in the turn; nothing with a secret in it leaves.
func TestSendFile(t *testing.T) {
	k := &ownFiles{bytes: map[string]string{
		"/workspace/out/r.md": "All is well.", "/workspace/empty": "", "/workspace/big": strings.Repeat("x", host.MaxFile+1),
		"/workspace/leak": "\xff\x00it is hunter2hunter2",
	}}
	l := newLab(t).stored()
	l.secrets["bank"] = "hunter2hunter2"
	l.cfg.Files, l.cfg.Messages = k, &chats{}
	l.scope.Agent.Channel, l.scope.Agent.Chat = "whatsapp", "family@g.us"
	needs := &l.scope.Skills[skillName].Manifest.Capabilities
	*needs = []host.Need{{Name: host.CapMessage, Mode: host.ModeOwn}, {Name: host.CapFS}}
	file := func(path, caption string) wire.MessageRequest {
		return wire.MessageRequest{Op: "send_file", Path: path, Text: caption, Channel: "console", Chat: "elsewhere"}
	}
	l.call(host.CapMessage, file("out/r.md", "Here.")).want(wire.StatusOK, "")
	l.call(host.CapMessage, file("/workspace/out/../out/r.md", "Here.")).want(wire.StatusOK, "") // run again
	if len(k.sent) != 2 || k.sent[0] != k.sent[1] || k.name != "r.md" {
		t.Fatalf("sent %+v", k.sent)
	}
	if o := k.sent[0]; o.Channel != "whatsapp" || o.Chat != "family@g.us" || o.Text != "Here." || o.Kind != host.OutReply || o.Turn != "t1" {
		t.Errorf("sent %+v", o)
	}
	row := l.rows()[0]
	if row.Verdict != "allow" || row.Bytes != 12 || !strings.Contains(row.Reason, "sha256:") || row.Target != "own chat" {
		t.Errorf("row %+v", row)
	}
	for _, c := range []struct {
		req  wire.MessageRequest
		want wire.Status
		say  string
	}{
		{file("none", ""), wire.StatusDenied, "no such file"},
		{file("../../etc/passwd", ""), wire.StatusDenied, "no such file"},
		{file("empty", ""), wire.StatusInvalid, "empty"},
		{file("big", ""), wire.StatusTooLarge, "at most"},
		{file("leak", ""), wire.StatusDenied, "secret of the host"},
		{file("out/r.md", "hunter2hunter2"), wire.StatusDenied, "secret of the host"},
		{file("out/r.md", strings.Repeat("x", wire.MaxCaption+1)), wire.StatusTooLarge, "caption"},
		{send("family@g.us", "hi"), wire.StatusDenied, "own chat alone"},
		{wire.MessageRequest{Op: "chats"}, wire.StatusDenied, "own chat alone"},
	} {
		r := l.call(host.CapMessage, c.req)
		if r.want(c.want, c.say); strings.Contains(fmt.Sprint(r), "/var/lib") {
			t.Errorf("the host's paths are told: %v", r)
		}
	}
	l.scope.Depth = 1
	l.call(host.CapMessage, file("out/r.md", "")).want(wire.StatusDenied, "no chat of its own")
	l.scope.Depth, *needs = 0, (*needs)[:1]
	l.call(host.CapMessage, file("out/r.md", "")).want(wire.StatusDenied, "fs")
	*needs = []host.Need{{Name: host.CapMessage}, {Name: host.CapFS}}
	l.call(host.CapMessage, file("out/r.md", "")).want(wire.StatusDenied, "message is not granted")
	if len(k.sent) != 2 {
		t.Errorf("sent %+v", k.sent[2:])
	}
}
