// Package router decides who answers: it matches a message to a route, applies trigger
// and sender rules, handles the owner's commands before any queue, runs one turn at a
// time for each agent and hands replies to channels through the outbox.
//
// Read in this order: router.go (a message comes in), match.go (which route, who may ask, what
// calls the agent), work.go (one worker an agent), outbox.go (a reply goes out).
//
// It must never start a container, call a model or read a file: a turn is a function it
// is given. It must never tell a channel "taken" before the store has committed.
//
// Where it differs from the original (behaviour.md has its tables), and why:
//
//   - A trigger ends where a word of any script ends, so "@José", "@小明" and "@Bot!" work; the
//     original's regular expression knows ASCII letters alone. How é is composed does not matter.
//   - What those who may not ask say is not even stored, unless the route says others = "context"; the
//     original stores it by default, and its list fails open when the file is missing. An identity
//     that the channel does not know is nobody, also where "*" may ask.
//   - One entry of a list of senders that is wrong makes the whole configuration wrong; the original
//     skips the entry. What is skipped silently is believed to be in force.
//   - Context that rides along is the newest 50 messages and 32 KiB; older context stays recorded. The
//     original cuts the oldest of all that waits, and so may lose what was asked.
//   - The name of whoever is not the owner says so: in the original a stranger may be called "owner".
//   - Of a chat without a route its name and time are kept, and no message (the same as the original).
//   - A message sent again changes nothing; the original lets a later one replace the text, after it
//     may have been answered.
//   - The order within a chat is that of arrival, not of the sender's clock.
//   - An old message (assistant.stale_after) is kept as context and is neither answered nor a command:
//     after a week without network an "/allow 3" means something else. What was committed in time is
//     answered whenever the host is back.
//   - <internal> is taken out in any case, nested and unclosed; the original lets the latter two out.
//     It is not shown while an answer streams, either. A reply that is nothing else sends nothing.
//   - Replies are kept as Markdown and rendered as they are sent, so that history is what the model
//     wrote; parts are cut before that, which is right as long as no renderer lengthens a text.
//   - A send that fails is tried 5 times, after 5, 10, 20 and 40 seconds, while other chats go on; the
//     original's 3 tries block its one loop. One that was cut off is unknown and not tried again.
package router
