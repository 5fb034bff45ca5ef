// Package store is the memory of the host: one SQLite file with messages, turns,
// the outbox, agents, keys of skills and token counts.
//
// Read in this order: store.go (open, schema), inbox.go (a message is committed
// before its channel hears nil), turn.go (messages in, reply out, one transaction),
// outbox.go (what is sent and what may never be sent again), kv.go, audit.go.
//
// It must never decide who may do what, and never hold a secret.
//
// Rationale. One connection: SQLite has one writer, and a second reader would only
// bring SQLITE_BUSY paths that no test can reach on purpose. synchronous=FULL: a
// commit that a power cut undoes would break "nil only after it is committed";
// it costs about one fsync a commit, three in a turn.
package store
