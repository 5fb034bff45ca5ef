// Package config turns nanoclaw.toml into a checked, frozen Config.
//
// It owns where the file is looked for (find.go), what may be written in it (file.go),
// how strictly it is read (decode.go), what every value must be (check.go, role.go,
// mount.go, place.go) and what the roles can reach together (reach.go, path.go). Every problem of a file is
// reported at once, one sentence each, with its line.
//
// It must never hold a secret's value, only where it comes from; never repeat what was
// written where a key belongs; and never change a Config it has returned.
//
// The file is decoded by a walk of our own over the library's plain tables, because the
// library matches keys without regard to case, stops at the first wrong type, and does
// not say on which line an unknown key stands.
//
// Names of roles differ from the original's names of folders (behaviour.md section 5): lower-case letters,
// digits and hyphens, at most 32, since they stand in commands, IDs and file names on systems that do not
// tell "Team" from "team". "global" is a name like any other: no directory is shared by it.
package config
