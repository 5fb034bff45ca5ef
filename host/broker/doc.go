// Package broker owns the host side of capability calls: everything a skill does beyond
// its own memory and its agent's workspace comes here as one HTTP request on the wire of
// its container. The broker checks it, writes the audit row, acts, and answers.
//
// A call passes, in this order:
//
//  1. [Broker.Handler]: who is calling is the connection's host.Scope, never the payload;
//  2. the skill that the runner names must be one of the scope's, and role grant ∩
//     manifest must give it the capability (host.Grants), both read from the scope;
//  3. the request, bounded before it is decoded, is checked by its capability
//     (http.go, llm.go, kv.go, history.go, message.go, task.go, agent.go);
//  4. what it may cost is taken from the role's budgets (budget.go);
//  5. where the grant says so, the owner is asked (approve.go);
//  6. call.allow writes the audit row; without it nothing happens;
//  7. the act; then the row of its outcome, and the answer.
//
// A role whose turns a program answers (host.Exec) has the model's API besides (proxy.go). Its requests
// pass the same budgets, the same search for secrets and the same log. Of what it sends nothing is
// believed: the endpoint must be in a table, headers pass by name, both that could hold a credential are
// the host's, the body is written anew from its fields, and must name the role's model and nothing
// by which the model's server would reach out in the agent's place (tools of the server, links).
//
// A refusal tells the guest its kind and one sentence that names a host, a skill or a model
// and nothing else of the request. What would grant it goes to the log and to Config.Notice,
// which are the owner's, and never to a model.
//
// Secrets (leak.go, inject.go): what a guest, or a server that redirects, wants sent is searched
// for the values of all secrets of the host, and for what looks like anybody's key, and refused;
// only then the host adds the credentials of the grant. What comes back, what a model is asked and
// what streams to a chat loses them and goes on; a row says which. A row's own words lose them too.
// No call lists secrets: a skill learns at most, by a refusal, that one is not set.
//
// The broker must never believe what a guest says of itself, act on a row it could not
// write, follow a redirect or take a proxy it did not check, send a secret to a host other
// than the one it was granted for, or put a path, query, header or secret into a row, a
// log line or a refusal.
//
// Rationale:
//
//   - URLs are parsed by url.go, not by net/url alone: net/http maps non-ASCII hosts when
//     it dials (１２７.０.０.１ reaches loopback) and the cgo resolver reads 127.1 and
//     0x7f000001 as addresses, so only canonical ASCII hosts pass, and what was matched is
//     byte for byte what is dialled and sent.
//   - All addresses of a name must be acceptable, the connection goes to one of those
//     addresses and no other, and the socket's own address is checked once more as it connects:
//     a name that changes its answer between check and use gains nothing.
//   - Private and public grants have transports of their own, so a connection to a private
//     address is never reused for a request that may not make one.
//   - public_web is https on port 443 only: plain http would let whoever is on the path
//     choose what an agent reads.
//   - A question to the owner is answered by nothing that a model can call: [Approvals.Answer] is
//     reached from the owner's own messages alone. An answer is bound to a hash of everything that
//     would be sent and is good for one act; "always" adds a row for exactly one role, skill, method
//     and address, which lifts the question of a grant and grants nothing itself.
//   - A route that a model proposes has no rule that /always could keep: it is asked each time, for one
//     known chat, a role of nanoclaw.toml and the owner's own messages. Who else may ask is not in the
//     request at all, so no model can widen it.
//   - The ID of a message to another chat is made of its turn and its place there, not of its text: a
//     model that words it otherwise in a re-run does not send it twice.
//   - While a question waits, wire.CodeWaiting stops the clocks in the runner and host.Scope.Pause
//     those of the host. The container stays, so nothing of the turn is done twice.
//   - What a model call may cost is reserved before and settled after, so that calls which run at
//     once cannot pass a budget together.
//   - An answer with a secret in it is redacted, not refused: servers repeat what they were sent
//     (C10), and the guest has a use for the rest. A request is refused, not redacted: there is no
//     honest reason for it, and half of it would do something else than was asked. A request to a
//     model is the exception: whoever pastes a key into a chat would end the conversation for ever.
//   - A secret in a path stands as {NAME} in the grant's path and in the skill's URL, so that what
//     is matched, shown and answered is one text, and the secret is in none of them.
//   - A redirect whose URL holds a credential is refused, but for the query parameter of the grant,
//     which servers like to repeat: it is dropped, and added again where it may be.
//   - A credential is added for the first origin of a redirect chain only. Once a chain has
//     left it, no credential is added again, not even the next host's own: the server that
//     redirects would choose what it is used for.
//
// Where it differs from the original (behaviour.md sections 8 and 14), and why:
//
//   - Who asks is known by the connection of its container; there, by the directory of a file.
//   - No role may do what it likes because it is main: it sends to the chats of its grants, and has its own
//     tasks alone; only the owner changes another agent's.
//   - A route is proposed and the owner adds it; there main registers groups by itself.
//   - A wrong request is answered with what is wrong; there its file is moved away and nobody is told.
//   - The proxy knows its caller, lets a table of endpoints pass, and sets both headers of credentials
//     always; there any caller reaches any path, and one header is replaced if it is there.
package broker
