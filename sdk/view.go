package sdk

import "github.com/nanoclaw/nanoclaw/sdk/wire"

// viewFile is a tool of the loop's own: a model is shown the images that come with a message in its
// turn, and later when it wants to.
const viewFile = "view_file"

func (l *Loop) offerView(attached bool) {
	if !attached || l.offers(viewFile) {
		return
	}
	l.views = true
	l.Tools = append(l.Tools[:len(l.Tools):len(l.Tools)], wire.Tool{
		Name: viewFile, Description: "Shows you an image or PDF that came with an earlier message of this chat.",
		InputSchema: RawMessage(`{"type":"object","required":["path"],"properties":{"path":{"type":"string",` +
			`"description":"attachments/NAME, as the message names it"}}}`),
	})
}

// view answers viewFile. The file itself is put in by the host, on the way to the model.
func view(b Block) Block {
	r := Block{Type: wire.BlockToolResult, ToolUseID: b.ID}
	var in struct {
		Path string `json:"path"`
	}
	if err := Unmarshal(b.Input, &in); err != nil {
		r.IsError, r.Content = true, wire.TextResult("invalid: "+err.Error()).Content
		return r
	}
	r.Content = []Content{{Type: wire.BlockFile, Path: in.Path}}
	return r
}
