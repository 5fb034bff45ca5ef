// Package store is the memory of the host: one SQLite file with messages, turns,
// the outbox, agents, keys of skills and token counts.
//
// Read in this order: store.go (open, schema), inbox.go (a message is committed
// before its channel hears nil), turn.go (messages in, reply out, one transaction),
// outbox.go (what is sent and what may never be sent again), history.go (what a model is
// shown of it later, and what is found), file.go (whose an attachment is), keep.go (what is
// kept), kv.go, audit.go.
//
// It must never decide who may do what, and never hold a secret.
//
// Rationale. One connection: SQLite has one writer, and a second reader would only
// bring SQLITE_BUSY paths that no test can reach on purpose. synchronous=FULL: a
// commit that a power cut undoes would break "nil only after it is committed";
// it costs about one fsync a commit, three in a turn. Two things have a connection of
// their own: counts, which are not synced (Spend), and searches, which only read (Find).
//
// A summary takes nothing away: it says where the window begins that a model is shown, and
// /new is a summary of nothing. Every message stays, and is found, until Trim.
//
// Where it differs from the original (behaviour.md section 11), and why:
//
//   - Order is a number that counts up as messages are committed, and each message knows its turn; there
//     is no cursor of time. Two at the same instant, a clock that goes back and a message that was long
//     on its way are all answered.
//   - More messages than a turn takes wait for the next; the original skips the older ones.
//   - A message that comes again changes nothing: it may have been answered already.
//   - A message is known by its chat and its sender too: IDs are the sender's choice.
//   - An empty message never gets here: the router refuses it, unless it has files.
package store
