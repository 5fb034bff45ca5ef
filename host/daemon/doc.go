// Package daemon builds the host out of its parts and owns the order in which they start
// and stop, the lock on the state directory and the admin socket.
//
// Read in this order: daemon.go (start and stop), turn.go (what a turn is made of),
// history.go (what of the past a model is shown, and summaries), engine.go (which
// containers, which runner), admin.go (the socket and its client), call.go (`nanoclaw skill call` and `skill test`),
// mcp.go (`nanoclaw mcp`).
//
// It must never execute or compile WASM, and never decide a grant: those are the
// runner's and the broker's.
//
// Where commands differ from the original's (behaviour.md section 13), and why:
//
//   - A command is the first word in any case; theirs mostly, but "/Compact" is text. Unknown ones are
//     the agent's, as there.
//   - Only the owner commands. What others write with a slash is text for the agent, and no answer tells
//     them that there are commands; the original answers some.
//   - /compact sums up what is older than the last questions, in its turn, so what stands before it is
//     answered first. If it fails the conversation is unchanged, and it says so.
//   - There is no /remote-control, /login or /config: nothing in a chat changes what the host runs.
package daemon
