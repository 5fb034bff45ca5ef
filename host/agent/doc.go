// Package agent runs turns: it takes an agent's spare container or starts one, gives it
// the turn, listens to what the container says, and ends it.
//
// It owns spares, turn deadlines, the two pools, workspace directories and the container
// that compiles new skills. It must never know how or where a container runs (that is
// host.Engine), decide what a capability call may do (that is the handler it is given), or
// believe a container: everything read from one is bounded in size, count and time.
//
// # Choices that may surprise
//
// A container serves one turn and is closed whatever came of it. After an answer that
// happens beside the next turn; after a failure or a stop it is waited for, so that no
// skill writes to the workspace while the next turn starts.
//
// The one exception is a role with a program whose lifetime is "conversation": after an answer its
// container becomes the spare of the same agent's next turn, under the rules of spares: how many, how
// long idle, given up when anything changed. What a program left in /tmp is there for its next turn;
// its processes are not, the runner ends them. Between turns nothing of it is answered, and a call
// that began in one turn never gets the rights of another.
//
// The next spare is started when the turn is over or has lasted spareDelay: starting one
// costs as much CPU as a whole short turn.
//
// yamux answers every ping with a goroutine of its own, and a half-closed stream keeps its
// window for minutes. A hostile runner could make the host pay for both, so pings end the
// session (ours are off), and so do too many streams.
package agent
