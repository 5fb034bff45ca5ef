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
package store
