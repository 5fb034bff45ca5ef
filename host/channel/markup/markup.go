// Package markup turns what models write, a kind of CommonMark, into what a chat service shows:
// text in its own marks (whatsapp.go), in parts that fit its messages (split.go), without what was
// for nobody's eyes (internal.go).
//
// It is pure: text in, text out. It must never lengthen a text when it renders it, because the
// parts are cut before, and never let a text cost more than a small multiple of its length.
package markup
