// Package daemon builds the host out of its parts and owns the order in which they start
// and stop, the lock on the state directory and the admin socket.
//
// Read in this order: daemon.go (start and stop), turn.go (what a turn is made of),
// history.go (what of the past a model is shown, and summaries), engine.go (which
// containers, which runner), admin.go (the socket and its client), call.go (`nanoclaw skill call` and `skill test`).
//
// It must never execute or compile WASM, and never decide a grant: those are the
// runner's and the broker's.
package daemon
