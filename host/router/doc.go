// Package router decides who answers: it matches a message to a route, applies trigger
// and sender rules, handles the owner's commands before any queue, runs one turn at a
// time for each agent and hands replies to channels through the outbox.
//
// Read in this order: router.go (a message comes in), match.go (which route, which
// trigger), work.go (one worker an agent), outbox.go (a reply goes out).
//
// It must never start a container, call a model or read a file: a turn is a function it
// is given. It must never tell a channel "taken" before the store has committed.
package router
