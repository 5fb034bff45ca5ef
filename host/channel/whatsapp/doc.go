// Package whatsapp is the channel of WhatsApp, as a linked device of the owner's phone or of a number
// of the assistant's own.
//
// It owns the keys (a database of their own, mode 0600), who is who, and what a message looks like
// there. It must never decide who may talk to an agent, never acknowledge a message before deliver
// returned nil, and never reconnect by itself while the library does: two clients with the same keys
// throw each other out.
//
// What would surprise:
//
//   - Acknowledging. The library acknowledges behind the handler (SynchronousAck) and keeps what it has
//     decrypted (EnableDecryptedEventBuffer), because the keys of a message work once: without that a
//     crash between decrypting and committing loses it. A message that could not be committed stays
//     with WhatsApp and comes back with the next connection, so a failure asks for one, at growing
//     intervals. The library takes a panic in a handler for success, so ours recovers and says failure.
//   - IDs. A message's ID there is made of ours before it is sent, so a second attempt is the same
//     message. It ends with a MAC under the device's key: that is how an echo, or the message that
//     somebody quotes, is known to be the assistant's, after a restart too and without a table.
//   - One person, several names. WhatsApp is moving from phone numbers to hidden numbers (LIDs), and
//     says at any time that one belongs to the other. The name under which a chat was first seen stays
//     its ID, so that the agent keeps workspace and history; all others become names that routes and
//     senders may use too. Where both names were used before that was known, each has an agent. The older
//     one goes on; at the next start of the host, when neither can be at work, it gets the turns, messages,
//     keys and tasks of the other, and its workspace: as its own if it had none, else as a directory in it
//     (host/daemon). A message that comes again under its new name after its old one was committed counts
//     as another one.
//   - Backlog. What came while the host was away is committed message by message, but no turn begins
//     until the last one is there: ten messages get one answer.
//   - A wrong code. Neither side can tell at once that the eight characters which were typed are not those
//     that stood here: the phone finds out when it gets our keys, says so to whoever typed, and WhatsApp
//     tells us nothing. The library has no event either for a code that was typed, only its log. So when
//     nothing follows one for some seconds, it was the wrong one, and the next is asked for on the same
//     connection. Should the phone only have been slow, its answer still links.
//   - Ready also ends the wait of messages with More.
//   - Edits, and messages taken back. What was said is committed already, and perhaps answered, so both are
//     messages of their own, which wake nobody: an agent that has not begun reads both in one turn, another
//     one reads the change with its next. Nothing is deleted. A command of the owner's is not given by an edit.
//   - A reply that is one emoji is sent as a reaction to the message it answers.
//   - Licence. The library is MPL-2.0, what it needs for Signal's protocol is GPL-3.0. The build tag
//     nowhatsapp leaves both out (off.go); see NOTICE.
//   - The build tag fakewa, for tests of the whole program, replaces WhatsApp's root key and address by
//     those of a server on 127.0.0.1 (hook_fakewa.go). No release is built with it.
package whatsapp

import (
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Name is the channel's name in routes.
const Name = "whatsapp"

// Config is what the channel needs.
type Config struct {
	Path      string                 // of the keys' database, which is made at need
	Transport func() *http.Transport // the way to WhatsApp, with its proxy; nil = directly
	Notice    func(text string)      // tells the owner, by other channels, what ends this one; may be nil
	Log       hclog.Logger
}

// Settings may change while the channel runs.
type Settings struct {
	Assistant string   // its name
	OwnNumber bool     // the linked number is the assistant's alone: what it says needs no name before it
	Owners    []string // numbers of the owner, "+" and digits, besides the linked one
}

// Step is what whoever links a phone is to be shown.
type Step struct {
	QR    string    // what the phone is to scan, or
	Code  string    // what is to be typed on it
	Until time.Time // it is good
	Note  string    // what became of the one before
}
