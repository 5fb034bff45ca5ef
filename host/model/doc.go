// Package model asks language models: it turns a role's choice into a Provider and speaks
// each provider's protocol.
//
// In reading order: model.go finds the models of a role and asks them in turn; remote.go is
// what all protocols share; anthropic.go (Messages) and openai.go (Chat Completions) translate
// and speak, each by the official SDK; transport.go is the way there; failure.go makes one
// sentence of what went wrong; offline.go and phrase.go are the model that is none. modeltest
// has servers that the unmodified SDKs talk to.
//
// It must never decide whether a role may ask at all, count a budget, keep a key longer than
// one call, or put one into an error or a log line.
//
// Rationale:
//
//   - The SDKs' own defaults are turned off, all of them. They read keys, base URLs, headers and
//     profiles from the environment and send traces, and whose key is used, and where it goes,
//     must be what nanoclaw.toml says. Redirects are refused, because Go would carry X-Api-Key
//     along to wherever they point.
//   - What went wrong is read off the wire (transport.go), not off the SDKs' errors: those differ,
//     and none knows the shapes of errors that other servers of a protocol send.
//   - The SDKs try again before an answer begins; chain.Complete once more when it broke off,
//     and only while no text of it was passed on: nobody can take back what a user has read.
//   - Arguments of a tool call that are no JSON object make the whole answer none. The tool would
//     be called with something that the model did not ask for otherwise; asked once more, a model
//     mostly gets it right.
//   - A server that says nothing, not even a comment, for five minutes is given up by a timer that
//     each byte puts off. A limit on the whole call would end long answers of slow machines; the
//     turn has its own.
//   - Tokens that a server does not count are guessed, and high: of a broken answer, or where
//     include_usage is not known. A budget must bite then, too.
//   - The SDK of OpenAI makes bin/nanoclaw 40 MB instead of 20, as its types keep each other
//     alive, and costs each start 3 ms and 5 MB, pages of the file: the host's peak RSS is 43
//     instead of 39 MB. The alternative is a client of our own, and to follow the protocol by hand.
package model
