package host

import (
	"context"
	"io"
)

// Bounds of attachments. What is beyond them is said in the text of its message.
const (
	MaxFile       = 20 << 20  // bytes of one file, in or out
	MaxFiles      = 16        // of one message
	MaxFileBytes  = 64 << 20  // of all files of one message
	MaxAgentFiles = 256 << 20 // of all files that came to one agent
)

// AttachDir is where the attachments of an agent are in its workspace: the agent's container sees them
// there, models are told so, and the broker takes nothing else for one.
const AttachDir = "attachments"

// File is an attachment. In a message that a channel delivers all of it but Open is the sender's
// word, and may be a lie. Once it is stored all of it is true.
type File struct {
	Name   string // stored: safe (see attach.Name), and no other one in its agent's workspace
	Type   string // MIME type; stored: as its bytes say, where they do
	Size   int64  // bytes; 0 from a channel that does not know
	Digest Digest // "" = not stored
	// Open reads the bytes. Of a channel's file it is called at most once, only when the message is
	// new and an agent may have it, and what it fails with is said in the text of the message: a
	// channel makes its own retries. The reader may say more than Size: it is cut off.
	Open func(ctx context.Context) (io.ReadCloser, error)
}
