// Package model asks language models: it turns a role's choice into a Provider and speaks
// each provider's protocol.
//
// It owns the offline model (offline.go, phrase.go) and the Messages API of Anthropic by the
// official SDK (anthropic.go, translate.go). modeltest has a server that the unmodified SDK
// talks to.
//
// It must never decide whether a role may ask at all, count a budget, keep a key longer than
// one call, or put one into an error.
//
// Rationale: the SDK's own defaults are turned off, all of them. They read keys, base URLs,
// headers and profiles from the environment and send traces, and whose key is used, and
// where it goes, must be what nanoclaw.toml says. Redirects are refused, because Go would
// carry X-Api-Key along to wherever they point.
package model
